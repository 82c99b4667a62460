//! Before there is a session: strangers, replays, impostors, and the limits that come before any cryptography.

use client::connection::{self, ConnectError};
use client::provision::GameServerKeys;
use host::metrics::{AdmissionLabels, AdmissionResult, Channel, HandshakeLabels, HandshakeResult};
use protocol::frame::HEADER_LEN;
use protocol::handshake::client::{Credential, start};
use protocol::handshake::{Entropy, HandshakeError, Transport};
use protocol::message::{MsgType, v1};
use protocol::secret::LoginTicket;
use tests::by_hand::Impostor;
use tests::raw::{RawPeer, dial, read_frame, read_to_end};
use tests::world::{OWNERS, Plan, World};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

fn credential(keys: &GameServerKeys) -> Credential<'_> {
    Credential::Certificate { certificate: &keys.certificate, auth_key: &keys.auth_key, node_key: &keys.node_key }
}

fn handshakes(world: &World, channel: Channel, result: HandshakeResult) -> u64 {
    world.host().metrics().handshakes.get_or_create(&HandshakeLabels { channel, result }).get()
}

/// Goal: the host is not there for those whom it does not know. Method: noise, other protocols, and well-formed hellos of unknown identities,
/// on both channels; each from an address of its own, so that none is turned away for the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_no_byte() {
    let world = World::start().await;
    let (trust, now) = (world.trust(), world.clock().now());
    let unknown_ticket = LoginTicket::from_bytes([7; 48]);
    let entropy = Entropy::from_bytes(&client::clock::random());
    let (unknown, _) = start(Transport::Tcp, &trust, Credential::LoginTicket(&unknown_ticket), &entropy, now);
    let other_community = World::start().await;
    let foreign_keys = other_community.keys(OWNERS[0]);
    let (foreign, _) = start(Transport::Tcp, &trust, credential(&foreign_keys), &entropy, now);
    let known_keys = world.keys(OWNERS[0]);
    let (mut damaged, _) = start(Transport::Tcp, &trust, credential(&known_keys), &entropy, now);
    *damaged.last_mut().unwrap() ^= 1;
    let strangers: [(&str, &[u8]); 7] = [
        ("zeros", &[0; 200]),
        ("noise", &[0xa5; 200]),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: play.example\r\nAccept: */*\r\nUser-Agent: probe\r\n\r\n"),
        ("TLS", &[&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &[0x42; 120]].concat()),
        ("an unknown login ticket", &unknown),
        ("another community's certificate", &foreign),
        ("a known certificate with a wrong hmac", &damaged),
    ];
    let mut last = 20;
    for (name, bytes) in strangers {
        for host in [world.host().s2s_addr(), world.host().rdv_addr()] {
            last += 1;
            let mut stream = dial(host, last).await.unwrap();
            // The host may have closed before all of it was written.
            stream.write_all(bytes).await.ok();
            assert_eq!(read_to_end(&mut stream).await, b"", "{name}");
        }
    }
    for channel in [Channel::S2s, Channel::Rdv] {
        assert_eq!(handshakes(&world, channel, HandshakeResult::Established), 0);
    }
}

/// Goal: floods cost the host nothing but accepts. Method: thirty bad attempts use up an address's minute; the next one is a valid hello, and
/// no handshake begins. Other addresses are served.
#[tokio::test(flavor = "multi_thread")]
async fn the_rate_limit_is_spent_before_any_cryptography() {
    let mut plan = Plan::default();
    // Penalties would come first: this is about the limit alone.
    (plan.host.limits.failed_hello_penalty_ms, plan.host.limits.deadline_penalty_ms) = (0, 0);
    let world = World::start_with(plan).await;
    let (keys, trust, host) = (world.keys(OWNERS[0]), world.trust(), world.host().s2s_addr());
    for _ in 0..30 {
        let mut stream = dial(host, 2).await.unwrap();
        stream.write_all(&[0; HEADER_LEN]).await.unwrap();
        assert_eq!(read_to_end(&mut stream).await, b"");
    }
    let begun = || {
        [HandshakeResult::Malformed, HandshakeResult::Refused, HandshakeResult::Established].map(|r| handshakes(&world, Channel::S2s, r))
    };
    assert_eq!(begun(), [30, 0, 0]);

    let mut stream = dial(host, 2).await.unwrap();
    let entropy = Entropy::from_bytes(&client::clock::random());
    let (hello, _) = start(Transport::Tcp, &trust, credential(&keys), &entropy, world.clock().now());
    stream.write_all(&hello).await.ok();
    let hint = read_to_end(&mut stream).await;
    assert!(hint.is_empty() || (hint.len() == HEADER_LEN + 3 && hint[48] == MsgType::Reject.to_wire()), "at most a hint when to come back");
    assert_eq!(begun(), [30, 0, 0], "no handshake began");
    let limited = AdmissionLabels { channel: Channel::S2s, result: AdmissionResult::RateLimited };
    assert_eq!(world.host().metrics().admissions.get_or_create(&limited).get(), 1);
    assert_eq!(world.host().metrics().half_open.get_or_create(&host::metrics::ByChannel { channel: Channel::S2s }).get(), 0);
    RawPeer::connect(host, 3, &trust, credential(&keys), world.clock()).await.expect("another address");
}

/// Goal: a handshake that was listened to opens nothing. Method: the same M1 again, and the same M3 behind a fresh M1.
#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_handshake_is_refused() {
    let world = World::start().await;
    let (keys, trust, host) = (world.keys(OWNERS[0]), world.trust(), world.host().s2s_addr());
    let mut live = RawPeer::connect(host, 1, &trust, credential(&keys), world.clock()).await.unwrap();
    let [m1, m3] = live.handshake.clone();

    let mut stream = dial(host, 2).await.unwrap();
    stream.write_all(&m1).await.unwrap();
    assert_eq!(read_to_end(&mut stream).await, b"", "M1 again");

    let mut stream = dial(host, 3).await.unwrap();
    let entropy = Entropy::from_bytes(&client::clock::random());
    let (fresh, _) = start(Transport::Tcp, &trust, credential(&keys), &entropy, world.clock().now());
    stream.write_all(&fresh).await.unwrap();
    read_frame(&mut stream).await.expect("M2");
    stream.write_all(&m3).await.unwrap();
    assert_eq!(read_to_end(&mut stream).await, b"", "M3 of another handshake");

    assert_eq!(handshakes(&world, Channel::S2s, HandshakeResult::Established), 1);
    live.say(&v1::Heartbeat::default()).await.unwrap();
    live.until(MsgType::HeartbeatAck).await.expect("the live session was not touched");
}

/// Goal: a game server speaks with its own host only. Method: three impostors, each of whom lacks one thing: the auth key, freshness, the
/// channel key. The client tells none of them anything but its hello.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_the_auth_key_is_refused_by_the_client() {
    let world = World::start().await;
    let (keys, trust) = (world.keys(OWNERS[0]), world.trust());
    let keyring = world.open_keyring();
    let identity = keyring.identity();
    let channel_certificate = identity.channel_certificate.encoded();
    let listened_to = {
        let mut stream = dial(world.host().s2s_addr(), 2).await.unwrap();
        let entropy = Entropy::from_bytes(&client::clock::random());
        let (hello, _) = start(Transport::Tcp, &trust, credential(&keys), &entropy, world.clock().now());
        stream.write_all(&hello).await.unwrap();
        read_frame(&mut stream).await.expect("M2")
    };
    let no_auth_key = Impostor { channel_seed: identity.channel_key.expose(), channel_certificate, auth_key: &[7; 32] };
    let no_channel_key = Impostor { channel_seed: &[7; 32], channel_certificate, auth_key: keys.auth_key.expose() };
    let everything = Impostor { channel_seed: identity.channel_key.expose(), channel_certificate, auth_key: keys.auth_key.expose() };
    let random = || [client::clock::random(), client::clock::random()];
    type Answer<'a> = Box<dyn Fn(&[u8]) -> Vec<u8> + 'a>;
    let impostors: [(&str, Answer<'_>, bool); 4] = [
        ("without the auth key", Box::new(|m1| no_auth_key.answer(m1, random(), world.clock().now())), false),
        ("with an answer that was listened to", Box::new(|_| listened_to.clone()), false),
        ("without the channel key", Box::new(|m1| no_channel_key.answer(m1, random(), world.clock().now())), false),
        ("with everything, to prove the method", Box::new(|m1| everything.answer(m1, random(), world.clock().now())), true),
    ];
    for (name, answer, goes_on) in impostors {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let impostor = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let m1 = read_frame(&mut stream).await.unwrap();
            stream.write_all(&answer(&m1)).await.unwrap();
            let m3 = if goes_on { read_frame(&mut stream).await } else { None };
            (m3.is_some(), if goes_on { Vec::new() } else { read_to_end(&mut stream).await })
        };
        let (connected, (has_m3, rest)) = tokio::join!(connection::connect(&address, &trust, credential(&keys)), impostor);
        assert_eq!((has_m3, rest.as_slice()), (goes_on, &b""[..]), "{name}");
        match connected {
            Err(ConnectError::Handshake(why)) => {
                assert!(!goes_on && !matches!(why, HandshakeError::Rejected(_)), "{name}: {why:?}");
            }
            // Nobody answers its M3 with an M4.
            Err(ConnectError::Io(_)) => assert!(goes_on, "{name}"),
            _ => panic!("{name}: believed"),
        }
    }
}
