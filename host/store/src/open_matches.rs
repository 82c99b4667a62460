//! Opening matches, and moving one to another game server: every queue ticket, player and slot is looked at again, in the transaction that
//! binds them.

use std::collections::BTreeSet;

use ladder::id::{Digest, MatchId, PlayerId, QueueId, QueueTicketId, ServerId};
use ladder::matches::{BadRoster, MatchState, PendingMatch, Roster};
use ladder::time::UnixMillis;
use rusqlite::{Connection, params};

use crate::error::StoreError;
use crate::writer::in_savepoint;
use crate::{Pending, Store, certificates, column, matches};

/// A match to open: a checked proposal and the game server chosen for it.
#[derive(Clone, Debug, PartialEq)]
pub struct MatchOrder {
    /// Of which queue.
    pub queue: QueueId,
    /// Queue tickets per team.
    pub teams: Vec<Vec<QueueTicketId>>,
    /// Index into the queue's regions.
    pub region: u16,
    /// Where.
    pub server: ServerId,
    /// Matches that this game server runs at once, as its last heartbeat said.
    pub server_capacity: u32,
    /// As the policy rates it, 0 to 1.
    pub quality: f64,
    /// Which policy proposed it.
    pub policy_digest: Digest,
}

/// Why one match was not opened; the others are not touched by it. Mostly a race that somebody else won.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenRefusal {
    /// The queue ticket was taken back or matched.
    #[error("queue ticket {ticket} does not wait any more")]
    NotWaiting {
        /// Which.
        ticket: QueueTicketId,
    },
    /// The queue ticket waits in another queue: our own mistake.
    #[error("queue ticket {ticket} is of queue {queue}")]
    OtherQueue {
        /// Which.
        ticket: QueueTicketId,
        /// Where it waits.
        queue: QueueId,
    },
    /// A player has an active match.
    #[error("player {player} is in match {match_id}")]
    InMatch {
        /// Who.
        player: PlayerId,
        /// Which.
        match_id: MatchId,
    },
    /// The game server has no slot free.
    #[error("game server {server} runs {active} matches of at most {capacity}")]
    ServerFull {
        /// Which.
        server: ServerId,
        /// Pending, admitted and live.
        active: u32,
        /// As ordered.
        capacity: u32,
    },
    /// The game server's certificate was revoked, or its signing key retired.
    #[error("the certificate of game server {server} was withdrawn")]
    ServerWithdrawn {
        /// Which.
        server: ServerId,
    },
    /// The line-up is none: our own mistake.
    #[error(transparent)]
    BadRoster(#[from] BadRoster),
}

/// Why a match was not moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoveRefusal {
    /// No such match, or not pending any more.
    #[error("match {match_id} is not pending")]
    NotPending {
        /// Which.
        match_id: MatchId,
    },
    /// The other game server has no slot free.
    #[error("game server {server} runs {active} matches of at most {capacity}")]
    ServerFull {
        /// Which.
        server: ServerId,
        /// Pending, admitted and live.
        active: u32,
        /// As ordered.
        capacity: u32,
    },
    /// The other game server's certificate was withdrawn.
    #[error("the certificate of game server {server} was withdrawn")]
    ServerWithdrawn {
        /// Which.
        server: ServerId,
    },
}

impl Store {
    /// Opens matches, each by itself: one answer per order, in the same order, all in one transaction.
    pub fn open_matches(&self, orders: Vec<MatchOrder>, now: UnixMillis) -> Pending<Vec<Result<PendingMatch, OpenRefusal>>> {
        self.write(move |connection| {
            let open = |order| in_savepoint(connection, |connection| open_match(connection, order, now));
            orders.iter().map(open).collect()
        })
    }

    /// Gives a pending match to another game server, whose allowlist is then asked for anew.
    pub fn move_match(&self, match_id: MatchId, to: ServerId, capacity: u32) -> Pending<Result<PendingMatch, MoveRefusal>> {
        self.write(move |connection| {
            let Some(active) = matches::find_active(connection, match_id)?.filter(|found| found.state == MatchState::Pending) else {
                return Ok(Err(MoveRefusal::NotPending { match_id }));
            };
            match find_slot(connection, to, capacity)? {
                Slot::Free => {}
                Slot::Withdrawn => return Ok(Err(MoveRefusal::ServerWithdrawn { server: to })),
                Slot::Full { active } => return Ok(Err(MoveRefusal::ServerFull { server: to, active, capacity })),
            }
            let mut statement = connection.prepare_cached("UPDATE matches SET server = ?2, moves = moves + 1 WHERE match_id = ?1")?;
            statement.execute(params![column::sql(match_id.0), to.0])?;
            Ok(Ok(PendingMatch { server: to, ..active.details }))
        })
    }
}

enum Slot {
    Free,
    Full { active: u32 },
    Withdrawn,
}

fn find_slot(connection: &Connection, server: ServerId, capacity: u32) -> Result<Slot, StoreError> {
    if certificates::is_withdrawn(connection, server)? {
        return Ok(Slot::Withdrawn);
    }
    let mut statement = connection.prepare_cached("SELECT count(*) FROM matches WHERE server = ?1 AND state <= 3")?;
    let active = statement.query_row([server.0], |row| row.get(0))?;
    Ok(if active < capacity { Slot::Free } else { Slot::Full { active } })
}

fn open_match(connection: &Connection, order: &MatchOrder, now: UnixMillis) -> Result<Result<PendingMatch, OpenRefusal>, StoreError> {
    let teams = match find_teams(connection, order)? {
        Ok(teams) => teams,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let players = teams.iter().map(|seats| seats.iter().map(|seat| seat.player).collect()).collect();
    let roster = match Roster::new(players) {
        Ok(roster) => roster,
        Err(bad) => return Ok(Err(bad.into())),
    };
    match find_slot(connection, order.server, order.server_capacity)? {
        Slot::Free => {}
        Slot::Withdrawn => return Ok(Err(OpenRefusal::ServerWithdrawn { server: order.server })),
        Slot::Full { active } => {
            return Ok(Err(OpenRefusal::ServerFull { server: order.server, active, capacity: order.server_capacity }));
        }
    }
    let match_id = insert_match(connection, order, now)?;
    bind(connection, match_id, &teams)?;
    Ok(Ok(PendingMatch { match_id, queue: order.queue, server: order.server, roster }))
}

/// One player in a team, and the queue ticket that brought them.
struct TicketSeat {
    player: PlayerId,
    ticket: QueueTicketId,
}

/// The players of every queue ticket, after the look at whether each may still be matched.
fn find_teams(connection: &Connection, order: &MatchOrder) -> Result<Result<Vec<Vec<TicketSeat>>, OpenRefusal>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT t.queue, t.match_id IS NULL, m.player, a.match_id
         FROM queue_tickets t JOIN queue_ticket_members m USING (queue_ticket) LEFT JOIN active_players a USING (player)
         WHERE t.queue_ticket = ?1 ORDER BY m.position",
    )?;
    let mut used = BTreeSet::new();
    let mut teams = Vec::with_capacity(order.teams.len());
    for tickets in &order.teams {
        let mut seats = Vec::new();
        for &ticket in tickets {
            let mut rows = statement.query([column::sql(ticket.0)])?;
            let mut waits = used.insert(ticket);
            let mut members = 0;
            while let Some(row) = rows.next()? {
                let (queue, player) = (QueueId(column::number(row, 0)?), PlayerId(column::number(row, 2)?));
                if queue != order.queue {
                    return Ok(Err(OpenRefusal::OtherQueue { ticket, queue }));
                }
                if let Some(match_id) = column::number_option(row, 3)?.map(MatchId) {
                    return Ok(Err(OpenRefusal::InMatch { player, match_id }));
                }
                waits &= row.get::<_, bool>(1)?;
                members += 1;
                seats.push(TicketSeat { player, ticket });
            }
            if !waits || members == 0 {
                return Ok(Err(OpenRefusal::NotWaiting { ticket }));
            }
        }
        teams.push(seats);
    }
    Ok(Ok(teams))
}

fn insert_match(connection: &Connection, order: &MatchOrder, now: UnixMillis) -> Result<MatchId, StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO matches (queue, server, region, state, quality, policy_digest, opened_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         RETURNING match_id",
    )?;
    // NaN would be stored as NULL, which the column refuses: a policy's quality was checked to be finite, an odd one costs nothing else.
    let quality = if order.quality.is_finite() { order.quality } else { 0.0 };
    let (queue, opened_at) = (column::sql(order.queue.0), column::sql_time(now));
    let state = MatchState::Pending as u8;
    let row = params![queue, order.server.0, order.region, state, quality, order.policy_digest.0, opened_at];
    Ok(statement.query_row(row, |row| column::number(row, 0)).map(MatchId)?)
}

/// Binds queue tickets and players to the match. The keys of `active_players` refuse a second active match, whatever was checked before.
fn bind(connection: &Connection, match_id: MatchId, teams: &[Vec<TicketSeat>]) -> Result<(), StoreError> {
    let id = column::sql(match_id.0);
    let mut ticket = connection.prepare_cached("UPDATE queue_tickets SET match_id = ?2 WHERE queue_ticket = ?1")?;
    let mut seat = connection
        .prepare_cached("INSERT INTO match_players (match_id, team, position, player, queue_ticket) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut active = connection.prepare_cached("INSERT INTO active_players (player, match_id) VALUES (?1, ?2)")?;
    for (team, seats) in (0_i64..).zip(teams) {
        for (position, TicketSeat { player, ticket: queue_ticket }) in (0_i64..).zip(seats) {
            let (player, queue_ticket) = (column::sql(player.0), column::sql(queue_ticket.0));
            seat.execute(params![id, team, position, player, queue_ticket])?;
            active.execute(params![player, id])?;
            ticket.execute(params![queue_ticket, id])?;
        }
    }
    Ok(())
}
