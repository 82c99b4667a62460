//! Accepts reports until it is killed; `tests/kill.rs` kills it.
//!
//! Usage: `store_victim DATABASE FIRST_IMPORT [swapping | voiding | seasons LIFE]`. Two streams run at once: imported reports, numbered from `FIRST_IMPORT`, many in flight, and
//! whole matches from the queue to the report. Each acknowledgement is printed as `import NUMBER SEQ` or `match ID SEQ`, after it was given
//! and never before. What an earlier life left behind is taken up again first, as the host does at its start.
//! With `seasons LIFE` it plays no matches and starts a season after every ten imports, printed as `season NAME` if it was the one to start it.
//! With `swapping`, the rating engine is exchanged by another one and back, again and again, beside that. With `voiding`, some of the latest
//! reports are voided, and restored again.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use ladder::id::{Digest, MatchId, PlayerId, QueueId, ServerId};
use ladder::matches::{AdmittedMatch, MatchState, PendingMatch};
use ladder::rating::RatingEngine;
use ladder::reason::{Reason, code};
use ladder::report::AcceptedReport;
use ladder::season::{SeasonReset, StandingRules};
use ladder::time::UnixMillis;
use store::{
    AcceptOptions, Accepted, Decision, MatchOrder, Member, NewQueueTicket, NewSeason, Options, Pending, RatingState, ReportFilter, Store,
};
use tests::kill::{self, Stream};

/// Imports in flight, so that commits hold several.
const IN_FLIGHT: usize = 24;
/// Imports between two seasons.
const SEASON_IMPORTS: u64 = 10;
/// Of so many of the latest reports, every third one is voided.
const VOIDED_FROM: u32 = 200;
const SERVER: ServerId = ServerId([7; 16]);

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(database), Some(first)) = (arguments.next(), arguments.next()) else { bail!("usage: store_victim DATABASE FIRST_IMPORT") };
    let store = Store::open(&database, Options { busy_timeout: Duration::from_secs(30), ..Options::default() })?;
    let queue = store.ensure_queue(kill::QUEUE).wait()?;
    let players = store.ensure_players(kill::player_names(), now()).wait()?;
    let engines: [Arc<dyn RatingEngine>; 2] = [Arc::new(kill::engine()?), Arc::new(kill::other_engine()?)];
    // Whichever was in force when the last life ended goes on.
    let active = store.active_engine(queue).wait()?;
    let first_engine = usize::from(active.is_some_and(|active| active.parameters == engines[1].parameters()));
    store.install_engine(queue, Arc::clone(&engines[first_engine]), |_| (), now()).wait()?.context("install")?;
    let (importing, playing) = players.split_at(players.len() / 2);
    let mode = arguments.next();
    let life = arguments.next().filter(|_| mode.as_deref() == Some("seasons"));
    let seasons = life.is_some();
    let victim = Victim { store, queue, life };
    victim.rate_waiting()?;
    if seasons {
        return victim.import(first.parse()?, importing);
    }
    std::thread::scope(|scope| {
        match mode.as_deref() {
            Some("swapping") => drop(scope.spawn(|| victim.swap(&engines, first_engine))),
            Some("voiding") => drop(scope.spawn(|| victim.void_and_restore(&engines[first_engine]))),
            _ => {}
        }
        let matches = scope.spawn(|| victim.play(playing));
        victim.import(first.parse()?, importing)?;
        match matches.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

struct Victim {
    store: Store,
    queue: QueueId,
    /// What the names of the seasons begin with, if it starts any.
    life: Option<String>,
}

impl Victim {
    /// Imports until the end of time.
    fn import(&self, first: u64, players: &[PlayerId]) -> anyhow::Result<()> {
        let mut in_flight: VecDeque<(u64, Pending<Result<Accepted, _>>)> = VecDeque::new();
        for number in first.. {
            let facts = kill::facts(Stream::Import, number, self.queue, &kill::pair(players, number));
            in_flight.push_back((number, self.store.accept_report(AcceptedReport::from_journal(facts), AcceptOptions::default(), now())));
            if in_flight.len() == IN_FLIGHT
                && let Some((number, pending)) = in_flight.pop_front()
            {
                self.acknowledge("import", number, pending.wait()?.context("import")?)?;
                if number % SEASON_IMPORTS == SEASON_IMPORTS - 1 {
                    self.start_season((number - first) / SEASON_IMPORTS)?;
                }
            }
        }
        Ok(())
    }

    /// Starts a season, unless the other process was faster.
    fn start_season(&self, number: u64) -> anyhow::Result<()> {
        let Some(life) = &self.life else { return Ok(()) };
        let name = format!("{life}-{number}");
        let reset = if number.is_multiple_of(2) { SeasonReset::Soft { keep: 0.5 } } else { SeasonReset::Uncertainty { keep: 0.5 } };
        let new = NewSeason { name, reset, starts_at: now(), ended: StandingRules::default(), by: "a victim".to_owned() };
        if let Ok(season) = self.store.start_season(self.queue, new, now()).wait()? {
            writeln!(std::io::stdout().lock(), "season {}", season.name)?;
        }
        self.rate_waiting()
    }

    /// Exchanges the engine again and again until the end of time.
    fn swap(&self, engines: &[Arc<dyn RatingEngine>; 2], in_force: usize) -> anyhow::Result<()> {
        for turn in in_force + 1.. {
            self.store.install_engine(self.queue, Arc::clone(&engines[turn % 2]), |_| (), now()).wait()?.context("swap")?;
        }
        Ok(())
    }

    /// Voids some reports and lets them count again, until the end of time. What an earlier life voided is restored first.
    fn void_and_restore(&self, engine: &Arc<dyn RatingEngine>) -> anyhow::Result<()> {
        let decision = Decision::new("victim", "to be killed meanwhile")?;
        loop {
            let revisions = self.store.list_revisions().wait()?;
            match revisions.iter().find(|revision| revision.still_voided > 0) {
                Some(void) => drop(self.store.restore_revision(self.queue, void.revision, decision.clone(), now()).wait()?),
                None => {
                    let latest = self.store.list_reports(ReportFilter::default(), VOIDED_FROM).wait()?;
                    let some: Vec<_> = latest.iter().map(|report| report.seq).filter(|seq| seq.0 % 3 == 0).collect();
                    drop(self.store.void_reports(some, decision.clone(), None, now()).wait()?);
                }
            }
            self.store.install_engine(self.queue, Arc::clone(engine), |_| (), now()).wait()?.context("build")?;
        }
    }

    /// Plays match after match until the end of time.
    fn play(&self, players: &[PlayerId]) -> anyhow::Result<()> {
        self.take_up_old_matches()?;
        for number in 0.. {
            let orders = kill::pair(players, number).map(|player| {
                let members = vec![Member { player, latency_ms: vec![] }];
                NewQueueTicket { queue: self.queue, members, regions: 1 }
            });
            for order in orders {
                // Whoever still waits from an earlier life is matched now.
                drop(self.store.enqueue(order, now()).wait()?);
            }
            let waiting = self.store.load_waiting(self.queue).wait()?;
            let [first, second, ..] = &waiting[..] else { bail!("two queue tickets wait") };
            let order = MatchOrder {
                queue: self.queue,
                teams: vec![vec![first.id], vec![second.id]],
                region: 0,
                server: SERVER,
                server_capacity: 64,
                quality: 0.5,
                policy_digest: Digest([0; 32]),
            };
            let opened = self.store.open_matches(vec![order], now()).wait()?.pop().context("one answer")??;
            let admitted = opened.handle_ack(SERVER)?;
            self.store.admit_match(&admitted, now()).wait()??;
            self.finish(&admitted)?;
        }
        Ok(())
    }

    /// Matches of an earlier life: the pending ones go back to the queue, the others are played to their end.
    fn take_up_old_matches(&self) -> anyhow::Result<()> {
        for active in self.store.load_active_matches().wait()? {
            match active.state {
                MatchState::Pending => {
                    let reason = Reason::new(code::ALLOWLIST_TIMEOUT, "the host was killed");
                    self.store.requeue_match(active.details.match_id, reason, now()).wait()?.context("it is pending")?;
                }
                state => self.finish(&AdmittedMatch::from_store(state, active.details).context("admitted or live")?)?,
            }
        }
        Ok(())
    }

    fn finish(&self, admitted: &AdmittedMatch) -> anyhow::Result<()> {
        let PendingMatch { match_id: MatchId(number), queue, roster, .. } = admitted.details();
        self.store.start_match(MatchId(*number), SERVER, now()).wait()??;
        let players: Vec<_> = roster.players().map(|(player, _)| player).collect();
        let facts = kill::facts(Stream::Match(SERVER), *number, *queue, &[players[0], players[1]]);
        let report = AcceptedReport::from_journal(facts);
        self.acknowledge("match", *number, self.store.accept_report(report, AcceptOptions::default(), now()).wait()??)
    }

    fn acknowledge(&self, stream: &str, number: u64, accepted: Accepted) -> anyhow::Result<()> {
        writeln!(std::io::stdout().lock(), "{stream} {number} {}", accepted.seq)?;
        if matches!(accepted.rating, RatingState::Waits(_)) { self.rate_waiting() } else { Ok(()) }
    }

    /// A busy machine may let a call of the engine run past its deadline: that is a fault, and faults are made up for.
    fn rate_waiting(&self) -> anyhow::Result<()> {
        while self.store.rate_waiting(self.queue, 256).wait()??.waits {}
        Ok(())
    }
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
