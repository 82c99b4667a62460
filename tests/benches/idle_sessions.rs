//! Memory of the host per idle, authenticated session of a game server, at 5,000 of them.
//!
//! `cargo bench -p tests --bench idle_sessions`. The host is `ranked serve` in a process of its own (this program, which then runs the same
//! `main`), with default limits: the sessions come from twenty loopback addresses because one address may not have as many. Every session
//! shakes hands for real; then each says one heartbeat, hears its answer and falls silent. Kernel memory of the sockets is not counted.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::provision::Community;
use host::clock::Clock;
use host::config::{Config, HOST_FILE, HostConfig, PLUGINS_FILE, plugins_toml};
use host::keys::{IssueOrder, KeyPaths, Keyring};
use protocol::certificate::{Certificate, Scope};
use protocol::envelope::{CertificateFile, PepperFile};
use protocol::handshake::client::Credential;
use protocol::message::{MsgType, v1};
use protocol::secret::{AuthKey, Pepper};
use protocol::signature::NodeKey;
use protocol::trust::TrustAnchors;
use store::{Options, Store};
use tests::raw::RawPeer;

/// Loopback addresses that game servers come from.
const SOURCES: u8 = 20;
/// Sessions of each: fewer than `sessions_per_source_max` allows by default.
const PER_SOURCE: usize = 250;
const SESSIONS: usize = SOURCES as usize * PER_SOURCE;
const BYTES_WANTED_MAX: i64 = 16 * 1024;
const DAY: Duration = Duration::from_secs(86_400);
/// What the program is told to measure; told nothing, it gets itself enough file descriptors first.
const MEASURE: &str = "measure";
/// The free ports are the only settings that matter; nobody may be cut off for its silence while the others still connect.
const RANKED_TOML: &str = "[listen]
http = \"127.0.0.1:0\"
s2s = \"127.0.0.1:0\"
rdv = \"127.0.0.1:0\"
[session]
idle_timeout_ms = 600000
";

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("serve") => host::cli::main(),
        Some(MEASURE) => {
            let folder = tempfile::tempdir().unwrap();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            let certificates = runtime.block_on(make_community(folder.path()));
            runtime.block_on(measure(folder.path(), certificates));
            ExitCode::SUCCESS
        }
        _ => {
            let raised = format!("ulimit -n \"$(ulimit -H -n)\" && exec \"$0\" {MEASURE}");
            let status = Command::new("sh").args(["-c", &raised]).arg(std::env::current_exe().unwrap()).status().unwrap();
            if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

async fn measure(folder: &Path, certificates: Vec<CertificateFile>) {
    let pepper = PepperFile::parse(&std::fs::read_to_string(folder.join("pepper.key")).unwrap()).unwrap();
    let trust = Arc::new(Community::load(&folder.join("community.toml")).unwrap().trust);
    let host = Host::start(&folder.join(HOST_FILE));
    let before = host.memory();
    println!("{SESSIONS} sessions from {SOURCES} addresses; the host knows as many certificates before the first one connects");
    println!("| what | resident | of it anonymous | resident per session |");
    println!("|---|---|---|---|");
    before.print("no session", before);

    let started = Instant::now();
    let mut sources = Vec::new();
    let mut game_servers = certificates.into_iter().map(|file| GameServer::new(file, &pepper.pepper));
    for last in 2..2 + SOURCES {
        let game_servers = game_servers.by_ref().take(PER_SOURCE).collect();
        sources.push(tokio::spawn(connect(game_servers, host.s2s, last, Arc::clone(&trust))));
    }
    let mut peers = Vec::new();
    for source in sources {
        peers.push(source.await.unwrap());
    }
    let took = started.elapsed();
    settle().await;
    host.memory().print("after the handshake", before);
    let speaking = peers.into_iter().map(|peers| tokio::spawn(say_heartbeats(peers)));
    let mut peers = Vec::new();
    for source in speaking.collect::<Vec<_>>() {
        peers.extend(source.await.unwrap());
    }
    settle().await;
    let after = host.memory();
    after.print("after one heartbeat each", before);
    let per_session = (after.resident - before.resident) / SESSIONS as i64;
    println!(
        "{} sessions alive, opened in {:.1} s; {per_session} bytes each (wanted: at most {BYTES_WANTED_MAX})",
        peers.len(),
        took.as_secs_f64()
    );
}

/// What `ranked init` makes, and a certificate for each game server.
async fn make_community(folder: &Path) -> Vec<CertificateFile> {
    std::fs::write(folder.join(HOST_FILE), RANKED_TOML).unwrap();
    std::fs::write(folder.join(PLUGINS_FILE), plugins_toml()).unwrap();
    let config = Config::new(HostConfig::default(), Vec::new(), folder.to_owned());
    let now = Clock::system().now();
    let mut keyring = Keyring::create(KeyPaths::of(&config), &config.host.public, 7 * DAY, now).unwrap();
    std::fs::create_dir_all(config.database_path().parent().unwrap()).unwrap();
    let store = Store::open(config.database_path(), Options::default()).unwrap();
    keyring.settle(&store, 7 * DAY, now).await.unwrap();
    let issue = |number: usize| {
        let owner = format!("eu-{number}.example");
        keyring.issue(IssueOrder { server: None, owner, scope: Scope::ALL, life: DAY, node_key: None }, now).unwrap()
    };
    let issued: Vec<_> = (0..SESSIONS).map(issue).collect();
    let recorded: Vec<_> = issued.iter().map(|issued| store.record_certificate(issued.record.clone())).collect();
    for recorded in recorded {
        recorded.await.unwrap().unwrap();
    }
    issued.into_iter().map(|issued| issued.file).collect()
}

/// A host in a process of its own, ended with this value.
struct Host {
    process: Child,
    s2s: SocketAddr,
}

impl Host {
    /// Starts it and waits until it listens.
    fn start(config: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["serve", "--log", "warn", "--config"]).arg(config).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);
        let address = |line: String| line.trim_start().strip_prefix("s2s ")?.split_whitespace().next()?.parse().ok();
        let s2s = lines.find_map(address).expect("the host says where it listens");
        // The rest of the summary is indented; a line of the log is not.
        std::thread::spawn(move || lines.filter(|line| !line.starts_with(' ')).for_each(|line| println!("host: {line}")));
        Self { process, s2s }
    }

    fn memory(&self) -> Memory {
        let kib = |file: &str, name: &str| -> i64 {
            let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.process.id())).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        Memory { resident: kib("status", "VmRSS:") * 1024, anonymous: kib("smaps_rollup", "Pss_Anon:") * 1024 }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Bytes of the host's process.
#[derive(Clone, Copy)]
struct Memory {
    resident: i64,
    anonymous: i64,
}

impl Memory {
    fn print(self, what: &str, before: Self) {
        let mib = |bytes: i64| bytes as f64 / f64::from(1 << 20);
        let per_session = (self.resident - before.resident) / SESSIONS as i64;
        println!("| {what} | {:.1} MiB | {:.1} MiB | {per_session} B |", mib(self.resident), mib(self.anonymous));
    }
}

/// What one game server proves itself with.
struct GameServer {
    certificate: Certificate,
    node_key: NodeKey,
    auth_key: AuthKey,
}

impl GameServer {
    fn new(file: CertificateFile, pepper: &Pepper) -> Self {
        let auth_key = AuthKey::from_certificate_secret(pepper, &file.secret);
        Self { certificate: file.certificate, node_key: file.node_key.unwrap(), auth_key }
    }
}

/// One session after the other, so that no address has more than one handshake under way.
async fn connect(game_servers: Vec<GameServer>, host: SocketAddr, last: u8, trust: Arc<TrustAnchors>) -> Vec<RawPeer> {
    let clock = Clock::system();
    let mut peers = Vec::with_capacity(game_servers.len());
    for GameServer { certificate, node_key, auth_key } in &game_servers {
        let credential = Credential::Certificate { certificate, auth_key, node_key };
        peers.push(RawPeer::connect(host, last, &trust, credential, &clock).await.unwrap());
    }
    peers
}

async fn say_heartbeats(mut peers: Vec<RawPeer>) -> Vec<RawPeer> {
    let heartbeat = v1::Heartbeat {
        capacity: 8,
        version: "1.0.0".to_owned(),
        load: 0.1,
        region: "eu".to_owned(),
        address: "play.example:7800".to_owned(),
        ..v1::Heartbeat::default()
    };
    for peer in &mut peers {
        peer.say(&heartbeat).await.unwrap();
        peer.until(MsgType::HeartbeatAck).await.unwrap();
    }
    peers
}

/// The host has more to do than to answer: it notes in the database who was seen.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}
