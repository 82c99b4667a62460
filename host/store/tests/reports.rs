//! Reports: accepted once, rated in journal order, equal to a replay.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ladder::id::{JournalSeq, MatchId, PlayerId};
use ladder::matches::MatchState;
use ladder::rating::RatingEngine;
use ladder::reason::{Reason, code};
use ladder::report::{AcceptedReport, Disposition, Provenance, ReportFacts, ReportRefusal, Source};
use store::{AcceptOptions, Accepted, InstallRefusal, RatingState, SkipRefusal, Unrated};
use world::{NOW, OTHER_SERVER, SERVER, Steps, World, imported, report, report_id};

fn refuse(world: &World, facts: ReportFacts) -> ReportRefusal {
    let report = AcceptedReport::from_journal(facts);
    world.store.accept_report(report, AcceptOptions::default(), NOW).wait().unwrap().unwrap_err()
}

/// Rates what waits, in as many steps as it takes: the journal entries that were rated, in this order.
fn rate_backlog(world: &World) -> Vec<u64> {
    let mut rated = Vec::new();
    loop {
        let step = world.store.rate_waiting(world.queue, 100).wait().unwrap().unwrap();
        assert_eq!(step.fault, None);
        assert!(!step.waits || !step.rated.is_empty(), "each step rates at least one");
        rated.extend(step.rated.iter().map(|(seq, ..)| seq.0));
        if !step.waits {
            return rated;
        }
    }
}

fn waits(accepted: &Accepted) -> bool {
    matches!(accepted.rating, RatingState::Waits(_))
}

#[test]
fn a_report_ends_its_match_and_moves_ratings_once() {
    let world = World::new(2);
    let [a, b] = world.players[..] else { unreachable!() };
    let match_id = world.live(a, b);
    let facts = ReportFacts { clamped: 1, reasons: vec![Reason::new(code::CLAMPED, "kills")], ..report(world.queue, match_id, 1, a, b) };
    let accepted = world.accept(facts.clone());
    assert_eq!((accepted.seq, accepted.repeated), (JournalSeq(1), false));
    let RatingState::Rated(changes) = &accepted.rating else { panic!("{accepted:?}") };
    assert!(changes[0].mean > changes[0].mean_before && changes[0].place == 0);
    assert_eq!(world.store.find_active_match(a).wait().unwrap(), None);

    let board = world.board();
    for _ in 0..2 {
        let again = world.accept(facts.clone());
        assert_eq!(again, Accepted { repeated: true, ..accepted.clone() });
    }
    assert_eq!(world.board(), board);
    let ack = world.store.find_report(facts.report_id).wait().unwrap().unwrap();
    assert_eq!((ack.match_id, ack.server, ack.clamped), (Some(match_id), Some(SERVER), 1));
    assert_eq!(world.store.find_report(report_id(2)).wait().unwrap(), None);
    let record = world.store.server_record(SERVER).wait().unwrap();
    assert_eq!((record.contests, record.clamped), (1, 1.0));

    let details = world.store.match_details(match_id).wait().unwrap().unwrap();
    assert_eq!((details.state, details.teams[1][0].change.as_ref().unwrap().player), (MatchState::Reported, b));
    assert_eq!(details.report.unwrap().facts, facts);
    let found = world.store.find_match_for_report(match_id).wait().unwrap().unwrap();
    assert_eq!((found.state, found.report_id), (MatchState::Reported, Some(facts.report_id)));
    world.assert_equals_replay();
}

#[test]
fn a_report_for_anything_but_ones_own_open_match_is_refused() {
    let world = World::new(6);
    let [a, b, c, d, e, f] = world.players[..] else { unreachable!() };
    let (live, pending, voided) = (world.live(a, b), world.open(c, d).match_id, world.live(e, f));
    world.store.void_match(voided, Reason::new(code::OPERATOR, ""), NOW).wait().unwrap().unwrap();
    let other_queue = world.store.ensure_queue("other").wait().unwrap();
    let good = report(world.queue, live, 1, a, b);
    let foreign = Provenance { source: Source::Server(OTHER_SERVER), ..good.provenance };
    for (name, facts, refusal) in [
        ("unknown", report(world.queue, MatchId(99), 1, a, b), "unknown-match"),
        ("no match", ReportFacts { match_id: None, ..good.clone() }, "unknown-match"),
        ("foreign", ReportFacts { provenance: foreign, ..good.clone() }, "foreign-match"),
        ("pending", report(world.queue, pending, 1, c, d), "wrong-state"),
        ("voided", report(world.queue, voided, 1, e, f), "wrong-state"),
        ("other queue", report(other_queue, live, 1, a, b), "malformed"),
        ("too long", ReportFacts { scores: vec![1.0; 200_000], ..good.clone() }, "malformed"),
    ] {
        assert_eq!(refuse(&world, facts).code(), refusal, "{name}");
    }
    assert_eq!(world.store.statistics().wait().unwrap().journal_entries, 0);
    world.accept(good.clone());
    assert_eq!(refuse(&world, ReportFacts { report_id: report_id(2), ..good.clone() }).code(), "already-reported");
    // Somebody else's report id, and one's own for another match.
    assert_eq!(refuse(&world, ReportFacts { provenance: foreign, ..good.clone() }).code(), "foreign-match");
    assert_eq!(refuse(&world, ReportFacts { match_id: Some(pending), ..good }).code(), "malformed");
}

#[test]
fn imported_history_is_predicted_before_it_is_rated() {
    let world = World::new(2);
    let [a, b] = world.players[..] else { unreachable!() };
    let predict = |number| {
        let report = AcceptedReport::from_journal(imported(world.queue, number, a, b));
        world.store.accept_report(report, AcceptOptions { predict: true }, NOW).wait().unwrap().unwrap()
    };
    assert_eq!(predict(1).predicted, Some(vec![0.5]));
    assert!(predict(2).predicted.unwrap()[0] > 0.5);
    let again = predict(2);
    assert!(again.repeated && again.predicted.is_none());
    let standing = &world.store.profile(a).wait().unwrap().unwrap().standings[0];
    assert_eq!((standing.row.rank, standing.row.wins, standing.row.losses, standing.row.draws), (1, 2, 0, 0));
    let history = world.store.history(b, world.queue, None, 10).wait().unwrap();
    assert_eq!(history.iter().map(|row| row.seq.0).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(history[0].mean_before.to_bits(), history[1].mean.to_bits());
    assert_eq!(world.store.history(b, world.queue, Some(JournalSeq(2)), 10).wait().unwrap(), history[1..]);
}

#[test]
fn a_leaderboard_is_paged_without_gaps() {
    let world = World::new(9);
    for (number, pair) in (1..).zip(world.players.windows(2)) {
        world.import(number, pair[0], pair[1]);
    }
    let all = world.store.leaderboard(world.queue, 0, 500).wait().unwrap();
    assert_eq!(all.len() as u64, world.store.leaderboard_len(world.queue).wait().unwrap());
    assert!(all.is_sorted_by(|first, second| (second.visible, first.player) <= (first.visible, second.player)));
    assert_eq!(all.iter().map(|row| row.rank).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
    let paged: Vec<_> = (0..5).flat_map(|page| world.store.leaderboard(world.queue, page * 2, 2).wait().unwrap()).collect();
    assert_eq!(paged, all);
    assert_eq!(world.store.leaderboard(world.queue, u64::MAX, 2).wait().unwrap(), []);
    for row in &all {
        assert_eq!(world.store.profile(row.player).wait().unwrap().unwrap().standings[0].row, *row);
    }
}

#[test]
fn held_and_rejected_reports_are_kept_and_not_rated() {
    let world = World::new(2);
    let [a, b] = world.players[..] else { unreachable!() };
    for (number, disposition) in [(1, Disposition::Held), (2, Disposition::Rejected)] {
        let accepted = world.accept(ReportFacts { disposition, ..imported(world.queue, number, a, b) });
        assert_eq!((accepted.rating, accepted.disposition), (RatingState::NotRatable, disposition));
    }
    assert_eq!(world.board(), []);
    assert!(!waits(&world.import(3, a, b)));
    world.assert_equals_replay();
}

/// An engine fault loses nothing: the report and all that follow wait, and are rated in journal order once the engine works.
#[test]
fn reports_wait_behind_a_fault_and_are_rated_in_order() {
    let (world, undisturbed) = (World::new(4), World::new(4));
    let players = world.players.clone();
    let pair = |number: u64| (players[number as usize % 4], players[(number as usize + 1) % 4]);
    world.engine.fault_on(3);
    for number in 1..=8 {
        let (first, second) = pair(number);
        let accepted = world.import(number, first, second);
        undisturbed.import(number, first, second);
        let expected = match number {
            1 | 2 => None,
            3 => Some(false),
            _ => Some(true),
        };
        let behind = match &accepted.rating {
            RatingState::Rated(_) => None,
            RatingState::Waits(Unrated::Fault(fault)) => Some(fault.code() != "trap"),
            RatingState::Waits(Unrated::BehindOthers) => Some(true),
            other => panic!("{other:?}"),
        };
        assert_eq!(behind, expected, "report {number}");
    }
    assert_eq!(world.store.statistics().wait().unwrap().queues[0].reports_waiting, 6);
    assert!(waits(&world.import(3, pair(3).0, pair(3).1)), "a repeated report says that it waits");
    let stuck = world.store.rate_waiting(world.queue, 100).wait().unwrap().unwrap();
    assert_eq!((stuck.rated.len(), stuck.waits, stuck.fault.map(|(seq, _)| seq)), (0, true, Some(JournalSeq(3))));

    world.engine.recover();
    let some = world.store.rate_waiting(world.queue, 1).wait().unwrap().unwrap();
    assert_eq!((some.rated.iter().map(|rated| rated.0.0).collect::<Vec<_>>(), some.waits), (vec![3], true));
    assert!(waits(&world.import(9, players[0], players[1])));
    undisturbed.import(9, players[0], players[1]);
    assert_eq!(rate_backlog(&world), [4, 5, 6, 7, 8, 9]);
    assert_eq!(world.board(), undisturbed.board());
    assert!(!waits(&world.import(10, players[0], players[1])));
    world.assert_equals_replay();
}

/// A slow engine holds the one writer for a few reports at a time, and each step still gets further.
#[test]
fn a_slow_engine_is_installed_in_short_steps() {
    let mut world = World::new(3);
    for number in 1..=20 {
        world.import(number, world.players[number as usize % 3], world.players[(number as usize + 1) % 3]);
    }
    let slow = Steps::new(9.0);
    *slow.takes.lock().unwrap() = Duration::from_millis(25);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let progress = Arc::clone(&seen);
    let install = world.store.install_engine(
        world.queue,
        Arc::clone(&slow) as Arc<dyn RatingEngine>,
        move |at| progress.lock().unwrap().push(at.through.0),
        NOW,
    );
    assert!(!install.wait().unwrap().unwrap().waits);
    assert_eq!(*seen.lock().unwrap(), (1..20).collect::<Vec<_>>(), "each step rates one report");
    *slow.takes.lock().unwrap() = Duration::ZERO;
    world.engine = slow;
    world.assert_equals_replay();
}

#[test]
fn an_operator_can_give_up_a_report_that_no_engine_rates() {
    let world = World::new(2);
    let [a, b] = world.players[..] else { unreachable!() };
    world.engine.fault_on(2);
    for number in 1..=3 {
        world.import(number, a, b);
    }
    let skip = |seq| world.store.skip_report(JournalSeq(seq), "absurd", NOW).wait().unwrap();
    let waiting = || {
        let queue = world.store.statistics().wait().unwrap().queues.swap_remove(0);
        (queue.reports, queue.reports_waiting, queue.first_waiting.map(|seq| seq.0))
    };
    assert_eq!(waiting(), (3, 2, Some(2)));
    assert_eq!(skip(1), Err(SkipRefusal::DoesNotWait { seq: JournalSeq(1) }));
    assert_eq!(skip(9), Err(SkipRefusal::NotAReport { seq: JournalSeq(9) }));
    assert_eq!(skip(2), Ok(JournalSeq(4)));
    assert_eq!(waiting(), (3, 1, Some(3)));
    assert_eq!(skip(2), Err(SkipRefusal::DoesNotWait { seq: JournalSeq(2) }));
    assert_eq!(skip(4), Err(SkipRefusal::NotAReport { seq: JournalSeq(4) }));
    let rated = world.store.rate_waiting(world.queue, 100).wait().unwrap().unwrap();
    assert_eq!((rated.rated.len(), rated.waits), (1, false));
    assert_eq!(world.accept(imported(world.queue, 2, a, b)).rating, RatingState::NotRatable);
    world.assert_equals_replay();
    assert!(store::verify(world.path()).unwrap().is_sound());
}

/// Swapping an engine, and going back, are projections of the same journal.
#[test]
fn a_swapped_engine_rates_everything_again_and_back_is_the_same_as_before() {
    let mut world = World::new(7);
    for number in 0..600 {
        let (first, second) = (world.players[number as usize % 7], world.players[(number as usize * 3 + 1) % 7]);
        if first != second {
            world.import(number, first, second);
        }
    }
    let before = world.board();
    let control = world.store.control_generation().wait().unwrap();
    let first_engine = Arc::clone(&world.engine);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (progress, other) = (Arc::clone(&seen), Steps::new(9.0));
    let install = world.store.install_engine(
        world.queue,
        Arc::clone(&other) as Arc<dyn RatingEngine>,
        move |at| progress.lock().unwrap().push(at),
        NOW,
    );
    let installed = install.wait().unwrap().unwrap();
    assert!(installed.rebuilt && !installed.waits);
    assert!(seen.lock().unwrap().iter().map(|at| at.through).is_sorted() && !seen.lock().unwrap().is_empty());
    assert!(world.store.control_generation().wait().unwrap() > control);
    assert_ne!(world.board(), before);
    world.engine = other;
    world.assert_equals_replay();
    assert!(!world.install(&world.engine).rebuilt);

    let (a, b) = (world.players[0], world.players[1]);
    assert!(!waits(&world.import(1000, a, b)));
    world.engine = first_engine;
    let back = world.install(&world.engine);
    assert!(back.rebuilt && back.generation < installed.generation);
    world.assert_equals_replay();
    assert_eq!(world.board().iter().map(|row| row.2).sum::<u32>(), before.iter().map(|row| row.2).sum::<u32>() + 2);
}

/// Six engines one after the other: the latest four keep their ratings, and the first is built again as it was.
#[test]
fn the_last_three_engines_can_be_gone_back_to_and_older_ones_leave_their_rows() {
    let mut world = World::new(5);
    for number in 0..300 {
        world.import(number, world.players[number as usize % 5], world.players[(number as usize + 1) % 5]);
    }
    let (before, first_engine) = (world.board(), Arc::clone(&world.engine));
    let mut generations = vec![world.install(&first_engine).generation];
    let engines: Vec<_> = (1..6).map(|step| Steps::new(f64::from(step) * 3.5)).collect();
    for engine in &engines {
        generations.push(world.install(engine).generation);
    }
    while world.store.forget_old_generations(world.queue).wait().unwrap() {}
    let connection = rusqlite::Connection::open(world.path()).unwrap();
    let rows = |table: &str, generation: ladder::id::GenerationId| -> u64 {
        let sql = format!("SELECT count(*) FROM {table} WHERE generation = ?1");
        connection.query_row(&sql, [generation.0.cast_signed()], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned()
    };
    for (age, generation) in generations.iter().rev().enumerate() {
        let kept = if age <= 3 { (600, 5) } else { (0, 0) };
        assert_eq!((rows("rating_changes", *generation), rows("ratings", *generation)), kept, "the engine {age} before the present one");
    }
    assert!(store::verify(world.path()).unwrap().is_sound());
    let back = world.install(&engines[3]);
    assert_eq!(back.generation, generations[4], "one of the last three is taken up where it was");
    world.engine = first_engine;
    let again = world.install(&world.engine);
    assert!(again.generation > *generations.last().unwrap(), "an older one is built anew");
    assert_eq!(world.board(), before);
    world.assert_equals_replay();
    assert_eq!(world.store.active_engine(world.queue).wait().unwrap().unwrap().generation, again.generation);
}

/// A slow build is overtaken: the engine that was asked for last is in force, and what was built of the other is not lost.
#[test]
fn a_newer_request_supersedes_an_engine_that_is_being_built() {
    let mut world = World::new(5);
    for number in 0..2_000 {
        world.import(number, world.players[number as usize % 5], world.players[(number as usize + 1) % 5]);
    }
    let (slow, newer) = (Steps::new(8.0), Steps::new(9.0));
    let (told, hears) = std::sync::mpsc::channel();
    let (goes_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let mut first_step = true;
    let progress = move |_| {
        if std::mem::take(&mut first_step) {
            told.send(()).unwrap();
            may_go_on.recv().unwrap();
        }
    };
    let overtaken = world.store.install_engine(world.queue, Arc::clone(&slow) as Arc<dyn RatingEngine>, progress, NOW);
    hears.recv().unwrap();
    let newer_installs = world.store.install_engine(world.queue, Arc::clone(&newer) as Arc<dyn RatingEngine>, |_| (), NOW);
    // The store knows of the newer request as soon as its first step is through.
    assert!(newer_installs.wait().unwrap().unwrap().rebuilt);
    goes_on.send(()).unwrap();
    assert_eq!(overtaken.wait().unwrap(), Err(store::InstallRefusal::Superseded));
    let (a, b) = (world.players[0], world.players[1]);
    assert!(!waits(&world.import(5_000, a, b)), "the newer engine rates");
    world.engine = newer;
    world.assert_equals_replay();
    world.engine = slow;
    assert!(world.install(&world.engine).rebuilt);
    world.assert_equals_replay();
}

#[test]
fn an_engine_that_cannot_rate_the_journal_is_not_installed() {
    let world = World::new(2);
    let [a, b] = world.players[..] else { unreachable!() };
    for number in 1..=3 {
        world.import(number, a, b);
    }
    let before = world.board();
    let broken = Steps::new(2.0);
    broken.fault_on(2);
    let refused = world.store.install_engine(world.queue, broken, |_| (), NOW).wait().unwrap();
    assert!(matches!(refused, Err(InstallRefusal::Replay { seq: JournalSeq(2), .. })), "{refused:?}");
    assert_eq!(world.board(), before);
    assert!(!waits(&world.import(4, a, b)), "the old engine is still in force");
    let nowhere = world.store.install_engine(ladder::id::QueueId(9), Steps::new(1.0), |_| (), NOW).wait().unwrap();
    assert!(matches!(nowhere, Err(InstallRefusal::UnknownQueue { .. })));
}

/// A queue without an engine takes reports; the first engine rates them, also when it is stuck on one of them.
#[test]
fn reports_before_the_first_engine_are_rated_by_it() {
    let mut world = World::new(2);
    let [a, b] = world.players[..] else { unreachable!() };
    world.queue = world.store.ensure_queue("new").wait().unwrap();
    for number in 1..=3 {
        assert!(matches!(world.import(number, a, b).rating, RatingState::Waits(Unrated::NoEngine)));
    }
    world.engine.fault_on(2);
    let installed = world.install(&world.engine);
    assert!(installed.rebuilt && installed.waits);
    world.engine.recover();
    assert_eq!(rate_backlog(&world), [2, 3]);
    world.assert_equals_replay();
}

/// The command line swapped the engine in its own process: this process must not rate with the old one.
#[test]
fn another_process_may_swap_the_engine() {
    let world = World::new(2);
    let [a, b] = world.players[..] else { unreachable!() };
    let (second, other) = (world.second(), Steps::new(9.0));
    second.install_engine(world.queue, Arc::clone(&other) as Arc<dyn RatingEngine>, |_| (), NOW).wait().unwrap().unwrap();
    assert!(matches!(world.import(1, a, b).rating, RatingState::Waits(Unrated::OtherEngine)));
    assert_eq!(world.store.rate_waiting(world.queue, 9).wait().unwrap(), Err(Unrated::OtherEngine));
    assert!(world.install(&other).waits);
    assert_eq!(world.store.rate_waiting(world.queue, 9).wait().unwrap().unwrap().rated.len(), 1);
}

/// Reports of two processes at once: one journal without gaps, one rating order.
#[test]
fn two_processes_write_one_journal() {
    let world = World::new(4);
    let second = world.second();
    second.install_engine(world.queue, Arc::clone(&world.engine) as Arc<dyn RatingEngine>, |_| (), NOW).wait().unwrap().unwrap();
    let accept = |store: &store::Store, from: u64, players: &[PlayerId]| {
        let report = |number| AcceptedReport::from_journal(imported(world.queue, number, players[0], players[1]));
        let pending: Vec<_> = (from..from + 100).map(|number| store.accept_report(report(number), AcceptOptions::default(), NOW)).collect();
        pending.into_iter().map(|pending| pending.wait().unwrap().unwrap()).filter(|accepted| !waits(accepted)).count()
    };
    let rated = std::thread::scope(|scope| {
        let other = scope.spawn(|| accept(&second, 1000, &world.players[1..3]));
        accept(&world.store, 1, &world.players[..2]) + other.join().unwrap()
    });
    assert_eq!(rated, 200);
    let verification = store::verify(world.path()).unwrap();
    assert!(verification.is_sound(), "{verification:?}");
    assert_eq!(verification.journal_entries, 200);
    world.assert_equals_replay();
}
