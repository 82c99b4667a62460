//! What was acknowledged is durable, and nothing is rated twice, however often the process is killed.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use ladder::id::ServerId;
use ladder::rating::RatingEngine;
use store::{Options, Store};
use tests::kill::{self, Stream};

const KILLS: u64 = 200;
const KILLS_WHILE_SWAPPING: u64 = 24;
const KILLS_WHILE_VOIDING: u64 = 24;
/// Kills between two looks at everything.
const KILLS_PER_AUDIT: u64 = 50;
/// How many imports the next life sends again, as an outbox does: more than the victim has in flight.
const SENT_AGAIN: u64 = 40;

/// Kills a process that accepts reports at 200 random points of its life, on one database. After every kill each acknowledgement that left
/// the process is looked up; every 50 kills, and at the end, the journal's chain, the report ids and the ratings (against a replay in
/// memory, bit for bit) as well.
#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_rated_twice() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("ranked.db");
    let engine: Arc<dyn RatingEngine> = Arc::new(kill::engine().unwrap());
    let mut dice = Dice(0x5eed);
    let mut acknowledged = BTreeMap::new();
    let mut next_import = 0;
    let mut mid_work = 0;
    for killed in 1..=KILLS {
        let acks = one_life(&database, next_import, &[], &mut dice);
        mid_work += u64::from(!acks.is_empty());
        let store = Store::open(&database, Options::default()).unwrap();
        for (stream, number, seq) in acks {
            if stream == Stream::Import {
                next_import = next_import.max((number + 1).saturating_sub(SENT_AGAIN));
            }
            let stored = store.find_report(kill::report_id(stream, number)).wait().unwrap();
            let stored = stored.unwrap_or_else(|| panic!("life {killed}: the acknowledged {stream:?} {number} is lost"));
            assert_eq!(stored.seq.0, seq, "{stream:?} {number}");
            let before = acknowledged.insert(kill::report_id(stream, number), seq);
            assert!(before.is_none_or(|before| before == seq), "{stream:?} {number} was accepted twice");
        }
        if killed % KILLS_PER_AUDIT == 0 {
            audit(&store, &engine, &acknowledged);
        }
    }
    assert!(mid_work > KILLS / 2, "only {mid_work} lives got as far as an acknowledgement");
    assert!(acknowledged.len() as u64 > KILLS, "only {} reports were acknowledged", acknowledged.len());
}

/// Kills a process that exchanges its rating engine all the time, beside the same load. After every kill one of the two engines is in force
/// and its ratings are what it alone makes of the journal; what was built of the other one is continued and ends as sound.
#[test]
fn a_kill_during_a_swap_leaves_one_engine_in_force_and_no_mixture() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("ranked.db");
    let engines: [Arc<dyn RatingEngine>; 2] = [Arc::new(kill::engine().unwrap()), Arc::new(kill::other_engine().unwrap())];
    let mut dice = Dice(0x5aab);
    let mut in_force = [0_u64; 2];
    for killed in 1..=KILLS_WHILE_SWAPPING {
        // Every import comes with a new number: what was not acknowledged is not looked for here.
        one_life(&database, killed * 1_000_000, &["swapping"], &mut dice);
        let store = Store::open(&database, Options::default()).unwrap();
        let queue = store.ensure_queue(kill::QUEUE).wait().unwrap();
        let Some(active) = store.active_engine(queue).wait().unwrap() else { continue };
        let index = engines.iter().position(|engine| engine.parameters() == active.parameters).unwrap();
        in_force[index] += 1;
        let comparison = store.compare_with_replay(queue, Arc::clone(&engines[index])).wait().unwrap().unwrap();
        assert!(comparison.is_equal(), "life {killed}: {comparison:?}");
    }
    assert!(in_force.iter().all(|lives| *lives > 0), "the kills met only one of the engines: {in_force:?}");
    let store = Store::open(&database, Options::default()).unwrap();
    let queue = store.ensure_queue(kill::QUEUE).wait().unwrap();
    for engine in &engines {
        store.install_engine(queue, Arc::clone(engine), |_| (), ladder::time::UnixMillis(1)).wait().unwrap().unwrap();
        while store.rate_waiting(queue, 256).wait().unwrap().unwrap().waits {}
        audit(&store, engine, &BTreeMap::new());
    }
}

/// Kills a process that voids reports and restores them all the time, beside the same load. After every kill the ratings in force are those of
/// one revision, the one before the last decision or the one after it, and what that revision's reports alone give. The next start finishes.
#[test]
fn a_kill_during_a_rollback_leaves_the_old_or_the_new_ratings_and_no_mixture() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("ranked.db");
    let engine: Arc<dyn RatingEngine> = Arc::new(kill::engine().unwrap());
    let mut dice = Dice(0x70d1);
    let (mut old, mut new) = (0, 0);
    for killed in 1..=KILLS_WHILE_VOIDING {
        one_life(&database, killed * 1_000_000, &["voiding"], &mut dice);
        let store = Store::open(&database, Options::default()).unwrap();
        let queue = store.ensure_queue(kill::QUEUE).wait().unwrap();
        let Some(active) = store.active_engine(queue).wait().unwrap() else { continue };
        *(if active.newest { &mut new } else { &mut old }) += 1;
        let comparison = store.compare_with_replay(queue, Arc::clone(&engine)).wait().unwrap().unwrap();
        assert!(comparison.is_equal(), "life {killed}: {comparison:?}");
    }
    assert!(old > 0 && new > 0, "the kills met only one side of the decisions: {old} before, {new} after");
    let store = Store::open(&database, Options::default()).unwrap();
    let queue = store.ensure_queue(kill::QUEUE).wait().unwrap();
    store.install_engine(queue, Arc::clone(&engine), |_| (), ladder::time::UnixMillis(1)).wait().unwrap().unwrap();
    while store.rate_waiting(queue, 256).wait().unwrap().unwrap().waits {}
    assert!(store.active_engine(queue).wait().unwrap().unwrap().newest);
    let verification = store::verify(store.path()).unwrap();
    assert!(verification.is_sound(), "{:?}", verification.problems);
    let comparison = store.compare_with_replay(queue, Arc::clone(&engine)).wait().unwrap().unwrap();
    assert!(comparison.is_equal(), "{comparison:?}");
    let statistics = store.statistics().wait().unwrap().queues.swap_remove(0);
    assert_eq!(comparison.reports, statistics.reports - statistics.reports_voided);
    let revisions = store.list_revisions().wait().unwrap();
    assert!(revisions.len() > 2 && revisions.iter().all(|revision| revision.in_force), "{revisions:?}");
}

fn audit(store: &Store, engine: &Arc<dyn RatingEngine>, acknowledged: &BTreeMap<ladder::id::ReportId, u64>) {
    let verification = store::verify(store.path()).unwrap();
    assert!(verification.is_sound(), "{:?}", verification.problems);
    assert!(verification.journal_entries >= acknowledged.len() as u64);
    let queue = store.ensure_queue(kill::QUEUE).wait().unwrap();
    let comparison = store.compare_with_replay(queue, Arc::clone(engine)).wait().unwrap().unwrap();
    assert!(comparison.is_equal(), "{comparison:?}");
    let waits = store.statistics().wait().unwrap().queues[0].reports_waiting;
    assert_eq!(comparison.reports + waits, verification.journal_entries);
}

type Ack = (Stream, u64, u64);

/// Starts the victim, kills it at a random point and returns what it acknowledged.
fn one_life(database: &Path, first_import: u64, more: &[&str], dice: &mut Dice) -> Vec<Ack> {
    let mut victim = Command::new(env!("CARGO_BIN_EXE_store_victim"))
        .arg(database)
        .arg(first_import.to_string())
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (lines, received) = channel();
    let stdout = BufReader::new(victim.stdout.take().unwrap());
    let reader = std::thread::spawn(move || stdout.lines().map_while(Result::ok).all(|line| lines.send(line).is_ok()));
    // One life in five ends at a random time, start-up included; the others at a random time after a random acknowledgement.
    let (acks_awaited, then) = match dice.below(5) {
        0 => (0, Duration::from_millis(dice.below(300))),
        _ => (1 + dice.below(60), Duration::from_micros(dice.below(8_000))),
    };
    let mut acks = Vec::new();
    while (acks.len() as u64) < acks_awaited
        && let Ok(line) = received.recv()
    {
        acks.push(parse(&line));
    }
    listen(&received, Instant::now() + then, &mut acks);
    victim.kill().unwrap();
    let ended = victim.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), None, "the victim ended by itself: {}", String::from_utf8_lossy(&ended.stderr));
    reader.join().unwrap();
    // What left the process before it died was acknowledged, even if nobody had read it yet.
    acks.extend(received.try_iter().map(|line| parse(&line)));
    acks
}

/// Takes lines until `end`.
fn listen(received: &Receiver<String>, end: Instant, acks: &mut Vec<Ack>) {
    loop {
        match received.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => acks.push(parse(&line)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn parse(line: &str) -> Ack {
    let words: Vec<&str> = line.split(' ').collect();
    let [stream, number, seq] = words[..] else { panic!("torn line {line:?}") };
    let stream = if stream == "import" { Stream::Import } else { Stream::Match(ServerId([7; 16])) };
    (stream, number.parse().unwrap(), seq.parse().unwrap())
}

/// SplitMix64: the same points every run, as far as the machine allows.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
