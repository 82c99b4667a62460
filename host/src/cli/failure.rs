//! Why a command did not do its work, and the exit code that says whose fault it is.

use std::fmt::Display;
use std::process::ExitCode;

use store::StoreError;

use crate::config::ConfigError;
use crate::keys::{AuthKeyError, IssueRefusal, KeyError, SecretFileError, SettleError};
pub(super) use crate::plugins::chain;

/// A command that failed.
pub(super) enum Failure {
    /// The configuration cannot be used: exit code 2.
    Config(ConfigError),
    /// The operator asked for what cannot be: exit code 2.
    Usage { problem: String, help: String },
    /// The answer is no: exit code 1. Nothing was changed.
    Refused { problem: String, help: String },
    /// Files, the disk, another process: exit code 3.
    Environment { problem: String, help: String },
}

impl Failure {
    pub(super) fn usage(problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage { problem: problem.into(), help: help.into() }
    }

    pub(super) fn refused(problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Refused { problem: problem.into(), help: help.into() }
    }

    pub(super) fn environment(problem: impl Display) -> Self {
        Self::Environment { problem: problem.to_string(), help: String::new() }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Refused { .. } => 1,
            Self::Config(_) | Self::Usage { .. } => 2,
            Self::Environment { .. } => 3,
        })
    }

    /// For people, on standard error.
    pub(super) fn render(&self) -> String {
        match self {
            Self::Config(error) => error.render(),
            Self::Usage { problem, help } | Self::Refused { problem, help } | Self::Environment { problem, help } => {
                if help.is_empty() {
                    format!("error: {problem}\n")
                } else {
                    format!("error: {problem}\nhelp: {help}\n")
                }
            }
        }
    }

    /// For machines, on standard output.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let (kind, problem, help) = match self {
            Self::Config(error) => return config_json(error),
            Self::Usage { problem, help } => ("usage", problem, help),
            Self::Refused { problem, help } => ("refused", problem, help),
            Self::Environment { problem, help } => ("environment", problem, help),
        };
        serde_json::json!({ "error": { "kind": kind, "problem": problem, "help": help } })
    }
}

fn config_json(error: &ConfigError) -> serde_json::Value {
    let problems: Vec<_> = match error {
        ConfigError::Invalid { problems } => problems
            .iter()
            .map(|problem| {
                let (line, column) = problem.line_column();
                serde_json::json!({
                    "file": problem.file.as_ref(), "line": line, "column": column, "problem": problem.title, "help": problem.help,
                })
            })
            .collect(),
        ConfigError::Unreadable { path, source } => {
            vec![serde_json::json!({ "file": path.display().to_string(), "problem": source.to_string() })]
        }
    };
    serde_json::json!({ "error": { "kind": "configuration", "problem": error.to_string(), "problems": problems } })
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::Environment { problem: chain(&error), help: error.fix() }
    }
}

impl From<SecretFileError> for Failure {
    fn from(error: SecretFileError) -> Self {
        Self::Environment { problem: chain(&error), help: error.fix() }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let help = match &error {
            StoreError::Busy { .. } => "another command is writing: try again",
            StoreError::Full { .. } => "make room on the disk",
            StoreError::Corrupt { .. } => "`ranked db verify` shows the damage, `ranked db restore FILE` brings a backup back",
            StoreError::InUse { .. } => "stop the host first",
            _ => "`ranked doctor` checks the folder, the disk and the database",
        };
        Self::Environment { problem: chain(&error), help: help.to_owned() }
    }
}

impl From<SettleError> for Failure {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Store(error) => error.into(),
            SettleError::Key(error) => error.into(),
            other => Self::Environment { problem: chain(&other), help: "restore keys and database from one backup".to_owned() },
        }
    }
}

impl From<IssueRefusal> for Failure {
    fn from(error: IssueRefusal) -> Self {
        match error {
            IssueRefusal::Key(error) => error.into(),
            other => Self::usage(chain(&other), ""),
        }
    }
}

impl From<AuthKeyError> for Failure {
    fn from(error: AuthKeyError) -> Self {
        Self::environment(chain(&error))
    }
}
