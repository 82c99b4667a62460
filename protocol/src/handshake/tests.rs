//! Parsers against arbitrary bytes, and thieves who hold half of what a handshake needs.

use alloc::vec::Vec;

use ladder::id::ServerId;
use ladder::time::UnixMillis;
use proptest::prelude::*;

use super::client::{Credential, start_with};
use super::finish::{ClientFinish, ServerFinish};
use super::hello::{ClientHello, ServerHello};
use super::server::{AwaitHello, ClaimedCredential, HostIdentity};
use super::*;
use crate::bytes::Malformed;
use crate::certificate::{Certificate, CertificateFields, Scope};
use crate::channel_key::ChannelCertificate;
use crate::frame::HEADER_LEN;
use crate::id::{KeyEpoch, LoginTicketId, RealmId};
use crate::schedule::EarlySecret;
use crate::secret::{AuthKey, LoginTicket};
use crate::signature::{ChannelKey, NodeKey, SigningKey};
use crate::trust::TrustAnchors;

proptest! {
    #[test]
    fn no_parser_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        // Whatever the bytes are, the answer is a value.
        prop_assert!(ClientHello::parse(&bytes).is_ok() || ClientHello::parse(&bytes).is_err());
        prop_assert!(ServerHello::parse(&bytes).is_ok() || ServerHello::parse(&bytes).is_err());
        prop_assert!(ClientFinish::parse(&bytes).is_ok() || ClientFinish::parse(&bytes).is_err());
        prop_assert!(ServerFinish::parse(&bytes).is_ok() || ServerFinish::parse(&bytes).is_err());
    }

    #[test]
    fn m4_survives_its_encoding(
        heartbeat_ms: u32, idle_timeout_ms: u32, payload_len_max: u32, expires_at: u64, ticket in proptest::option::of(any::<[u8; 32]>()),
    ) {
        let params = SessionParams { heartbeat_ms, idle_timeout_ms, payload_len_max, expires_at: UnixMillis(expires_at) };
        let ticket = ticket.map(|secret| LoginTicket::new(LoginTicketId([9; 16]), &secret));
        let mut plaintext = Vec::new();
        ServerFinish::encode(&params, ticket.as_ref(), &mut plaintext);
        plaintext.extend_from_slice(&[7; 32]);
        prop_assert_eq!(plaintext.len(), ServerFinish::encoded_len(ticket.is_some()));
        let (finish, proof) = ServerFinish::parse(&plaintext)?;
        prop_assert_eq!((finish.params, proof), (params, [7; 32]));
        prop_assert_eq!(finish.next_ticket.map(|next| *next.expose()), ticket.map(|ticket| *ticket.expose()));
    }
}

/// An M1 payload with these offers and this much of a hybrid share.
fn offer(versions: &[u8], suites: &[u16], hybrid_share_len: u16) -> Vec<u8> {
    let count = |len: usize| u8::try_from(len).unwrap();
    let mut payload = [&[count(versions.len())], versions, &[count(suites.len())]].concat();
    suites.iter().for_each(|suite| payload.extend_from_slice(&suite.to_be_bytes()));
    payload.extend_from_slice(&[1]);
    payload.extend_from_slice(&[0; 16 + 16 + 32 + 32]);
    payload.extend_from_slice(&hybrid_share_len.to_be_bytes());
    payload.resize(payload.len() + usize::from(hybrid_share_len), 0);
    payload.extend_from_slice(&[0, 0]);
    payload
}

#[test]
fn an_offer_is_a_short_list_without_duplicates() {
    let versions = Err(Malformed::OutOfRange { field: "versions" });
    let suites = Err(Malformed::OutOfRange { field: "suites" });
    let hybrid = Err(Malformed::OutOfRange { field: "kem_ek" });
    for (name, payload, expected) in [
        ("ours", offer(&[2], &[1], 0), Ok(())),
        ("ours among others", offer(&[9, 2, 1], &[7, 1], 0), Ok(())),
        ("hybrid first", offer(&[2], &[2, 1], 1184), Ok(())),
        ("hybrid without its share", offer(&[2], &[2, 1], 0), hybrid),
        ("share without hybrid", offer(&[2], &[1], 1184), hybrid),
        ("share too long", offer(&[2], &[2, 1], 1185), hybrid),
        ("no version", offer(&[], &[1], 0), versions),
        ("eight", offer(&[2, 3, 4, 5, 6, 7, 8, 9], &[1], 0), Ok(())),
        ("nine", offer(&[2, 3, 4, 5, 6, 7, 8, 9, 10], &[1], 0), versions),
        ("twice", offer(&[2, 2], &[1], 0), versions),
        ("no suite", offer(&[2], &[], 0), suites),
        ("suite twice", offer(&[2], &[1, 1], 0), suites),
        ("trailing", [offer(&[2], &[1], 0), [0].to_vec()].concat(), Err(Malformed::TrailingBytes { count: 1 })),
        ("cut", offer(&[2], &[1], 0)[..50].to_vec(), Err(Malformed::Truncated)),
    ] {
        assert_eq!(ClientHello::parse(&payload).map(|_| ()), expected, "{name}");
    }
    let check = |versions, suites| ClientHello::parse(&offer(versions, suites, 0)).unwrap().check(Channel::S2s, RealmId([0; 16]));
    assert_eq!(check(&[3, 2], &[9, 1]), Ok(()));
    assert_eq!(check(&[3], &[1]), Err(HandshakeError::NoCommonVersion));
    assert_eq!(check(&[2], &[9]), Err(HandshakeError::NoCommonSuite));
}

const NOW: UnixMillis = UnixMillis(1_750_000_000_000);

fn split(frame: &mut [u8]) -> (&[u8; HEADER_LEN], &mut [u8]) {
    let (header, payload) = frame.split_first_chunk_mut().unwrap();
    (header, payload)
}

/// A host and what its clients trust.
fn host() -> (HostIdentity, TrustAnchors, SigningKey) {
    let signing_key = SigningKey::from_seed(KeyEpoch(1), &[1; 32]);
    let channel_key = ChannelKey::from_seed(&[2; 32]);
    let realm_id = RealmId([3; 16]);
    let (public_key, end) = (channel_key.public_key(), UnixMillis(NOW.0 + 1000));
    let channel_certificate = ChannelCertificate::issue(realm_id, public_key, NOW, end, &signing_key);
    let trust = TrustAnchors::new(realm_id).with_key(KeyEpoch(1), signing_key.public_key());
    (HostIdentity { channel_key, channel_certificate }, trust, signing_key)
}

/// Runs a handshake up to the host's verdict on the credential of M3.
///
/// M1 names the identity of `named` and is proved with `auth_key`; M3 carries `revealed`; the host knows `stored`.
fn verdict(auth_key: &AuthKey, named: Credential<'_>, revealed: Credential<'_>, stored: &AuthKey) -> Result<(), HandshakeError> {
    let (host, trust, _) = host();
    let channel = match revealed {
        Credential::Certificate { .. } => Channel::S2s,
        Credential::LoginTicket(_) => Channel::Rdv,
    };
    let entropy = Entropy::from_bytes(&[4; 64]);
    let (mut m1, client) = start_with(EarlySecret::new(auth_key), Transport::Tcp, &trust, named, &entropy, NOW);
    let client = client.with_credential(revealed);
    let state = AwaitHello::new(channel, Transport::Tcp, trust.realm_id());
    let (header, payload) = split(&mut m1);
    let expected = state.check_header(header)?;
    let hello = state.handle_hello(expected, payload)?.verify(Some(stored), NOW)?;
    let (mut m2, state) = hello.respond(&host, &Entropy::from_bytes(&[5; 64]), NOW)?;
    let (header, payload) = split(&mut m2);
    let expected = client.check_header(header)?;
    let (mut m3, _) = client.handle_answer(expected, payload, NOW)?;
    let (header, payload) = split(&mut m3);
    let expected = state.check_header(header)?;
    match state.handle_finish(expected, payload, NOW)? {
        ClaimedCredential::Certificate(claim) => claim.verify(&trust, &[7; 32], NOW).map(|_| ()),
        ClaimedCredential::LoginTicket(claim) => claim.verify().map(|_| ()),
    }
}

/// Goal: read access to the table of login tickets logs nobody in. Method: a client that knows the stored hash, and may say whatever it likes
/// where the login ticket belongs.
#[test]
fn a_stolen_login_ticket_hash_does_not_log_in() {
    let id = LoginTicketId([7; 16]);
    let ticket = LoginTicket::new(id, &[8; 32]);
    let stored = AuthKey::from_login_ticket(&ticket);
    let honest = Credential::LoginTicket(&ticket);
    assert_eq!(verdict(&stored, honest, honest, &stored), Ok(()));
    let guess = LoginTicket::new(id, stored.expose());
    let thief = Credential::LoginTicket(&guess);
    assert_eq!(verdict(&stored, thief, thief, &stored), Err(HandshakeError::WrongProof));
    let own = AuthKey::from_login_ticket(&guess);
    assert_eq!(verdict(&own, thief, thief, &stored), Err(HandshakeError::HelloNotAuthentic));
}

/// Goal: a credential is worth nothing under another identity, even if both have the same auth key. Method: M1 names the one, M3 carries the
/// other.
#[test]
fn a_credential_of_somebody_else_is_refused() {
    let ticket = LoginTicket::new(LoginTicketId([7; 16]), &[8; 32]);
    let other = LoginTicket::new(LoginTicketId([9; 16]), &[8; 32]);
    let stored = AuthKey::from_login_ticket(&ticket);
    let (named, revealed) = (Credential::LoginTicket(&other), Credential::LoginTicket(&ticket));
    assert_eq!(verdict(&stored, named, revealed, &stored), Err(HandshakeError::WrongIdentity));

    let (_, trust, signing_key) = host();
    let node_key = NodeKey::from_seed(&[6; 32]);
    let certificate = |server_id| {
        let fields = CertificateFields {
            realm_id: trust.realm_id(),
            server_id: ServerId([server_id; 16]),
            issued_at: NOW,
            not_before: NOW,
            not_after: UnixMillis(NOW.0 + 1000),
            secret_commitment: [7; 32],
            node_key: node_key.public_key(),
            scope: Scope::ALL,
            owner: "eu-1.example".into(),
        };
        Certificate::issue(fields, &signing_key).unwrap()
    };
    let (one, two) = (certificate(1), certificate(2));
    let auth_key = AuthKey::from_bytes([5; 32]);
    let credential = |certificate| Credential::Certificate { certificate, auth_key: &auth_key, node_key: &node_key };
    assert_eq!(verdict(&auth_key, credential(&one), credential(&one), &auth_key), Ok(()));
    let mixed = verdict(&auth_key, credential(&two), credential(&one), &auth_key);
    assert_eq!(mixed, Err(HandshakeError::WrongIdentity));
}

#[test]
fn a_degenerate_share_is_refused() {
    let ephemeral = x25519_dalek::StaticSecret::from([1; 32]);
    let mut one = [0; 32];
    one[0] = 1;
    for share in [[0; 32], one] {
        assert_eq!(agree(&ephemeral, &share).err(), Some(HandshakeError::WeakShare));
    }
    assert!(agree(&ephemeral, &[9; 32]).is_ok());
}

#[test]
fn a_reject_survives_its_frame() {
    for code in [RejectCode::Busy, RejectCode::Version, RejectCode::ClockSkew] {
        let reject = Reject { code, retry_after_s: 0x1234 };
        let frame = reject.encode(NOW);
        let (header, payload) = frame.split_first_chunk().unwrap();
        let header = Header::parse(header);
        assert_eq!((header.payload_len, header.timestamp), (3, NOW));
        assert_eq!(Reject::parse(&header, payload), Some(reject));
        assert_eq!(Reject::parse(&Header { hmac: [1; 32], ..header }, payload), None);
        assert_eq!(Reject::parse(&header, &[4, 0, 0]), None);
    }
}
