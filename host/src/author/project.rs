//! An author's folder: the languages that plugins are written in, and what `plugin.toml` says of one.

use std::path::{Path, PathBuf};

use plugin_runtime::Role;
use serde::Deserialize;

use super::subject::MANIFEST_FILE;

/// Bytes of a plugin's name at most.
pub const NAME_LEN_MAX: usize = 64;

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// On the plugin SDK.
    Rust,
    /// On QuickJS, by `componentize-qjs`.
    JavaScript,
    /// On CPython, by `componentize-py`.
    Python,
    /// On bindings that `ranked plugin build` makes.
    C,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rust, Self::JavaScript, Self::Python, Self::C];

    /// The word on the command line and in `plugin.toml`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::JavaScript => "javascript",
            Self::Python => "python",
            Self::C => "c",
        }
    }

    /// The language as people write it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::JavaScript => "JavaScript",
            Self::Python => "Python",
            Self::C => "C",
        }
    }

    /// The file that an author edits, relative to the folder.
    #[must_use]
    pub fn source(self) -> &'static str {
        match self {
            Self::Rust => "src/lib.rs",
            Self::JavaScript => "plugin.js",
            Self::Python => "plugin.py",
            Self::C => "plugin.c",
        }
    }

    /// The commands that fetch the language's tools, once per folder; may be empty.
    #[must_use]
    pub fn preparation(self) -> &'static str {
        match self {
            Self::Rust => "rustup target add wasm32-unknown-unknown",
            Self::JavaScript => "npm install",
            Self::Python | Self::C => "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
        }
    }
}

/// An author's folder, as far as building is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Where `plugin.toml` lies.
    pub folder: PathBuf,
    /// The plugin's name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// The world of the contract that its bindings are made for.
    pub world: &'static str,
    /// What it is written in.
    pub language: Language,
    /// Where the component is written to.
    pub component: PathBuf,
    /// Whether the component may import WASI, which the operator then has to grant.
    pub wants_wasi: bool,
}

/// Why a folder is no project. The author's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// No `plugin.toml`, or not readable.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `plugin.toml` is not what it should be.
    #[error("{} cannot be used", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with its place.
        #[source]
        source: toml::de::Error,
    },
    /// A word that means nothing here.
    #[error("{}: `{key} = \"{written}\"`: write {expected}", path.display())]
    Unknown {
        /// Which file.
        path: PathBuf,
        /// Which key of `[plugin]`.
        key: &'static str,
        /// What stands there.
        written: String,
        /// What could stand there.
        expected: &'static str,
    },
}

/// Other keys and tables belong to other tools.
#[derive(Deserialize)]
struct Written {
    plugin: WrittenPlugin,
}

#[derive(Deserialize)]
struct WrittenPlugin {
    name: String,
    role: String,
    language: String,
    component: PathBuf,
    wasi: Option<String>,
    world: Option<String>,
}

/// The worlds of the contract that a plugin of a role can be built for; the first one is the usual one.
fn worlds_of(role: Role) -> (&'static [&'static str], &'static str) {
    match role {
        Role::Rating => (&["rating", "rating-with-bulk"], "\"rating\" or \"rating-with-bulk\""),
        Role::Rules => (&["rules"], "\"rules\""),
        Role::Policy => (&["policy", "policy-with-forecast"], "\"policy\" or \"policy-with-forecast\""),
    }
}

impl Project {
    /// Reads the `plugin.toml` of a folder.
    ///
    /// # Errors
    /// The author's fault: it is not there, or a key is missing or unknown.
    pub fn read(folder: &Path) -> Result<Self, ProjectError> {
        let path = folder.join(MANIFEST_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(ProjectError::Unreadable { path, source }),
        };
        let written = match toml::from_str::<Written>(&text) {
            Ok(Written { plugin }) => plugin,
            Err(source) => return Err(ProjectError::Invalid { path, source }),
        };
        let unknown =
            |key, written: &str, expected| ProjectError::Unknown { path: path.clone(), key, written: written.to_owned(), expected };
        if !is_name(&written.name) {
            return Err(unknown("name", &written.name, NAME_RULE));
        }
        let role = Role::ALL.into_iter().find(|role| role.name() == written.role);
        let role = role.ok_or_else(|| unknown("role", &written.role, "\"rating\", \"rules\" or \"policy\""))?;
        let language = Language::ALL.into_iter().find(|language| language.name() == written.language);
        let language = language.ok_or_else(|| unknown("language", &written.language, "\"rust\", \"javascript\", \"python\" or \"c\""))?;
        let (worlds, expected) = worlds_of(role);
        let world = match &written.world {
            Some(name) => worlds.iter().find(|world| *world == name).ok_or_else(|| unknown("world", name, expected))?,
            None => worlds[0],
        };
        let component = folder.join(written.component);
        let wants_wasi = written.wasi.is_some_and(|word| word != "none");
        Ok(Self { folder: folder.to_owned(), name: written.name, role, world, language, component, wants_wasi })
    }

    /// The folder with the contract.
    #[must_use]
    pub fn contract(&self) -> PathBuf {
        self.folder.join("wit")
    }
}

/// What [`is_name`] accepts, for people.
pub const NAME_RULE: &str = "a name of a to z, 0 to 9 and single `-`, beginning with a letter, at most 64 long";

/// Whether a plugin can be called this: the name ends up in file names, package names and logs.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= NAME_LEN_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
        && !name.contains("--")
        && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_files_and_packages() {
        for name in ["a", "elo", "my-elo-2", &"a".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-elo", "2elo", "elo-", "my--elo", "Elo", "my_elo", "élo", "../elo", "a b", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
