//! Identifiers. Each is a type of its own, so that a player cannot stand where a match belongs.

use core::fmt;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Reads exactly as many hexadecimal digits as the id has; anything else is `None`.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                let mut bytes = [0; $len];
                parse_hex(text, &mut bytes).then_some(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

number_id!(
    /// A person with an account, or an imported player without one. Numbered from 1 by the store.
    PlayerId
);
number_id!(
    /// A queue of `plugins.toml`. Numbered from 1 by the store; the name is what people see.
    QueueId
);
number_id!(
    /// One request to play, of one player or a party. Numbered from 1 by the store; lower is older.
    QueueTicketId
);
number_id!(
    /// One contest. Numbered from 1 by the store.
    MatchId
);
number_id!(
    /// One projection of the journal by one engine with one set of parameters.
    GenerationId
);
number_id!(
    /// Position in the journal, from 1, without gaps.
    JournalSeq
);
byte_id!(
    /// A game server: the UUID of its certificate.
    ServerId,
    16
);
byte_id!(
    /// Chosen at random by the game server, once per report; makes re-sending harmless.
    ReportId,
    16
);
byte_id!(
    /// SHA-256 of a component, or of a journal entry.
    Digest,
    32
);

fn parse_hex(text: &str, out: &mut [u8]) -> bool {
    let digits = text.as_bytes();
    if digits.len() != out.len() * 2 {
        return false;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
            return false;
        };
        *byte = high << 4 | low;
    }
    true
}

fn digit(ascii: u8) -> Option<u8> {
    char::from(ascii).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn an_id_survives_its_text_and_nothing_else_parses() {
        let id = ServerId([0xab; 16]);
        assert_eq!(ServerId::from_hex(&id.to_string()), Some(id));
        for text in ["", "ab", "zz000000000000000000000000000000", "ab00000000000000000000000000000000"] {
            assert_eq!(ServerId::from_hex(text), None, "{text}");
        }
    }
}
