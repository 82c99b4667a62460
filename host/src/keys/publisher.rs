//! Publishers of plugins: who vouches for a component.
//!
//! A signature is a small text file beside the component. It signs the component's SHA-256 and nothing else: the message is the ASCII text
//! `RankedServer/1 plugin`, a zero byte, and the 32 bytes of the digest. No other signature of this project starts like it.
//!
//! ```text
//! -----BEGIN RANKED PLUGIN SIGNATURE-----
//! publisher: 64 hexadecimal digits, the public key
//! component: 64 hexadecimal digits, SHA-256 of the component
//! signature: 128 hexadecimal digits, Ed25519
//! -----END RANKED PLUGIN SIGNATURE-----
//! ```

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use ladder::id::Digest;

use super::key_file::{Fields, KeyFileError, Writer};

/// The key file's BEGIN and END lines name it so.
const KEY_KIND: &str = "PUBLISHER KEY";
const SIGNATURE_KIND: &str = "PLUGIN SIGNATURE";
const CONTEXT: &[u8] = b"RankedServer/1 plugin\0";

/// The public half of a publisher's key, as `ranked.toml` lists it: `ed25519:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublisherId(pub [u8; 32]);

/// A text that names no publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a publisher's key is `ed25519:` and 64 hexadecimal digits; `ranked plugin publisher` prints it")]
pub struct NoPublisherId;

impl TryFrom<String> for PublisherId {
    type Error = NoPublisherId;

    fn try_from(text: String) -> Result<Self, NoPublisherId> {
        let mut bytes = [0; 32];
        let digits = text.strip_prefix("ed25519:").ok_or(NoPublisherId)?;
        super::parse_hex(digits, &mut bytes).ok_or(NoPublisherId)?;
        Ok(Self(bytes))
    }
}

impl From<PublisherId> for String {
    fn from(id: PublisherId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for PublisherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ed25519:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublisherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The secret half: whoever has it publishes in that name.
pub struct PublisherKey(SigningKey);

impl PublisherKey {
    /// A new key.
    ///
    /// # Errors
    /// The environment's fault: no randomness.
    pub fn generate() -> Result<Self, getrandom::Error> {
        Ok(Self(SigningKey::from_bytes(&super::random()?)))
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// The publisher's fault: another file, or an edited one.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        let fields = Fields::parse(text, KEY_KIND, ["seed"])?;
        Ok(Self(SigningKey::from_bytes(&*fields.bytes::<32>(0)?)))
    }

    /// The text of its file, which belongs to its owner alone.
    #[must_use]
    pub fn encode(&self) -> zeroize::Zeroizing<String> {
        Writer::new(KEY_KIND).bytes("seed", self.0.as_bytes()).finish()
    }

    /// Whom it signs for.
    #[must_use]
    pub fn id(&self) -> PublisherId {
        PublisherId(self.0.verifying_key().to_bytes())
    }

    /// Vouches for a component.
    #[must_use]
    pub fn sign(&self, component: Digest) -> PluginSignature {
        PluginSignature { publisher: self.id(), component, signature: self.0.sign(&message(component)).to_bytes() }
    }
}

/// A publisher's word for one component. It counts once [`PluginSignature::verify`] has looked at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSignature {
    publisher: PublisherId,
    component: Digest,
    signature: [u8; 64],
}

/// Why a signature does not vouch for a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureRefusal {
    /// It is about other bytes: the component was changed or built anew after it was signed, or the files were mixed up.
    #[error("the signature is for another component, sha256:{signed}")]
    OtherComponent {
        /// What was signed.
        signed: Digest,
    },
    /// It does not verify: forged, or damaged.
    #[error("the signature does not verify under the key {publisher}")]
    Wrong {
        /// Whom it names.
        publisher: PublisherId,
    },
}

impl PluginSignature {
    /// Reads the text of a signature file.
    ///
    /// # Errors
    /// Another file, or a damaged one.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        let fields = Fields::parse(text, SIGNATURE_KIND, ["publisher", "component", "signature"])?;
        let (publisher, component) = (PublisherId(*fields.bytes(0)?), Digest(*fields.bytes(1)?));
        Ok(Self { publisher, component, signature: *fields.bytes(2)? })
    }

    /// The text of its file.
    #[must_use]
    pub fn encode(&self) -> String {
        let writer = Writer::new(SIGNATURE_KIND).bytes("publisher", &self.publisher.0).bytes("component", &self.component.0);
        writer.bytes("signature", &self.signature).finish().to_string()
    }

    /// Who vouches for the component; whether that counts is the operator's decision.
    ///
    /// # Errors
    /// [`SignatureRefusal`].
    pub fn verify(&self, component: Digest) -> Result<PublisherId, SignatureRefusal> {
        if self.component != component {
            return Err(SignatureRefusal::OtherComponent { signed: self.component });
        }
        let wrong = SignatureRefusal::Wrong { publisher: self.publisher };
        let key = VerifyingKey::from_bytes(&self.publisher.0).ok().ok_or(wrong)?;
        // Strict: a key of small order would make one signature fit every component.
        key.verify_strict(&message(component), &Signature::from_bytes(&self.signature)).ok().ok_or(wrong)?;
        Ok(self.publisher)
    }
}

fn message(component: Digest) -> Vec<u8> {
    [CONTEXT, &component.0].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: Digest = Digest([7; 32]);

    fn key() -> PublisherKey {
        PublisherKey(SigningKey::from_bytes(&[1; 32]))
    }

    #[test]
    fn a_signature_survives_its_file_and_names_its_publisher() {
        let signature = PluginSignature::parse(&key().sign(COMPONENT).encode()).expect("our own text");
        assert_eq!(signature.verify(COMPONENT), Ok(key().id()));
        let again = PublisherKey::parse(&key().encode()).expect("our own text");
        assert_eq!(again.id(), key().id());
        assert_eq!(PublisherId::try_from(key().id().to_string()), Ok(key().id()));
    }

    #[test]
    fn a_signature_vouches_for_nothing_else() {
        let sound = key().sign(COMPONENT);
        let other = Digest([8; 32]);
        assert_eq!(sound.verify(other), Err(SignatureRefusal::OtherComponent { signed: COMPONENT }));
        let publisher = key().id();
        let renamed = PluginSignature { component: other, ..sound.clone() };
        assert_eq!(renamed.verify(other), Err(SignatureRefusal::Wrong { publisher }), "another digest written into the file");
        let mut bent = sound.clone();
        bent.signature[40] ^= 1;
        assert_eq!(bent.verify(COMPONENT), Err(SignatureRefusal::Wrong { publisher }));
        let thief = PublisherKey(SigningKey::from_bytes(&[2; 32])).id();
        let stolen = PluginSignature { publisher: thief, ..sound };
        assert_eq!(stolen.verify(COMPONENT), Err(SignatureRefusal::Wrong { publisher: thief }));
        // The neutral element as a key: with a lax check it verifies a signature of zeros for every message.
        let mut small_order = [0; 32];
        small_order[0] = 1;
        let mut zeros = [0; 64];
        zeros[0] = 1;
        let forged = PluginSignature { publisher: PublisherId(small_order), component: COMPONENT, signature: zeros };
        assert!(forged.verify(COMPONENT).is_err());
    }

    #[test]
    fn files_of_another_kind_are_refused() {
        assert!(PluginSignature::parse(&key().encode()).is_err());
        assert!(PublisherKey::parse(&key().sign(COMPONENT).encode()).is_err());
        for text in ["", "ed25519:", "sha256:00", "ed25519:zz"] {
            assert_eq!(PublisherId::try_from(text.to_owned()), Err(NoPublisherId), "{text}");
        }
    }
}
