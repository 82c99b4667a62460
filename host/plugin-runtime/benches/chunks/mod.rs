//! Chunks of made-up contests for the benchmarks of bulk calls, and how their time is counted.
//!
//! What is compared runs in turns over the same chunks, so that what else the machine does hits all of it. Per chunk the fastest of several
//! rounds counts: a chunk takes a fraction of a millisecond, so its fastest round was not interrupted.
// Each benchmark takes what it needs.
#![allow(dead_code)]

use std::time::{Duration, Instant};

use ladder::bulk::{Cohort, Journal};
use ladder::rating::{Contest, Entrant, Rating, Setting};
use ladder::time::UnixSeconds;

/// Players of the queue.
const PLAYERS: u32 = 10_000;
/// Chunks of one run.
pub(crate) const CHUNKS: usize = 32;
/// As many as the host rates in one call.
pub(crate) const CHUNK_CONTESTS: usize = 1024;
/// Rounds over all chunks.
pub(crate) const ROUNDS: usize = 15;

/// A congruential sequence stands for chance.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(end)) as u32
    }
}

/// Different players on two teams of one size; chance decides who wins.
fn contest(chance: &mut Chance, number: usize, team_size: u16) -> (Contest, Vec<u32>) {
    let first = chance.below(PLAYERS);
    let players: Vec<u32> = (0..2 * u32::from(team_size)).map(|seat| (first + seat * 977 + chance.below(90)) % PLAYERS).collect();
    let entrant = |seat: u16| Entrant {
        rating: Rating { mean: 0.0, uncertainty: 1.0, memory: Vec::new() },
        team: seat / team_size,
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
        entrants: (0..2 * team_size).map(entrant).collect(),
    };
    (contest, players)
}

/// Chunks of two-team contests, each with its own players, numbered from 0, as the host hands them to an engine. `known` says what is
/// known of a player.
pub(crate) fn chunks(team_size: u16, known: impl Fn(u32) -> Rating) -> Vec<(Journal, Cohort)> {
    let mut chance = Chance(7);
    let chunk = |_| {
        let mut numbers = vec![None; PLAYERS as usize];
        let (mut journal, mut cohort) = (Journal::default(), Cohort::default());
        for number in 0..CHUNK_CONTESTS {
            let (contest, players) = contest(&mut chance, number, team_size);
            let mut numbered =
                |&player: &u32| *numbers[player as usize].get_or_insert_with(|| cohort.push(&known(player), 3, UnixSeconds(-9)));
            journal.push(&contest, &players.iter().map(&mut numbered).collect::<Vec<_>>());
        }
        (journal, cohort)
    };
    (0..CHUNKS).map(chunk).collect()
}

/// What the fastest rounds of all chunks took together.
#[derive(Default)]
pub(crate) struct Fastest(Vec<Duration>);

impl Fastest {
    /// Runs `work` once and keeps its time if it is the fastest so far of this chunk.
    pub(crate) fn time<R>(&mut self, chunk: usize, work: impl FnOnce() -> R) -> R {
        let started = Instant::now();
        let result = work();
        self.note(chunk, started.elapsed());
        result
    }

    /// Keeps a time that was taken elsewhere.
    pub(crate) fn note(&mut self, chunk: usize, took: Duration) {
        self.0.resize(self.0.len().max(chunk + 1), Duration::MAX);
        self.0[chunk] = self.0[chunk].min(took);
    }

    /// All chunks together.
    pub(crate) fn total(&self) -> Duration {
        self.0.iter().sum()
    }

    /// Nanoseconds per contest.
    pub(crate) fn ns_per_contest(&self) -> f64 {
        self.total().as_nanos() as f64 / (CHUNKS * CHUNK_CONTESTS) as f64
    }
}
