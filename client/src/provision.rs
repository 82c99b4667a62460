//! The three files that a game server needs: its certificate file, the pepper file and the public `community.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ladder::id::Digest;
use protocol::certificate::Certificate;
use protocol::envelope::{CertificateFile, EnvelopeError, PepperFile};
use protocol::id::{KeyEpoch, RealmId};
use protocol::secret::AuthKey;
use protocol::signature::{NodeKey, PublicKey};
use protocol::trust::TrustAnchors;
use serde::Deserialize;
use zeroize::Zeroizing;

/// Why a game server cannot use its files. Its operator's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A secret file is not one of ours.
    #[error("{path} is not usable")]
    Envelope {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: EnvelopeError,
    },
    /// `community.toml` is not one of ours.
    #[error("{path} is not a community file: {problem}")]
    Community {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The pepper is of another generation than the certificate.
    #[error("the certificate needs pepper {expected}, the pepper file holds {got}")]
    Pepper {
        /// What the certificate file names.
        expected: u32,
        /// What the pepper file is.
        got: u32,
    },
    /// The certificate file has no node key and none was given.
    #[error("the certificate was issued for a node key of this game server's own: pass it")]
    NoNodeKey,
}

/// What is public about a community: what everybody pins.
#[derive(Clone, Debug)]
pub struct Community {
    /// Realm and signing keys.
    pub trust: TrustAnchors,
    /// Base URL of the host's HTTP listener.
    pub http: String,
    /// Where game servers connect.
    pub s2s: String,
    /// Where players connect.
    pub rdv: String,
}

#[derive(Deserialize)]
struct CommunityFile {
    realm_id: String,
    signing_keys: BTreeMap<String, String>,
    addresses: Addresses,
}

#[derive(Deserialize)]
struct Addresses {
    http: String,
    s2s: String,
    rdv: String,
}

impl Community {
    /// Reads `community.toml`.
    ///
    /// # Errors
    ///
    /// [`ProvisionError::Io`] or [`ProvisionError::Community`].
    pub fn load(path: &Path) -> Result<Self, ProvisionError> {
        let text = read(path)?;
        let bad = |problem: String| ProvisionError::Community { path: path.to_owned(), problem };
        let file: CommunityFile = toml::from_str(&text).map_err(|error| bad(error.to_string()))?;
        let trust = trust_anchors(&file.realm_id, &file.signing_keys).map_err(|problem| bad(problem.to_owned()))?;
        let Addresses { http, s2s, rdv } = file.addresses;
        Ok(Self { trust, http, s2s, rdv })
    }
}

/// Builds the pinned trust from texts: the realm's 32 hexadecimal digits, and 64 per key epoch.
///
/// # Errors
///
/// What is wrong, for people.
pub fn trust_anchors(realm_id: &str, signing_keys: &BTreeMap<String, String>) -> Result<TrustAnchors, &'static str> {
    let realm = ladder::id::ServerId::from_hex(realm_id).ok_or("realm_id has 32 hexadecimal digits")?;
    let mut trust = TrustAnchors::new(RealmId(realm.0));
    for (epoch, key) in signing_keys {
        let epoch = epoch.parse().ok().ok_or("a key epoch is a number")?;
        let key = Digest::from_hex(key).ok_or("a signing key has 64 hexadecimal digits")?;
        trust = trust.with_key(KeyEpoch(epoch), PublicKey(key.0));
    }
    Ok(trust)
}

/// What a game server proves itself with.
pub struct GameServerKeys {
    /// The public part.
    pub certificate: Certificate,
    /// Made of the certificate secret and the pepper.
    pub auth_key: AuthKey,
    /// The game server's own key.
    pub node_key: NodeKey,
}

impl GameServerKeys {
    /// Reads the certificate file and the pepper file. `node_key` is the game server's own, if it made one.
    ///
    /// # Errors
    ///
    /// [`ProvisionError`] names the file and what to do.
    pub fn load(certificate: &Path, pepper: &Path, node_key: Option<NodeKey>) -> Result<Self, ProvisionError> {
        let envelope = |path: &Path, source| ProvisionError::Envelope { path: path.to_owned(), source };
        let file = CertificateFile::parse(&read(certificate)?).map_err(|source| envelope(certificate, source))?;
        let pepper = PepperFile::parse(&read(pepper)?).map_err(|source| envelope(pepper, source))?;
        if pepper.pepper_id != file.pepper_id {
            return Err(ProvisionError::Pepper { expected: file.pepper_id.0, got: pepper.pepper_id.0 });
        }
        let auth_key = AuthKey::from_certificate_secret(&pepper.pepper, &file.secret);
        let node_key = node_key.or(file.node_key).ok_or(ProvisionError::NoNodeKey)?;
        Ok(Self { certificate: file.certificate, auth_key, node_key })
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, ProvisionError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(source) => Err(ProvisionError::Io { path: path.to_owned(), source }),
    }
}
