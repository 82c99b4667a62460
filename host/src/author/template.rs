//! `ranked plugin new`: the templates inside the binary, filled in and written to a fresh folder. Works offline.
//!
//! A Rust plugin gets the plugin SDK as a folder of its own, so that nothing in it refers to a checkout of RankedServer; its crates
//! come from the registry.

use std::io;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use plugin_runtime::Role;
use toml::{Table, Value};

use super::project::{Language, is_name};

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");
static CONTRACT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../wit/v1");
static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../plugins/sdk");
/// Names the versions of the crates that the SDK uses.
const WORKSPACE_MANIFEST: &str = include_str!("../../../Cargo.toml");
/// Crates beside the plugin itself; a package of the same name could not depend on them.
const NAMES_TAKEN: [&str; 8] = ["plugin-sdk", "serde", "wit-bindgen", "core", "std", "alloc", "test", "proc-macro"];

/// A plugin that is to be begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPlugin {
    name: String,
    role: Role,
    language: Language,
}

/// Why no plugin was begun. Nothing was written, except where the disk failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NewPluginError {
    /// The author's fault: the name cannot be a package or a file.
    #[error("a plugin cannot be called `{name}`")]
    Name {
        /// As written, control characters escaped.
        name: String,
    },
    /// The author's fault: the name belongs to something that the plugin needs.
    #[error("`{name}` is the name of a crate that every Rust plugin is built with")]
    NameTaken {
        /// As written.
        name: String,
    },
    /// The author's fault: something is there already.
    #[error("{} exists; nothing was written", folder.display())]
    FolderExists {
        /// Where the plugin was to go.
        folder: PathBuf,
    },
    /// The environment's fault.
    #[error("{} cannot be written", path.display())]
    Unwritable {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl NewPlugin {
    /// Checks the name.
    ///
    /// # Errors
    /// The author's fault: the name is none for a plugin.
    pub fn new(name: &str, role: Role, language: Language) -> Result<Self, NewPluginError> {
        if !is_name(name) {
            return Err(NewPluginError::Name { name: name.escape_debug().to_string() });
        }
        if language == Language::Rust && NAMES_TAKEN.contains(&name) {
            return Err(NewPluginError::NameTaken { name: name.to_owned() });
        }
        Ok(Self { name: name.to_owned(), role, language })
    }

    /// Every file of the plugin: its path relative to the folder, and its text.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, String)> {
        let language = self.language.name();
        let mut files = vec![
            (".gitignore".into(), self.filled("shared/gitignore")),
            ("plugin.toml".into(), self.filled("shared/plugin.toml")),
            ("README.md".into(), self.filled("shared/README.md")),
            ("cases/first.toml".into(), self.filled(&format!("cases/{}.toml", self.role))),
            (self.language.source().into(), self.filled(&format!("{language}/{}/{}", self.role, self.template_name()))),
        ];
        let tools = match self.language {
            Language::Rust => ("Cargo.toml", "rust/shared/Cargo.toml.template"),
            Language::JavaScript => ("package.json", "javascript/shared/package.json"),
            Language::Python => ("requirements.txt", "python/shared/requirements.txt"),
            Language::C => ("requirements.txt", "c/shared/requirements.txt"),
        };
        files.push((tools.0.into(), self.filled(tools.1)));
        files.extend(CONTRACT.files().map(|file| (Path::new("wit").join(file.path()), text(file).to_owned())));
        if self.language == Language::Rust {
            files.extend(sdk());
        }
        files
    }

    /// Writes the plugin into `folder`, which must not exist yet.
    ///
    /// # Errors
    /// The folder exists, or the disk refuses.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, NewPluginError> {
        if folder.symlink_metadata().is_ok() {
            return Err(NewPluginError::FolderExists { folder: folder.to_owned() });
        }
        let mut written = Vec::new();
        for (path, text) in self.files() {
            let full = folder.join(&path);
            let made = full.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&full, text));
            made.map_err(|source| NewPluginError::Unwritable { path: full, source })?;
            written.push(path);
        }
        Ok(written)
    }

    /// The author's file, by its name among the templates.
    fn template_name(&self) -> &'static str {
        self.language.source().rsplit('/').next().unwrap_or_default()
    }

    fn filled(&self, template: &str) -> String {
        let file = TEMPLATES.get_file(template).expect("a test asks for every template");
        let more = match self.language {
            Language::Rust => {
                "* `sdk/` is the plugin SDK: `cargo doc --open -p plugin-sdk` shows its traits. The build checks nothing else of RankedServer's.\n"
            }
            Language::JavaScript | Language::Python | Language::C => "",
        };
        let places = [
            ("@NAME@", self.name.as_str()),
            ("@ROLE@", self.role.name()),
            ("@LANGUAGE@", self.language.name()),
            ("@LANGUAGE_NAME@", self.language.title()),
            ("@SOURCE@", self.language.source()),
            ("@PREPARE@", self.language.preparation()),
            ("@BUDGET@\n", self.budget()),
            ("@MORE@\n", more),
        ];
        places.into_iter().fold(text(file).to_owned(), |text, (place, value)| text.replace(place, value))
    }

    /// What the plugin needs beyond the defaults of its role.
    fn budget(&self) -> &'static str {
        match (self.language, self.role) {
            (Language::Python, Role::Rating | Role::Rules) => {
                "# Python takes nearly all of the default of 16 MiB before it does anything. The operator writes the same into plugins.toml.\n\
                 memory_bytes_max = 67_108_864\n"
            }
            _ => "",
        }
    }
}

/// The plugin SDK as a crate that stands for itself: versions instead of `workspace = true`, the contract from the plugin's own folder.
fn sdk() -> Vec<(PathBuf, String)> {
    let sources = SDK.get_dir("src").expect("the SDK has sources").files();
    let own_contract = |text: &str| text.replace("\"../../wit/v1\"", "\"../wit\"");
    let mut files: Vec<_> = sources.map(|file| (Path::new("sdk").join(file.path()), own_contract(text(file)))).collect();
    let manifest = SDK.get_file("Cargo.toml").expect("the SDK has a manifest");
    files.push(("sdk/Cargo.toml".into(), standalone(text(manifest))));
    files
}

/// A manifest of this workspace without the workspace.
fn standalone(manifest: &str) -> String {
    let workspace: Table = WORKSPACE_MANIFEST.parse().expect("cargo parsed the same file");
    let inherited = |section: &str, key: &str| {
        let found = workspace.get("workspace").and_then(|workspace| workspace.get(section)).and_then(|section| section.get(key));
        found.expect("cargo found the same key").clone()
    };
    let mut manifest: Table = manifest.parse().expect("cargo parsed the same file");
    manifest.remove("lints");
    manifest.remove("dev-dependencies");
    for section in ["package", "dependencies"] {
        let Some(Value::Table(entries)) = manifest.get_mut(section) else { continue };
        for (key, value) in entries.iter_mut().filter(|(_, value)| value.get("workspace").is_some()) {
            *value = inherited(section, key);
        }
    }
    manifest.to_string()
}

fn text<'a>(file: &'a include_dir::File<'_>) -> &'a str {
    file.contents_utf8().expect("templates are text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every() -> impl Iterator<Item = NewPlugin> {
        let pairs = Language::ALL.into_iter().flat_map(|language| Role::ALL.map(|role| (language, role)));
        pairs.map(|(language, role)| NewPlugin::new("my-plugin", role, language).expect("a good name"))
    }

    #[test]
    fn every_template_is_there_and_filled() {
        for plugin in every() {
            let files = plugin.files();
            for (path, text) in &files {
                assert!(!text.contains("@NAME") && !text.contains("@ROLE") && !text.contains("@BUDGET"), "{plugin:?} {path:?}\n{text}");
                assert!(!text.contains("@PREPARE") && !text.contains("@MORE") && !text.contains("@LANGUAGE"), "{plugin:?} {path:?}");
            }
            for expected in ["plugin.toml", "README.md", "wit/ranked.wit", "cases/first.toml", plugin.language.source()] {
                assert!(files.iter().any(|(path, _)| path == Path::new(expected)), "{plugin:?} {expected}");
            }
        }
    }

    #[test]
    fn the_sdk_of_a_plugin_stands_for_itself() {
        let files = sdk();
        for (path, text) in &files {
            assert!(!text.contains("../../wit") && !text.contains("workspace = true"), "{path:?}");
        }
        let (_, manifest) = files.iter().find(|(path, _)| path.ends_with("Cargo.toml")).expect("a manifest");
        let manifest: Table = manifest.parse().expect("TOML");
        assert_eq!(manifest["dependencies"]["wit-bindgen"]["default-features"].as_bool(), Some(false), "{manifest}");
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        assert!(matches!(NewPlugin::new("My Plugin", Role::Rating, Language::C), Err(NewPluginError::Name { .. })));
        assert!(matches!(NewPlugin::new("serde", Role::Rating, Language::Rust), Err(NewPluginError::NameTaken { .. })));
        assert!(NewPlugin::new("serde", Role::Rating, Language::Python).is_ok());
    }
}
