//! Certificates of game servers: issued, renewed, revoked, seen.

use ladder::id::ServerId;
use ladder::reason::Reason;
use ladder::time::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::control::ControlGeneration;
use crate::error::StoreError;
use crate::{Pending, Store, column, control};

/// A certificate to store: what was signed, and what the host needs to recognize its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCertificate {
    /// The UUID of the certificate.
    pub server: ServerId,
    /// Whom it names.
    pub owner: String,
    /// What it allows, as the mask of the wire.
    pub scope: u16,
    /// Which signing key signed it.
    pub key_epoch: u32,
    /// When it was made.
    pub issued_at: UnixMillis,
    /// In force from.
    pub not_before: UnixMillis,
    /// In force before.
    pub not_after: UnixMillis,
    /// The game server's own key.
    pub node_public_key: [u8; 32],
    /// The signed bytes.
    pub certificate: Vec<u8>,
    /// The commitment to the secret that the certificate holds.
    pub secret_commitment: [u8; 32],
    /// The secret, encrypted by the host's key-encryption key. The store cannot read it.
    pub sealed_secret: Vec<u8>,
    /// Which pepper its auth key was made with.
    pub pepper_id: u32,
}

/// Why and when a certificate was withdrawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// When.
    pub at: UnixMillis,
    /// Why.
    pub reason: Reason,
}

/// A certificate as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCertificate {
    /// As recorded or renewed.
    pub issued: NewCertificate,
    /// Set if it was withdrawn.
    pub revocation: Option<Revocation>,
    /// When its signing key was retired, which withdraws it as well.
    pub key_epoch_retired_at: Option<UnixMillis>,
    /// The last handshake, and from which address.
    pub last_seen: Option<(UnixMillis, String)>,
}

/// Why a certificate cannot be stored. The caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateRefusal {
    /// A certificate with this UUID exists: renew it, or draw another UUID.
    #[error("a certificate of game server {server} exists")]
    Exists {
        /// Whose.
        server: ServerId,
    },
    /// The signing key is unknown or retired.
    #[error("key epoch {key_epoch} is unknown or retired")]
    DeadKeyEpoch {
        /// As asked for.
        key_epoch: u32,
    },
}

/// No certificate has this UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no certificate of game server {server}")]
pub struct UnknownCertificate {
    /// As asked for.
    pub server: ServerId,
}

/// Why a certificate cannot be renewed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenewRefusal {
    /// No such certificate.
    #[error(transparent)]
    Unknown(#[from] UnknownCertificate),
    /// What was revoked stays revoked: issue a new one.
    #[error("the certificate was revoked")]
    Revoked(Revocation),
    /// The signing key is unknown or retired.
    #[error("key epoch {key_epoch} is unknown or retired")]
    DeadKeyEpoch {
        /// As asked for.
        key_epoch: u32,
    },
}

/// The revocation that stood before.
pub type AlreadyRevoked = Revocation;

/// What a revocation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The control generation from which on a running host knows.
    pub generation: ControlGeneration,
    /// Set if it had been revoked before; that revocation stands.
    pub already: Option<AlreadyRevoked>,
}

const CERTIFICATE: &str = "SELECT server, owner, scope, c.key_epoch, issued_at, not_before, not_after, node_public_key, certificate,
     secret_commitment, sealed_secret, pepper_id, revoked_at, revoked_code, revoked_detail, k.retired_at, last_seen_at, last_seen_address
     FROM certificates c JOIN key_epochs k USING (key_epoch)";

fn certificate(row: &Row<'_>) -> rusqlite::Result<StoredCertificate> {
    let issued = NewCertificate {
        server: column::server(row, 0)?,
        owner: row.get(1)?,
        scope: row.get(2)?,
        key_epoch: row.get(3)?,
        issued_at: column::time(row, 4)?,
        not_before: column::time(row, 5)?,
        not_after: column::time(row, 6)?,
        node_public_key: row.get(7)?,
        certificate: row.get(8)?,
        secret_commitment: row.get(9)?,
        sealed_secret: row.get(10)?,
        pepper_id: row.get(11)?,
    };
    let revoked = column::time_option(row, 12)?.zip(column::reason(row, 13, 14)?);
    Ok(StoredCertificate {
        issued,
        revocation: revoked.map(|(at, reason)| Revocation { at, reason }),
        key_epoch_retired_at: column::time_option(row, 15)?,
        last_seen: column::time_option(row, 16)?.zip(row.get(17)?),
    })
}

impl Store {
    /// Stores a certificate that was issued.
    pub fn record_certificate(&self, new: NewCertificate) -> Pending<Result<ControlGeneration, CertificateRefusal>> {
        self.write(move |connection| {
            if find_certificate(connection, new.server)?.is_some() {
                return Ok(Err(CertificateRefusal::Exists { server: new.server }));
            }
            if !key_epoch_is_active(connection, new.key_epoch)? {
                return Ok(Err(CertificateRefusal::DeadKeyEpoch { key_epoch: new.key_epoch }));
            }
            write_certificate(connection, &new)?;
            control::bump(connection).map(Ok)
        })
    }

    /// Renews a certificate: the same UUID, everything else anew. A revoked one stays revoked.
    pub fn replace_certificate(&self, new: NewCertificate) -> Pending<Result<ControlGeneration, RenewRefusal>> {
        self.write(move |connection| {
            let Some(old) = find_certificate(connection, new.server)? else {
                return Ok(Err(UnknownCertificate { server: new.server }.into()));
            };
            if let Some(revocation) = old.revocation {
                return Ok(Err(RenewRefusal::Revoked(revocation)));
            }
            if !key_epoch_is_active(connection, new.key_epoch)? {
                return Ok(Err(RenewRefusal::DeadKeyEpoch { key_epoch: new.key_epoch }));
            }
            write_certificate(connection, &new)?;
            control::bump(connection).map(Ok)
        })
    }

    /// Withdraws a certificate for good. Doing it again changes nothing and tells the first revocation.
    pub fn revoke_certificate(&self, server: ServerId, reason: Reason, now: UnixMillis) -> Pending<Result<Revoked, UnknownCertificate>> {
        self.write(move |connection| {
            let Some(old) = find_certificate(connection, server)? else { return Ok(Err(UnknownCertificate { server })) };
            if old.revocation.is_none() {
                let mut statement = connection
                    .prepare_cached("UPDATE certificates SET revoked_at = ?2, revoked_code = ?3, revoked_detail = ?4 WHERE server = ?1")?;
                statement.execute(params![server.0, column::sql_time(now), reason.code, reason.detail])?;
            }
            Ok(Ok(Revoked { generation: control::bump(connection)?, already: old.revocation }))
        })
    }

    /// Notes that a game server proved itself from `address`. Not something that a running host must notice.
    pub fn record_seen(&self, server: ServerId, address: impl Into<String>, now: UnixMillis) -> Pending<Result<(), UnknownCertificate>> {
        let address = address.into();
        self.write(move |connection| {
            let mut statement =
                connection.prepare_cached("UPDATE certificates SET last_seen_at = ?2, last_seen_address = ?3 WHERE server = ?1")?;
            let known = statement.execute(params![server.0, column::sql_time(now), address])? == 1;
            Ok(if known { Ok(()) } else { Err(UnknownCertificate { server }) })
        })
    }

    /// Every certificate, dead ones included, by owner and UUID.
    pub fn list_certificates(&self) -> Pending<Vec<StoredCertificate>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!("{CERTIFICATE} ORDER BY owner, server"))?;
            let certificates = statement.query_map([], certificate)?;
            Ok(certificates.collect::<Result<_, _>>()?)
        })
    }

    /// The certificate of one game server.
    pub fn find_certificate(&self, server: ServerId) -> Pending<Option<StoredCertificate>> {
        self.read(move |connection| find_certificate(connection, server))
    }

    /// Certificates whose UUID, in hexadecimal without dashes, starts with `prefix_hex`. An empty or foreign text finds none.
    pub fn find_certificates(&self, prefix_hex: impl Into<String>) -> Pending<Vec<StoredCertificate>> {
        let prefix: String = prefix_hex.into().to_ascii_lowercase();
        self.read(move |connection| {
            if prefix.is_empty() || !prefix.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Ok(Vec::new());
            }
            let sql = format!("{CERTIFICATE} WHERE substr(lower(hex(server)), 1, length(?1)) = ?1 ORDER BY server");
            let mut statement = connection.prepare_cached(&sql)?;
            let certificates = statement.query_map([prefix], certificate)?;
            Ok(certificates.collect::<Result<_, _>>()?)
        })
    }
}

fn find_certificate(connection: &Connection, server: ServerId) -> Result<Option<StoredCertificate>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{CERTIFICATE} WHERE server = ?1"))?;
    Ok(statement.query_row([server.0], certificate).optional()?)
}

fn key_epoch_is_active(connection: &Connection, key_epoch: u32) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("SELECT retired_at IS NULL FROM key_epochs WHERE key_epoch = ?1")?;
    Ok(statement.query_row([key_epoch], |row| row.get(0)).optional()?.unwrap_or(false))
}

fn write_certificate(connection: &Connection, new: &NewCertificate) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO certificates (server, owner, scope, key_epoch, issued_at, not_before, not_after, node_public_key, certificate,
                                   secret_commitment, sealed_secret, pepper_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (server) DO UPDATE SET owner = excluded.owner, scope = excluded.scope, key_epoch = excluded.key_epoch,
             issued_at = excluded.issued_at, not_before = excluded.not_before, not_after = excluded.not_after,
             node_public_key = excluded.node_public_key, certificate = excluded.certificate,
             secret_commitment = excluded.secret_commitment, sealed_secret = excluded.sealed_secret, pepper_id = excluded.pepper_id",
    )?;
    statement.execute(params![
        new.server.0,
        new.owner,
        new.scope,
        new.key_epoch,
        column::sql_time(new.issued_at),
        column::sql_time(new.not_before),
        column::sql_time(new.not_after),
        new.node_public_key,
        new.certificate,
        new.secret_commitment,
        new.sealed_secret,
        new.pepper_id,
    ])?;
    Ok(())
}

/// Whether the game server's word counts no more: its certificate was withdrawn, or ran out before `now`.
pub(crate) fn is_dead(connection: &Connection, server: ServerId, now: UnixMillis) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("SELECT not_after <= ?2 FROM certificates WHERE server = ?1")?;
    let expired = statement.query_row(params![server.0, column::sql_time(now)], |row| row.get(0)).optional()?.unwrap_or(false);
    Ok(expired || is_withdrawn(connection, server)?)
}

/// Whether the game server must get no matches: its certificate was revoked, or its signing key retired. One without a certificate is the
/// session layer's business.
pub(crate) fn is_withdrawn(connection: &Connection, server: ServerId) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT revoked_at IS NOT NULL OR retired_at IS NOT NULL FROM certificates JOIN key_epochs USING (key_epoch) WHERE server = ?1",
    )?;
    Ok(statement.query_row([server.0], |row| row.get(0)).optional()?.unwrap_or(false))
}
