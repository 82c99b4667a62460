//! `plugins.toml` as a text that commands change: one table at a time, with the operator's comments and order kept.

use std::path::{Path, PathBuf};

use plugin_runtime::Role;
use toml_edit::{DocumentMut, Item, Table, TomlError, Value};

use super::problem::ConfigError;
use super::read;

/// The file, and what is to become of it.
#[derive(Debug)]
pub struct PluginsFile {
    path: PathBuf,
    before: String,
    document: DocumentMut,
}

/// Why the file was not changed. The operator's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// It cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It, or what was to be put into it, is no TOML.
    #[error("this is no TOML")]
    NoToml(#[from] TomlError),
    /// The queue or the role is not there, or not as a table.
    #[error("there is no table [queue.{queue}.{role}]")]
    NoTable {
        /// As asked for.
        queue: String,
        /// As asked for.
        role: &'static str,
    },
}

impl PluginsFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`EditError`].
    pub fn read(path: &Path) -> Result<Self, EditError> {
        let before = read(path)?;
        let document = before.parse()?;
        Ok(Self { path: path.to_owned(), before, document })
    }

    /// The text as it was read.
    #[must_use]
    pub fn before(&self) -> &str {
        &self.before
    }

    /// The text with every change.
    #[must_use]
    pub fn text(&self) -> String {
        self.document.to_string()
    }

    /// Whether somebody else has changed the file since it was read.
    ///
    /// # Errors
    /// It cannot be read any more.
    pub fn changed_meanwhile(&self) -> Result<bool, ConfigError> {
        Ok(read(&self.path)? != self.before)
    }

    /// The table of a role, as a TOML text of its own.
    ///
    /// # Errors
    /// [`EditError::NoTable`].
    pub fn settings(&mut self, queue: &str, role: Role) -> Result<String, EditError> {
        let mut alone = DocumentMut::new();
        let mut table = self.table(queue, role)?.clone();
        table.decor_mut().clear();
        *alone.as_table_mut() = table;
        Ok(alone.to_string())
    }

    /// Names another component; `digest` is its pin.
    ///
    /// # Errors
    /// [`EditError::NoTable`].
    pub fn set_component(&mut self, queue: &str, role: Role, component: &str, digest: Option<&str>) -> Result<(), EditError> {
        let table = self.table(queue, role)?;
        set(table, "component", component);
        match digest {
            Some(digest) => set(table, "digest", digest),
            None => {
                table.remove("digest");
            }
        }
        Ok(())
    }

    /// Sets a number of a plugin's budget.
    ///
    /// # Errors
    /// [`EditError::NoTable`].
    pub fn set_number(&mut self, queue: &str, role: Role, key: &str, number: i64) -> Result<(), EditError> {
        self.table(queue, role)?.insert(key, toml_edit::value(number));
        Ok(())
    }

    /// Puts other parameters in the place of all that are there.
    ///
    /// # Errors
    /// [`EditError`].
    pub fn set_parameters(&mut self, queue: &str, role: Role, parameters: &str) -> Result<(), EditError> {
        let mut parameters: DocumentMut = parameters.parse()?;
        let table = self.table(queue, role)?;
        table.remove("parameters");
        let parameters = std::mem::take(parameters.as_table_mut());
        table.insert("parameters", Item::Table(unplaced(parameters)));
        Ok(())
    }

    /// Puts a whole table back that [`PluginsFile::settings`] gave.
    ///
    /// # Errors
    /// [`EditError`].
    pub fn put_back(&mut self, queue: &str, role: Role, settings: &str) -> Result<(), EditError> {
        let mut earlier: DocumentMut = settings.parse()?;
        let table = self.table(queue, role)?;
        table.clear();
        let earlier = unplaced(std::mem::take(earlier.as_table_mut()));
        for (name, item) in &earlier {
            // The key as it was written carries the comments before it.
            if let Some(key) = earlier.key(name) {
                table.insert_formatted(key, item.clone());
            }
        }
        Ok(())
    }

    fn table(&mut self, queue: &str, role: Role) -> Result<&mut Table, EditError> {
        // Table by table: indexing an item would put a table there that is missing.
        let queues = self.document.get_mut("queue").and_then(Item::as_table_mut);
        let of_queue = queues.and_then(|queues| queues.get_mut(queue)).and_then(Item::as_table_mut);
        let found = of_queue.and_then(|of_queue| of_queue.get_mut(role.name()));
        found.and_then(Item::as_table_mut).ok_or_else(|| EditError::NoTable { queue: queue.to_owned(), role: role.name() })
    }
}

/// Whether two settings say the same, whatever their spaces and comments.
#[must_use]
pub fn is_same_table(one: &str, other: &str) -> bool {
    let values = |text: &str| text.parse::<toml::Table>().ok();
    one == other || values(one).is_some_and(|one| Some(one) == values(other))
}

/// Writes a value and keeps the comment behind the old one.
fn set(table: &mut Table, key: &str, text: &str) {
    let mut value = Value::from(text);
    if let Some(old) = table.get(key).and_then(Item::as_value) {
        *value.decor_mut() = old.decor().clone();
    }
    table.insert(key, Item::Value(value));
}

/// A table that stood in another text comes right after the one it is put into, with all that is below it.
fn unplaced(mut table: Table) -> Table {
    table.set_position(None);
    for (_, item) in table.iter_mut() {
        if let Some(below) = item.as_table_mut() {
            *below = unplaced(std::mem::take(below));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# ours\n[queue.duel]\nteam_sizes = [1, 1] # two\n\n# the engine\n[queue.duel.rating]\ncomponent = \"builtin:gaussian\" # for now\n\
                        fuel_max = 5_000\n[queue.duel.rating.parameters]\nmu = 25.0\n\n[queue.duel.rules]\ncomponent = \"builtin:bounds\"\n\
                        [queue.duel.rules.outer_bounds]\nkills = [0, 100]\n[queue.duel.policy]\ncomponent = \"builtin:skill-window\"\n";

    fn file() -> PluginsFile {
        PluginsFile { path: PathBuf::new(), before: TEXT.to_owned(), document: TEXT.parse().expect("TOML") }
    }

    #[test]
    fn a_change_leaves_everything_else_as_it_was() {
        let mut file = file();
        file.set_component("duel", Role::Rating, "plugins/a.wasm", Some("sha256:00")).expect("a table");
        let engine = "component = \"plugins/a.wasm\" # for now\nfuel_max = 5_000\ndigest = \"sha256:00\"\n";
        let expected = TEXT.replace("component = \"builtin:gaussian\" # for now\nfuel_max = 5_000\n", engine);
        assert_eq!(file.text(), expected);
        file.set_parameters("duel", Role::Rating, "mu = 1.0\n[curve]\nsteep = 2\n").expect("a table");
        let (head, tail) = expected.split_once("[queue.duel.rating.parameters]\nmu = 25.0\n").expect("it is there");
        let text = file.text();
        let between = text.strip_prefix(head).and_then(|text| text.strip_suffix(tail)).expect("the rest stays");
        assert_eq!(between.trim_start(), "[queue.duel.rating.parameters]\nmu = 1.0\n[queue.duel.rating.parameters.curve]\nsteep = 2\n");
    }

    #[test]
    fn what_was_there_can_be_put_back() {
        for role in Role::ALL {
            let mut file = file();
            let settings = file.settings("duel", role).expect("a table");
            file.set_component("duel", role, "plugins/a.wasm", Some("sha256:00")).expect("a table");
            file.set_parameters("duel", role, "x = 1").expect("a table");
            file.put_back("duel", role, &settings).expect("a table");
            let values = |text: &str| text.parse::<toml::Table>().expect("TOML");
            assert_eq!(values(&file.text()), values(TEXT), "{}", role.name());
            assert_eq!(file.settings("duel", role).expect("a table"), settings, "{}", role.name());
        }
    }

    #[test]
    fn what_is_not_there_is_not_changed() {
        let mut file = file();
        assert!(matches!(file.settings("trio", Role::Rating), Err(EditError::NoTable { .. })));
        assert!(matches!(file.set_parameters("duel", Role::Rating, "= 3"), Err(EditError::NoToml(_))));
        assert_eq!(file.text(), TEXT);
    }
}
