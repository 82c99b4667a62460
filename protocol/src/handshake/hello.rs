//! The contents of M1 and M2.

use alloc::vec::Vec;

use super::{HandshakeError, SUITE};
use crate::bytes::{Malformed, Reader, push_lv16};
use crate::certificate::EXTENSIONS_LEN_MAX;
use crate::channel_key::{CHANNEL_CERTIFICATE_LEN, ChannelCertificate};
use crate::id::{Identity, RealmId};
use crate::message::Channel;

const OFFERS_MAX: usize = 8;
const SUITE_HYBRID: u16 = 0x0002;
const HYBRID_SHARE_LEN: usize = 1184;

/// M1, parsed or about to be sent.
pub(super) struct ClientHello {
    pub(super) channel: u8,
    pub(super) realm_id: RealmId,
    pub(super) identity: Identity,
    pub(super) challenge: [u8; 32],
    pub(super) share: [u8; 32],
    offers_our_version: bool,
    offers_our_suite: bool,
}

impl ClientHello {
    pub(super) fn new(channel: Channel, realm_id: RealmId, identity: Identity, challenge: [u8; 32], share: [u8; 32]) -> Self {
        let channel = channel.to_wire();
        Self { channel, realm_id, identity, challenge, share, offers_our_version: true, offers_our_suite: true }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[1, crate::VERSION, 1]);
        out.extend_from_slice(&SUITE.to_be_bytes());
        out.push(self.channel);
        out.extend_from_slice(&self.realm_id.0);
        out.extend_from_slice(&self.identity.0);
        out.extend_from_slice(&self.challenge);
        out.extend_from_slice(&self.share);
        push_lv16(out, b"");
        push_lv16(out, b"");
    }

    pub(super) fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let count = reader.u8()?;
        let versions = offers(count, "versions", || reader.u8().map(u16::from))?;
        let count = reader.u8()?;
        let suites = offers(count, "suites", || reader.u16())?;
        let channel = reader.u8()?;
        let realm_id = RealmId(reader.array()?);
        let identity = Identity(reader.array()?);
        let challenge = reader.array()?;
        let share = reader.array()?;
        let hybrid_share = reader.lv16("kem_ek", HYBRID_SHARE_LEN)?;
        let expected = if suites.contains(&SUITE_HYBRID) { HYBRID_SHARE_LEN } else { 0 };
        if hybrid_share.len() != expected {
            return Err(Malformed::OutOfRange { field: "kem_ek" });
        }
        reader.lv16("ext", EXTENSIONS_LEN_MAX)?;
        reader.end()?;
        let offers_our_version = versions.contains(&u16::from(crate::VERSION));
        let offers_our_suite = suites.contains(&SUITE);
        Ok(Self { channel, realm_id, identity, challenge, share, offers_our_version, offers_our_suite })
    }

    /// What the host answers to, before any secret is looked up.
    pub(super) fn check(&self, channel: Channel, realm_id: RealmId) -> Result<(), HandshakeError> {
        if self.realm_id != realm_id {
            return Err(HandshakeError::WrongRealm);
        }
        if !self.offers_our_version {
            return Err(HandshakeError::NoCommonVersion);
        }
        if self.channel != channel.to_wire() {
            return Err(HandshakeError::WrongChannel);
        }
        if !self.offers_our_suite {
            return Err(HandshakeError::NoCommonSuite);
        }
        Ok(())
    }
}

/// A list of offers: not empty, no duplicates, at most [`OFFERS_MAX`].
fn offers(count: u8, field: &'static str, mut next: impl FnMut() -> Result<u16, Malformed>) -> Result<Vec<u16>, Malformed> {
    let count = usize::from(count);
    if !(1..=OFFERS_MAX).contains(&count) {
        return Err(Malformed::OutOfRange { field });
    }
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        let offer = next()?;
        if list.contains(&offer) {
            return Err(Malformed::OutOfRange { field });
        }
        list.push(offer);
    }
    Ok(list)
}

/// M2, parsed or about to be sent, up to its signature.
pub(super) struct ServerHello {
    pub(super) version: u8,
    pub(super) suite: u16,
    pub(super) challenge: [u8; 32],
    pub(super) share: [u8; 32],
    pub(super) channel_certificate: ChannelCertificate,
}

/// What follows the part of M2 that is signed.
pub(super) struct ServerHelloProofs {
    pub(super) signature: [u8; 64],
    pub(super) challenge_response: [u8; 32],
}

/// Bytes of M2 from `server_sig` on.
pub(super) const SERVER_HELLO_PROOFS_LEN: usize = 64 + 32;
/// Bytes of M2 from `challenge_response` on.
pub(super) const CHALLENGE_RESPONSE_LEN: usize = 32;

impl ServerHello {
    /// Writes everything before the signature.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.version);
        out.extend_from_slice(&self.suite.to_be_bytes());
        out.extend_from_slice(&self.challenge);
        out.extend_from_slice(&self.share);
        push_lv16(out, b"");
        out.extend_from_slice(self.channel_certificate.encoded());
        push_lv16(out, b"");
    }

    pub(super) fn parse(payload: &[u8]) -> Result<(Self, ServerHelloProofs), Malformed> {
        let mut reader = Reader::new(payload);
        let hello = Self {
            version: reader.u8()?,
            suite: reader.u16()?,
            challenge: reader.array()?,
            share: reader.array()?,
            channel_certificate: {
                // Only suite 2 has a kem_ct, and this end never offered it.
                reader.lv16("kem_ct", 0)?;
                ChannelCertificate::from_bytes(reader.array::<CHANNEL_CERTIFICATE_LEN>()?)
            },
        };
        reader.lv16("ext", EXTENSIONS_LEN_MAX)?;
        let proofs = ServerHelloProofs { signature: reader.array()?, challenge_response: reader.array()? };
        reader.end()?;
        Ok((hello, proofs))
    }
}
