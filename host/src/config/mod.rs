//! The operator's two files, `ranked.toml` and `plugins.toml`, as values that are safe to use.
//!
//! Parsing is pure: text in, configuration or [`ConfigError`] out. [`Config::load`] is the only function here that touches files.

mod document;
mod host;
mod plugins_file;
mod problem;
mod queues;
mod seasons;
mod section;
mod template;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;

use std::path::{Path, PathBuf};

pub use host::{
    Database, HostConfig, Keys, Limits, Listen, LogFormat, Login, Logs, Matchmaking, Passwords, Plugins, Public, Publisher, Session,
    Signatures,
};
pub use plugin_runtime::Role;
pub use plugins_file::{EditError, PluginsFile, is_same_table};
pub use problem::{ConfigError, Problem};
pub use queues::{
    ComponentSource, NAME_LEN_MAX, NAMES_MAX, PLAYERS_MAX, PluginConfig, PolicyFallback, QUEUES_MAX, QueueConfig, ROLES_MAX,
    RatingFallback, ShadowConfig, TEAMS_MAX, parse_queues,
};
pub use seasons::{SEASON_NAME_LEN_MAX, SeasonConfig, StartingSeason, TIERS_MAX, check_season_name};
pub use template::{plugins_toml, ranked_toml};

/// Everything that the operator decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `ranked.toml`. Its paths are as written: see [`Config::database_path`] and [`Config::keys_folder`].
    pub host: HostConfig,
    /// `plugins.toml`, sorted by name.
    pub queues: Vec<QueueConfig>,
    folder: PathBuf,
    plugins_file: String,
    plugins_text: String,
}

impl Config {
    /// Puts a configuration together without files: for tests and the demo. Relative paths count from `folder`.
    #[must_use]
    pub fn new(host: HostConfig, queues: Vec<QueueConfig>, folder: PathBuf) -> Self {
        Self { host, queues, folder, plugins_file: PLUGINS_FILE.to_owned(), plugins_text: String::new() }
    }

    /// Reads `ranked.toml` at `path` and `plugins.toml` beside it. `builtins` are the names of the embedded components.
    ///
    /// # Errors
    /// The operator's fault: [`ConfigError`]; the problems of both files together.
    pub fn load(path: &Path, builtins: &[&str]) -> Result<Self, ConfigError> {
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let plugins = folder.join(PLUGINS_FILE);
        let (host_text, plugins_text) = (read(path)?, read(&plugins)?);
        let plugins_file = plugins.display().to_string();
        let host = HostConfig::parse(&path.display().to_string(), &host_text);
        let queues = parse_queues(&plugins_file, &plugins_text, builtins);
        match (host, queues) {
            (Ok(host), Ok(queues)) => Ok(Self { host, queues, folder: folder.to_owned(), plugins_file, plugins_text }),
            (Err(ConfigError::Invalid { mut problems }), Err(ConfigError::Invalid { problems: more })) => {
                problems.extend(more);
                Err(ConfigError::Invalid { problems })
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// Reads `plugins.toml` again, with everything else as it is.
    ///
    /// # Errors
    /// The operator's fault: [`ConfigError`].
    pub fn reread_plugins(&self, builtins: &[&str]) -> Result<Self, ConfigError> {
        self.with_plugins_text(read(&self.plugins_path())?, builtins)
    }

    /// The same with another text of `plugins.toml`, as it would be read from the file.
    ///
    /// # Errors
    /// The operator's fault: [`ConfigError`].
    pub fn with_plugins_text(&self, plugins_text: String, builtins: &[&str]) -> Result<Self, ConfigError> {
        let plugins_file = self.plugins_path().display().to_string();
        let queues = parse_queues(&plugins_file, &plugins_text, builtins)?;
        Ok(Self { host: self.host.clone(), queues, folder: self.folder.clone(), plugins_file, plugins_text })
    }

    /// Where `plugins.toml` is.
    #[must_use]
    pub fn plugins_path(&self) -> PathBuf {
        self.folder.join(PLUGINS_FILE)
    }

    /// The folder that relative paths count from.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The database file.
    #[must_use]
    pub fn database_path(&self) -> PathBuf {
        self.folder.join(&self.host.database.path)
    }

    /// The folder of compiled components, beside the database: it can be deleted at any time.
    #[must_use]
    pub fn compiled_folder(&self) -> PathBuf {
        self.database_path().with_file_name("compiled")
    }

    /// The folder with the key files.
    #[must_use]
    pub fn keys_folder(&self) -> PathBuf {
        self.folder.join(&self.host.keys.folder)
    }

    /// The queue of this name.
    #[must_use]
    pub fn queue(&self, name: &str) -> Option<&QueueConfig> {
        self.queues.iter().find(|queue| queue.name() == name)
    }

    /// What is wrong with a plugin, at its place in `plugins.toml`: below `[queue.NAME.ROLE]`, `path` leads to the key.
    ///
    /// For what only loading the plugin can find: parameters that it refuses, a digest that differs, an import that is not granted.
    #[must_use]
    pub fn plugin_problem(&self, queue: &str, role: Role, path: &[&str], title: String, help: String) -> ConfigError {
        let mut full = vec!["queue", queue, role.name()];
        full.extend_from_slice(path);
        let problem = match document::Document::parse(&self.plugins_file, &self.plugins_text) {
            Ok(document) => document.problem(&full, title, help),
            // The text was parsed before; without a text (see `new`) there is no place to show.
            Err(_) => Problem { file: self.plugins_file.as_str().into(), text: "".into(), span: 0..0, title, help },
        };
        ConfigError::Invalid { problems: vec![problem] }
    }
}

/// The name of the queues' file, beside `ranked.toml`.
pub const PLUGINS_FILE: &str = "plugins.toml";
/// The name of the host's own file.
pub const HOST_FILE: &str = "ranked.toml";

/// A configuration file longer than this is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;

fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(unreadable(std::io::Error::other(format!("longer than {FILE_BYTES_MAX} bytes"))));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}
