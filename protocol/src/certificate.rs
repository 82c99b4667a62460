//! The certificate of a game server ("RSC2"): a signed statement that names it, its node key and its scope.
//!
//! ```text
//! bytes --parse--> Certificate (a claim) --verify--> VerifiedCertificate --(host: not revoked)--> in force
//! ```
//!
//! Revocation is not known here: the host turns a [`VerifiedCertificate`] into one that is in force.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use ladder::id::ServerId;
use ladder::time::UnixMillis;

use crate::bytes::{Malformed, Reader, push_lv8, push_lv16};
use crate::id::{KeyEpoch, RealmId};
use crate::signature::{Context, PublicKey, SIGNATURE_LEN, SigningKey, WrongSignature};
use crate::trust::{TrustAnchors, UntrustedKeyEpoch};

/// Longest owner name, in bytes of UTF-8.
pub const OWNER_LEN_MAX: usize = 64;
/// Longest certificate, in bytes.
pub const CERTIFICATE_LEN_MAX: usize = 134 + 1 + OWNER_LEN_MAX + 2 + EXTENSIONS_LEN_MAX + SIGNATURE_LEN;
/// Longest list of extensions, in bytes; this version sends none and ignores what it receives.
pub(crate) const EXTENSIONS_LEN_MAX: usize = 256;

const MAGIC: &[u8; 4] = b"RSC2";
const FORMAT: u8 = 2;
const NODE_KEY_PRESENT: u8 = 1;

/// What a game server may do with its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope(u16);

impl Scope {
    /// May send heartbeats.
    pub const HEARTBEAT: Self = Self(0x0001);
    /// May host matches.
    pub const HOST: Self = Self(0x0002);
    /// May report matches.
    pub const REPORT: Self = Self(0x0004);
    /// May send log entries.
    pub const LOG: Self = Self(0x0008);
    /// All of the above.
    pub const ALL: Self = Self(0x000f);

    /// Reads a mask; `None` if it has a bit that means nothing.
    #[must_use]
    pub fn from_bits(bits: u16) -> Option<Self> {
        (bits & !Self::ALL.0 == 0).then_some(Self(bits))
    }

    /// The mask.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }

    /// Whether everything in `other` is in here.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a certificate says. The key epoch and the realm of the signer are added by [`Certificate::issue`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFields {
    /// The community.
    pub realm_id: RealmId,
    /// The game server.
    pub server_id: ServerId,
    /// When it was signed.
    pub issued_at: UnixMillis,
    /// Valid from this instant on.
    pub not_before: UnixMillis,
    /// Valid until just before this instant.
    pub not_after: UnixMillis,
    /// [`crate::secret::CertificateSecret::commitment`] of the secret that belongs to it.
    pub secret_commitment: [u8; 32],
    /// Public half of the game server's own key.
    pub node_key: PublicKey,
    /// What it may do.
    pub scope: Scope,
    /// The name in force, 1 to 64 bytes of UTF-8. Whatever else the game server calls itself is overridden.
    pub owner: String,
}

/// A certificate that parses. Nothing in it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    fields: CertificateFields,
    key_epoch: KeyEpoch,
    min_protocol: u8,
    encoded: Vec<u8>,
}

/// The operator asked for a certificate that cannot exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The owner name is empty or longer than [`OWNER_LEN_MAX`].
    #[error("the owner name has {len} bytes, it needs 1 to {OWNER_LEN_MAX}")]
    OwnerLength {
        /// Bytes of UTF-8.
        len: usize,
    },
    /// It would end before it begins.
    #[error("the certificate would end ({not_after}) before it begins ({not_before})")]
    EmptyPeriod {
        /// First instant.
        not_before: UnixMillis,
        /// First instant after the end.
        not_after: UnixMillis,
    },
}

/// The certificate is not believed. The presenter's fault, unless the host's or the client's clock or pinned keys are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The bytes are no certificate.
    #[error("the bytes are no certificate")]
    Malformed(#[from] Malformed),
    /// It names a key epoch that is not believed.
    #[error("the signing key is not trusted")]
    KeyEpoch(#[from] UntrustedKeyEpoch),
    /// The signature is not that key's.
    #[error("the certificate's signature does not verify")]
    Signature(#[from] WrongSignature),
    /// It belongs to another community.
    #[error("the certificate belongs to realm {got}, this is {expected}")]
    Realm {
        /// Ours.
        expected: RealmId,
        /// The certificate's.
        got: RealmId,
    },
    /// It begins later.
    #[error("not valid before {not_before}, it is {now}")]
    NotYetValid {
        /// First valid instant.
        not_before: UnixMillis,
        /// The verifier's clock.
        now: UnixMillis,
    },
    /// It has ended.
    #[error("expired at {not_after}, it is {now}")]
    Expired {
        /// First instant after the end.
        not_after: UnixMillis,
        /// The verifier's clock.
        now: UnixMillis,
    },
}

impl Certificate {
    /// Signs a certificate.
    ///
    /// # Errors
    ///
    /// The operator's fault: see [`IssueError`].
    pub fn issue(fields: CertificateFields, key: &SigningKey) -> Result<Self, IssueError> {
        let len = fields.owner.len();
        if !(1..=OWNER_LEN_MAX).contains(&len) {
            return Err(IssueError::OwnerLength { len });
        }
        if fields.not_after <= fields.not_before {
            return Err(IssueError::EmptyPeriod { not_before: fields.not_before, not_after: fields.not_after });
        }
        let key_epoch = key.key_epoch();
        let min_protocol = crate::VERSION;
        let mut encoded = Vec::with_capacity(CERTIFICATE_LEN_MAX);
        encoded.extend_from_slice(MAGIC);
        encoded.extend_from_slice(&[FORMAT, NODE_KEY_PRESENT, min_protocol, 0]);
        encoded.extend_from_slice(&fields.realm_id.0);
        encoded.extend_from_slice(&key_epoch.0.to_be_bytes());
        encoded.extend_from_slice(&fields.server_id.0);
        for instant in [fields.issued_at, fields.not_before, fields.not_after] {
            encoded.extend_from_slice(&instant.0.to_be_bytes());
        }
        encoded.extend_from_slice(&fields.secret_commitment);
        encoded.extend_from_slice(&fields.node_key.0);
        encoded.extend_from_slice(&fields.scope.0.to_be_bytes());
        push_lv8(&mut encoded, fields.owner.as_bytes());
        push_lv16(&mut encoded, b"");
        let signature = key.sign(Context::Certificate, &[&encoded]);
        encoded.extend_from_slice(&signature);
        Ok(Self { fields, key_epoch, min_protocol, encoded })
    }

    /// Reads a certificate without believing it.
    ///
    /// # Errors
    ///
    /// The presenter's fault: [`Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        expect(reader.array()? == *MAGIC, "magic")?;
        expect(reader.u8()? == FORMAT, "format")?;
        expect(reader.u8()? == NODE_KEY_PRESENT, "flags")?;
        let min_protocol = reader.u8()?;
        expect(reader.u8()? == 0, "reserved")?;
        let realm_id = RealmId(reader.array()?);
        let key_epoch = KeyEpoch(reader.u32()?);
        let server_id = ServerId(reader.array()?);
        let issued_at = UnixMillis(reader.u64()?);
        let not_before = UnixMillis(reader.u64()?);
        let not_after = UnixMillis(reader.u64()?);
        let secret_commitment = reader.array()?;
        let node_key = PublicKey(reader.array()?);
        let scope = Scope::from_bits(reader.u16()?).ok_or(Malformed::OutOfRange { field: "scope" })?;
        let owner = reader.lv8()?;
        expect((1..=OWNER_LEN_MAX).contains(&owner.len()), "owner")?;
        let owner = core::str::from_utf8(owner).ok().ok_or(Malformed::OutOfRange { field: "owner" })?.to_string();
        reader.lv16("extensions", EXTENSIONS_LEN_MAX)?;
        reader.array::<SIGNATURE_LEN>()?;
        reader.end()?;
        let fields = CertificateFields { realm_id, server_id, issued_at, not_before, not_after, secret_commitment, node_key, scope, owner };
        Ok(Self { fields, key_epoch, min_protocol, encoded: bytes.to_vec() })
    }

    /// Checks signature, realm, key epoch and dates; the evidence is the returned type.
    ///
    /// # Errors
    ///
    /// See [`CertificateError`].
    pub fn verify(self, trust: &TrustAnchors, now: UnixMillis) -> Result<VerifiedCertificate, CertificateError> {
        let key = trust.key(self.key_epoch)?;
        let (signed, signature) = self.encoded.split_last_chunk().expect("a certificate that parsed ends with a signature");
        key.verify(Context::Certificate, &[signed], signature)?;
        let CertificateFields { realm_id, not_before, not_after, .. } = self.fields;
        if realm_id != trust.realm_id() {
            return Err(CertificateError::Realm { expected: trust.realm_id(), got: realm_id });
        }
        check_period(not_before, not_after, now)?;
        Ok(VerifiedCertificate(self))
    }

    /// What it says.
    #[must_use]
    pub fn fields(&self) -> &CertificateFields {
        &self.fields
    }

    /// Which signing key it says it is from.
    #[must_use]
    pub fn key_epoch(&self) -> KeyEpoch {
        self.key_epoch
    }

    /// Lowest protocol version that its holder may be spoken to in.
    #[must_use]
    pub fn min_protocol(&self) -> u8 {
        self.min_protocol
    }

    /// The bytes that were signed and the signature, as they travel.
    #[must_use]
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }
}

/// Evidence that a trusted signing key vouched for this certificate and that it is inside its dates.
///
/// Only [`Certificate::verify`] makes one. It says nothing about revocation.
///
/// ```compile_fail
/// # fn forge(certificate: protocol::certificate::Certificate) {
/// let evidence = protocol::certificate::VerifiedCertificate(certificate); // the field is private
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCertificate(Certificate);

impl VerifiedCertificate {
    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.0
    }

    /// What it says, now believed.
    #[must_use]
    pub fn fields(&self) -> &CertificateFields {
        &self.0.fields
    }
}

fn expect(holds: bool, field: &'static str) -> Result<(), Malformed> {
    if holds { Ok(()) } else { Err(Malformed::OutOfRange { field }) }
}

/// Both kinds of certificate are valid from `not_before` until just before `not_after`.
pub(crate) fn check_period(not_before: UnixMillis, not_after: UnixMillis, now: UnixMillis) -> Result<(), CertificateError> {
    if now < not_before {
        return Err(CertificateError::NotYetValid { not_before, now });
    }
    if now >= not_after {
        return Err(CertificateError::Expired { not_after, now });
    }
    Ok(())
}
