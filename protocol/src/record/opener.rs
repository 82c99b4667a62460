//! The receiving direction of a session.

use ladder::time::UnixMillis;

use super::control::{Close, parse_key_update};
use super::{FIRST_EPOCH, KEY_UPDATES_MAX, KEY_UPDATES_WINDOW_MS, RecordKeys, SEQ_MAX};
use crate::frame::{ExpectedPayload, FrameError, HEADER_LEN, PeerClock, Ready, Types};
use crate::message::{Channel, Direction, MsgType};
use crate::schedule::{Secret, expand_label};

/// Opens what the other end sent: exactly the next record, or the direction has ended.
pub struct Opener {
    channel: Channel,
    direction: Direction,
    payload_len_max: u32,
    traffic: Secret,
    keys: RecordKeys,
    epoch: u32,
    seq: u64,
    frames_accepted: u64,
    clock: PeerClock,
    /// When the latest key updates came, the oldest first.
    key_updates: [Option<UnixMillis>; KEY_UPDATES_MAX],
    ended: bool,
}

/// One record, opened.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened<'a> {
    /// A message of the channel, still to be decoded.
    Message {
        /// What it is.
        msg_type: MsgType,
        /// Its content.
        plaintext: &'a [u8],
    },
    /// The other end changed its keys; this opener followed.
    KeyUpdate {
        /// It wants the same of us: call [`super::Sealer::key_update`] with `false` soon.
        request: bool,
    },
    /// The other end has finished. Do not answer; close the socket.
    Close(Close<'a>),
}

impl Opener {
    pub(crate) fn new(channel: Channel, direction: Direction, payload_len_max: u32, traffic: Secret, clock: PeerClock) -> Self {
        let keys = RecordKeys::new(&traffic);
        Self {
            channel,
            direction,
            payload_len_max,
            traffic,
            keys,
            epoch: FIRST_EPOCH,
            seq: 0,
            frames_accepted: 0,
            clock,
            key_updates: [None; KEY_UPDATES_MAX],
            ended: false,
        }
    }

    /// Checks a header before anything is read or allocated for its payload.
    ///
    /// # Errors
    ///
    /// The peer's fault; close the connection as [`FrameError::reaction`] says.
    pub fn check_header(&self, header: &[u8; HEADER_LEN]) -> Result<ExpectedPayload, FrameError> {
        if self.ended {
            return Err(FrameError::Ended);
        }
        let types = Types::Records { channel: self.channel, direction: self.direction, payload_len_max: self.payload_len_max };
        let expected = Ready { types, epoch: self.epoch, seq: self.seq }.check(header)?;
        if self.seq >= SEQ_MAX {
            return Err(FrameError::SequenceExhausted { seq: self.seq });
        }
        Ok(expected)
    }

    /// Opens a record in place. After an error the direction has ended and opens nothing more.
    ///
    /// # Errors
    ///
    /// The peer's fault; close the connection as [`FrameError::reaction`] says. [`FrameError::WrongPayload`] is our own.
    pub fn open<'a>(&mut self, expected: ExpectedPayload, payload: &'a mut [u8], now: UnixMillis) -> Result<Opened<'a>, FrameError> {
        let opened = self.open_next(expected, payload, now);
        self.ended |= matches!(opened, Err(_) | Ok(Opened::Close(_)));
        opened
    }

    /// Records taken in this session, for [`Close::frames_accepted`].
    #[must_use]
    pub fn frames_accepted(&self) -> u64 {
        self.frames_accepted
    }

    fn open_next<'a>(&mut self, expected: ExpectedPayload, payload: &'a mut [u8], now: UnixMillis) -> Result<Opened<'a>, FrameError> {
        let ExpectedPayload { header, msg_type, payload_len } = expected;
        if self.ended {
            return Err(FrameError::Ended);
        }
        if payload.len() != payload_len || (header.epoch, header.seq) != (self.epoch, self.seq) {
            return Err(FrameError::WrongPayload);
        }
        let plaintext: &[u8] = self.keys.open(&header, payload)?;
        self.clock.check(header.timestamp, now)?;
        let opened = match msg_type {
            MsgType::KeyUpdate => {
                let request = parse_key_update(plaintext)?;
                self.follow_key_update(now)?;
                Opened::KeyUpdate { request }
            }
            MsgType::Close => Opened::Close(Close::parse(plaintext)?),
            _ => Opened::Message { msg_type, plaintext },
        };
        if msg_type != MsgType::KeyUpdate {
            self.seq += 1;
        }
        self.frames_accepted += 1;
        Ok(opened)
    }

    fn follow_key_update(&mut self, now: UnixMillis) -> Result<(), FrameError> {
        let [oldest, rest @ ..] = self.key_updates;
        if oldest.is_some_and(|at| now.0.saturating_sub(at.0) < KEY_UPDATES_WINDOW_MS) {
            return Err(FrameError::TooManyKeyUpdates);
        }
        self.key_updates[..KEY_UPDATES_MAX - 1].copy_from_slice(&rest);
        self.key_updates[KEY_UPDATES_MAX - 1] = Some(now);
        self.traffic = expand_label(&self.traffic, "upd", b"");
        self.keys = RecordKeys::new(&self.traffic);
        self.epoch = self.epoch.checked_add(1).ok_or(FrameError::TooManyKeyUpdates)?;
        self.seq = 0;
        Ok(())
    }
}

#[cfg(test)]
impl Opener {
    pub(crate) fn pretend(&mut self, seq: u64) {
        self.seq = seq;
    }
}
