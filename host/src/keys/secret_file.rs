//! Files with secrets in them: mode 0600, never a symbolic link, never half written, never silently overwritten.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Longest key file that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 16_384;

/// Why a secret file cannot be used. The operator's fault, or the file system's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// It is not there.
    #[error("{} does not exist", path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// Others may read or write it.
    #[error("{} has mode {mode:03o}: others may read it", path.display())]
    TooOpen {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is a symbolic link, a folder or a device: what it stands for could be changed behind our back.
    #[error("{} is no ordinary file", path.display())]
    NotOrdinary {
        /// Which file.
        path: PathBuf,
    },
    /// It is too long to be a key file.
    #[error("{} has {len} bytes, at most {FILE_BYTES_MAX} are read", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// Its length.
        len: u64,
    },
    /// A file of this name is there already. It was not touched.
    #[error("{} exists and is not overwritten", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{} cannot be read or written", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl SecretFileError {
    fn io(path: &Path, source: std::io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            std::io::ErrorKind::NotFound => Self::Missing { path },
            std::io::ErrorKind::AlreadyExists => Self::Exists { path },
            _ => Self::Io { path, source },
        }
    }

    /// What the operator can do about it.
    #[must_use]
    pub fn fix(&self) -> String {
        match self {
            Self::Missing { path } => format!("run `ranked init`, or restore {} from a backup", path.display()),
            Self::TooOpen { path, .. } => format!("chmod 600 {}; if somebody else may have read it: ranked key nuke", path.display()),
            Self::NotOrdinary { path } | Self::TooLong { path, .. } => format!("put the key file itself at {}", path.display()),
            Self::Exists { path } => format!("move {} away first", path.display()),
            Self::Io { .. } => "check the folder's owner, its mode and the disk".to_owned(),
        }
    }
}

/// Reads a secret text.
///
/// # Errors
/// [`SecretFileError`]; a file that others may read is refused, because it may no longer be a secret.
pub fn read(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    let io = |source| SecretFileError::io(path, source);
    let named = std::fs::symlink_metadata(path).map_err(io)?;
    let mut file = File::open(path).map_err(io)?;
    let opened = file.metadata().map_err(io)?;
    // The opened file must be the named one: else the name was a symbolic link, or was exchanged in between.
    if !named.file_type().is_file() || (named.dev(), named.ino()) != (opened.dev(), opened.ino()) {
        return Err(SecretFileError::NotOrdinary { path: path.to_owned() });
    }
    let mode = opened.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretFileError::TooOpen { path: path.to_owned(), mode });
    }
    if opened.len() > FILE_BYTES_MAX {
        return Err(SecretFileError::TooLong { path: path.to_owned(), len: opened.len() });
    }
    // Reserved at once: a string that grows leaves copies of the secret behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(opened.len()).unwrap_or(0) + 1));
    file.read_to_string(&mut text).map_err(io)?;
    Ok(text)
}

/// Writes a new secret file; one that exists is left alone.
///
/// # Errors
/// [`SecretFileError::Exists`], and whatever the file system says. In every case there is no half-written file at `path`.
pub fn create(path: &Path, text: &str) -> Result<(), SecretFileError> {
    create_with_mode(path, text, 0o600)
}

/// Writes a new public file, in the same careful way.
///
/// # Errors
/// As [`create`].
pub fn create_public(path: &Path, text: &str) -> Result<(), SecretFileError> {
    create_with_mode(path, text, 0o644)
}

fn create_with_mode(path: &Path, text: &str, mode: u32) -> Result<(), SecretFileError> {
    let draft = write_draft(path, text.as_bytes(), mode)?;
    // A hard link fails if the name is taken, where a rename would overwrite.
    let linked = std::fs::hard_link(&draft, path).map_err(|source| SecretFileError::io(path, source));
    let removed = std::fs::remove_file(&draft).map_err(|source| SecretFileError::io(&draft, source));
    linked?;
    removed?;
    sync_folder(path)
}

/// Puts a new content in the place of an old one: whoever reads sees either, never a mixture.
///
/// # Errors
/// Whatever the file system says; the old content then still stands.
pub fn replace(path: &Path, text: &str) -> Result<(), SecretFileError> {
    replace_with_mode(path, text.as_bytes(), 0o600)
}

/// The same for a public file.
///
/// # Errors
/// As [`replace`].
pub fn replace_public(path: &Path, text: &str) -> Result<(), SecretFileError> {
    replace_with_mode(path, text.as_bytes(), 0o644)
}

/// The same for a public file that is no text.
///
/// # Errors
/// As [`replace`].
pub fn replace_public_bytes(path: &Path, bytes: &[u8]) -> Result<(), SecretFileError> {
    replace_with_mode(path, bytes, 0o644)
}

fn replace_with_mode(path: &Path, content: &[u8], mode: u32) -> Result<(), SecretFileError> {
    let draft = write_draft(path, content, mode)?;
    std::fs::rename(&draft, path).map_err(|source| SecretFileError::io(path, source))?;
    sync_folder(path)
}

/// Makes a folder that only its owner enters; one that exists is left as it is.
///
/// # Errors
/// Whatever the file system says.
pub fn create_folder(path: &Path) -> Result<(), SecretFileError> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| SecretFileError::io(path, source))
}

/// The whole content in a file of its own beside `path`, synced.
fn write_draft(path: &Path, content: &[u8], mode: u32) -> Result<PathBuf, SecretFileError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.draft", std::process::id()));
    let draft = PathBuf::from(name);
    // One that a killed process left behind would be in the way for good.
    match std::fs::remove_file(&draft) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => return Err(SecretFileError::io(&draft, source)),
        _ => {}
    }
    let io = |source| SecretFileError::io(&draft, source);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft).map_err(io)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(io)?;
    Ok(draft)
}

fn sync_folder(path: &Path) -> Result<(), SecretFileError> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| SecretFileError::io(folder, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("our own file");
    }

    #[test]
    fn a_secret_is_written_for_its_owner_alone_and_never_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.key");
        create(&path, "first").expect("a new file");
        assert_eq!(std::fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
        assert!(matches!(create(&path, "second"), Err(SecretFileError::Exists { .. })));
        assert_eq!(read(&path).expect("the file").as_str(), "first");
        replace(&path, "third").expect("the file");
        assert_eq!(read(&path).expect("the file").as_str(), "third");
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1, "no draft stays behind");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.key");
        create(&path, "secret").expect("a new file");
        for mode in [0o640, 0o604, 0o622, 0o777] {
            set_mode(&path, mode);
            assert!(matches!(read(&path), Err(SecretFileError::TooOpen { mode: got, .. }) if got == mode), "{mode:o}");
        }
        set_mode(&path, 0o400);
        assert!(read(&path).is_ok(), "stricter is fine");
    }

    #[test]
    fn a_symbolic_link_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("a.key"), folder.path().join("b.key"));
        create(&path, "secret").expect("a new file");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        assert!(matches!(read(&link), Err(SecretFileError::NotOrdinary { .. })));
        assert!(matches!(read(folder.path()), Err(SecretFileError::NotOrdinary { .. })));
        assert!(matches!(read(&folder.path().join("none")), Err(SecretFileError::Missing { .. })));
    }
}
