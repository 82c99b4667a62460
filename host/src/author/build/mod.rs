//! `ranked plugin build`: from an author's sources to a component.
//!
//! The language's own tools are run, and nothing of them is hidden: what they need is named with the command that installs it, and
//! what they say is shown when they fail. Rust and C end as core modules, which are wrapped here; JavaScript's and Python's tools
//! write components themselves.

mod c;
mod rust;
mod script;
mod tool;

use std::io;
use std::path::{Path, PathBuf};

use ladder::id::Digest;
use plugin_runtime::PluginSource;
use wit_component::ComponentEncoder;

use super::project::{Language, Project, ProjectError};
use tool::ToolError;

/// A component, built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Where it lies.
    pub component: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// Its digest, as `plugins.toml` pins it.
    pub digest: Digest,
}

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The folder is no plugin's. The author's fault.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A tool is missing, or said no.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The contract in `wit/` cannot be read. The author's fault: the folder is not to be changed.
    #[error("{} is not the plugin contract", path.display())]
    Contract {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: anyhow::Error,
    },
    /// The module does not fit the contract. The author's fault.
    #[error("the compiled module cannot be made a component")]
    Wrap(#[source] anyhow::Error),
    /// The tool was content and left no component.
    #[error("{tool} ended well, but there is no {}", path.display())]
    NothingBuilt {
        /// Which tool.
        tool: &'static str,
        /// What was expected.
        path: PathBuf,
    },
    /// The environment's fault.
    #[error("{} cannot be read or written", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl BuildError {
    /// What to do about it; may be empty.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Project(ProjectError::Unreadable { .. }) => {
                "name a folder that `ranked plugin new` made, as in `ranked plugin build my-engine`".to_owned()
            }
            Self::Tool(error) => error.help(),
            Self::Contract { .. } => "`ranked plugin new` makes a fresh folder with the contract in wit/: copy it from there".to_owned(),
            Self::Wrap(_) => "export what the role needs (see wit/ranked.wit), and import nothing but ranked:plugin/log".to_owned(),
            Self::Project(_) | Self::NothingBuilt { .. } | Self::File { .. } => String::new(),
        }
    }

    /// Whether author or sources are to blame, and not the machine.
    #[must_use]
    pub fn is_authors(&self) -> bool {
        match self {
            Self::Tool(error) => error.is_authors(),
            Self::Contract { .. } | Self::Wrap(_) | Self::Project(_) => true,
            Self::NothingBuilt { .. } | Self::File { .. } => false,
        }
    }
}

/// Builds the plugin of a folder. `progress` is told which tool runs.
///
/// # Errors
/// See [`BuildError`]; whatever component was there before is still there, unless a tool wrote over it.
pub fn build(folder: &Path, progress: &dyn Fn(&str)) -> Result<Built, BuildError> {
    let folder = std::path::absolute(folder).map_err(|source| BuildError::File { path: folder.to_owned(), source })?;
    let project = Project::read(&folder)?;
    match project.language {
        Language::Rust => wrap(&rust::module(&project, progress)?, &project)?,
        Language::C => wrap(&c::module(&project, progress)?, &project)?,
        Language::JavaScript => script::javascript(&project, progress)?,
        Language::Python => script::python(&project, progress)?,
    }
    let bytes = read(&project.component)?;
    let source = PluginSource::new(bytes);
    Ok(Built { bytes: source.bytes().len(), digest: source.digest(), component: project.component })
}

/// Makes a core module a component. The contract's part that it was compiled for stands in it already.
fn wrap(module: &Path, project: &Project) -> Result<(), BuildError> {
    let bytes = read(module)?;
    let encoded = ComponentEncoder::default().validate(true).module(&bytes).and_then(|encoder| encoder.encode());
    write(&project.component, &encoded.map_err(BuildError::Wrap)?)
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    std::fs::read(path).map_err(|source| BuildError::File { path: path.to_owned(), source })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, bytes));
    made.map_err(|source| BuildError::File { path: path.to_owned(), source })
}
