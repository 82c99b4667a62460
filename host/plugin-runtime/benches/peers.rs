//! The rating engines in their sandbox beside the crate `skillratings`, native, in one run: contests of two teams.
//!
//! `cargo bench -p plugin-runtime --bench peers [-- ENGINE..]`; the figures stand in `docs/performance.md`.
//!
//! The sandbox is asked through the bulk interface, which predicts each contest before it is rated, and is timed once as the call alone
//! (columns in and out, every check) and once with what the host does around it. The peer's function is called contest by contest on
//! ratings gathered from one array and put back there: once rating only, once with its prediction before, which is what the sandbox does.
//! [`chunks`] says how time is taken, and why not by criterion: minutes apart, a shared machine is not the same machine.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod chunks;

use std::hint::black_box;
use std::time::Duration;

use chunks::{CHUNK_CONTESTS, CHUNKS, Fastest, ROUNDS, chunks};
use ladder::bulk::{Cohort, Journal};
use ladder::queue::QueueShape;
use ladder::rating::{Rating, RatingEngine};
use plugin_runtime::{PluginSource, PluginSpec, RatingPlugin, Role, Runtime};
use skillratings::elo::{EloConfig, EloRating, elo};
use skillratings::glicko2::{Glicko2Config, Glicko2Rating, glicko2};
use skillratings::trueskill::{TrueSkillConfig, TrueSkillRating, trueskill_two_teams};
use skillratings::weng_lin::{WengLinConfig, WengLinRating, weng_lin_two_teams};
use skillratings::{Outcomes, elo as elo_module, glicko2 as glicko2_module, trueskill, weng_lin};

/// One engine of ours and the peer's function that does the same.
struct Pair {
    builtin: &'static str,
    team_size: u16,
    /// JSON.
    parameters: &'static str,
    peer: Option<Peer>,
}

struct Peer {
    name: &'static str,
    /// Rates the contests of a chunk, with a prediction before each if wanted; returns something that depends on all of them.
    rate: fn(&Journal, &Cohort, bool) -> f64,
}

const PAIRS: [Pair; 7] = [
    Pair { builtin: "gaussian", team_size: 5, parameters: "{}", peer: Some(Peer { name: "trueskill_two_teams", rate: trueskill_peer }) },
    Pair { builtin: "weng-lin", team_size: 5, parameters: "{}", peer: Some(Peer { name: "weng_lin_two_teams", rate: weng_lin_peer }) },
    Pair { builtin: "adaptive", team_size: 5, parameters: "{}", peer: None },
    Pair { builtin: "glicko2", team_size: 5, parameters: "{}", peer: None },
    Pair { builtin: "glicko2", team_size: 1, parameters: "{}", peer: Some(Peer { name: "glicko2", rate: glicko2_peer }) },
    Pair { builtin: "elo", team_size: 1, parameters: "{}", peer: Some(Peer { name: "elo", rate: elo_peer }) },
    Pair { builtin: "elo-mmr", team_size: 1, parameters: "{}", peer: None },
];

/// What a peer knows of its players.
trait Known: Copy {
    fn of(mean: f64, uncertainty: f64) -> Self;
    fn mean(&self) -> f64;
}

macro_rules! known {
    ($rating:ty, |$mean:ident, $uncertainty:ident| $new:expr) => {
        impl Known for $rating {
            fn of($mean: f64, $uncertainty: f64) -> Self {
                $new
            }
            fn mean(&self) -> f64 {
                self.rating
            }
        }
    };
}

known!(TrueSkillRating, |rating, uncertainty| Self { rating, uncertainty });
known!(WengLinRating, |rating, uncertainty| Self { rating, uncertainty });
known!(Glicko2Rating, |rating, deviation| Self { rating, deviation, volatility: 0.06 });
known!(EloRating, |rating, _uncertainty| Self { rating });

/// Calls `rate` for each contest of two teams of `N`.
fn each<const N: usize, R: Known>(
    journal: &Journal,
    cohort: &Cohort,
    mut rate: impl FnMut([R; N], [R; N], Outcomes) -> [[R; N]; 2],
) -> f64 {
    let beliefs = cohort.means().iter().zip(cohort.uncertainties());
    let mut known: Vec<R> = beliefs.map(|(&mean, &uncertainty)| R::of(mean, uncertainty)).collect();
    for contest in 0..journal.len() {
        let (first, second) = journal.players(contest).split_at(N);
        let team = |players: &[u32]| -> [R; N] { core::array::from_fn(|seat| known[players[seat] as usize]) };
        let outcome = if journal.places(contest)[0] == 0 { Outcomes::WIN } else { Outcomes::LOSS };
        let after = rate(team(first), team(second), outcome);
        for (&player, rating) in first.iter().chain(second).zip(after.as_flattened()) {
            known[player as usize] = *rating;
        }
    }
    known.iter().map(Known::mean).sum()
}

fn five<R: Copy>((first, second): (Vec<R>, Vec<R>)) -> [[R; 5]; 2] {
    [first, second].map(|team| core::array::from_fn(|seat| team[seat]))
}

fn trueskill_peer(journal: &Journal, cohort: &Cohort, predicting: bool) -> f64 {
    let config = TrueSkillConfig { beta: 6.25, ..TrueSkillConfig::new() };
    each::<5, TrueSkillRating>(journal, cohort, |first, second, outcome| {
        if predicting {
            black_box(trueskill::expected_score_two_teams(&first, &second, &config));
        }
        five(trueskill_two_teams(&first, &second, &outcome, &config))
    })
}

fn weng_lin_peer(journal: &Journal, cohort: &Cohort, predicting: bool) -> f64 {
    let config = WengLinConfig::new();
    each::<5, WengLinRating>(journal, cohort, |first, second, outcome| {
        if predicting {
            black_box(weng_lin::expected_score_two_teams(&first, &second, &config));
        }
        five(weng_lin_two_teams(&first, &second, &outcome, &config))
    })
}

fn glicko2_peer(journal: &Journal, cohort: &Cohort, predicting: bool) -> f64 {
    let config = Glicko2Config::new();
    each::<1, Glicko2Rating>(journal, cohort, |[first], [second], outcome| {
        if predicting {
            black_box(glicko2_module::expected_score(&first, &second));
        }
        let (first, second) = glicko2(&first, &second, &outcome, &config);
        [[first], [second]]
    })
}

fn elo_peer(journal: &Journal, cohort: &Cohort, predicting: bool) -> f64 {
    let config = EloConfig::new();
    each::<1, EloRating>(journal, cohort, |[first], [second], outcome| {
        if predicting {
            black_box(elo_module::expected_score(&first, &second));
        }
        let (first, second) = elo(&first, &second, &outcome, &config);
        [[first], [second]]
    })
}

/// Loads an engine for two teams; `None` if this build does not have it.
fn engine(runtime: &Runtime, pair: &Pair) -> Option<RatingPlugin> {
    let shape = QueueShape { queue: "peers".to_owned(), teams: 2, team_sizes: vec![pair.team_size; 2], ..QueueShape::default() };
    let spec = PluginSpec::new("peers.rating", Role::Rating, PluginSource::builtin(pair.builtin)?);
    Some(runtime.load_rating(PluginSpec { parameters: pair.parameters.to_owned(), ..spec }, &shape).unwrap())
}

/// Players around the engine's stranger, on its own scale and with its own memory.
fn known(initial: &Rating, player: u32) -> Rating {
    let spread = f64::from(player % 200) * 0.01 - 1.0;
    let share = 0.3 + f64::from(player % 7) * 0.1;
    Rating { mean: initial.mean + spread * initial.uncertainty, uncertainty: initial.uncertainty * share, memory: initial.memory.clone() }
}

fn compare(pair: &Pair, plugin: &RatingPlugin) {
    let (initial, _) = plugin.initial().unwrap();
    let chunks = chunks(pair.team_size, |player| known(&initial, player));
    let bulk = plugin.bulk().unwrap();
    let (mut call, mut whole, mut rating, mut both) = (Fastest::default(), Fastest::default(), Fastest::default(), Fastest::default());
    for _ in 0..ROUNDS {
        for (number, (journal, cohort)) in chunks.iter().enumerate() {
            let (before, wall_before) = (cohort.clone(), plugin.counters().wall_total_us);
            let outcome = whole.time(number, || bulk.rate_many(&[], before, journal, false).unwrap());
            call.note(number, Duration::from_micros(plugin.counters().wall_total_us - wall_before));
            assert_eq!(outcome.declined, []);
            if let Some(peer) = &pair.peer {
                black_box(rating.time(number, || (peer.rate)(journal, cohort, false)));
                black_box(both.time(number, || (peer.rate)(journal, cohort, true)));
            }
        }
    }
    let size = pair.team_size;
    let ours = format!("{:<9} {size}v{size}  {:8.0}  {:8.0}", pair.builtin, call.ns_per_contest(), whole.ns_per_contest());
    match &pair.peer {
        Some(peer) => println!("{ours}  {:8.0}  {:8.0}  {}", rating.ns_per_contest(), both.ns_per_contest(), peer.name),
        None => println!("{ours}         -         -"),
    }
}

fn main() {
    let runtime = Runtime::new().unwrap();
    println!("nanoseconds per contest, {} contests, fastest of {ROUNDS} rounds, one thread", CHUNKS * CHUNK_CONTESTS);
    println!("engine          sandbox: call  with host    peer: rating  predicting, too");
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for pair in PAIRS.iter().filter(|pair| wanted.is_empty() || wanted.iter().any(|name| name == pair.builtin)) {
        match engine(&runtime, pair) {
            Some(plugin) => compare(pair, &plugin),
            None => println!("{:<9} not in this build", pair.builtin),
        }
    }
}
