//! Frames off a socket: 57 bytes, then as many as the current state of the connection allows, and every one of them by a deadline.
//!
//! Reading is cancel-safe: whoever drops a read loses nothing. The payload is only allocated once its header was admitted, and given back when
//! the frame was used, so that a silent session owns 57 bytes of buffer.

use std::io;
use std::time::Duration;

use protocol::frame::{ExpectedPayload, FrameError, HEADER_LEN};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// A buffer of at most this many bytes is kept for the next frame: most messages fit.
pub(crate) const KEPT_BYTES_MAX: usize = 512;
/// A peer must take our bytes at least this fast.
const BYTES_PER_SECOND_MIN: u64 = 1024;

/// One frame on its way in.
pub(crate) struct Incoming {
    header: [u8; HEADER_LEN],
    header_filled: usize,
    expected: Option<ExpectedPayload>,
    payload: Vec<u8>,
    payload_filled: usize,
    begun_at: Option<Instant>,
}

/// Why no frame came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The peer's socket ended.
    #[error("the socket ended")]
    End {
        /// In the middle of a frame.
        inside_frame: bool,
    },
    /// The socket failed.
    #[error("the socket failed")]
    Io(#[from] io::Error),
    /// The state of the connection does not take such a frame.
    #[error("the frame was refused")]
    Refused(#[from] FrameError),
}

impl Incoming {
    pub(crate) fn new() -> Self {
        Self { header: [0; HEADER_LEN], header_filled: 0, expected: None, payload: Vec::new(), payload_filled: 0, begun_at: None }
    }

    /// When the first byte of the unfinished frame came.
    pub(crate) fn begun_at(&self) -> Option<Instant> {
        self.begun_at
    }

    /// Whether the header was read and admitted.
    pub(crate) fn has_header(&self) -> bool {
        self.expected.is_some()
    }

    /// Whether the frame is there to be taken.
    pub(crate) fn is_whole(&self) -> bool {
        self.expected.is_some() && self.payload_filled == self.payload.len()
    }

    /// Reads until a whole frame is there. Cancel-safe. Take it with [`Self::take`].
    pub(crate) async fn read(
        &mut self,
        socket: &mut (impl AsyncRead + Unpin),
        check_header: impl Fn(&[u8; HEADER_LEN]) -> Result<ExpectedPayload, FrameError>,
    ) -> Result<(), ReadError> {
        while !self.read_some(socket, &check_header).await? {}
        Ok(())
    }

    /// Reads what is there; `true` once the frame is whole.
    pub(crate) async fn read_some(
        &mut self,
        socket: &mut (impl AsyncRead + Unpin),
        check_header: impl Fn(&[u8; HEADER_LEN]) -> Result<ExpectedPayload, FrameError>,
    ) -> Result<bool, ReadError> {
        if self.expected.is_none() {
            let read = socket.read(&mut self.header[self.header_filled..]).await?;
            self.note(read)?;
            self.header_filled += read;
            if self.header_filled < HEADER_LEN {
                return Ok(false);
            }
            let expected = check_header(&self.header)?;
            self.payload.resize(expected.payload_len(), 0);
            self.payload_filled = 0;
            self.expected = Some(expected);
        } else {
            let read = socket.read(&mut self.payload[self.payload_filled..]).await?;
            self.note(read)?;
            self.payload_filled += read;
        }
        Ok(self.is_whole())
    }

    fn note(&mut self, read: usize) -> Result<(), ReadError> {
        if read == 0 {
            return Err(ReadError::End { inside_frame: self.begun_at.is_some() });
        }
        self.begun_at.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// The frame that [`Self::read`] completed. Call [`Self::finish`] when it was used.
    pub(crate) fn take(&mut self) -> Option<(ExpectedPayload, &mut [u8])> {
        let expected = self.expected.take()?;
        Some((expected, &mut self.payload))
    }

    /// Forgets the used frame and makes ready for the next one.
    pub(crate) fn finish(&mut self) {
        self.expected = None;
        self.header_filled = 0;
        self.payload_filled = 0;
        self.begun_at = None;
        give_back(&mut self.payload);
    }
}

/// Empties a buffer and frees it if it has grown beyond what is kept.
pub(crate) fn give_back(buffer: &mut Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > KEPT_BYTES_MAX {
        *buffer = Vec::new();
    }
}

/// Writes all of `bytes`, within `patience` and the time that the slowest tolerable reader needs.
pub(crate) async fn write_all(socket: &mut (impl AsyncWrite + Unpin), bytes: &[u8], patience: Duration) -> io::Result<()> {
    let slowest = Duration::from_secs(bytes.len() as u64 / BYTES_PER_SECOND_MIN);
    match timeout_at(Instant::now() + patience + slowest, socket.write_all(bytes)).await {
        Ok(written) => written,
        Err(elapsed) => Err(io::Error::new(io::ErrorKind::TimedOut, elapsed)),
    }
}
