//! Installed components: files beside `plugins.toml`, each named by what its bytes hash to, so that a name never means two things.

use std::path::{Path, PathBuf};

use ladder::id::Digest;
use plugin_runtime::PluginSource;

use crate::keys::{SecretFileError, secret_file};
use crate::plugins;

/// The folder beside `plugins.toml`.
pub const FOLDER: &str = "plugins";

/// Why a component was not installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// The folder cannot be made, or the file cannot be read again.
    #[error("{} cannot be used", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// What was written is not what was to be written: the disk is failing, or somebody else writes there.
    #[error("{} was written and holds other bytes now", path.display())]
    Altered {
        /// Which.
        path: PathBuf,
    },
}

/// Where a component is installed, as `plugins.toml` writes it: counted from the folder of that file.
#[must_use]
pub fn path_of(component: Digest) -> String {
    format!("{FOLDER}/sha256-{component}.wasm")
}

/// Puts a component in its place below `folder` and reads it again. One that is there already is written anew: it may be damaged.
///
/// # Errors
/// [`InstallError`]: the environment's fault. Another process that reads meanwhile sees a whole file or none.
pub fn install(folder: &Path, source: &PluginSource) -> Result<PathBuf, InstallError> {
    let path = folder.join(path_of(source.digest()));
    let io = |source| InstallError::Io { path: path.clone(), source };
    std::fs::create_dir_all(folder.join(FOLDER)).map_err(io)?;
    secret_file::replace_public_bytes(&path, source.bytes())?;
    if plugins::read(&path).map_err(io)?.digest() != source.digest() {
        return Err(InstallError::Altered { path });
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_component_lies_under_its_digest_and_a_damaged_one_is_mended() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = PluginSource::new(b"\0asm component".to_vec());
        let path = install(folder.path(), &source).expect("a folder of our own");
        assert!(path.ends_with(path_of(source.digest())));
        assert_eq!(std::fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o644);
        std::fs::write(&path, b"bent").expect("the file");
        install(folder.path(), &source).expect("again");
        assert_eq!(std::fs::read(&path).expect("the file"), b"\0asm component");
    }
}
