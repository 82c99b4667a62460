//! One sample of every application message, with its fields beside its bytes.
#![allow(clippy::unwrap_used, unreachable_pub)]

use protocol::message::v1::*;
use protocol::message::{FromGameServer, FromPlayer, MsgType, ToGameServer, ToPlayer, WireMessage};
use protocol::prost::Message;
use serde_json::{Map, Value, json};

use crate::world::{T0, hex, random, random16};

/// A field as JSON.
trait Show {
    fn show(&self) -> Value;
}

macro_rules! show_plain {
    ($($plain:ty),*) => {
        $(impl Show for $plain {
            fn show(&self) -> Value {
                json!(self)
            }
        })*
    };
}
show_plain!(bool, u32, i32, u64, f32, f64, String);

impl Show for Vec<u8> {
    fn show(&self) -> Value {
        hex(self).into()
    }
}

impl<T: Show> Show for Vec<T> {
    fn show(&self) -> Value {
        self.iter().map(Show::show).collect()
    }
}

impl<T: Show> Show for Option<T> {
    fn show(&self) -> Value {
        self.as_ref().map_or(Value::Null, Show::show)
    }
}

macro_rules! show_message {
    ($($name:ident { $($field:ident),* })*) => {
        $(impl Show for $name {
            fn show(&self) -> Value {
                let Self { $($field),* } = self;
                let fields: Map<String, Value> = [$((stringify!($field).to_string(), $field.show())),*].into_iter().collect();
                Value::Object(fields)
            }
        })*
    };
}

show_message! {
    Heartbeat { capacity, matches, players, version, load, region, address, name }
    HeartbeatAck { received_at_ms, name, idle_reason }
    AllowPlayers { match_id, queue, players, expires_at_ms, stats, totals, region }
    AllowedPlayer { player_id, name, team, join_token_sha256 }
    AllowlistAck { match_id, accepted, reason }
    MatchStarted { match_id }
    PlayerJoined { match_id, player_id }
    PlayerLeft { match_id, player_id }
    MatchReport { report_id, match_id, duration_s, teams, totals, map, mode }
    TeamReport { place, score, players, side }
    PlayerReport { player_id, stats, presence }
    ReportAck { report_id, match_id, disposition, reasons }
    Reason { code, detail }
    ReportRefused { report_id, match_id, reason }
    MatchVoided { match_id, reason }
    LogEntries { entries }
    LogEntry { level, at_ms, message }
    Enqueue { queue, regions }
    RegionLatency { region, latency_ms }
    Dequeue {}
    KeepAlive {}
    KeepAliveAck { received_at_ms }
    QueueStatus { state, queue, waited_ms, players_waiting, slots_free, limit, estimated_wait_ms, notice }
    Notice { code, detail }
    Assignment { match_id, queue, address, join_token, expires_at_ms, team, region, server_id, server_name }
    Refusal { msg_type, notice, retry_after_ms }
    MatchEnded { match_id, ending, notice, place, visible_before, visible_after }
}

/// The message of the RDV record vector from the client.
pub fn enqueue() -> Vec<u8> {
    enqueue_sample().encode_to_vec()
}

fn enqueue_sample() -> Enqueue {
    let regions = vec![RegionLatency { region: "eu".into(), latency_ms: 23 }, RegionLatency { region: "us-east".into(), latency_ms: 110 }];
    Enqueue { queue: "duel".into(), regions }
}

/// The message of the RDV record vector from the host.
pub fn queue_status() -> Vec<u8> {
    queue_status_sample().encode_to_vec()
}

fn queue_status_sample() -> QueueStatus {
    QueueStatus {
        state: QueueState::Waiting.into(),
        queue: "duel".into(),
        waited_ms: 2000,
        players_waiting: 3,
        slots_free: 8,
        limit: "skill".into(),
        estimated_wait_ms: Some(9000),
        notice: None,
    }
}

fn sample<M: WireMessage + Show + PartialEq + std::fmt::Debug>(name: &str, message: M) -> Value {
    let bytes = message.encode_to_vec();
    assert_eq!(M::decode(bytes.as_slice()).unwrap(), message);
    let number = M::MSG_TYPE;
    let decoders = [
        FromGameServer::decode(number, &bytes).is_ok(),
        ToGameServer::decode(number, &bytes).is_ok(),
        FromPlayer::decode(number, &bytes).is_ok(),
        ToPlayer::decode(number, &bytes).is_ok(),
    ];
    assert_eq!(decoders.iter().filter(|decoded| **decoded).count(), 1, "{name} is received by exactly one end");
    assert!(bytes.len() + 16 <= number.payload_len_max());
    json!({ "name": name, "msg_type": number.to_wire(), "payload_len_max": number.payload_len_max(), "fields": message.show(), "bytes": hex(&bytes) })
}

macro_rules! samples {
    ($($message:expr => $name:ident),* $(,)?) => {
        vec![$({
            let message: $name = $message;
            sample(stringify!($name), message)
        }),*]
    };
}

/// Every application message once.
pub fn messages() -> Vec<Value> {
    let reason = |code: &str| Reason { code: code.into(), detail: "kills 700 -> 100".into() };
    let notice = |code: &str| Some(Notice { code: code.into(), detail: "for people".into() });
    let player = |player_id, kills: f64, presence| PlayerReport { player_id, stats: vec![kills, 2.5], presence };
    let team = |place, score, player| TeamReport { place, score, players: vec![player], side: "red".into() };
    let report_id = random16("report_id").to_vec();
    let samples = samples![
        Heartbeat {
            capacity: 4,
            matches: 1,
            players: 2,
            version: "1.2.3".into(),
            load: 0.25,
            region: "eu".into(),
            address: "203.0.113.7:27015".into(),
            name: "eu-1.example".into(),
        } => Heartbeat,
        AllowlistAck { match_id: 42, accepted: false, reason: "full".into() } => AllowlistAck,
        MatchStarted { match_id: 42 } => MatchStarted,
        PlayerJoined { match_id: 42, player_id: 7 } => PlayerJoined,
        PlayerLeft { match_id: 42, player_id: 7 } => PlayerLeft,
        MatchReport {
            report_id: report_id.clone(),
            match_id: 42,
            duration_s: 600,
            teams: vec![
                team(0, Some(13.0), player(7, 21.0, None)),
                team(1, Some(5.0), player(8, 3.0, Some(0.5))),
            ],
            totals: vec![18.0],
            map: "bridge".into(),
            mode: "duel".into(),
        } => MatchReport,
        LogEntries {
            entries: vec![LogEntry { level: LogLevel::Warn.into(), at_ms: T0, message: "tick took 90 ms".into() }],
        } => LogEntries,
        AllowPlayers {
            match_id: 42,
            queue: "duel".into(),
            players: vec![AllowedPlayer {
                player_id: 7,
                name: "ada".into(),
                team: 1,
                join_token_sha256: random("join_token_sha256").to_vec(),
            }],
            expires_at_ms: T0 + 60_000,
            stats: vec!["kills".into(), "deaths".into()],
            totals: vec!["rounds".into()],
            region: "eu".into(),
        } => AllowPlayers,
        ReportAck {
            report_id: report_id.clone(),
            match_id: 42,
            disposition: Disposition::Ratable.into(),
            reasons: vec![reason("clamped")],
        } => ReportAck,
        MatchVoided { match_id: 42, reason: Some(reason("no-ack")) } => MatchVoided,
        HeartbeatAck { received_at_ms: T0, name: "eu-1.example".into(), idle_reason: String::new() } => HeartbeatAck,
        ReportRefused { report_id, match_id: 42, reason: Some(reason("foreign-match")) } => ReportRefused,
        enqueue_sample() => Enqueue,
        Dequeue {} => Dequeue,
        KeepAlive {} => KeepAlive,
        KeepAliveAck { received_at_ms: T0 } => KeepAliveAck,
        queue_status_sample() => QueueStatus,
        Assignment {
            match_id: 42,
            queue: "duel".into(),
            address: "203.0.113.7:27015".into(),
            join_token: random("join_token").to_vec(),
            expires_at_ms: T0 + 60_000,
            team: 1,
            region: "eu".into(),
            server_id: random16("uuid").to_vec(),
            server_name: "eu-1.example".into(),
        } => Assignment,
        Refusal { msg_type: 0x50, notice: notice("in-match"), retry_after_ms: 0 } => Refusal,
        MatchEnded {
            match_id: 42,
            ending: MatchEnding::Rated.into(),
            notice: None,
            place: Some(0),
            visible_before: Some(12.5),
            visible_after: Some(13.75),
        } => MatchEnded,
    ];
    let records = MsgType::ALL.iter().filter(|msg_type| msg_type.to_wire() >= 0x10);
    assert_eq!(samples.len(), records.count(), "every message has a sample");
    samples
}
