//! Issuing a game server's certificate, and getting its auth key back from what the database keeps.

use std::time::Duration;

use ladder::id::ServerId;
use ladder::time::UnixMillis;
use protocol::certificate::{Certificate, CertificateFields, IssueError, Scope};
use protocol::envelope::CertificateFile;
use protocol::secret::{AuthKey, CertificateSecret};
use protocol::signature::{NodeKey, PublicKey};
use store::NewCertificate;
use zeroize::Zeroizing;

use super::sealing::{Place, UnsealError};
use super::{KeyError, Keyring, random};

/// What an operator wants issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueOrder {
    /// `None`: a new game server with a random UUID; else a renewal.
    pub server: Option<ServerId>,
    /// The name in force.
    pub owner: String,
    /// What it may do.
    pub scope: Scope,
    /// How long.
    pub life: Duration,
    /// The game server's own key; `None`: one is made, and its private half is in the file only.
    pub node_key: Option<PublicKey>,
}

/// A certificate, for the database and for its holder.
pub struct Issued {
    /// To be stored. The secret in it is sealed.
    pub record: NewCertificate,
    /// To be handed over: the secret, and the node key if it was made here.
    pub file: CertificateFile,
}

/// Nothing was issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueRefusal {
    /// The operator's order cannot be a certificate.
    #[error(transparent)]
    Order(#[from] IssueError),
    /// The keys are not there.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The auth key of a stored certificate cannot be computed. The environment's fault: another key file, or a changed database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthKeyError {
    /// The sealed secret does not open.
    #[error("the certificate secret cannot be decrypted")]
    Unseal(#[from] UnsealError),
    /// It opens, and is not the secret that the certificate commits to.
    #[error("the stored secret is not the certificate's")]
    Commitment,
    /// It was made with another pepper.
    #[error("the certificate needs pepper {expected}, this host has {got}")]
    Pepper {
        /// The certificate's.
        expected: u32,
        /// Ours.
        got: u32,
    },
}

impl Keyring {
    /// Signs a certificate with a fresh secret, under the newest key epoch.
    ///
    /// # Errors
    /// [`IssueRefusal`].
    pub fn issue(&self, order: IssueOrder, now: UnixMillis) -> Result<Issued, IssueRefusal> {
        let signing_key = self.signing_key()?;
        let server = match order.server {
            Some(server) => server,
            None => ServerId(random().map_err(KeyError::from)?),
        };
        let secret_bytes = Zeroizing::new(random().map_err(KeyError::from)?);
        let secret = CertificateSecret::from_bytes(*secret_bytes);
        let (node_public_key, node_key) = match order.node_key {
            Some(public) => (public, None),
            None => {
                let seed = Zeroizing::new(random().map_err(KeyError::from)?);
                let key = NodeKey::from_seed(&seed);
                (key.public_key(), Some(key))
            }
        };
        let fields = CertificateFields {
            realm_id: self.realm_id(),
            server_id: server,
            issued_at: now,
            not_before: now,
            not_after: now.plus(order.life),
            secret_commitment: secret.commitment(),
            node_key: node_public_key,
            scope: order.scope,
            owner: order.owner,
        };
        let certificate = Certificate::issue(fields, signing_key)?;
        let fields = certificate.fields();
        let place = secret_place(server, signing_key.key_epoch().0);
        let record = NewCertificate {
            server,
            owner: fields.owner.clone(),
            scope: fields.scope.bits(),
            key_epoch: signing_key.key_epoch().0,
            issued_at: fields.issued_at,
            not_before: fields.not_before,
            not_after: fields.not_after,
            node_public_key: fields.node_key.0,
            certificate: certificate.encoded().to_vec(),
            secret_commitment: fields.secret_commitment,
            sealed_secret: self.kek().seal(&place, secret.expose(), random().map_err(KeyError::from)?),
            pepper_id: self.community.pepper_id.0,
        };
        Ok(Issued { record, file: CertificateFile { certificate, secret, pepper_id: self.community.pepper_id, node_key } })
    }

    /// The auth key that the holder of a stored certificate must know.
    ///
    /// # Errors
    /// [`AuthKeyError`]: that game server cannot connect until the operator acts.
    pub fn auth_key(&self, stored: &NewCertificate) -> Result<AuthKey, AuthKeyError> {
        let ours = self.community.pepper_id.0;
        if stored.pepper_id != ours {
            return Err(AuthKeyError::Pepper { expected: stored.pepper_id, got: ours });
        }
        let opened = self.kek.open(&secret_place(stored.server, stored.key_epoch), &stored.sealed_secret)?;
        let bytes: &[u8; 32] = opened.as_slice().try_into().ok().ok_or(AuthKeyError::Commitment)?;
        let secret = CertificateSecret::from_bytes(*bytes);
        if secret.commitment() != stored.secret_commitment {
            return Err(AuthKeyError::Commitment);
        }
        Ok(AuthKey::from_certificate_secret(&self.pepper, &secret))
    }
}

fn secret_place(server: ServerId, key_epoch: u32) -> Place {
    Place { table: "certificates", column: "sealed_secret", row: server.0, key_epoch }
}
