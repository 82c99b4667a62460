//! A journal of 5v5 contests through the bulk interface: the sandbox beside the same Rust code compiled natively, in one run.
//!
//! `cargo bench -p plugin-runtime --bench replay`; the figures stand in `docs/performance.md`.
//!
//! Both sides rate the same chunks of contests from the same cohorts; [`chunks`] says how their time is taken.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod chunks;
mod columns;

use std::time::{Duration, Instant};

use chunks::{CHUNK_CONTESTS, CHUNKS, Fastest, ROUNDS, chunks};
use columns::{native_cohort, native_journal};
use ladder::bulk::{Cohort, Journal};
use ladder::queue::QueueShape;
use ladder::rating::{Rating, RatingEngine};
use plugin_runtime::{PluginSource, PluginSpec, RatingPlugin, Role, Runtime};
use plugin_sdk::Plugin as _;
use rating_gaussian::{Gaussian, Parameters};

fn engine(runtime: &Runtime) -> RatingPlugin {
    let shape = QueueShape { queue: "five".to_owned(), teams: 2, team_sizes: vec![5, 5], ..QueueShape::default() };
    let spec = PluginSpec::new("five.rating", Role::Rating, PluginSource::builtin("gaussian").unwrap());
    runtime.load_rating(spec, &shape).unwrap()
}

fn known(player: u32) -> Rating {
    Rating { mean: 15.0 + f64::from(player % 200) * 0.1, uncertainty: 2.0 + f64::from(player % 7), memory: Vec::new() }
}

fn line(what: &str, ns: f64, native_ns: f64) {
    println!("{what:<62} {ns:7.1} ns  {:6.2} M/s  {:5.1} %", 1e3 / ns, native_ns / ns * 100.0);
}

fn main() {
    let runtime = Runtime::new().unwrap();
    let plugin = engine(&runtime);
    let bulk = plugin.bulk().unwrap();
    let native = Gaussian::configure(&plugin_sdk::QueueShape::default(), Parameters::default()).unwrap();
    let chunks = chunks(5, known);
    let (mut natively, mut inside, mut whole) = (Fastest::default(), Fastest::default(), Fastest::default());
    // What the host does for a forecast, and once more with a trace, as for a new generation.
    let (mut predicting, mut traced) = (Fastest::default(), Fastest::default());
    for _ in 0..ROUNDS {
        for (number, (journal, cohort)) in chunks.iter().enumerate() {
            let (before, columns) = (native_cohort(cohort), native_journal(journal.columns()));
            let expected = natively.time(number, || plugin_sdk::rate_many(&native, Vec::new(), before, &columns, false));

            let (before, wall_before) = (cohort.clone(), plugin.counters().wall_total_us);
            let outcome = whole.time(number, || bulk.rate_many(&[], before, journal, false).unwrap());
            inside.note(number, Duration::from_micros(plugin.counters().wall_total_us - wall_before));
            assert_eq!((outcome.cohort.means(), &outcome.predicted), (expected.cohort.mean.as_slice(), &expected.predicted));

            predicting.time(number, || bulk.predict_many(&[], cohort, journal).unwrap());
            let before = cohort.clone();
            traced.time(number, || bulk.rate_many(&[], before, journal, true).unwrap());
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
