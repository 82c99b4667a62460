//! The figures that the specification publishes; four implementations agree on them.
#![allow(clippy::unwrap_used)]

mod world;

use protocol::message::{Channel, MsgType};
use protocol::reaction::CloseCode;
use protocol::record::{Close, Opened, Opener};
use sha2::{Digest, Sha256};
use world::{World, at, hex, split};

fn digest(frame: &[u8]) -> String {
    hex(&Sha256::digest(frame))
}

fn open_all(opener: &mut Opener, frames: &[&[u8]]) -> usize {
    for frame in frames {
        let (header, payload) = split(frame);
        let expected = opener.check_header(header).unwrap();
        opener.open(expected, &mut payload.to_vec(), at(400)).unwrap();
    }
    frames.len()
}

#[test]
fn the_s2s_handshake_and_its_records_match_the_published_digests() {
    let world = World::new();
    let (server, client, frames) = world.connect(Channel::S2s);
    for (name, frame, len, expected) in [
        ("M1", &frames[0], 163, "18b80aa9e16f532690dd39f8a4b508802057f22f83728071b8d6b46495b37756"),
        ("M2", &frames[1], 340, "187f344aa19af6942aacdc280abdaacec785e638e818caf9c2cf0e777f890c50"),
        ("M3", &frames[2], 387, "268f49918abe0bf8158708fe31694f3cba555ea3b18281e01538fc02b84ee1e5"),
        ("M4", &frames[3], 129, "5975ce531cfde127815a5dc0a3145a548a870c5c8ae907798f2a3c3a889e2dc7"),
    ] {
        assert_eq!((frame.len(), digest(frame).as_str()), (len, expected), "{name}");
    }
    let (session, mut host_sealer, mut host_opener) = server.split();
    let (client_session, mut sealer, mut opener) = client.established.split();
    assert_eq!(hex(&session.session_id().0), "f6f35a9ce4ab14b8096f3dd99dd234db");
    assert_eq!(session.session_id(), client_session.session_id());
    assert_eq!(hex(session.exporter()), "8815345dca19706c21c548354f8e0df4f59b254951fe68e3e1a6e26118ea35bd");
    assert_eq!(session.exporter(), client_session.exporter());
    assert_eq!(session.params(), world::params());

    let mut sent = [const { Vec::new() }; 5];
    let [first, update, second, allow, close] = &mut sent;
    sealer.seal(MsgType::Heartbeat, b"heartbeat", at(100), first).unwrap();
    sealer.key_update(false, at(150), update);
    sealer.seal(MsgType::Heartbeat, b"heartbeat", at(200), second).unwrap();
    host_sealer.seal(MsgType::AllowPlayers, b"allow", at(101), allow).unwrap();
    let words = Close { frames_accepted: 3, ..Close::new(CloseCode::Normal) };
    host_sealer.close(words, at(300), close);
    for (name, frame, len, expected) in [
        ("heartbeat", &*first, 82, "f91dd26c1214a0a77cd91b0d6321a3f7e558f57dd25d4f56bddc83f2b9f06fcd"),
        ("key update", update, 74, "32f5f31dc38d4065d1e2461f10426f2d5b5eca95bc70cc0713c4d9adb822dcc9"),
        ("heartbeat after it", second, 82, "ea7387e250a4ef60ca2c5c427092a3b5287238bc4a11882547d5d160e3113aa5"),
        ("allow", allow, 78, "7efdc789e9dc6c4dff155c84b0335481df91d0bb1b2cd275ecec6af80f61c4a2"),
        ("close", close, 88, "9ddf0c1fd6df49532a6fc4dc3fe19cf9f2f978cb72e27fad1106dfb8bfbf418b"),
    ] {
        assert_eq!((frame.len(), digest(frame).as_str()), (len, expected), "{name}");
    }
    assert_eq!(open_all(&mut host_opener, &[first, update, second]), 3);
    assert_eq!(host_opener.frames_accepted(), 3);
    open_all(&mut opener, &[allow]);
    let (header, payload) = split(close);
    let expected = opener.check_header(header).unwrap();
    assert_eq!(opener.open(expected, &mut payload.to_vec(), at(301)), Ok(Opened::Close(words)));
}

#[test]
fn the_rdv_handshake_matches_the_published_digests() {
    let world = World::new();
    assert_eq!(hex(world.host_auth_key(Channel::Rdv).expose()), "4a218d270d39b6ba7de035d1822c1209956f7429f62e301b294504b22777828a");
    let (server, client, frames) = world.connect(Channel::Rdv);
    for (name, frame, len, expected) in [
        ("M1", &frames[0], 163, "21793cb0ab8265587517345ca09688f6e291eea32aaa8040b9c42948ca9555af"),
        ("M2", &frames[1], 340, "5a4a5b0fbdc9b20daa80b13b07735d7c89ec78190bc6f78051c9c201b80a83f4"),
        ("M3", &frames[2], 158, "c16308d3bb0dbef20b16a74a3c05462d34aac86e813aaa35a6c4861e933030d1"),
        ("M4", &frames[3], 177, "b287216b0ab75125fa0cf470712006a92298f1b7091bde1dc9fb7adab62d0d41"),
    ] {
        assert_eq!((frame.len(), digest(frame).as_str()), (len, expected), "{name}");
    }
    assert_eq!(hex(&server.session().session_id().0), "eb41cba06d889124fb385ea74d7be0be");
    assert!(client.next_ticket.is_some_and(|ticket| ticket.matches(world.next_ticket.expose())));
}
