//! What is believed before anybody speaks: one realm and the public signing keys of its key epochs.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::id::{KeyEpoch, RealmId};
use crate::signature::PublicKey;

/// The realm and its signing keys, pinned by clients when they are provisioned and known to the host by itself.
#[derive(Clone, Debug)]
pub struct TrustAnchors {
    realm_id: RealmId,
    keys: BTreeMap<KeyEpoch, PublicKey>,
    retired: BTreeSet<KeyEpoch>,
}

impl TrustAnchors {
    /// A realm with no key yet: it accepts nothing.
    #[must_use]
    pub fn new(realm_id: RealmId) -> Self {
        Self { realm_id, keys: BTreeMap::new(), retired: BTreeSet::new() }
    }

    /// Adds the signing key of one epoch.
    #[must_use]
    pub fn with_key(mut self, key_epoch: KeyEpoch, key: PublicKey) -> Self {
        self.keys.insert(key_epoch, key);
        self
    }

    /// Refuses, from now on, everything that the key of this epoch ever signed.
    pub fn retire(&mut self, key_epoch: KeyEpoch) {
        self.retired.insert(key_epoch);
    }

    /// The realm.
    #[must_use]
    pub fn realm_id(&self) -> RealmId {
        self.realm_id
    }

    /// The key of an epoch that is known and not retired.
    pub(crate) fn key(&self, key_epoch: KeyEpoch) -> Result<PublicKey, UntrustedKeyEpoch> {
        if self.retired.contains(&key_epoch) {
            return Err(UntrustedKeyEpoch::Retired(key_epoch));
        }
        self.keys.get(&key_epoch).copied().ok_or(UntrustedKeyEpoch::Unknown(key_epoch))
    }
}

/// A signature names a key that is not believed (any more).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UntrustedKeyEpoch {
    /// No key of this epoch is pinned: another community's, or an old `community.toml`.
    #[error("key epoch {0} is not pinned here")]
    Unknown(KeyEpoch),
    /// The operator withdrew every certificate of this epoch.
    #[error("key epoch {0} is retired")]
    Retired(KeyEpoch),
}
