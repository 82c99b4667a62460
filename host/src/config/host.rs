//! `ranked.toml`: where the host listens, what it stores, how long it waits and what it refuses.
//!
//! Every key is optional; the values here are the defaults. The comments are written into the file by `ranked init`.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::document::Document;
use super::problem::ConfigError;
use super::section::{Section, sections};
use crate::keys::PublisherId;

sections! {
    /// Where the host listens.
    Listen {
        /// HTTP: accounts, login, profiles, leaderboards, metrics. Outside loopback, put a TLS proxy in front.
        http: SocketAddr = loopback(7700);
        /// Game servers.
        s2s: SocketAddr = loopback(7710);
        /// Players who queue.
        rdv: SocketAddr = loopback(7711);
    }

    /// The addresses that others are told: community.toml, login answers. Host name or address, and port.
    Public {
        /// Base URL of the HTTP listener.
        http: String = "http://127.0.0.1:7700".to_owned();
        /// Where game servers connect.
        s2s: String = "127.0.0.1:7710".to_owned();
        /// Where players connect.
        rdv: String = "127.0.0.1:7711".to_owned();
    }

    /// The database.
    Database {
        /// File, created at the first start. Relative paths count from the folder of this file.
        path: PathBuf = PathBuf::from("data/ranked.db");
        /// `ranked doctor` warns below this much free space, in bytes.
        disk_free_bytes_min: u64 = 1 << 30, in 0..=1 << 50;
    }

    /// Keys of the community: `ranked init` makes them.
    Keys {
        /// Folder with the key files, mode 0700. Relative paths count from the folder of this file.
        folder: PathBuf = PathBuf::from("keys");
        /// Life of the channel certificate, in days; renewed at start when less than half of it is left.
        channel_days: u64 = 7, in 1..=90;
        /// Life of a game server's certificate unless `cert issue --ttl` says otherwise, in days.
        certificate_days: u64 = 90, in 1..=3650;
        /// `ranked doctor` and `cert list` warn this many days before a certificate ends.
        certificate_warning_days: u64 = 14, in 0..=365;
    }

    /// Sessions of game servers and players.
    Session {
        /// Longest time between two messages of a game server, in milliseconds.
        heartbeat_ms: u32 = 5_000, in 100..=60_000;
        /// Silence after which a session is closed, in milliseconds. At least twice the heartbeat.
        idle_timeout_ms: u32 = 20_000, in 300..=600_000;
        /// Largest payload of one frame, in bytes.
        payload_bytes_max: u32 = 65_536, in 4_096..=1 << 20;
        /// Longest life of a session before a new handshake, in seconds.
        session_s_max: u64 = 86_400, in 60..=86_400;
        /// Frames waiting for one slow reader before it is closed.
        outbox_frames_max: usize = 256, in 16..=65_536;
        /// Bytes waiting for one slow reader before it is closed.
        outbox_bytes_max: usize = 1 << 20, in 1 << 17..=1 << 26;
    }

    /// Logins and login tickets.
    Login {
        /// Life of an HTTP login, in seconds.
        access_s: u64 = 30 * 86_400, in 60..=400 * 86_400;
        /// Life of a login ticket until its first use, in seconds.
        ticket_s: u64 = 600, in 10..=86_400;
        /// Life of the login ticket that a handshake hands out for the next one, in seconds.
        next_ticket_s: u64 = 7 * 86_400, in 60..=90 * 86_400;
    }

    /// Password hashing (argon2id). Raising a cost re-hashes each password at its next login.
    Passwords {
        /// Memory per hash, in KiB.
        memory_kib: u32 = 19_456, in 8..=1 << 20;
        /// Passes over the memory.
        passes: u32 = 2, in 1..=64;
        /// Lanes.
        lanes: u32 = 1, in 1..=16;
        /// Hashes computed at once.
        hashing_at_once_max: usize = 2, in 1..=64;
        /// Logins that may wait for a hash; more are answered 429.
        waiting_max: usize = 32, in 1..=4_096;
    }

    /// What is refused before any cryptography or database work. An address is an IPv4 address or an IPv6 /64.
    Limits {
        /// Connection attempts of game servers, per minute and address; given back on success.
        s2s_per_minute: u32 = 30, in 1..=60_000;
        /// Connection attempts of players, per minute and address; given back on success.
        rdv_per_minute: u32 = 60, in 1..=60_000;
        /// Attempts on the admin listener, per minute and address.
        admin_per_minute: u32 = 30, in 1..=60_000;
        /// Registrations and logins, per minute and address.
        login_per_minute: u32 = 60, in 1..=60_000;
        /// Handshakes per minute with one certificate.
        certificate_per_minute: u32 = 10, in 1..=60_000;
        /// Handshakes per minute of one player, whatever the login ticket.
        player_per_minute: u32 = 30, in 1..=60_000;
        /// Unauthenticated connections from which on some are dropped at random.
        half_open_drop_from: usize = 512, in 1..=65_536;
        /// How many percent are dropped there; all of them at `half_open_max`.
        half_open_drop_percent: u32 = 30, in 0..=100;
        /// Unauthenticated connections at most.
        half_open_max: usize = 2_048, in 1..=65_536;
        /// Unauthenticated connections of one address at most.
        half_open_per_source_max: usize = 8, in 1..=65_536;
        /// Authenticated sessions of one address at most.
        sessions_per_source_max: usize = 256, in 1..=65_536;
        /// Addresses remembered; beyond, the least recent one is forgotten.
        sources_max: usize = 65_536, in 64..=1 << 22;
        /// Time for the first 57 bytes of a connection, in milliseconds.
        header_ms_max: u64 = 3_000, in 100..=60_000;
        /// Time for the complete first message, in milliseconds.
        hello_ms_max: u64 = 5_000, in 100..=60_000;
        /// Time for the client's last handshake message, in milliseconds.
        finish_ms_max: u64 = 5_000, in 100..=60_000;
        /// Time for each later frame, from its first byte, in milliseconds.
        frame_ms_max: u64 = 10_000, in 100..=60_000;
        /// Pause after a failed handshake, in milliseconds.
        failed_hello_penalty_ms: u64 = 5_000, in 0..=600_000;
        /// Pause after a missed handshake deadline, in milliseconds.
        deadline_penalty_ms: u64 = 10_000, in 0..=600_000;
        /// Pause after a protocol violation, in milliseconds.
        violation_penalty_ms: u64 = 60_000, in 0..=600_000;
        /// Pauses add up to at most this, in milliseconds.
        penalty_ms_max: u64 = 600_000, in 0..=3_600_000;
        /// HTTP connections at most.
        http_connections_max: usize = 1_024, in 1..=65_536;
        /// HTTP connections of one address at most. Behind a proxy all come from the proxy: raise it there.
        http_connections_per_source_max: usize = 64, in 1..=65_536;
        /// Life of an HTTP connection until it is asked to end after the current answer, in milliseconds.
        http_connection_ms_max: u64 = 300_000, in 1_000..=3_600_000;
        /// Public pages read, per minute and address. Behind a proxy all come from the proxy: raise it there.
        http_reads_per_minute: u32 = 600, in 1..=1_000_000;
        /// Largest HTTP body, in bytes.
        http_body_bytes_max: usize = 65_536, in 1_024..=1 << 24;
        /// Time for the headers of an HTTP request, in milliseconds.
        http_header_ms_max: u64 = 5_000, in 100..=60_000;
        /// Time for the whole answer to an HTTP request, in milliseconds.
        http_request_ms_max: u64 = 30_000, in 100..=600_000;
    }

    /// From waiting to playing.
    Matchmaking {
        /// Time between two passes over each queue, in milliseconds.
        tick_ms: u64 = 500, in 10..=60_000;
        /// Matches opened per queue and pass at most; the rest follows in the next one.
        matches_per_tick_max: usize = 256, in 1..=65_536;
        /// Time for a game server to acknowledge an allowlist, in milliseconds.
        allowlist_ack_ms_max: u64 = 5_000, in 100..=600_000;
        /// How often a match moves to another game server before its players return to the queue.
        moves_max: u32 = 2, in 0..=16;
        /// A lost game server may come back within this time before its matches are voided, in milliseconds.
        server_lost_grace_ms: u64 = 30_000, in 0..=3_600_000;
        /// A waiting player who disconnects may come back within this time and keep the place, in milliseconds.
        player_lost_grace_ms: u64 = 30_000, in 0..=3_600_000;
        /// Time for an admitted match to start, in milliseconds.
        start_ms_max: u64 = 600_000, in 1_000..=86_400_000;
        /// Time for a started match to be reported, in milliseconds.
        match_ms_max: u64 = 4 * 3_600_000, in 1_000..=7 * 86_400_000;
        /// Time between two status messages to a waiting player, in milliseconds.
        queue_status_ms: u64 = 2_000, in 100..=60_000;
        /// Longest round trip at which a player is matched in a region, in milliseconds.
        latency_ms_max: u16 = 250, in 1..=65_534;
        /// Tickets waiting in one queue at most; later ones are refused.
        waiting_max: usize = 100_000, in 1..=10_000_000;
    }

    /// What may be installed as a plugin.
    Plugins {
        /// "required": only components that a publisher below has signed are installed; "off": any component is.
        signatures: Signatures = Signatures::Off;
        /// Whose signatures count, as in [{ name = "acme", key = "ed25519:..." }]: `ranked plugin publisher` makes such a key.
        publishers: Vec<Publisher> = Vec::new();
    }

    /// What the host writes to standard error.
    Logs {
        /// "text" for people, "json" for machines.
        format: LogFormat = LogFormat::Text;
        /// Level, or a filter such as "info,host=debug".
        filter: String = "info".to_owned();
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Whether a component needs a signature to be installed. There is nothing in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signatures {
    /// Only components that a listed publisher has signed.
    Required,
    /// Any component.
    Off,
}

/// Somebody whose signatures count.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publisher {
    /// For lists.
    pub name: String,
    /// Their key.
    pub key: PublisherId,
}

/// The whole of `ranked.toml`.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostConfig {
    /// `[listen]`
    pub listen: Listen,
    /// `[public]`
    pub public: Public,
    /// `[database]`
    pub database: Database,
    /// `[keys]`
    pub keys: Keys,
    /// `[session]`
    pub session: Session,
    /// `[login]`
    pub login: Login,
    /// `[passwords]`
    pub passwords: Passwords,
    /// `[limits]`
    pub limits: Limits,
    /// `[matchmaking]`
    pub matchmaking: Matchmaking,
    /// `[plugins]`
    pub plugins: Plugins,
    /// `[logs]`
    pub logs: Logs,
}

impl HostConfig {
    /// Reads `ranked.toml`; `file` is its name in messages.
    ///
    /// # Errors
    /// The operator's fault: every unknown key, every value of the wrong kind or out of range, with its line and column.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let mut document = Document::parse(file, text)?;
        let config: Self = document.read();
        config.check_ranges(&mut document);
        config.check_sense(&mut document);
        document.finish(config)
    }

    fn check_ranges(&self, document: &mut Document<'_>) {
        let Self { listen, public, database, keys, session, login, passwords, limits, matchmaking, plugins, logs } = self;
        report(document, "listen", listen);
        report(document, "public", public);
        report(document, "database", database);
        report(document, "keys", keys);
        report(document, "session", session);
        report(document, "login", login);
        report(document, "passwords", passwords);
        report(document, "limits", limits);
        report(document, "matchmaking", matchmaking);
        report(document, "plugins", plugins);
        report(document, "logs", logs);
    }

    fn check_sense(&self, document: &mut Document<'_>) {
        let Session { heartbeat_ms, idle_timeout_ms, .. } = self.session;
        if idle_timeout_ms < heartbeat_ms.saturating_mul(2) {
            document.refuse(
                &["session", "idle_timeout_ms"],
                format!("{idle_timeout_ms} ms of silence close a session that speaks every {heartbeat_ms} ms"),
                format!("write at least {}, twice `heartbeat_ms`", heartbeat_ms.saturating_mul(2)),
            );
        }
        let Limits { half_open_drop_from, half_open_max, .. } = self.limits;
        if half_open_max < half_open_drop_from {
            document.refuse(
                &["limits", "half_open_max"],
                format!("{half_open_max} connections at most, and random drops from {half_open_drop_from}"),
                format!("write at least {half_open_drop_from}, or lower `half_open_drop_from`"),
            );
        }
        let Passwords { memory_kib, lanes, .. } = self.passwords;
        if memory_kib < lanes.saturating_mul(8) {
            document.refuse(
                &["passwords", "memory_kib"],
                format!("{memory_kib} KiB are too few for {lanes} lanes"),
                format!("write at least {}, 8 KiB a lane", lanes.saturating_mul(8)),
            );
        }
        for (key, address) in [("http", &self.public.http), ("s2s", &self.public.s2s), ("rdv", &self.public.rdv)] {
            if !has_port(address) {
                document.refuse(
                    &["public", key],
                    format!("`{}` names no host and port", address.escape_debug()),
                    "write it as in \"play.example:7711\"".to_owned(),
                );
            }
        }
    }
}

fn report<S: Section>(document: &mut Document<'_>, table: &'static str, section: &S) {
    for super::section::OutOfRange { key, problem } in section.out_of_range() {
        document.refuse(&[table, key], problem, String::new());
    }
}

/// A URL may leave its port to its scheme; everything else must say it.
fn has_port(address: &str) -> bool {
    if let Some(rest) = address.strip_prefix("http://").or(address.strip_prefix("https://")) {
        return !rest.is_empty();
    }
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    !host.is_empty() && port.parse::<u16>().is_ok()
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
