//! What the game side knows at this instant: who is connected, who waits, which matches are open. Pure: no store, no sockets, no clock.
//!
//! The store is the truth and decides; the board is told what was committed, and answers with the messages that are due. It lives behind
//! one lock that is never held across an await, so a transaction runs between two visits. A match in [`Phase::Deciding`] belongs to
//! whoever opened that transaction: nobody else moves, voids or admits it meanwhile.
//!
//! ```text
//! nowhere --enqueued--> waiting --opened--> in a match: Pending --admitted--> Admitted --started--> Live --> nowhere
//!                          ^                               |
//!                          +-----------requeued------------+
//! ```

mod matches;
mod players;
mod servers;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ladder::id::{MatchId, PlayerId, QueueId, QueueTicketId, ServerId};
use ladder::matches::{AdmittedMatch, PendingMatch, Roster};
use ladder::queue::QueueShape;
use ladder::reason::Reason;
use ladder::time::UnixMillis;
use protocol::id::SessionId;

use super::budget::{Budget, Rate};
use super::join_token::JoinKey;
use super::matchmaker::mirror::Mirror;
use super::matchmaker::slots::Slots;
use crate::config::Matchmaking;

pub(super) use matches::{AckIgnored, Due, Relocation, Start};
pub(super) use players::Whereabouts;
use servers::Beat;

/// The state of the game side. See the module's page.
pub(super) struct Board {
    settings: Matchmaking,
    join_key: JoinKey,
    queues: Vec<QueueBoard>,
    servers: BTreeMap<ServerId, GameServer>,
    players: BTreeMap<PlayerId, Player>,
    matches: BTreeMap<MatchId, OpenMatch>,
}

/// One queue. Its position in the list is its index everywhere in `play`.
pub(super) struct QueueBoard {
    pub(super) id: QueueId,
    pub(super) shape: QueueShape,
    pub(super) mirror: Mirror,
    waits: RecentWaits,
    rating_probes: Budget,
}

/// A game server that is connected, or was a moment ago and has matches.
#[derive(Default)]
struct GameServer {
    owner: String,
    /// `None`: not connected.
    session: Option<SessionId>,
    /// When its session ended, or when the host started without it.
    lost_at: UnixMillis,
    /// Its certificate is dead: nobody waits for it to come back.
    credential_dead: bool,
    beat: Option<Beat>,
    name_mismatch_noted: bool,
    strikes: Budget,
    log_entries: Budget,
}

/// A player who is connected, waits or plays.
struct Player {
    name: String,
    /// `None`: not connected.
    session: Option<SessionId>,
    /// When the session ended, or when the host started without it.
    lost_at: UnixMillis,
    place: Place,
    changes: Budget,
}

/// Where a player stands.
enum Place {
    Nowhere,
    Waiting {
        queue: usize,
        ticket: QueueTicketId,
        /// Why the player is back in the queue.
        notice: Option<Reason>,
    },
    Playing(MatchId),
}

/// A match that was opened and has not ended.
struct OpenMatch {
    queue: usize,
    region: u16,
    server: ServerId,
    roster: Roster,
    /// When the join tokens end. Follows from stored times alone, so that the tokens can be derived again.
    expires_at: UnixMillis,
    /// When the present phase has lasted too long.
    overdue_at: UnixMillis,
    /// Game servers that failed to take it, the present one not included.
    tried: Vec<ServerId>,
    phase: Phase,
}

/// How far an open match is.
#[derive(Debug)]
pub(super) enum Phase {
    /// The game server has not acknowledged the allowlist.
    Pending(PendingMatch),
    /// It has, and that is stored: players may be told.
    Admitted(AdmittedMatch),
    /// It said that the match started.
    Live(AdmittedMatch),
    /// A transaction decides what becomes of it.
    Deciding,
}

impl Board {
    /// An empty board for these queues.
    pub(super) fn new(settings: Matchmaking, join_key: JoinKey, queues: Vec<(QueueId, QueueShape)>) -> Self {
        let queues = queues
            .into_iter()
            .map(|(id, shape)| QueueBoard {
                id,
                mirror: Mirror::new(shape.regions.len()),
                waits: RecentWaits::default(),
                rating_probes: Budget::default(),
                shape,
            })
            .collect();
        Self { settings, join_key, queues, servers: BTreeMap::new(), players: BTreeMap::new(), matches: BTreeMap::new() }
    }

    /// One queue, by its index.
    pub(super) fn queue(&mut self, index: usize) -> &mut QueueBoard {
        &mut self.queues[index]
    }

    /// The index of a queue, by its number in the store.
    pub(super) fn queue_index(&self, id: QueueId) -> Option<usize> {
        self.queues.iter().position(|queue| queue.id == id)
    }

    /// Notes how long a matched queue ticket had waited, for the estimates of those who still wait.
    pub(super) fn note_wait(&mut self, queue: usize, waited: Duration) {
        self.queues[queue].waits.note(waited);
    }

    /// Spends a queue's budget for calling a rating engine that is in quarantine; `false` if it is used up.
    pub(super) fn may_probe_rating(&mut self, queue: usize, rate: Rate, now: UnixMillis) -> bool {
        self.queues[queue].rating_probes.spend(rate, now).is_ok()
    }

    /// Matches open per game server.
    fn active_per_server(&self) -> BTreeMap<ServerId, u32> {
        let mut active = BTreeMap::new();
        for open in self.matches.values() {
            *active.entry(open.server).or_insert(0) += 1;
        }
        active
    }

    /// Fills in the free places of a queue's regions.
    pub(super) fn fill_slots(&self, queue: usize, slots: &mut Slots) {
        let regions = &self.queues[queue].shape.regions;
        let active = self.active_per_server();
        slots.reset(regions.len());
        for (&server, known) in &self.servers {
            let Some(beat) = known.beat.as_ref().filter(|beat| known.session.is_some() && beat.idle.is_none()) else { continue };
            if let Some(region) = regions.iter().position(|region| *region == beat.region) {
                slots.add(region, beat.berth(server, active.get(&server).copied().unwrap_or(0)));
            }
        }
    }

    /// Counts for `/metrics`: queue tickets and players waiting, then matches pending, admitted and live.
    pub(super) fn count(&self, queue: usize) -> Counts {
        let mirror = &self.queues[queue].mirror;
        let mut counts = Counts { tickets: mirror.tickets(), players: mirror.players(), ..Counts::default() };
        for open in self.matches.values().filter(|open| open.queue == queue) {
            match open.phase {
                Phase::Pending(_) | Phase::Deciding => counts.pending += 1,
                Phase::Admitted(_) => counts.admitted += 1,
                Phase::Live(_) => counts.live += 1,
            }
        }
        counts
    }
}

/// How busy one queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) tickets: usize,
    pub(super) players: usize,
    pub(super) pending: usize,
    pub(super) admitted: usize,
    pub(super) live: usize,
}

/// How long the latest matched queue tickets had waited.
#[derive(Default)]
struct RecentWaits {
    latest: VecDeque<Duration>,
}

/// Queue tickets that the estimate looks back on.
const RECENT_WAITS_MAX: usize = 63;

impl RecentWaits {
    fn note(&mut self, waited: Duration) {
        if self.latest.len() == RECENT_WAITS_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(waited);
    }

    /// `None` while nobody was matched.
    fn median(&self) -> Option<Duration> {
        let mut sorted: Vec<_> = self.latest.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}

#[cfg(test)]
pub(in crate::play) mod tests;
