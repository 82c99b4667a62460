//! From bytes of a record to a message and back.

use super::{MsgType, v1};

/// A message that has a type number.
pub trait WireMessage: prost::Message + Default {
    /// Its number.
    const MSG_TYPE: MsgType;
}

/// The content of an authentic record is no message. The peer's fault: close the session with [`crate::reaction::CloseCode::Protocol`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The type is not one that this end receives.
    #[error("{0:?} is not received here")]
    UnexpectedType(MsgType),
    /// The bytes are not that message.
    #[error("{msg_type:?} does not decode")]
    Undecodable {
        /// What it should have been.
        msg_type: MsgType,
        /// Where the bytes went wrong.
        #[source]
        source: prost::DecodeError,
    },
}

macro_rules! received {
    ($(#[$doc:meta])* $name:ident { $($message:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)] // each variant is documented at the message of the same name
        pub enum $name {
            $($message(v1::$message),)*
        }

        impl $name {
            /// Reads the content of a record.
            ///
            /// # Errors
            ///
            /// The peer's fault: see [`MessageError`].
            pub fn decode(msg_type: MsgType, plaintext: &[u8]) -> Result<Self, MessageError> {
                match msg_type {
                    $(MsgType::$message => match prost::Message::decode(plaintext) {
                        Ok(message) => Ok(Self::$message(message)),
                        Err(source) => Err(MessageError::Undecodable { msg_type, source }),
                    },)*
                    other => Err(MessageError::UnexpectedType(other)),
                }
            }

            /// The content of the record that carries it.
            #[must_use]
            pub fn encode(&self) -> alloc::vec::Vec<u8> {
                match self {
                    $(Self::$message(message) => prost::Message::encode_to_vec(message),)*
                }
            }

            /// Its number.
            #[must_use]
            pub fn msg_type(&self) -> MsgType {
                match self {
                    $(Self::$message(_) => MsgType::$message,)*
                }
            }
        }

        $(
            impl WireMessage for v1::$message {
                const MSG_TYPE: MsgType = MsgType::$message;
            }

            impl From<v1::$message> for $name {
                fn from(message: v1::$message) -> Self {
                    Self::$message(message)
                }
            }
        )*
    };
}

received!(
    /// What a game server says. All of it claims.
    FromGameServer { Heartbeat, AllowlistAck, MatchStarted, PlayerJoined, PlayerLeft, MatchReport, LogEntries }
);
received!(
    /// What the host says to a game server.
    ToGameServer { AllowPlayers, ReportAck, MatchVoided, HeartbeatAck, ReportRefused }
);
received!(
    /// What a player says. All of it claims.
    FromPlayer { Enqueue, Dequeue, KeepAlive }
);
received!(
    /// What the host says to a player.
    ToPlayer { QueueStatus, Assignment, Refusal, MatchEnded, KeepAliveAck }
);
