//! Players on the board: sessions, who waits in which queue, and what a waiting player is told.

use std::collections::btree_map::Entry;
use std::time::Duration;

use ladder::id::{MatchId, PlayerId, QueueTicketId};
use ladder::reason::Reason;
use ladder::time::UnixMillis;
use protocol::message::v1;
use store::WaitingTicket;

use super::super::budget::{Budget, Rate};
use super::super::effect::{Effect, notice};
use super::super::matchmaker::slots::Slots;
use super::{Board, Place, Player, QueueBoard};
use crate::net::peer::PlayerPeer;

/// Where a player stands, for whoever must decide what to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Whereabouts {
    /// Neither waits nor plays.
    Nowhere,
    /// Waits in the queue with this index.
    Waiting(usize),
    /// Belongs to an open match.
    Playing(MatchId),
}

impl Board {
    /// A player's session began: one who waits is told so, one whose match is open is routed back to it.
    pub(in super::super) fn player_opened(&mut self, peer: &PlayerPeer, now: UnixMillis) -> Vec<Effect> {
        let known = self.know(peer.player, &peer.name, now);
        known.session = Some(peer.session_id);
        known.name.clone_from(&peer.name);
        if matches!(known.place, Place::Nowhere) { Vec::new() } else { self.answer(peer.player, now) }
    }

    /// A player's session is over. A place in a queue is kept for a while, a match is kept in any case.
    pub(in super::super) fn player_closed(&mut self, peer: &PlayerPeer, now: UnixMillis) {
        let Some(known) = self.players.get_mut(&peer.player).filter(|known| known.session == Some(peer.session_id)) else { return };
        known.session = None;
        known.lost_at = now;
        self.forget_idle_player(peer.player);
    }

    /// The host started and this player, who waits or plays, is not there yet.
    pub(in super::super) fn expect_player(&mut self, player: PlayerId, name: &str, now: UnixMillis) {
        self.know(player, name, now);
    }

    fn know(&mut self, player: PlayerId, name: &str, now: UnixMillis) -> &mut Player {
        match self.players.entry(player) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(Player {
                name: name.to_owned(),
                session: None,
                lost_at: now,
                place: Place::Nowhere,
                changes: Budget::default(),
            }),
        }
    }

    /// Where a player stands.
    pub(in super::super) fn whereabouts(&self, player: PlayerId) -> Whereabouts {
        match self.players.get(&player).map(|known| &known.place) {
            None | Some(Place::Nowhere) => Whereabouts::Nowhere,
            Some(&Place::Waiting { queue, .. }) => Whereabouts::Waiting(queue),
            Some(&Place::Playing(match_id)) => Whereabouts::Playing(match_id),
        }
    }

    /// Spends a player's budget for entering and leaving queues: each costs the database a transaction.
    ///
    /// # Errors
    /// It is used up: when to try again.
    pub(in super::super) fn may_change(&mut self, player: PlayerId, rate: Rate, now: UnixMillis) -> Result<(), Duration> {
        self.players.get_mut(&player).map_or(Ok(()), |known| known.changes.spend(rate, now))
    }

    /// The store has these players waiting. They are told, with the reason if they are back from a match that failed.
    pub(in super::super) fn waits(
        &mut self,
        queue: usize,
        ticket: &WaitingTicket,
        because: Option<&Reason>,
        now: UnixMillis,
    ) -> Vec<Effect> {
        self.queues[queue].mirror.insert(ticket);
        for member in &ticket.members {
            // The name is known already: from the player's session, from the match that failed, or from the start-up.
            self.know(member.player, "", now).place = Place::Waiting { queue, ticket: ticket.id, notice: because.cloned() };
        }
        ticket.members.iter().flat_map(|member| self.answer(member.player, now)).collect()
    }

    /// The store took this player's queue ticket out: everybody on it is told.
    pub(in super::super) fn left_queue(&mut self, ticket: QueueTicketId, players: &[PlayerId], because: &Reason) -> Vec<Effect> {
        for queue in &mut self.queues {
            queue.mirror.remove(ticket);
        }
        let mut effects = Vec::new();
        for &player in players {
            let Some(known) = self.players.get_mut(&player) else { continue };
            if matches!(known.place, Place::Waiting { ticket: theirs, .. } if theirs == ticket) {
                known.place = Place::Nowhere;
            }
            // Also if a tick found out before: whoever asked to leave gets an answer.
            if matches!(known.place, Place::Nowhere) {
                effects.push(Effect::to_player(player, not_queued(Some(because))));
                self.forget_idle_player(player);
            }
        }
        effects
    }

    /// The store says that this player waits no more, whatever the board believed.
    pub(in super::super) fn drop_ghost(&mut self, player: PlayerId) {
        if let Some(&Place::Waiting { queue, ticket, .. }) = self.players.get(&player).map(|known| &known.place) {
            self.drop_stale(queue, ticket);
        }
    }

    /// The store says that this queue ticket waits no more, whatever the board believed.
    pub(in super::super) fn drop_stale(&mut self, queue: usize, ticket: QueueTicketId) {
        let mirror = &mut self.queues[queue].mirror;
        let players: Vec<PlayerId> =
            mirror.iter().find(|(other, ..)| *other == ticket).map(|(_, _, players)| players.to_vec()).unwrap_or_default();
        mirror.remove(ticket);
        for player in players {
            if let Some(known) = self.players.get_mut(&player)
                && matches!(known.place, Place::Waiting { ticket: theirs, .. } if theirs == ticket)
            {
                known.place = Place::Nowhere;
                self.forget_idle_player(player);
            }
        }
    }

    /// What a player hears when asking how things stand: where to connect, or how the waiting goes.
    pub(in super::super) fn answer(&self, player: PlayerId, now: UnixMillis) -> Vec<Effect> {
        let Some(known) = self.players.get(&player) else { return vec![Effect::to_player(player, not_queued(None))] };
        match &known.place {
            Place::Nowhere => vec![Effect::to_player(player, not_queued(None))],
            Place::Playing(match_id) => match self.assignment_of(player, *match_id) {
                Some(assignment) => vec![Effect::to_player(player, assignment)],
                None => vec![Effect::to_player(player, self.matched(*match_id))],
            },
            Place::Waiting { queue, ticket, notice } => {
                let mut slots = Slots::default();
                self.fill_slots(*queue, &mut slots);
                let free: Vec<u32> = slots.free_per_region().collect();
                let status = self.queues[*queue].status(*ticket, notice.as_ref(), &free, now);
                vec![Effect::to_player(player, status)]
            }
        }
    }

    /// How the waiting goes, for everybody who waits in a queue and is connected.
    pub(in super::super) fn statuses(&self, queue: usize, now: UnixMillis) -> Vec<Effect> {
        let mut slots = Slots::default();
        self.fill_slots(queue, &mut slots);
        let free: Vec<u32> = slots.free_per_region().collect();
        let board = &self.queues[queue];
        let mut effects = Vec::new();
        for (ticket, _, players) in board.mirror.iter() {
            for player in players {
                let Some(known) = self.players.get(player).filter(|known| known.session.is_some()) else { continue };
                let because = match &known.place {
                    Place::Waiting { notice, .. } => notice.as_ref(),
                    _ => None,
                };
                effects.push(Effect::to_player(*player, board.status(ticket, because, &free, now)));
            }
        }
        effects
    }

    /// Waiting players who are gone for too long.
    pub(super) fn gone_for_too_long(&self, now: UnixMillis) -> impl Iterator<Item = PlayerId> + '_ {
        let grace = Duration::from_millis(self.settings.player_lost_grace_ms);
        let is_due = move |known: &Player| {
            known.session.is_none() && known.lost_at.plus(grace) <= now && matches!(known.place, Place::Waiting { .. })
        };
        self.players.iter().filter(move |(_, known)| is_due(known)).map(|(&player, _)| player)
    }

    /// Ties players to a match, out of any queue.
    pub(super) fn bind(&mut self, player: PlayerId, match_id: MatchId) {
        let Some(known) = self.players.get_mut(&player) else { return };
        if let Place::Waiting { queue, ticket, .. } = known.place {
            self.queues[queue].mirror.remove(ticket);
        }
        known.place = Place::Playing(match_id);
    }

    /// Releases a player from a match, if that is where the player is.
    pub(super) fn release(&mut self, player: PlayerId, match_id: MatchId) {
        if let Some(known) = self.players.get_mut(&player)
            && matches!(known.place, Place::Playing(theirs) if theirs == match_id)
        {
            known.place = Place::Nowhere;
            self.forget_idle_player(player);
        }
    }

    pub(super) fn name_of(&self, player: PlayerId) -> String {
        self.players.get(&player).map(|known| known.name.clone()).unwrap_or_default()
    }

    fn forget_idle_player(&mut self, player: PlayerId) {
        if self.players.get(&player).is_some_and(|known| known.session.is_none() && matches!(known.place, Place::Nowhere)) {
            self.players.remove(&player);
        }
    }

    fn matched(&self, match_id: MatchId) -> v1::QueueStatus {
        let queue = self.matches.get(&match_id).map(|open| &self.queues[open.queue]);
        v1::QueueStatus {
            state: v1::QueueState::Matched.into(),
            queue: queue.map(|queue| queue.shape.queue.clone()).unwrap_or_default(),
            players_waiting: queue.map_or(0, |queue| count(queue.mirror.players())),
            limit: "none".to_owned(),
            ..v1::QueueStatus::default()
        }
    }
}

impl QueueBoard {
    fn status(&self, ticket: QueueTicketId, because: Option<&Reason>, free: &[u32], now: UnixMillis) -> v1::QueueStatus {
        let Some(row) = self.mirror.find(ticket) else { return not_queued(because) };
        let accepted = |region: usize| region < 64 && row.regions >> region & 1 == 1;
        v1::QueueStatus {
            state: v1::QueueState::Waiting.into(),
            queue: self.shape.queue.clone(),
            waited_ms: millis(now.since(row.enqueued_at)),
            players_waiting: count(self.mirror.players()),
            slots_free: free.iter().enumerate().filter(|(region, _)| accepted(*region)).fold(0, |sum, (_, free)| sum.saturating_add(*free)),
            limit: row.limit.name().to_owned(),
            estimated_wait_ms: self.waits.median().map(millis),
            notice: because.map(notice),
        }
    }
}

fn not_queued(because: Option<&Reason>) -> v1::QueueStatus {
    v1::QueueStatus {
        state: v1::QueueState::NotQueued.into(),
        limit: "none".to_owned(),
        notice: because.map(notice),
        ..v1::QueueStatus::default()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
