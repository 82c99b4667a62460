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
    /// The shadow is not there, not as a table, or of another role.
    #[error("there is no table [queue.{queue}.shadow.{shadow}] of this role")]
    NoShadow {
        /// As asked for.
        queue: String,
        /// As asked for.
        shadow: String,
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

    /// Puts a shadow of a queue: what its rating engine has, with other parameters. One of that name is replaced.
    ///
    /// # Errors
    /// [`EditError`].
    pub fn put_shadow(&mut self, queue: &str, name: &str, parameters: &str) -> Result<(), EditError> {
        let mut parameters: DocumentMut = parameters.parse()?;
        let mut shadow = unplaced(self.table(queue, Role::Rating)?.clone());
        shadow.decor_mut().clear();
        shadow.set_dotted(false);
        shadow.set_implicit(false);
        // Only what is in force falls back.
        shadow.remove("fallback");
        shadow.insert("parameters", Item::Table(unplaced(std::mem::take(parameters.as_table_mut()))));
        let of_queue = self.queue(queue).ok_or_else(|| no_table(queue, Role::Rating))?;
        let mut none = Table::new();
        none.set_implicit(true);
        let shadows = of_queue.entry("shadow").or_insert(Item::Table(none)).as_table_mut().ok_or_else(|| no_shadow(queue, name))?;
        shadows.insert(name, Item::Table(shadow));
        Ok(())
    }

    /// Moves what a shadow runs to the role: afterwards there is no such shadow.
    ///
    /// # Errors
    /// [`EditError`]: there is none of that name that would be of this role.
    pub fn take_shadow(&mut self, queue: &str, role: Role, name: &str) -> Result<(), EditError> {
        let of_queue = self.queue(queue).ok_or_else(|| no_shadow(queue, name))?;
        let shadows = of_queue.get_mut("shadow").and_then(Item::as_table_mut);
        let fits = |shadow: &Table| shadow.get("role").and_then(Item::as_str).unwrap_or(Role::Rating.name()) == role.name();
        let shadows = shadows.filter(|shadows| shadows.get(name).and_then(Item::as_table).is_some_and(fits));
        let shadow = shadows.and_then(|shadows| shadows.remove(name)).and_then(|item| item.into_table().ok());
        let mut shadow = unplaced(shadow.ok_or_else(|| no_shadow(queue, name))?);
        shadow.remove("role");
        let table = self.table(queue, role)?;
        let kept: Vec<_> = ["fallback", "outer_bounds"].into_iter().filter_map(|key| table.remove_entry(key)).collect();
        table.clear();
        for (key, item) in kept {
            table.insert_formatted(&key, item);
        }
        for (name, item) in &shadow {
            if let Some(key) = shadow.key(name) {
                table.insert_formatted(key, item.clone());
            }
        }
        Ok(())
    }

    fn queue(&mut self, queue: &str) -> Option<&mut Table> {
        let queues = self.document.get_mut("queue").and_then(Item::as_table_mut);
        queues.and_then(|queues| queues.get_mut(queue)).and_then(Item::as_table_mut)
    }

    fn table(&mut self, queue: &str, role: Role) -> Result<&mut Table, EditError> {
        // Table by table: indexing an item would put a table there that is missing.
        let found = self.queue(queue).and_then(|of_queue| of_queue.get_mut(role.name()));
        found.and_then(Item::as_table_mut).ok_or_else(|| no_table(queue, role))
    }
}

fn no_table(queue: &str, role: Role) -> EditError {
    EditError::NoTable { queue: queue.to_owned(), role: role.name() }
}

fn no_shadow(queue: &str, shadow: &str) -> EditError {
    EditError::NoShadow { queue: queue.to_owned(), shadow: shadow.to_owned() }
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
    fn a_shadow_is_put_beside_the_engine_and_can_take_its_place() {
        let mut file = file();
        file.put_shadow("duel", "tuned", "beta = 9.5\nmu = 30.0\n").expect("a table");
        let text = file.text();
        let shadow = "[queue.duel.shadow.tuned]\ncomponent = \"builtin:gaussian\" # for now\nfuel_max = 5_000\n\n\
                      [queue.duel.shadow.tuned.parameters]\nbeta = 9.5\nmu = 30.0\n";
        let squeezed = |text: &str| text.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
        assert!(squeezed(&text).contains(&squeezed(shadow)), "{text}");
        let without: String = text.lines().filter(|line| TEXT.lines().any(|before| before == *line)).collect::<Vec<_>>().join("\n");
        assert!(squeezed(&without).starts_with(&squeezed(TEXT)[..200]) && text.contains("# ours"), "{text}");
        let values: toml::Table = text.parse().expect("TOML");
        assert_eq!(values["queue"]["duel"]["rating"]["parameters"]["mu"].as_float(), Some(25.0), "the engine in force stays");
        file.put_shadow("duel", "tuned", "beta = 8.0\n").expect("a table");
        assert!(matches!(file.take_shadow("duel", Role::Policy, "tuned"), Err(EditError::NoShadow { .. })));
        file.take_shadow("duel", Role::Rating, "tuned").expect("a shadow");
        let values: toml::Table = file.text().parse().expect("TOML");
        assert_eq!(values["queue"]["duel"]["rating"]["parameters"], toml::Value::Table("beta = 8.0".parse().expect("TOML")));
        assert_eq!(values["queue"]["duel"]["rating"]["component"].as_str(), Some("builtin:gaussian"));
        assert!(values["queue"]["duel"].get("shadow").is_none_or(|shadows| shadows.as_table().is_some_and(toml::Table::is_empty)));
        assert!(matches!(file.take_shadow("duel", Role::Rating, "tuned"), Err(EditError::NoShadow { .. })));
    }

    #[test]
    fn a_queue_that_is_written_with_dotted_keys_gets_a_shadow_and_takes_it_too() {
        let text = "[queue.duel]\nteam_sizes = [1, 1]\nrating.component = \"builtin:gaussian\"\nrating.parameters.mu = 30.0 # ours\n";
        let mut file = PluginsFile { path: PathBuf::new(), before: text.to_owned(), document: text.parse().expect("TOML") };
        file.put_shadow("duel", "tuned", "beta = 9.5\n").expect("a table");
        assert!(file.text().starts_with(text), "{}", file.text());
        let values: toml::Table = file.text().parse().expect("TOML");
        assert_eq!(values["queue"]["duel"]["shadow"]["tuned"]["component"].as_str(), Some("builtin:gaussian"));
        assert_eq!(values["queue"]["duel"]["shadow"]["tuned"]["parameters"]["beta"].as_float(), Some(9.5));
        file.take_shadow("duel", Role::Rating, "tuned").expect("a shadow");
        let values: toml::Table = file.text().parse().expect("TOML");
        assert_eq!(values["queue"]["duel"]["rating"].to_string(), "{ component = \"builtin:gaussian\", parameters = { beta = 9.5 } }");
    }

    #[test]
    fn what_is_not_there_is_not_changed() {
        let mut file = file();
        assert!(matches!(file.settings("trio", Role::Rating), Err(EditError::NoTable { .. })));
        assert!(matches!(file.set_parameters("duel", Role::Rating, "= 3"), Err(EditError::NoToml(_))));
        assert_eq!(file.text(), TEXT);
    }
}
