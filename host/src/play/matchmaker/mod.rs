//! The matchmaker: every tick, per queue, from those who wait to matches that are open.
//!
//! ```text
//! mirror + slots --look--> Tick --decide (policy, on its own thread)--> drafts --place--> orders --store.open_matches--> AllowPlayers
//! ```
//!
//! The policy runs outside any transaction and without the board's lock. What changed meanwhile is found by the store, which looks at every
//! queue ticket, player and slot again before it opens a match.

pub mod mirror;
pub mod slots;
pub mod tick;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ladder::fault::PluginFault;
use ladder::id::Digest;
use ladder::pool::MatchmakingPolicy;
use ladder::time::UnixMillis;
use store::{MatchOrder, OpenRefusal};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::slots::Slots;
use self::tick::{Decision, Draft, Terms, Tick};
use super::Play;
use crate::metrics::ByQueue;

/// One queue's matchmaker: what its ticks keep between them.
pub struct Matchmaker {
    index: usize,
    terms: Arc<Terms>,
    tick: Tick,
    slots: Slots,
}

impl Play {
    /// The matchmaker of the queue with this index.
    #[must_use]
    pub fn matchmaker(&self, index: usize) -> Matchmaker {
        let queue = &self.queues[index];
        let terms = Terms {
            queue: queue.id,
            shape: queue.shape.clone(),
            latency_ms_max: self.settings.latency_ms_max,
            matches_max: self.settings.matches_per_tick_max,
        };
        Matchmaker { index, terms: Arc::new(terms), tick: Tick::default(), slots: Slots::default() }
    }

    pub(super) async fn run_matchmaker(self: Arc<Self>, index: usize, stop: CancellationToken) {
        let mut matchmaker = self.matchmaker(index);
        let label = ByQueue::new(self.queues[index].name());
        let mut ticks = tokio::time::interval(Duration::from_millis(self.settings.tick_ms));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let began = Instant::now();
            self.run_tick(&mut matchmaker).await;
            self.metrics.tick_seconds.get_or_create(&label).observe(began.elapsed().as_secs_f64());
        }
    }

    /// One tick: looks, asks the policy, opens what may be opened and tells the game servers.
    pub async fn run_tick(&self, matchmaker: &mut Matchmaker) {
        let now = self.clock.now();
        {
            let mut board = self.board();
            board.fill_slots(matchmaker.index, &mut matchmaker.slots);
            matchmaker.tick.look(&matchmaker.terms, &mut board.queue(matchmaker.index).mirror, &matchmaker.slots, now);
        }
        self.queues[matchmaker.index].recorder.offer(matchmaker.tick.pool());
        let Some((policy, decision)) = self.decide(matchmaker).await else { return };
        matchmaker.tick.note_limits(&mut self.board().queue(matchmaker.index).mirror);
        if !decision.faults.is_empty() {
            let label = ByQueue::new(self.queues[matchmaker.index].name());
            self.metrics.proposals_dropped.get_or_create(&label).inc_by(decision.faults.len() as u64);
        }
        for fault in &decision.faults {
            tracing::warn!(queue = self.queues[matchmaker.index].name(), error = %fault, "dropped a proposal of the policy");
        }
        let orders = place(&matchmaker.terms, &mut matchmaker.slots, decision.drafts, policy);
        if !orders.is_empty() {
            self.open(matchmaker, orders, now).await;
        }
    }

    /// The policy's answer, or that of the fallback while the policy is in quarantine; `None` if nobody is matched in this tick.
    async fn decide(&self, matchmaker: &mut Matchmaker) -> Option<(Digest, Decision)> {
        let queue = &self.queues[matchmaker.index];
        // Taken once: a policy that is swapped in meanwhile decides the next tick.
        let matching = queue.matching();
        let fault = match ask(matchmaker, &matching.policy).await {
            Ok(decision) => return Some((matching.policy.digest(), decision)),
            Err(fault) => fault,
        };
        let fallback = matching.fallback.as_ref().filter(|_| matches!(fault, PluginFault::Quarantined { .. }));
        let Some(fallback) = fallback else {
            tracing::warn!(queue = queue.name(), reason = fault.code(), error = %fault, "the policy matched nobody in this tick");
            return None;
        };
        match ask(matchmaker, fallback).await {
            Ok(decision) => Some((fallback.digest(), decision)),
            Err(fault) => {
                tracing::warn!(queue = queue.name(), reason = fault.code(), error = %fault, "the fallback policy matched nobody either");
                None
            }
        }
    }

    async fn open(&self, matchmaker: &Matchmaker, orders: Vec<MatchOrder>, now: UnixMillis) {
        let index = matchmaker.index;
        let answers = match self.store.open_matches(orders.clone(), now).await {
            Ok(answers) => answers,
            Err(error) => {
                tracing::error!(queue = self.queues[index].name(), error = %error, "no match of this tick was stored");
                return;
            }
        };
        let waits = self.metrics.match_wait_seconds.get_or_create(&ByQueue::new(self.queues[index].name())).clone();
        for (order, answer) in orders.into_iter().zip(answers) {
            match answer {
                Ok(pending) => {
                    let mut board = self.board();
                    for waited in order.teams.iter().flatten().filter_map(|&ticket| matchmaker.tick.waited(ticket)) {
                        waits.observe(waited.as_secs_f64());
                        board.note_wait(index, waited);
                    }
                    let effects = board.opened(index, order.region, pending, now, now);
                    drop(board);
                    self.deliver(effects);
                }
                Err(refusal) => {
                    tracing::debug!(queue = self.queues[index].name(), error = %refusal, "the store did not open a match");
                    if let OpenRefusal::NotWaiting { ticket } = refusal {
                        self.board().drop_stale(index, ticket);
                    }
                }
            }
        }
    }
}

/// Runs the policy on a thread of its own: it may take as long as a tick.
async fn ask(matchmaker: &mut Matchmaker, policy: &Arc<dyn MatchmakingPolicy>) -> Result<Decision, PluginFault> {
    let (policy, terms) = (Arc::clone(policy), Arc::clone(&matchmaker.terms));
    let mut tick = std::mem::take(&mut matchmaker.tick);
    let call = tokio::task::spawn_blocking(move || {
        let decision = tick.decide(&terms, policy.as_ref());
        (tick, decision)
    });
    let (tick, decision) = call.await.expect("a policy call answers with a fault where it fails");
    matchmaker.tick = tick;
    decision
}

/// Chooses a game server for each draft; the slots were counted in the pool, so each draft finds one.
fn place(terms: &Terms, slots: &mut Slots, drafts: Vec<Draft>, policy_digest: Digest) -> Vec<MatchOrder> {
    let order = |Draft { teams, region, quality }: Draft| {
        let berth = slots.take(region, &[])?;
        let region = u16::try_from(region).ok()?;
        let (server, server_capacity) = (berth.server, berth.capacity);
        Some(MatchOrder { queue: terms.queue, teams, region, server, server_capacity, quality, policy_digest })
    };
    drafts.into_iter().filter_map(order).collect()
}
