//! What waits to be sent to one peer, and the order to close its session. The session's task is the only one that takes things out.
//!
//! Putting something in never waits. A peer that reads more slowly than it is written to fills its outbox, and an outbox that is full closes
//! the session: one slow reader costs a bounded amount of memory and nobody's time.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::message::MsgType;
use protocol::reaction::CloseCode;
use tokio::sync::Notify;

use super::peer::Ending;

/// How much may wait for one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Messages.
    pub frames_max: usize,
    /// Bytes of all messages together, before they are sealed.
    pub bytes_max: usize,
}

/// One message, encoded and not yet sealed.
pub(crate) struct Frame {
    pub(crate) msg_type: MsgType,
    pub(crate) content: Box<[u8]>,
}

/// The order to end a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// What the peer is told.
    pub code: CloseCode,
    /// What everybody here is told.
    pub ending: Ending,
    /// For people at the other end; at most 255 bytes are sent.
    pub text: Cow<'static, str>,
    /// When the peer should come back, in milliseconds; 0: whenever it likes.
    pub retry_after_ms: u32,
    /// Whether what waits is sent first. False for the dead and the replaced: they get nothing more.
    pub flush: bool,
}

impl Closing {
    /// Ends a session at once.
    #[must_use]
    pub fn now(code: CloseCode, ending: Ending, text: &'static str) -> Self {
        Self { code, ending, text: Cow::Borrowed(text), retry_after_ms: 0, flush: false }
    }
}

/// What the session's task has to do next.
pub(crate) enum Due {
    Frame(Frame),
    Close(Closing),
    Nothing,
}

/// See the module. Shared by the session's task and the registry.
pub(crate) struct Outbox {
    limits: OutboxLimits,
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    frames: VecDeque<Frame>,
    bytes: usize,
    closing: Option<Closing>,
}

/// The message was not taken: the session is closing, or closes now because its outbox is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    Closing,
    Full,
}

impl Outbox {
    pub(crate) fn new(limits: OutboxLimits) -> Self {
        Self { limits, waiting: Mutex::default(), changed: Notify::new() }
    }

    /// Puts a message in.
    pub(crate) fn put(&self, frame: Frame) -> Result<(), NotTaken> {
        let mut waiting = self.lock();
        if waiting.closing.is_some() {
            return Err(NotTaken::Closing);
        }
        if waiting.frames.len() >= self.limits.frames_max || waiting.bytes + frame.content.len() > self.limits.bytes_max {
            waiting.close(Closing::now(CloseCode::Overload, Ending::TimedOut, "slow-reader"));
            drop(waiting);
            self.changed.notify_one();
            return Err(NotTaken::Full);
        }
        waiting.bytes += frame.content.len();
        waiting.frames.push_back(frame);
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    /// Orders the end of the session. The first order stands, except that an immediate one overrides one that would still flush.
    pub(crate) fn close(&self, closing: Closing) {
        let mut waiting = self.lock();
        if waiting.closing.as_ref().is_none_or(|before| before.flush && !closing.flush) {
            waiting.close(closing);
        }
        drop(waiting);
        self.changed.notify_one();
    }

    /// Takes the next thing out.
    pub(crate) fn take(&self) -> Due {
        let mut waiting = self.lock();
        if let Some(frame) = waiting.frames.pop_front() {
            waiting.bytes -= frame.content.len();
            if waiting.frames.is_empty() {
                // An idle session keeps no buffer.
                waiting.frames = VecDeque::new();
            }
            return Due::Frame(frame);
        }
        waiting.closing.clone().map_or(Due::Nothing, Due::Close)
    }

    /// Whether the session must end without another message taken from the peer.
    pub(crate) fn is_closing(&self) -> bool {
        self.lock().closing.is_some()
    }

    /// Whether the session must end without another byte but the close.
    pub(crate) fn must_end_now(&self) -> bool {
        self.lock().closing.as_ref().is_some_and(|closing| !closing.flush)
    }

    /// Waits until something was put in or ordered since the last call. One task waits at a time.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Waits until [`Self::must_end_now`].
    pub(crate) async fn must_end(&self) {
        while !self.must_end_now() {
            self.changed().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn close(&mut self, closing: Closing) {
        if !closing.flush {
            self.frames = VecDeque::new();
            self.bytes = 0;
        }
        self.closing = Some(closing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize) -> Frame {
        Frame { msg_type: MsgType::QueueStatus, content: vec![0; len].into() }
    }

    #[test]
    fn a_slow_reader_is_closed_by_count_and_by_bytes() {
        for (name, len, taken) in [("count", 0, 4), ("bytes", 30, 3)] {
            let outbox = Outbox::new(OutboxLimits { frames_max: 4, bytes_max: 100 });
            for _ in 0..taken {
                assert_eq!(outbox.put(frame(len)), Ok(()), "{name}");
            }
            assert_eq!(outbox.put(frame(len)), Err(NotTaken::Full), "{name}");
            assert_eq!(outbox.put(frame(len)), Err(NotTaken::Closing), "{name}");
            assert!(matches!(outbox.take(), Due::Close(Closing { code: CloseCode::Overload, .. })), "{name}: nothing else is sent");
        }
    }

    #[test]
    fn a_flushing_close_comes_after_what_waits_and_yields_to_an_immediate_one() {
        let outbox = Outbox::new(OutboxLimits { frames_max: 4, bytes_max: 100 });
        assert_eq!(outbox.put(frame(1)), Ok(()));
        outbox.close(Closing { flush: true, ..Closing::now(CloseCode::GoingAway, Ending::ClosedByHost, "") });
        assert!(outbox.is_closing() && !outbox.must_end_now());
        assert!(matches!(outbox.take(), Due::Frame(_)));
        assert!(matches!(outbox.take(), Due::Close(Closing { code: CloseCode::GoingAway, .. })));
        outbox.close(Closing::now(CloseCode::Revoked, Ending::CredentialDead, ""));
        assert!(matches!(outbox.take(), Due::Close(Closing { code: CloseCode::Revoked, .. })));
        outbox.close(Closing::now(CloseCode::Replaced, Ending::Replaced, ""));
        assert!(matches!(outbox.take(), Due::Close(Closing { code: CloseCode::Revoked, .. })), "the first order stands");
    }
}
