//! The bulk interface against the live one, both through the sandbox: the same contests must give the same bits.
#![allow(missing_docs, clippy::unwrap_used)]

use ladder::bulk::{Cohort, Journal};
use ladder::fault::PluginFault;
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Rating, RatingEngine, Setting};
use ladder::time::UnixSeconds;
use plugin_runtime::{PluginSource, PluginSpec, RatingPlugin, Role, Runtime, builtin_names, builtin_role};

const PLAYERS: u32 = 40;

fn gaussian(runtime: &Runtime) -> RatingPlugin {
    engine(runtime, "gaussian")
}

fn engine(runtime: &Runtime, name: &str) -> RatingPlugin {
    let shape = QueueShape { queue: "mixed".to_owned(), teams: 2, team_sizes: vec![5, 5], ..QueueShape::default() };
    let spec = PluginSpec::new("mixed.rating", Role::Rating, PluginSource::builtin(name).unwrap());
    runtime.load_rating(spec, &shape).unwrap()
}

/// A congruential sequence stands for chance.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32 % end
    }
}

fn strangers(engine: &RatingPlugin) -> Cohort {
    let (rating, _) = engine.initial().unwrap();
    let mut cohort = Cohort::default();
    for _ in 0..PLAYERS {
        cohort.push(&rating, 0, UnixSeconds(0));
    }
    cohort
}

/// Contests of two to four teams with one to five players each, draws, doubtful results and times that jump back. Every 50th has an empty
/// team, which no engine takes.
fn journal(contests: u32) -> Journal {
    let (mut journal, mut chance) = (Journal::default(), Chance(11));
    for number in 0..contests {
        let teams = if chance.below(4) == 0 { 2 + chance.below(3) } else { 2 };
        let size = 1 + chance.below(5);
        let first = chance.below(PLAYERS);
        let mut players: Vec<u32> = (0..teams * size).map(|seat| (first + seat) % PLAYERS).collect();
        let mut seats: Vec<u16> = (0..teams * size).map(|seat| (seat / size) as u16).collect();
        if number % 50 == 49 {
            players.truncate(size as usize);
            seats.truncate(size as usize);
        }
        let entrants = players.iter().zip(&seats).map(|(_, &team)| {
            let mut entrant = Cohort::default();
            let player = entrant.push(&Rating { mean: 0.0, uncertainty: 1.0, memory: Vec::new() }, 0, UnixSeconds(0));
            let mut entrant = entrant.entrant(player, team, UnixSeconds(0));
            entrant.presence = 1.0;
            entrant
        });
        let contest = Contest {
            places: (0..teams).map(|team| if chance.below(8) == 0 { 0 } else { team as u16 }).collect(),
            scores: Vec::new(),
            setting: Setting { at_s: UnixSeconds(i64::from(number) * 60 - i64::from(chance.below(100))), ..Setting::default() },
            totals: Vec::new(),
            trust: if chance.below(3) == 0 { 0.5 } else { 1.0 },
            entrants: entrants.collect(),
        };
        journal.push(&contest, &players);
    }
    journal
}

#[test]
fn bulk_and_single_contests_of_every_builtin_agree_bit_for_bit() {
    let runtime = Runtime::new().unwrap();
    for name in builtin_names().into_iter().filter(|name| builtin_role(name) == Some(Role::Rating)) {
        assert_bulk_is_single(&engine(&runtime, name), name);
    }
}

/// The memory of the queue and of each player goes from contest to contest as the host hands it on.
fn assert_bulk_is_single(engine: &RatingPlugin, name: &str) {
    let journal = journal(1_500);
    let outcome = engine.bulk().unwrap().rate_many(&[], strangers(engine), &journal, true).unwrap();
    let (mut cohort, mut predicted, mut declined, mut memory) = (strangers(engine), Vec::new(), Vec::new(), Vec::new());
    for number in 0..journal.len() {
        let contest = journal.contest(number, &cohort);
        let mut line_up = contest.entrants.clone();
        line_up.iter_mut().for_each(|entrant| entrant.presence = 1.0);
        match engine.predict(&memory, &line_up, &contest.setting) {
            // A team without players cannot be told from the line-up alone.
            Ok(pairs) if pairs.len() == journal.pairs(number) => predicted.extend(pairs),
            _ => predicted.extend(vec![0.5; journal.pairs(number)]),
        }
        let traced = journal.entrants(number);
        match engine.rate(&memory, &contest) {
            Ok(update) => {
                memory = update.memory;
                for ((&player, at), (rating, visible)) in
                    journal.players(number).iter().zip(traced).zip(update.ratings.iter().zip(update.visible))
                {
                    let (contests, _) = cohort.played(player);
                    cohort.set(player, (rating.mean, rating.uncertainty), contests + 1, contest.setting.at_s, &rating.memory);
                    let left = [outcome.trace.mean[at], outcome.trace.uncertainty[at], outcome.trace.visible[at]];
                    assert_eq!(
                        left.map(f64::to_bits),
                        [rating.mean, rating.uncertainty, visible].map(f64::to_bits),
                        "{name}, contest {number}"
                    );
                }
            }
            Err(PluginFault::Declined { detail }) => declined.push((number, detail)),
            Err(fault) => panic!("{fault}"),
        }
    }
    assert_eq!(outcome.cohort, cohort, "{name}");
    assert_eq!(outcome.predicted, predicted, "{name}");
    assert_eq!(outcome.memory, memory, "{name}");
    assert!(declined.len() >= 30, "{name}: {declined:?}");
    assert_eq!(outcome.declined.iter().map(|declined| (declined.contest, declined.detail)).collect::<Vec<_>>(), declined);
    assert_eq!(engine.counters().faults_in_a_row, 0);
}

#[test]
fn a_journal_in_pieces_comes_out_as_in_one() {
    let runtime = Runtime::new().unwrap();
    let engine = gaussian(&runtime);
    let bulk = engine.bulk().unwrap();
    let journal = journal(700);
    let whole = bulk.rate_many(&[], strangers(&engine), &journal, false).unwrap();
    let (mut cohort, mut predicted, mut from) = (strangers(&engine), Vec::new(), 0);
    for to in [0, 1, 2, 130, 131, 600, 700] {
        let outcome = bulk.rate_many(&[], cohort, &journal.slice(from..to, |player| player), false).unwrap();
        cohort = outcome.cohort;
        predicted.extend(outcome.predicted);
        from = to;
    }
    assert_eq!((cohort, predicted), (whole.cohort, whole.predicted));
    assert!(whole.trace.mean.is_empty());
}

#[test]
fn many_predictions_and_many_visible_ratings_are_the_single_ones() {
    let runtime = Runtime::new().unwrap();
    let engine = gaussian(&runtime);
    let bulk = engine.bulk().unwrap();
    let cohort = bulk.rate_many(&[], strangers(&engine), &journal(300), false).unwrap().cohort;
    let mut line_ups = Journal::default();
    let mut expected = Vec::new();
    for first in 0..PLAYERS - 4 {
        let players = [first, first + 1, first + 2, first + 3];
        let entrants: Vec<_> =
            players.iter().zip([0, 0, 1, 1]).map(|(&player, team)| cohort.entrant(player, team, UnixSeconds(9))).collect();
        line_ups.push_line_up(&entrants, &Setting::default(), 2, &players);
        expected.extend(engine.predict(&[], &entrants, &Setting::default()).unwrap());
    }
    assert_eq!(bulk.predict_many(&[], &cohort, &line_ups).unwrap(), expected);
    let shown = bulk.visible_many(&cohort).unwrap();
    assert_eq!(
        shown,
        (0..PLAYERS).map(|player| cohort.means()[player as usize] - 3.0 * cohort.uncertainties()[player as usize]).collect::<Vec<_>>()
    );
}
