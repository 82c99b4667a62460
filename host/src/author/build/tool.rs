//! The tools of other languages: finding them, running them, and saying what is missing.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of a failed tool's output that are shown; the last ones say most.
const LINES_SHOWN_MAX: usize = 200;

/// Why a tool did not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// It is not there. The environment's fault.
    #[error("{tool} is missing")]
    Missing {
        /// What was looked for.
        tool: &'static str,
        /// The commands that install it.
        install: String,
    },
    /// It cannot be started. The environment's fault.
    #[error("{} cannot be started", path.display())]
    NotStarted {
        /// Which program.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It refused the sources. The author's fault.
    #[error("{tool} failed:\n\n{output}")]
    Failed {
        /// Which tool.
        tool: &'static str,
        /// The end of what it said.
        output: String,
    },
}

impl ToolError {
    pub(super) fn help(&self) -> String {
        match self {
            Self::Missing { install, .. } => install.clone(),
            Self::NotStarted { .. } | Self::Failed { .. } => String::new(),
        }
    }

    pub(super) fn is_authors(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }
}

/// A program in one of `folders`, or else in `PATH`.
pub(super) fn find(program: &str, folders: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let searched = folders.into_iter().chain(env::split_paths(&path));
    let named = |folder: PathBuf| {
        // On Windows a program has one of these endings.
        let endings: &[&str] = if cfg!(windows) { &["exe", "cmd"] } else { &[""] };
        endings.iter().map(|ending| folder.join(program).with_extension(ending)).find(|path| path.is_file())
    };
    searched.filter_map(named).next()
}

/// Where a Python environment of the folder, or the active one, keeps its programs.
pub(super) fn python_folders(folder: &Path) -> Vec<PathBuf> {
    let programs = if cfg!(windows) { "Scripts" } else { "bin" };
    let active = env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    [Some(folder.join(".venv")), active].into_iter().flatten().map(|environment| environment.join(programs)).collect()
}

/// Runs a tool; returns what it wrote on standard output.
pub(super) fn run(tool: &'static str, command: &mut Command) -> Result<Vec<u8>, ToolError> {
    let output = command.output().map_err(|source| ToolError::NotStarted { path: command.get_program().into(), source })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.trim().is_empty() {
        said = String::from_utf8_lossy(&output.stdout).into_owned();
    }
    let lines: Vec<_> = said.trim_end().lines().collect();
    let shown = lines[lines.len().saturating_sub(LINES_SHOWN_MAX)..].join("\n");
    Err(ToolError::Failed { tool, output: if shown.is_empty() { output.status.to_string() } else { shown } })
}
