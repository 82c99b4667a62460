//! Seasons: resets at one place of the journal, the same live, in a new generation, in a shadow and in a replay; and what is shown in between.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ladder::id::{Digest, PlayerId};
use ladder::rating::{Rating, RatingEngine};
use ladder::season::{Decay, SeasonReset, StandingRules};
use ladder::time::{UnixMillis, UnixSeconds};
use store::{ArchivedStanding, LeaderboardRow, NewSeason, RatingState, Season, SeasonRefusal, ShadowStep, Store, Unrated, verify};
use world::{NOW, Steps, World, imported};

const SOFT: SeasonReset = SeasonReset::Soft { keep: 0.6 };

fn season(name: &str, reset: SeasonReset) -> NewSeason {
    NewSeason { name: name.into(), reset, starts_at: UnixMillis(5), ended: StandingRules::default(), by: "a test".into() }
}

fn start(world: &World, new: NewSeason) -> Season {
    world.store.start_season(world.queue, new, NOW).wait().unwrap().unwrap()
}

/// Rates and resets until nothing waits; how many steps that took.
fn settle(store: &Store, world: &World) -> u32 {
    for steps in 1..1_000 {
        let step = store.rate_waiting(world.queue, 256).wait().unwrap().unwrap();
        assert_eq!(step.fault, None);
        if !step.waits {
            return steps;
        }
    }
    panic!("it never ends")
}

/// Reports `numbers`, between players who meet in turn.
fn play(world: &World, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let at = usize::try_from(number).unwrap() % (world.players.len() - 1);
        world.import(number, world.players[at], world.players[at + 1]);
    }
}

/// Visible ratings and counts of everybody in the store, by player; also of those who have not played in the season.
fn standings(world: &World) -> BTreeMap<PlayerId, LeaderboardRow> {
    let rows = world.players.iter().filter_map(|&player| {
        let profile = world.store.profile(player).wait().unwrap().unwrap();
        profile.standings.into_iter().next().map(|standing| (player, standing.row))
    });
    rows.collect()
}

fn archive(world: &World, number: u32) -> Vec<ArchivedStanding> {
    world.store.season_standings(world.queue, number, 0, 500).wait().unwrap()
}

/// An engine that computes the same as the world's and is another one.
fn twin(world: &World) -> Arc<Steps> {
    let mut twin = Arc::try_unwrap(Steps::new(world.engine.step)).ok().unwrap();
    twin.digest = Digest([9; 32]);
    Arc::new(twin)
}

#[test]
fn a_soft_reset_is_what_the_engine_softens_and_the_season_counts_anew() {
    let world = World::new(6);
    play(&world, 0..20);
    let before = standings(&world);
    let started = start(&world, season("one", SOFT));
    assert_eq!((started.number, started.seq.0, started.started_at), (1, 21, NOW));
    settle(&world.store, &world);
    let after = standings(&world);
    assert_eq!(after.len(), before.len());
    for (player, row) in &after {
        let was = &before[player];
        let rating = Rating { mean: was.mean, uncertainty: was.uncertainty, memory: vec![] };
        let (softened, visible) = world.engine.soften(&rating, 0.6).unwrap();
        let bits = |numbers: [f64; 3]| numbers.map(f64::to_bits);
        assert_eq!(bits([row.mean, row.uncertainty, row.visible]), bits([softened.mean, softened.uncertainty, visible]));
        assert_eq!((row.contests, row.wins, row.losses, row.draws), (was.contests, 0, 0, 0), "engines see the contests of all seasons");
    }
    world.assert_equals_replay();
    play(&world, 20..40);
    world.assert_equals_replay();
    let found = world.store.list_seasons(world.queue).wait().unwrap();
    assert_eq!(found, [started]);
}

#[test]
fn a_hard_reset_begins_as_with_nobody() {
    let world = World::new(6);
    play(&world, 0..20);
    start(&world, season("one", SeasonReset::Hard));
    settle(&world.store, &world);
    assert_eq!(standings(&world), BTreeMap::new());
    let accepted = world.import(20, world.players[0], world.players[1]);
    let RatingState::Rated(changes) = accepted.rating else { panic!("{accepted:?}") };
    assert_eq!((changes[0].mean_before, changes[0].uncertainty_before), (25.0, 8.0));
    assert_eq!(standings(&world)[&world.players[0]].contests, 1);
    assert!(verify(world.path()).unwrap().is_sound());
    world.assert_equals_replay();
}

#[test]
fn an_uncertainty_reset_keeps_what_was_expected() {
    let world = World::new(6);
    play(&world, 0..20);
    let before = standings(&world);
    start(&world, season("one", SeasonReset::Uncertainty { keep: 0.5 }));
    settle(&world.store, &world);
    for (player, row) in standings(&world) {
        let was = &before[&player];
        assert_eq!(row.mean.to_bits(), was.mean.to_bits());
        assert_eq!(row.uncertainty.to_bits(), (8.0 + 0.5 * (was.uncertainty - 8.0)).to_bits());
        assert_eq!(row.visible.to_bits(), (row.mean - 3.0 * row.uncertainty).to_bits());
    }
    world.assert_equals_replay();
}

#[test]
fn a_report_after_the_start_waits_until_everybody_is_reset() {
    let world = World::new(4);
    play(&world, 0..9);
    start(&world, season("one", SeasonReset::Hard));
    let accepted = world.import(9, world.players[0], world.players[1]);
    assert_eq!(accepted.rating, RatingState::Waits(Unrated::BehindOthers));
    settle(&world.store, &world);
    let rows = standings(&world);
    assert_eq!((rows.len(), rows[&world.players[0]].wins, rows[&world.players[0]].contests), (2, 1, 1));
    world.assert_equals_replay();
}

#[test]
fn a_reset_at_which_the_engine_faults_waits_and_nothing_is_rated_past_it() {
    let world = World::new(4);
    play(&world, 0..9);
    let before = world.board();
    let seq = start(&world, season("one", SOFT)).seq;
    *world.engine.faults_on_soften.lock().unwrap() = true;
    let accepted = world.import(9, world.players[0], world.players[1]);
    assert_eq!(accepted.rating, RatingState::Waits(Unrated::BehindOthers));
    for _ in 0..2 {
        let stuck = world.store.rate_waiting(world.queue, 256).wait().unwrap().unwrap();
        assert_eq!((stuck.rated.len(), stuck.waits, stuck.fault.map(|(at, _)| at)), (0, true, Some(seq)));
    }
    assert_eq!((world.board(), archive(&world, 0)), (before, vec![]), "nothing of it was stored");
    *world.engine.faults_on_soften.lock().unwrap() = false;
    settle(&world.store, &world);
    assert_eq!(standings(&world)[&world.players[0]].wins, 1);
    assert_eq!(archive(&world, 0).len(), 4);
    world.assert_equals_replay();
}

#[test]
fn a_reset_goes_on_where_it_was_left_whoever_takes_it_up() {
    // Goal: no player is reset twice or forgotten. Method: 1,000 players, an engine so slow that each step takes one batch of 256; the steps
    // are taken by two stores in turn, one of them opened anew after every step, as after a kill.
    let world = World::new(1_000);
    play(&world, 0..1_000);
    start(&world, season("one", SOFT));
    *world.engine.soften_takes.lock().unwrap() = Duration::from_micros(80);
    let mut steps = 0;
    loop {
        let other;
        let store = if steps % 2 == 0 {
            other = world.second();
            let engine = Arc::clone(&world.engine) as Arc<dyn RatingEngine>;
            other.install_engine(world.queue, engine, |_| (), NOW).wait().unwrap().unwrap();
            &other
        } else {
            &world.store
        };
        let step = store.rate_waiting(world.queue, 256).wait().unwrap().unwrap();
        steps += 1;
        *world.engine.soften_takes.lock().unwrap() = Duration::ZERO;
        world.assert_equals_replay();
        *world.engine.soften_takes.lock().unwrap() = Duration::from_micros(80);
        if !step.waits {
            break;
        }
    }
    assert!(steps >= 4, "{steps} steps: no step takes all of them");
    assert!(standings(&world).values().all(|row| row.season_contests() == 0));
    assert_eq!(world.store.season_standings_len(world.queue, 0).wait().unwrap(), 1_000);
}

#[test]
fn a_season_starts_once_whoever_asks() {
    let world = World::new(4);
    play(&world, 0..9);
    let others: Vec<_> = (0..4).map(|_| world.second()).collect();
    let started: Vec<_> = std::thread::scope(|scope| {
        let start = |store: &Store| store.start_season(world.queue, season("one", SOFT), NOW).wait().unwrap();
        let threads: Vec<_> = others.iter().map(|store| scope.spawn(move || start(store))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(started.iter().filter(|started| started.is_ok()).count(), 1, "{started:?}");
    let refused = SeasonRefusal::AlreadyStarted { name: "one".into(), number: 1 };
    assert!(started.iter().all(|started| started.is_ok() || *started == Err(refused.clone())));
    settle(&world.store, &world);
    assert_eq!(world.store.statistics().wait().unwrap().journal_entries, 10);
    let unknown = world.store.start_season(ladder::id::QueueId(99), season("one", SOFT), NOW).wait().unwrap();
    assert_eq!(unknown, Err(SeasonRefusal::UnknownQueue { queue: ladder::id::QueueId(99) }));
}

#[test]
fn the_archive_is_the_leaderboard_as_it_was_shown_last_and_a_new_generation_has_the_same() {
    let world = World::new(12);
    // The first players meet often, the last ones seldom.
    for number in 0..60 {
        let at = usize::try_from(number * number % 11).unwrap();
        world.import(number, world.players[at], world.players[at + 1]);
    }
    let rules = StandingRules { placements: 11, decay: Some(Decay { after_days: 1, per_day: 0.25, floor: 3.0 }) };
    // The reports are of 1970: everybody has been away for long enough.
    let shown = world.store.leaderboard_at(world.queue, rules, NOW.seconds(), 0, 500).wait().unwrap();
    let total = world.store.leaderboard_len(world.queue).wait().unwrap();
    assert!(!shown.is_empty() && (shown.len() as u64) < total, "{} of {total}", shown.len());
    assert!(shown.iter().any(|row| row.shown < row.visible));
    start(&world, NewSeason { ended: rules, ..season("one", SOFT) });
    settle(&world.store, &world);
    let ended = archive(&world, 0);
    let expected = |row: &LeaderboardRow| ArchivedStanding {
        rank: row.rank,
        player: row.player,
        name: row.name.clone(),
        visible: row.shown,
        mean: row.mean,
        uncertainty: row.uncertainty,
        wins: row.wins,
        losses: row.losses,
        draws: row.draws,
    };
    assert_eq!(ended, shown.iter().map(expected).collect::<Vec<_>>());
    assert_eq!(world.store.season_standings_len(world.queue, 0).wait().unwrap(), ended.len() as u64);
    assert_eq!(world.store.season_standings(world.queue, 0, 1, 2).wait().unwrap(), ended[1..3]);
    play(&world, 60..80);
    start(&world, season("two", SeasonReset::Uncertainty { keep: 0.9 }));
    settle(&world.store, &world);
    play(&world, 80..90);
    let (second, board) = (archive(&world, 1), world.board());
    assert!(!second.is_empty());
    // Built anew from the journal, by an engine that computes the same.
    world.install(&twin(&world));
    assert_eq!((archive(&world, 0), archive(&world, 1), world.board()), (ended, second, board));
    assert!(verify(world.path()).unwrap().is_sound());
}

#[test]
fn a_shadow_goes_through_the_same_seasons() {
    let world = World::new(300);
    play(&world, 0..400);
    start(&world, season("one", SOFT));
    settle(&world.store, &world);
    play(&world, 400..500);
    start(&world, season("two", SeasonReset::Hard));
    settle(&world.store, &world);
    play(&world, 500..600);
    let engine = twin(&world);
    let mut shadow = world.store.shadow(world.queue, Arc::clone(&engine) as Arc<dyn RatingEngine>).unwrap();
    let through = loop {
        match shadow.advance(NOW).unwrap() {
            ShadowStep::Advanced(_) | ShadowStep::Overtaken => {}
            ShadowStep::CaughtUp(through) => break through,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(through.0, 602);
    let (board, archives) = (world.board(), [archive(&world, 0), archive(&world, 1)]);
    let installed = world.install(&engine);
    assert!(installed.rebuilt);
    assert_eq!((world.board(), [archive(&world, 0), archive(&world, 1)]), (board, archives));
}

#[test]
fn a_season_before_the_first_engine_resets_nobody() {
    let world = World::new(4);
    let other = world.store.ensure_queue("other").wait().unwrap();
    world.store.start_season(other, season("one", SeasonReset::Hard), NOW).wait().unwrap().unwrap();
    world.accept(imported(other, 1, world.players[0], world.players[1]));
    let engine = Arc::clone(&world.engine) as Arc<dyn RatingEngine>;
    let installed = world.store.install_engine(other, Arc::clone(&engine), |_| (), NOW).wait().unwrap().unwrap();
    assert!(!installed.waits);
    assert_eq!(world.store.leaderboard(other, 0, 10).wait().unwrap().len(), 2);
    assert!(world.store.compare_with_replay(other, engine).wait().unwrap().unwrap().is_equal());
}

#[test]
fn placements_hide_and_then_show() {
    let world = World::new(3);
    let (a, b, c) = (world.players[0], world.players[1], world.players[2]);
    let rules = StandingRules { placements: 3, decay: None };
    let names = || -> Vec<_> {
        let rows = world.store.leaderboard_at(world.queue, rules, NOW.seconds(), 0, 10).wait().unwrap();
        rows.into_iter().map(|row| (row.rank, row.player)).collect()
    };
    let len = || world.store.leaderboard_len_at(world.queue, rules).wait().unwrap();
    world.import(1, a, b);
    world.import(2, a, b);
    assert_eq!((names(), len()), (vec![], 0));
    world.import(3, a, c);
    assert_eq!((names(), len()), (vec![(1, a)], 1));
    let profile = |player| {
        let rules = BTreeMap::from([(world.queue, rules)]);
        world.store.profile_at(player, rules, NOW.seconds()).wait().unwrap().unwrap().standings.remove(0).row
    };
    assert_eq!((profile(a).rank, profile(a).season_contests(), profile(c).season_contests()), (1, 3, 1));
    assert!(profile(b).rank > 1, "the rank to come");
    world.import(4, b, c);
    assert_eq!(names(), [(1, a), (2, b)]);
    start(&world, season("one", SOFT));
    settle(&world.store, &world);
    assert_eq!(names(), [], "a new season, new placements");
    assert_eq!(world.store.leaderboard(world.queue, 0, 10).wait().unwrap(), []);
}

#[test]
fn decay_falls_with_the_days_and_a_contest_brings_it_back() {
    let world = World::new(4);
    play(&world, 0..12);
    let last = 1_000 + 11;
    let rules = StandingRules { placements: 0, decay: Some(Decay { after_days: 2, per_day: 0.5, floor: -50.0 }) };
    let at = |days: i64| {
        let now = UnixSeconds(last + days * 86_400);
        world.store.leaderboard_at(world.queue, rules, now, 0, 10).wait().unwrap()
    };
    let raw = world.store.leaderboard(world.queue, 0, 10).wait().unwrap();
    assert_eq!(at(2), raw);
    for (row, fallen) in raw.iter().zip(at(6)) {
        assert_eq!((fallen.player, fallen.shown, fallen.visible, fallen.mean), (row.player, row.visible - 2.0, row.visible, row.mean));
    }
    // Players 0 and 1 meet again on the sixth day: all of theirs is back, and nothing of the others'.
    let mut facts = imported(world.queue, 12, world.players[0], world.players[1]);
    facts.provenance.at = UnixSeconds(last + 6 * 86_400);
    world.accept(facts);
    for row in at(6) {
        let back = world.players[..2].contains(&row.player);
        assert_eq!(row.shown == row.visible, back, "{row:?}");
    }
    world.assert_equals_replay();
}

#[test]
fn pages_and_ranks_are_those_of_the_rules_to_the_last_bit() {
    // Goal: SQL computes what `StandingRules` says. Method: many standings with different times, looked at under several rules and times,
    // against an order made by the rules themselves.
    let world = World::new(40);
    for number in 0..400_u64 {
        let (first, second) = (number * 7 % 40, (number * number + 3) % 40);
        if first != second {
            let players = [first, second].map(|at| world.players[usize::try_from(at).unwrap()]);
            let mut facts = imported(world.queue, number, players[0], players[1]);
            facts.provenance.at = UnixSeconds(i64::try_from(number * number % 97).unwrap() * 33_333 - 400_000);
            world.accept(facts);
        }
    }
    let times: BTreeMap<PlayerId, UnixSeconds> =
        world.players.iter().map(|&player| (player, world.store.profile(player).wait().unwrap().unwrap().standings[0].last_at)).collect();
    let raw = world.store.leaderboard(world.queue, 0, 500).wait().unwrap();
    let decay = |after_days, per_day, floor| Some(Decay { after_days, per_day, floor });
    for placements in [0, 18] {
        for decay in [None, decay(0, 0.1, f64::MIN), decay(3, 0.77, 5.0), decay(10, 1e9, 4.0), decay(3_650, 1.0, 0.0)] {
            for now in [-500_000, 1_000_000, 3_000_000, 400_000_000] {
                let (rules, now) = (StandingRules { placements, decay }, UnixSeconds(now));
                let mut expected: Vec<_> = raw.iter().filter(|row| row.season_contests() >= rules.contests_min()).collect();
                let shown = |row: &LeaderboardRow| rules.shown(row.visible, times[&row.player], now);
                expected.sort_by(|a, b| shown(b).total_cmp(&shown(a)).then(a.player.cmp(&b.player)));
                let expected: Vec<_> = expected.iter().map(|row| (row.player, shown(row).to_bits())).collect();
                let pages = (0..8).flat_map(|page| world.store.leaderboard_at(world.queue, rules, now, page * 5, 5).wait().unwrap());
                let found: Vec<_> = pages.map(|row| (row.player, row.shown.to_bits())).collect();
                assert_eq!(found, expected, "{rules:?} at {now:?}");
                for (rank, (player, shown)) in (1..).zip(&expected) {
                    let by_queue = BTreeMap::from([(world.queue, rules)]);
                    let row = world.store.profile_at(*player, by_queue, now).wait().unwrap().unwrap().standings.remove(0).row;
                    assert_eq!((row.rank, row.shown.to_bits()), (rank, *shown), "{rules:?} at {now:?}");
                }
            }
        }
    }
}
