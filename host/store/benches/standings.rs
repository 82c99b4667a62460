//! What standings cost with 100,000 players: pages and ranks with and without placements and decay, and the reset of a season. The engine is
//! native and does next to nothing, so that only the store is measured.
//!
//! `cargo bench -p store --bench standings`
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ladder::fault::PluginFault;
use ladder::id::{Digest, PlayerId, QueueId, ReportId};
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting, Update};
use ladder::report::{AcceptedPlayer, AcceptedReport, Disposition, Provenance, ReportFacts, Source};
use ladder::season::{Decay, SeasonReset, StandingRules};
use ladder::time::{UnixMillis, UnixSeconds};
use store::{AcceptOptions, NewSeason, Options, Store};

const PLAYERS: u64 = 100_000;
const ROUNDS: u64 = 5;
const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

struct Native;

impl RatingEngine for Native {
    fn digest(&self) -> Digest {
        Digest([3; 32])
    }

    fn parameters(&self) -> &'static str {
        "{}"
    }

    fn initial(&self) -> Result<(Rating, f64), PluginFault> {
        Ok((Rating { mean: 1500.0, uncertainty: 350.0, memory: vec![] }, 450.0))
    }

    fn rate(&self, _: &[u8], contest: &Contest) -> Result<Update, PluginFault> {
        let rated = |entrant: &Entrant| {
            let step = 32.0 * (0.5 - f64::from(contest.places[usize::from(entrant.team)])) / (1.0 + f64::from(entrant.contests));
            Rating { mean: entrant.rating.mean + step, uncertainty: entrant.rating.uncertainty * 0.97, memory: vec![7; 24] }
        };
        let ratings: Vec<_> = contest.entrants.iter().map(rated).collect();
        let visible = ratings.iter().map(|rating| rating.mean - 3.0 * rating.uncertainty).collect();
        Ok(Update { ratings, visible, memory: vec![] })
    }

    fn soften(&self, rating: &Rating, keep: f64) -> Result<(Rating, f64), PluginFault> {
        let (mean, uncertainty) = (1500.0 + keep * (rating.mean - 1500.0), 350.0 + keep * (rating.uncertainty - 350.0));
        Ok((Rating { mean, uncertainty, memory: rating.memory.clone() }, mean - 3.0 * uncertainty))
    }

    fn predict(&self, _: &[u8], _: &[Entrant], _: &Setting) -> Result<Vec<f64>, PluginFault> {
        Ok(vec![0.5])
    }
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("ranked.db"), Options::default()).unwrap();
    let queue = store.ensure_queue("duel").wait().unwrap();
    let players: Vec<PlayerId> = (0..PLAYERS / 500)
        .flat_map(|page| store.ensure_players((0..500).map(|number| format!("player-{page}-{number}")).collect(), NOW).wait().unwrap())
        .collect();
    store.install_engine(queue, Arc::new(Native), |_| (), NOW).wait().unwrap().unwrap();
    let began = Instant::now();
    play(&store, queue, &players, 0..PLAYERS * ROUNDS / 2);
    println!("{} reports of {PLAYERS} players accepted in {:.1} s", PLAYERS * ROUNDS / 2, began.elapsed().as_secs_f64());

    let decay = Some(Decay { after_days: 14, per_day: 1.0, floor: 0.0 });
    let rules = [
        ("plain", StandingRules::default()),
        ("placements", StandingRules { placements: 5, decay: None }),
        ("decay", StandingRules { placements: 5, decay }),
    ];
    for (name, rules) in rules {
        let now = NOW.seconds();
        let first = median(|| assert_eq!(store.leaderboard_at(queue, rules, now, 0, 100).wait().unwrap().len(), 100));
        let last = median(|| drop(store.leaderboard_at(queue, rules, now, 99_000, 100).wait().unwrap()));
        let len = median(|| assert!(store.leaderboard_len_at(queue, rules).wait().unwrap() > 0));
        let profile = median(|| {
            let by_queue = BTreeMap::from([(queue, rules)]);
            drop(store.profile_at(players[50_000], by_queue, now).wait().unwrap());
        });
        println!("{name:<11} first page {first:>7.2?}  page at 99,000 {last:>7.2?}  length {len:>7.2?}  profile with rank {profile:>7.2?}");
    }
    reset(&store, queue, &players, &rules[2].1);
    let archived = median(|| assert_eq!(store.season_standings(queue, 0, 0, 100).wait().unwrap().len(), 100));
    println!("archived    first page {archived:>7.2?}");
}

/// Starts a season and has everybody reset, while reports go on coming.
fn reset(store: &Store, queue: QueueId, players: &[PlayerId], rules: &StandingRules) {
    let new =
        NewSeason { name: "one".into(), reset: SeasonReset::Soft { keep: 0.6 }, starts_at: NOW, ended: *rules, by: "a benchmark".into() };
    let began = Instant::now();
    store.start_season(queue, new, NOW).wait().unwrap().unwrap();
    let (mut steps, mut longest) = (0, Duration::ZERO);
    let mut reports: Vec<Duration> = Vec::new();
    loop {
        let at = Instant::now();
        let step = store.rate_waiting(queue, 256);
        // What a report that comes meanwhile takes until it is accepted: the step in front of it, and its own commit.
        play(store, queue, players, 1_000_000 + steps..1_000_001 + steps);
        reports.push(at.elapsed());
        let step = step.wait().unwrap().unwrap();
        longest = longest.max(at.elapsed());
        steps += 1;
        if !step.waits {
            break;
        }
    }
    reports.sort();
    println!(
        "reset of {} players with archive: {:.2?} in {steps} steps; a report meanwhile is accepted in {:.1?} (median), {:.1?} (longest)",
        players.len(),
        began.elapsed(),
        reports[reports.len() / 2],
        longest,
    );
}

fn play(store: &Store, queue: QueueId, players: &[PlayerId], numbers: std::ops::Range<u64>) {
    let mut in_flight = VecDeque::new();
    for number in numbers {
        let count = players.len() as u64;
        let (first, second) = (number * 2 % count, (number * 2 + 1 + 2 * (number / (count / 2))) % count);
        let report = duel(queue, number, players[usize::try_from(first).unwrap()], players[usize::try_from(second).unwrap()]);
        in_flight.push_back(store.accept_report(report, AcceptOptions::default(), NOW));
        if in_flight.len() > 512 {
            in_flight.pop_front().unwrap().wait().unwrap().unwrap();
        }
    }
    in_flight.into_iter().for_each(|accepted| drop(accepted.wait().unwrap().unwrap()));
}

fn duel(queue: QueueId, number: u64, first: PlayerId, second: PlayerId) -> AcceptedReport {
    let player = |player, team| AcceptedPlayer { player, team, presence: 1.0, stats: vec![] };
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    // Spread over 60 days before now.
    let at = UnixSeconds(NOW.seconds().0 - i64::try_from(number * 7_919 % (60 * 86_400)).unwrap());
    AcceptedReport::from_journal(ReportFacts {
        report_id: ReportId(id),
        match_id: None,
        provenance: Provenance { queue, source: Source::Import, at, trust: 1.0, rules: None },
        duration_s: 60,
        places: vec![0, 1],
        scores: vec![],
        sides: vec![],
        map: None,
        mode: None,
        totals: vec![],
        players: vec![player(first, 0), player(second, 1)],
        disposition: Disposition::Ratable,
        clamped: 0,
        reasons: vec![],
    })
}

fn median(run: impl Fn()) -> Duration {
    let mut times: Vec<Duration> = (0..15)
        .map(|_| {
            let began = Instant::now();
            run();
            began.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}
