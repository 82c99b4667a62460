//! What must hold for every input: nothing panics, nothing altered is taken, nothing is taken twice.
#![allow(clippy::unwrap_used)]

mod world;

use ladder::id::ServerId;
use ladder::time::UnixMillis;
use proptest::prelude::*;
use protocol::certificate::{Certificate, CertificateFields, Scope};
use protocol::envelope::{CertificateFile, PepperFile};
use protocol::frame::{FrameError, HEADER_LEN, Header};
use protocol::id::{KeyEpoch, PepperId, RealmId};
use protocol::message::{Channel, FromGameServer, FromPlayer, MsgType, PAYLOAD_LEN_MAX};
use protocol::record::{Opened, Opener, Sealer};
use protocol::secret::CertificateSecret;
use protocol::signature::{NodeKey, PublicKey, SigningKey};
use world::{World, at, random, split};

fn client_to_host() -> (Sealer, Opener) {
    let (server, client, _) = World::new().connect(Channel::S2s);
    (client.established.split().1, server.split().2)
}

fn open(opener: &mut Opener, frame: &[u8]) -> Result<Vec<u8>, FrameError> {
    let (header, payload) = split(frame);
    let expected = opener.check_header(header)?;
    let mut payload = payload.to_vec();
    match opener.open(expected, &mut payload, at(200))? {
        Opened::Message { plaintext, .. } => Ok(plaintext.to_vec()),
        Opened::KeyUpdate { .. } | Opened::Close(_) => Ok(Vec::new()),
    }
}

/// Every frame that differs from `frame` in one bit.
fn flipped(frame: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..frame.len() * 8).map(move |bit| {
        let mut flipped = frame.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

#[test]
fn every_flipped_bit_of_a_handshake_is_refused() {
    let world = World::new();
    for channel in [Channel::S2s, Channel::Rdv] {
        let (_, _, [m1, m2, m3, m4]) = world.connect(channel);
        for flipped in flipped(&m1) {
            assert!(world.respond(channel, &flipped).is_err());
        }
        for flipped in flipped(&m2) {
            let (_, client) = world.start(channel, &world.client_entropy());
            assert!(world::take_answer(client, &flipped).is_err());
        }
        for flipped in flipped(&m3) {
            let (_, host) = world.respond(channel, &m1).unwrap();
            assert!(world.finish(host, &flipped).is_err());
        }
        for flipped in flipped(&m4) {
            let (_, client) = world.start(channel, &world.client_entropy());
            let (_, client) = world::take_answer(client, &m2).unwrap();
            assert!(world::take_finish(client, &flipped).is_err());
        }
    }
}

#[test]
fn every_flipped_bit_of_a_record_is_refused_and_ends_the_direction() {
    let (mut sealer, _) = client_to_host();
    let mut frame = Vec::new();
    sealer.seal(MsgType::Heartbeat, b"heartbeat", at(100), &mut frame).unwrap();
    for flipped in flipped(&frame) {
        let (_, mut opener) = client_to_host();
        assert!(open(&mut opener, &flipped).is_err());
        // Refused at the header: nothing was read. Refused later: the direction is dead, even for the right frame.
        let (_, fresh) = client_to_host();
        let read = fresh.check_header(split(&flipped).0).is_ok();
        let dead = matches!(opener.check_header(split(&frame).0), Err(FrameError::Ended));
        assert_eq!(read, dead);
    }
}

#[test]
fn a_record_is_taken_once_in_order_and_by_the_other_end_only() {
    let (server, client, _) = World::new().connect(Channel::S2s);
    let (_, mut sealer, mut client_opener) = client.established.split();
    let (_, _, mut opener) = server.split();
    let mut frames = [const { Vec::new() }; 3];
    for (frame, content) in frames.iter_mut().zip([b"0", b"1", b"2"]) {
        sealer.seal(MsgType::Heartbeat, content, at(100), frame).unwrap();
    }
    let [first, second, third] = &frames;
    assert_eq!(open(&mut client_opener, first), Err(FrameError::UnexpectedType { msg_type: 0x10 }), "reflected");
    assert_eq!(open(&mut opener, second), Err(FrameError::OutOfSequence { expected: (2, 0), got: (2, 1) }), "reordered");
    assert_eq!(open(&mut opener, first), Ok(b"0".to_vec()));
    assert_eq!(open(&mut opener, first), Err(FrameError::OutOfSequence { expected: (2, 1), got: (2, 0) }), "replayed");
    assert_eq!(open(&mut opener, third), Err(FrameError::OutOfSequence { expected: (2, 1), got: (2, 2) }), "dropped");
    assert_eq!(open(&mut opener, second), Ok(b"1".to_vec()));
    let (_, mut elsewhere) = client_to_host();
    open(&mut elsewhere, first).unwrap();
}

#[test]
fn two_sessions_of_one_certificate_share_no_key() {
    let world = World::new();
    let (one, _, frames) = world.connect(Channel::S2s);
    let entropy = protocol::handshake::Entropy::new(random("other"), random("another"));
    let (m1, client) = world.start(Channel::S2s, &entropy);
    let (m2, host) = world.respond(Channel::S2s, &m1).unwrap();
    let (m3, client) = world::take_answer(client, &m2).unwrap();
    let (m4, two) = world.finish(host, &m3).unwrap();
    let client = world::take_finish(client, &m4).unwrap().established;
    assert_ne!(one.session().session_id(), two.session().session_id());
    assert_ne!(one.session().exporter(), two.session().exporter());
    assert!(frames.iter().zip([m1, m2, m3, m4]).all(|(one, two)| *one != two));
    let mut frame = Vec::new();
    client.split().1.seal(MsgType::Heartbeat, b"", at(100), &mut frame).unwrap();
    assert_eq!(open(&mut one.split().2, &frame), Err(FrameError::NotAuthentic));
}

#[test]
fn an_oversized_length_is_refused_at_the_header() {
    let world = World::new();
    let (_, _, [m1, ..]) = world.connect(Channel::S2s);
    let (_, opener) = client_to_host();
    let mut header = Header::parse(split(&m1).0);
    for (announced, fine) in [(2048, true), (2049, false), (u32::MAX, false)] {
        header.payload_len = announced;
        let checked = world.await_hello(Channel::S2s).check_header(&header.encode());
        assert_eq!(checked.is_ok(), fine);
    }
    for msg_type in MsgType::ALL.iter().filter(|msg_type| (0x10..0x20).contains(&msg_type.to_wire())) {
        for (over, fine) in [(0, true), (1, false)] {
            let header = Header {
                payload_len: u32::try_from(msg_type.payload_len_max()).unwrap() + over,
                epoch: 2,
                msg_type: msg_type.to_wire(),
                ..header
            };
            assert_eq!(opener.check_header(&header.encode()).is_ok(), fine, "{msg_type:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_header_survives_parsing(bytes in proptest::array::uniform32(any::<u8>()), rest in proptest::array::uniform25(any::<u8>())) {
        let bytes: [u8; HEADER_LEN] = [&bytes[..], &rest].concat().try_into().unwrap();
        prop_assert_eq!(Header::parse(&bytes).encode(), bytes);
    }

    #[test]
    fn what_is_sealed_is_what_is_opened(
        contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 1..8),
        updates in proptest::collection::vec(any::<bool>(), 8),
    ) {
        let (mut sealer, mut opener) = client_to_host();
        for (index, (content, update)) in contents.iter().zip(updates).enumerate() {
            let mut frame = Vec::new();
            if update && index < 4 {
                sealer.key_update(false, at(100), &mut frame);
                open(&mut opener, &frame)?;
                frame.clear();
            }
            sealer.seal(MsgType::MatchReport, content, at(100), &mut frame)?;
            prop_assert_eq!(&open(&mut opener, &frame)?, content);
        }
    }

    #[test]
    fn a_certificate_survives_its_encoding_and_verifies(
        ids in any::<([u8; 16], [u8; 16], [u8; 32], [u8; 32])>(), key_epoch: u32, issued_at: u64, not_before in 0..u64::MAX,
        scope in 0u16..16, owner in "\\PC{1,16}",
    ) {
        let key = SigningKey::from_seed(KeyEpoch(key_epoch), &random("root"));
        let fields = CertificateFields {
            realm_id: RealmId(ids.0),
            server_id: ServerId(ids.1),
            issued_at: UnixMillis(issued_at),
            not_before: UnixMillis(not_before),
            not_after: UnixMillis(u64::MAX),
            secret_commitment: ids.2,
            node_key: PublicKey(ids.3),
            scope: Scope::from_bits(scope).unwrap(),
            owner,
        };
        let certificate = Certificate::issue(fields.clone(), &key)?;
        let parsed = Certificate::parse(certificate.encoded())?;
        prop_assert_eq!(&parsed, &certificate);
        prop_assert_eq!(parsed.fields(), &fields);
        let trust = protocol::trust::TrustAnchors::new(fields.realm_id).with_key(KeyEpoch(key_epoch), key.public_key());
        prop_assert!(parsed.verify(&trust, UnixMillis(not_before)).is_ok());
        for len in 0..certificate.encoded().len() {
            prop_assert!(Certificate::parse(&certificate.encoded()[..len]).is_err());
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..700), types in any::<u8>()) {
        let certificate = [b"RSC2\x02\x01\x02\x00".as_slice(), &bytes].concat();
        prop_assert!(Certificate::parse(&bytes).is_err());
        prop_assert!(Certificate::parse(&certificate).is_err() || certificate.len() >= 134);
        if let Some(msg_type) = MsgType::from_wire(types) {
            // Protobuf takes many byte strings; the point is that it returns.
            let decoded = (FromGameServer::decode(msg_type, &bytes).is_ok(), FromPlayer::decode(msg_type, &bytes).is_ok());
            prop_assert!(decoded != (true, true));
        }
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(CertificateFile::parse(&text).is_err());
        prop_assert!(PepperFile::parse(&text).is_err());
        if let Some((header, payload)) = bytes.split_first_chunk::<HEADER_LEN>() {
            let world = World::new();
            let state = world.await_hello(Channel::S2s);
            if let Ok(expected) = state.check_header(header) {
                prop_assert!(state.handle_hello(expected, payload).is_err());
            }
        }
        prop_assert!(bytes.len() <= PAYLOAD_LEN_MAX);
    }
}

#[test]
fn a_certificate_file_survives_its_text_with_and_without_a_node_key() {
    let world = World::new();
    for node_key in [None, Some(NodeKey::from_seed(&random("node")))] {
        let has_key = node_key.is_some();
        let file = CertificateFile {
            certificate: world.certificate.clone(),
            secret: CertificateSecret::from_bytes(random("cert_secret")),
            pepper_id: PepperId(1),
            node_key,
        };
        let parsed = CertificateFile::parse(&file.encode()).unwrap();
        assert_eq!(parsed.certificate, world.certificate);
        assert!(parsed.secret.matches(&random("cert_secret")));
        assert_eq!(parsed.node_key.map(|key| *key.expose()), has_key.then(|| random("node")));
    }
}
