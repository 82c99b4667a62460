//! Identifiers that belong to the wire. Those of the domain (players, matches, game servers, reports) are in `ladder::id`.

use core::fmt;

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

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

byte_id!(
    /// One community. Random, made once; survives every rotation of the signing key.
    RealmId
);
byte_id!(
    /// Who wants in, before anything is proved: the UUID of a certificate (S2S) or a login ticket id (RDV).
    Identity
);
byte_id!(
    /// The public half of a login ticket: finds the row, opens nothing.
    LoginTicketId
);
byte_id!(
    /// One authenticated connection. Both ends compute it; it goes into every audit line.
    SessionId
);

/// Generation of the host's signing key. A certificate names the generation that signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyEpoch(pub u32);

impl fmt::Display for KeyEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Generation of the community's pepper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PepperId(pub u32);

impl fmt::Display for PepperId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
