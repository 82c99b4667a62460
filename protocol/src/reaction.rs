//! How a connection ends: silently, with a hint before it began, or with an authenticated close.

/// What the owner of a connection does about an error. No reaction tells a stranger which check failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Close the socket without a byte.
    CloseSilently,
    /// Send one [`crate::handshake::Reject`] with this code, then close the socket. Host only.
    Reject(RejectCode),
    /// Send a close record with this code, then close the socket within five seconds.
    CloseWith(CloseCode),
}

/// Why a session ends, as the other side is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum CloseCode {
    /// Nothing is wrong.
    Normal = 0,
    /// The process stops; come back after the stated time.
    GoingAway = 1,
    /// The certificate or the login was withdrawn.
    Revoked = 2,
    /// Every certificate of this key epoch was withdrawn.
    KeyEpochRetired = 3,
    /// A newer session of the same identity took over.
    Replaced = 4,
    /// The other side broke the protocol.
    Protocol = 5,
    /// Too much is going on; come back after the stated time.
    Overload = 6,
    /// The session is as old as it may get; connect again.
    Rehandshake = 7,
}

impl CloseCode {
    /// Reads a code; unknown ones mean [`CloseCode::Normal`].
    #[must_use]
    pub fn from_wire(code: u16) -> Self {
        match code {
            1 => Self::GoingAway,
            2 => Self::Revoked,
            3 => Self::KeyEpochRetired,
            4 => Self::Replaced,
            5 => Self::Protocol,
            6 => Self::Overload,
            7 => Self::Rehandshake,
            _ => Self::Normal,
        }
    }

    /// The number on the wire.
    #[must_use]
    pub fn to_wire(self) -> u16 {
        self as u16
    }
}

/// The hint that a host gives before a handshake. Unauthenticated: it never changes version, suite, clock or credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RejectCode {
    /// Come back later.
    Busy = 1,
    /// No version in common.
    Version = 2,
    /// The clocks differ by more than two minutes; the header's timestamp is the host's clock.
    ClockSkew = 3,
}

impl RejectCode {
    /// Reads a code; `None` if it is none.
    #[must_use]
    pub fn from_wire(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Busy),
            2 => Some(Self::Version),
            3 => Some(Self::ClockSkew),
            _ => None,
        }
    }
}
