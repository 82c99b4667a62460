//! The channel certificate: the signing key vouches for the hot channel key, so that the signing key can stay sealed.

use ladder::time::UnixMillis;

use crate::bytes::{Malformed, Reader};
use crate::certificate::{CertificateError, check_period};
use crate::id::{KeyEpoch, RealmId};
use crate::signature::{Context, PublicKey, SigningKey};
use crate::trust::TrustAnchors;

/// Bytes of a channel certificate.
pub const CHANNEL_CERTIFICATE_LEN: usize = SIGNED_LEN + crate::signature::SIGNATURE_LEN;
const SIGNED_LEN: usize = 52;

/// A channel certificate as it travels in M2. A claim until the client verified it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelCertificate {
    encoded: [u8; CHANNEL_CERTIFICATE_LEN],
}

impl ChannelCertificate {
    /// Signs a channel key for the instants from `not_before` until just before `not_after`.
    #[must_use]
    pub fn issue(realm_id: RealmId, channel_key: PublicKey, not_before: UnixMillis, not_after: UnixMillis, key: &SigningKey) -> Self {
        let mut encoded = [0; CHANNEL_CERTIFICATE_LEN];
        encoded[..32].copy_from_slice(&channel_key.0);
        encoded[32..40].copy_from_slice(&not_before.0.to_be_bytes());
        encoded[40..48].copy_from_slice(&not_after.0.to_be_bytes());
        encoded[48..52].copy_from_slice(&key.key_epoch().0.to_be_bytes());
        let signature = key.sign(Context::ChannelKey, &[&realm_id.0, &encoded[..SIGNED_LEN]]);
        encoded[SIGNED_LEN..].copy_from_slice(&signature);
        Self { encoded }
    }

    /// Takes stored bytes; they are checked by whoever relies on them.
    #[must_use]
    pub fn from_bytes(encoded: [u8; CHANNEL_CERTIFICATE_LEN]) -> Self {
        Self { encoded }
    }

    /// The bytes as they travel and are stored.
    #[must_use]
    pub fn encoded(&self) -> &[u8; CHANNEL_CERTIFICATE_LEN] {
        &self.encoded
    }

    /// First instant at which it is no longer valid.
    #[must_use]
    pub fn not_after(&self) -> UnixMillis {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.encoded[40..48]);
        UnixMillis(u64::from_be_bytes(bytes))
    }

    /// Checks signature, key epoch and dates and gives the channel key that is believed from here on.
    ///
    /// # Errors
    ///
    /// See [`CertificateError`].
    pub fn verify(&self, trust: &TrustAnchors, now: UnixMillis) -> Result<PublicKey, CertificateError> {
        let (channel_key, not_before, not_after, key_epoch, signature) = self.fields()?;
        let key = trust.key(key_epoch)?;
        key.verify(Context::ChannelKey, &[&trust.realm_id().0, &self.encoded[..SIGNED_LEN]], &signature)?;
        check_period(not_before, not_after, now)?;
        Ok(channel_key)
    }

    fn fields(&self) -> Result<(PublicKey, UnixMillis, UnixMillis, KeyEpoch, [u8; 64]), Malformed> {
        let mut reader = Reader::new(&self.encoded);
        let fields =
            (PublicKey(reader.array()?), UnixMillis(reader.u64()?), UnixMillis(reader.u64()?), KeyEpoch(reader.u32()?), reader.array()?);
        reader.end()?;
        Ok(fields)
    }
}
