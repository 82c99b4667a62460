//! Who is refused, by what check, and what is sent in answer: one row per way to be the wrong one.
#![allow(clippy::unwrap_used)]

mod world;

use std::error::Error;

use ladder::time::UnixMillis;
use protocol::certificate::{Certificate, CertificateError, CertificateFields};
use protocol::channel_key::ChannelCertificate;
use protocol::frame::FrameError;
use protocol::handshake::client::{self, Credential};
use protocol::handshake::server::{AwaitHello, ClaimedCredential, HostIdentity};
use protocol::handshake::{Entropy, HandshakeError, Reject, SESSION_MS_MAX, SessionParams, Transport};
use protocol::id::{KeyEpoch, RealmId};
use protocol::message::Channel;
use protocol::reaction::{Reaction, RejectCode};
use protocol::secret::{AuthKey, CertificateSecret, Pepper};
use protocol::signature::{ChannelKey, NodeKey, SigningKey, WrongSignature};
use protocol::trust::{TrustAnchors, UntrustedKeyEpoch};
use world::{DAY, T0, World, at, random, split};

/// The host's verdict on the hello of a client with this auth key, at this time.
fn hello_verdict(host_key: Option<&AuthKey>, client_key: &AuthKey, now: UnixMillis) -> Result<(), HandshakeError> {
    let world = World::new();
    let credential = Credential::Certificate { certificate: &world.certificate, auth_key: client_key, node_key: &world.node_key };
    let (m1, _) = client::start(Transport::Tcp, &world.trust, credential, &world.client_entropy(), at(0));
    let state = world.await_hello(Channel::S2s);
    let (header, payload) = split(&m1);
    let expected = state.check_header(header)?;
    state.handle_hello(expected, payload)?.verify(host_key, now).map(|_| ())
}

#[test]
fn a_stranger_and_a_certificate_without_its_pepper_end_in_the_same_silence() {
    let world = World::new();
    let right = world.host_auth_key(Channel::S2s);
    let other_pepper = Pepper::from_bytes([0; 32]);
    let secret = CertificateSecret::from_bytes(random("cert_secret"));
    let without_pepper = AuthKey::from_certificate_secret(&other_pepper, &secret);
    assert_eq!(hello_verdict(Some(&right), &right, at(0)), Ok(()));
    for (name, host_key, client_key) in [
        ("unknown identity", None, &right),
        ("without the pepper", Some(&right), &without_pepper),
        ("all zeros, the host's stand-in", None, &AuthKey::from_bytes([0; 32])),
    ] {
        let error = hello_verdict(host_key, client_key, at(0)).unwrap_err();
        assert_eq!((error, error.reaction()), (HandshakeError::HelloNotAuthentic, Reaction::CloseSilently), "{name}");
    }
}

#[test]
fn only_an_authentic_hello_is_told_that_its_clock_is_off() {
    let key = World::new().host_auth_key(Channel::S2s);
    for (now, fine) in [(T0 - 120_000, true), (T0 - 120_001, false), (T0 + 120_000, true), (T0 + 120_001, false)] {
        let verdict = hello_verdict(Some(&key), &key, UnixMillis(now));
        assert_eq!(verdict.is_ok(), fine, "{now}");
        if let Err(error) = verdict {
            assert_eq!(error.reaction(), Reaction::Reject(RejectCode::ClockSkew));
            assert!(error.source().is_some());
        }
        let stranger = hello_verdict(None, &key, UnixMillis(now)).unwrap_err();
        assert_eq!(stranger.reaction(), Reaction::CloseSilently);
    }
}

#[test]
fn a_hello_for_another_realm_channel_or_transport_is_refused() {
    let world = World::new();
    let (_, _, [m1, ..]) = world.connect(Channel::S2s);
    let (header, payload) = split(&m1);
    for (name, channel, realm_id, expected) in [
        ("realm", Channel::S2s, RealmId([0; 16]), HandshakeError::WrongRealm),
        ("channel", Channel::Rdv, world.trust.realm_id(), HandshakeError::WrongChannel),
    ] {
        let state = AwaitHello::new(channel, Transport::Tcp, realm_id);
        let checked = state.check_header(header).unwrap();
        assert_eq!(state.handle_hello(checked, payload).err(), Some(expected), "{name}");
    }
    // A middlebox that ends TLS: both ends mean another exporter, so that the host's signature does not verify.
    let transport = Transport::Tls { exporter: [1; 32] };
    let state = AwaitHello::new(Channel::S2s, transport, world.trust.realm_id());
    let hello = world.verify_hello(Channel::S2s, state, &m1, at(5)).unwrap();
    let (m2, _) = hello.respond(&world.host, &Entropy::new(random("schal"), random("es")), at(5)).unwrap();
    let (_, client) = world.start(Channel::S2s, &world.client_entropy());
    assert_eq!(world::take_answer(client, &m2).err(), Some(HandshakeError::WrongSignature(WrongSignature)));
}

/// The client's verdict on a host with this channel certificate, at nine milliseconds past T0.
fn host_verdict(host: &HostIdentity, trust: &TrustAnchors) -> Result<(), HandshakeError> {
    let world = World::new();
    let credential = world.credential(Channel::S2s);
    let (m1, client) = client::start(Transport::Tcp, trust, credential, &world.client_entropy(), at(0));
    let hello = world.verify_hello(Channel::S2s, world.await_hello(Channel::S2s), &m1, at(5)).unwrap();
    let (m2, _) = hello.respond(host, &Entropy::new(random("schal"), random("es")), at(5)).unwrap();
    world::take_answer(client, &m2).map(|_| ())
}

#[test]
fn a_host_that_is_not_vouched_for_is_refused_by_the_client() {
    let world = World::new();
    let realm_id = world.trust.realm_id();
    let signing_key = SigningKey::from_seed(KeyEpoch(7), &random("root"));
    let host = |key: &SigningKey, realm_id, not_before, not_after, vouched: &str| {
        let public_key = ChannelKey::from_seed(&random(vouched)).public_key();
        HostIdentity {
            channel_key: ChannelKey::from_seed(&random("chan")),
            channel_certificate: ChannelCertificate::issue(realm_id, public_key, not_before, not_after, key),
        }
    };
    let (early, late) = (UnixMillis(T0 - 1000), at(DAY));
    let forged = Err(HandshakeError::Certificate(CertificateError::Signature(WrongSignature)));
    let unknown = UntrustedKeyEpoch::Unknown(KeyEpoch(8));
    for (name, host, expected) in [
        ("the right one", host(&signing_key, realm_id, early, late, "chan"), Ok(())),
        ("another signing key", host(&SigningKey::from_seed(KeyEpoch(7), &random("evil")), realm_id, early, late, "chan"), forged),
        ("another realm", host(&signing_key, RealmId([0; 16]), early, late, "chan"), forged),
        (
            "an unknown key epoch",
            host(&SigningKey::from_seed(KeyEpoch(8), &random("root")), realm_id, early, late, "chan"),
            Err(HandshakeError::Certificate(CertificateError::KeyEpoch(unknown))),
        ),
        (
            "expired",
            host(&signing_key, realm_id, early, at(9), "chan"),
            Err(HandshakeError::Certificate(CertificateError::Expired { not_after: at(9), now: at(9) })),
        ),
        (
            "not yet",
            host(&signing_key, realm_id, at(10), late, "chan"),
            Err(HandshakeError::Certificate(CertificateError::NotYetValid { not_before: at(10), now: at(9) })),
        ),
        (
            "a channel key that it does not hold",
            host(&signing_key, realm_id, early, late, "other"),
            Err(HandshakeError::WrongSignature(WrongSignature)),
        ),
    ] {
        assert_eq!(host_verdict(&host, &world.trust), expected, "{name}");
    }
}

/// The host's verdict on M3 from a game server with this certificate and node key.
fn certificate_verdict(
    fields: impl Fn(&mut CertificateFields),
    signing_key: &SigningKey,
    node_key: &NodeKey,
    trust: &TrustAnchors,
    commitment: [u8; 32],
) -> Result<(), HandshakeError> {
    let mut world = World::new();
    let mut changed = world.certificate.fields().clone();
    fields(&mut changed);
    world.certificate = Certificate::issue(changed, signing_key).unwrap();
    let credential = Credential::Certificate { certificate: &world.certificate, auth_key: &world.auth_key, node_key };
    let (m1, client) = client::start(Transport::Tcp, &world.trust, credential, &world.client_entropy(), at(0));
    let (m2, state) = world.respond(Channel::S2s, &m1).unwrap();
    let (m3, _) = world::take_answer(client, &m2).unwrap();
    let (header, payload) = split(&m3);
    let expected = state.check_header(header).unwrap();
    let claim = state.handle_finish(expected, &mut payload.to_vec(), at(12)).unwrap();
    let ClaimedCredential::Certificate(claim) = claim else { panic!("S2S reveals a certificate") };
    let verdict = claim.verify(trust, &commitment, at(12));
    verdict.map(|_| ())
}

#[test]
fn a_game_server_that_is_not_what_its_certificate_says_is_refused() {
    let world = World::new();
    let (root, evil) = (random("root"), random("evil"));
    let right = SigningKey::from_seed(KeyEpoch(7), &root);
    let forger = SigningKey::from_seed(KeyEpoch(7), &evil);
    let node_key = NodeKey::from_seed(&random("node"));
    let stolen_without_node_key = NodeKey::from_seed(&evil);
    let commitment = world.secret.commitment();
    let mut retired = world.trust.clone();
    retired.retire(KeyEpoch(7));
    let nothing = |_: &mut CertificateFields| {};
    let trust = &world.trust;
    assert_eq!(certificate_verdict(nothing, &right, &node_key, trust, commitment), Ok(()));
    assert_eq!(
        certificate_verdict(nothing, &forger, &node_key, trust, commitment),
        Err(HandshakeError::Certificate(CertificateError::Signature(WrongSignature)))
    );
    assert_eq!(
        certificate_verdict(nothing, &right, &stolen_without_node_key, trust, commitment),
        Err(HandshakeError::WrongSignature(WrongSignature))
    );
    assert_eq!(
        certificate_verdict(nothing, &right, &node_key, &retired, commitment),
        Err(HandshakeError::Certificate(CertificateError::KeyEpoch(UntrustedKeyEpoch::Retired(KeyEpoch(7)))))
    );
    assert_eq!(certificate_verdict(nothing, &right, &node_key, trust, [0; 32]), Err(HandshakeError::WrongSecret));
    assert_eq!(
        certificate_verdict(|fields| fields.not_after = at(12), &right, &node_key, trust, commitment),
        Err(HandshakeError::Certificate(CertificateError::Expired { not_after: at(12), now: at(12) }))
    );
    let elsewhere = RealmId([0; 16]);
    assert_eq!(
        certificate_verdict(|fields| fields.realm_id = elsewhere, &right, &node_key, trust, commitment),
        Err(HandshakeError::Certificate(CertificateError::Realm { expected: trust.realm_id(), got: elsewhere }))
    );
}

#[test]
fn a_reject_is_understood_as_the_hint_that_it_is() {
    let world = World::new();
    let reject = Reject { code: RejectCode::Busy, retry_after_s: 7 };
    let (_, client) = world.start(Channel::Rdv, &world.client_entropy());
    let error = world::take_answer(client, &reject.encode(at(5))).err();
    assert_eq!(error, Some(HandshakeError::Rejected(reject)));
    let mut late = reject.encode(at(5));
    late[4] = 1;
    let (_, client) = world.start(Channel::Rdv, &world.client_entropy());
    assert!(matches!(world::take_answer(client, &late), Err(HandshakeError::Malformed(_))));
}

#[test]
fn a_session_lasts_a_day_at_most() {
    let world = World::new();
    let (m1, client) = world.start(Channel::S2s, &world.client_entropy());
    let (m2, host) = world.respond(Channel::S2s, &m1).unwrap();
    let (m3, _) = world::take_answer(client, &m2).unwrap();
    let (header, payload) = split(&m3);
    let expected = host.check_header(header).unwrap();
    let ClaimedCredential::Certificate(claim) = host.handle_finish(expected, &mut payload.to_vec(), at(12)).unwrap() else {
        panic!("S2S reveals a certificate")
    };
    let (_, ready) = claim.verify(&world.trust, &world.secret.commitment(), at(12)).unwrap();
    let forever = SessionParams { expires_at: UnixMillis(u64::MAX), ..world::params() };
    let (_, established) = ready.finish(forever, None, at(12));
    assert_eq!(established.session().params().expires_at, at(12 + SESSION_MS_MAX));
}

#[test]
fn a_payload_that_is_not_the_announced_one_is_our_own_fault() {
    let world = World::new();
    let (_, _, [m1, ..]) = world.connect(Channel::S2s);
    let (header, payload) = split(&m1);
    let state = world.await_hello(Channel::S2s);
    let expected = state.check_header(header).unwrap();
    let error = state.handle_hello(expected, &payload[1..]).err();
    assert_eq!(error, Some(HandshakeError::Frame(FrameError::WrongPayload)));
}
