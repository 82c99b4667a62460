//! Backup and restore of the whole file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::error::StoreError;
use crate::verification::{Verification, verify};
use crate::{Store, open};

/// Pages (of 4 KiB) copied between two looks at the progress.
const PAGES_PER_STEP: i32 = 1024;
/// How long a backup waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How far a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupProgress {
    /// Pages copied.
    pub done: u32,
    /// Pages of the database.
    pub total: u32,
}

/// Why no backup was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackupRefusal {
    /// A file stands there already; it is not overwritten.
    #[error("{} exists", path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
}

/// Why nothing was restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreRefusal {
    /// The backup is damaged.
    #[error("the backup has {} problems", verification.problems.len())]
    Unsound {
        /// What is wrong with it.
        verification: Box<Verification>,
    },
    /// A process has the database open: stop it first.
    #[error("{} is in use", path.display())]
    InUse {
        /// The target.
        path: PathBuf,
    },
    /// What an earlier restore set aside is still there.
    #[error("{} is still there from an earlier restore: move it away first", path.display())]
    SetAsideExists {
        /// Where this restore would set the present database aside.
        path: PathBuf,
    },
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What was restored.
    pub verification: Verification,
    /// Where the database that stood there before is now.
    pub set_aside: Option<PathBuf>,
}

impl Store {
    /// Copies the database to a new file, while it is in use: the state at the start of the copy, whatever is written meanwhile. The file
    /// appears under its name when it is complete. Blocks; call it on a thread of its own.
    ///
    /// # Errors
    /// The storage failed; an incomplete copy is removed.
    pub fn backup(
        &self,
        to: impl AsRef<Path>,
        progress: impl FnMut(BackupProgress),
    ) -> Result<Result<Verification, BackupRefusal>, StoreError> {
        backup_to(self.path(), to, progress)
    }
}

/// [`Store::backup`] of a file that this process has not opened.
///
/// # Errors
/// The storage failed; an incomplete copy is removed.
pub fn backup_to(
    database: impl AsRef<Path>,
    to: impl AsRef<Path>,
    progress: impl FnMut(BackupProgress),
) -> Result<Result<Verification, BackupRefusal>, StoreError> {
    let (database, to) = (database.as_ref(), to.as_ref());
    if to.exists() {
        return Ok(Err(BackupRefusal::Exists { path: to.to_owned() }));
    }
    let partial = open::beside(to, ".partial");
    let copied = copy(database, &partial, progress).and_then(|()| {
        let verification = verify(&partial)?;
        publish(&partial, to)?;
        Ok(verification)
    });
    if copied.is_err() {
        remove_if_there(&partial)?;
    }
    copied.map(Ok)
}

/// Puts a backup in the place of a database that nobody has open. The database that stands there is set aside, never overwritten.
///
/// # Errors
/// The backup cannot be read, or the storage failed.
pub fn restore(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Result<Restored, RestoreRefusal>, StoreError> {
    let (from, to) = (from.as_ref(), to.as_ref());
    let verification = verify(from)?;
    if !verification.is_sound() {
        return Ok(Err(RestoreRefusal::Unsound { verification: Box::new(verification) }));
    }
    let lock = match open::FileLock::exclusive(to, Duration::ZERO) {
        Ok(lock) => lock,
        Err(StoreError::InUse { path }) => return Ok(Err(RestoreRefusal::InUse { path })),
        Err(error) => return Err(error),
    };
    let set_aside = to.exists().then(|| open::beside(to, ".replaced"));
    if let Some(path) = set_aside.as_ref().filter(|path| path.exists()) {
        return Ok(Err(RestoreRefusal::SetAsideExists { path: path.clone() }));
    }
    let partial = open::beside(to, ".partial");
    copy(from, &partial, |_| ())?;
    if let Some(aside) = &set_aside {
        // Closing the last connection folds the write-ahead log into the file, so that one file is the whole database.
        drop(open::write_connection(to, BUSY_TIMEOUT)?);
        rename(to, aside)?;
        for suffix in ["-wal", "-shm"] {
            remove_if_there(&open::beside(to, suffix))?;
        }
    }
    publish(&partial, to)?;
    drop(lock);
    Ok(Ok(Restored { verification, set_aside }))
}

/// Copies one consistent state into a new file with mode 0600.
fn copy(from: &Path, to: &Path, mut progress: impl FnMut(BackupProgress)) -> Result<(), StoreError> {
    remove_if_there(to)?;
    let source = open::read_connection(from, BUSY_TIMEOUT)?;
    // An open read transaction holds the state: otherwise every write of the running host would start the copy anew.
    source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;")?;
    drop(open::create_private(to)?);
    let mut target = Connection::open(to)?;
    {
        let backup = Backup::new(&source, &mut target)?;
        loop {
            let step = backup.step(PAGES_PER_STEP)?;
            let pages = backup.progress();
            let count = |pages: i32| u32::try_from(pages).unwrap_or(0);
            progress(BackupProgress { done: count(pages.pagecount - pages.remaining), total: count(pages.pagecount) });
            match step {
                StepResult::Done => break,
                StepResult::Busy | StepResult::Locked => std::thread::sleep(Duration::from_millis(20)),
                _ => {}
            }
        }
    }
    source.execute_batch("COMMIT")?;
    // One file without a write-ahead log beside it: easy to carry away whole.
    target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    drop(target);
    File::open(to).and_then(|file| file.sync_all()).map_err(|source| StoreError::file(to, source))
}

/// Gives a complete file its name, durably.
fn publish(partial: &Path, to: &Path) -> Result<(), StoreError> {
    rename(partial, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| StoreError::file(folder, source))
}

fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    std::fs::rename(from, to).map_err(|source| StoreError::file(from, source))
}

fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(StoreError::file(path, source)),
    }
}
