//! Players, their logins and passwords (as argon2id text: the store never sees a password).

use std::fmt;

use ladder::id::PlayerId;
use ladder::time::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::error::StoreError;
use crate::login_tickets::{FamilyId, revoke_families_of_login};
use crate::{Pending, Store, column, control};

/// Names that one call of [`Store::ensure_players`] takes.
pub const NAMES_PER_CALL_MAX: usize = 10_000;
/// Logins of one player at a time; one more ends the oldest.
pub const LOGINS_PER_PLAYER_MAX: usize = 16;

/// Names one login. Random, chosen by the host.
pub type LoginId = [u8; 16];

/// Somebody has this name already; upper and lower case are the same. The asker's problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name is taken")]
pub struct NameTaken;

/// No player has this number. The caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("player {player} does not exist")]
pub struct UnknownPlayer {
    /// As asked for.
    pub player: PlayerId,
}

/// A player as the database knows them. Its `Debug` leaves the password hash out.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Who.
    pub player: PlayerId,
    /// As registered; unique without regard to ASCII case.
    pub name: String,
    /// Argon2id in PHC form; `None`: imported, cannot log in.
    pub password_hash: Option<String>,
    /// When.
    pub registered_at: UnixMillis,
}

/// A login to open. Its `Debug` leaves the hash out.
#[derive(Clone)]
pub struct NewLogin {
    /// Random.
    pub login_id: LoginId,
    /// Whose.
    pub player: PlayerId,
    /// SHA-256 of the access token.
    pub access_token_hash: [u8; 32],
    /// When it ends by itself.
    pub expires_at: UnixMillis,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("player", &self.player).field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for NewLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewLogin").field("player", &self.player).field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Why a login cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginRefusal {
    /// No such player.
    #[error(transparent)]
    UnknownPlayer(#[from] UnknownPlayer),
    /// The random identifier or token was used before: draw again.
    #[error("the login id or access token was used before")]
    Reused,
}

/// A login in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Which.
    pub login_id: LoginId,
    /// Whose.
    pub player: PlayerId,
    /// The player's name.
    pub name: String,
    /// When it ends by itself.
    pub expires_at: UnixMillis,
}

/// What a log-out ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedLogin {
    /// Which.
    pub login_id: LoginId,
    /// Whose.
    pub player: PlayerId,
    /// Login ticket families that died with it.
    pub families: Vec<FamilyId>,
}

/// What a change of the password ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginsEnded {
    /// Logins.
    pub logins: Vec<LoginId>,
    /// Their login ticket families.
    pub families: Vec<FamilyId>,
}

const ACCOUNT: &str = "SELECT player, name, password_hash, registered_at FROM players";

fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        player: PlayerId(column::number(row, 0)?),
        name: row.get(1)?,
        password_hash: row.get(2)?,
        registered_at: column::time(row, 3)?,
    })
}

impl Store {
    /// Creates a player with a password.
    pub fn register_player(
        &self,
        name: impl Into<String>,
        password_hash: impl Into<String>,
        now: UnixMillis,
    ) -> Pending<Result<PlayerId, NameTaken>> {
        let (name, password_hash) = (name.into(), password_hash.into());
        self.write(move |connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO players (name, password_hash, registered_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING RETURNING player",
            )?;
            let player =
                statement.query_row(params![name, password_hash, column::sql_time(now)], |row| column::number(row, 0)).optional()?;
            Ok(player.map(PlayerId).ok_or(NameTaken))
        })
    }

    /// The numbers of players by name, in the order asked; those not known are created without a password. For imports; at most
    /// [`NAMES_PER_CALL_MAX`] names are looked at.
    pub fn ensure_players(&self, names: Vec<String>, now: UnixMillis) -> Pending<Vec<PlayerId>> {
        self.write(move |connection| {
            let mut insert =
                connection.prepare_cached("INSERT INTO players (name, registered_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
            let mut find = connection.prepare_cached("SELECT player FROM players WHERE name = ?1")?;
            let mut players = Vec::new();
            for name in names.iter().take(NAMES_PER_CALL_MAX) {
                if let Some(player) = find.query_row([name], |row| column::number(row, 0)).optional()? {
                    players.push(PlayerId(player));
                    continue;
                }
                insert.execute(params![name, column::sql_time(now)])?;
                players.push(PlayerId(column_of_last_row(connection)));
            }
            Ok(players)
        })
    }

    /// The account with this name, without regard to ASCII case.
    pub fn find_account(&self, name: impl Into<String>) -> Pending<Option<Account>> {
        let name = name.into();
        self.read_public(move |connection| {
            let mut statement = connection.prepare_cached(&format!("{ACCOUNT} WHERE name = ?1"))?;
            Ok(statement.query_row([name], account).optional()?)
        })
    }

    /// The account with this number.
    pub fn find_player(&self, player: PlayerId) -> Pending<Option<Account>> {
        self.read(move |connection| find_player(connection, player))
    }

    /// The account with this number, which the caller knows to exist.
    pub fn load_account(&self, player: PlayerId) -> Pending<Result<Account, UnknownPlayer>> {
        self.read(move |connection| Ok(find_player(connection, player)?.ok_or(UnknownPlayer { player })))
    }

    /// Opens a login. A player has at most [`LOGINS_PER_PLAYER_MAX`]: the oldest one ends.
    pub fn open_login(&self, login: NewLogin, now: UnixMillis) -> Pending<Result<(), LoginRefusal>> {
        self.write(move |connection| {
            if find_player(connection, login.player)?.is_none() {
                return Ok(Err(UnknownPlayer { player: login.player }.into()));
            }
            let mut statement = connection.prepare_cached(
                "INSERT INTO logins (login_id, player, access_token_hash, opened_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO NOTHING",
            )?;
            let (opened_at, expires_at) = (column::sql_time(now), column::sql_time(login.expires_at));
            let player = column::sql(login.player.0);
            let stored = statement.execute(params![login.login_id, player, login.access_token_hash, opened_at, expires_at])?;
            if stored == 0 {
                return Ok(Err(LoginRefusal::Reused));
            }
            let open = open_logins(connection, login.player, now)?;
            for &oldest in open.iter().take(open.len().saturating_sub(LOGINS_PER_PLAYER_MAX)) {
                end_login(connection, oldest, now)?;
            }
            Ok(Ok(()))
        })
    }

    /// The login that this access token opened, if it is in force at `now`.
    pub fn find_login(&self, access_token_hash: [u8; 32], now: UnixMillis) -> Pending<Option<Login>> {
        self.read_public(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT login_id, player, name, expires_at FROM logins JOIN players USING (player)
                 WHERE access_token_hash = ?1 AND ended_at IS NULL AND expires_at > ?2",
            )?;
            let login = |row: &Row<'_>| {
                Ok(Login {
                    login_id: row.get(0)?,
                    player: PlayerId(column::number(row, 1)?),
                    name: row.get(2)?,
                    expires_at: column::time(row, 3)?,
                })
            };
            Ok(statement.query_row(params![access_token_hash, column::sql_time(now)], login).optional()?)
        })
    }

    /// Logs out: ends the login and revokes its login tickets. `None` if it had ended before or never was.
    pub fn end_login(&self, login_id: LoginId, now: UnixMillis) -> Pending<Option<EndedLogin>> {
        self.write(move |connection| end_login(connection, login_id, now))
    }

    /// Replaces the password and ends every login but `keep`, with their login tickets.
    pub fn change_password(
        &self,
        player: PlayerId,
        password_hash: impl Into<String>,
        keep: Option<LoginId>,
        now: UnixMillis,
    ) -> Pending<Result<LoginsEnded, UnknownPlayer>> {
        let password_hash = password_hash.into();
        self.write(move |connection| {
            let mut statement = connection.prepare_cached("UPDATE players SET password_hash = ?2 WHERE player = ?1")?;
            if statement.execute(params![column::sql(player.0), password_hash])? == 0 {
                return Ok(Err(UnknownPlayer { player }));
            }
            let mut ended = LoginsEnded::default();
            for login_id in open_logins(connection, player, now)?.into_iter().filter(|&login_id| Some(login_id) != keep) {
                if let Some(login) = end_login(connection, login_id, now)? {
                    ended.logins.push(login_id);
                    ended.families.extend(login.families);
                }
            }
            control::bump(connection)?;
            Ok(Ok(ended))
        })
    }

    /// Stores the same password hashed at a higher cost, if `old_hash` is still the stored one. Ends no login. Tells whether it was.
    pub fn replace_password_hash(&self, player: PlayerId, old_hash: impl Into<String>, new_hash: impl Into<String>) -> Pending<bool> {
        let (old_hash, new_hash) = (old_hash.into(), new_hash.into());
        self.write(move |connection| {
            let mut statement =
                connection.prepare_cached("UPDATE players SET password_hash = ?3 WHERE player = ?1 AND password_hash = ?2")?;
            Ok(statement.execute(params![column::sql(player.0), old_hash, new_hash])? == 1)
        })
    }
}

fn column_of_last_row(connection: &Connection) -> u64 {
    connection.last_insert_rowid().cast_unsigned()
}

fn find_player(connection: &Connection, player: PlayerId) -> Result<Option<Account>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{ACCOUNT} WHERE player = ?1"))?;
    Ok(statement.query_row([column::sql(player.0)], account).optional()?)
}

/// Logins in force, oldest first.
fn open_logins(connection: &Connection, player: PlayerId, now: UnixMillis) -> Result<Vec<LoginId>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT login_id FROM logins WHERE player = ?1 AND ended_at IS NULL AND expires_at > ?2 ORDER BY opened_at, login_id",
    )?;
    let logins = statement.query_map(params![column::sql(player.0), column::sql_time(now)], |row| row.get(0))?;
    Ok(logins.collect::<Result<_, _>>()?)
}

fn end_login(connection: &Connection, login_id: LoginId, now: UnixMillis) -> Result<Option<EndedLogin>, StoreError> {
    let mut statement =
        connection.prepare_cached("UPDATE logins SET ended_at = ?2 WHERE login_id = ?1 AND ended_at IS NULL RETURNING player")?;
    let player = statement.query_row(params![login_id, column::sql_time(now)], |row| column::number(row, 0)).optional()?;
    let Some(player) = player else { return Ok(None) };
    let families = revoke_families_of_login(connection, login_id, "login-ended", now)?;
    control::bump(connection)?;
    Ok(Some(EndedLogin { login_id, player: PlayerId(player), families }))
}
