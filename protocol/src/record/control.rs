//! The two records that every session carries: key update and close.

use alloc::vec::Vec;

use crate::bytes::{Malformed, Reader, push_lv8};
use crate::reaction::CloseCode;

/// The authenticated end of a direction. An end without it is a truncation, to be counted and logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    /// Why.
    pub code: CloseCode,
    /// Records that the sender of the close took from its peer in this session, for diagnosis.
    pub frames_accepted: u64,
    /// When to come back, in milliseconds; 0: whenever. A receiver caps it at one hour.
    pub retry_after_ms: u32,
    /// For people, at most 255 bytes. Untrusted: escape it before it is logged.
    pub text: &'a str,
}

impl<'a> Close<'a> {
    /// A close without advice or text.
    #[must_use]
    pub fn new(code: CloseCode) -> Self {
        Self { code, frames_accepted: 0, retry_after_ms: 0, text: "" }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.code.to_wire().to_be_bytes());
        out.extend_from_slice(&self.frames_accepted.to_be_bytes());
        out.extend_from_slice(&self.retry_after_ms.to_be_bytes());
        push_lv8(out, &self.text.as_bytes()[..self.text.floor_char_boundary(TEXT_LEN_MAX)]);
    }

    pub(super) fn parse(plaintext: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(plaintext);
        let close = Self {
            code: CloseCode::from_wire(reader.u16()?),
            frames_accepted: reader.u64()?,
            retry_after_ms: reader.u32()?,
            text: core::str::from_utf8(reader.lv8()?).ok().ok_or(Malformed::OutOfRange { field: "text" })?,
        };
        reader.end()?;
        Ok(close)
    }

    pub(super) fn encoded_len(&self) -> usize {
        FIXED_LEN + self.text.floor_char_boundary(TEXT_LEN_MAX)
    }
}

const TEXT_LEN_MAX: usize = 255;
const FIXED_LEN: usize = 2 + 8 + 4 + 1;

/// Reads the content of a key update: whether an answer is wanted.
pub(super) fn parse_key_update(plaintext: &[u8]) -> Result<bool, Malformed> {
    let mut reader = Reader::new(plaintext);
    let request = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(Malformed::OutOfRange { field: "request" }),
    };
    reader.end()?;
    Ok(request)
}
