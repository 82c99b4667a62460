//! A match and its states, as types. Players are told where to connect only after the game server acknowledged the allowlist.
//!
//! ```text
//! PendingMatch --handle_ack(from its game server)--> AdmittedMatch --assign--> one Seat per player
//! ```
//!
//! The later states (live, reported, voided) live in the store, which owns them; [`MatchState`] names them all.

use alloc::vec::Vec;

use crate::id::{MatchId, PlayerId, QueueId, ServerId};

/// The state of a match in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MatchState {
    /// Opened; the game server has not acknowledged the allowlist.
    Pending = 1,
    /// Acknowledged: players may be told.
    Admitted = 2,
    /// The game server said that it started.
    Live = 3,
    /// A report was accepted.
    Reported = 4,
    /// Ended without a result.
    Voided = 5,
}

impl MatchState {
    /// The state with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Pending),
            2 => Some(Self::Admitted),
            3 => Some(Self::Live),
            4 => Some(Self::Reported),
            5 => Some(Self::Voided),
            _ => None,
        }
    }

    /// Kebab-case name for people and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Admitted => "admitted",
            Self::Live => "live",
            Self::Reported => "reported",
            Self::Voided => "voided",
        }
    }

    /// Whether its players are bound to it.
    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(self, Self::Pending | Self::Admitted | Self::Live)
    }
}

/// Who plays, on which side: players per team, in the order of the team numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    teams: Vec<Vec<PlayerId>>,
}

/// A line-up that cannot be a roster. The fault of whoever proposed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRoster {
    /// Fewer than two teams, or a team of nobody.
    #[error("a roster needs two or more teams with somebody in each")]
    Empty,
    /// One player twice.
    #[error("player {player} stands twice in the roster")]
    Twice {
        /// Who.
        player: PlayerId,
    },
}

impl Roster {
    /// Takes players per team.
    ///
    /// # Errors
    /// [`BadRoster`] names what is wrong.
    pub fn new(teams: Vec<Vec<PlayerId>>) -> Result<Self, BadRoster> {
        if teams.len() < 2 || teams.iter().any(Vec::is_empty) {
            return Err(BadRoster::Empty);
        }
        let mut players: Vec<PlayerId> = teams.iter().flatten().copied().collect();
        players.sort_unstable();
        match players.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(BadRoster::Twice { player: pair[0] }),
            None => Ok(Self { teams }),
        }
    }

    /// Players per team.
    #[must_use]
    pub fn teams(&self) -> &[Vec<PlayerId>] {
        &self.teams
    }

    /// Every player with the number of the team.
    pub fn players(&self) -> impl Iterator<Item = (PlayerId, u16)> + '_ {
        // A roster has at most u16::MAX teams: queue shapes count them in u16.
        (0..=u16::MAX).zip(&self.teams).flat_map(|(team, players)| players.iter().map(move |&player| (player, team)))
    }
}

/// Opened on a game server that has not yet acknowledged the allowlist.
#[derive(Debug, PartialEq, Eq)]
pub struct PendingMatch {
    /// Which match.
    pub match_id: MatchId,
    /// Of which queue.
    pub queue: QueueId,
    /// On which game server.
    pub server: ServerId,
    /// Who plays.
    pub roster: Roster,
}

/// The game server holds the allowlist.
#[derive(Debug, PartialEq, Eq)]
pub struct AdmittedMatch(PendingMatch);

/// Somebody else's game server acknowledged. Its fault; the match stays as it was.
#[derive(Debug, thiserror::Error)]
#[error("game server {got} acknowledged a match of game server {}", still.server)]
pub struct NotTheHost {
    /// Who said so.
    pub got: ServerId,
    /// The unchanged match.
    pub still: PendingMatch,
}

/// Where one player of an admitted match sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Who.
    pub player: PlayerId,
    /// In which match.
    pub match_id: MatchId,
    /// On which game server.
    pub server: ServerId,
    /// In which team, from 0.
    pub team: u16,
}

impl PendingMatch {
    /// Takes the acknowledgement of the allowlist.
    ///
    /// # Errors
    /// It came from a game server that does not host this match.
    pub fn handle_ack(self, from: ServerId) -> Result<AdmittedMatch, NotTheHost> {
        if from == self.server { Ok(AdmittedMatch(self)) } else { Err(NotTheHost { got: from, still: self }) }
    }
}

impl AdmittedMatch {
    /// Takes a match back from the store, whose state says that the acknowledgement was committed; `None` for any other state.
    #[must_use]
    pub fn from_store(state: MatchState, stored: PendingMatch) -> Option<Self> {
        matches!(state, MatchState::Admitted | MatchState::Live).then_some(Self(stored))
    }

    /// Which match, where, who.
    #[must_use]
    pub fn details(&self) -> &PendingMatch {
        &self.0
    }

    /// One seat per player.
    pub fn assign(&self) -> impl Iterator<Item = Seat> + '_ {
        let PendingMatch { match_id, server, ref roster, .. } = self.0;
        roster.players().map(move |(player, team)| Seat { player, match_id, server, team })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn pending() -> PendingMatch {
        PendingMatch {
            match_id: MatchId(1),
            queue: QueueId(1),
            server: ServerId([1; 16]),
            roster: Roster::new(vec![vec![PlayerId(1)], vec![PlayerId(2)]]).expect("two teams"),
        }
    }

    #[test]
    fn a_stranger_cannot_acknowledge_a_match() {
        let refused = pending().handle_ack(ServerId([2; 16])).expect_err("a stranger");
        assert_eq!(refused.still, pending());
    }

    #[test]
    fn an_acknowledged_match_seats_every_player_once() {
        let admitted = pending().handle_ack(ServerId([1; 16])).expect("the host of the match");
        let seats: Vec<_> = admitted.assign().map(|seat| (seat.player.0, seat.team)).collect();
        assert_eq!(seats, [(1, 0), (2, 1)]);
    }

    #[test]
    fn a_stored_match_without_acknowledgement_cannot_be_assigned() {
        for state in [MatchState::Pending, MatchState::Reported, MatchState::Voided] {
            assert_eq!(AdmittedMatch::from_store(state, pending()), None, "{}", state.name());
        }
    }

    #[test]
    fn nobody_plays_against_himself() {
        let twice = Roster::new(vec![vec![PlayerId(3)], vec![PlayerId(3)]]);
        assert_eq!(twice, Err(BadRoster::Twice { player: PlayerId(3) }));
        assert_eq!(Roster::new(vec![vec![PlayerId(3)], vec![]]), Err(BadRoster::Empty));
    }
}
