//! Opening a database file: permissions, the lock beside it, settings, migrations.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::error::StoreError;

#[allow(missing_docs, unreachable_pub, clippy::unwrap_used)]
mod embedded {
    refinery::embed_migrations!("../../migrations/sqlite");
}

/// Statements that a connection keeps prepared.
const STATEMENTS_CACHED_MAX: usize = 256;
/// How often a lock that is held by somebody else is tried again.
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// Newest schema version that this program knows.
#[must_use]
pub fn schema_version() -> u32 {
    embedded::migrations::runner().get_migrations().iter().map(|migration| version_of(i64::from(migration.version()))).max().unwrap_or(0)
}

fn version_of(version: i64) -> u32 {
    u32::try_from(version).unwrap_or(u32::MAX)
}

/// The lock file of a database: shared by everybody who has it open, exclusive for migrating and restoring.
///
/// It stands beside the database, because SQLite's own locks say nothing about a process that is between two transactions.
#[derive(Debug)]
pub(crate) struct FileLock(File);

impl FileLock {
    fn file(database: &Path) -> Result<File, StoreError> {
        let path = beside(database, ".lock");
        private_options().truncate(false).open(&path).map_err(|source| StoreError::file(&path, source))
    }

    fn acquire(database: &Path, patience: Duration, lock: fn(&File) -> Result<(), TryLockError>) -> Result<Self, StoreError> {
        let file = Self::file(database)?;
        let started = Instant::now();
        loop {
            match lock(&file) {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if started.elapsed() < patience => std::thread::sleep(LOCK_RETRY),
                Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { path: database.to_owned() }),
                Err(TryLockError::Error(source)) => return Err(StoreError::file(database, source)),
            }
        }
    }

    pub(crate) fn shared(database: &Path, patience: Duration) -> Result<Self, StoreError> {
        Self::acquire(database, patience, File::try_lock_shared)
    }

    pub(crate) fn exclusive(database: &Path, patience: Duration) -> Result<Self, StoreError> {
        Self::acquire(database, patience, File::try_lock)
    }

    /// Keeps the file open, and with it the lock, for as long as the value lives.
    pub(crate) fn is_held(&self) -> bool {
        self.0.metadata().is_ok()
    }
}

/// `database` with `suffix` added to its file name.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens for writing and creates with mode 0600: the database holds password hashes and sealed secrets.
fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes sure that a file is there; a new one gets mode 0600.
pub(crate) fn create_private(path: &Path) -> Result<File, StoreError> {
    private_options().truncate(false).open(path).map_err(|source| StoreError::file(path, source))
}

/// Brings the file to the newest schema, with nobody else in it, and returns the shared lock that its user must hold.
pub(crate) fn prepare(database: &Path, busy_timeout: Duration) -> Result<FileLock, StoreError> {
    drop(create_private(database)?);
    let shared = FileLock::shared(database, busy_timeout)?;
    let mut connection = write_connection(database, busy_timeout)?;
    if is_newest(stored_version(&connection)?)? {
        crate::reports::fill_dispositions(&connection)?;
        return Ok(shared);
    }
    drop(shared);
    let exclusive = FileLock::exclusive(database, busy_timeout)?;
    // Another process may have migrated it meanwhile.
    if !is_newest(stored_version(&connection)?)? {
        embedded::migrations::runner().run(&mut connection).map_err(|source| StoreError::Migration { source: Arc::new(source) })?;
    }
    crate::reports::fill_dispositions(&connection)?;
    drop(exclusive);
    FileLock::shared(database, busy_timeout)
}

fn is_newest(found: u32) -> Result<bool, StoreError> {
    let known = schema_version();
    if found > known { Err(StoreError::NewerSchema { found, known }) } else { Ok(found == known) }
}

/// Schema version of a file; 0 if it is empty.
pub(crate) fn stored_version(connection: &Connection) -> Result<u32, StoreError> {
    let exists: bool =
        connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'refinery_schema_history')", [], |row| row.get(0))?;
    if !exists {
        return Ok(0);
    }
    let version: Option<i64> = connection.query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0))?;
    Ok(version_of(version.unwrap_or(0)))
}

/// A connection that may write: WAL, every commit synced, foreign keys enforced.
pub(crate) fn write_connection(database: &Path, busy_timeout: Duration) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    settle(&connection, busy_timeout)?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;")?;
    Ok(connection)
}

/// A connection that cannot write.
pub(crate) fn read_connection(database: &Path, busy_timeout: Duration) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    settle(&connection, busy_timeout)?;
    connection.execute_batch("PRAGMA query_only = ON;")?;
    Ok(connection)
}

fn settle(connection: &Connection, busy_timeout: Duration) -> Result<(), StoreError> {
    connection.busy_timeout(busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
    connection
        .execute_batch("PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -65536;")?;
    Ok(())
}

/// Waits for a thread of the store, unless it is this very thread. Its panic was already printed, and its askers were told.
pub(crate) fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != std::thread::current().id() {
        drop(thread.join());
    }
}
