//! Generations that are built in memory are what the live path makes of the same journal, whatever happens meanwhile.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ladder::bulk::{BulkRatingEngine, Cohort, Declined, Journal, Outcome};
use ladder::fault::PluginFault;
use ladder::id::{Digest, JournalSeq};
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting, Update};
use ladder::report::AcceptedReport;
use ladder::season::{SeasonReset, StandingRules};
use ladder::time::UnixMillis;
use store::{AcceptOptions, ChangesStep, InstallRefusal, NewSeason, REPORTS_BUILT_IN_MEMORY_MIN, RatingState, Store};
use world::{NOW, Steps, World, imported};

/// So many reports are certainly built in memory.
const REPORTS: u64 = REPORTS_BUILT_IN_MEMORY_MIN as u64 + 452;
const PLAYERS: usize = 40;

/// [`Steps`] with the bulk interface.
struct InColumns {
    steps: Arc<Steps>,
    /// Bulk calls after which the interface faults.
    faults_after: AtomicU32,
    calls: AtomicU32,
    /// Contests that `rate` was asked for beside the interface.
    alone: AtomicU32,
}

impl InColumns {
    fn new(step: f64) -> Arc<Self> {
        let (faults_after, calls, alone) = (AtomicU32::new(u32::MAX), AtomicU32::new(0), AtomicU32::new(0));
        Arc::new(Self { steps: Steps::new(step), faults_after, calls, alone })
    }
}

impl RatingEngine for InColumns {
    fn digest(&self) -> Digest {
        self.steps.digest()
    }

    fn parameters(&self) -> &str {
        self.steps.parameters()
    }

    fn initial(&self) -> Result<(Rating, f64), PluginFault> {
        self.steps.initial()
    }

    fn rate(&self, memory: &[u8], contest: &Contest) -> Result<Update, PluginFault> {
        self.alone.fetch_add(1, Ordering::Relaxed);
        self.steps.rate(memory, contest)
    }

    fn soften(&self, rating: &Rating, keep: f64) -> Result<(Rating, f64), PluginFault> {
        self.steps.soften(rating, keep)
    }

    fn predict(&self, memory: &[u8], line_up: &[Entrant], setting: &Setting) -> Result<Vec<f64>, PluginFault> {
        self.steps.predict(memory, line_up, setting)
    }

    fn bulk(&self) -> Option<&dyn BulkRatingEngine> {
        Some(self)
    }
}

impl BulkRatingEngine for InColumns {
    fn rate_many(&self, memory: &[u8], mut cohort: Cohort, journal: &Journal, traced: bool) -> Result<Outcome, PluginFault> {
        if self.calls.fetch_add(1, Ordering::Relaxed) >= self.faults_after.load(Ordering::Relaxed) {
            return Err(PluginFault::Trap { detail: "in columns".into() });
        }
        let mut outcome = Outcome { memory: memory.to_vec(), ..Outcome::default() };
        for contest in 0..journal.len() {
            let asked = journal.contest(contest, &cohort);
            let Ok(update) = self.steps.rate(&outcome.memory, &asked) else {
                outcome.declined.push(Declined { contest, detail: "out-of-range" });
                continue;
            };
            for (&player, rating) in journal.players(contest).iter().zip(&update.ratings) {
                let contests = cohort.played(player).0 + 1;
                cohort.set(player, (rating.mean, rating.uncertainty), contests, asked.setting.at_s, &rating.memory);
            }
            outcome.predicted.extend(self.steps.predict(&[], &asked.entrants, &asked.setting)?);
            if traced {
                outcome.trace.mean.extend(update.ratings.iter().map(|rating| rating.mean));
                outcome.trace.uncertainty.extend(update.ratings.iter().map(|rating| rating.uncertainty));
                outcome.trace.visible.extend(&update.visible);
            }
            outcome.memory = update.memory;
        }
        Ok(Outcome { cohort, ..outcome })
    }

    fn predict_many(&self, _: &[u8], _: &Cohort, line_ups: &Journal) -> Result<Vec<f64>, PluginFault> {
        Ok(vec![0.5; line_ups.len()])
    }

    fn visible_many(&self, cohort: &Cohort) -> Result<Vec<f64>, PluginFault> {
        Ok(cohort.means().iter().zip(cohort.uncertainties()).map(|(mean, uncertainty)| mean - 3.0 * uncertainty).collect())
    }
}

/// A queue whose reports came in while `engine` was in force; some of them are not to be rated.
fn played(engine: &Arc<Steps>) -> World {
    let mut world = World::new(PLAYERS);
    world.engine = Arc::clone(engine);
    world.install(engine);
    play(&world, 1..=REPORTS);
    world
}

fn play(world: &World, numbers: std::ops::RangeInclusive<u64>) {
    let facts = |number: u64| {
        let (first, second) = (number as usize % PLAYERS, (number as usize * 7 + 3) % PLAYERS);
        let second = if first == second { (second + 1) % PLAYERS } else { second };
        let mut facts = imported(world.queue, number, world.players[first], world.players[second]);
        facts.provenance.at.0 -= 3 * (number as i64 % 5);
        if number.is_multiple_of(97) {
            facts.disposition = ladder::report::Disposition::Held;
        }
        if number.is_multiple_of(11) {
            facts.places = vec![0, 0];
        }
        facts
    };
    let accept = |number| world.store.accept_report(AcceptedReport::from_journal(facts(number)), AcceptOptions::default(), NOW);
    let pending: Vec<_> = numbers.map(accept).collect();
    pending.into_iter().for_each(|pending| drop(pending.wait().unwrap().unwrap()));
}

fn install(store: &Store, world: &World, engine: &Arc<impl RatingEngine + 'static>) -> Result<store::Installed, InstallRefusal> {
    store.install_engine(world.queue, Arc::clone(engine) as Arc<dyn RatingEngine>, |_| (), NOW).wait().unwrap()
}

/// Every row of three tables for the generation in force.
fn rows(world: &World) -> (Vec<String>, Vec<String>, Vec<String>) {
    let connection = rusqlite::Connection::open(world.path()).unwrap();
    let read = |columns: &str, table: &str| {
        let sql = format!(
            "SELECT {columns} FROM {table} t JOIN generations g USING (generation) WHERE g.queue = ?1 AND g.state = 2 ORDER BY 1, 2"
        );
        let mut statement = connection.prepare(&sql).unwrap();
        let width = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| Ok((0..width).map(|at| format!("{:?} ", row.get_ref(at).unwrap())).collect::<String>());
        statement.query_map([world.queue.0.cast_signed()], row).unwrap().collect::<Result<Vec<_>, _>>().unwrap()
    };
    let ratings = read("player, mean, uncertainty, visible, contests, wins, losses, draws, last_at_s, memory", "ratings");
    let changes = read(
        "player, seq, match_id, at_s, place, mean_before, uncertainty_before, visible_before, mean, uncertainty, visible, expected",
        "rating_changes",
    );
    (ratings, changes, read("seq, surprise, predicted", "predictions"))
}

/// Writes the changes that are missing; in how many steps.
fn write_changes(world: &World) -> u32 {
    let mut backfill = world.store.changes_backfill(world.queue);
    let mut steps = 0;
    loop {
        steps += 1;
        match backfill.advance().unwrap() {
            ChangesStep::Advanced(_) => {}
            ChangesStep::Complete => return steps,
            ChangesStep::Stuck => panic!("the engine is there"),
        }
    }
}

#[test]
fn what_is_built_in_columns_is_what_was_rated_live_change_by_change() {
    let world = played(&Steps::new(4.0));
    let engine = InColumns::new(9.0);
    let installed = install(&world.store, &world, &engine).unwrap();
    assert!(installed.rebuilt && !installed.waits);
    assert_eq!(engine.alone.load(Ordering::Relaxed), 0, "everything went through the bulk interface");
    assert_same_as_live(world);
}

#[test]
fn what_is_built_contest_by_contest_is_what_was_rated_live_change_by_change() {
    let world = played(&Steps::new(4.0));
    install(&world.store, &world, &Steps::new(9.0)).unwrap();
    assert_same_as_live(world);
}

/// A world whose generation of `Steps(9)` was built in memory, beside one that was rated live.
fn assert_same_as_live(mut world: World) {
    let live = played(&Steps::new(9.0));
    world.engine = Steps::new(9.0);
    world.assert_equals_replay();
    assert_eq!(rows(&world).0, rows(&live).0);
    let progress = world.store.changes_progress(world.queue).wait().unwrap().unwrap();
    assert_eq!((progress.through, progress.head), (JournalSeq(0), JournalSeq(REPORTS)));
    assert!(store::verify(world.path()).unwrap().is_sound(), "changes that are still to be written are no damage");

    // Reports that come in meanwhile are rated live, with their changes.
    for world in [&world, &live] {
        play(world, REPORTS + 1..=REPORTS + 5);
    }
    let mut backfill = world.store.changes_backfill(world.queue);
    for _ in 0..3 {
        assert!(matches!(backfill.advance().unwrap(), ChangesStep::Advanced(_)));
    }
    // The process dies: another one goes on where this one was.
    drop(backfill);
    let steps = write_changes(&world);
    assert!(u64::from(steps) <= REPORTS / store::CHANGES_REPORTS_PER_STEP as u64 + 3, "{steps} steps");
    assert_eq!(world.store.changes_progress(world.queue).wait().unwrap(), None);
    assert_eq!(rows(&world), rows(&live));
    assert!(store::verify(world.path()).unwrap().is_sound());
}

/// The engine declines one contest in the middle: the generation ends exactly before it, in every way of building.
#[test]
fn a_contest_that_the_engine_declines_ends_the_build_exactly_before_it() {
    let world = played(&Steps::new(4.0));
    let before = world.board();
    let engine = InColumns::new(9.0);
    engine.steps.fault_on(1_500);
    let refused = install(&world.store, &world, &engine);
    assert!(matches!(refused, Err(InstallRefusal::Replay { seq: JournalSeq(1_500), .. })), "{refused:?}");
    assert_eq!(world.board(), before, "the old engine is in force");
    engine.steps.recover();
    assert!(install(&world.store, &world, &engine).unwrap().rebuilt);
    let world = World { engine: Steps::new(9.0), ..world };
    world.assert_equals_replay();
}

/// A queue that never had an engine takes one that is stuck: what it rates is shown, the rest waits and is rated in order.
#[test]
fn a_first_engine_that_is_stuck_rates_what_comes_before() {
    let mut world = World::new(PLAYERS);
    world.queue = world.store.ensure_queue("new").wait().unwrap();
    play(&world, 1..=REPORTS);
    let engine = InColumns::new(4.0);
    engine.steps.fault_on(2_200);
    let installed = install(&world.store, &world, &engine).unwrap();
    assert!(installed.rebuilt && installed.waits);
    let statistics = world.store.statistics().wait().unwrap().queues;
    let queue = statistics.iter().find(|queue| queue.queue == world.queue).unwrap();
    assert_eq!(queue.first_waiting, Some(JournalSeq(2_200)));
    engine.steps.recover();
    while world.store.rate_waiting(world.queue, 256).wait().unwrap().unwrap().waits {}
    write_changes(&world);
    world.assert_equals_replay();
    assert!(store::verify(world.path()).unwrap().is_sound());
}

/// The interface faults after its first call: nothing that it said is kept, and the engine is asked contest by contest.
#[test]
fn a_bulk_interface_that_faults_is_done_without() {
    let mut world = played(&Steps::new(4.0));
    let engine = InColumns::new(9.0);
    engine.faults_after.store(0, Ordering::Relaxed);
    assert!(install(&world.store, &world, &engine).unwrap().rebuilt);
    let rated = REPORTS - REPORTS / 97;
    assert_eq!(u64::from(engine.alone.load(Ordering::Relaxed)), rated);
    world.engine = Steps::new(9.0);
    world.assert_equals_replay();
}

/// It rated everything once and faults when the changes are written: they are written contest by contest.
#[test]
fn changes_are_written_without_a_bulk_interface_that_faults() {
    let world = played(&Steps::new(4.0));
    let engine = InColumns::new(9.0);
    assert!(install(&world.store, &world, &engine).unwrap().rebuilt);
    // The next call still goes through: what was begun in columns is begun again.
    engine.faults_after.store(engine.calls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    write_changes(&world);
    assert_eq!(rows(&world), rows(&played(&Steps::new(9.0))));
    assert!(store::verify(world.path()).unwrap().is_sound());
}

/// The engine does not rate any more what it rated before: it is asked once, not again and again.
#[test]
fn changes_that_the_engine_does_not_give_again_are_asked_for_once() {
    let world = played(&Steps::new(4.0));
    let engine = InColumns::new(9.0);
    assert!(install(&world.store, &world, &engine).unwrap().rebuilt);
    engine.steps.fault_on(5);
    let mut backfill = world.store.changes_backfill(world.queue);
    assert_eq!(backfill.advance().unwrap(), ChangesStep::Stuck);
    let calls = engine.calls.load(Ordering::Relaxed);
    assert_eq!(backfill.advance().unwrap(), ChangesStep::Stuck);
    assert_eq!(engine.calls.load(Ordering::Relaxed), calls);
}

/// Another process is at it: this one waits, and does the work itself once the lease is over.
#[test]
fn a_generation_that_another_process_builds_is_waited_for() {
    let mut world = played(&Steps::new(4.0));
    let engine = InColumns::new(9.0);
    let connection = rusqlite::Connection::open(world.path()).unwrap();
    let lease = NOW.0 + 700;
    connection
        .execute(
            "INSERT INTO generations (queue, engine_digest, parameters, state, rated_through, initial_mean, initial_uncertainty,
                                      initial_visible, created_at, lease_until) VALUES (?1, ?2, ?3, 4, 0, 25.0, 8.0, 1.0, 1, ?4)",
            rusqlite::params![world.queue.0.cast_signed(), engine.digest().0, engine.parameters(), lease.cast_signed()],
        )
        .unwrap();
    let began = std::time::Instant::now();
    assert!(install(&world.store, &world, &engine).unwrap().rebuilt);
    assert!(began.elapsed().as_millis() >= 700, "the lease was honoured");
    world.engine = Steps::new(9.0);
    world.assert_equals_replay();
    // Rows of the process that died are forgotten with the others.
    while world.store.forget_old_generations(world.queue).wait().unwrap() {}
    let leased: i64 = connection.query_row("SELECT count(*) FROM generations WHERE lease_until IS NOT NULL", [], |row| row.get(0)).unwrap();
    assert_eq!(leased, 0);
}

/// Both build, because a lease of a clock that runs ahead binds nobody: the first that is done is taken.
#[test]
fn two_processes_that_build_the_same_mix_nothing() {
    let mut world = played(&Steps::new(4.0));
    let second = world.second();
    let engines = [InColumns::new(9.0), InColumns::new(9.0)];
    // Their clocks are so far apart that neither honours the other's lease.
    let install_at = |store: &Store, engine: &Arc<InColumns>, now: UnixMillis| {
        store.install_engine(world.queue, Arc::clone(engine) as Arc<dyn RatingEngine>, |_| (), now)
    };
    let (first, other) = (install_at(&world.store, &engines[0], NOW), install_at(&second, &engines[1], UnixMillis(NOW.0 + 3_600_000)));
    let (first, other) = (first.wait().unwrap().unwrap(), other.wait().unwrap().unwrap());
    assert_eq!(first.generation, other.generation);
    world.engine = Steps::new(9.0);
    world.assert_equals_replay();
    write_changes(&world);
    assert!(store::verify(world.path()).unwrap().is_sound());
}

/// Ratings in force are what the journal gives; a number that was changed behind the host's back is found, with its player and its report.
#[test]
fn a_check_names_the_player_the_field_and_the_first_report_that_differ() {
    let world = played(&Steps::new(9.0));
    let engine: Arc<dyn RatingEngine> = InColumns::new(9.0);
    let check = || world.store.check_ratings(world.queue, &engine, |_| ()).unwrap().unwrap();
    let sound = check();
    assert!(sound.differences.is_empty() && sound.first_report.is_none(), "{sound:?}");
    assert_eq!((sound.differences.players, sound.reports), (PLAYERS as u64, REPORTS - REPORTS / 97));

    let connection = rusqlite::Connection::open(world.path()).unwrap();
    let player = world.players[5];
    let change = |sql: &str| assert!(connection.execute(sql, [player.0.cast_signed()]).unwrap() > 0);
    change("UPDATE ratings SET wins = wins + 1 WHERE player = ?1");
    let found = check();
    assert_eq!((found.differences.differing, found.differences.listed[0].player, found.differences.listed[0].field), (1, player, "wins"));
    assert_eq!(found.first_report, None, "no report did that");
    change("UPDATE ratings SET mean = mean + 1e-12 WHERE player = ?1");
    change("UPDATE rating_changes SET mean = mean + 1e-12 WHERE player = ?1 AND seq > 1000");
    let found = check();
    assert_eq!(found.differences.listed[0].field, "mean");
    let (seq, difference) = found.first_report.unwrap();
    assert!(seq.0 > 1_000 && seq.0 < 1_100 && difference.player == player, "{seq} {difference:?}");
    let other: Arc<dyn RatingEngine> = Steps::new(4.0);
    let refused = world.store.check_ratings(world.queue, &other, |_| ()).unwrap();
    assert_eq!(refused, Err(store::CheckRefusal::OtherEngine));
}

/// Whoever asks for a report that was built in memory is told that it is rated; what it changed comes when it is written.
#[test]
fn a_rated_report_whose_changes_are_not_written_yet_is_rated() {
    let world = played(&Steps::new(4.0));
    install(&world.store, &world, &InColumns::new(9.0)).unwrap();
    let again = world.import(5, world.players[5], world.players[38]);
    assert!(again.repeated);
    assert_eq!(again.rating, RatingState::Rated(Vec::new()));
    write_changes(&world);
    let RatingState::Rated(changes) = world.import(5, world.players[5], world.players[38]).rating else { panic!("it is rated") };
    assert_eq!(changes.len(), 2);
}

/// Ratings that somebody changed behind the host's back are built again, and the difference is told; reports go on being rated meanwhile.
#[test]
fn a_replay_puts_right_what_was_changed_and_says_what_it_was() {
    let mut world = played(&Steps::new(9.0));
    let engine = InColumns::new(9.0);
    let replay = |world: &World, engine: &Arc<InColumns>| {
        world.store.replay_ledger(world.queue, Arc::clone(engine) as Arc<dyn RatingEngine>, |_| (), NOW).unwrap().unwrap()
    };
    let before = rows(&world);
    let same = replay(&world, &engine);
    assert!(same.differences.is_empty() && same.differences.players == PLAYERS as u64, "{:?}", same.differences);
    assert_eq!(rows(&world).0, before.0);
    world.assert_equals_replay();

    let connection = rusqlite::Connection::open(world.path()).unwrap();
    let player = world.players[7];
    connection.execute("UPDATE ratings SET mean = mean + 5 WHERE player = ?1", [player.0.cast_signed()]).unwrap();
    let put_right = replay(&world, &engine);
    assert_eq!((put_right.differences.differing, put_right.differences.listed[0].player), (1, player));
    assert_eq!(put_right.before.unwrap().generation, same.installed.generation);
    assert_eq!(rows(&world).0, before.0);
    assert!(!matches!(world.import(90_000, world.players[1], world.players[2]).rating, RatingState::Waits(_)));
    write_changes(&world);
    assert!(store::verify(world.path()).unwrap().is_sound());
    while world.store.forget_old_generations(world.queue).wait().unwrap() {}
    let kept: i64 = connection.query_row("SELECT count(DISTINCT generation) FROM ratings", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 1, "rows of what was replaced are forgotten");

    // Another engine: the ratings of both are compared, and the first can be gone back to.
    let other = InColumns::new(11.0);
    let swapped = replay(&world, &other);
    assert!(swapped.differences.differing > 0 && swapped.installed.rebuilt);
    assert_eq!(swapped.before.unwrap().parameters, engine.parameters());
    world.engine = Steps::new(11.0);
    world.assert_equals_replay();
    assert!(install(&world.store, &world, &engine).unwrap().rebuilt);
}

/// A queue that waits at a report may be replayed: it waits there afterwards.
#[test]
fn a_replay_of_a_queue_that_waits_waits_at_the_same_report() {
    let mut world = World::new(PLAYERS);
    let engine = InColumns::new(9.0);
    engine.steps.fault_on(30);
    install(&world.store, &world, &engine).unwrap();
    play(&world, 1..=50);
    let replayed = world.store.replay_ledger(world.queue, Arc::clone(&engine) as Arc<dyn RatingEngine>, |_| (), NOW).unwrap().unwrap();
    assert!(replayed.installed.waits && replayed.differences.is_empty(), "{replayed:?}");
    assert_eq!(world.store.statistics().wait().unwrap().queues[0].first_waiting, Some(JournalSeq(30)));
    engine.steps.recover();
    while world.store.rate_waiting(world.queue, 256).wait().unwrap().unwrap().waits {}
    world.engine = Steps::new(9.0);
    world.assert_equals_replay();
}

/// A soft and a hard reset in the middle of the journal: standings, archives and changes are those of the live path.
#[test]
fn seasons_are_reset_in_memory_as_they_were_live() {
    let in_seasons = |engine: &Arc<Steps>| {
        let mut world = World::new(PLAYERS);
        world.engine = Arc::clone(engine);
        world.install(engine);
        play(&world, 1..=1_100);
        start_season(&world, "first", SeasonReset::Soft { keep: 0.7 });
        play(&world, 1_101..=1_800);
        start_season(&world, "second", SeasonReset::Hard);
        play(&world, 1_801..=REPORTS);
        world
    };
    let (mut world, live) = (in_seasons(&Steps::new(4.0)), in_seasons(&Steps::new(9.0)));
    install(&world.store, &world, &InColumns::new(9.0)).unwrap();
    world.engine = Steps::new(9.0);
    world.assert_equals_replay();
    write_changes(&world);
    assert_eq!(rows(&world), rows(&live));
    for season in 0..2 {
        let archived = |world: &World| world.store.season_standings(world.queue, season, 0, 500).wait().unwrap();
        assert!(!archived(&world).is_empty());
        assert_eq!(archived(&world), archived(&live), "season {season}");
    }
    assert!(store::verify(world.path()).unwrap().is_sound());
    let engine: Arc<dyn RatingEngine> = InColumns::new(9.0);
    let check = world.store.check_ratings(world.queue, &engine, |_| ()).unwrap().unwrap();
    assert!(check.differences.is_empty(), "{check:?}");
}

fn start_season(world: &World, name: &str, reset: SeasonReset) {
    let new = NewSeason { name: name.into(), reset, starts_at: NOW, ended: StandingRules::default(), by: "host".into() };
    world.store.start_season(world.queue, new, NOW).wait().unwrap().unwrap();
    while world.store.rate_waiting(world.queue, 256).wait().unwrap().unwrap().waits {}
}

/// A shadow far behind rates in memory, and its engine takes over with what it rated.
#[test]
fn a_shadow_far_behind_is_built_in_memory() {
    let mut world = played(&Steps::new(4.0));
    let engine = InColumns::new(9.0);
    let mut shadow = world.store.shadow(world.queue, Arc::clone(&engine) as Arc<dyn RatingEngine>).unwrap();
    while !matches!(shadow.advance(NOW).unwrap(), store::ShadowStep::CaughtUp(_)) {}
    assert_eq!(engine.alone.load(Ordering::Relaxed), 0, "everything went through the bulk interface");
    assert!(install(&world.store, &world, &engine).unwrap().rebuilt);
    assert!(engine.calls.load(Ordering::Relaxed) <= 2, "nothing was rated again");
    world.engine = Steps::new(9.0);
    world.assert_equals_replay();
    write_changes(&world);
    assert_eq!(rows(&world), rows(&played(&Steps::new(9.0))));
}
