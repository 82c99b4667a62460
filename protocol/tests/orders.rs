//! Every order of up to five frames, on both ends: only the right one reaches a session, and only its records are taken.
//!
//! The types make most orders impossible to write; these tests play the shell, which reads whatever the peer sends. A connection that refused
//! a frame is gone (the states are consumed), so that only sequences without a refusal need to be extended.
#![allow(clippy::unwrap_used)]

mod world;

use protocol::handshake::client::{AwaitServerFinish, AwaitServerHello};
use protocol::handshake::server::{AwaitFinish, AwaitHello};
use protocol::handshake::{Entropy, Reject};
use protocol::message::{Channel, MsgType};
use protocol::reaction::{CloseCode, RejectCode};
use protocol::record::{Close, Opener, Sealer};
use world::{World, at, random, split};

const LEN_MAX: usize = 5;

type Frames = Vec<(&'static str, Vec<u8>)>;

/// The host's end of a connection.
enum Host {
    Waits(AwaitHello),
    Answered(AwaitFinish),
    Session(Opener),
}

impl Host {
    fn feed(self, world: &World, channel: Channel, frame: &[u8]) -> Option<Self> {
        match self {
            Self::Waits(state) => {
                let hello = world.verify_hello(channel, state, frame, at(5)).ok()?;
                let (_, state) = hello.respond(&world.host, &Entropy::new(random("schal"), random("es")), at(5)).ok()?;
                Some(Self::Answered(state))
            }
            Self::Answered(state) => Some(Self::Session(world.finish(state, frame).ok()?.1.split().2)),
            Self::Session(mut opener) => open(&mut opener, frame).then_some(Self::Session(opener)),
        }
    }
}

/// The client's end of a connection.
enum Client<'a> {
    Waits(AwaitServerHello<'a>),
    Proved(AwaitServerFinish),
    Session(Opener),
}

impl Client<'_> {
    fn feed(self, frame: &[u8]) -> Option<Self> {
        match self {
            Self::Waits(state) => Some(Self::Proved(world::take_answer(state, frame).ok()?.1)),
            Self::Proved(state) => Some(Self::Session(world::take_finish(state, frame).ok()?.established.split().2)),
            Self::Session(mut opener) => open(&mut opener, frame).then_some(Self::Session(opener)),
        }
    }
}

fn open(opener: &mut Opener, frame: &[u8]) -> bool {
    let (header, payload) = split(frame);
    let mut payload = payload.to_vec();
    opener.check_header(header).is_ok_and(|expected| opener.open(expected, &mut payload, at(500)).is_ok())
}

/// Records of one direction, each from the beginning of a session, named by their place in it.
fn records(mut sealers: impl FnMut() -> Sealer, msg_type: MsgType) -> Frames {
    let sealed = |sealer: &mut Sealer| {
        let mut out = Vec::new();
        sealer.seal(msg_type, b"", at(100), &mut out).unwrap();
        out
    };
    let closed = |sealer: Sealer| {
        let mut out = Vec::new();
        sealer.close(Close::new(CloseCode::Normal), at(100), &mut out);
        out
    };
    let mut talker = sealers();
    let (first, second) = (sealed(&mut talker), sealed(&mut talker));
    let mut updater = sealers();
    let mut update = Vec::new();
    updater.key_update(false, at(100), &mut update);
    let mut leaver = sealers();
    sealed(&mut leaver);
    vec![
        ("record 0", first),
        ("record 1", second),
        ("update 0", update),
        ("updated record 0", sealed(&mut updater)),
        ("close 0", closed(sealers())),
        ("close 1", closed(leaver)),
    ]
}

/// Every frame that either end of two connections could send, the second one with other randomness on the client's side.
fn alphabet(world: &World, channel: Channel) -> Frames {
    let mut frames = vec![("reject", Reject { code: RejectCode::Busy, retry_after_s: 1 }.encode(at(5)).to_vec())];
    let (_, _, handshake) = world.connect(channel);
    frames.extend(["M1", "M2", "M3", "M4"].into_iter().zip(handshake));
    let (m1, client) = world.start(channel, &Entropy::new(random("other"), random("another")));
    let (m2, host) = world.respond(channel, &m1).unwrap();
    let (m3, _) = world::take_answer(client, &m2).unwrap();
    let (m4, _) = world.finish(host, &m3).unwrap();
    frames.extend([("other M1", m1), ("other M2", m2), ("other M3", m3), ("other M4", m4)]);
    let (from_client, from_host) = match channel {
        Channel::S2s => (MsgType::Heartbeat, MsgType::HeartbeatAck),
        Channel::Rdv => (MsgType::Dequeue, MsgType::QueueStatus),
    };
    let own = records(|| world.connect(channel).1.established.split().1, from_client);
    frames.extend(own.into_iter().map(|(name, frame)| (client_name(name), frame)));
    frames.extend(records(|| world.connect(channel).0.split().1, from_host));
    frames
}

fn client_name(name: &str) -> &'static str {
    match name {
        "record 0" => "client record 0",
        "record 1" => "client record 1",
        "update 0" => "client update 0",
        "updated record 0" => "client updated record 0",
        "close 0" => "client close 0",
        _ => "client close 1",
    }
}

/// Every sequence of at most [`LEN_MAX`] frames that `accepts` takes to its end.
fn accepted(frames: &Frames, accepts: impl Fn(&[&[u8]]) -> bool) -> Vec<Vec<&'static str>> {
    let mut accepted = Vec::new();
    let mut open: Vec<Vec<usize>> = vec![Vec::new()];
    while let Some(prefix) = open.pop() {
        if prefix.len() == LEN_MAX {
            continue;
        }
        for next in 0..frames.len() {
            let sequence = [prefix.as_slice(), &[next]].concat();
            let bytes: Vec<&[u8]> = sequence.iter().map(|&frame| frames[frame].1.as_slice()).collect();
            if accepts(&bytes) {
                accepted.push(sequence.iter().map(|&frame| frames[frame].0).collect());
                open.push(sequence);
            }
        }
    }
    accepted.sort();
    accepted
}

/// The right orders: hello, finish, then the records of that direction as they were sealed.
fn right_orders(first: &'static str, second: &'static str, prefix: &str, others: &[&[&'static str]]) -> Vec<Vec<&'static str>> {
    let name = |name: &'static str| if prefix.is_empty() { name } else { client_name(name) };
    let mut orders = vec![vec![first], vec![first, second]];
    for tail in [
        &["record 0"][..],
        &["record 0", "record 1"],
        &["record 0", "close 1"],
        &["update 0"],
        &["update 0", "updated record 0"],
        &["close 0"],
    ] {
        orders.push([first, second].into_iter().chain(tail.iter().map(|tail| name(tail))).collect());
    }
    orders.extend(others.iter().map(|order| order.to_vec()));
    orders.sort();
    orders
}

#[test]
fn only_the_right_order_of_frames_reaches_a_session_on_the_host() {
    let world = World::new();
    for channel in [Channel::S2s, Channel::Rdv] {
        let frames = alphabet(&world, channel);
        let orders = accepted(&frames, |sequence| {
            let start = Host::Waits(world.await_hello(channel));
            sequence.iter().try_fold(start, |host, frame| host.feed(&world, channel, frame)).is_some()
        });
        // The other client is as good as the first; its frames are worth nothing on the first one's connection.
        let others: &[&[&str]] = &[&["other M1"], &["other M1", "other M3"]];
        assert_eq!(orders, right_orders("M1", "M3", "client", others), "{channel:?}");
    }
}

#[test]
fn only_the_right_order_of_frames_reaches_a_session_on_the_client() {
    let world = World::new();
    for channel in [Channel::S2s, Channel::Rdv] {
        let frames = alphabet(&world, channel);
        let orders = accepted(&frames, |sequence| {
            let start = Client::Waits(world.start(channel, &world.client_entropy()).1);
            sequence.iter().try_fold(start, |client, frame| client.feed(frame)).is_some()
        });
        assert_eq!(orders, right_orders("M2", "M4", "", &[]), "{channel:?}");
    }
}
