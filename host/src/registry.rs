//! Who is connected: one session per game server and one per player, and the way to each of them.
//!
//! A session can only be opened with evidence from the [directory](crate::directory) that its credential is in force. A second session of the
//! same game server or player replaces the first; for a certificate that is an alert, because two holders of one certificate are an incident.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ladder::id::{PlayerId, ServerId};
use ladder::time::UnixMillis;
use protocol::id::SessionId;
use protocol::message::{ToGameServer, ToPlayer};
use protocol::reaction::CloseCode;

use crate::directory::{InForce, LiveLogin};
use crate::metrics::{Alert, AlertLabels, ByChannel, Channel, Direction, MessageLabels, Metrics};
use crate::net::outbox::{Closing, Frame, NotTaken, Outbox, OutboxLimits};
use crate::net::peer::{Ending, PlayerPeer, ServerPeer};

/// Every session of this host.
pub struct Registry {
    limits: OutboxLimits,
    metrics: Arc<Metrics>,
    servers: Mutex<HashMap<ServerId, Entry<ServerPeer, InForce>>>,
    players: Mutex<HashMap<PlayerId, Entry<PlayerPeer, LiveLogin>>>,
}

struct Entry<P, C> {
    peer: Arc<P>,
    credential: C,
    ends_at: UnixMillis,
    outbox: Arc<Outbox>,
}

/// A session that was just opened.
pub(crate) struct Opened<P> {
    pub(crate) peer: Arc<P>,
    pub(crate) outbox: Arc<Outbox>,
}

/// How a session came about, for [`Registry::open_server`] and [`Registry::open_player`].
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Computed by both ends of the handshake.
    pub session_id: SessionId,
    /// Where from.
    pub address: IpAddr,
    /// When the session must end at the latest, by the terms of M4.
    pub ends_at: UnixMillis,
}

impl Registry {
    /// A registry without sessions.
    #[must_use]
    pub fn new(limits: OutboxLimits, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { limits, metrics, servers: Mutex::default(), players: Mutex::default() })
    }

    /// Opens a game server's session; an older one of the same certificate is closed with code 4.
    pub(crate) fn open_server(&self, in_force: InForce, arrival: Arrival) -> Opened<ServerPeer> {
        let peer = Arc::new(ServerPeer {
            server: in_force.server(),
            owner: in_force.owner().to_owned(),
            scope: in_force.scope(),
            session_id: arrival.session_id,
            address: arrival.address,
        });
        let (opened, replaced) = self.open(&self.servers, Channel::S2s, peer.server, Arc::clone(&peer), in_force, arrival.ends_at);
        if let Some(old) = replaced {
            self.alert(Alert::CertificateTwice);
            tracing::warn!(
                target: "audit", event = "certificate-twice", server = %peer.server, session_id = %peer.session_id,
                address = %peer.address, replaced_session_id = %old.session_id, replaced_address = %old.address,
                "a second session of one certificate replaces the first"
            );
        }
        opened
    }

    /// Opens a player's session; an older one is closed with code 4.
    pub(crate) fn open_player(&self, login: LiveLogin, arrival: Arrival) -> Opened<PlayerPeer> {
        let peer = Arc::new(PlayerPeer {
            player: login.player(),
            name: login.player_name().to_owned(),
            session_id: arrival.session_id,
            address: arrival.address,
        });
        self.open(&self.players, Channel::Rdv, peer.player, peer, login, arrival.ends_at).0
    }

    fn open<K: Eq + Hash, P, C>(
        &self,
        sessions: &Mutex<HashMap<K, Entry<P, C>>>,
        channel: Channel,
        key: K,
        peer: Arc<P>,
        credential: C,
        ends_at: UnixMillis,
    ) -> (Opened<P>, Option<Arc<P>>) {
        let outbox = Arc::new(Outbox::new(self.limits));
        let opened = Opened { peer: Arc::clone(&peer), outbox: Arc::clone(&outbox) };
        let old = lock(sessions).insert(key, Entry { peer, credential, ends_at, outbox });
        if old.is_none() {
            self.metrics.sessions_open.get_or_create(&ByChannel { channel }).inc();
        }
        let replaced = old.map(|old| {
            old.outbox.close(Closing::now(CloseCode::Replaced, Ending::Replaced, "replaced"));
            old.peer
        });
        (opened, replaced)
    }

    /// Forgets a game server's session, unless a newer one took its place.
    pub(crate) fn leave_server(&self, peer: &ServerPeer) {
        self.leave(&self.servers, Channel::S2s, &peer.server, |current| current.session_id == peer.session_id);
    }

    /// Forgets a player's session, unless a newer one took its place.
    pub(crate) fn leave_player(&self, peer: &PlayerPeer) {
        self.leave(&self.players, Channel::Rdv, &peer.player, |current| current.session_id == peer.session_id);
    }

    fn leave<K: Eq + Hash, P, C>(
        &self,
        sessions: &Mutex<HashMap<K, Entry<P, C>>>,
        channel: Channel,
        key: &K,
        is_current: impl Fn(&P) -> bool,
    ) {
        let mut sessions = lock(sessions);
        if sessions.get(key).is_some_and(|entry| is_current(&entry.peer)) {
            sessions.remove(key);
            self.metrics.sessions_open.get_or_create(&ByChannel { channel }).dec();
        }
    }

    /// Puts a message into a game server's outbox; `false` if it has no session, or none any more because it reads too slowly.
    pub fn send_to_server(&self, server: ServerId, message: &ToGameServer) -> bool {
        let outbox = lock(&self.servers).get(&server).map(|entry| Arc::clone(&entry.outbox));
        outbox
            .is_some_and(|outbox| self.put(&outbox, Channel::S2s, Frame { msg_type: message.msg_type(), content: message.encode().into() }))
    }

    /// Puts a message into a player's outbox; `false` if there is no session, or none any more because it reads too slowly.
    pub fn send_to_player(&self, player: PlayerId, message: &ToPlayer) -> bool {
        let outbox = lock(&self.players).get(&player).map(|entry| Arc::clone(&entry.outbox));
        outbox
            .is_some_and(|outbox| self.put(&outbox, Channel::Rdv, Frame { msg_type: message.msg_type(), content: message.encode().into() }))
    }

    fn put(&self, outbox: &Outbox, channel: Channel, frame: Frame) -> bool {
        let message = frame.msg_type.name();
        match outbox.put(frame) {
            Ok(()) => {
                self.metrics.messages.get_or_create(&MessageLabels { channel, direction: Direction::Sent, message }).inc();
                true
            }
            Err(NotTaken::Closing) => false,
            Err(NotTaken::Full) => {
                self.alert(Alert::SlowReader);
                false
            }
        }
    }

    /// Closes the session of a game server, if there is one.
    pub fn close_server(&self, server: ServerId, code: CloseCode, text: &'static str) -> bool {
        let closing = Closing::now(code, ending_of(code), text);
        lock(&self.servers).get(&server).map(|entry| entry.outbox.close(closing)).is_some()
    }

    /// Closes the session of a player, if there is one.
    pub fn close_player(&self, player: PlayerId, code: CloseCode, text: &'static str) -> bool {
        let closing = Closing::now(code, ending_of(code), text);
        lock(&self.players).get(&player).map(|entry| entry.outbox.close(closing)).is_some()
    }

    /// Tells every peer that this host stops, after what still waits for it.
    pub fn close_all(&self, text: &'static str, retry_after_ms: u32) {
        let code = CloseCode::GoingAway;
        let closing = || Closing { code, ending: Ending::ClosedByHost, text: Cow::Borrowed(text), retry_after_ms, flush: true };
        lock(&self.servers).values().for_each(|entry| entry.outbox.close(closing()));
        lock(&self.players).values().for_each(|entry| entry.outbox.close(closing()));
    }

    /// Closes what must not live: sessions whose credential died, as the two judges say, and sessions that are as old as they may get.
    pub(crate) fn close_dead(
        &self,
        now: UnixMillis,
        judge_server: impl Fn(&InForce) -> Option<Closing>,
        judge_player: impl Fn(&LiveLogin) -> Option<Closing>,
    ) -> usize {
        let too_old = |ends_at| (ends_at <= now).then(|| Closing::now(CloseCode::Rehandshake, Ending::Rehandshake, "session-expired"));
        let mut closed = 0;
        let mut close = |outbox: &Outbox, closing: Option<Closing>| {
            if let Some(closing) = closing.filter(|_| !outbox.must_end_now()) {
                outbox.close(closing);
                closed += 1;
            }
        };
        for entry in lock(&self.servers).values() {
            close(&entry.outbox, judge_server(&entry.credential).or_else(|| too_old(entry.ends_at)));
        }
        for entry in lock(&self.players).values() {
            close(&entry.outbox, judge_player(&entry.credential).or_else(|| too_old(entry.ends_at)));
        }
        closed
    }

    /// The game servers that are connected, in no order.
    #[must_use]
    pub fn servers(&self) -> Vec<Arc<ServerPeer>> {
        lock(&self.servers).values().map(|entry| Arc::clone(&entry.peer)).collect()
    }

    /// The players who are connected, in no order.
    #[must_use]
    pub fn players(&self) -> Vec<Arc<PlayerPeer>> {
        lock(&self.players).values().map(|entry| Arc::clone(&entry.peer)).collect()
    }

    pub(crate) fn alert(&self, alert: Alert) {
        self.metrics.alerts.get_or_create(&AlertLabels { alert }).inc();
    }
}

impl crate::play::Outboxes for Registry {
    fn send_to_server(&self, server: ServerId, message: &ToGameServer) -> bool {
        self.send_to_server(server, message)
    }

    fn send_to_player(&self, player: PlayerId, message: &ToPlayer) -> bool {
        self.send_to_player(player, message)
    }

    fn overload_server(&self, server: &ServerPeer, retry_after_ms: u32) -> bool {
        let closing = Closing { retry_after_ms, ..Closing::now(CloseCode::Overload, Ending::ClosedByHost, "store-failed") };
        let sessions = lock(&self.servers);
        let entry = sessions.get(&server.server).filter(|entry| entry.peer.session_id == server.session_id);
        entry.map(|entry| entry.outbox.close(closing)).is_some()
    }
}

fn ending_of(code: CloseCode) -> Ending {
    match code {
        CloseCode::Revoked | CloseCode::KeyEpochRetired => Ending::CredentialDead,
        CloseCode::Replaced => Ending::Replaced,
        CloseCode::Protocol => Ending::Misbehaved,
        CloseCode::Rehandshake => Ending::Rehandshake,
        CloseCode::Normal | CloseCode::GoingAway | CloseCode::Overload => Ending::ClosedByHost,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The maps are whole between two statements: a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
