//! The one thread that writes, with group commit.
//!
//! ```text
//! commands --bounded queue--> BEGIN IMMEDIATE, one SAVEPOINT per command, COMMIT (one sync) --> all answers at once
//! ```
//!
//! While one batch is being synced the next one gathers, so that the number of commands per sync rises with the load by itself. An answer
//! leaves only after the commit that holds its command; when the commit fails, every command of the batch failed (decision 0007).

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::pending::Pending;

/// Commands that may wait for the writer; one more is refused.
pub const COMMANDS_WAITING_MAX: usize = 8192;
/// Commands that share one commit.
pub const COMMANDS_PER_COMMIT_MAX: usize = 256;

/// One commit, for metrics.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// Commands in the batch, refused ones included.
    pub commands: usize,
    /// From the first statement of the batch to the end of the sync.
    pub took: Duration,
    /// Whether it was committed.
    pub committed: bool,
}

/// Told of every commit, on the writer's thread: must be quick.
pub type CommitObserver = Arc<dyn Fn(Commit) + Send + Sync>;

/// The queue in front of the writer's thread.
pub(crate) struct Writer {
    queue: Option<SyncSender<Box<dyn Command>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread, which owns `connection` from now on.
    pub(crate) fn start(connection: Connection, observer: Option<CommitObserver>) -> std::io::Result<Self> {
        let (queue, commands) = sync_channel(COMMANDS_WAITING_MAX);
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || {
            while let Ok(first) = commands.recv() {
                let commit = run_batch(&connection, first, &commands);
                if let Some(observer) = &observer {
                    observer(commit);
                }
            }
        })?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Queues one command. It runs in a savepoint of its own: its `Err` undoes its statements and nothing else.
    pub(crate) fn submit<T, F>(&self, body: F) -> Pending<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let Some(queue) = &self.queue else { return Pending::refused(StoreError::Closed) };
        let (reply, pending) = Pending::coming();
        match queue.try_send(Box::new(Typed { body: Some(body), outcome: None, reply })) {
            Ok(()) => pending,
            Err(TrySendError::Full(_)) => Pending::refused(StoreError::Overloaded { waiting_max: COMMANDS_WAITING_MAX }),
            Err(TrySendError::Disconnected(_)) => Pending::refused(StoreError::Closed),
        }
    }
}

impl Drop for Writer {
    /// Runs what is queued, then ends the thread.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            crate::open::join(thread);
        }
    }
}

/// A command whose result type is hidden.
trait Command: Send {
    /// Runs the body in a savepoint and keeps the outcome to itself.
    fn run(&mut self, connection: &Connection);
    /// The error it ended with, if it did.
    fn error(&self) -> Option<StoreError>;
    /// Releases the outcome, or the failed commit instead.
    fn answer(self: Box<Self>, commit: Result<(), StoreError>);
}

struct Typed<T, F> {
    body: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Command for Typed<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) {
        self.outcome = self.body.take().map(|body| in_savepoint(connection, body));
    }

    fn error(&self) -> Option<StoreError> {
        self.outcome.as_ref().and_then(|outcome| outcome.as_ref().err().cloned())
    }

    fn answer(self: Box<Self>, commit: Result<(), StoreError>) {
        let outcome = commit.and(self.outcome.unwrap_or(Err(StoreError::Closed)));
        // The asker may have gone; what it asked for stands all the same.
        drop(self.reply.send(outcome));
    }
}

/// Runs `body` so that its error undoes exactly its own statements.
pub(crate) fn in_savepoint<T>(connection: &Connection, body: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
    connection.prepare_cached("SAVEPOINT command")?.execute([])?;
    let outcome = body(connection);
    if outcome.is_err() && !connection.is_autocommit() {
        connection.prepare_cached("ROLLBACK TO command")?.execute([])?;
    }
    // After an error SQLite may have rolled the whole batch back: then there is no savepoint to release.
    if !connection.is_autocommit() {
        connection.prepare_cached("RELEASE command")?.execute([])?;
    }
    outcome
}

fn run_batch(connection: &Connection, first: Box<dyn Command>, waiting: &Receiver<Box<dyn Command>>) -> Commit {
    let started = Instant::now();
    let mut batch = Vec::new();
    let result = fill_batch(connection, &mut batch, first, waiting).and_then(|()| commit(connection));
    if result.is_err() && !connection.is_autocommit() {
        // If even this fails, the next BEGIN says so to the next batch.
        drop(connection.execute_batch("ROLLBACK"));
    }
    let report = Commit { commands: batch.len(), took: started.elapsed(), committed: result.is_ok() };
    if let Err(error) = &result {
        tracing::warn!(code = error.code(), commands = batch.len(), %error, "a commit failed; nothing of it was acknowledged");
    }
    for command in batch {
        command.answer(result.clone());
    }
    report
}

/// Runs commands until none waits or the batch is full.
fn fill_batch(
    connection: &Connection,
    batch: &mut Vec<Box<dyn Command>>,
    first: Box<dyn Command>,
    waiting: &Receiver<Box<dyn Command>>,
) -> Result<(), StoreError> {
    batch.push(first);
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    loop {
        if let Some(command) = batch.last_mut() {
            command.run(connection);
            if connection.is_autocommit() {
                // SQLite gave the whole transaction up (disk full, I/O): those before it are gone too.
                return Err(command.error().unwrap_or_else(|| StoreError::corrupt("a transaction ended by itself")));
            }
        }
        if batch.len() == COMMANDS_PER_COMMIT_MAX {
            return Ok(());
        }
        match waiting.try_recv() {
            Ok(command) => batch.push(command),
            Err(_) => return Ok(()),
        }
    }
}

fn commit(connection: &Connection) -> Result<(), StoreError> {
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn table(connection: &Connection) -> u32 {
        connection.query_row("SELECT count(*) FROM child", [], |row| row.get(0)).unwrap()
    }

    fn writer() -> (tempfile::TempDir, Connection, Writer) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let open = || Connection::open(&path).unwrap();
        let connection = open();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON; CREATE TABLE parent (id INTEGER PRIMARY KEY);
                 CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);",
            )
            .unwrap();
        let writer = Writer::start(connection, None).unwrap();
        (folder, open(), writer)
    }

    /// Runs commands in one batch: the first waits until the others are queued.
    fn in_one_batch(writer: &Writer, statements: &[&'static str]) -> Vec<Result<(), StoreError>> {
        let (open, gate) = sync_channel::<()>(1);
        let first = writer.submit(move |_| {
            gate.recv().unwrap();
            Ok(())
        });
        let submit = |&sql| writer.submit(move |connection| Ok(connection.execute_batch(sql)?));
        let pending: Vec<_> = statements.iter().map(submit).collect();
        open.send(()).unwrap();
        let mut answers = vec![first.wait()];
        answers.extend(pending.into_iter().map(Pending::wait));
        answers
    }

    #[test]
    fn a_failed_commit_fails_every_command_of_its_batch() {
        let (_folder, reader, writer) = writer();
        let answers = in_one_batch(&writer, &["INSERT INTO child VALUES (NULL)", "INSERT INTO child VALUES (9)"]);
        assert!(answers.iter().all(Result::is_err), "{answers:?}");
        assert_eq!(table(&reader), 0);
        assert!(in_one_batch(&writer, &["INSERT INTO child VALUES (NULL)"]).iter().all(Result::is_ok));
        assert_eq!(table(&reader), 1);
    }

    #[test]
    fn a_failed_command_undoes_itself_and_nothing_else() {
        let (_folder, reader, writer) = writer();
        let answers = in_one_batch(
            &writer,
            &["INSERT INTO child VALUES (NULL)", "INSERT INTO child VALUES (NULL); SELECT nonsense", "INSERT INTO child VALUES (NULL)"],
        );
        assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true]);
        assert_eq!(table(&reader), 2);
    }

    #[test]
    fn what_does_not_fit_in_the_queue_is_refused() {
        let (_folder, _reader, writer) = writer();
        let (open, gate) = sync_channel::<()>(1);
        let first = writer.submit(move |_| {
            gate.recv().unwrap();
            Ok(())
        });
        let mut pending: Vec<_> = (0..=COMMANDS_WAITING_MAX + 1).map(|_| writer.submit(|_| Ok(()))).collect();
        let refused = pending.pop().unwrap().wait().unwrap_err();
        assert!(matches!(refused, StoreError::Overloaded { waiting_max: COMMANDS_WAITING_MAX }));
        open.send(()).unwrap();
        first.wait().unwrap();
        pending.swap_remove(0).wait().unwrap();
    }
}
