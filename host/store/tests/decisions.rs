//! What operators decide about reports: whatever is taken back was as if it had never been.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use std::sync::Arc;

use ladder::id::{JournalSeq, PlayerId, QueueId};
use ladder::rating::RatingEngine;
use ladder::report::{Disposition, ReportFacts};
use store::{
    Decision, NewRevision, RatingState, ReleaseRefusal, RestoreVoidRefusal, RevisionKind, ShadowStep, SkipRefusal, Unrated, VoidRefusal,
};
use world::{NOW, Steps, World, imported};

/// Standings as bits: what must be equal.
type Standings = Vec<(PlayerId, u64, u32)>;

fn decision() -> Decision {
    Decision::new("ann", "the game server was broken into").unwrap()
}

fn seqs(numbers: impl IntoIterator<Item = u64>) -> Vec<JournalSeq> {
    numbers.into_iter().map(JournalSeq).collect()
}

fn void(world: &World, numbers: &[u64]) -> Result<Vec<NewRevision>, VoidRefusal> {
    world.store.void_reports(seqs(numbers.iter().copied()), decision(), None, NOW).wait().unwrap()
}

fn restore(world: &World, revision: u64) -> Result<NewRevision, RestoreVoidRefusal> {
    world.store.restore_revision(world.queue, revision, decision(), NOW).wait().unwrap()
}

fn release(world: &World, number: u64) -> Result<JournalSeq, ReleaseRefusal> {
    world.store.release_report(JournalSeq(number), decision(), NOW).wait().unwrap()
}

fn facts(world: &World, number: u64) -> ReportFacts {
    let player = |offset: u64| world.players[((number * 7 + offset * 3) % 5) as usize];
    imported(world.queue, number, player(0), player(1))
}

/// Reports with these numbers, one after the other; the same number is the same report in every world.
fn play(world: &World, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        world.accept(facts(world, number));
    }
}

/// A world in which just these were reported.
fn undisturbed(numbers: impl IntoIterator<Item = u64>) -> Standings {
    let world = World::new(5);
    play(&world, numbers);
    world.board()
}

fn catch_up(world: &World) -> Vec<u64> {
    let mut rated = Vec::new();
    loop {
        let step = world.store.rate_waiting(world.queue, 100).wait().unwrap().unwrap();
        assert_eq!(step.fault, None);
        rated.extend(step.rated.iter().map(|(seq, ..)| seq.0));
        if !step.waits {
            return rated;
        }
    }
}

fn state(world: &World, number: u64) -> RatingState {
    world.accept(facts(world, number)).rating
}

/// Voided reports leave nothing behind, and their return leaves nothing of their absence.
#[test]
fn a_void_is_as_if_the_reports_had_never_been_and_its_restoration_as_if_it_had_never_been() {
    let world = World::new(5);
    play(&world, 1..=300);
    let before = world.board();
    let control = world.store.control_generation().wait().unwrap();
    let tainted: Vec<u64> = (50..=250).filter(|number| number % 3 == 0).collect();
    let made = void(&world, &tainted).unwrap();
    assert_eq!(
        made.iter().map(|made| (made.revision, made.entry.0, made.reports, made.in_force)).collect::<Vec<_>>(),
        [(1, 301, tainted.len() as u64, false)]
    );
    assert!(world.store.control_generation().wait().unwrap() > control, "a running host notices");
    assert_eq!(world.board(), before, "the old ratings serve until the new ones are built");
    assert!(!world.store.active_engine(world.queue).wait().unwrap().unwrap().newest);
    world.assert_equals_replay();

    assert!(world.install(&world.engine).rebuilt);
    assert_eq!(world.board(), undisturbed((1..=300).filter(|number| !tainted.contains(number))));
    assert!(world.store.active_engine(world.queue).wait().unwrap().unwrap().newest);
    assert!(!world.install(&world.engine).rebuilt, "nothing more to do");
    world.assert_equals_replay();

    assert_eq!(restore(&world, 1).unwrap().revision, 2);
    assert!(world.install(&world.engine).rebuilt);
    assert_eq!(world.board(), before);
    world.assert_equals_replay();
    let revisions = world.store.list_revisions().wait().unwrap();
    let shown: Vec<_> = revisions.iter().map(|it| (it.revision, it.kind, it.taken_back, it.still_voided, it.in_force)).collect();
    assert_eq!(shown, [(1, RevisionKind::Void, None, 0, true), (2, RevisionKind::Restore, Some(1), 0, true)]);
    assert_eq!((revisions[0].by.as_str(), revisions[0].why.as_str()), ("ann", "the game server was broken into"));
    assert!(store::verify(world.path()).unwrap().is_sound());
}

/// What is reported between the decision and the new ratings is rated by the old generation at once, and by the new one again.
#[test]
fn reports_between_a_void_and_its_ratings_are_rated_once_in_each() {
    let world = World::new(5);
    play(&world, 1..=40);
    void(&world, &[3, 30]).unwrap();
    for number in 41..=60 {
        assert!(matches!(world.accept(facts(&world, number)).rating, RatingState::Rated(_)), "{number}");
    }
    // One of them is voided before the first void is in force: the report with the number 55 stands behind that decision.
    void(&world, &[56]).unwrap();
    play(&world, 61..=70);
    world.install(&world.engine);
    play(&world, 71..=80);
    assert_eq!(world.board(), undisturbed((1..=80).filter(|number| ![3, 30, 55].contains(number))));
    world.assert_equals_replay();
}

/// A held report has its turn where it was released, in every generation, and one that was voided never has one.
#[test]
fn a_released_report_is_rated_where_its_release_stands() {
    let mut world = World::new(5);
    play(&world, 1..=5);
    for number in [6, 7, 8] {
        world.accept(ReportFacts { disposition: Disposition::Held, ..facts(&world, number) });
    }
    play(&world, 9..=12);
    let held = || world.store.statistics().wait().unwrap().queues[0].reports_held;
    assert_eq!(held(), 3);
    assert_eq!(release(&world, 7), Ok(JournalSeq(13)));
    assert_eq!(held(), 2);
    let queue = world.store.statistics().wait().unwrap().queues.swap_remove(0);
    assert_eq!((queue.reports_waiting, queue.first_waiting), (1, Some(JournalSeq(7))));
    assert!(matches!(state(&world, 7), RatingState::Waits(Unrated::BehindOthers)));
    assert!(matches!(world.accept(facts(&world, 13)).rating, RatingState::Waits(_)), "it waits behind the release");
    assert_eq!(catch_up(&world), [7, 14]);
    assert!(matches!(state(&world, 7), RatingState::Rated(changes) if changes.len() == 2));
    let expected = undisturbed((1..=5).chain(9..=12).chain([7, 13]));
    assert_eq!(world.board(), expected);
    world.assert_equals_replay();

    // Voided while held: nobody can release it any more, and nothing has to be built.
    assert!(void(&world, &[6]).unwrap()[0].in_force);
    assert_eq!(release(&world, 6), Err(ReleaseRefusal::Voided { seq: JournalSeq(6) }));
    assert!(!world.install(&world.engine).rebuilt);
    assert_eq!(held(), 1);
    // Another engine, and a void before it, find the same order.
    let other = Steps::new(9.0);
    world.install(&other);
    world.engine = Arc::clone(&other);
    world.assert_equals_replay();
    void(&world, &[2]).unwrap();
    world.engine = Steps::new(4.0);
    world.install(&world.engine);
    assert_eq!(world.board(), undisturbed([1, 3, 4, 5].into_iter().chain(9..=12).chain([7, 13])));
    // A released report can be voided as well.
    assert!(!void(&world, &[7]).unwrap()[0].in_force);
    world.install(&world.engine);
    assert_eq!(world.board(), undisturbed([1, 3, 4, 5].into_iter().chain(9..=13)));
    world.assert_equals_replay();
}

#[test]
fn decisions_that_make_no_sense_are_refused_and_change_nothing() {
    let world = World::new(5);
    play(&world, 1..=3);
    world.accept(ReportFacts { disposition: Disposition::Held, ..facts(&world, 4) });
    world.accept(ReportFacts { disposition: Disposition::Rejected, ..facts(&world, 5) });
    release(&world, 4).unwrap();
    catch_up(&world);
    void(&world, &[2]).unwrap();
    let entries = || world.store.statistics().wait().unwrap().journal_entries;
    let (before, seq) = (entries(), JournalSeq);
    assert_eq!(before, 7);
    for (name, refusal, expected) in [
        ("ratable", release(&world, 1), ReleaseRefusal::NotHeld { seq: seq(1) }),
        ("rejected", release(&world, 5), ReleaseRefusal::NotHeld { seq: seq(5) }),
        ("twice", release(&world, 4), ReleaseRefusal::AlreadyReleased { seq: seq(4), released_by: seq(6) }),
        ("no report", release(&world, 6), ReleaseRefusal::NotAReport { seq: seq(6) }),
    ] {
        assert_eq!(refusal, Err(expected), "{name}");
    }
    for (name, reports, expected) in [
        ("none", &[][..], VoidRefusal::Nothing),
        ("twice", &[1, 2], VoidRefusal::AlreadyVoided { seq: seq(2) }),
        ("rejected", &[1, 5], VoidRefusal::CountsForNothing { seq: seq(5) }),
        ("no report", &[1, 7], VoidRefusal::NotAReport { seq: seq(7) }),
        ("beyond", &[u64::MAX], VoidRefusal::NotAReport { seq: seq(u64::MAX) }),
    ] {
        assert_eq!(void(&world, reports), Err(expected), "{name}");
    }
    assert_eq!(restore(&world, 2), Err(RestoreVoidRefusal::NotAVoid { queue: world.queue, revision: 2 }));
    let one = |number| world.store.restore_reports(seqs([number]), decision(), NOW).wait().unwrap();
    assert_eq!(one(1), Err(RestoreVoidRefusal::NotVoided { seq: seq(1) }));
    assert_eq!(entries(), before);
    assert_eq!(one(2).unwrap()[0].revision, 2);
    assert_eq!(restore(&world, 1), Err(RestoreVoidRefusal::AlreadyTakenBack { queue: world.queue, revision: 1 }));
    assert_eq!(restore(&world, 2), Err(RestoreVoidRefusal::NotAVoid { queue: world.queue, revision: 2 }), "a restoration voids nothing");
    for (by, why) in [("", "x"), ("x", " \t "), ("x", "line\nbreak"), ("x", &"y".repeat(store::TEXT_BYTES_MAX + 1))] {
        assert!(Decision::new(by, why).is_err(), "{by} {why}");
    }
}

/// Everybody who asks hears what became of it, and an accepted report is acknowledged as it was.
#[test]
fn a_voided_report_says_so_and_one_that_returns_waits_for_its_ratings() {
    let world = World::new(5);
    play(&world, 1..=6);
    void(&world, &[4]).unwrap();
    let voided = RatingState::Voided { entry: JournalSeq(7), by: "ann".into(), why: "the game server was broken into".into() };
    assert_eq!(state(&world, 4), voided);
    world.install(&world.engine);
    assert_eq!(state(&world, 4), voided);
    assert!(matches!(state(&world, 5), RatingState::Rated(changes) if changes.len() == 2));
    assert_eq!(world.store.skip_report(JournalSeq(4), "no", NOW).wait().unwrap(), Err(SkipRefusal::DoesNotWait { seq: JournalSeq(4) }));
    restore(&world, 1).unwrap();
    assert_eq!(state(&world, 4), RatingState::Waits(Unrated::Restored));
    world.install(&world.engine);
    assert!(matches!(state(&world, 4), RatingState::Rated(changes) if changes.len() == 2));
    let queue = world.store.statistics().wait().unwrap().queues.swap_remove(0);
    assert_eq!((queue.reports_voided, queue.reports_waiting), (0, 0));
}

/// The report that an engine cannot rate is voided instead of skipped: what waits behind it is rated.
#[test]
fn a_void_ends_the_wait_behind_a_report_that_faults() {
    let world = World::new(5);
    world.engine.fault_on(3);
    play(&world, 1..=6);
    assert!(void(&world, &[3]).unwrap()[0].in_force, "nobody had rated it");
    assert_eq!(catch_up(&world), [4, 5, 6]);
    assert_eq!(world.board(), undisturbed([1, 2, 4, 5, 6]));
    world.assert_equals_replay();
}

/// Two operators in two processes decide about the same reports at the same time: each report is voided by one of them, once.
#[test]
fn of_two_who_void_the_same_reports_at_once_one_is_refused() {
    let world = World::new(5);
    play(&world, 1..=40);
    let second = world.second();
    for number in 1..=40 {
        let attempts = [&world.store, &second].map(|store| store.void_reports(seqs([number]), decision(), None, NOW));
        let answers = attempts.map(|attempt| attempt.wait().unwrap());
        let refused = Err(VoidRefusal::AlreadyVoided { seq: JournalSeq(number) });
        let refusals = answers.iter().filter(|answer| **answer == refused).count();
        assert_eq!((refusals, answers.iter().filter(|answer| answer.is_ok()).count()), (1, 1), "{answers:?}");
    }
    let revisions = world.store.list_revisions().wait().unwrap();
    assert_eq!(revisions.iter().map(|it| it.revision).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
    world.install(&world.engine);
    assert_eq!(world.board(), []);
    assert!(store::verify(world.path()).unwrap().is_sound());
}

/// One decision about two queues is a revision of each, and touches no third.
#[test]
fn a_void_across_queues_is_a_revision_of_each() {
    let mut world = World::new(5);
    play(&world, 1..=4);
    let (first, names) = (world.queue, ["second", "third"]);
    let others: Vec<QueueId> = names.iter().map(|name| world.store.ensure_queue(*name).wait().unwrap()).collect();
    for (offset, &queue) in others.iter().enumerate() {
        world.queue = queue;
        world.install(&world.engine);
        play(&world, (offset as u64 + 1) * 100..(offset as u64 + 1) * 100 + 4);
    }
    let made = void(&world, &[1, 2, 6]).unwrap();
    assert_eq!(made.iter().map(|made| (made.queue, made.revision, made.reports)).collect::<Vec<_>>(), [(first, 1, 2), (others[0], 1, 1)]);
    assert!(world.store.active_engine(others[1]).wait().unwrap().unwrap().newest);
    for queue in [first, others[0]] {
        world.queue = queue;
        assert!(world.install(&world.engine).rebuilt);
        world.assert_equals_replay();
    }
}

/// A decision about more reports than one entry may name takes several, and is one revision all the same.
#[test]
fn a_long_list_is_one_revision() {
    let world = World::new(5);
    play(&world, [1]);
    // Copies of the first report: only how many there are matters here, not that each has an id and a hash.
    let connection = rusqlite::Connection::open(world.path()).unwrap();
    let copies = "WITH RECURSIVE copies (seq) AS (VALUES (2) UNION ALL SELECT seq + 1 FROM copies WHERE seq < 60000)
                  INSERT INTO journal SELECT copies.seq, kind, recorded_at, queue, payload, hash FROM copies, journal WHERE journal.seq = 1";
    assert_eq!(connection.execute(copies, []).unwrap(), 59_999);
    let made = void(&world, &(2..=60_000).collect::<Vec<_>>()).unwrap();
    assert_eq!((made[0].revision, made[0].reports, made[0].entry), (1, 59_999, JournalSeq(60_001)));
    let statistics = world.store.statistics().wait().unwrap();
    assert_eq!((statistics.journal_entries, statistics.queues[0].reports_voided), (60_002, 59_999));
    world.install(&world.engine);
    assert_eq!(world.board(), undisturbed([1]));
    assert_eq!(restore(&world, 1).unwrap().reports, 59_999);
}

/// Shadows and engines that were in force before follow the revision, too: none comes into force with what was voided.
#[test]
fn no_other_generation_survives_a_void_with_its_reports() {
    let mut world = World::new(5);
    let (other, first) = (Steps::new(9.0), Arc::clone(&world.engine));
    play(&world, 1..=20);
    let mut shadow = world.store.shadow(world.queue, Arc::clone(&other) as Arc<dyn RatingEngine>).unwrap();
    while !matches!(shadow.advance(NOW).unwrap(), ShadowStep::CaughtUp(_)) {}
    void(&world, &[10]).unwrap();
    while !matches!(shadow.advance(NOW).unwrap(), ShadowStep::CaughtUp(_)) {}
    world.engine = Arc::clone(&other);
    world.install(&other);
    world.assert_equals_replay();
    world.engine = first;
    world.install(&world.engine);
    assert_eq!(world.board(), undisturbed((1..=20).filter(|&number| number != 10)));
    while world.store.forget_old_generations(world.queue).wait().unwrap() {}
    assert!(store::verify(world.path()).unwrap().is_sound());
}

/// A database of the version before: what was held then is known after the migration.
#[test]
fn an_older_database_learns_what_is_held() {
    let world = World::new(5);
    play(&world, 1..=3);
    world.accept(ReportFacts { disposition: Disposition::Held, ..facts(&world, 4) });
    let connection = rusqlite::Connection::open(world.path()).unwrap();
    assert_eq!(connection.execute("UPDATE reports SET disposition = NULL", []).unwrap(), 4);
    assert_eq!(world.store.statistics().wait().unwrap().queues[0].reports_held, 0);
    assert_eq!(world.second().statistics().wait().unwrap().queues[0].reports_held, 1);
}
