//! Open matches on the board: from the allowlist to the assignments, and every way out.

use std::time::Duration;

use ladder::id::{MatchId, PlayerId, ServerId};
use ladder::matches::{AdmittedMatch, PendingMatch, Seat};
use ladder::reason::{Reason, code};
use ladder::time::UnixMillis;
use protocol::message::v1;
use store::WaitingTicket;

use super::super::effect::{Effect, notice};
use super::super::matchmaker::slots::{Berth, Slots};
use super::{Board, OpenMatch, Phase};

/// Something that has waited for too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Due {
    /// The match needs another game server, or its players go back to the queue.
    Move(MatchId, Reason),
    /// The match ends without a result.
    Void(MatchId, Reason),
    /// A waiting player who is gone leaves the queue.
    Leave(PlayerId),
}

/// Why an acknowledgement changes nothing. The game server's mistake, or it came too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum AckIgnored {
    /// No open match has this number.
    #[error("no such open match")]
    Unknown,
    /// The match is on another game server.
    #[error("the match is on another game server")]
    ForeignMatch,
    /// It acknowledged the match before: nobody's mistake, because an allowlist may come again.
    #[error("the match was acknowledged before")]
    Repeated,
    /// The match is in the middle of another decision.
    #[error("the match does not wait for an acknowledgement")]
    NotPending,
}

/// What a game server's word that a match started means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Start {
    /// The match was acknowledged and did not start before.
    First,
    /// Said again, as after every reconnect, or while a transaction decides about the match: nothing to do.
    Again,
    /// Nobody was sent to that match yet.
    TooEarly,
}

/// Where a match goes that its game server did not take.
pub(in super::super) enum Relocation {
    /// To another game server.
    To(Berth),
    /// Nowhere: its players return to the queue.
    Queue,
}

impl Board {
    /// The store opened this match. Its game server is told whom to admit; its players, that they were matched and not yet where.
    pub(in super::super) fn opened(
        &mut self,
        queue: usize,
        region: u16,
        pending: PendingMatch,
        opened_at: UnixMillis,
        now: UnixMillis,
    ) -> Vec<Effect> {
        let match_id = pending.match_id;
        self.put(queue, region, opened_at, Phase::Pending(pending), now);
        let mut effects: Vec<Effect> = self.invitation(match_id).into_iter().collect();
        effects.extend(self.players_of(match_id).into_iter().flat_map(|player| self.answer(player, now)));
        effects
    }

    /// The host started and the store says that this match is open. Whoever comes back is told again.
    pub(in super::super) fn recovered(&mut self, queue: usize, region: u16, phase: Phase, opened_at: UnixMillis, now: UnixMillis) {
        let Some(server) = phase.details().map(|details| details.server) else { return };
        self.expect_server(server, now);
        let match_id = self.put(queue, region, opened_at, phase, now);
        // Its game server is not connected yet: it gets the time to come back first.
        let grace = Duration::from_millis(self.settings.server_lost_grace_ms);
        if let Some(open) = match_id.and_then(|match_id| self.matches.get_mut(&match_id)) {
            open.overdue_at = open.overdue_at.plus(grace);
        }
    }

    fn put(&mut self, queue: usize, region: u16, opened_at: UnixMillis, phase: Phase, now: UnixMillis) -> Option<MatchId> {
        let details = phase.details()?;
        let (match_id, server, roster) = (details.match_id, details.server, details.roster.clone());
        let longest = Duration::from_millis(self.settings.start_ms_max.saturating_add(self.settings.match_ms_max));
        let overdue_at = now.plus(self.patience(&phase));
        for (player, _) in roster.players() {
            self.bind(player, match_id);
        }
        let open = OpenMatch { queue, region, server, roster, expires_at: opened_at.plus(longest), overdue_at, tried: Vec::new(), phase };
        self.matches.insert(match_id, open);
        Some(match_id)
    }

    /// How long a phase may last.
    fn patience(&self, phase: &Phase) -> Duration {
        Duration::from_millis(match phase {
            Phase::Pending(_) | Phase::Deciding => self.settings.allowlist_ack_ms_max,
            Phase::Admitted(_) => self.settings.start_ms_max,
            Phase::Live(_) => self.settings.match_ms_max,
        })
    }

    /// The game server holds the allowlist: what it acknowledged, for the store to write down. Nobody is told before that.
    pub(in super::super) fn begin_admission(&mut self, match_id: MatchId, from: ServerId) -> Result<AdmittedMatch, AckIgnored> {
        let open = self.matches.get_mut(&match_id).ok_or(AckIgnored::Unknown)?;
        let pending = match std::mem::replace(&mut open.phase, Phase::Deciding) {
            Phase::Pending(pending) => pending,
            other => {
                let repeated = matches!(other, Phase::Admitted(_) | Phase::Live(_));
                open.phase = other;
                return Err(match open.server == from {
                    false => AckIgnored::ForeignMatch,
                    true if repeated => AckIgnored::Repeated,
                    true => AckIgnored::NotPending,
                });
            }
        };
        pending.handle_ack(from).map_err(|stranger| {
            open.phase = Phase::Pending(stranger.still);
            AckIgnored::ForeignMatch
        })
    }

    /// The acknowledgement is stored: every player learns where to connect.
    pub(in super::super) fn admitted(&mut self, admitted: AdmittedMatch, now: UnixMillis) -> Vec<Effect> {
        let match_id = admitted.details().match_id;
        self.enter(match_id, Phase::Admitted(admitted), now);
        self.assignments(match_id)
    }

    /// The game server said, and the store knows, that the match started.
    pub(in super::super) fn started(&mut self, match_id: MatchId, now: UnixMillis) {
        let Some(open) = self.matches.get_mut(&match_id) else { return };
        match std::mem::replace(&mut open.phase, Phase::Deciding) {
            Phase::Admitted(admitted) => self.enter(match_id, Phase::Live(admitted), now),
            other => open.phase = other,
        }
    }

    /// What it means that the game server says this match started.
    pub(in super::super) fn start_of(&self, match_id: MatchId) -> Start {
        match self.matches.get(&match_id).map(|open| &open.phase) {
            Some(Phase::Admitted(_)) => Start::First,
            Some(Phase::Live(_) | Phase::Deciding) => Start::Again,
            Some(Phase::Pending(_)) | None => Start::TooEarly,
        }
    }

    /// Takes a match that its game server did not take away from it, and looks for another one in the region.
    pub(in super::super) fn begin_move(&mut self, match_id: MatchId) -> Option<(PendingMatch, Relocation)> {
        let mut slots = Slots::default();
        self.fill_slots(self.matches.get(&match_id)?.queue, &mut slots);
        let moves_max = usize::try_from(self.settings.moves_max).unwrap_or(usize::MAX);
        let open = self.matches.get_mut(&match_id)?;
        let pending = match std::mem::replace(&mut open.phase, Phase::Deciding) {
            Phase::Pending(pending) => pending,
            other => {
                open.phase = other;
                return None;
            }
        };
        let may_move = open.tried.len() < moves_max;
        open.tried.push(open.server);
        let berth = slots.take(usize::from(open.region), &open.tried).filter(|_| may_move);
        Some((pending, berth.map_or(Relocation::Queue, Relocation::To)))
    }

    /// The store moved the match: the new game server is told whom to admit, the old one that it is not wanted.
    pub(in super::super) fn moved(&mut self, moved: PendingMatch, because: &Reason, now: UnixMillis) -> Vec<Effect> {
        let (match_id, to) = (moved.match_id, moved.server);
        let Some(open) = self.matches.get_mut(&match_id) else { return Vec::new() };
        let from = std::mem::replace(&mut open.server, to);
        self.enter(match_id, Phase::Pending(moved), now);
        let mut effects = vec![Effect::match_voided(from, match_id.0, because)];
        effects.extend(self.invitation(match_id));
        effects
    }

    /// The store put the players back into the queue, with the time that they had waited.
    pub(in super::super) fn requeued(
        &mut self,
        match_id: MatchId,
        tickets: &[WaitingTicket],
        because: &Reason,
        now: UnixMillis,
    ) -> Vec<Effect> {
        let Some(open) = self.forget(match_id) else { return Vec::new() };
        let back = Reason::new("match-failed", format!("{}; you keep your place", because.detail));
        let mut effects = vec![Effect::match_voided(open.server, match_id.0, because)];
        effects.extend(tickets.iter().flat_map(|ticket| self.waits(open.queue, ticket, Some(&back), now)));
        effects
    }

    /// Takes a match out of everybody's hands while the store voids it. The phase goes back with [`Board::put_back`] if that fails.
    pub(in super::super) fn begin_void(&mut self, match_id: MatchId) -> Option<Phase> {
        let open = self.matches.get_mut(&match_id)?;
        match std::mem::replace(&mut open.phase, Phase::Deciding) {
            Phase::Deciding => None,
            phase => Some(phase),
        }
    }

    /// The store voided the match: its game server and its players are told why.
    pub(in super::super) fn voided(&mut self, match_id: MatchId, because: &Reason) -> Vec<Effect> {
        let Some(open) = self.forget(match_id) else { return Vec::new() };
        let ended = v1::MatchEnded {
            match_id: match_id.0,
            ending: v1::MatchEnding::Voided.into(),
            notice: Some(notice(because)),
            ..v1::MatchEnded::default()
        };
        let mut effects = vec![Effect::match_voided(open.server, match_id.0, because)];
        effects.extend(open.roster.players().map(|(player, _)| Effect::to_player(player, ended.clone())));
        effects
    }

    /// The transaction that should have decided about the match failed: it is as it was, for the sweep to try again.
    pub(in super::super) fn put_back(&mut self, match_id: MatchId, phase: Phase, now: UnixMillis) {
        if let Some(open) = self.matches.get_mut(&match_id) {
            open.phase = phase;
            open.overdue_at = open.overdue_at.max(now.plus(RETRY_AFTER));
        }
    }

    /// The match is over in the store: nobody is bound to it any more.
    pub(in super::super) fn closed(&mut self, match_id: MatchId) {
        self.forget(match_id);
    }

    /// Everything that has waited for too long.
    pub(in super::super) fn due(&mut self, now: UnixMillis) -> Vec<Due> {
        self.forget_idle_servers();
        let mut due: Vec<Due> = self.matches.iter().filter_map(|(&match_id, open)| self.due_of(match_id, open, now)).collect();
        due.extend(self.gone_for_too_long(now).map(Due::Leave));
        due
    }

    fn due_of(&self, match_id: MatchId, open: &OpenMatch, now: UnixMillis) -> Option<Due> {
        let overdue = open.overdue_at <= now;
        let lost = self.loss_of(open.server, now);
        match (&open.phase, lost) {
            (Phase::Deciding, _) => None,
            (Phase::Pending(_), Some(lost)) => Some(Due::Move(match_id, lost)),
            (Phase::Pending(_), None) if overdue => {
                Some(Due::Move(match_id, Reason::new(code::ALLOWLIST_TIMEOUT, "the game server did not acknowledge the match in time")))
            }
            (Phase::Admitted(_) | Phase::Live(_), Some(lost)) => Some(Due::Void(match_id, lost)),
            (Phase::Admitted(_), None) if overdue => {
                Some(Due::Void(match_id, Reason::new(code::MATCH_EXPIRED, "the match did not start in time")))
            }
            (Phase::Live(_), None) if overdue => {
                Some(Due::Void(match_id, Reason::new(code::MATCH_EXPIRED, "the match was not reported in time")))
            }
            (_, None) => None,
        }
    }

    /// Why a game server will not come back, if so.
    fn loss_of(&self, server: ServerId, now: UnixMillis) -> Option<Reason> {
        let grace = Duration::from_millis(self.settings.server_lost_grace_ms);
        match self.servers.get(&server) {
            Some(known) if known.session.is_some() => None,
            Some(known) if known.credential_dead => {
                Some(Reason::new(code::CERTIFICATE_DEAD, "the game server's certificate is not in force"))
            }
            Some(known) if now < known.lost_at.plus(grace) => None,
            _ => Some(Reason::new(code::SERVER_LOST, "the game server was lost")),
        }
    }

    fn enter(&mut self, match_id: MatchId, phase: Phase, now: UnixMillis) {
        let patience = self.patience(&phase);
        if let Some(open) = self.matches.get_mut(&match_id) {
            open.phase = phase;
            open.overdue_at = now.plus(patience);
        }
    }

    fn forget(&mut self, match_id: MatchId) -> Option<OpenMatch> {
        let open = self.matches.remove(&match_id)?;
        for (player, _) in open.roster.players() {
            self.release(player, match_id);
        }
        Some(open)
    }

    pub(super) fn players_of(&self, match_id: MatchId) -> Vec<PlayerId> {
        self.matches.get(&match_id).map(|open| open.roster.players().map(|(player, _)| player).collect()).unwrap_or_default()
    }

    /// Whom the game server must admit.
    pub(super) fn invitation(&self, match_id: MatchId) -> Option<Effect> {
        let open = self.matches.get(&match_id)?;
        let shape = &self.queues[open.queue].shape;
        let digest = |player| self.join_key.token_digest(match_id, open.server, player, open.expires_at).to_vec();
        let players = open.roster.players().map(|(player, team)| v1::AllowedPlayer {
            player_id: player.0,
            name: self.name_of(player),
            team: u32::from(team),
            join_token_sha256: digest(player),
        });
        let allowlist = v1::AllowPlayers {
            match_id: match_id.0,
            queue: shape.queue.clone(),
            players: players.collect(),
            expires_at_ms: open.expires_at.0,
            stats: shape.stats.clone(),
            totals: shape.totals.clone(),
            region: region_name(&shape.regions, open.region),
        };
        Some(Effect::to_server(open.server, allowlist))
    }

    /// Where each player of an admitted match connects; nobody before that.
    pub(super) fn assignments(&self, match_id: MatchId) -> Vec<Effect> {
        let Some(open) = self.matches.get(&match_id) else { return Vec::new() };
        let (Phase::Admitted(admitted) | Phase::Live(admitted)) = &open.phase else { return Vec::new() };
        let to_seat = |seat: Seat| Some(Effect::to_player(seat.player, self.assignment(open, &seat)?));
        admitted.assign().filter_map(to_seat).collect()
    }

    pub(super) fn assignment_of(&self, player: PlayerId, match_id: MatchId) -> Option<v1::Assignment> {
        let open = self.matches.get(&match_id)?;
        let (Phase::Admitted(admitted) | Phase::Live(admitted)) = &open.phase else { return None };
        let seat = admitted.assign().find(|seat| seat.player == player)?;
        self.assignment(open, &seat)
    }

    /// `None` while the game server's address is unknown (the host started and the game server is not back): it follows with the heartbeat.
    fn assignment(&self, open: &OpenMatch, seat: &Seat) -> Option<v1::Assignment> {
        let known = self.servers.get(&seat.server)?;
        let address = known.beat.as_ref().map(|beat| beat.address.clone()).filter(|address| !address.is_empty())?;
        let shape = &self.queues[open.queue].shape;
        Some(v1::Assignment {
            match_id: seat.match_id.0,
            queue: shape.queue.clone(),
            address,
            join_token: self.join_key.token(seat, open.expires_at).expose().to_vec(),
            expires_at_ms: open.expires_at.0,
            team: u32::from(seat.team),
            region: region_name(&shape.regions, open.region),
            server_id: seat.server.0.to_vec(),
            server_name: known.owner.clone(),
        })
    }
}

/// After a failed transaction the sweep waits this long before it tries again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Phase {
    /// The match, unless a transaction has it.
    pub(in super::super) fn details(&self) -> Option<&PendingMatch> {
        match self {
            Self::Pending(pending) => Some(pending),
            Self::Admitted(admitted) | Self::Live(admitted) => Some(admitted.details()),
            Self::Deciding => None,
        }
    }
}

fn region_name(regions: &[String], region: u16) -> String {
    regions.get(usize::from(region)).cloned().unwrap_or_default()
}
