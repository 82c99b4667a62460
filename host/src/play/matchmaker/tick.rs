//! One tick over one queue, from the waiting queue tickets to matches that keep every rule: no clock, no database, no sockets.
//!
//! ```text
//! Mirror --look--> Pool --propose (policy, sandboxed)--> Proposals --check--> Drafts --(store opens them)--> PendingMatch
//! ```

use std::time::Duration;

use ladder::fault::PluginFault;
use ladder::id::{QueueId, QueueTicketId};
use ladder::pool::{CheckedProposal, LATENCY_UNKNOWN, MatchmakingPolicy, PolicyFault, Pool, check};
use ladder::queue::QueueShape;
use ladder::time::UnixMillis;
use sha2::{Digest, Sha256};

use super::mirror::Mirror;
use super::slots::Slots;

/// What holds for every tick of one queue.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The queue.
    pub queue: QueueId,
    /// Its shape.
    pub shape: QueueShape,
    /// Longest round trip at which a player is matched in a region, in milliseconds.
    pub latency_ms_max: u16,
    /// Matches of one tick at most; the rest follows in the next one.
    pub matches_max: usize,
}

/// A match that keeps every rule the pool shows; the store checks it again before it opens it.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Queue tickets per team.
    pub teams: Vec<Vec<QueueTicketId>>,
    /// Index into the queue's regions.
    pub region: usize,
    /// 0 to 1, as the policy rates it.
    pub quality: f64,
}

/// What one tick decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Matches to open, in the order proposed.
    pub drafts: Vec<Draft>,
    /// Why the other proposals were dropped. The policy's fault.
    pub faults: Vec<PolicyFault>,
}

/// The buffers of one queue's ticks. Reused, so that a tick allocates for the matches that it makes and not for those who wait.
#[derive(Debug, Default)]
pub struct Tick {
    number: u64,
    pool: Pool,
    tickets: Vec<QueueTicketId>,
    limits: Vec<u8>,
}

impl Tick {
    /// Takes the picture of this instant that the policy will look at.
    pub fn look(&mut self, terms: &Terms, mirror: &mut Mirror, slots: &Slots, now: UnixMillis) {
        self.number += 1;
        mirror.copy_to(now, &mut self.pool, &mut self.tickets);
        let (tickets, players) = (self.tickets.len(), self.pool.mean.len());
        // A round trip that nobody measured counts as the longest that is accepted: such a region comes last and is not ruled out.
        for latency in self.pool.latency_ms.iter_mut().filter(|latency| **latency == LATENCY_UNKNOWN) {
            *latency = terms.latency_ms_max;
        }
        self.pool.seed = seed(terms.queue, self.number, now);
        self.pool.roles.clear();
        self.pool.roles.resize(players, 0);
        // Every policy of this version widens by itself: the host sets no limit of its own beside the longest round trip.
        self.pool.reach.clear();
        self.pool.reach.resize(tickets, f64::MAX);
        self.pool.latency_max_ms.clear();
        self.pool.latency_max_ms.resize(tickets, terms.latency_ms_max);
        self.pool.slots.clear();
        self.pool.slots.extend(slots.free_per_region());
    }

    /// The picture.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Asks the policy and keeps what its answer and the rules of the pool allow.
    ///
    /// # Errors
    /// The policy's fault: nobody is matched by this call.
    pub fn decide(&mut self, terms: &Terms, policy: &dyn MatchmakingPolicy) -> Result<Decision, PluginFault> {
        self.limits.clear();
        if self.tickets.is_empty() {
            return Ok(Decision::default());
        }
        let proposals = policy.propose(&self.pool)?;
        let checked = check(&terms.shape, &self.pool, &proposals);
        if proposals.limit.len() == self.tickets.len() {
            self.limits = proposals.limit;
        }
        let drafts = checked.proposals.iter().take(terms.matches_max).map(|proposal| self.draft(proposal)).collect();
        Ok(Decision { drafts, faults: checked.faults })
    }

    /// Notes in the mirror what keeps each queue ticket waiting, as far as the policy said.
    pub fn note_limits(&self, mirror: &mut Mirror) {
        mirror.note_limits(&self.tickets, &self.limits);
    }

    /// How long a queue ticket of this picture has waited.
    pub(super) fn waited(&self, ticket: QueueTicketId) -> Option<Duration> {
        let index = self.tickets.binary_search(&ticket).ok()?;
        Some(Duration::from_millis(u64::from(self.pool.waited_ms[index])))
    }

    fn draft(&self, proposal: &CheckedProposal) -> Draft {
        let teams = proposal.teams().iter().map(|team| team.iter().map(|&index| self.tickets[index]).collect()).collect();
        Draft { teams, region: proposal.region(), quality: proposal.quality() }
    }
}

/// The only chance that a policy gets: it differs from tick to tick and from queue to queue, and the same tick gives the same again.
fn seed(queue: QueueId, tick: u64, now: UnixMillis) -> u64 {
    let hash = Sha256::new()
        .chain_update(b"RankedServer tick\0")
        .chain_update(queue.0.to_be_bytes())
        .chain_update(tick.to_be_bytes())
        .chain_update(now.0.to_be_bytes())
        .finalize();
    hash.iter().take(8).fold(0, |seed, &byte| seed << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::super::slots::Berth;
    use super::*;
    use ladder::id::{PlayerId, ServerId};
    use ladder::pool::{Limit, NEW_MATCH, Proposals};
    use store::{WaitingMember, WaitingTicket};

    /// Matches the first two of the pool, or answers what it was told to.
    struct Scripted(Result<Proposals, PluginFault>);

    impl MatchmakingPolicy for Scripted {
        fn digest(&self) -> ladder::id::Digest {
            ladder::id::Digest([0; 32])
        }
        fn propose(&self, _: &Pool) -> Result<Proposals, PluginFault> {
            self.0.clone()
        }
    }

    fn terms() -> Terms {
        let shape =
            QueueShape { queue: "duel".to_owned(), teams: 2, team_sizes: vec![1], regions: vec!["eu".to_owned()], ..QueueShape::default() };
        Terms { queue: QueueId(1), shape, latency_ms_max: 250, matches_max: 1 }
    }

    fn world(waiting: u64) -> (Mirror, Slots) {
        let mut mirror = Mirror::new(1);
        for id in 1..=waiting {
            let member = WaitingMember { player: PlayerId(id), mean: 25.0, uncertainty: 8.0, contests: 0, latency_ms: vec![20] };
            let (id, members) = (QueueTicketId(100 + id), vec![member]);
            mirror.insert(&WaitingTicket { id, queue: QueueId(1), enqueued_at: UnixMillis(0), regions: 1, members });
        }
        let mut slots = Slots::default();
        slots.reset(1);
        slots.add(0, Berth { server: ServerId([1; 16]), capacity: 4, active: 0, load: 0.0 });
        (mirror, slots)
    }

    fn pairs(tickets: &[u32]) -> Proposals {
        let matches = tickets.len() / 2;
        Proposals {
            ticket: tickets.to_vec(),
            team_end: (1..).take(tickets.len()).collect(),
            match_end: (1..).map(|end| end * 2).take(matches).collect(),
            region: vec![0; matches],
            quality: vec![0.5; matches],
            backfill: vec![NEW_MATCH; matches],
            limit: vec![Limit::Skill as u8; 4],
            ..Proposals::default()
        }
    }

    #[test]
    fn a_tick_drafts_what_the_policy_may_propose_and_no_more_than_its_bound() {
        let (mut mirror, slots) = world(4);
        let mut tick = Tick::default();
        tick.look(&terms(), &mut mirror, &slots, UnixMillis(5000));
        let decision = tick.decide(&terms(), &Scripted(Ok(pairs(&[0, 3, 1, 2])))).expect("a sound answer");
        let team = |id| vec![QueueTicketId(id)];
        assert_eq!(decision.drafts, [Draft { teams: vec![team(101), team(104)], region: 0, quality: 0.5 }]);
        assert_eq!(tick.waited(QueueTicketId(104)), Some(Duration::from_secs(5)));
        tick.note_limits(&mut mirror);
        assert_eq!(mirror.find(QueueTicketId(102)).map(|row| row.limit), Some(Limit::Skill));
    }

    #[test]
    fn a_lying_policy_is_named_and_a_faulting_one_matches_nobody() {
        let (mut mirror, slots) = world(4);
        let mut tick = Tick::default();
        tick.look(&terms(), &mut mirror, &slots, UnixMillis(5000));
        let decision = tick.decide(&terms(), &Scripted(Ok(pairs(&[0, 0, 9, 1, 2, 3])))).expect("an answer");
        assert_eq!(decision.faults, [PolicyFault::UsedTwice { index: 0 }, PolicyFault::NotWaiting { index: 9 }]);
        assert_eq!(decision.drafts.len(), 1);
        let fault = PluginFault::Deadline { deadline_ms_max: 400 };
        assert_eq!(tick.decide(&terms(), &Scripted(Err(fault.clone()))), Err(fault));
    }

    #[test]
    fn a_round_trip_that_nobody_measured_counts_as_the_longest_accepted() {
        let (mut mirror, slots) = world(1);
        let member = WaitingMember { player: PlayerId(9), mean: 25.0, uncertainty: 8.0, contests: 0, latency_ms: vec![LATENCY_UNKNOWN] };
        let (id, members) = (QueueTicketId(200), vec![member]);
        mirror.insert(&WaitingTicket { id, queue: QueueId(1), enqueued_at: UnixMillis(0), regions: 1, members });
        let mut tick = Tick::default();
        tick.look(&terms(), &mut mirror, &slots, UnixMillis(5000));
        assert_eq!(tick.pool.latency_ms, [20, 250]);
    }

    #[test]
    fn chance_differs_from_tick_to_tick() {
        let (mut mirror, slots) = world(2);
        let mut tick = Tick::default();
        let mut seeds: Vec<u64> = (0..100)
            .map(|_| {
                tick.look(&terms(), &mut mirror, &slots, UnixMillis(5000));
                tick.pool.seed
            })
            .collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 100);
    }
}
