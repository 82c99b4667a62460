//! What goes wrong with the storage itself, kept apart from refusals of the domain. Always the environment's fault or our own.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::ErrorCode;

/// Why a command or a read gave no answer. Nothing of it was stored: the caller may try again or answer "unavailable".
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process held the write lock for longer than the busy timeout. Try again.
    #[error("the database is locked by another process")]
    Busy {
        /// What SQLite said.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// No room: the disk or the page limit of the database is exhausted. An operator must make room.
    #[error("the disk, or the database's page limit, is full")]
    Full {
        /// What SQLite said.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// The file system failed, or the file may not be read or written.
    #[error("the database file cannot be read or written")]
    Io {
        /// What SQLite said.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// A file beside or below the database cannot be used.
    #[error("{} cannot be used", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The file is damaged or is no database. Restore a backup.
    #[error("the database is damaged: {problem}")]
    Corrupt {
        /// Where the damage was met.
        problem: String,
    },
    /// A newer `ranked` wrote this database. Nothing was touched.
    #[error(
        "the database has schema {found}, this program knows up to {known}: use the newer ranked that wrote it, or restore a backup made \
         before the upgrade"
    )]
    NewerSchema {
        /// Schema version of the file.
        found: u32,
        /// Newest schema version of this program.
        known: u32,
    },
    /// A migration failed; the database has the schema it had before.
    #[error("a migration of the database failed")]
    Migration {
        /// What refinery said.
        #[source]
        source: Arc<refinery::Error>,
    },
    /// Another process has the database open and this needs it alone.
    #[error("{} is open in another process: stop it first", path.display())]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// More commands or reads wait than the store holds. The caller must slow down.
    #[error("more than {waiting_max} commands wait for the database")]
    Overloaded {
        /// The bound that was reached.
        waiting_max: usize,
    },
    /// The store was closed before it got to this.
    #[error("the store is closed")]
    Closed,
    /// The database refused a statement of ours: a bug of this program. The transaction was rolled back.
    #[error("a statement was refused")]
    Statement {
        /// What SQLite said.
        #[source]
        source: Arc<rusqlite::Error>,
    },
}

impl StoreError {
    pub(crate) fn corrupt(problem: impl Into<String>) -> Self {
        Self::Corrupt { problem: problem.into() }
    }

    pub(crate) fn file(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::File { path: path.to_owned(), source: Arc::new(source) }
    }

    /// Stable, kebab-case: log field and metrics label.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "busy",
            Self::Full { .. } => "full",
            Self::Io { .. } => "io",
            Self::File { .. } => "file",
            Self::Corrupt { .. } => "corrupt",
            Self::NewerSchema { .. } => "newer-schema",
            Self::Migration { .. } => "migration",
            Self::InUse { .. } => "in-use",
            Self::Overloaded { .. } => "overloaded",
            Self::Closed => "closed",
            Self::Statement { .. } => "statement",
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        let source = Arc::new(error);
        match code {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { source },
            Some(ErrorCode::DiskFull) => Self::Full { source },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::corrupt(source.to_string()),
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::OutOfMemory,
            ) => Self::Io { source },
            _ => Self::Statement { source },
        }
    }
}
