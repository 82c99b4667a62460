//! The sending direction of a session.

use alloc::vec::Vec;

use ladder::time::UnixMillis;

use super::control::Close;
use super::{BYTES_MAX, FIRST_EPOCH, KEY_AGE_MS_MAX, RECORDS_MAX, RecordKeys};
use crate::frame::{HEADER_LEN, Header, TAG_LEN};
use crate::message::{Channel, Direction, MsgType, WireMessage};
use crate::schedule::{Secret, expand_label};

/// Seals what one end sends. Knows nothing of the other direction, so that each may live in a task of its own.
///
/// ```compile_fail
/// # fn keep_talking(mut sealer: protocol::record::Sealer, close: protocol::record::Close<'_>) {
/// # let (now, mut out) = (ladder::time::UnixMillis(0), Vec::new());
/// sealer.close(close, now, &mut out);
/// sealer.key_update(false, now, &mut out); // nothing follows a close
/// # }
/// ```
pub struct Sealer {
    channel: Channel,
    direction: Direction,
    payload_len_max: u32,
    traffic: Secret,
    keys: RecordKeys,
    epoch: u32,
    seq: u64,
    bytes: u64,
    keyed_at: UnixMillis,
    latest: UnixMillis,
}

/// Our own fault: this is not sent. The session is as good as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The receiver would refuse so long a payload.
    #[error("{msg_type:?} of {payload_len} bytes, the receiver takes {max}")]
    PayloadTooLong {
        /// What was to be sent.
        msg_type: MsgType,
        /// Its length once sealed.
        payload_len: usize,
        /// The limit of the type or of the session.
        max: usize,
    },
    /// This direction does not carry the type; key updates and closes have functions of their own.
    #[error("{msg_type:?} is not sent in this direction")]
    WrongType {
        /// What was to be sent.
        msg_type: MsgType,
    },
}

impl Sealer {
    pub(crate) fn new(channel: Channel, direction: Direction, payload_len_max: u32, traffic: Secret, now: UnixMillis) -> Self {
        let keys = RecordKeys::new(&traffic);
        Self { channel, direction, payload_len_max, traffic, keys, epoch: FIRST_EPOCH, seq: 0, bytes: 0, keyed_at: now, latest: now }
    }

    /// Appends one sealed record to `out`, preceded by a key update when the keys have served long enough.
    ///
    /// # Errors
    ///
    /// Our own fault, see [`SealError`]; nothing was appended.
    pub fn seal(&mut self, msg_type: MsgType, plaintext: &[u8], now: UnixMillis, out: &mut Vec<u8>) -> Result<(), SealError> {
        let start = self.begin(msg_type, plaintext.len(), now, out)?;
        out.extend_from_slice(plaintext);
        self.finish(msg_type, now, out, start);
        Ok(())
    }

    /// Appends one sealed message to `out`, encoded in place; otherwise like [`Self::seal`].
    ///
    /// # Errors
    ///
    /// Our own fault, see [`SealError`]; nothing was appended.
    pub fn seal_message<M: WireMessage>(&mut self, message: &M, now: UnixMillis, out: &mut Vec<u8>) -> Result<(), SealError> {
        let start = self.begin(M::MSG_TYPE, message.encoded_len(), now, out)?;
        message.encode_raw(out);
        self.finish(M::MSG_TYPE, now, out, start);
        Ok(())
    }

    /// Appends a key update and changes this direction's keys. `request` obliges the other end to change its own within
    /// [`super::KEY_UPDATE_ANSWER_MS_MAX`]; an answer to such a request is sent with `false`.
    pub fn key_update(&mut self, request: bool, now: UnixMillis, out: &mut Vec<u8>) {
        let start = Self::make_room(out, 1);
        out.push(u8::from(request));
        self.finish(MsgType::KeyUpdate, now, out, start);
        self.traffic = expand_label(&self.traffic, "upd", b"");
        self.keys = RecordKeys::new(&self.traffic);
        // Cannot overflow in practice: an epoch lasts at least one record, and a session at most a day.
        self.epoch = self.epoch.checked_add(1).expect("a session ends before 2^32 key updates");
        self.seq = 0;
        self.bytes = 0;
        self.keyed_at = now;
    }

    /// Appends the authenticated close. Nothing follows it: the sealer is gone, the socket is closed within five seconds.
    ///
    /// A text of more than 255 bytes is cut.
    pub fn close(mut self, close: Close<'_>, now: UnixMillis, out: &mut Vec<u8>) {
        let start = Self::make_room(out, close.encoded_len());
        close.encode(out);
        self.finish(MsgType::Close, now, out, start);
    }

    /// Whether the next [`Self::seal`] starts with a key update.
    #[must_use]
    pub fn needs_key_update(&self, now: UnixMillis) -> bool {
        self.seq >= RECORDS_MAX - 1
            || self.bytes >= BYTES_MAX - crate::message::PAYLOAD_LEN_MAX as u64
            || now.0.saturating_sub(self.keyed_at.0) >= KEY_AGE_MS_MAX
    }

    fn begin(&mut self, msg_type: MsgType, plaintext_len: usize, now: UnixMillis, out: &mut Vec<u8>) -> Result<usize, SealError> {
        let control = matches!(msg_type, MsgType::KeyUpdate | MsgType::Close);
        if control || !msg_type.is_record(self.channel, self.direction) {
            return Err(SealError::WrongType { msg_type });
        }
        let max = msg_type.payload_len_max_within(self.payload_len_max);
        let payload_len = plaintext_len.saturating_add(TAG_LEN);
        if payload_len > max {
            return Err(SealError::PayloadTooLong { msg_type, payload_len, max });
        }
        if self.needs_key_update(now) {
            self.key_update(false, now, out);
        }
        Ok(Self::make_room(out, plaintext_len))
    }

    /// Makes room for a header and returns where it starts.
    fn make_room(out: &mut Vec<u8>, plaintext_len: usize) -> usize {
        let start = out.len();
        out.reserve(HEADER_LEN + plaintext_len + TAG_LEN);
        out.resize(start + HEADER_LEN, 0);
        start
    }

    fn finish(&mut self, msg_type: MsgType, now: UnixMillis, out: &mut Vec<u8>, start: usize) {
        let payload_len = out.len() - start - HEADER_LEN + TAG_LEN;
        // A clock that goes back must not end the session: the receiver refuses timestamps that do.
        self.latest = self.latest.max(now);
        let header = Header {
            payload_len: u32::try_from(payload_len).expect("payloads are bounded by PAYLOAD_LEN_MAX"),
            hmac: [0; 32],
            epoch: self.epoch,
            seq: self.seq,
            msg_type: msg_type.to_wire(),
            timestamp: self.latest,
        };
        self.keys.seal(header, out, start);
        self.seq += 1;
        self.bytes += payload_len as u64;
    }
}

#[cfg(test)]
impl Sealer {
    pub(crate) fn pretend(&mut self, seq: u64, bytes: u64) {
        self.seq = seq;
        self.bytes = bytes;
    }
}
