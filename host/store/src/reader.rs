//! The threads that read, each with a connection that cannot write. A read sees one committed state from its first statement to its last.
//!
//! The host's own reads and those that strangers may ask for have a queue and threads each: whoever asks for pages all day delays only other
//! pages, never the look at revocations.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::error::StoreError;
use crate::pending::Pending;

/// Reads that may wait in one queue; one more is refused.
pub const READS_WAITING_MAX: usize = 8192;
/// Reader threads of each of the two queues.
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
        let read: Read = Box::new(move |connection| {
            // Nobody waits for it any more: a connection was closed, a request timed out.
            if !reply.is_closed() {
                drop(reply.send(in_snapshot(connection, body)));
            }
        });
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::pin::Pin;
    use std::sync::mpsc::{Sender, channel};
    use std::task::{Context, Poll, Waker};

    use ladder::id::{MatchId, QueueId, ReportId, ServerId};

    use super::READERS;
    use crate::{Options, Pending, Store, StoreError};

    /// Occupies every public reader until the sender is dropped.
    fn occupy(store: &Store) -> Vec<(Sender<()>, Pending<()>)> {
        let occupied = (0..READERS).map(|_| {
            let ((release, released), (started, running)) = (channel::<()>(), channel());
            let pending = store.read_public(move |_| {
                started.send(()).unwrap();
                assert!(released.recv().is_err());
                Ok(())
            });
            running.recv().unwrap();
            (release, pending)
        });
        occupied.collect()
    }

    #[test]
    fn public_reads_do_not_delay_the_hosts_own() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("ranked.db"), Options::default()).unwrap();
        let busy = occupy(&store);
        let mut pages = Vec::new();
        let refused = loop {
            // The queue is full when one is answered while all readers are occupied.
            match answered(store.leaderboard(QueueId(1), 0, 10)) {
                Ok(waiting) => pages.push(waiting),
                Err(answer) => break answer,
            }
        };
        assert!(matches!(refused, Err(StoreError::Overloaded { .. })));

        store.control_generation().wait().unwrap();
        assert_eq!(store.list_certificates().wait().unwrap(), []);
        assert_eq!(store.list_key_epochs().wait().unwrap(), []);
        assert_eq!(store.find_report(ReportId([1; 16])).wait().unwrap(), None);
        assert_eq!(store.find_match_for_report(MatchId(1)).wait().unwrap(), None);
        assert_eq!(store.server_record(ServerId([1; 16])).wait().unwrap().contests, 0);
        assert_eq!(store.load_active_matches().wait().unwrap(), []);
        drop(busy);
        for page in pages {
            assert_eq!(page.wait().unwrap(), []);
        }
    }

    #[test]
    fn a_read_whose_asker_has_gone_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("ranked.db"), Options::default()).unwrap();
        let busy = occupy(&store);
        let (ran, runs) = channel();
        let gone = store.read_public({
            let ran = ran.clone();
            move |_| {
                ran.send("gone").unwrap();
                Ok(())
            }
        });
        drop(gone);
        let stays = store.read_public(move |_| {
            ran.send("stays").unwrap();
            Ok(())
        });
        drop(busy);
        stays.wait().unwrap();
        drop(store);
        assert_eq!(runs.iter().collect::<Vec<_>>(), ["stays"]);
    }

    /// The answer if it is there already, else the pending read.
    fn answered<T>(mut pending: Pending<T>) -> Result<Pending<T>, Result<T, StoreError>> {
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(&mut pending).poll(&mut context) {
            Poll::Ready(answer) => Err(answer),
            Poll::Pending => Ok(pending),
        }
    }
}
