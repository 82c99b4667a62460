//! Fields of different sizes through the bulk interface: rating engines in the sandbox beside the same Rust code compiled natively.
//!
//! `cargo bench -p plugin-runtime --bench fields`; the figures stand in `docs/performance.md`. Every contest is predicted before it is rated, on
//! both sides. Players meet again and again, so that histories are full. Per call the fastest of several rounds counts.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod chunks;
mod columns;

use std::time::Duration;

use chunks::{Chance, Fastest};
use columns::{native_cohort, native_journal};
use ladder::bulk::{Cohort, Journal};
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine as _, Setting};
use ladder::time::UnixSeconds;
use plugin_runtime::{PluginSource, PluginSpec, RatingPlugin, Role, Runtime};
use plugin_sdk::{Plugin, RatingEngine};
use rating_elo_mmr::EloMmr;
use rating_gaussian::Gaussian;
use rating_glicko2::Glicko2;

/// Teams and players per team.
const FIELDS: [(u16, u16); 5] = [(2, 1), (2, 5), (8, 1), (20, 1), (100, 1)];
/// Entrants of one call.
const ENTRANTS: usize = 400;
const ROUNDS: usize = 200;

/// As many contests of one shape as a call takes, on players of whom four times as many exist as a contest has.
fn journal(plugin: &RatingPlugin, teams: u16, size: u16) -> (Journal, Cohort) {
    let seats = teams * size;
    let players = u32::from(seats) * 4;
    let (initial, _) = plugin.initial().unwrap();
    let (mut journal, mut cohort, mut chance) = (Journal::default(), Cohort::default(), Chance(7));
    for player in 0..players {
        let lead = (f64::from(player % 20) * 0.1 - 1.0) * initial.uncertainty;
        cohort.push(&Rating { mean: initial.mean + lead, ..initial.clone() }, 0, UnixSeconds(0));
    }
    for number in 0..ENTRANTS / usize::from(seats) {
        let first = chance.below(players);
        let mut places: Vec<u16> = (0..teams).collect();
        for last in (1..teams).rev() {
            places.swap(usize::from(last), chance.below(u32::from(last) + 1) as usize);
        }
        let entrant =
            |seat: u16| Entrant { rating: initial.clone(), team: seat / size, contests: 0, idle_s: 0, presence: 1.0, stats: Vec::new() };
        let contest = Contest {
            places,
            scores: Vec::new(),
            setting: Setting { at_s: UnixSeconds(number as i64 * 3_600), ..Setting::default() },
            totals: Vec::new(),
            trust: 1.0,
            entrants: (0..seats).map(entrant).collect(),
        };
        journal.push(&contest, &(0..u32::from(seats)).map(|seat| (first + seat) % players).collect::<Vec<_>>());
    }
    (journal, cohort)
}

fn compare<E: Plugin + RatingEngine>(runtime: &Runtime)
where
    E::Parameters: Default,
{
    let native = E::configure(&plugin_sdk::QueueShape::default(), E::Parameters::default()).ok().unwrap();
    for (teams, size) in FIELDS {
        let team_sizes = vec![size; usize::from(teams)];
        let shape = QueueShape { queue: "fields".to_owned(), teams, team_sizes, ..QueueShape::default() };
        let spec = PluginSpec::new("fields.rating", Role::Rating, PluginSource::builtin(E::NAME).unwrap());
        let plugin = runtime.load_rating(spec, &shape).unwrap();
        let bulk = plugin.bulk().unwrap();
        let (journal, cohort) = journal(&plugin, teams, size);
        let (mut outside, mut inside) = (Fastest::default(), Fastest::default());
        for _ in 0..ROUNDS {
            let (before, columns) = (native_cohort(&cohort), native_journal(journal.columns()));
            let expected = outside.time(0, || plugin_sdk::rate_many(&native, Vec::new(), before, &columns, false));
            let (before, wall_before) = (cohort.clone(), plugin.counters().wall_total_us);
            let outcome = bulk.rate_many(&[], before, &journal, false).unwrap();
            inside.note(0, Duration::from_micros(plugin.counters().wall_total_us - wall_before));
            assert_eq!((outcome.cohort.means(), &outcome.predicted), (expected.cohort.mean.as_slice(), &expected.predicted));
        }
        let per_contest = |fastest: &Fastest| fastest.total().as_secs_f64() * 1e6 / journal.len() as f64;
        println!("{:<9} {teams:>3} x {size}  {:9.2} us  {:9.2} us", E::NAME, per_contest(&outside), per_contest(&inside));
    }
}

fn main() {
    let runtime = Runtime::new().unwrap();
    println!("microseconds per contest, predicted and rated, fastest of {ROUNDS} rounds, one thread");
    println!("engine    teams x size   native      sandbox");
    compare::<Gaussian>(&runtime);
    compare::<Glicko2>(&runtime);
    compare::<EloMmr>(&runtime);
}
