//! Message types: their numbers, who may send them on which channel, and how long they may be.

mod typed;

pub use typed::{FromGameServer, FromPlayer, MessageError, ToGameServer, ToPlayer, WireMessage};

/// The generated messages of `proto/ranked/v1`.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/ranked.v1.rs"));
}

/// The two kinds of peers, each on a port of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Channel {
    /// Game servers, by certificate.
    S2s = 1,
    /// Players, by login ticket.
    Rdv = 2,
}

impl Channel {
    /// The number on the wire.
    #[must_use]
    pub fn to_wire(self) -> u8 {
        self as u8
    }
}

/// Which way a frame travels. The server of the handshake is always the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From a game server or a player to the host.
    ClientToServer,
    /// From the host to a game server or a player.
    ServerToClient,
}

impl Direction {
    /// The other way.
    #[must_use]
    pub fn reverse(self) -> Self {
        match self {
            Self::ClientToServer => Self::ServerToClient,
            Self::ServerToClient => Self::ClientToServer,
        }
    }
}

/// Longest payload of any message type, the cipher's tag included.
pub const PAYLOAD_LEN_MAX: usize = 65_536;

macro_rules! message_types {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $carrier:ident, $payload_len_max:expr;)*) => {
        /// What a frame carries. The number is the header's `msg_type` byte.
        ///
        /// Numbers that are missing here (0x17, 0x34, 0x52, 0xC0 to 0xDF) are reserved and refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum MsgType {
            $($(#[$doc])* $name = $number,)*
        }

        impl MsgType {
            /// Every type, by number.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Reads the header's byte; `None` if it is reserved.
            #[must_use]
            pub fn from_wire(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Longest `payload_len`, the cipher's tag included.
            #[must_use]
            pub fn payload_len_max(self) -> usize {
                match self {
                    $(Self::$name => $payload_len_max,)*
                }
            }

            /// Its name in the schema, for logs and metrics.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            fn carrier(self) -> Carrier {
                match self {
                    $(Self::$name => Carrier::$carrier,)*
                }
            }
        }
    };
}

enum Carrier {
    Handshake,
    Control,
    FromGameServer,
    ToGameServer,
    FromPlayer,
    ToPlayer,
}

message_types! {
    /// M1: the client's offer.
    ClientHello = 0x01, Handshake, 2048;
    /// M2: the host's choice, its signature and its proof.
    ServerHello = 0x02, Handshake, 2048;
    /// M3: the client's credential and its proof.
    ClientFinish = 0x03, Handshake, 1024;
    /// M4: the terms of the session.
    ServerFinish = 0x04, Handshake, 1024;
    /// The host's unauthenticated hint instead of M2.
    Reject = 0x05, Handshake, 3;
    /// Last frame of a direction's epoch.
    KeyUpdate = 0x0e, Control, 17;
    /// Last frame of a direction.
    Close = 0x0f, Control, 286;

    /// Game server: alive, with capacity and load.
    Heartbeat = 0x10, FromGameServer, 2048;
    /// Game server: holds the allowlist, or will not host the match.
    AllowlistAck = 0x11, FromGameServer, 1024;
    /// Game server: the match began.
    MatchStarted = 0x12, FromGameServer, 64;
    /// Game server: a player came.
    PlayerJoined = 0x13, FromGameServer, 64;
    /// Game server: a player went.
    PlayerLeft = 0x14, FromGameServer, 64;
    /// Game server: claims a result.
    MatchReport = 0x15, FromGameServer, PAYLOAD_LEN_MAX;
    /// Game server: lines for the operator.
    LogEntries = 0x16, FromGameServer, PAYLOAD_LEN_MAX;

    /// Host: whom to admit to a match.
    AllowPlayers = 0x30, ToGameServer, PAYLOAD_LEN_MAX;
    /// Host: the report is durable.
    ReportAck = 0x31, ToGameServer, PAYLOAD_LEN_MAX;
    /// Host: nobody will play this match here.
    MatchVoided = 0x32, ToGameServer, 4096;
    /// Host: answers a heartbeat.
    HeartbeatAck = 0x33, ToGameServer, 4096;
    /// Host: the report is not taken; final.
    ReportRefused = 0x35, ToGameServer, 4096;

    /// Player: wants to play.
    Enqueue = 0x50, FromPlayer, 8192;
    /// Player: leaves the queue.
    Dequeue = 0x51, FromPlayer, 64;
    /// Player: still there, with nothing to say.
    KeepAlive = 0x53, FromPlayer, 64;

    /// Host: how the waiting goes.
    QueueStatus = 0x70, ToPlayer, 4096;
    /// Host: where to play.
    Assignment = 0x71, ToPlayer, 4096;
    /// Host: a message was not carried out.
    Refusal = 0x72, ToPlayer, 4096;
    /// Host: the match is over.
    MatchEnded = 0x73, ToPlayer, 4096;
    /// Host: answers a keep-alive.
    KeepAliveAck = 0x74, ToPlayer, 64;
}

impl MsgType {
    /// The number on the wire.
    #[must_use]
    pub fn to_wire(self) -> u8 {
        self as u8
    }

    /// Whether a session of this channel carries this type in this direction.
    #[must_use]
    pub fn is_record(self, channel: Channel, direction: Direction) -> bool {
        match self.carrier() {
            Carrier::Handshake => false,
            Carrier::Control => true,
            Carrier::FromGameServer => (channel, direction) == (Channel::S2s, Direction::ClientToServer),
            Carrier::ToGameServer => (channel, direction) == (Channel::S2s, Direction::ServerToClient),
            Carrier::FromPlayer => (channel, direction) == (Channel::Rdv, Direction::ClientToServer),
            Carrier::ToPlayer => (channel, direction) == (Channel::Rdv, Direction::ServerToClient),
        }
    }

    /// The smaller of the type's own limit and the session's, which does not bind key updates and closes.
    pub(crate) fn payload_len_max_within(self, session_max: u32) -> usize {
        let own = self.payload_len_max();
        match self.carrier() {
            Carrier::Control => own,
            _ => own.min(usize::try_from(session_max).unwrap_or(usize::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_type_travels_both_ways_or_on_both_channels_but_control() {
        let ways = |msg_type: &MsgType| {
            [Channel::S2s, Channel::Rdv]
                .into_iter()
                .flat_map(|channel| [Direction::ClientToServer, Direction::ServerToClient].map(|way| msg_type.is_record(channel, way)))
                .filter(|carried| *carried)
                .count()
        };
        for msg_type in MsgType::ALL {
            let expected = match msg_type.to_wire() {
                0x01..=0x05 => 0,
                0x0e..=0x0f => 4,
                _ => 1,
            };
            assert_eq!(ways(msg_type), expected, "{msg_type:?}");
            assert_eq!(MsgType::from_wire(msg_type.to_wire()), Some(*msg_type));
        }
        assert_eq!(MsgType::from_wire(0xc0), None);
    }
}
