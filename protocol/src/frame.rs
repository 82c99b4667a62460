//! Frames: the 57-byte header, and what may be read behind it.
//!
//! A reader takes [`HEADER_LEN`] bytes, asks the current state of the connection to check them, and only then reads as many payload bytes as
//! [`ExpectedPayload::payload_len`] says. A length that the state and the type do not allow is an error before anything is allocated.

use ladder::time::UnixMillis;

use crate::bytes::Malformed;
use crate::message::{Channel, Direction, MsgType};
use crate::reaction::{CloseCode, Reaction};

/// Bytes of a header.
pub const HEADER_LEN: usize = 57;
/// Bytes of the AES-256-GCM tag at the end of every sealed payload.
pub const TAG_LEN: usize = 16;
/// How far a frame's timestamp may lie from the receiver's clock, in milliseconds, inclusive.
pub const CLOCK_SKEW_MS_MAX: u64 = 120_000;

/// The fields in front of every payload. Parsed, nothing believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes that follow the header.
    pub payload_len: u32,
    /// HMAC-SHA256 over the other fields and the payload.
    pub hmac: [u8; 32],
    /// Which keys protect it: 0 for M1 and M2, 1 for M3 and M4, 2 and more for records.
    pub epoch: u32,
    /// Place in its epoch and direction, from 0.
    pub seq: u64,
    /// A [`MsgType`], or a number that is none.
    pub msg_type: u8,
    /// The sender's clock.
    pub timestamp: UnixMillis,
}

impl Header {
    /// Reads the fields; every bit pattern is some header.
    #[must_use]
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Self {
        Self {
            payload_len: u32::from_be_bytes(field(bytes, 0)),
            hmac: field(bytes, 4),
            epoch: u32::from_be_bytes(field(bytes, 36)),
            seq: u64::from_be_bytes(field(bytes, 40)),
            msg_type: bytes[48],
            timestamp: UnixMillis(u64::from_be_bytes(field(bytes, 49))),
        }
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let authenticated = self.authenticated();
        bytes[..4].copy_from_slice(&authenticated[..4]);
        bytes[4..36].copy_from_slice(&self.hmac);
        bytes[36..].copy_from_slice(&authenticated[4..]);
        bytes
    }

    /// `hdr25`: the header without its HMAC; what the HMAC, the cipher's associated data and the transcripts cover.
    #[must_use]
    pub fn authenticated(&self) -> [u8; 25] {
        let mut bytes = [0; 25];
        bytes[..4].copy_from_slice(&self.payload_len.to_be_bytes());
        bytes[4..16].copy_from_slice(&self.nonce_field());
        bytes[16] = self.msg_type;
        bytes[17..].copy_from_slice(&self.timestamp.0.to_be_bytes());
        bytes
    }

    /// The 12 bytes that make the nonce unique: epoch and sequence.
    pub(crate) fn nonce_field(&self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[4..].copy_from_slice(&self.seq.to_be_bytes());
        bytes
    }
}

fn field<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("every field lies inside the header")
}

/// What a state of a connection is ready to take next.
#[derive(Clone, Copy)]
pub(crate) struct Ready<'a> {
    pub(crate) types: Types<'a>,
    pub(crate) epoch: u32,
    pub(crate) seq: u64,
}

/// Which types a state takes.
#[derive(Clone, Copy)]
pub(crate) enum Types<'a> {
    /// Exactly these, with the payload in clear.
    Clear(&'a [MsgType]),
    /// Exactly this one, sealed.
    Sealed(MsgType),
    /// Whatever this channel carries in this direction after the handshake, sealed; the payload limit of the session on top.
    Records { channel: Channel, direction: Direction, payload_len_max: u32 },
}

impl Ready<'_> {
    /// Step 2 of the receiver: type, length, nonce.
    pub(crate) fn check(&self, bytes: &[u8; HEADER_LEN]) -> Result<ExpectedPayload, FrameError> {
        let header = Header::parse(bytes);
        let unexpected = FrameError::UnexpectedType { msg_type: header.msg_type };
        let msg_type = MsgType::from_wire(header.msg_type).ok_or(unexpected)?;
        let (max, min) = match self.types {
            Types::Clear(types) if types.contains(&msg_type) => (msg_type.payload_len_max(), 1),
            Types::Sealed(only) if only == msg_type => (msg_type.payload_len_max(), TAG_LEN),
            Types::Records { channel, direction, payload_len_max } if msg_type.is_record(channel, direction) => {
                (msg_type.payload_len_max_within(payload_len_max), TAG_LEN)
            }
            Types::Clear(_) | Types::Sealed(_) | Types::Records { .. } => return Err(unexpected),
        };
        let payload_len = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
        if payload_len > max {
            return Err(FrameError::PayloadTooLong { announced: header.payload_len, max });
        }
        if payload_len < min {
            return Err(FrameError::PayloadTooShort { announced: header.payload_len, min });
        }
        if (header.epoch, header.seq) != (self.epoch, self.seq) {
            return Err(FrameError::OutOfSequence { expected: (self.epoch, self.seq), got: (header.epoch, header.seq) });
        }
        Ok(ExpectedPayload { header, msg_type, payload_len })
    }
}

/// A header that the current state admits; says how many bytes to read next.
///
/// Only `check_header` of a state makes one.
#[derive(Debug)]
#[must_use = "read the payload next"]
pub struct ExpectedPayload {
    pub(crate) header: Header,
    pub(crate) msg_type: MsgType,
    pub(crate) payload_len: usize,
}

impl ExpectedPayload {
    /// Bytes of payload that follow the header: read exactly so many.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        self.payload_len
    }

    /// The type that the header claims.
    #[must_use]
    pub fn msg_type(&self) -> MsgType {
        self.msg_type
    }
}

/// A frame was refused. Except for [`FrameError::WrongPayload`] it is the peer's fault, or that of somebody in between.
///
/// The connection ends as [`FrameError::reaction`] says; nothing of the frame was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The type is unknown, or not for this state, channel or direction.
    #[error("message type {msg_type:#04x} is not expected here")]
    UnexpectedType {
        /// The byte in the header.
        msg_type: u8,
    },
    /// The announced payload is longer than this state takes. Nothing was allocated.
    #[error("payload of {announced} bytes announced, at most {max} are taken here")]
    PayloadTooLong {
        /// `payload_len` of the header.
        announced: u32,
        /// The limit.
        max: usize,
    },
    /// The announced payload is too short to be anything.
    #[error("payload of {announced} bytes announced, at least {min} are needed")]
    PayloadTooShort {
        /// `payload_len` of the header.
        announced: u32,
        /// The limit.
        min: usize,
    },
    /// A frame is missing, repeated, reordered or from other keys.
    #[error("frame {got:?} instead of {expected:?} (epoch, sequence)")]
    OutOfSequence {
        /// Epoch and sequence that come next.
        expected: (u32, u64),
        /// Those of the header.
        got: (u32, u64),
    },
    /// The direction has used up its sequence numbers without a key update.
    #[error("no key update before sequence {seq}")]
    SequenceExhausted {
        /// The sequence number.
        seq: u64,
    },
    /// The HMAC or the cipher's tag is not what the keys give.
    #[error("the frame is not authentic")]
    NotAuthentic,
    /// The timestamp is too far from the clock.
    #[error("the frame's clock is off by {skew_ms} ms, at most {CLOCK_SKEW_MS_MAX} are taken")]
    ClockSkew {
        /// Sender's clock minus the receiver's, saturated.
        skew_ms: i64,
    },
    /// The timestamp lies before that of the previous frame.
    #[error("the frame's timestamp goes back from {previous} to {got}")]
    ClockWentBack {
        /// Of the previous frame in this direction.
        previous: UnixMillis,
        /// Of this frame.
        got: UnixMillis,
    },
    /// The frame is authentic, its content is not what its type says.
    #[error("the frame's content is malformed")]
    Malformed(#[from] Malformed),
    /// More key updates than [`crate::record::KEY_UPDATES_MAX`] within [`crate::record::KEY_UPDATES_WINDOW_MS`].
    #[error("too many key updates")]
    TooManyKeyUpdates,
    /// Something follows the authenticated close, or an earlier failure.
    #[error("the direction has ended")]
    Ended,
    /// Our own fault: the payload handed in is not the one that the header announced, or the header is from before another frame.
    #[error("the payload does not belong to the header")]
    WrongPayload,
}

impl FrameError {
    /// What to do about it on an established session.
    #[must_use]
    pub fn reaction(&self) -> Reaction {
        match self {
            Self::ClockSkew { .. } | Self::ClockWentBack { .. } | Self::Malformed(_) | Self::TooManyKeyUpdates => {
                Reaction::CloseWith(CloseCode::Protocol)
            }
            Self::UnexpectedType { .. }
            | Self::PayloadTooLong { .. }
            | Self::PayloadTooShort { .. }
            | Self::OutOfSequence { .. }
            | Self::SequenceExhausted { .. }
            | Self::NotAuthentic
            | Self::Ended
            | Self::WrongPayload => Reaction::CloseSilently,
        }
    }
}

/// The clock of the peer, as far as one direction of a connection knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerClock {
    /// Peer's clock minus ours; 0 on the host, which trusts only its own.
    pub(crate) offset_ms: i64,
    /// Timestamp of the latest frame.
    pub(crate) latest: UnixMillis,
}

impl PeerClock {
    /// Step 6 of the receiver; takes the timestamp in if it is fine.
    pub(crate) fn check(&mut self, timestamp: UnixMillis, now: UnixMillis) -> Result<(), FrameError> {
        let skew = i128::from(timestamp.0) - i128::from(now.0) - i128::from(self.offset_ms);
        if skew.unsigned_abs() > u128::from(CLOCK_SKEW_MS_MAX) {
            let saturated = if skew < 0 { i64::MIN } else { i64::MAX };
            return Err(FrameError::ClockSkew { skew_ms: i64::try_from(skew).unwrap_or(saturated) });
        }
        if timestamp < self.latest {
            return Err(FrameError::ClockWentBack { previous: self.latest, got: timestamp });
        }
        self.latest = timestamp;
        Ok(())
    }
}
