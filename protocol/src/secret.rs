//! Secrets that outlive a connection. None of them can be cloned, printed or compared with `==`; all are erased when dropped.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

use crate::id::LoginTicketId;
use crate::schedule::hmac;

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(ZeroizeOnDrop)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Takes bytes that came from a random source or from storage.
            #[must_use]
            pub fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes, for storage or a key file. Never for a log line.
            #[must_use]
            pub fn expose(&self) -> &[u8; $len] {
                &self.0
            }

            /// Whether `other` holds the same bytes, in constant time.
            #[must_use]
            pub fn matches(&self, other: &[u8; $len]) -> bool {
                self.0.ct_eq(other).into()
            }
        }
    };
}

secret!(
    /// The 32 bytes in a certificate file that only the host and that game server know.
    CertificateSecret,
    32
);
secret!(
    /// The 32 bytes of a community, made by `ranked init`: a stolen certificate file alone cannot complete a handshake.
    Pepper,
    32
);
secret!(
    /// What both ends of a handshake must know before it starts. S2S: HMAC of pepper and certificate secret. RDV: SHA-256 of the login ticket.
    AuthKey,
    32
);
secret!(
    /// Credential from the HTTP login to the RDV channel: 16 public bytes that name it, 32 secret bytes.
    LoginTicket,
    48
);

impl CertificateSecret {
    /// What the certificate publishes about its secret, so that a secret cannot be moved to another certificate in the database.
    #[must_use]
    pub fn commitment(&self) -> [u8; 32] {
        Sha256::new().chain_update(b"RankedServer/2 secret\0").chain_update(self.0).finalize().into()
    }
}

impl AuthKey {
    /// The auth key of a game server.
    #[must_use]
    pub fn from_certificate_secret(pepper: &Pepper, secret: &CertificateSecret) -> Self {
        Self(hmac(pepper.expose(), &[secret.expose()]))
    }

    /// The auth key of a player. The host stores this, never the login ticket.
    #[must_use]
    pub fn from_login_ticket(ticket: &LoginTicket) -> Self {
        Self(Sha256::digest(ticket.expose()).into())
    }

    /// A second owner of the same key, for the handshake that must compare it again after M3.
    pub(crate) fn duplicate(&self) -> Self {
        Self(self.0)
    }
}

impl LoginTicket {
    /// Puts a login ticket together from fresh random bytes.
    #[must_use]
    pub fn new(id: LoginTicketId, secret: &[u8; 32]) -> Self {
        let mut bytes = [0; 48];
        bytes[..16].copy_from_slice(&id.0);
        bytes[16..].copy_from_slice(secret);
        Self(bytes)
    }

    /// The public half.
    #[must_use]
    pub fn id(&self) -> LoginTicketId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0[..16]);
        LoginTicketId(id)
    }
}
