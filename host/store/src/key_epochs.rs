//! Key epochs: the generations of the signing key. Retiring one kills every certificate that it signed.

use ladder::reason::Reason;
use ladder::time::UnixMillis;
use rusqlite::{Connection, Row, params};

use crate::control::ControlGeneration;
use crate::error::StoreError;
use crate::{Pending, Store, column, control};

/// A signing key to make known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewKeyEpoch {
    /// Its number.
    pub key_epoch: u32,
    /// Its Ed25519 public key.
    pub public_key: [u8; 32],
}

/// Whether a signing key's certificates count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyEpochState {
    /// They do.
    Active,
    /// They do not, for good.
    Retired {
        /// Since when.
        at: UnixMillis,
        /// Why.
        because: String,
    },
}

/// A signing key as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKeyEpoch {
    /// Its number.
    pub key_epoch: u32,
    /// Its Ed25519 public key.
    pub public_key: [u8; 32],
    /// Active or retired.
    pub state: KeyEpochState,
    /// When it was made known.
    pub created_at: UnixMillis,
    /// Certificates signed by it that were not revoked one by one.
    pub certificates: u64,
}

/// Why a signing key cannot be made known. The caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key epoch {key_epoch} exists")]
pub struct KeyEpochRefusal {
    /// As asked for.
    pub key_epoch: u32,
}

/// What a nuke killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nuked {
    /// Certificates that were in force until now (not revoked, not past their end).
    pub certificates: u64,
    /// Signing keys that were active until now.
    pub key_epochs: u64,
    /// The control generation from which on a running host knows.
    pub generation: ControlGeneration,
}

impl Store {
    /// Every signing key, oldest first.
    pub fn list_key_epochs(&self) -> Pending<Vec<StoredKeyEpoch>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT key_epoch, public_key, created_at, retired_at, retired_because,
                        (SELECT count(*) FROM certificates c WHERE c.key_epoch = k.key_epoch AND c.revoked_at IS NULL)
                 FROM key_epochs k ORDER BY key_epoch",
            )?;
            let epochs = statement.query_map([], key_epoch)?;
            Ok(epochs.collect::<Result<_, _>>()?)
        })
    }

    /// Makes a signing key known. The same key again changes nothing.
    pub fn add_key_epoch(&self, new: NewKeyEpoch, now: UnixMillis) -> Pending<Result<ControlGeneration, KeyEpochRefusal>> {
        self.write(move |connection| {
            if insert(connection, new, now)? {
                control::bump(connection).map(Ok)
            } else {
                Ok(Err(KeyEpochRefusal { key_epoch: new.key_epoch }))
            }
        })
    }

    /// Kills every certificate in the system at once: retires every signing key and, in the same transaction, makes `successor` known.
    pub fn nuke(&self, successor: Option<NewKeyEpoch>, reason: Reason, now: UnixMillis) -> Pending<Result<Nuked, KeyEpochRefusal>> {
        self.write(move |connection| {
            // The successor is looked at before anything dies, so that a refusal changes nothing.
            if let Some(successor) = successor
                && exists(connection, successor.key_epoch)?
            {
                return Ok(Err(KeyEpochRefusal { key_epoch: successor.key_epoch }));
            }
            let mut count = connection.prepare_cached(
                "SELECT count(*) FROM certificates JOIN key_epochs USING (key_epoch)
                 WHERE revoked_at IS NULL AND retired_at IS NULL AND not_after > ?1",
            )?;
            let certificates = count.query_row([column::sql_time(now)], |row| column::number(row, 0))?;
            let mut retire =
                connection.prepare_cached("UPDATE key_epochs SET retired_at = ?1, retired_because = ?2 WHERE retired_at IS NULL")?;
            let because = format!("{}: {}", reason.code, reason.detail);
            let key_epochs = retire.execute(params![column::sql_time(now), because])? as u64;
            if let Some(successor) = successor {
                insert(connection, successor, now)?;
            }
            Ok(Ok(Nuked { certificates, key_epochs, generation: control::bump(connection)? }))
        })
    }
}

fn key_epoch(row: &Row<'_>) -> rusqlite::Result<StoredKeyEpoch> {
    let retired = column::time_option(row, 3)?.zip(row.get(4)?);
    Ok(StoredKeyEpoch {
        key_epoch: row.get(0)?,
        public_key: row.get(1)?,
        created_at: column::time(row, 2)?,
        state: retired.map_or(KeyEpochState::Active, |(at, because)| KeyEpochState::Retired { at, because }),
        certificates: column::number(row, 5)?,
    })
}

fn exists(connection: &Connection, key_epoch: u32) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM key_epochs WHERE key_epoch = ?1)")?;
    Ok(statement.query_row([key_epoch], |row| row.get(0))?)
}

/// Whether the key is there now and is this one.
fn insert(connection: &Connection, new: NewKeyEpoch, now: UnixMillis) -> Result<bool, StoreError> {
    let mut statement = connection
        .prepare_cached("INSERT INTO key_epochs (key_epoch, public_key, created_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?;
    statement.execute(params![new.key_epoch, new.public_key, column::sql_time(now)])?;
    let mut find = connection.prepare_cached("SELECT public_key = ?2 AND retired_at IS NULL FROM key_epochs WHERE key_epoch = ?1")?;
    Ok(find.query_row(params![new.key_epoch, new.public_key], |row| row.get(0))?)
}
