//! Sockets: who may connect, how a connection becomes a session, and how a session lives and ends.
//!
//! ```text
//! accept --(admission)--> handshake --(directory: in force?)--> session --(registry, play)--> close
//! ```
//!
//! * `mod` (here): the accept loops. A connection that admission refuses costs an accept and a counter, nothing else.
//! * [`handshake`]: from the first byte to M4, against deadlines, in silence towards strangers.
//! * [`session`]: one task per session, which reads, writes, and ends it.
//! * [`watch`]: closes the sessions whose credentials died.
//! * [`peer`]: what the game side sees of all that.

pub(crate) mod frames;
pub(crate) mod handshake;
pub(crate) mod outbox;
pub mod peer;
pub(crate) mod session;
pub mod watch;

pub use outbox::OutboxLimits;

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ladder::id::PlayerId;
use protocol::handshake::Reject;
use protocol::id::Identity;
use protocol::message::Channel;
use protocol::reaction::RejectCode;
use protocol::replay::ReplayCache;
use store::Store;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::{Admission, Refusal};
use crate::clock::Clock;
use crate::config::{HostConfig, Limits, Login, Session};
use crate::directory::Directory;
use crate::keys;
use crate::metrics::{self, AdmissionLabels, AdmissionResult, ByChannel, HandshakeLabels, HandshakeResult, Metrics};
use crate::rate::{KeyedRate, Rate};
use crate::registry::Registry;
use peer::Sessions;

/// Pause of an accept loop when the process is out of file descriptors: retrying at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What sessions hear when the host stops.
const GOING_AWAY: &str = "the host stops";
/// When they may try again.
const RETRY_AFTER_MS: u32 = 2_000;

/// Everything that a connection needs of its host. One per host, shared by both channels.
pub struct Gate<S> {
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) sessions: Arc<S>,
    pub(crate) terms: Session,
    pub(crate) login: Login,
    pub(crate) limits: Limits,
    pub(crate) replays: Mutex<ReplayCache>,
    pub(crate) handshakes: Mutex<KeyedRate<Identity>>,
    /// A player's identity is a login ticket, and every handshake hands out another: players are counted once more, by who they are.
    pub(crate) player_handshakes: Mutex<KeyedRate<PlayerId>>,
    /// Every connection's task, so that a shutdown can wait for the last one.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the host stops: no more connections, and no more handshakes.
    pub(crate) stop: CancellationToken,
}

/// What a [`Gate`] is made of.
pub struct GateParts<S> {
    /// The time.
    pub clock: Clock,
    /// The database, for login tickets and for when a game server was last seen.
    pub store: Store,
    /// Where to count.
    pub metrics: Arc<Metrics>,
    /// The door.
    pub admission: Arc<Admission>,
    /// Whose credentials count.
    pub directory: Arc<Directory>,
    /// Who is connected.
    pub registry: Arc<Registry>,
    /// The game side.
    pub sessions: Arc<S>,
}

impl<S: Sessions> Gate<S> {
    /// Puts a gate together; `config` dictates terms and limits.
    #[must_use]
    pub fn new(parts: GateParts<S>, config: &HostConfig) -> Arc<Self> {
        let GateParts { clock, store, metrics, admission, directory, registry, sessions } = parts;
        let HostConfig { session, login, limits, .. } = config;
        let per_identity = Rate::per_minute(limits.certificate_per_minute);
        let per_player = Rate::per_minute(limits.player_per_minute);
        Arc::new(Self {
            clock,
            store,
            metrics,
            admission,
            directory,
            registry,
            sessions,
            terms: session.clone(),
            login: login.clone(),
            limits: limits.clone(),
            replays: Mutex::new(ReplayCache::new()),
            handshakes: Mutex::new(KeyedRate::new(per_identity, limits.sources_max)),
            player_handshakes: Mutex::new(KeyedRate::new(per_player, limits.sources_max)),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Accepts connections of one channel until the gate is closed.
    pub async fn listen(self: Arc<Self>, channel: Channel, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, address)) => self.admit(channel, socket, address),
                Err(error) => {
                    tracing::warn!(channel = label(channel).name(), %error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Accepts nothing more, ends handshakes, tells every session that the host stops, and waits until the last of them has ended.
    pub async fn close(&self) {
        self.stop.cancel();
        self.registry.close_all(GOING_AWAY, RETRY_AFTER_MS);
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn admit(self: &Arc<Self>, channel: Channel, socket: TcpStream, address: SocketAddr) {
        // Without randomness nobody is favored: everybody is dropped from the first threshold on.
        let draw = keys::random().map_or(0, u32::from_le_bytes);
        match self.admission.admit(label(channel), address.ip(), Instant::now(), draw) {
            Ok(permit) => {
                self.count_admission(channel, AdmissionResult::Admitted);
                let gate = Arc::clone(self);
                self.tasks.spawn(async move { gate.receive(channel, socket, address.ip(), permit).await });
            }
            Err(refusal) => {
                self.count_admission(channel, refusal.result());
                self.turn_away(socket, refusal);
            }
        }
    }

    /// At most one hint, if it fits into the socket's buffer right now, and never a byte read.
    fn turn_away(&self, socket: TcpStream, refusal: Refusal) {
        let Some(retry_after) = refusal.retry_after() else { return };
        let retry_after_s = u16::try_from(retry_after.as_secs() + 1).unwrap_or(u16::MAX);
        let hint = Reject { code: RejectCode::Busy, retry_after_s }.encode(self.clock.now());
        if let Ok(mut socket) = socket.into_std() {
            // Whether the hint arrives is of no importance.
            drop(socket.write(&hint));
        }
    }

    fn count_admission(&self, channel: Channel, result: AdmissionResult) {
        self.metrics.admissions.get_or_create(&AdmissionLabels { channel: label(channel), result }).inc();
    }

    pub(crate) fn count_handshake(&self, channel: Channel, result: HandshakeResult) {
        self.metrics.handshakes.get_or_create(&HandshakeLabels { channel: label(channel), result }).inc();
    }

    pub(crate) fn count_half_open(&self, channel: Channel, difference: i64) {
        self.metrics.half_open.get_or_create(&ByChannel { channel: label(channel) }).inc_by(difference);
    }
}

/// The channel as metrics and admission call it.
pub(crate) fn label(channel: Channel) -> metrics::Channel {
    match channel {
        Channel::S2s => metrics::Channel::S2s,
        Channel::Rdv => metrics::Channel::Rdv,
    }
}
