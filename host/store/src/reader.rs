//! The threads that read, each with a connection that cannot write. A read sees one committed state from its first statement to its last.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::error::StoreError;
use crate::pending::Pending;

/// Reads that may wait for a reader; one more is refused.
pub const READS_WAITING_MAX: usize = 8192;
/// Reader threads.
pub const READERS: usize = 2;

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// The queue in front of the readers.
pub(crate) struct Readers {
    queue: Option<SyncSender<Read>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Starts one thread per connection.
    pub(crate) fn start(connections: Vec<Connection>) -> std::io::Result<Self> {
        let (queue, reads) = sync_channel::<Read>(READS_WAITING_MAX);
        let reads = Arc::new(Mutex::new(reads));
        let spawn = |connection| {
            let reads = Arc::clone(&reads);
            std::thread::Builder::new().name("store-reader".into()).spawn(move || {
                while let Some(read) = next(&reads) {
                    read(&connection);
                }
            })
        };
        let threads = connections.into_iter().map(spawn).collect::<Result<_, _>>()?;
        Ok(Self { queue: Some(queue), threads })
    }

    /// Queues one read.
    pub(crate) fn submit<T, F>(&self, body: F) -> Pending<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let Some(queue) = &self.queue else { return Pending::refused(StoreError::Closed) };
        let (reply, pending) = Pending::coming();
        let read: Read = Box::new(move |connection| drop(reply.send(in_snapshot(connection, body))));
        match queue.try_send(read) {
            Ok(()) => pending,
            Err(TrySendError::Full(_)) => Pending::refused(StoreError::Overloaded { waiting_max: READS_WAITING_MAX }),
            Err(TrySendError::Disconnected(_)) => Pending::refused(StoreError::Closed),
        }
    }
}

/// Waits for a read; `None` when the store is closing. The lock is held while waiting: another idle reader waits for the lock instead.
fn next(reads: &Mutex<Receiver<Read>>) -> Option<Read> {
    reads.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Runs `body` in a read transaction.
pub(crate) fn in_snapshot<T>(connection: &Connection, body: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let outcome = body(connection);
    if !connection.is_autocommit() {
        connection.prepare_cached("COMMIT")?.execute([])?;
    }
    outcome
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            crate::open::join(thread);
        }
    }
}
