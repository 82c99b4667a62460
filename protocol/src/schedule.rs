//! The key schedule: every key of a connection from the auth key, the ephemeral secret and the transcript.
//!
//! ```text
//! auth key -> ES -> K_ch (header of M1), K_sh (header of M2)
//!              \--- kex ---> HS -> challenge_response, client_proof, server_proof, "c hs" (M3), "s hs" (M4)
//!                             \--> MS -> c_ap_0, s_ap_0 (records), exporter, session_id
//! ```

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::id::SessionId;
use crate::secret::AuthKey;

/// 32 secret bytes, erased when dropped.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

/// HMAC-SHA256 over the concatenation of `parts`.
pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// HKDF-Extract of RFC 5869.
fn extract(salt: &[u8], input: &[u8]) -> Secret {
    Zeroizing::new(hmac(salt, &[input]))
}

/// HKDF-Expand of RFC 5869 with the info string of TLS 1.3, for outputs of one block: `N` is at most 32.
pub(crate) fn expand_label<const N: usize>(secret: &Secret, label: &str, context: &[u8]) -> Zeroizing<[u8; N]> {
    const { assert!(N <= 32) };
    let byte = |len: usize| u8::try_from(len).expect("labels and contexts are constants or hashes");
    let block = Zeroizing::new(hmac(
        secret.as_slice(),
        &[&[0, byte(N), byte(4 + label.len())], b"rs2 ", label.as_bytes(), &[byte(context.len())], context, &[0x01]],
    ));
    let mut out = Zeroizing::new([0; N]);
    out.copy_from_slice(&block[..N]);
    out
}

/// ES: what the auth key alone gives.
pub(crate) struct EarlySecret(Secret);

impl EarlySecret {
    pub(crate) fn new(auth_key: &AuthKey) -> Self {
        Self(extract(b"RankedServer/2 auth", auth_key.expose()))
    }

    /// K_ch, the header HMAC key of M1.
    pub(crate) fn client_hello_key(&self) -> Secret {
        expand_label(&self.0, "c hello", b"")
    }

    /// K_sh, the header HMAC key of M2.
    pub(crate) fn server_hello_key(&self) -> Secret {
        expand_label(&self.0, "s hello", b"")
    }

    /// HS, once the ephemeral shared secret is known.
    pub(crate) fn handshake(self, kex: &[u8; 32]) -> HandshakeSecret {
        HandshakeSecret(extract(expand_label::<32>(&self.0, "derived", b"").as_slice(), kex))
    }
}

/// HS: what the auth key and the ephemeral secret give together.
pub(crate) struct HandshakeSecret(Secret);

impl HandshakeSecret {
    pub(crate) fn challenge_response(&self, client_challenge: &[u8; 32], th_b: &[u8; 32]) -> [u8; 32] {
        self.mac("s response", &[client_challenge, th_b])
    }

    pub(crate) fn client_proof(&self, server_challenge: &[u8; 32], hash: &[u8; 32]) -> [u8; 32] {
        self.mac("c proof", &[server_challenge, hash])
    }

    pub(crate) fn server_proof(&self, hash: &[u8; 32]) -> [u8; 32] {
        self.mac("s done", &[hash])
    }

    /// The traffic secret of M3.
    pub(crate) fn client_traffic(&self, th_2: &[u8; 32]) -> Secret {
        expand_label(&self.0, "c hs", th_2)
    }

    /// The traffic secret of M4.
    pub(crate) fn server_traffic(&self, th_2: &[u8; 32]) -> Secret {
        expand_label(&self.0, "s hs", th_2)
    }

    /// Everything a session needs; consumes HS, which is erased.
    pub(crate) fn session(self, th_4: &[u8; 32]) -> SessionSecrets {
        let master = extract(expand_label::<32>(&self.0, "derived", b"").as_slice(), &[0; 32]);
        SessionSecrets {
            client_traffic: expand_label(&master, "c ap", th_4),
            server_traffic: expand_label(&master, "s ap", th_4),
            exporter: expand_label(&master, "exp", th_4),
            session_id: SessionId(*expand_label::<16>(&master, "sid", th_4)),
        }
    }

    fn mac(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        hmac(expand_label::<32>(&self.0, label, b"").as_slice(), parts)
    }
}

/// What M4 leaves behind.
pub(crate) struct SessionSecrets {
    pub(crate) client_traffic: Secret,
    pub(crate) server_traffic: Secret,
    pub(crate) exporter: Secret,
    pub(crate) session_id: SessionId,
}

/// The running SHA-256 over everything both ends saw.
#[derive(Clone)]
pub(crate) struct Transcript(Sha256);

impl Transcript {
    pub(crate) fn new(prologue: &[u8]) -> Self {
        Self(Sha256::new_with_prefix(prologue))
    }

    pub(crate) fn add(&mut self, header: &[u8; 25], content: &[u8]) {
        self.0.update(header);
        self.0.update(content);
    }

    /// The hash now.
    pub(crate) fn hash(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }

    /// The hash as if `header` and a prefix of a message came next, without taking them in.
    pub(crate) fn hash_with(&self, header: &[u8; 25], prefix: &[u8]) -> [u8; 32] {
        let mut ahead = self.clone();
        ahead.add(header, prefix);
        ahead.hash()
    }
}
