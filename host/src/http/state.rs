//! What every handler can reach, and the seams to the rest of the host.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ladder::id::{PlayerId, QueueId};
use ladder::queue::QueueShape;
use ladder::time::UnixMillis;
use protocol::id::{KeyEpoch, RealmId};
use protocol::signature::PublicKey;
use store::{FamilyId, KeyEpochState, Store, StoreError, StoredLoginTicket};

use crate::clock::Clock;
use crate::config::{Limits as LimitsConfig, Login as LoginConfig};
use crate::http::limits::Limits;
use crate::http::refusal::Refusal;
use crate::metrics::Metrics;
use crate::passwords::PasswordPool;
use crate::rate::{KeyedRate, Rate, Source, TooOften};
use crate::seasons::{QueueSeasons, Seasons};

/// Whom HTTP tells what it did to login tickets, so that it counts at once. Implemented by the directory of credentials.
///
/// Called after the commit, on a thread of the runtime: must not block.
pub trait TicketEvents: Send + Sync {
    /// A player may use this ticket from now on.
    fn ticket_issued(&self, ticket: StoredLoginTicket);
    /// These families are dead: close their sessions.
    fn families_revoked(&self, families: &[FamilyId]);
}

/// Nobody is listening: the running host then learns of everything by the store's control generation only. For tests and tools.
#[derive(Clone, Copy, Debug, Default)]
pub struct NobodyListens;

impl TicketEvents for NobodyListens {
    fn ticket_issued(&self, _: StoredLoginTicket) {}
    fn families_revoked(&self, _: &[FamilyId]) {}
}

/// What login answers tell about the community.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommunityFacts {
    /// The community.
    pub realm_id: RealmId,
    /// Its signing keys at start. What the store says about key epochs counts more, so that a rotation is told at once.
    pub signing_keys: BTreeMap<KeyEpoch, PublicKey>,
    /// Where players connect: host and port.
    pub rdv: String,
}

/// What `/readyz` knows beside the database. Clones share it; everything begins as not ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<ReadinessFlags>);

#[derive(Debug, Default)]
struct ReadinessFlags {
    plugins: AtomicBool,
    s2s: AtomicBool,
    rdv: AtomicBool,
}

impl Readiness {
    /// Every queue has its plugins, or it has not.
    pub fn set_plugins(&self, loaded: bool) {
        self.0.plugins.store(loaded, Ordering::Relaxed);
    }

    /// The listener for game servers accepts, or it does not.
    pub fn set_s2s(&self, accepting: bool) {
        self.0.s2s.store(accepting, Ordering::Relaxed);
    }

    /// The listener for players accepts, or it does not.
    pub fn set_rdv(&self, accepting: bool) {
        self.0.rdv.store(accepting, Ordering::Relaxed);
    }

    pub(super) fn plugins(&self) -> bool {
        self.0.plugins.load(Ordering::Relaxed)
    }

    pub(super) fn s2s(&self) -> bool {
        self.0.s2s.load(Ordering::Relaxed)
    }

    pub(super) fn rdv(&self) -> bool {
        self.0.rdv.load(Ordering::Relaxed)
    }
}

/// Everything that HTTP is built from.
pub struct HttpParts {
    /// The database.
    pub store: Store,
    /// The host's metrics.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
    /// Where passwords are hashed.
    pub passwords: PasswordPool,
    /// What `/readyz` shows.
    pub readiness: Readiness,
    /// What login answers tell.
    pub community: CommunityFacts,
    /// The queues of `plugins.toml`.
    pub queues: Vec<QueueShape>,
    /// How their standings are shown.
    pub seasons: Seasons,
    /// `[login]` of `ranked.toml`.
    pub login: LoginConfig,
    /// `[limits]` of `ranked.toml`.
    pub limits: LimitsConfig,
    /// Who must know of login tickets.
    pub tickets: Arc<dyn TicketEvents>,
}

/// What every handler can reach. Cheap to clone.
#[derive(Clone)]
pub struct HttpState(Arc<Shared>);

pub(super) struct Shared {
    pub(super) parts: HttpParts,
    limits: Mutex<Limits>,
    ticket_rate: Mutex<KeyedRate<PlayerId>>,
    read_rate: Mutex<KeyedRate<Source>>,
    writable: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

/// How long `/readyz` believes its last look at the database: strangers ask for free.
const WRITABLE_FOR: Duration = Duration::from_millis(500);
/// How long it waits for one.
const PROBE_TIME_MAX: Duration = Duration::from_secs(2);

impl HttpState {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: HttpParts) -> Self {
        let (per_minute, entries_max) = (parts.limits.login_per_minute, parts.limits.sources_max);
        let reads = Rate::per_minute(parts.limits.http_reads_per_minute);
        Self(Arc::new(Shared {
            parts,
            limits: Mutex::new(Limits::new(per_minute, entries_max)),
            ticket_rate: Mutex::new(KeyedRate::new(Rate::per_minute(per_minute), entries_max)),
            read_rate: Mutex::new(KeyedRate::new(reads, entries_max)),
            writable: tokio::sync::Mutex::new(None),
        }))
    }

    pub(super) fn parts(&self) -> &HttpParts {
        &self.0.parts
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.parts.store
    }

    pub(super) fn now(&self) -> UnixMillis {
        self.0.parts.clock.now()
    }

    /// Never held across an await.
    pub(super) fn limits(&self) -> MutexGuard<'_, Limits> {
        // The tables are plain counters: a panic in between leaves nothing that must not be used.
        self.0.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn charge_ticket(&self, player: PlayerId) -> Result<(), Refusal> {
        let mut rate = self.0.ticket_rate.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(rate.charge(player, Instant::now())?)
    }

    pub(super) fn charge_read(&self, source: Source) -> Result<(), TooOften> {
        let mut rate = self.0.read_rate.lock().unwrap_or_else(PoisonError::into_inner);
        rate.charge(source, Instant::now())
    }

    /// The number of a queue that somebody named.
    pub(super) async fn queue(&self, name: &str) -> Result<QueueId, Refusal> {
        let queues = self.store().list_queues().await?;
        let found = queues.into_iter().find(|(_, known)| known == name);
        found.map(|(queue, _)| queue).ok_or(Refusal::NotFound { what: "queue" })
    }

    /// How the standings of a queue are shown now.
    pub(super) fn seasons(&self, queue: &str) -> QueueSeasons {
        self.parts().seasons.of(queue)
    }

    /// The shape of a queue, if it is still configured.
    pub(super) fn shape(&self, name: &str) -> Option<&QueueShape> {
        self.0.parts.queues.iter().find(|shape| shape.queue == name)
    }

    /// Signing keys in force by key epoch, as hexadecimal digits.
    pub(super) async fn signing_keys(&self) -> Result<BTreeMap<u32, String>, StoreError> {
        let at_start = self.parts().community.signing_keys.iter();
        let mut keys: BTreeMap<u32, String> = at_start.map(|(epoch, key)| (epoch.0, key.to_string())).collect();
        for epoch in self.store().list_key_epochs().await? {
            match epoch.state {
                KeyEpochState::Active => drop(keys.insert(epoch.key_epoch, hex(&epoch.public_key))),
                KeyEpochState::Retired { .. } => drop(keys.remove(&epoch.key_epoch)),
            }
        }
        Ok(keys)
    }

    /// Whether the database takes writes; an answer may be [`WRITABLE_FOR`] old.
    pub(super) async fn database_writable(&self) -> bool {
        let mut known = self.0.writable.lock().await;
        if let Some((looked_at, writable)) = *known
            && looked_at.elapsed() < WRITABLE_FOR
        {
            return writable;
        }
        let writable = matches!(tokio::time::timeout(PROBE_TIME_MAX, self.store().probe()).await, Ok(Ok(())));
        *known = Some((Instant::now(), writable));
        writable
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).expect("a nibble is a digit"));
        }
    }
    text
}
