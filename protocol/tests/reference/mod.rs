//! The protocol a second time, straight down from `docs/protocol.md` and without a line of the crate: it notes every intermediate value.
//!
//! The vector file holds these values; the crate must produce the same frames.
#![allow(clippy::unwrap_used, unreachable_pub)]

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, Mac};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::world::{DAY, T0, hex, random, random16};

/// What is noted, in the order of the computation.
pub struct Notes(pub Map<String, Value>);

impl Notes {
    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Vec<u8> {
        self.0.insert(name.into(), hex(bytes).into());
        bytes.to_vec()
    }

    fn value(&mut self, name: &str, value: Value) {
        self.0.insert(name.into(), value);
    }
}

pub fn h(message: &[u8]) -> Vec<u8> {
    Sha256::digest(message).to_vec()
}

fn hm(key: &[u8], message: &[u8]) -> Vec<u8> {
    <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

fn el(secret: &[u8], label: &str, context: &[u8], len: usize) -> Vec<u8> {
    let label = format!("rs2 {label}");
    let lens = [0, u8::try_from(len).unwrap(), u8::try_from(label.len()).unwrap()];
    let context_len = [u8::try_from(context.len()).unwrap()];
    hm(secret, &[&lens, label.as_bytes(), &context_len, context, &[1]].concat())[..len].to_vec()
}

fn sig(seed: [u8; 32], context: &str, message: &[u8]) -> Vec<u8> {
    SigningKey::from_bytes(&seed).sign(&[context.as_bytes(), &[0], message].concat()).to_bytes().to_vec()
}

fn ed25519(tag: &str) -> [u8; 32] {
    SigningKey::from_bytes(&random(tag)).verifying_key().to_bytes()
}

fn lv16(field: &[u8]) -> Vec<u8> {
    [&u16::try_from(field.len()).unwrap().to_be_bytes(), field].concat()
}

fn lv8(field: &[u8]) -> Vec<u8> {
    [&[u8::try_from(field.len()).unwrap()], field].concat()
}

fn hdr25(payload_len: usize, epoch: u32, seq: u64, msg_type: u8, timestamp: u64) -> Vec<u8> {
    let payload_len = u32::try_from(payload_len).unwrap().to_be_bytes();
    [&payload_len[..], &epoch.to_be_bytes(), &seq.to_be_bytes(), &[msg_type], &timestamp.to_be_bytes()].concat()
}

/// `payload_len ‖ hmac ‖ the rest of hdr25 ‖ payload`.
fn frame(hdr25: &[u8], hmac: &[u8], payload: &[u8]) -> Vec<u8> {
    [&hdr25[..4], hmac, &hdr25[4..], payload].concat()
}

/// The certificate of the vectors, its fields noted.
pub fn certificate(notes: &mut Notes) -> Vec<u8> {
    let secret = random("cert_secret");
    let commitment = notes.bytes("secret_commitment", &h(&[b"RankedServer/2 secret\0".as_slice(), &secret].concat()));
    let node_pub = notes.bytes("node_pub", &ed25519("node"));
    let signed = [
        &b"RSC2\x02\x01\x02\x00"[..],
        &random16("realm"),
        &7u32.to_be_bytes(),
        &random16("uuid"),
        &(T0 - 1000).to_be_bytes(),
        &(T0 - 1000).to_be_bytes(),
        &(T0 + 90 * DAY).to_be_bytes(),
        &commitment,
        &node_pub,
        &0x000fu16.to_be_bytes(),
        &lv8(b"eu-1.example"),
        &lv16(b""),
    ]
    .concat();
    let signature = notes.bytes("signature", &sig(random("root"), "RankedServer/2 cert", &signed));
    let encoded = [signed, signature].concat();
    notes.bytes("encoded", &encoded)
}

/// The channel certificate of the vectors.
pub fn channel_certificate(notes: &mut Notes) -> Vec<u8> {
    let channel_pub = notes.bytes("channel_pub", &ed25519("chan"));
    let signed = [&channel_pub[..], &(T0 - 1000).to_be_bytes(), &(T0 + 7 * DAY).to_be_bytes(), &7u32.to_be_bytes()].concat();
    let message = [&random16("realm")[..], &signed].concat();
    let signature = notes.bytes("signature", &sig(random("root"), "RankedServer/2 channel-key", &message));
    let encoded = [signed, signature].concat();
    notes.bytes("encoded", &encoded)
}

/// One direction's keys.
pub fn traffic(notes: &mut Notes, name: &str, secret: &[u8]) {
    let keys = json!({
        "secret": hex(secret),
        "key": hex(&el(secret, "key", b"", 32)),
        "mac": hex(&el(secret, "mac", b"", 32)),
        "iv": hex(&el(secret, "iv", b"", 12)),
    });
    notes.value(name, keys);
}

/// The traffic secret after a key update.
pub fn updated(secret: &[u8]) -> Vec<u8> {
    el(secret, "upd", b"", 32)
}

/// What a record is made of.
pub struct Record<'a> {
    pub epoch: u32,
    pub seq: u64,
    pub msg_type: u8,
    pub timestamp: u64,
    pub plaintext: &'a [u8],
}

/// Seals a record, every step noted.
pub fn seal(secret: &[u8], record: &Record<'_>) -> (Notes, Vec<u8>) {
    let mut notes = Notes(Map::new());
    let Record { epoch, seq, msg_type, timestamp, plaintext } = *record;
    notes.value("epoch", epoch.into());
    notes.value("seq", seq.into());
    notes.value("msg_type", msg_type.into());
    notes.value("timestamp_ms", timestamp.into());
    let key = notes.bytes("key", &el(secret, "key", b"", 32));
    let mac = notes.bytes("mac", &el(secret, "mac", b"", 32));
    let iv = notes.bytes("iv", &el(secret, "iv", b"", 12));
    let hdr25 = notes.bytes("hdr25", &hdr25(plaintext.len() + 16, epoch, seq, msg_type, timestamp));
    notes.bytes("aad", &hdr25);
    let nonce_field = notes.bytes("nonce_field", &hdr25[4..16]);
    let nonce: Vec<u8> = iv.iter().zip(&nonce_field).map(|(iv, nonce)| iv ^ nonce).collect();
    let nonce = notes.bytes("nonce", &nonce);
    notes.bytes("plaintext", plaintext);
    let cipher = Aes256Gcm::new_from_slice(&key).unwrap();
    let nonce: [u8; 12] = nonce.try_into().unwrap();
    let payload = cipher.encrypt(&nonce.into(), Payload { msg: plaintext, aad: &hdr25 }).unwrap();
    notes.bytes("ciphertext", &payload[..plaintext.len()]);
    notes.bytes("tag", &payload[plaintext.len()..]);
    let hmac = notes.bytes("hmac", &hm(&mac, &[&hdr25[..], &payload].concat()));
    let frame = notes.bytes("frame", &frame(&hdr25, &hmac, &payload));
    (notes, frame)
}

/// One handshake with what it leaves behind.
pub struct Handshake {
    pub notes: Notes,
    pub frames: [Vec<u8>; 4],
    pub client_traffic: Vec<u8>,
    pub server_traffic: Vec<u8>,
    pub exporter: Vec<u8>,
    pub session_id: Vec<u8>,
}

/// A whole handshake of channel 1 (S2S) or 2 (RDV).
pub fn handshake(channel: u8) -> Handshake {
    let mut n = Notes(Map::new());
    let s2s = channel == 1;
    let ticket = [&random16("ticket_id")[..], &random("ticket_secret")].concat();
    let next_ticket = [&random16("next_ticket_id")[..], &random("next_ticket_secret")].concat();
    let ak = if s2s { hm(&random("pepper"), &random("cert_secret")) } else { h(&ticket) };
    let identity = if s2s { random16("uuid") } else { random16("ticket_id") };
    let credential = if s2s { certificate(&mut Notes(Map::new())) } else { ticket.clone() };
    let prologue = n.bytes("P", &[&b"RankedServer/2\0"[..], &[channel, 0, 0]].concat());
    let ak = n.bytes("AK", &ak);
    let es = n.bytes("ES", &hm(b"RankedServer/2 auth", &ak));
    let k_ch = n.bytes("K_ch", &el(&es, "c hello", b"", 32));
    let k_sh = n.bytes("K_sh", &el(&es, "s hello", b"", 32));
    let (e_c, e_s) = (StaticSecret::from(random("ec")), StaticSecret::from(random("es")));
    let share_c = n.bytes("E_c", PublicKey::from(&e_c).as_bytes());
    let share_s = n.bytes("E_s", PublicKey::from(&e_s).as_bytes());

    let m1_payload =
        [&[1, 2, 1, 0, 1, channel][..], &random16("realm"), &identity, &random("cchal"), &share_c, &lv16(b""), &lv16(b"")].concat();
    let m1_hdr = n.bytes("M1_hdr25", &hdr25(m1_payload.len(), 0, 0, 1, T0));
    let m1_payload = n.bytes("M1_payload", &m1_payload);
    let m1_hmac = n.bytes("M1_hmac", &hm(&k_ch, &[&m1_hdr[..], &m1_payload].concat()));
    let m1 = n.bytes("M1", &frame(&m1_hdr, &m1_hmac, &m1_payload));

    let kex = n.bytes("kex", e_s.diffie_hellman(&PublicKey::from(&e_c)).as_bytes());
    let derived = n.bytes("ES_derived", &el(&es, "derived", b"", 32));
    let hs = n.bytes("HS", &hm(&derived, &kex));
    let channel_certificate = channel_certificate(&mut Notes(Map::new()));
    let unsigned = [&[2, 0, 1][..], &random("schal"), &share_s, &lv16(b""), &channel_certificate, &lv16(b"")].concat();
    let m2_hdr = n.bytes("M2_hdr25", &hdr25(unsigned.len() + 64 + 32, 0, 0, 2, T0 + 5));
    let entry_1 = [prologue, m1_hdr, m1_payload].concat();
    let th_a = n.bytes("TH_a", &h(&[&entry_1[..], &m2_hdr, &unsigned].concat()));
    let server_sig = n.bytes("server_sig", &sig(random("chan"), "RankedServer/2 server-hello", &th_a));
    let signed = [unsigned, server_sig].concat();
    let th_b = n.bytes("TH_b", &h(&[&entry_1[..], &m2_hdr, &signed].concat()));
    let response_key = n.bytes("s_response_key", &el(&hs, "s response", b"", 32));
    let response = hm(&response_key, &[&random("cchal")[..], &th_b].concat());
    let response = n.bytes("challenge_response", &response);
    let m2_payload = n.bytes("M2_payload", &[signed, response].concat());
    let m2_hmac = n.bytes("M2_hmac", &hm(&k_sh, &[&m2_hdr[..], &m2_payload].concat()));
    let m2 = n.bytes("M2", &frame(&m2_hdr, &m2_hmac, &m2_payload));
    let t_2 = [entry_1, m2_hdr, m2_payload].concat();
    let th_2 = n.bytes("TH_2", &h(&t_2));

    let (c_hs, s_hs) = (el(&hs, "c hs", &th_2, 32), el(&hs, "s hs", &th_2, 32));
    traffic(&mut n, "c_hs", &c_hs);
    traffic(&mut n, "s_hs", &s_hs);
    let m3_covered = [lv16(&credential), lv16(b"")].concat();
    let signature_len = if s2s { 64 } else { 0 };
    let m3_hdr = hdr25(m3_covered.len() + 1 + signature_len + 32 + 16, 1, 0, 3, T0 + 9);
    let client_sig = if s2s {
        let hash = n.bytes("client_sig_hash", &h(&[&t_2[..], &m3_hdr, &m3_covered].concat()));
        sig(random("node"), "RankedServer/2 client-finish", &hash)
    } else {
        Vec::new()
    };
    let client_sig = n.bytes("client_sig", &client_sig);
    let m3_proven = [m3_covered, lv8(&client_sig)].concat();
    let hash = n.bytes("client_proof_hash", &h(&[&t_2[..], &m3_hdr, &m3_proven].concat()));
    let proof_key = n.bytes("c_proof_key", &el(&hs, "c proof", b"", 32));
    let client_proof = n.bytes("client_proof", &hm(&proof_key, &[&random("schal")[..], &hash].concat()));
    let m3_plaintext = [m3_proven, client_proof].concat();
    let record = Record { epoch: 1, seq: 0, msg_type: 3, timestamp: T0 + 9, plaintext: &m3_plaintext };
    let (m3_notes, m3) = seal(&c_hs, &record);
    n.value("M3", m3_notes.0.into());
    let t_3 = [t_2, m3_hdr, m3_plaintext].concat();

    let m4_proven = [
        &5000u32.to_be_bytes()[..],
        &20_000u32.to_be_bytes(),
        &65_536u32.to_be_bytes(),
        &(T0 + DAY).to_be_bytes(),
        &lv16(if s2s { b"" } else { &next_ticket }),
        &lv16(b""),
    ]
    .concat();
    let m4_hdr = hdr25(m4_proven.len() + 32 + 16, 1, 0, 4, T0 + 12);
    let hash = n.bytes("server_proof_hash", &h(&[&t_3[..], &m4_hdr, &m4_proven].concat()));
    let done_key = n.bytes("s_done_key", &el(&hs, "s done", b"", 32));
    let server_proof = n.bytes("server_proof", &hm(&done_key, &hash));
    let m4_plaintext = [m4_proven, server_proof].concat();
    let record = Record { epoch: 1, seq: 0, msg_type: 4, timestamp: T0 + 12, plaintext: &m4_plaintext };
    let (m4_notes, m4) = seal(&s_hs, &record);
    n.value("M4", m4_notes.0.into());

    let th_4 = n.bytes("TH_4", &h(&[t_3, m4_hdr, m4_plaintext].concat()));
    let derived = n.bytes("HS_derived", &el(&hs, "derived", b"", 32));
    let ms = n.bytes("MS", &hm(&derived, &[0; 32]));
    let (client_traffic, server_traffic) = (el(&ms, "c ap", &th_4, 32), el(&ms, "s ap", &th_4, 32));
    traffic(&mut n, "c_ap_0", &client_traffic);
    traffic(&mut n, "s_ap_0", &server_traffic);
    let exporter = n.bytes("exporter", &el(&ms, "exp", &th_4, 32));
    let session_id = n.bytes("session_id", &el(&ms, "sid", &th_4, 16));
    Handshake { notes: n, frames: [m1, m2, m3, m4], client_traffic, server_traffic, exporter, session_id }
}
