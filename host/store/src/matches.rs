//! Matches on their way from pending to reported or voided.
//!
//! ```text
//! pending --admit--> admitted --start--> live --accept_report--> reported
//!    \--requeue--> voided    \------------\----void-----------> voided
//! ```

use ladder::id::{MatchId, PlayerId, QueueId, ReportId, ServerId};
use ladder::matches::{AdmittedMatch, MatchState, PendingMatch, Roster};
use ladder::reason::Reason;
use ladder::time::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::error::StoreError;
use crate::queue_tickets::{WaitingTicket, load_bound};
use crate::{Pending, Store, certificates, column};

/// A match whose players are bound to it.
#[derive(Debug, PartialEq)]
pub struct ActiveMatch {
    /// Pending, admitted or live.
    pub state: MatchState,
    /// Which match, where, who. With the state it becomes an `AdmittedMatch`.
    pub details: PendingMatch,
    /// Index into the queue's regions.
    pub region: u16,
    /// As the policy rated it.
    pub quality: f64,
    /// How often it was moved to another game server.
    pub moves: u32,
    /// When it was opened.
    pub opened_at: UnixMillis,
    /// When the game server acknowledged the allowlist.
    pub admitted_at: Option<UnixMillis>,
    /// When the game server said that it started.
    pub started_at: Option<UnixMillis>,
}

/// Why the allowlist's acknowledgement could not be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdmitRefusal {
    /// No such match.
    #[error("match {match_id} does not exist")]
    UnknownMatch {
        /// Which.
        match_id: MatchId,
    },
    /// The match was moved to another game server meanwhile.
    #[error("match {match_id} is on game server {server} now")]
    Moved {
        /// Which.
        match_id: MatchId,
        /// Where it is now.
        server: ServerId,
    },
    /// The game server's certificate was withdrawn or ran out: the match, still pending, belongs on another one.
    #[error("the certificate of game server {server} is not in force")]
    CertificateDead {
        /// Whose.
        server: ServerId,
    },
    /// The match is not pending any more.
    #[error("match {match_id} is {}", state.name())]
    WrongState {
        /// Which.
        match_id: MatchId,
        /// Its state.
        state: MatchState,
    },
}

/// Why a game server's word about a match was not taken. The game server's fault, or a race with the match's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MatchRefusal {
    /// No such match.
    #[error("the host knows no such match")]
    UnknownMatch,
    /// The match is another game server's.
    #[error("the match is not on this game server")]
    ForeignMatch,
    /// The match is not in a state for this.
    #[error("the match is {}", state.name())]
    WrongState {
        /// Its state.
        state: MatchState,
    },
    /// The player is not in the match.
    #[error("player {player} is not in the match")]
    UnknownPlayer {
        /// Who.
        player: PlayerId,
    },
}

/// A match that was ended without a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voided {
    /// Which.
    pub match_id: MatchId,
    /// Where it was.
    pub server: ServerId,
    /// Of which queue.
    pub queue: QueueId,
    /// Everybody in it.
    pub players: Vec<PlayerId>,
    /// The state it was in.
    pub from: MatchState,
}

/// What a report is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportableMatch {
    /// Any state: the caller names the refusal.
    pub state: MatchState,
    /// Whose it is.
    pub server: ServerId,
    /// Of which queue.
    pub queue: QueueId,
    /// Who plays.
    pub roster: Roster,
    /// The report that was accepted, if one was.
    pub report_id: Option<ReportId>,
    /// When it was opened.
    pub opened_at: UnixMillis,
    /// When the game server said that it started.
    pub started_at: Option<UnixMillis>,
}

impl Store {
    /// Stores that the game server holds the allowlist; the queue tickets go. Only after this answer may players be told. Doing it again
    /// changes nothing.
    pub fn admit_match(&self, admitted: &AdmittedMatch, now: UnixMillis) -> Pending<Result<(), AdmitRefusal>> {
        let (match_id, server) = (admitted.details().match_id, admitted.details().server);
        self.write(move |connection| {
            let Some(found) = find_head(connection, match_id)? else { return Ok(Err(AdmitRefusal::UnknownMatch { match_id })) };
            if found.server != server {
                return Ok(Err(AdmitRefusal::Moved { match_id, server: found.server }));
            }
            match found.state {
                MatchState::Pending => {}
                MatchState::Admitted | MatchState::Live => return Ok(Ok(())),
                state => return Ok(Err(AdmitRefusal::WrongState { match_id, state })),
            }
            if certificates::is_dead(connection, server, now)? {
                return Ok(Err(AdmitRefusal::CertificateDead { server }));
            }
            let mut statement = connection.prepare_cached("UPDATE matches SET state = ?2, admitted_at = ?3 WHERE match_id = ?1")?;
            statement.execute(params![column::sql(match_id.0), MatchState::Admitted as u8, column::sql_time(now)])?;
            delete_tickets(connection, match_id)?;
            Ok(Ok(()))
        })
    }

    /// Ends a pending match and lets its queue tickets wait again, with their waiting time kept. `None` if it is not pending.
    pub fn requeue_match(&self, match_id: MatchId, reason: Reason, now: UnixMillis) -> Pending<Option<Vec<WaitingTicket>>> {
        self.write(move |connection| {
            if find_head(connection, match_id)?.is_none_or(|found| found.state != MatchState::Pending) {
                return Ok(None);
            }
            let tickets = load_bound(connection, match_id)?;
            let mut release = connection.prepare_cached("UPDATE queue_tickets SET match_id = NULL WHERE queue_ticket = ?1")?;
            for ticket in &tickets {
                release.execute([column::sql(ticket.id.0)])?;
            }
            end(connection, match_id, &reason, now)?;
            Ok(Some(tickets))
        })
    }

    /// Stores that the game server started the match. Doing it again changes nothing.
    pub fn start_match(&self, match_id: MatchId, server: ServerId, now: UnixMillis) -> Pending<Result<(), MatchRefusal>> {
        self.write(move |connection| {
            if let Err(refusal) = find_hosted(connection, match_id, server)? {
                return Ok(Err(refusal));
            }
            let mut statement =
                connection.prepare_cached("UPDATE matches SET state = ?2, started_at = coalesce(started_at, ?3) WHERE match_id = ?1")?;
            statement.execute(params![column::sql(match_id.0), MatchState::Live as u8, column::sql_time(now)])?;
            Ok(Ok(()))
        })
    }

    /// Stores that a player came aboard; the first time is kept.
    pub fn player_joined(
        &self,
        match_id: MatchId,
        server: ServerId,
        player: PlayerId,
        now: UnixMillis,
    ) -> Pending<Result<(), MatchRefusal>> {
        self.write(move |connection| {
            let sql = "UPDATE match_players SET joined_at = coalesce(joined_at, ?3), left_at = NULL WHERE match_id = ?1 AND player = ?2";
            note_player(connection, sql, match_id, server, player, now)
        })
    }

    /// Stores that a player left; the last time is kept.
    pub fn player_left(&self, match_id: MatchId, server: ServerId, player: PlayerId, now: UnixMillis) -> Pending<Result<(), MatchRefusal>> {
        self.write(move |connection| {
            let sql = "UPDATE match_players SET left_at = ?3 WHERE match_id = ?1 AND player = ?2";
            note_player(connection, sql, match_id, server, player, now)
        })
    }

    /// Ends an active match without a result: its players are free, its queue tickets, if it was pending, are gone. `None` if it is not
    /// active.
    pub fn void_match(&self, match_id: MatchId, reason: Reason, now: UnixMillis) -> Pending<Option<Voided>> {
        self.write(move |connection| {
            let Some(active) = find_active(connection, match_id)? else { return Ok(None) };
            if active.state == MatchState::Pending {
                delete_tickets(connection, match_id)?;
            }
            end(connection, match_id, &reason, now)?;
            let PendingMatch { server, queue, roster, .. } = active.details;
            let players = roster.players().map(|(player, _)| player).collect();
            Ok(Some(Voided { match_id, server, queue, players, from: active.state }))
        })
    }

    /// The match that a player is bound to.
    pub fn find_active_match(&self, player: PlayerId) -> Pending<Option<ActiveMatch>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached("SELECT match_id FROM active_players WHERE player = ?1")?;
            let match_id = statement.query_row([column::sql(player.0)], |row| column::number(row, 0)).optional()?;
            match match_id {
                Some(match_id) => find_active(connection, MatchId(match_id)),
                None => Ok(None),
            }
        })
    }

    /// Every active match, oldest first: after a start, effects are derived again from these.
    pub fn load_active_matches(&self) -> Pending<Vec<ActiveMatch>> {
        self.read(|connection| load_active(connection, "state <= 3", []))
    }

    /// The active matches of one game server, oldest first.
    pub fn load_active_matches_of(&self, server: ServerId) -> Pending<Vec<ActiveMatch>> {
        self.read(move |connection| load_active(connection, "server = ?1 AND state <= 3", [server.0]))
    }

    /// What a report about this match is compared with.
    pub fn find_match_for_report(&self, match_id: MatchId) -> Pending<Option<ReportableMatch>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT state, server, queue, opened_at, started_at, (SELECT report_id FROM reports r WHERE r.seq = m.report_seq)
                 FROM matches m WHERE match_id = ?1",
            )?;
            let mut rows = statement.query([column::sql(match_id.0)])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            Ok(Some(ReportableMatch {
                state: state(row, 0)?,
                server: column::server(row, 1)?,
                queue: QueueId(column::number(row, 2)?),
                roster: load_roster(connection, match_id)?,
                report_id: row.get::<_, Option<[u8; 16]>>(5)?.map(ReportId),
                opened_at: column::time(row, 3)?,
                started_at: column::time_option(row, 4)?,
            }))
        })
    }
}

/// What every step asks first.
pub(crate) struct Head {
    pub(crate) state: MatchState,
    pub(crate) server: ServerId,
    pub(crate) queue: QueueId,
}

pub(crate) fn find_head(connection: &Connection, match_id: MatchId) -> Result<Option<Head>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT state, server, queue FROM matches WHERE match_id = ?1")?;
    let mut rows = statement.query([column::sql(match_id.0)])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Head { state: state(row, 0)?, server: column::server(row, 1)?, queue: QueueId(column::number(row, 2)?) }))
}

/// Whether `server` hosts the match and players may be in it.
fn find_hosted(connection: &Connection, match_id: MatchId, server: ServerId) -> Result<Result<(), MatchRefusal>, StoreError> {
    Ok(match find_head(connection, match_id)? {
        None => Err(MatchRefusal::UnknownMatch),
        Some(found) if found.server != server => Err(MatchRefusal::ForeignMatch),
        Some(Head { state: MatchState::Admitted | MatchState::Live, .. }) => Ok(()),
        Some(found) => Err(MatchRefusal::WrongState { state: found.state }),
    })
}

fn note_player(
    connection: &Connection,
    sql: &str,
    match_id: MatchId,
    server: ServerId,
    player: PlayerId,
    now: UnixMillis,
) -> Result<Result<(), MatchRefusal>, StoreError> {
    if let Err(refusal) = find_hosted(connection, match_id, server)? {
        return Ok(Err(refusal));
    }
    let mut statement = connection.prepare_cached(sql)?;
    let known = statement.execute(params![column::sql(match_id.0), column::sql(player.0), column::sql_time(now)])? == 1;
    Ok(if known { Ok(()) } else { Err(MatchRefusal::UnknownPlayer { player }) })
}

/// Removes the queue tickets that were bound to a match.
fn delete_tickets(connection: &Connection, match_id: MatchId) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("DELETE FROM queue_tickets WHERE queue_ticket IN (SELECT queue_ticket FROM match_players WHERE match_id = ?1)")?;
    statement.execute([column::sql(match_id.0)])?;
    Ok(())
}

/// Frees the players of a match.
pub(crate) fn free_players(connection: &Connection, match_id: MatchId) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare_cached("DELETE FROM active_players WHERE player IN (SELECT player FROM match_players WHERE match_id = ?1)")?;
    statement.execute([column::sql(match_id.0)])?;
    Ok(())
}

fn end(connection: &Connection, match_id: MatchId, reason: &Reason, now: UnixMillis) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("UPDATE matches SET state = ?2, ended_at = ?3, reason_code = ?4, reason_detail = ?5 WHERE match_id = ?1")?;
    let state = MatchState::Voided as u8;
    statement.execute(params![column::sql(match_id.0), state, column::sql_time(now), reason.code, reason.detail])?;
    free_players(connection, match_id)
}

pub(crate) fn state(row: &Row<'_>, index: usize) -> Result<MatchState, StoreError> {
    column::known(MatchState::from_number(row.get(index)?), "matches.state")
}

pub(crate) fn find_active(connection: &Connection, match_id: MatchId) -> Result<Option<ActiveMatch>, StoreError> {
    Ok(load_active(connection, "match_id = ?1 AND state <= 3", [column::sql(match_id.0)])?.pop())
}

fn load_active(connection: &Connection, condition: &str, parameters: impl rusqlite::Params) -> Result<Vec<ActiveMatch>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT state, match_id, queue, server, region, quality, moves, opened_at, admitted_at, started_at, p.team, p.player
         FROM matches JOIN match_players p USING (match_id) WHERE {condition} ORDER BY match_id, p.team, p.position"
    ))?;
    let mut rows = statement.query(parameters)?;
    let mut matches = Vec::new();
    let mut seats = Seats::default();
    let mut current: Option<ActiveHead> = None;
    while let Some(row) = rows.next()? {
        let match_id = MatchId(column::number(row, 1)?);
        if current.as_ref().is_none_or(|head| head.match_id != match_id)
            && let Some(head) = current.replace(ActiveHead::from_row(row)?)
        {
            matches.push(head.with(seats.take()?));
        }
        seats.add(row.get(10)?, PlayerId(column::number(row, 11)?));
    }
    if let Some(head) = current {
        matches.push(head.with(seats.take()?));
    }
    Ok(matches)
}

struct ActiveHead {
    match_id: MatchId,
    queue: QueueId,
    server: ServerId,
    state: MatchState,
    region: u16,
    quality: f64,
    moves: u32,
    opened_at: UnixMillis,
    admitted_at: Option<UnixMillis>,
    started_at: Option<UnixMillis>,
}

impl ActiveHead {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            state: state(row, 0)?,
            match_id: MatchId(column::number(row, 1)?),
            queue: QueueId(column::number(row, 2)?),
            server: column::server(row, 3)?,
            region: row.get(4)?,
            quality: row.get(5)?,
            moves: row.get(6)?,
            opened_at: column::time(row, 7)?,
            admitted_at: column::time_option(row, 8)?,
            started_at: column::time_option(row, 9)?,
        })
    }

    fn with(self, roster: Roster) -> ActiveMatch {
        let Self { match_id, queue, server, state, region, quality, moves, opened_at, admitted_at, started_at } = self;
        let details = PendingMatch { match_id, queue, server, roster };
        ActiveMatch { state, details, region, quality, moves, opened_at, admitted_at, started_at }
    }
}

/// Gathers players per team from rows in the order of team and position.
#[derive(Default)]
struct Seats(Vec<Vec<PlayerId>>);

impl Seats {
    fn add(&mut self, team: u16, player: PlayerId) {
        let team = usize::from(team);
        if self.0.len() <= team {
            self.0.resize_with(team + 1, Vec::new);
        }
        self.0[team].push(player);
    }

    fn take(&mut self) -> Result<Roster, StoreError> {
        Roster::new(std::mem::take(&mut self.0)).map_err(|bad| StoreError::corrupt(format!("match_players: {bad}")))
    }
}

/// Who plays in a match of any state.
pub(crate) fn load_roster(connection: &Connection, match_id: MatchId) -> Result<Roster, StoreError> {
    let mut statement = connection.prepare_cached("SELECT team, player FROM match_players WHERE match_id = ?1 ORDER BY team, position")?;
    let mut rows = statement.query([column::sql(match_id.0)])?;
    let mut seats = Seats::default();
    while let Some(row) = rows.next()? {
        seats.add(row.get(0)?, PlayerId(column::number(row, 1)?));
    }
    seats.take()
}
