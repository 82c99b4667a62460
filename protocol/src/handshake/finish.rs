//! The contents of M3 and M4.

use alloc::vec::Vec;

use ladder::time::UnixMillis;
use zeroize::Zeroizing;

use super::SessionParams;
use crate::bytes::{Malformed, Reader, push_lv8, push_lv16};
use crate::certificate::{CERTIFICATE_LEN_MAX, EXTENSIONS_LEN_MAX};
use crate::secret::LoginTicket;

/// Bytes of the proof that ends M3 and M4.
pub(super) const PROOF_LEN: usize = 32;
const LOGIN_TICKET_LEN: usize = 48;

/// M3, parsed.
pub(super) struct ClientFinish<'a> {
    pub(super) credential: &'a [u8],
    /// 64 bytes (S2S) or none (RDV).
    pub(super) signature: &'a [u8],
    pub(super) proof: [u8; PROOF_LEN],
}

impl<'a> ClientFinish<'a> {
    /// Writes what the signature covers.
    pub(super) fn encode_credential(credential: &[u8], out: &mut Vec<u8>) {
        push_lv16(out, credential);
        push_lv16(out, b"");
    }

    /// Writes the signature; the proof covers it too and comes last.
    pub(super) fn encode_signature(signature: &[u8], out: &mut Vec<u8>) {
        push_lv8(out, signature);
    }

    /// Bytes of M3's plaintext.
    pub(super) fn encoded_len(credential_len: usize, signature_len: usize) -> usize {
        2 + credential_len + 2 + 1 + signature_len + PROOF_LEN
    }

    pub(super) fn parse(plaintext: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(plaintext);
        let credential = reader.lv16("credential", CERTIFICATE_LEN_MAX)?;
        reader.lv16("ext", EXTENSIONS_LEN_MAX)?;
        let signature = reader.lv8()?;
        let proof = reader.array()?;
        reader.end()?;
        Ok(Self { credential, signature, proof })
    }

    /// How much of `plaintext` the signature covers.
    pub(super) fn signed<'p>(&self, plaintext: &'p [u8]) -> &'p [u8] {
        &plaintext[..plaintext.len() - PROOF_LEN - self.signature.len() - 1]
    }
}

/// M4, parsed or about to be sent, up to its proof.
pub(super) struct ServerFinish {
    pub(super) params: SessionParams,
    pub(super) next_ticket: Option<LoginTicket>,
}

impl ServerFinish {
    /// Writes everything before the proof.
    pub(super) fn encode(params: &SessionParams, next_ticket: Option<&LoginTicket>, out: &mut Vec<u8>) {
        out.extend_from_slice(&params.heartbeat_ms.to_be_bytes());
        out.extend_from_slice(&params.idle_timeout_ms.to_be_bytes());
        out.extend_from_slice(&params.payload_len_max.to_be_bytes());
        out.extend_from_slice(&params.expires_at.0.to_be_bytes());
        push_lv16(out, next_ticket.map_or(&[], |ticket| ticket.expose().as_slice()));
        push_lv16(out, b"");
    }

    /// Bytes of M4's plaintext.
    pub(super) fn encoded_len(next_ticket: bool) -> usize {
        3 * 4 + 8 + 2 + if next_ticket { LOGIN_TICKET_LEN } else { 0 } + 2 + PROOF_LEN
    }

    pub(super) fn parse(plaintext: &[u8]) -> Result<(Self, [u8; PROOF_LEN]), Malformed> {
        let mut reader = Reader::new(plaintext);
        let params = SessionParams {
            heartbeat_ms: reader.u32()?,
            idle_timeout_ms: reader.u32()?,
            payload_len_max: reader.u32()?,
            expires_at: UnixMillis(reader.u64()?),
        };
        let next_ticket = reader.lv16("next_ticket", LOGIN_TICKET_LEN)?;
        let next_ticket = if next_ticket.is_empty() { None } else { Some(login_ticket(next_ticket)?) };
        reader.lv16("ext", EXTENSIONS_LEN_MAX)?;
        let proof = reader.array()?;
        reader.end()?;
        Ok((Self { params, next_ticket }, proof))
    }
}

/// Reads a login ticket, which has exactly 48 bytes.
pub(super) fn login_ticket(bytes: &[u8]) -> Result<LoginTicket, Malformed> {
    let bytes: [u8; LOGIN_TICKET_LEN] = bytes.try_into().ok().ok_or(Malformed::OutOfRange { field: "ticket" })?;
    let bytes = Zeroizing::new(bytes);
    Ok(LoginTicket::from_bytes(*bytes))
}
