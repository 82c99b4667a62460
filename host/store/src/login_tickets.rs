//! Login tickets and the families they descend in. Only identifiers and SHA-256 values are stored.
//!
//! ```text
//! issue (HTTP) --> live --confirm(successor)--> superseded
//! offer (handshake) --> pending --confirm--> live
//! ```
//!
//! A superseded ticket stays until it expires, so that its reuse is noticed and the whole family dies.

use std::fmt;

use ladder::id::PlayerId;
use ladder::time::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::accounts::LoginId;
use crate::error::StoreError;
use crate::{Pending, Store, column, control};

/// Families that one login may have in force; one more revokes the oldest.
pub const FAMILIES_PER_LOGIN_MAX: usize = 8;
/// Rows that one call of [`Store::purge_expired`] removes from each table.
pub const PURGED_PER_CALL_MAX: u32 = 5000;

/// All login tickets that descend from one HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FamilyId(pub u64);

/// A login ticket to store. Its `Debug` leaves the hash out: auth keys are derived from it.
#[derive(Clone)]
pub struct NewLoginTicket {
    /// The public half of the ticket.
    pub ticket_id: [u8; 16],
    /// SHA-256 of the whole ticket.
    pub hash: [u8; 32],
    /// When it ends by itself.
    pub expires_at: UnixMillis,
}

/// Where a ticket is in its life. The number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LoginTicketState {
    /// Offered in a handshake; the client has not shown yet that it has it.
    Pending = 1,
    /// The one to use.
    Live = 2,
    /// A successor was confirmed: whoever uses it now has stolen it, or was stolen from.
    Superseded = 3,
}

impl LoginTicketState {
    fn from_number(number: u8) -> Option<Self> {
        [Self::Pending, Self::Live, Self::Superseded].into_iter().find(|&state| state as u8 == number)
    }
}

/// A login ticket as stored. Its `Debug` leaves the hash out.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredLoginTicket {
    /// The public half.
    pub ticket_id: [u8; 16],
    /// SHA-256 of the whole ticket.
    pub hash: [u8; 32],
    /// Its family.
    pub family: FamilyId,
    /// Whose.
    pub player: PlayerId,
    /// The player's name.
    pub player_name: String,
    /// When it ends by itself.
    pub expires_at: UnixMillis,
    /// Pending, live or superseded.
    pub state: LoginTicketState,
    /// Whether its family was revoked.
    pub family_revoked: bool,
}

impl fmt::Debug for NewLoginTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ticket = f.debug_struct("NewLoginTicket");
        ticket.field("ticket_id", &self.ticket_id).field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

impl fmt::Debug for StoredLoginTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ticket = f.debug_struct("StoredLoginTicket");
        ticket.field("ticket_id", &self.ticket_id).field("family", &self.family).field("player", &self.player);
        ticket.field("state", &self.state).field("family_revoked", &self.family_revoked).finish_non_exhaustive()
    }
}

/// Why a login ticket cannot be issued, offered or confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginTicketRefusal {
    /// No such ticket, or no such login.
    #[error("there is no such login ticket")]
    Unknown,
    /// The login ended, or the family was revoked.
    #[error("the login ticket was revoked")]
    Revoked,
    /// Past its end.
    #[error("the login ticket has expired")]
    Expired,
    /// Not in the state that this needs.
    #[error("the login ticket was superseded or never confirmed")]
    WrongState,
    /// The random identifier was used before: draw again.
    #[error("the ticket id was used before")]
    Reused,
}

/// What [`Store::purge_expired`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Login tickets.
    pub login_tickets: usize,
    /// Families without tickets.
    pub families: usize,
    /// Logins without families.
    pub logins: usize,
}

const TICKET: &str = "SELECT t.ticket_id, t.hash, t.family, l.player, p.name, t.expires_at, t.state, f.revoked_at IS NOT NULL
     FROM login_tickets t JOIN login_ticket_families f USING (family) JOIN logins l USING (login_id) JOIN players p USING (player)";

fn ticket(row: &Row<'_>) -> Result<StoredLoginTicket, StoreError> {
    Ok(StoredLoginTicket {
        ticket_id: row.get(0)?,
        hash: row.get(1)?,
        family: FamilyId(column::number(row, 2)?),
        player: PlayerId(column::number(row, 3)?),
        player_name: row.get(4)?,
        expires_at: column::time(row, 5)?,
        state: column::known(LoginTicketState::from_number(row.get(6)?), "login_tickets.state")?,
        family_revoked: row.get(7)?,
    })
}

impl Store {
    /// Stores a ticket that HTTP handed out: the first of a new family. A login has at most [`FAMILIES_PER_LOGIN_MAX`] in force.
    pub fn issue_login_ticket(
        &self,
        login_id: LoginId,
        ticket: NewLoginTicket,
        now: UnixMillis,
    ) -> Pending<Result<FamilyId, LoginTicketRefusal>> {
        self.write(move |connection| {
            let mut login = connection.prepare_cached("SELECT ended_at IS NULL, expires_at > ?2 FROM logins WHERE login_id = ?1")?;
            let login = login.query_row(params![login_id, column::sql_time(now)], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            match login {
                None => return Ok(Err(LoginTicketRefusal::Unknown)),
                Some((false, _)) => return Ok(Err(LoginTicketRefusal::Revoked)),
                Some((true, false)) => return Ok(Err(LoginTicketRefusal::Expired)),
                Some((true, true)) => {}
            }
            if find_ticket(connection, ticket.ticket_id)?.is_some() {
                return Ok(Err(LoginTicketRefusal::Reused));
            }
            let mut open =
                connection.prepare_cached("INSERT INTO login_ticket_families (login_id, opened_at) VALUES (?1, ?2) RETURNING family")?;
            let family = open.query_row(params![login_id, column::sql_time(now)], |row| column::number(row, 0)).map(FamilyId)?;
            insert_ticket(connection, family, &ticket, LoginTicketState::Live, now)?;
            revoke_oldest_families(connection, login_id, now)?;
            Ok(Ok(family))
        })
    }

    /// Stores the successor that a handshake offers; it replaces one that was offered before and never confirmed.
    pub fn offer_successor(
        &self,
        old_ticket_id: [u8; 16],
        successor: NewLoginTicket,
        now: UnixMillis,
    ) -> Pending<Result<FamilyId, LoginTicketRefusal>> {
        self.write(move |connection| {
            let old = match find_usable(connection, old_ticket_id, now)? {
                Ok(old) if old.state == LoginTicketState::Live => old,
                Ok(_) => return Ok(Err(LoginTicketRefusal::WrongState)),
                Err(refusal) => return Ok(Err(refusal)),
            };
            if find_ticket(connection, successor.ticket_id)?.is_some() {
                return Ok(Err(LoginTicketRefusal::Reused));
            }
            let mut forget = connection.prepare_cached("DELETE FROM login_tickets WHERE family = ?1 AND state = 1")?;
            forget.execute([column::sql(old.family.0)])?;
            insert_ticket(connection, old.family, &successor, LoginTicketState::Pending, now)?;
            Ok(Ok(old.family))
        })
    }

    /// The client showed that it holds the offered ticket: it is live now and its predecessor superseded. Doing it again changes nothing.
    pub fn confirm_successor(&self, ticket_id: [u8; 16], now: UnixMillis) -> Pending<Result<FamilyId, LoginTicketRefusal>> {
        self.write(move |connection| {
            let successor = match find_usable(connection, ticket_id, now)? {
                Ok(successor) if successor.state == LoginTicketState::Superseded => return Ok(Err(LoginTicketRefusal::WrongState)),
                Ok(successor) => successor,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if successor.state == LoginTicketState::Pending {
                let family = column::sql(successor.family.0);
                connection.prepare_cached("UPDATE login_tickets SET state = 3 WHERE family = ?1 AND state = 2")?.execute([family])?;
                connection.prepare_cached("UPDATE login_tickets SET state = 2 WHERE ticket_id = ?1")?.execute([ticket_id])?;
            }
            Ok(Ok(successor.family))
        })
    }

    /// Revokes a family: every ticket of it is dead. `false` if it was before, or never was.
    pub fn revoke_family(&self, family: FamilyId, because: impl Into<String>, now: UnixMillis) -> Pending<bool> {
        let because = because.into();
        self.write(move |connection| {
            let revoked = revoke_family(connection, family, &because, now)?;
            if revoked {
                control::bump(connection)?;
            }
            Ok(revoked)
        })
    }

    /// Every ticket that has not expired, superseded and revoked ones included, in the order of their identifiers.
    pub fn load_login_tickets(&self, now: UnixMillis) -> Pending<Vec<StoredLoginTicket>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&format!("{TICKET} WHERE t.expires_at > ?1 ORDER BY t.ticket_id"))?;
            statement.query_and_then([column::sql_time(now)], ticket)?.collect()
        })
    }

    /// One ticket, whatever its state.
    pub fn find_login_ticket(&self, ticket_id: [u8; 16]) -> Pending<Option<StoredLoginTicket>> {
        self.read(move |connection| find_ticket(connection, ticket_id))
    }

    /// Removes expired tickets, then families and logins that nothing refers to; at most [`PURGED_PER_CALL_MAX`] rows of each.
    pub fn purge_expired(&self, now: UnixMillis) -> Pending<Purged> {
        self.write(move |connection| {
            let purge = |sql: &str| connection.prepare_cached(sql)?.execute(params![column::sql_time(now), PURGED_PER_CALL_MAX]);
            Ok(Purged {
                login_tickets: purge(
                    "DELETE FROM login_tickets WHERE ticket_id IN
                     (SELECT ticket_id FROM login_tickets WHERE expires_at <= ?1 LIMIT ?2)",
                )?,
                families: purge(
                    "DELETE FROM login_ticket_families WHERE opened_at <= ?1 AND family IN
                     (SELECT family FROM login_ticket_families f
                      WHERE NOT EXISTS (SELECT 1 FROM login_tickets t WHERE t.family = f.family) LIMIT ?2)",
                )?,
                logins: purge(
                    "DELETE FROM logins WHERE login_id IN
                     (SELECT login_id FROM logins l WHERE (expires_at <= ?1 OR ended_at <= ?1)
                      AND NOT EXISTS (SELECT 1 FROM login_ticket_families f WHERE f.login_id = l.login_id) LIMIT ?2)",
                )?,
            })
        })
    }
}

fn find_ticket(connection: &Connection, ticket_id: [u8; 16]) -> Result<Option<StoredLoginTicket>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{TICKET} WHERE t.ticket_id = ?1"))?;
    statement.query_and_then([ticket_id], ticket)?.next().transpose()
}

/// A ticket that is neither expired nor revoked.
fn find_usable(
    connection: &Connection,
    ticket_id: [u8; 16],
    now: UnixMillis,
) -> Result<Result<StoredLoginTicket, LoginTicketRefusal>, StoreError> {
    Ok(match find_ticket(connection, ticket_id)? {
        None => Err(LoginTicketRefusal::Unknown),
        Some(ticket) if ticket.family_revoked => Err(LoginTicketRefusal::Revoked),
        Some(ticket) if ticket.expires_at <= now => Err(LoginTicketRefusal::Expired),
        Some(ticket) => Ok(ticket),
    })
}

fn insert_ticket(
    connection: &Connection,
    family: FamilyId,
    ticket: &NewLoginTicket,
    state: LoginTicketState,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO login_tickets (ticket_id, family, hash, issued_at, expires_at, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let (issued_at, expires_at) = (column::sql_time(now), column::sql_time(ticket.expires_at));
    statement.execute(params![ticket.ticket_id, column::sql(family.0), ticket.hash, issued_at, expires_at, state as u8])?;
    Ok(())
}

fn revoke_family(connection: &Connection, family: FamilyId, because: &str, now: UnixMillis) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached(
        "UPDATE login_ticket_families SET revoked_at = ?2, revoked_because = ?3 WHERE family = ?1 AND revoked_at IS NULL",
    )?;
    Ok(statement.execute(params![column::sql(family.0), column::sql_time(now), because])? == 1)
}

/// Families in force of a login, oldest first.
fn families_of_login(connection: &Connection, login_id: LoginId) -> Result<Vec<FamilyId>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT family FROM login_ticket_families WHERE login_id = ?1 AND revoked_at IS NULL ORDER BY family")?;
    let families = statement.query_map([login_id], |row| column::number(row, 0).map(FamilyId))?;
    Ok(families.collect::<Result<_, _>>()?)
}

fn revoke_oldest_families(connection: &Connection, login_id: LoginId, now: UnixMillis) -> Result<(), StoreError> {
    let families = families_of_login(connection, login_id)?;
    let surplus = families.len().saturating_sub(FAMILIES_PER_LOGIN_MAX);
    for &family in families.iter().take(surplus) {
        revoke_family(connection, family, "too-many-families", now)?;
    }
    if surplus > 0 {
        control::bump(connection)?;
    }
    Ok(())
}

/// Revokes every family of a login; the caller raises the control generation.
pub(crate) fn revoke_families_of_login(
    connection: &Connection,
    login_id: LoginId,
    because: &str,
    now: UnixMillis,
) -> Result<Vec<FamilyId>, StoreError> {
    let families = families_of_login(connection, login_id)?;
    for &family in &families {
        revoke_family(connection, family, because, now)?;
    }
    Ok(families)
}
