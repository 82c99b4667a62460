//! Queues and the queue tickets in them.
//!
//! A queue ticket waits while its `match_id` is NULL, is bound while its match is pending, and goes when the match is admitted. A match
//! that failed before that lets it wait again, with the time it was enqueued kept.

use ladder::id::{MatchId, PlayerId, QueueId, QueueTicketId};
use ladder::time::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::StoreError;
use crate::{Pending, Store, column};

/// Players in one queue ticket.
pub const PARTY_MEMBERS_MAX: usize = 64;

/// One player of a queue ticket to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub player: PlayerId,
    /// Round trip per region in milliseconds, `ladder::pool::LATENCY_UNKNOWN` where not measured.
    pub latency_ms: Vec<u16>,
}

/// A request to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewQueueTicket {
    /// Where.
    pub queue: QueueId,
    /// One player or a party.
    pub members: Vec<Member>,
    /// Bit r set: may play in region r.
    pub regions: u64,
}

/// A queue ticket that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitingTicket {
    /// Which.
    pub id: QueueTicketId,
    /// Where.
    pub queue: QueueId,
    /// Since when, kept when a match fails.
    pub enqueued_at: UnixMillis,
    /// Bit r set: may play in region r.
    pub regions: u64,
    /// In the order of the request.
    pub members: Vec<WaitingMember>,
}

/// One player of a waiting queue ticket, with the rating of the active generation.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitingMember {
    /// Who.
    pub player: PlayerId,
    /// Expected skill; the engine's initial belief for a player never rated, 0 before the first engine was installed.
    pub mean: f64,
    /// Standard deviation; 1 before the first engine was installed.
    pub uncertainty: f64,
    /// Contests rated.
    pub contests: u32,
    /// Round trip per region in milliseconds.
    pub latency_ms: Vec<u16>,
}

/// Why somebody cannot be enqueued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueRefusal {
    /// Somebody of the party waits already.
    #[error("player {player} is already in a queue")]
    AlreadyQueued {
        /// Who.
        player: PlayerId,
        /// In which queue ticket.
        ticket: QueueTicketId,
        /// Where.
        queue: QueueId,
    },
    /// Somebody of the party has an active match.
    #[error("player {player} is in match {match_id}")]
    InMatch {
        /// Who.
        player: PlayerId,
        /// Which.
        match_id: MatchId,
    },
    /// No such player.
    #[error("player {player} does not exist")]
    UnknownPlayer {
        /// As asked for.
        player: PlayerId,
    },
    /// No such queue.
    #[error("queue {queue} does not exist")]
    UnknownQueue {
        /// As asked for.
        queue: QueueId,
    },
    /// Nobody, somebody twice, or more than [`PARTY_MEMBERS_MAX`].
    #[error("a party has 1 to {PARTY_MEMBERS_MAX} different members")]
    BadParty,
}

/// A queue ticket that was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dequeued {
    /// Which.
    pub ticket: QueueTicketId,
    /// Where.
    pub queue: QueueId,
    /// The whole party.
    pub members: Vec<PlayerId>,
}

impl Store {
    /// The number of the queue with this name, which is made if it is new.
    pub fn ensure_queue(&self, name: impl Into<String>) -> Pending<QueueId> {
        let name = name.into();
        self.write(move |connection| {
            connection.prepare_cached("INSERT INTO queues (name) VALUES (?1) ON CONFLICT DO NOTHING")?.execute([&name])?;
            let mut find = connection.prepare_cached("SELECT queue FROM queues WHERE name = ?1")?;
            Ok(find.query_row([&name], |row| column::number(row, 0)).map(QueueId)?)
        })
    }

    /// Every queue with its name, in the order they were made.
    pub fn list_queues(&self) -> Pending<Vec<(QueueId, String)>> {
        self.read_public(|connection| {
            let mut statement = connection.prepare_cached("SELECT queue, name FROM queues ORDER BY queue")?;
            let queues = statement.query_map([], |row| Ok((QueueId(column::number(row, 0)?), row.get(1)?)))?;
            Ok(queues.collect::<Result<_, _>>()?)
        })
    }

    /// Lets a player or a party wait.
    pub fn enqueue(&self, new: NewQueueTicket, now: UnixMillis) -> Pending<Result<WaitingTicket, EnqueueRefusal>> {
        self.write(move |connection| {
            if let Err(refusal) = check_enqueue(connection, &new)? {
                return Ok(Err(refusal));
            }
            let mut statement = connection
                .prepare_cached("INSERT INTO queue_tickets (queue, regions, enqueued_at) VALUES (?1, ?2, ?3) RETURNING queue_ticket")?;
            let (queue, regions) = (column::sql(new.queue.0), column::sql(new.regions));
            let id = statement.query_row(params![queue, regions, column::sql_time(now)], |row| column::number(row, 0))?;
            let mut insert = connection
                .prepare_cached("INSERT INTO queue_ticket_members (queue_ticket, position, player, latency_ms) VALUES (?1, ?2, ?3, ?4)")?;
            for (position, member) in (0_i64..).zip(&new.members) {
                let latency = column::latency_to_blob(&member.latency_ms);
                insert.execute(params![column::sql(id), position, column::sql(member.player.0), latency])?;
            }
            let ticket = find_waiting(connection, QueueTicketId(id))?;
            Ok(Ok(ticket.ok_or_else(|| StoreError::corrupt("a queue ticket vanished within its transaction"))?))
        })
    }

    /// Takes back the queue ticket that a player is part of, for the whole party. `None`: the player does not wait (or is being matched).
    pub fn dequeue(&self, player: PlayerId) -> Pending<Option<Dequeued>> {
        self.write(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT queue_ticket, queue FROM queue_ticket_members JOIN queue_tickets USING (queue_ticket)
                 WHERE player = ?1 AND match_id IS NULL",
            )?;
            let found = |row: &rusqlite::Row<'_>| Ok((column::number(row, 0)?, column::number(row, 1)?));
            let Some((ticket, queue)) = statement.query_row([column::sql(player.0)], found).optional()? else { return Ok(None) };
            let mut members =
                connection.prepare_cached("SELECT player FROM queue_ticket_members WHERE queue_ticket = ?1 ORDER BY position")?;
            let members = members.query_map([column::sql(ticket)], |row| column::number(row, 0).map(PlayerId))?;
            let members = members.collect::<Result<_, _>>()?;
            connection.prepare_cached("DELETE FROM queue_tickets WHERE queue_ticket = ?1")?.execute([column::sql(ticket)])?;
            Ok(Some(Dequeued { ticket: QueueTicketId(ticket), queue: QueueId(queue), members }))
        })
    }

    /// Everybody who waits in a queue, oldest first, with the ratings of the active generation.
    pub fn load_waiting(&self, queue: QueueId) -> Pending<Vec<WaitingTicket>> {
        self.read(move |connection| load(connection, "t.queue = ?1 AND t.match_id IS NULL", queue.0))
    }

    /// Queue tickets that wait in a queue.
    pub fn waiting_count(&self, queue: QueueId) -> Pending<u64> {
        self.read_public(move |connection| {
            let mut statement = connection.prepare_cached("SELECT count(*) FROM queue_tickets WHERE queue = ?1 AND match_id IS NULL")?;
            Ok(statement.query_row([column::sql(queue.0)], |row| column::number(row, 0))?)
        })
    }
}

fn check_enqueue(connection: &Connection, new: &NewQueueTicket) -> Result<Result<(), EnqueueRefusal>, StoreError> {
    let mut players: Vec<_> = new.members.iter().map(|member| member.player).collect();
    players.sort_unstable();
    players.dedup();
    if players.is_empty() || players.len() != new.members.len() || players.len() > PARTY_MEMBERS_MAX {
        return Ok(Err(EnqueueRefusal::BadParty));
    }
    let mut queue = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM queues WHERE queue = ?1)")?;
    if !queue.query_row([column::sql(new.queue.0)], |row| row.get::<_, bool>(0))? {
        return Ok(Err(EnqueueRefusal::UnknownQueue { queue: new.queue }));
    }
    let mut statement = connection.prepare_cached(
        "SELECT a.match_id, m.queue_ticket, t.queue FROM players p
         LEFT JOIN active_players a USING (player) LEFT JOIN queue_ticket_members m USING (player)
         LEFT JOIN queue_tickets t ON t.queue_ticket = m.queue_ticket WHERE p.player = ?1",
    )?;
    for player in players {
        let bound = |row: &rusqlite::Row<'_>| {
            Ok((column::number_option(row, 0)?, column::number_option(row, 1)?.zip(column::number_option(row, 2)?)))
        };
        let refusal = match statement.query_row([column::sql(player.0)], bound).optional()? {
            None => EnqueueRefusal::UnknownPlayer { player },
            Some((Some(match_id), _)) => EnqueueRefusal::InMatch { player, match_id: MatchId(match_id) },
            Some((None, Some((ticket, queue)))) => {
                EnqueueRefusal::AlreadyQueued { player, ticket: QueueTicketId(ticket), queue: QueueId(queue) }
            }
            Some((None, None)) => continue,
        };
        return Ok(Err(refusal));
    }
    Ok(Ok(()))
}

/// One queue ticket, bound or not.
pub(crate) fn find_waiting(connection: &Connection, ticket: QueueTicketId) -> Result<Option<WaitingTicket>, StoreError> {
    Ok(load(connection, "t.queue_ticket = ?1", ticket.0)?.pop())
}

/// Queue tickets bound to a match, oldest first.
pub(crate) fn load_bound(connection: &Connection, match_id: MatchId) -> Result<Vec<WaitingTicket>, StoreError> {
    let in_match = "t.queue_ticket IN (SELECT p.queue_ticket FROM match_players p WHERE p.match_id = ?1)";
    load(connection, in_match, match_id.0)
}

/// Queue tickets that fulfil a condition of one number, with members and ratings, in one statement.
fn load(connection: &Connection, condition: &str, number: u64) -> Result<Vec<WaitingTicket>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT t.queue_ticket, t.queue, t.enqueued_at, t.regions, m.player, m.latency_ms,
                coalesce(r.mean, g.initial_mean, 0.0), coalesce(r.uncertainty, g.initial_uncertainty, 1.0), coalesce(r.contests, 0)
         FROM queue_tickets t JOIN queue_ticket_members m USING (queue_ticket)
         LEFT JOIN generations g ON g.queue = t.queue AND g.state = 2
         LEFT JOIN ratings r ON r.generation = g.generation AND r.player = m.player
         WHERE {condition} ORDER BY t.queue_ticket, m.position"
    ))?;
    let mut rows = statement.query([column::sql(number)])?;
    let mut tickets: Vec<WaitingTicket> = Vec::new();
    while let Some(row) = rows.next()? {
        let id = QueueTicketId(column::number(row, 0)?);
        let member = WaitingMember {
            player: PlayerId(column::number(row, 4)?),
            latency_ms: column::latency_from_blob(row.get_ref(5)?.as_blob().map_err(rusqlite::Error::from)?),
            mean: row.get(6)?,
            uncertainty: row.get(7)?,
            contests: row.get(8)?,
        };
        match tickets.last_mut() {
            Some(ticket) if ticket.id == id => ticket.members.push(member),
            _ => tickets.push(WaitingTicket {
                id,
                queue: QueueId(column::number(row, 1)?),
                enqueued_at: column::time(row, 2)?,
                regions: column::number(row, 3)?,
                members: vec![member],
            }),
        }
    }
    Ok(tickets)
}
