//! The file: group commit, no room, damage, newer schemas, backup and restore.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use std::future::Future as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ladder::time::UnixMillis;
use rusqlite::Connection;
use store::{BackupRefusal, Commit, Options, Pending, Problem, RestoreRefusal, Store, StoreError, restore, verify};
use world::{NOW, World};

fn open(path: impl AsRef<Path>) -> Result<Store, StoreError> {
    Store::open(path, Options { busy_timeout: Duration::from_millis(50), ..Options::default() })
}

fn is_there<T>(pending: &mut Pending<T>) -> bool {
    matches!(Pin::new(pending).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_))
}

/// Everything that waits while the disk (here: another process) is busy is stored by one commit, and nothing is answered before it.
#[test]
fn one_commit_serves_everybody_who_waits() {
    let world = World::new(0);
    let commits = Arc::new(Mutex::new(Vec::new()));
    let observer = Arc::clone(&commits);
    let options =
        Options { commit_observer: Some(Arc::new(move |commit: Commit| observer.lock().unwrap().push(commit))), ..Options::default() };
    let store = Store::open(world.path(), options).unwrap();
    let other = Connection::open(world.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut pending: Vec<_> = (0..100).map(|number| store.register_player(format!("p{number}"), "h", NOW)).collect();
    assert!(!pending.iter_mut().any(is_there));
    other.execute_batch("ROLLBACK").unwrap();
    for pending in pending {
        pending.wait().unwrap().unwrap();
    }
    drop(store);
    let commits = commits.lock().unwrap();
    assert!(commits.len() <= 2, "{} commits", commits.len());
    assert_eq!(commits.iter().map(|commit| commit.commands).sum::<usize>(), 100);
    assert!(commits.iter().all(|commit| commit.committed));
}

#[test]
fn a_lock_held_for_too_long_is_an_error_and_stores_nothing() {
    let world = World::new(0);
    let store = open(world.path()).unwrap();
    let other = Connection::open(world.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.register_player("late", "h", NOW).wait().unwrap_err();
    assert_eq!(error.code(), "busy");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.find_account("late").wait().unwrap(), None);
    store.register_player("late", "h", NOW).wait().unwrap().unwrap();
}

/// No room is an error with a name, never a false acknowledgement: what was acknowledged is there afterwards, the rest is not.
#[test]
fn a_full_disk_acknowledges_nothing() {
    let world = World::new(0);
    let pages: u32 = Connection::open(world.path()).unwrap().query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let store = Store::open(world.path(), Options { pages_max: Some(pages + 12), ..Options::default() }).unwrap();
    let long = "x".repeat(500);
    let pending: Vec<_> = (0..400).map(|number| (number, store.register_player(format!("{number}"), long.clone(), NOW))).collect();
    let mut full = 0;
    let mut acknowledged = Vec::new();
    for (number, pending) in pending {
        match pending.wait() {
            Ok(answer) => acknowledged.push((number, answer.unwrap())),
            Err(error) => {
                assert_eq!(error.code(), "full");
                full += 1;
            }
        }
    }
    assert!(full > 0, "the limit was reached");
    // Somebody may fit in again where a failed commit left pages; but not everybody.
    assert_eq!(store.register_player("another", "y".repeat(200_000), NOW).wait().unwrap_err().code(), "full");
    drop(store);
    assert!(verify(world.path()).unwrap().is_sound());
    for number in 0..400 {
        let stored = world.store.find_account(format!("{number}")).wait().unwrap().map(|account| account.player);
        let expected = acknowledged.iter().find(|(known, _)| *known == number).map(|(_, player)| *player);
        assert_eq!(stored, expected, "player {number}");
    }
}

#[test]
fn a_newer_database_is_refused_and_left_alone() {
    let world = World::new(1);
    let path = world.path();
    let World { store, folder, .. } = world;
    drop(store);
    let connection = Connection::open(&path).unwrap();
    let newer = store::schema_version() + 6;
    connection.execute("INSERT INTO refinery_schema_history VALUES (?1, 'future', '2030-01-01T00:00:00Z', '1')", [newer]).unwrap();
    drop(connection);
    for error in [open(&path).unwrap_err(), verify(&path).unwrap_err()] {
        assert!(matches!(error, StoreError::NewerSchema { found, known } if found == newer && known == store::schema_version()));
        assert!(error.to_string().contains("use the newer ranked"), "{error}");
    }
    drop(folder);
}

#[test]
fn what_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("noise.db");
    std::fs::write(&path, [7; 9000]).unwrap();
    assert_eq!(open(&path).unwrap_err().code(), "corrupt");
    assert_eq!(open(folder.path().join("nowhere/x.db")).unwrap_err().code(), "file");
    std::fs::write(&path, []).unwrap();
    assert_eq!(verify(&path).unwrap_err().code(), "corrupt");
}

#[cfg(unix)]
#[test]
fn a_new_database_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new(0);
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let path = format!("{}{suffix}", world.path().display());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{suffix}");
    }
}

/// The journal cannot be changed through SQL, and a change behind SQLite's back shows.
#[test]
fn a_changed_journal_entry_breaks_the_chain() {
    let world = World::new(2);
    for number in 1..=5 {
        world.import(number, world.players[0], world.players[1]);
    }
    let sound = verify(world.path()).unwrap();
    assert!(sound.is_sound());
    assert_eq!((sound.journal_entries, sound.journal_head.unwrap().seq.0, sound.players), (5, 5, 2));
    let connection = Connection::open(world.path()).unwrap();
    for sql in ["UPDATE journal SET recorded_at = 0 WHERE seq = 3", "DELETE FROM journal WHERE seq = 5"] {
        assert!(connection.execute(sql, []).unwrap_err().to_string().contains("append-only"), "{sql}");
    }
    connection.execute_batch("DROP TRIGGER journal_entries_never_change; UPDATE journal SET recorded_at = 0 WHERE seq = 3").unwrap();
    let problems = verify(world.path()).unwrap().problems;
    assert!(matches!(problems[..], [Problem::Journal { seq, .. }] if seq.0 == 3), "{problems:?}");
    connection.execute_batch("UPDATE ratings SET contests = 9 WHERE player = 1").unwrap();
    assert!(matches!(verify(world.path()).unwrap().problems[..], [_, Problem::Ratings { rows: 1, .. }]));
}

#[test]
fn a_backup_made_during_writes_is_whole_and_restores() {
    let world = World::new(2);
    let [a, b] = world.players[..] else { unreachable!() };
    for number in 1..=200 {
        world.import(number, a, b);
    }
    let target = world.folder.path().join("backup.db");
    let mut steps = 0;
    let mut number = 200;
    let made = world
        .store
        .backup(&target, |_| {
            steps += 1;
            number += 1;
            world.import(number, a, b);
        })
        .unwrap()
        .unwrap();
    assert!(steps > 0);
    assert_eq!((made.journal_entries, made.is_sound()), (200, true));
    let again = world.store.backup(&target, |_| ()).unwrap();
    assert_eq!(again, Err(BackupRefusal::Exists { path: target.clone() }));

    let path = world.path();
    assert_eq!(restore(&target, &path).unwrap(), Err(RestoreRefusal::InUse { path: path.clone() }));
    let World { store, folder, queue, engine, .. } = world;
    drop(store);
    let restored = restore(&target, &path).unwrap().unwrap();
    let aside = restored.set_aside.unwrap();
    assert_eq!(verify(&aside).unwrap().journal_entries, number);
    assert_eq!(restore(&target, &path).unwrap(), Err(RestoreRefusal::SetAsideExists { path: aside }));
    let store = open(&path).unwrap();
    assert_eq!(store.statistics().wait().unwrap().journal_entries, 200);
    assert!(store.compare_with_replay(queue, engine).wait().unwrap().unwrap().is_equal());

    let fresh = folder.path().join("fresh.db");
    assert_eq!(restore(&target, &fresh).unwrap().unwrap().set_aside, None);
    Connection::open(&target).unwrap().execute_batch("DELETE FROM reports WHERE seq = 1").unwrap();
    let unsound = restore(&target, folder.path().join("other.db")).unwrap();
    assert!(matches!(unsound, Err(RestoreRefusal::Unsound { .. })), "{unsound:?}");
}

#[test]
fn a_closed_store_has_stored_what_was_queued() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ranked.db");
    let store = open(&path).unwrap();
    let pending: Vec<_> = (0..50).map(|number| store.register_player(format!("p{number}"), "h", UnixMillis(1))).collect();
    drop(store);
    assert!(!folder.path().join("ranked.db-wal").exists(), "the file alone is the whole database");
    assert_eq!(verify(&path).unwrap().players, 50);
    for pending in pending {
        pending.wait().unwrap().unwrap();
    }
}
