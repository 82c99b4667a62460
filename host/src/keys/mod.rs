//! The keys of a community: made by `ranked init`, loaded by every other command.
//!
//! ```text
//! community.toml          public: realm, signing keys, addresses
//! pepper.key              0600, goes to game servers separately from their certificates
//! keys/signing-EPOCH.key  0600, signs certificates; the host runs without it (only issuing and renewing need it)
//! keys/channel.key        0600, signs handshakes; short-lived, under the signing key
//! keys/kek.key            0600, encrypts the secrets in the database; `$CREDENTIALS_DIRECTORY/kek` comes first
//! ```
//!
//! Each file is read with [`secret_file::read`]: refused if others may read it or if it is a symbolic link.

mod certificate;
mod community;
mod key_file;
mod publisher;
mod sealing;
pub mod secret_file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ladder::time::UnixMillis;
use protocol::channel_key::{CHANNEL_CERTIFICATE_LEN, ChannelCertificate};
use protocol::envelope::{EnvelopeError, PepperFile};
use protocol::handshake::server::HostIdentity;
use protocol::id::{KeyEpoch, PepperId, RealmId};
use protocol::secret::Pepper;
use protocol::signature::{ChannelKey, PublicKey, SigningKey};
use protocol::trust::TrustAnchors;
use store::{KeyEpochState, NewKeyEpoch, Store, StoreError};
use zeroize::Zeroizing;

pub use certificate::{AuthKeyError, IssueOrder, IssueRefusal, Issued};
pub use community::{Community, CommunityError};
pub use key_file::KeyFileError;
pub(crate) use key_file::parse_hex;
pub use publisher::{NoPublisherId, PluginSignature, PublisherId, PublisherKey, SignatureRefusal};
pub use sealing::{KeyEncryptionKey, Place, UnsealError};
pub use secret_file::SecretFileError;

use crate::config::{Config, Public};
use key_file::{Fields, Writer};

/// Where the files of a community lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPaths {
    /// `community.toml`
    pub community: PathBuf,
    /// `pepper.key`
    pub pepper: PathBuf,
    /// `keys/`
    pub folder: PathBuf,
}

impl KeyPaths {
    /// Beside `ranked.toml`, in the folder that it names.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self { community: config.folder().join("community.toml"), pepper: config.folder().join("pepper.key"), folder: config.keys_folder() }
    }

    /// The file of a signing key.
    #[must_use]
    pub fn signing(&self, key_epoch: KeyEpoch) -> PathBuf {
        self.folder.join(format!("signing-{key_epoch}.key"))
    }

    /// The file of the channel key and its certificate.
    #[must_use]
    pub fn channel(&self) -> PathBuf {
        self.folder.join("channel.key")
    }

    /// The file of the key-encryption key.
    #[must_use]
    pub fn kek(&self) -> PathBuf {
        self.folder.join("kek.key")
    }
}

/// The keys of this community cannot be loaded or made. The operator's fault, or the file system's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A file cannot be used at all.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// A key file's text cannot be used.
    #[error("{} cannot be used", path.display())]
    Text {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: KeyFileError,
    },
    /// `pepper.key` cannot be used.
    #[error("{} cannot be used", path.display())]
    Pepper {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: EnvelopeError,
    },
    /// `community.toml` cannot be used.
    #[error(transparent)]
    Community(#[from] CommunityError),
    /// A private key is not the one that `community.toml` tells everybody.
    #[error("{} holds another key than community.toml has for key epoch {key_epoch}", path.display())]
    OtherKey {
        /// Which file.
        path: PathBuf,
        /// Its key epoch.
        key_epoch: KeyEpoch,
    },
    /// `pepper.key` is another generation than `community.toml` tells everybody.
    #[error("pepper.key has pepper {got}, community.toml says {expected}")]
    OtherPepper {
        /// As in `community.toml`.
        expected: PepperId,
        /// As in the file.
        got: PepperId,
    },
    /// Something must be signed and the signing key is not on this machine.
    #[error("the signing key of key epoch {key_epoch} is not here")]
    NoSigningKey {
        /// Whose file is missing.
        key_epoch: KeyEpoch,
    },
    /// The operating system gives no randomness.
    #[error("the operating system gives no random bytes")]
    NoEntropy(#[from] getrandom::Error),
}

impl KeyError {
    /// What the operator can do about it.
    #[must_use]
    pub fn fix(&self) -> String {
        match self {
            Self::File(error) => error.fix(),
            Self::Text { path, .. } | Self::Pepper { path, .. } | Self::OtherKey { path, .. } => {
                format!("restore {} from a backup", path.display())
            }
            Self::Community(_) | Self::OtherPepper { .. } => "restore community.toml and pepper.key from one backup".to_owned(),
            Self::NoSigningKey { key_epoch } => format!("bring signing-{key_epoch}.key back into the keys folder for this command"),
            Self::NoEntropy(_) => "check /dev/urandom and the container's system call filter".to_owned(),
        }
    }
}

/// Fresh bytes from the operating system.
///
/// # Errors
/// The system gives none: nothing that needs a secret can be done.
pub fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// The keys of the community, in memory. Erased when dropped.
pub struct Keyring {
    paths: KeyPaths,
    community: Community,
    kek: KeyEncryptionKey,
    pepper: Pepper,
    identity: HostIdentity,
    signing: BTreeMap<KeyEpoch, SigningKey>,
}

const SIGNING: &str = "SIGNING KEY";
const CHANNEL: &str = "CHANNEL KEY";
const KEK: &str = "KEY-ENCRYPTION KEY";
/// Clocks of game servers may be behind: a channel certificate begins this long before it is made.
const BACKDATED: Duration = Duration::from_secs(3_600);

impl Keyring {
    /// Makes a community: realm, key epoch 1, channel key, pepper, key-encryption key, and writes all files. None is overwritten.
    ///
    /// # Errors
    /// [`KeyError`]: a file exists, or the file system refuses.
    pub fn create(paths: KeyPaths, public: &Public, channel_life: Duration, now: UnixMillis) -> Result<Self, KeyError> {
        let signing_key = new_signing_key(KeyEpoch(1))?;
        let community = Community {
            realm_id: RealmId(random()?),
            pepper_id: PepperId(1),
            http: public.http.clone(),
            s2s: public.s2s.clone(),
            rdv: public.rdv.clone(),
            signing_keys: [(KeyEpoch(1), signing_key.public_key())].into(),
        };
        let pepper = Zeroizing::new(random()?);
        let kek = Zeroizing::new(random()?);
        let keyring = Self {
            identity: new_identity(community.realm_id, &signing_key, channel_life, now)?,
            paths,
            community,
            kek: KeyEncryptionKey::new(1, *kek),
            pepper: Pepper::from_bytes(*pepper),
            signing: [(KeyEpoch(1), signing_key)].into(),
        };
        keyring.write_all()?;
        Ok(keyring)
    }

    fn write_all(&self) -> Result<(), KeyError> {
        let paths = &self.paths;
        secret_file::create_folder(&paths.folder)?;
        for (key_epoch, key) in &self.signing {
            secret_file::create(&paths.signing(*key_epoch), &encode_signing(key))?;
        }
        secret_file::create(&paths.channel(), &self.encode_channel())?;
        let kek = Writer::new(KEK).number("kek-id", self.kek.kek_id()).bytes("key", self.kek.expose()).finish();
        secret_file::create(&paths.kek(), &kek)?;
        let pepper = PepperFile { pepper_id: self.community.pepper_id, pepper: Pepper::from_bytes(*self.pepper.expose()) };
        secret_file::create(&paths.pepper, &pepper.encode())?;
        // Last: its presence says that the community is complete.
        secret_file::create_public(&paths.community, &self.community.encode())?;
        Ok(())
    }

    /// Loads the files of a community. Signing keys may be missing: then nothing can be issued here.
    ///
    /// # Errors
    /// [`KeyError`] names the file; [`KeyError::fix`] says what to do.
    pub fn load(paths: KeyPaths) -> Result<Self, KeyError> {
        let community = read_community(&paths.community)?;
        let kek = read_kek(&paths)?;
        let pepper = read_pepper(&paths.pepper, community.pepper_id)?;
        let identity = read_channel(&paths.channel())?;
        let mut signing = BTreeMap::new();
        for (&key_epoch, public) in &community.signing_keys {
            let path = paths.signing(key_epoch);
            let key = match read_signing(&path) {
                Err(KeyError::File(SecretFileError::Missing { .. })) => continue,
                other => other?,
            };
            if key.key_epoch() != key_epoch || key.public_key() != *public {
                return Err(KeyError::OtherKey { path, key_epoch });
            }
            signing.insert(key_epoch, key);
        }
        Ok(Self { paths, community, kek, pepper, identity, signing })
    }

    /// Where the files lie.
    #[must_use]
    pub fn paths(&self) -> &KeyPaths {
        &self.paths
    }

    /// What is public.
    #[must_use]
    pub fn community(&self) -> &Community {
        &self.community
    }

    /// The community.
    #[must_use]
    pub fn realm_id(&self) -> RealmId {
        self.community.realm_id
    }

    /// What signs handshakes.
    #[must_use]
    pub fn identity(&self) -> &HostIdentity {
        &self.identity
    }

    /// When the channel certificate ends.
    #[must_use]
    pub fn channel_not_after(&self) -> UnixMillis {
        self.identity.channel_certificate.not_after()
    }

    /// What encrypts secrets in the database, and what keys of other purposes derive from.
    #[must_use]
    pub fn kek(&self) -> &KeyEncryptionKey {
        &self.kek
    }

    /// The realm with its signing keys. Retired key epochs are the database's to know.
    #[must_use]
    pub fn trust(&self) -> TrustAnchors {
        let anchors = TrustAnchors::new(self.community.realm_id);
        self.community.signing_keys.iter().fold(anchors, |anchors, (&key_epoch, &key)| anchors.with_key(key_epoch, key))
    }

    /// The newest key epoch that everybody knows; certificates are issued under it.
    #[must_use]
    pub fn key_epoch(&self) -> KeyEpoch {
        self.community.signing_keys.keys().next_back().copied().unwrap_or(KeyEpoch(0))
    }

    /// Public signing keys by key epoch.
    #[must_use]
    pub fn signing_keys(&self) -> &BTreeMap<KeyEpoch, PublicKey> {
        &self.community.signing_keys
    }

    /// Whether certificates can be issued on this machine.
    #[must_use]
    pub fn can_sign(&self) -> bool {
        self.signing.contains_key(&self.key_epoch())
    }

    fn signing_key(&self) -> Result<&SigningKey, KeyError> {
        let key_epoch = self.key_epoch();
        self.signing.get(&key_epoch).ok_or(KeyError::NoSigningKey { key_epoch })
    }

    /// Renews the channel key and its certificate if less than half of `life` is left, or if it does not verify. Returns whether it did.
    ///
    /// # Errors
    /// [`KeyError`]: the signing key is not here, or the file cannot be written. The old channel key stays in use.
    pub fn renew_channel_if_due(&mut self, life: Duration, now: UnixMillis) -> Result<bool, KeyError> {
        let left = self.channel_not_after().since(now);
        if left >= life / 2 && self.identity.channel_certificate.verify(&self.trust(), now).is_ok() {
            return Ok(false);
        }
        self.identity = new_identity(self.community.realm_id, self.signing_key()?, life, now)?;
        secret_file::replace(&self.paths.channel(), &self.encode_channel())?;
        Ok(true)
    }

    /// Writes `community.toml` again if `ranked.toml` tells other addresses. Returns whether it did.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn publish_addresses(&mut self, public: &Public) -> Result<bool, KeyError> {
        let changed = self.community.set_addresses(public);
        if changed {
            secret_file::replace_public(&self.paths.community, &self.community.encode())?;
        }
        Ok(changed)
    }

    /// Makes the next signing key and writes its file; nobody believes it before [`Keyring::adopt`].
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn prepare_successor(&self) -> Result<Successor, KeyError> {
        let mut key_epoch = KeyEpoch(self.key_epoch().0 + 1);
        // A key that an interrupted attempt left behind is not reused: nobody knows who saw it.
        while self.paths.signing(key_epoch).exists() {
            key_epoch.0 += 1;
        }
        let key = new_signing_key(key_epoch)?;
        secret_file::create(&self.paths.signing(key_epoch), &encode_signing(&key))?;
        Ok(Successor { key })
    }

    /// Believes the successor alone: a new channel certificate under it, `community.toml` without the former keys.
    ///
    /// # Errors
    /// [`KeyError`]: the files cannot be written.
    pub fn adopt(&mut self, successor: Successor, channel_life: Duration, now: UnixMillis) -> Result<(), KeyError> {
        let key = successor.key;
        self.identity = new_identity(self.community.realm_id, &key, channel_life, now)?;
        self.community.signing_keys = [(key.key_epoch(), key.public_key())].into();
        self.signing = [(key.key_epoch(), key)].into();
        secret_file::replace(&self.paths.channel(), &self.encode_channel())?;
        secret_file::replace_public(&self.paths.community, &self.community.encode())?;
        Ok(())
    }

    /// Agrees with the database about the signing keys: makes ours known to it, and takes over a successor that an interrupted `key nuke`
    /// left known to the database alone.
    ///
    /// # Errors
    /// [`SettleError`]: the database cannot be used, or belongs to another community.
    pub async fn settle(&mut self, store: &Store, channel_life: Duration, now: UnixMillis) -> Result<(), SettleError> {
        let stored = store.list_key_epochs().await?;
        let newest = stored.iter().rfind(|epoch| epoch.state == KeyEpochState::Active);
        if let Some(newest) = newest.filter(|newest| newest.key_epoch > self.key_epoch().0) {
            let path = self.paths.signing(KeyEpoch(newest.key_epoch));
            let key = read_signing(&path)?;
            if key.public_key().0 != newest.public_key {
                return Err(KeyError::OtherKey { path, key_epoch: KeyEpoch(newest.key_epoch) }.into());
            }
            self.adopt(Successor { key }, channel_life, now)?;
        }
        for (&key_epoch, public) in &self.community.signing_keys {
            match stored.iter().find(|epoch| epoch.key_epoch == key_epoch.0) {
                Some(known) if known.public_key != public.0 => return Err(SettleError::OtherCommunity { key_epoch }),
                Some(_) => {}
                None => {
                    let new = NewKeyEpoch { key_epoch: key_epoch.0, public_key: public.0 };
                    store.add_key_epoch(new, now).await?.map_err(|_taken| SettleError::OtherCommunity { key_epoch })?;
                }
            }
        }
        Ok(())
    }

    fn encode_channel(&self) -> Zeroizing<String> {
        Writer::new(CHANNEL)
            .bytes("seed", self.identity.channel_key.expose())
            .bytes("certificate", self.identity.channel_certificate.encoded())
            .finish()
    }
}

/// Keys and database do not go together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key file is missing or foreign.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database knows another signing key of this number: keys and database come from two communities or two backups.
    #[error("the database knows another signing key of key epoch {key_epoch} than community.toml")]
    OtherCommunity {
        /// Which.
        key_epoch: KeyEpoch,
    },
}

/// A signing key that exists and is not believed yet.
pub struct Successor {
    key: SigningKey,
}

impl Successor {
    /// Its generation.
    #[must_use]
    pub fn key_epoch(&self) -> KeyEpoch {
        self.key.key_epoch()
    }

    /// Its public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }
}

fn new_signing_key(key_epoch: KeyEpoch) -> Result<SigningKey, KeyError> {
    let seed = Zeroizing::new(random()?);
    Ok(SigningKey::from_seed(key_epoch, &seed))
}

fn new_identity(realm_id: RealmId, signing_key: &SigningKey, life: Duration, now: UnixMillis) -> Result<HostIdentity, KeyError> {
    let seed = Zeroizing::new(random()?);
    let channel_key = ChannelKey::from_seed(&seed);
    let not_before = UnixMillis(now.0.saturating_sub(u64::try_from(BACKDATED.as_millis()).unwrap_or(0)));
    let channel_certificate = ChannelCertificate::issue(realm_id, channel_key.public_key(), not_before, now.plus(life), signing_key);
    Ok(HostIdentity { channel_key, channel_certificate })
}

fn encode_signing(key: &SigningKey) -> Zeroizing<String> {
    Writer::new(SIGNING).number("key-epoch", key.key_epoch().0).bytes("seed", key.expose()).finish()
}

fn in_file<T>(path: &Path, result: Result<T, KeyFileError>) -> Result<T, KeyError> {
    result.map_err(|source| KeyError::Text { path: path.to_owned(), source })
}

fn read_community(path: &Path) -> Result<Community, KeyError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Community::parse(&text)?),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Err(SecretFileError::Missing { path: path.to_owned() }.into()),
        Err(source) => Err(SecretFileError::Io { path: path.to_owned(), source }.into()),
    }
}

fn read_signing(path: &Path) -> Result<SigningKey, KeyError> {
    let text = secret_file::read(path)?;
    let parse = || {
        let fields = Fields::parse(&text, SIGNING, ["key-epoch", "seed"])?;
        Ok(SigningKey::from_seed(KeyEpoch(fields.number(0)?), &*fields.bytes(1)?))
    };
    in_file(path, parse())
}

fn read_channel(path: &Path) -> Result<HostIdentity, KeyError> {
    let text = secret_file::read(path)?;
    let parse = || {
        let fields = Fields::parse(&text, CHANNEL, ["seed", "certificate"])?;
        Ok(HostIdentity {
            channel_key: ChannelKey::from_seed(&*fields.bytes(0)?),
            channel_certificate: ChannelCertificate::from_bytes(*fields.bytes::<CHANNEL_CERTIFICATE_LEN>(1)?),
        })
    };
    in_file(path, parse())
}

/// The service manager's copy first, else the file.
fn read_kek(paths: &KeyPaths) -> Result<KeyEncryptionKey, KeyError> {
    let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| PathBuf::from(folder).join("kek"));
    let path = handed_over.filter(|path| path.exists()).unwrap_or_else(|| paths.kek());
    let text = secret_file::read(&path)?;
    let parse = || {
        let fields = Fields::parse(&text, KEK, ["kek-id", "key"])?;
        Ok(KeyEncryptionKey::new(fields.number(0)?, *fields.bytes(1)?))
    };
    in_file(&path, parse())
}

fn read_pepper(path: &Path, expected: PepperId) -> Result<Pepper, KeyError> {
    let text = secret_file::read(path)?;
    let file = PepperFile::parse(&text).map_err(|source| KeyError::Pepper { path: path.to_owned(), source })?;
    if file.pepper_id == expected { Ok(file.pepper) } else { Err(KeyError::OtherPepper { expected, got: file.pepper_id }) }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests;
