//! Ed25519 keys and signatures with a context: no signature made for one purpose verifies for another.

use core::fmt;

use alloc::vec::Vec;
use ed25519_dalek::Signer;

use crate::id::KeyEpoch;

/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 64;

/// What a signature is for; the ASCII text in front of the signed bytes.
#[derive(Clone, Copy)]
pub(crate) enum Context {
    Certificate,
    ChannelKey,
    ServerHello,
    ClientFinish,
}

impl Context {
    fn message(self, parts: &[&[u8]]) -> Vec<u8> {
        let text: &[u8] = match self {
            Self::Certificate => b"RankedServer/2 cert",
            Self::ChannelKey => b"RankedServer/2 channel-key",
            Self::ServerHello => b"RankedServer/2 server-hello",
            Self::ClientFinish => b"RankedServer/2 client-finish",
        };
        let mut message = [text, &[0]].concat();
        for part in parts {
            message.extend_from_slice(part);
        }
        message
    }
}

/// The signature does not verify under the key. The peer's fault, or a forger's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct WrongSignature;

/// The public half of an Ed25519 key. Any 32 bytes; a point that is no key verifies nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    pub(crate) fn verify(&self, context: Context, parts: &[&[u8]], signature: &[u8; SIGNATURE_LEN]) -> Result<(), WrongSignature> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(&self.0).ok().ok_or(WrongSignature)?;
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        // Strict: small-order keys and non-canonical S would let one signature fit two messages.
        key.verify_strict(&context.message(parts), &signature).ok().ok_or(WrongSignature)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

macro_rules! signing {
    ($name:ident) => {
        impl $name {
            /// The 32-byte seed, for storage. Never for a log line.
            #[must_use]
            pub fn expose(&self) -> &[u8; 32] {
                self.key.as_bytes()
            }

            /// The public half.
            #[must_use]
            pub fn public_key(&self) -> PublicKey {
                PublicKey(self.key.verifying_key().to_bytes())
            }

            pub(crate) fn sign(&self, context: Context, parts: &[&[u8]]) -> [u8; SIGNATURE_LEN] {
                self.key.sign(&context.message(parts)).to_bytes()
            }
        }
    };
}

/// The host's key that signs certificates and channel keys. May stay sealed while the host runs.
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    key_epoch: KeyEpoch,
}
signing!(SigningKey);

impl SigningKey {
    /// Takes 32 random bytes, or those that storage kept, of generation `key_epoch`.
    #[must_use]
    pub fn from_seed(key_epoch: KeyEpoch, seed: &[u8; 32]) -> Self {
        Self { key: ed25519_dalek::SigningKey::from_bytes(seed), key_epoch }
    }

    /// The generation of this key.
    #[must_use]
    pub fn key_epoch(&self) -> KeyEpoch {
        self.key_epoch
    }
}

/// The host's key that signs handshakes: hot, and replaced every few days under the [`SigningKey`].
pub struct ChannelKey {
    key: ed25519_dalek::SigningKey,
}
signing!(ChannelKey);

impl ChannelKey {
    /// Takes 32 random bytes, or those that storage kept.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { key: ed25519_dalek::SigningKey::from_bytes(seed) }
    }
}

/// A game server's own key. Made on the game server; only its public half ever leaves it.
pub struct NodeKey {
    key: ed25519_dalek::SigningKey,
}
signing!(NodeKey);

impl NodeKey {
    /// Takes 32 random bytes, or those that the certificate file kept.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { key: ed25519_dalek::SigningKey::from_bytes(seed) }
    }
}
