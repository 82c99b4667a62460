//! A database in a temporary folder, a queue, players, and a small deterministic rating engine that can be told to fault.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ladder::fault::PluginFault;
use ladder::id::{Digest, MatchId, PlayerId, QueueId, QueueTicketId, ReportId, ServerId};
use ladder::matches::PendingMatch;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting, Stat, Update};
use ladder::report::{AcceptedPlayer, AcceptedReport, Disposition, Provenance, ReportFacts, Source};
use ladder::time::{UnixMillis, UnixSeconds};
use store::{AcceptOptions, Accepted, MatchOrder, Member, NewQueueTicket, Options, Store};
use tempfile::TempDir;

pub const SERVER: ServerId = ServerId([7; 16]);
pub const OTHER_SERVER: ServerId = ServerId([8; 16]);
pub const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// Moves skills by what the places say; remembers how many contests the queue had. Any division shows in the last bits.
pub struct Steps {
    pub digest: Digest,
    pub parameters: String,
    pub step: f64,
    /// Faults on reports in which this score stands.
    pub faults_on: Mutex<BTreeSet<u64>>,
    /// How long it rates one report.
    pub takes: Mutex<Duration>,
    /// How long it softens one player.
    pub soften_takes: Mutex<Duration>,
    /// Faults when it is to soften anybody.
    pub faults_on_soften: Mutex<bool>,
}

impl Steps {
    pub fn new(step: f64) -> Arc<Self> {
        Arc::new(Self {
            digest: Digest([1; 32]),
            parameters: format!("{{\"step\":{step}}}"),
            step,
            faults_on: Mutex::default(),
            takes: Mutex::default(),
            soften_takes: Mutex::default(),
            faults_on_soften: Mutex::default(),
        })
    }

    pub fn fault_on(&self, score: u64) {
        self.faults_on.lock().unwrap().insert(score);
    }

    pub fn recover(&self) {
        self.faults_on.lock().unwrap().clear();
    }
}

impl RatingEngine for Steps {
    fn digest(&self) -> Digest {
        self.digest
    }

    fn parameters(&self) -> &str {
        &self.parameters
    }

    fn initial(&self) -> Result<(Rating, f64), PluginFault> {
        Ok((Rating { mean: 25.0, uncertainty: 8.0, memory: vec![] }, 1.0))
    }

    fn rate(&self, memory: &[u8], contest: &Contest) -> Result<Update, PluginFault> {
        if let Some(score) = contest.scores.first()
            && self.faults_on.lock().unwrap().contains(&(*score as u64))
        {
            return Err(PluginFault::Trap { detail: "told to".into() });
        }
        std::thread::sleep(*self.takes.lock().unwrap());
        let seen = memory.try_into().map_or(0, u64::from_be_bytes) + 1;
        let rated = |entrant: &Entrant| {
            let place = f64::from(contest.places[usize::from(entrant.team)]);
            let mean = entrant.rating.mean + self.step * (0.5 - place) / (1.0 + f64::from(entrant.contests)) + 1.0 / (seen as f64);
            Rating { mean, uncertainty: entrant.rating.uncertainty / 1.1, memory: vec![entrant.contests as u8] }
        };
        let ratings: Vec<_> = contest.entrants.iter().map(rated).collect();
        let visible = ratings.iter().map(|rating| rating.mean - 3.0 * rating.uncertainty).collect();
        Ok(Update { ratings, visible, memory: seen.to_be_bytes().to_vec() })
    }

    fn soften(&self, rating: &Rating, keep: f64) -> Result<(Rating, f64), PluginFault> {
        if *self.faults_on_soften.lock().unwrap() {
            return Err(PluginFault::Trap { detail: "told to".into() });
        }
        std::thread::sleep(*self.soften_takes.lock().unwrap());
        let mean = if keep < 1.0 { 25.0 + keep * (rating.mean - 25.0) } else { rating.mean };
        let uncertainty = if keep < 1.0 { 8.0 + keep * (rating.uncertainty - 8.0) } else { rating.uncertainty };
        Ok((Rating { mean, uncertainty, memory: rating.memory.clone() }, mean - 3.0 * uncertainty))
    }

    fn predict(&self, _: &[u8], line_up: &[Entrant], _: &Setting) -> Result<Vec<f64>, PluginFault> {
        Ok(vec![0.5 + (line_up[0].rating.mean - line_up[1].rating.mean) / 1000.0])
    }
}

pub struct World {
    pub store: Store,
    pub queue: QueueId,
    pub players: Vec<PlayerId>,
    pub engine: Arc<Steps>,
    pub folder: TempDir,
}

impl World {
    /// A queue with `Steps` and `players` players.
    pub fn new(players: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("ranked.db"), Options::default()).unwrap();
        let queue = store.ensure_queue("duel").wait().unwrap();
        let names = (0..players).map(|number| format!("player-{number}")).collect();
        let players = store.ensure_players(names, NOW).wait().unwrap();
        let world = Self { store, queue, players, engine: Steps::new(4.0), folder };
        world.install(&world.engine);
        world
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("ranked.db")
    }

    /// The same file through a second store, as another process would have it.
    pub fn second(&self) -> Store {
        Store::open(self.path(), Options::default()).unwrap()
    }

    pub fn install(&self, engine: &Arc<Steps>) -> store::Installed {
        self.store.install_engine(self.queue, Arc::clone(engine) as Arc<dyn RatingEngine>, |_| (), NOW).wait().unwrap().unwrap()
    }

    pub fn enqueue(&self, players: &[PlayerId]) -> QueueTicketId {
        let members = players.iter().map(|&player| Member { player, latency_ms: vec![20, u16::MAX] }).collect();
        self.store.enqueue(NewQueueTicket { queue: self.queue, members, regions: 1 << 63 | 1 }, NOW).wait().unwrap().unwrap().id
    }

    pub fn order(&self, teams: &[&[QueueTicketId]]) -> MatchOrder {
        MatchOrder {
            queue: self.queue,
            teams: teams.iter().map(|tickets| tickets.to_vec()).collect(),
            region: 0,
            server: SERVER,
            server_capacity: 4,
            quality: 0.75,
            policy_digest: Digest([5; 32]),
        }
    }

    /// A pending 1v1.
    pub fn open(&self, first: PlayerId, second: PlayerId) -> PendingMatch {
        let (first, second) = (self.enqueue(&[first]), self.enqueue(&[second]));
        let order = self.order(&[&[first], &[second]]);
        self.store.open_matches(vec![order], NOW).wait().unwrap().pop().unwrap().unwrap()
    }

    /// A live 1v1.
    pub fn live(&self, first: PlayerId, second: PlayerId) -> MatchId {
        let pending = self.open(first, second);
        let match_id = pending.match_id;
        self.store.admit_match(&pending.handle_ack(SERVER).unwrap(), NOW).wait().unwrap().unwrap();
        self.store.start_match(match_id, SERVER, NOW).wait().unwrap().unwrap();
        match_id
    }

    pub fn accept(&self, facts: ReportFacts) -> Accepted {
        self.store.accept_report(AcceptedReport::from_journal(facts), AcceptOptions::default(), NOW).wait().unwrap().unwrap()
    }

    /// An imported 1v1, the first player wins. `number` makes the report id and is the winner's score.
    pub fn import(&self, number: u64, first: PlayerId, second: PlayerId) -> Accepted {
        self.accept(imported(self.queue, number, first, second))
    }

    /// Asserts that what is stored is what a replay in memory gives.
    pub fn assert_equals_replay(&self) {
        let engine = Arc::clone(&self.engine) as Arc<dyn RatingEngine>;
        let comparison = self.store.compare_with_replay(self.queue, engine).wait().unwrap().unwrap();
        assert!(comparison.is_equal(), "{comparison:?}");
        assert!(comparison.reports > 0);
    }

    /// Visible ratings by player, as bits.
    pub fn board(&self) -> Vec<(PlayerId, u64, u32)> {
        let rows = self.store.leaderboard(self.queue, 0, 500).wait().unwrap();
        rows.into_iter().map(|row| (row.player, row.visible.to_bits(), row.contests)).collect()
    }
}

pub fn report_id(number: u64) -> ReportId {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    ReportId(id)
}

/// The report of a 1v1 that `SERVER` hosted.
pub fn report(queue: QueueId, match_id: MatchId, number: u64, first: PlayerId, second: PlayerId) -> ReportFacts {
    let player = |player, team| AcceptedPlayer { player, team, presence: 1.0, stats: vec![Stat { index: 0, value: 7.0 }] };
    ReportFacts {
        report_id: report_id(number),
        match_id: Some(match_id),
        provenance: Provenance { queue, source: Source::Server(SERVER), at: UnixSeconds(1_000 + number as i64), trust: 1.0, rules: None },
        duration_s: 60,
        places: vec![0, 1],
        scores: vec![number as f64, 0.0],
        sides: vec![],
        map: None,
        mode: None,
        totals: vec![],
        players: vec![player(first, 0), player(second, 1)],
        disposition: Disposition::Ratable,
        clamped: 0,
        reasons: vec![],
    }
}

pub fn imported(queue: QueueId, number: u64, first: PlayerId, second: PlayerId) -> ReportFacts {
    let facts = report(queue, MatchId(0), number, first, second);
    ReportFacts { match_id: None, provenance: Provenance { source: Source::Import, ..facts.provenance }, ..facts }
}
