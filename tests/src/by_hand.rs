//! Handshakes by hand, straight from `docs/protocol.md`: what only a thief or an impostor sends, so that `protocol` cannot be made to.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, Mac};
use ladder::time::UnixMillis;
use protocol::frame::HEADER_LEN;
use protocol::id::{LoginTicketId, RealmId};
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};

fn h(message: &[u8]) -> [u8; 32] {
    Sha256::digest(message).into()
}

fn hm(key: &[u8], message: &[u8]) -> [u8; 32] {
    <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes any key").chain_update(message).finalize().into_bytes().into()
}

/// `EL(secret, label, context, 32)`.
fn el(secret: &[u8], label: &str, context: &[u8]) -> [u8; 32] {
    let label = format!("rs2 {label}");
    let byte = |len: usize| u8::try_from(len).expect("short");
    hm(secret, &[&[0, 32, byte(label.len())], label.as_bytes(), &[byte(context.len())], context, &[1]].concat())
}

fn lv16(field: &[u8]) -> Vec<u8> {
    [&u16::try_from(field.len()).expect("short").to_be_bytes()[..], field].concat()
}

fn hdr25(payload_len: usize, epoch: u32, msg_type: u8, now: UnixMillis) -> Vec<u8> {
    let payload_len = u32::try_from(payload_len).expect("short").to_be_bytes();
    [&payload_len[..], &epoch.to_be_bytes(), &0u64.to_be_bytes(), &[msg_type], &now.0.to_be_bytes()].concat()
}

fn frame(hdr25: &[u8], mac_key: &[u8], payload: &[u8]) -> Vec<u8> {
    let hmac = hm(mac_key, &[hdr25, payload].concat());
    [&hdr25[..4], &hmac[..], &hdr25[4..], payload].concat()
}

/// `entry(F)` of a frame with its payload in clear.
fn entry(frame: &[u8]) -> Vec<u8> {
    [&frame[..4], &frame[36..]].concat()
}

/// Somebody who read a login ticket's row in the database: its id and its hash, which is the auth key of the RDV channel.
pub struct HashThief {
    early: [u8; 32],
    ephemeral: StaticSecret,
    transcript: Vec<u8>,
}

impl HashThief {
    /// M1, as good as its owner's.
    #[must_use]
    pub fn hello(realm: RealmId, ticket_id: LoginTicketId, hash: &[u8; 32], random: [[u8; 32]; 2], now: UnixMillis) -> (Self, Vec<u8>) {
        let [challenge, ephemeral] = random;
        let early = hm(b"RankedServer/2 auth", hash);
        let ephemeral = StaticSecret::from(ephemeral);
        let share = PublicKey::from(&ephemeral).to_bytes();
        let payload = [&[1, 2, 1, 0, 1, 2][..], &realm.0, &ticket_id.0, &challenge, &share, &lv16(b""), &lv16(b"")].concat();
        let m1 = frame(&hdr25(payload.len(), 0, 1, now), &el(&early, "c hello", b""), &payload);
        let transcript = [&b"RankedServer/2\0\x02\0\0"[..], &entry(&m1)].concat();
        (Self { early, ephemeral, transcript }, m1)
    }

    /// M3 with a made-up login ticket; everything else is right.
    #[must_use]
    pub fn finish(self, m2: &[u8], login_ticket: &[u8; 48], now: UnixMillis) -> Vec<u8> {
        let payload = &m2[HEADER_LEN..];
        let (challenge, share): (&[u8], [u8; 32]) = (&payload[3..35], payload[35..67].try_into().expect("32 bytes"));
        let kex = self.ephemeral.diffie_hellman(&PublicKey::from(share));
        let secret = hm(&el(&self.early, "derived", b""), kex.as_bytes());
        let t_2 = [self.transcript, entry(m2)].concat();
        let proven = [lv16(login_ticket), lv16(b""), vec![0]].concat();
        let header = hdr25(proven.len() + 32 + 16, 1, 3, now);
        let hash = h(&[&t_2[..], &header, &proven].concat());
        let proof = hm(&el(&secret, "c proof", b""), &[challenge, &hash[..]].concat());
        let traffic = el(&secret, "c hs", &h(&t_2));
        // `EL` of 12 bytes is no prefix of `EL` of 32: the length is part of what is hashed.
        let iv = hm(&traffic, &[&[0, 12, 6][..], b"rs2 iv", &[0, 1]].concat());
        let mut nonce: [u8; 12] = iv[..12].try_into().expect("12 bytes");
        nonce.iter_mut().zip(&header[4..16]).for_each(|(byte, field)| *byte ^= field);
        let cipher = Aes256Gcm::new_from_slice(&el(&traffic, "key", b"")).expect("32 bytes");
        let plaintext = [&proven[..], &proof].concat();
        let sealed = cipher.encrypt(&nonce.into(), Payload { msg: &plaintext, aad: &header }).expect("short");
        frame(&header, &el(&traffic, "mac", b""), &sealed)
    }
}

/// What somebody has who claims to be the host.
pub struct Impostor<'a> {
    /// The seed of a channel key.
    pub channel_seed: &'a [u8; 32],
    /// A channel certificate.
    pub channel_certificate: &'a [u8],
    /// An auth key.
    pub auth_key: &'a [u8; 32],
}

impl Impostor<'_> {
    /// M2 to a game server's M1: right in every byte, if what the impostor has is.
    #[must_use]
    pub fn answer(&self, m1: &[u8], random: [[u8; 32]; 2], now: UnixMillis) -> Vec<u8> {
        let [challenge, ephemeral] = random;
        let hello = &m1[HEADER_LEN..];
        let (client_challenge, client_share): (&[u8], [u8; 32]) = (&hello[38..70], hello[70..102].try_into().expect("32 bytes"));
        let early = hm(b"RankedServer/2 auth", self.auth_key);
        let ephemeral = StaticSecret::from(ephemeral);
        let share = PublicKey::from(&ephemeral).to_bytes();
        let kex = ephemeral.diffie_hellman(&PublicKey::from(client_share));
        let secret = hm(&el(&early, "derived", b""), kex.as_bytes());
        let transcript = [&b"RankedServer/2\0\x01\0\0"[..], &entry(m1)].concat();
        let unsigned = [&[2, 0, 1][..], &challenge, &share, &lv16(b""), self.channel_certificate, &lv16(b"")].concat();
        let header = hdr25(unsigned.len() + 64 + 32, 0, 2, now);
        let th_a = h(&[&transcript[..], &header, &unsigned].concat());
        let signature = SigningKey::from_bytes(self.channel_seed).sign(&[&b"RankedServer/2 server-hello\0"[..], &th_a].concat()).to_bytes();
        let signed = [&unsigned[..], &signature].concat();
        let th_b = h(&[&transcript[..], &header, &signed].concat());
        let response = hm(&el(&secret, "s response", b""), &[client_challenge, &th_b[..]].concat());
        frame(&header, &el(&early, "s hello", b""), &[&signed[..], &response].concat())
    }
}
