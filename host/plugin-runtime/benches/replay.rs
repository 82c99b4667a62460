//! A journal of 5v5 contests through the bulk interface: the sandbox beside the same Rust code compiled natively, in one run.
//!
//! `cargo bench -p plugin-runtime --bench replay`; the figures stand in `docs/performance.md`.
//!
//! Both sides rate the same chunks of contests from the same cohorts, in turns, so that what else the machine does hits both. Per chunk the
//! fastest of several rounds counts: a chunk takes a fraction of a millisecond, so its fastest round was not interrupted.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use ladder::bulk::{Cohort, Columns, Journal};
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting};
use ladder::time::UnixSeconds;
use plugin_runtime::{PluginSource, PluginSpec, RatingPlugin, Role, Runtime};
use plugin_sdk::Plugin as _;
use plugin_sdk::bindings::rating::exports::ranked::plugin::rating_engine_bulk as wit;
use rating_gaussian::{Gaussian, Parameters};

const PLAYERS: u32 = 10_000;
const CHUNKS: usize = 32;
/// As many as the host rates in one call.
const CHUNK_CONTESTS: usize = 1024;
const ROUNDS: usize = 15;

/// A congruential sequence stands for chance.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(end)) as u32
    }
}

/// Ten different players per contest; the team with the luckier sum wins.
fn contest(chance: &mut Chance, number: usize) -> (Contest, Vec<u32>) {
    let first = chance.below(PLAYERS);
    let players: Vec<u32> = (0..10).map(|seat| (first + seat * 977 + chance.below(90)) % PLAYERS).collect();
    let entrant = |seat: u16| Entrant {
        rating: Rating { mean: 0.0, uncertainty: 1.0, memory: Vec::new() },
        team: seat / 5,
        contests: 0,
        idle_s: 0,
        presence: 1.0,
        stats: Vec::new(),
    };
    let first_wins = chance.below(2) == 0;
    let contest = Contest {
        places: if first_wins { vec![0, 1] } else { vec![1, 0] },
        scores: Vec::new(),
        setting: Setting { at_s: UnixSeconds(number as i64 * 60), ..Setting::default() },
        totals: Vec::new(),
        trust: 1.0,
        entrants: (0..10).map(entrant).collect(),
    };
    (contest, players)
}

/// One chunk with its own players, numbered from 0, as the host hands it to the engine.
fn chunks() -> Vec<(Journal, Cohort)> {
    let mut chance = Chance(7);
    let chunk = |_| {
        let mut numbers = vec![None; PLAYERS as usize];
        let (mut journal, mut cohort) = (Journal::default(), Cohort::default());
        for number in 0..CHUNK_CONTESTS {
            let (contest, players) = contest(&mut chance, number);
            let mut numbered = |&player: &u32| {
                *numbers[player as usize].get_or_insert_with(|| {
                    let mean = 15.0 + f64::from(player % 200) * 0.1;
                    cohort.push(&Rating { mean, uncertainty: 2.0 + f64::from(player % 7), memory: Vec::new() }, 3, UnixSeconds(-9))
                })
            };
            journal.push(&contest, &players.iter().map(&mut numbered).collect::<Vec<_>>());
        }
        (journal, cohort)
    };
    (0..CHUNKS).map(chunk).collect()
}

fn engine(runtime: &Runtime) -> RatingPlugin {
    let shape = QueueShape { queue: "five".to_owned(), teams: 2, team_sizes: vec![5, 5], ..QueueShape::default() };
    let spec = PluginSpec::new("five.rating", Role::Rating, PluginSource::builtin("gaussian").unwrap());
    runtime.load_rating(spec, &shape).unwrap()
}

fn native_cohort(cohort: &Cohort) -> wit::Cohort {
    wit::Cohort {
        mean: cohort.means().to_vec(),
        uncertainty: cohort.uncertainties().to_vec(),
        contests: cohort.contests().to_vec(),
        last_at_s: cohort.last_at_s().to_vec(),
        memory: Vec::new(),
        memory_end: vec![0; cohort.len()],
    }
}

fn native_journal(columns: &Columns) -> wit::Journal {
    let Columns { at_s, trust, map_index, mode_index, side, has_score, total_end, total_index, total_value, .. } = columns.clone();
    let Columns { team_end, place, score, entrant_end, entrant, presence, stat_end, stat_index, stat_value, .. } = columns.clone();
    wit::Journal {
        at_s,
        trust,
        map_index,
        mode_index,
        side,
        has_score,
        total_end,
        total_index,
        total_value,
        team_end,
        place,
        score,
        entrant_end,
        entrant,
        presence,
        stat_end,
        stat_index,
        stat_value,
    }
}

/// What the fastest rounds of all chunks took together.
#[derive(Default)]
struct Fastest(Vec<Duration>);

impl Fastest {
    fn note(&mut self, chunk: usize, took: Duration) {
        self.0.resize(self.0.len().max(chunk + 1), Duration::MAX);
        self.0[chunk] = self.0[chunk].min(took);
    }

    fn ns_per_contest(&self) -> f64 {
        self.0.iter().sum::<Duration>().as_nanos() as f64 / (CHUNKS * CHUNK_CONTESTS) as f64
    }
}

fn line(what: &str, ns: f64, native_ns: f64) {
    println!("{what:<62} {ns:7.1} ns  {:6.2} M/s  {:5.1} %", 1e3 / ns, native_ns / ns * 100.0);
}

fn main() {
    let runtime = Runtime::new().unwrap();
    let plugin = engine(&runtime);
    let bulk = plugin.bulk().unwrap();
    let native = Gaussian::configure(&plugin_sdk::QueueShape::default(), Parameters::default()).unwrap();
    let chunks = chunks();
    let (mut natively, mut inside, mut whole) = (Fastest::default(), Fastest::default(), Fastest::default());
    // What the host does for a forecast, and once more with a trace, as for a new generation.
    let (mut predicting, mut traced) = (Fastest::default(), Fastest::default());
    for _ in 0..ROUNDS {
        for (number, (journal, cohort)) in chunks.iter().enumerate() {
            let (before, columns) = (native_cohort(cohort), native_journal(journal.columns()));
            let started = Instant::now();
            let expected = plugin_sdk::rate_many(&native, Vec::new(), before, &columns, false);
            natively.note(number, started.elapsed());

            let (before, wall_before) = (cohort.clone(), plugin.counters().wall_total_us);
            let started = Instant::now();
            let outcome = bulk.rate_many(&[], before, journal, false).unwrap();
            whole.note(number, started.elapsed());
            inside.note(number, Duration::from_micros(plugin.counters().wall_total_us - wall_before));
            assert_eq!((outcome.cohort.means(), &outcome.predicted), (expected.cohort.mean.as_slice(), &expected.predicted));

            let started = Instant::now();
            bulk.predict_many(&[], cohort, journal).unwrap();
            predicting.note(number, started.elapsed());
            let before = cohort.clone();
            let started = Instant::now();
            bulk.rate_many(&[], before, journal, true).unwrap();
            traced.note(number, started.elapsed());
        }
    }
    let reference = natively.ns_per_contest();
    println!("{} contests of 5v5, predicted and rated, fastest of {ROUNDS} rounds, one thread", CHUNKS * CHUNK_CONTESTS);
    line("native: the same function of the SDK", reference, reference);
    line("sandbox: the call, with columns in and out and every check", inside.ns_per_contest(), reference);
    line("sandbox: with players gathered and put back by the host", whole.ns_per_contest(), reference);
    line("sandbox: the same with a trace", traced.ns_per_contest(), reference);
    line("sandbox: predictions only, by the host", predicting.ns_per_contest(), reference);
    warm_call(&plugin, &chunks[0]);
}

/// One contest a call in the instance that is kept.
fn warm_call(plugin: &RatingPlugin, (journal, cohort): &(Journal, Cohort)) {
    let journal = journal.slice(0..1, |player| player);
    let cohort = cohort.pick(journal.players(0));
    let journal = {
        let mut next = 0..;
        journal.slice(0..1, |_| next.next().unwrap())
    };
    let bulk = plugin.bulk().unwrap();
    let call = |_| {
        let before = cohort.clone();
        let started = Instant::now();
        bulk.rate_many(&[], before, &journal, true).unwrap();
        started.elapsed()
    };
    let mut took: Vec<Duration> = (0..20_000).map(call).collect();
    took.sort_unstable();
    println!("one contest of ten players in a warm instance: {:?} at the median, {:?} at best", took[took.len() / 2], took[0]);
}
