//! Inside a session: whatever is not exactly the next authentic record ends it, and changes nothing.

use client::provision::GameServerKeys;
use host::clock::Clock;
use host::metrics::{ByChannel, Channel};
use ladder::id::MatchId;
use ladder::time::UnixMillis;
use protocol::frame::{CLOCK_SKEW_MS_MAX, HEADER_LEN};
use protocol::handshake::client::Credential;
use protocol::message::{MsgType, ToGameServer, v1};
use protocol::reaction::CloseCode;
use protocol::record::KEY_UPDATES_MAX;
use tests::raw::{Heard, RawPeer, read_frame};
use tests::world::{OWNERS, Plan, World, eventually, report};

fn beat() -> v1::Heartbeat {
    v1::Heartbeat { capacity: 1, region: "eu".to_owned(), address: "127.0.0.1:7800".to_owned(), ..v1::Heartbeat::default() }
}

async fn connect(world: &World, keys: &GameServerKeys) -> RawPeer {
    let credential = Credential::Certificate { certificate: &keys.certificate, auth_key: &keys.auth_key, node_key: &keys.node_key };
    let mut peer = RawPeer::connect(world.host().s2s_addr(), 1, &world.trust(), credential, world.clock()).await.unwrap();
    peer.say(&beat()).await.unwrap();
    peer.until(MsgType::HeartbeatAck).await.unwrap();
    peer
}

/// Goal: nothing counts twice. Method: an accepted record again, byte for byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_frame_ends_the_session() {
    let world = World::start().await;
    let mut peer = connect(&world, &world.keys(OWNERS[0])).await;
    let frame = peer.seal(&beat());
    peer.send(&frame).await.unwrap();
    peer.until(MsgType::HeartbeatAck).await.unwrap();
    peer.send(&frame).await.unwrap();
    assert_eq!(peer.hear().await.unwrap(), Heard::End, "and not a byte about why");
}

/// Goal: no gap and no swap goes unnoticed. Method: the next but one record instead of the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_frame_ends_the_session() {
    let world = World::start().await;
    let mut peer = connect(&world, &world.keys(OWNERS[0])).await;
    peer.seal(&beat());
    let next_but_one = peer.seal(&beat());
    peer.send(&next_but_one).await.unwrap();
    assert_eq!(peer.hear().await.unwrap(), Heard::End);
}

/// Goal: a record that was held back is worthless. Method: records exactly as old as permitted, then one millisecond older; and one from the
/// future.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_timestamp_ends_the_session() {
    let clock = Clock::standing_at(client::clock::now());
    let world = World::start_with(Plan { clock, ..Plan::default() }).await;
    let keys = world.keys(OWNERS[0]);
    let sealed_at = world.clock().now();
    let mut peer = connect(&world, &keys).await;
    world.clock().set(UnixMillis(sealed_at.0 + CLOCK_SKEW_MS_MAX));
    let frame = peer.seal_at(&beat(), sealed_at);
    peer.send(&frame).await.unwrap();
    peer.until(MsgType::HeartbeatAck).await.expect("within two minutes");
    world.clock().set(UnixMillis(sealed_at.0 + CLOCK_SKEW_MS_MAX + 1));
    let frame = peer.seal_at(&beat(), sealed_at);
    peer.send(&frame).await.unwrap();
    assert_eq!(peer.end().await.unwrap(), Some(CloseCode::Protocol), "held back");

    let mut peer = connect(&world, &keys).await;
    let frame = peer.seal_at(&beat(), UnixMillis(world.clock().now().0 + CLOCK_SKEW_MS_MAX + 1));
    peer.send(&frame).await.unwrap();
    assert_eq!(peer.end().await.unwrap(), Some(CloseCode::Protocol), "from the future");
}

/// Goal: not a bit can be changed on the way. Method: a bit of the hmac, of the timestamp, of the ciphertext, of the tag.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_tag_ends_the_session() {
    let world = World::start().await;
    let keys = world.keys(OWNERS[0]);
    let len = HEADER_LEN + 16;
    for (name, at) in [("hmac", 4), ("timestamp", 56), ("ciphertext", HEADER_LEN), ("tag", len)] {
        let mut peer = connect(&world, &keys).await;
        let mut frame = peer.seal(&beat());
        let at = if name == "tag" { frame.len() - 1 } else { at };
        frame[at] ^= 0x10;
        peer.send(&frame).await.unwrap();
        assert_eq!(peer.hear().await.unwrap(), Heard::End, "{name}");
    }
}

/// Goal: half a report is no report. Method: all but the last byte of one, then the connection is cut; the whole one counts later.
#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_frame_changes_nothing() {
    let world = World::start().await;
    let keys = world.keys(OWNERS[0]);
    let mut peer = connect(&world, &keys).await;
    let mut players = world.waiting_pair().await;
    let allow = peer.until(MsgType::AllowPlayers).await.unwrap();
    let ToGameServer::AllowPlayers(allow) = ToGameServer::decode(MsgType::AllowPlayers, &allow).unwrap() else { panic!("an allowlist") };
    peer.say(&v1::AllowlistAck { match_id: allow.match_id, accepted: true, reason: String::new() }).await.unwrap();
    for player in &mut players {
        player.assignment().await;
    }
    let frame = peer.seal(&report(&allow, 1));
    peer.send(&frame[..frame.len() - 1]).await.unwrap();
    drop(peer);
    let truncated = || world.host().metrics().sessions_truncated.get_or_create(&ByChannel { channel: Channel::S2s }).get();
    eventually("the cut is noticed", async || truncated() == 1).await;
    assert_eq!(world.match_page(MatchId(allow.match_id)).await["state"], "admitted");
    assert_eq!(world.leaderboard().await.len(), 0);

    let mut peer = connect(&world, &keys).await;
    peer.say(&report(&allow, 1)).await.unwrap();
    peer.until(MsgType::ReportAck).await.unwrap();
    assert_eq!(world.leaderboard().await.len(), 2);
}

/// Goal: a length is refused, not waited for and not allocated. Method: headers that announce too much, with nothing behind them: the host
/// closes although the payload never came.
#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_frame_is_refused_before_it_is_read() {
    let world = World::start().await;
    let keys = world.keys(OWNERS[0]);
    for announced in [2_049_u32, 65_537, u32::MAX] {
        let mut peer = connect(&world, &keys).await;
        let mut header = peer.seal(&beat());
        header.truncate(HEADER_LEN);
        header[..4].copy_from_slice(&announced.to_be_bytes());
        peer.send(&header).await.unwrap();
        assert_eq!(peer.hear().await.unwrap(), Heard::End, "{announced}");
    }
    let mut stranger = tests::raw::dial(world.host().s2s_addr(), 2).await.unwrap();
    let mut hello = [0; HEADER_LEN];
    hello[..4].copy_from_slice(&2_049_u32.to_be_bytes());
    hello[48] = MsgType::ClientHello.to_wire();
    tokio::io::AsyncWriteExt::write_all(&mut stranger, &hello).await.unwrap();
    assert_eq!(tests::raw::read_to_end(&mut stranger).await, b"", "before anybody is known, too");
}

/// Goal: an authentic peer cannot confuse the host. Method: bytes that are no message, sealed as they should be.
#[tokio::test(flavor = "multi_thread")]
async fn an_authentic_record_that_is_no_message_ends_the_session() {
    let world = World::start().await;
    let mut peer = connect(&world, &world.keys(OWNERS[0])).await;
    let mut frame = Vec::new();
    peer.sealer.seal(MsgType::Heartbeat, &[0xff; 40], world.clock().now(), &mut frame).unwrap();
    peer.send(&frame).await.unwrap();
    assert_eq!(peer.end().await.unwrap(), Some(CloseCode::Protocol));
}

/// Goal: the host's own words cannot be turned against it. Method: send back the record that it just sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_reflected_frame_ends_the_session() {
    let world = World::start().await;
    let mut peer = connect(&world, &world.keys(OWNERS[0])).await;
    peer.say(&beat()).await.unwrap();
    let mut own_words = read_frame(&mut peer.stream).await.unwrap();
    peer.send(&own_words).await.unwrap();
    assert_eq!(peer.hear().await.unwrap(), Heard::End, "as it is");

    let mut peer = connect(&world, &world.keys(OWNERS[0])).await;
    // Under a type that this direction carries, with the next sequence number: the keys of the directions differ.
    own_words[48] = MsgType::Heartbeat.to_wire();
    own_words[40..48].copy_from_slice(&1_u64.to_be_bytes());
    peer.send(&own_words).await.unwrap();
    assert_eq!(peer.hear().await.unwrap(), Heard::End, "dressed up");
}

/// Goal: keys change without a word getting lost, and nobody makes the host work by changing them. Method: key updates with requests between
/// heartbeats, until there is one too many within a minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_after_a_key_update_and_ends_after_too_many() {
    let world = World::start().await;
    let mut peer = connect(&world, &world.keys(OWNERS[0])).await;
    for _ in 0..KEY_UPDATES_MAX {
        let mut frames = Vec::new();
        peer.sealer.key_update(true, world.clock().now(), &mut frames);
        frames.extend(peer.seal(&beat()));
        peer.send(&frames).await.unwrap();
        assert_eq!(peer.hear().await.unwrap(), Heard::KeyUpdate, "the host's own direction");
        peer.until(MsgType::HeartbeatAck).await.unwrap();
    }
    let mut frame = Vec::new();
    peer.sealer.key_update(false, world.clock().now(), &mut frame);
    peer.send(&frame).await.unwrap();
    assert_eq!(peer.end().await.unwrap(), Some(CloseCode::Protocol));
}
