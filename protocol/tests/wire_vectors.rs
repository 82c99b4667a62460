//! `tests/vectors/wire.json`: every intermediate value of both handshakes and of the records, for implementations in other languages.
//!
//! The values come from the straight-line reference beside this file; the crate must produce the same frames. The file is rewritten only with
//! `UPDATE_VECTORS=1`.
#![allow(clippy::unwrap_used)]

mod reference;
mod samples;
mod world;

use std::path::Path;

use protocol::handshake::Reject;
use protocol::message::{Channel, MsgType};
use protocol::reaction::{CloseCode, RejectCode};
use protocol::record::{Close, Sealer};
use reference::{Handshake, Notes, Record, seal, updated};
use serde_json::{Map, Value, json};
use world::{DAY, T0, World, at, hex, random, random16};

#[test]
fn the_vector_file_is_what_the_specification_gives() {
    let vectors = json!({
        "about": "Test vectors of docs/protocol.md. All byte strings are hexadecimal, all times Unix milliseconds. \
                  R(tag, n) = first n bytes of SHA-256('rs2 vector ' + tag).",
        "inputs": inputs(),
        "certificate": noted(reference::certificate),
        "channel_certificate": noted(reference::channel_certificate),
        "s2s": s2s(),
        "rdv": rdv(),
        "reject": hex(&Reject { code: RejectCode::Busy, retry_after_s: 30 }.encode(at(1))),
        "messages": samples::messages(),
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/wire.json");
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, format!("{vectors:#}\n")).unwrap();
    }
    let committed: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for (name, value) in vectors.as_object().unwrap() {
        assert_eq!(&committed[name], value, "tests/vectors/wire.json differs in `{name}`");
    }
    assert_eq!(committed.as_object().unwrap().len(), vectors.as_object().unwrap().len());
}

fn inputs() -> Value {
    let mut inputs = Map::new();
    for tag in ["realm", "uuid", "ticket_id", "next_ticket_id"] {
        inputs.insert(tag.into(), hex(&random16(tag)).into());
    }
    for tag in ["pepper", "cert_secret", "root", "chan", "node", "ec", "es", "cchal", "schal", "ticket_secret", "next_ticket_secret"] {
        inputs.insert(tag.into(), hex(&random(tag)).into());
    }
    inputs.insert("T0".into(), T0.into());
    inputs.insert("key_epoch".into(), 7.into());
    inputs.insert("not_before".into(), (T0 - 1000).into());
    inputs.insert("certificate_not_after".into(), (T0 + 90 * DAY).into());
    inputs.insert("channel_certificate_not_after".into(), (T0 + 7 * DAY).into());
    inputs.insert("scope".into(), 15.into());
    inputs.insert("owner".into(), "eu-1.example".into());
    Value::Object(inputs)
}

fn noted(make: impl Fn(&mut Notes) -> Vec<u8>) -> Value {
    let mut notes = Notes(Map::new());
    make(&mut notes);
    Value::Object(notes.0)
}

/// The records of one session: what the reference says, and what the crate sealed.
struct Records {
    noted: Vec<Value>,
}

impl Records {
    fn compare(&mut self, name: &str, traffic: &[u8], record: &Record<'_>, sealed: &[u8]) {
        let (mut notes, frame) = seal(traffic, record);
        assert_eq!(hex(&frame), hex(sealed), "{name}");
        notes.0.insert("name".into(), name.into());
        self.noted.push(Value::Object(notes.0));
    }
}

fn sealed(sealer: &mut Sealer, msg_type: MsgType, plaintext: &[u8], offset: u64) -> Vec<u8> {
    let mut out = Vec::new();
    sealer.seal(msg_type, plaintext, at(offset), &mut out).unwrap();
    out
}

/// The crate's two sealers, after its handshake gave the same frames and secrets as the reference.
fn connect(channel: Channel, handshake: &Handshake) -> (Sealer, Sealer) {
    let (server, client, frames) = World::new().connect(channel);
    for (index, (frame, expected)) in frames.iter().zip(&handshake.frames).enumerate() {
        assert_eq!(hex(frame), hex(expected), "{channel:?} M{}", index + 1);
    }
    let (session, host, _) = server.split();
    assert_eq!(session.exporter().as_slice(), handshake.exporter);
    assert_eq!(session.session_id().0.as_slice(), handshake.session_id);
    (client.established.split().1, host)
}

fn with_records(handshake: Handshake, records: Records) -> Value {
    let mut notes = handshake.notes.0;
    notes.insert("records".into(), records.noted.into());
    Value::Object(notes)
}

fn s2s() -> Value {
    let mut handshake = reference::handshake(1);
    let (mut client, mut host) = connect(Channel::S2s, &handshake);
    let (c_ap_0, s_ap_0) = (handshake.client_traffic.clone(), handshake.server_traffic.clone());
    let c_ap_1 = updated(&c_ap_0);
    reference::traffic(&mut handshake.notes, "c_ap_1", &c_ap_1);
    let mut records = Records { noted: Vec::new() };
    let record = |epoch, seq, msg_type, offset, plaintext| Record { epoch, seq, msg_type, timestamp: T0 + offset, plaintext };

    let frame = sealed(&mut client, MsgType::Heartbeat, b"heartbeat", 100);
    records.compare("heartbeat, client to server", &c_ap_0, &record(2, 0, 0x10, 100, b"heartbeat"), &frame);
    let frame = sealed(&mut host, MsgType::AllowPlayers, b"allow", 101);
    records.compare("allow, server to client", &s_ap_0, &record(2, 0, 0x30, 101, b"allow"), &frame);
    let mut frame = Vec::new();
    client.key_update(false, at(150), &mut frame);
    records.compare("key update, client to server", &c_ap_0, &record(2, 1, 0x0e, 150, &[0]), &frame);
    let frame = sealed(&mut client, MsgType::Heartbeat, b"heartbeat", 200);
    records.compare("heartbeat after the key update", &c_ap_1, &record(3, 0, 0x10, 200, b"heartbeat"), &frame);
    let mut frame = Vec::new();
    host.close(Close { frames_accepted: 3, ..Close::new(CloseCode::Normal) }, at(300), &mut frame);
    let close = [&0u16.to_be_bytes()[..], &3u64.to_be_bytes(), &0u32.to_be_bytes(), &[0]].concat();
    records.compare("close, server to client", &s_ap_0, &record(2, 1, 0x0f, 300, &close), &frame);
    with_records(handshake, records)
}

fn rdv() -> Value {
    let handshake = reference::handshake(2);
    let (mut client, mut host) = connect(Channel::Rdv, &handshake);
    let (c_ap_0, s_ap_0) = (handshake.client_traffic.clone(), handshake.server_traffic.clone());
    let mut records = Records { noted: Vec::new() };
    let (enqueue, status) = (samples::enqueue(), samples::queue_status());
    let record = Record { epoch: 2, seq: 0, msg_type: 0x50, timestamp: T0 + 100, plaintext: &enqueue };
    let frame = sealed(&mut client, MsgType::Enqueue, &enqueue, 100);
    records.compare("enqueue, client to server", &c_ap_0, &record, &frame);
    let record = Record { epoch: 2, seq: 0, msg_type: 0x70, timestamp: T0 + 110, plaintext: &status };
    let frame = sealed(&mut host, MsgType::QueueStatus, &status, 110);
    records.compare("queue status, server to client", &s_ap_0, &record, &frame);
    with_records(handshake, records)
}
