//! Whom the sockets talk to at all: decided at accept, before a byte is read, a task is spawned or any cryptography is paid for.
//!
//! ```text
//! accept --admit--> Permit --succeed--> SessionSlot --drop--> forgotten
//!             |        '--fail, drop--> penalty
//!             '--> Refusal
//! ```
//!
//! An attempt is charged at accept and given back on success, so that the neighbors of a good game server behind the same address are not
//! starved. Failures add up to a penalty during which the source is not listened to. Everything here is bounded: the sources by
//! [`AdmissionLimits::sources_max`], the half-open connections by [`AdmissionLimits::half_open_max`].
//!
//! Pure but for its lock: time and the random draw are arguments.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Limits;
use crate::metrics::{AdmissionResult, Channel};
use crate::rate::{KeyedRate, Rate, Recent, Source};

/// What an IPv6 /48 may do, in multiples of what one /64 may.
const NETWORK_FACTOR: u32 = 8;

/// How much is too much. The defaults are those of `[limits]` in `ranked.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Attempts per minute and source on the S2S channel.
    pub s2s_per_minute: u32,
    /// Attempts per minute and source on the RDV channel.
    pub rdv_per_minute: u32,
    /// Attempts per minute and source on the operator's channel.
    pub admin_per_minute: u32,
    /// Half-open connections from which on some are dropped at random.
    pub half_open_drop_from: usize,
    /// The share that is dropped there, in percent; rises evenly to 100 at `half_open_max`.
    pub half_open_drop_percent: u32,
    /// Half-open connections of all channels together, at most.
    pub half_open_max: usize,
    /// Half-open connections per source and channel, at most.
    pub half_open_per_source_max: usize,
    /// Authenticated sessions per source and channel, at most.
    pub sessions_per_source_max: usize,
    /// Sources remembered per table.
    pub sources_max: usize,
    /// Penalty for a handshake that failed.
    pub failed_hello_penalty: Duration,
    /// Penalty for a handshake that ran out of time.
    pub deadline_penalty: Duration,
    /// Penalty for breaking the protocol after authentication.
    pub violation_penalty: Duration,
    /// Penalties add up to this and no further.
    pub penalty_max: Duration,
}

/// A source is refused once its penalties exceed this, and then until they are served: a single mistake costs nothing.
pub const PENALTY_FREE: Duration = Duration::from_secs(15);

impl From<&Limits> for AdmissionLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            s2s_per_minute: limits.s2s_per_minute,
            rdv_per_minute: limits.rdv_per_minute,
            admin_per_minute: limits.admin_per_minute,
            half_open_drop_from: limits.half_open_drop_from,
            half_open_drop_percent: limits.half_open_drop_percent,
            half_open_max: limits.half_open_max,
            half_open_per_source_max: limits.half_open_per_source_max,
            sessions_per_source_max: limits.sessions_per_source_max,
            sources_max: limits.sources_max,
            failed_hello_penalty: Duration::from_millis(limits.failed_hello_penalty_ms),
            deadline_penalty: Duration::from_millis(limits.deadline_penalty_ms),
            violation_penalty: Duration::from_millis(limits.violation_penalty_ms),
            penalty_max: Duration::from_millis(limits.penalty_ms_max),
        }
    }
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self::from(&Limits::default())
    }
}

/// The stranger is not let in. Its own fault, its neighbors', or nobody's; the connection was not read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The source tried too often.
    #[error("too many attempts of this source")]
    TooOften {
        /// When it may try again.
        retry_after: Duration,
    },
    /// The source serves a penalty.
    #[error("the source is penalized")]
    Penalized {
        /// How long still.
        retry_after: Duration,
    },
    /// The source has too many handshakes under way.
    #[error("too many half-open connections of this source")]
    SourceHalfOpen,
    /// The host has too many handshakes under way.
    #[error("too many half-open connections")]
    HostHalfOpen,
    /// The source has too many sessions.
    #[error("too many sessions of this source")]
    SourceSessions,
}

impl Refusal {
    /// The counter that counts it.
    #[must_use]
    pub fn result(&self) -> AdmissionResult {
        match self {
            Self::TooOften { .. } => AdmissionResult::RateLimited,
            Self::Penalized { .. } => AdmissionResult::Penalized,
            Self::SourceHalfOpen | Self::HostHalfOpen | Self::SourceSessions => AdmissionResult::HalfOpen,
        }
    }

    /// What to advise, if anything: a penalized source gets silence.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooOften { retry_after } => Some(*retry_after),
            Self::Penalized { .. } => None,
            Self::SourceHalfOpen | Self::HostHalfOpen | Self::SourceSessions => Some(Duration::from_secs(2)),
        }
    }
}

/// How an admitted attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// What came was no proper handshake.
    BadHello,
    /// It did not come in time.
    Deadline,
    /// The host is at fault, or the peer merely went away: charged, not penalized.
    Unfinished,
}

/// The door. Shared by the listeners of all channels.
pub struct Admission {
    limits: AdmissionLimits,
    state: Mutex<State>,
}

type Key = (Channel, Source);

struct State {
    rates: [(Channel, KeyedRate<Source>, KeyedRate<Source>); 3],
    penalties: Recent<Key, Penalty>,
    /// Entries are as many as half-open connections at most, which are bounded; networks count beside their sources.
    half_open: HashMap<Key, usize>,
    half_open_total: usize,
    /// Entries are as many as sessions at most.
    sessions: HashMap<Key, usize>,
}

#[derive(Clone, Copy, Debug)]
struct Penalty {
    until: Instant,
    /// Set once the sum exceeded [`PENALTY_FREE`]; stays until the penalty is served.
    enforced: bool,
}

impl Admission {
    /// A door that nobody has passed yet.
    #[must_use]
    pub fn new(limits: AdmissionLimits) -> Arc<Self> {
        let rates = |channel, limit| {
            let rate = Rate::per_minute(limit);
            let sources = KeyedRate::new(rate, limits.sources_max);
            (channel, sources, KeyedRate::new(rate.times(NETWORK_FACTOR), limits.sources_max))
        };
        let state = State {
            rates: [
                rates(Channel::S2s, limits.s2s_per_minute),
                rates(Channel::Rdv, limits.rdv_per_minute),
                rates(Channel::Admin, limits.admin_per_minute),
            ],
            penalties: Recent::new(limits.sources_max),
            half_open: HashMap::new(),
            half_open_total: 0,
            sessions: HashMap::new(),
        };
        Arc::new(Self { limits, state: Mutex::new(state) })
    }

    /// Decides about one connection that was just accepted. `draw` is uniformly random.
    ///
    /// # Errors
    /// See [`Refusal`]; nothing was counted.
    pub fn admit(self: &Arc<Self>, channel: Channel, address: IpAddr, now: Instant, draw: u32) -> Result<Permit, Refusal> {
        let source = Source::of(address);
        let mut state = self.lock();
        state.check_penalty((channel, source), now)?;
        self.check_half_open(&state, channel, source, draw)?;
        if count(&state.sessions, (channel, source)) >= self.limits.sessions_per_source_max {
            return Err(Refusal::SourceSessions);
        }
        state.charge(channel, source, now)?;
        state.half_open_total += 1;
        for key in keys(channel, source) {
            *state.half_open.entry(key).or_default() += 1;
        }
        drop(state);
        Ok(Permit { admission: Arc::clone(self), channel, source, admitted_at: now, open: true })
    }

    /// Handshakes under way.
    #[must_use]
    pub fn half_open(&self) -> usize {
        self.lock().half_open_total
    }

    fn check_half_open(&self, state: &State, channel: Channel, source: Source, draw: u32) -> Result<(), Refusal> {
        let AdmissionLimits { half_open_drop_from, half_open_drop_percent, half_open_max, half_open_per_source_max, .. } = self.limits;
        if dropped_at_random(state.half_open_total, half_open_drop_from, half_open_drop_percent, half_open_max, draw) {
            return Err(Refusal::HostHalfOpen);
        }
        let network_full = source
            .network()
            .is_some_and(|network| count(&state.half_open, (channel, network)) >= half_open_per_source_max * NETWORK_FACTOR as usize);
        if network_full || count(&state.half_open, (channel, source)) >= half_open_per_source_max {
            return Err(Refusal::SourceHalfOpen);
        }
        Ok(())
    }

    fn penalize(&self, key: Key, penalty: Duration, now: Instant) {
        if penalty.is_zero() {
            return;
        }
        let mut state = self.lock();
        let before = state.penalties.get(key).filter(|before| before.until > now).copied();
        let until = (before.map_or(now, |before| before.until) + penalty).min(now + self.limits.penalty_max);
        let enforced = before.is_some_and(|before| before.enforced) || until.duration_since(now) > PENALTY_FREE;
        state.penalties.put(key, Penalty { until, enforced });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Counters stay usable whatever panicked elsewhere while it held the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check_penalty(&mut self, key: Key, now: Instant) -> Result<(), Refusal> {
        match self.penalties.get(key) {
            Some(penalty) if penalty.enforced && penalty.until > now => {
                Err(Refusal::Penalized { retry_after: penalty.until.duration_since(now) })
            }
            _ => Ok(()),
        }
    }

    /// The network is asked first, so that a flood from one /48 does not fill the table with its /64.
    fn charge(&mut self, channel: Channel, source: Source, now: Instant) -> Result<(), Refusal> {
        let Some((_, sources, networks)) = self.rates.iter_mut().find(|(of, ..)| *of == channel) else { return Ok(()) };
        let refused = |too_often: crate::rate::TooOften| Refusal::TooOften { retry_after: too_often.retry_after };
        if let Some(network) = source.network() {
            networks.check(network, now).map_err(refused)?;
        }
        sources.charge(source, now).map_err(refused)?;
        if let Some(network) = source.network() {
            networks.charge(network, now).map_err(refused)?;
        }
        Ok(())
    }

    fn refund(&mut self, channel: Channel, source: Source) {
        let Some((_, sources, networks)) = self.rates.iter_mut().find(|(of, ..)| *of == channel) else { return };
        sources.refund(source);
        if let Some(network) = source.network() {
            networks.refund(network);
        }
    }

    fn leave_half_open(&mut self, channel: Channel, source: Source) {
        self.half_open_total = self.half_open_total.saturating_sub(1);
        for key in keys(channel, source) {
            decrement(&mut self.half_open, key);
        }
    }
}

/// OpenSSH's `MaxStartups`: nobody below `from`, `percent` of them there, evenly more up to everybody at `max`.
fn dropped_at_random(open: usize, from: usize, percent: u32, max: usize, draw: u32) -> bool {
    if open >= max {
        return true;
    }
    if open < from {
        return false;
    }
    let (above, width) = ((open - from) as u64, (max - from) as u64);
    let percent = u64::from(percent.min(100));
    // Hundredths of a percent keep the slope even; draw is spread over the same scale.
    let share = percent * 100 + (100 - percent) * 100 * above / width;
    u64::from(draw) * 10_000 < share << 32
}

fn keys(channel: Channel, source: Source) -> impl Iterator<Item = Key> {
    std::iter::once(source).chain(source.network()).map(move |source| (channel, source))
}

fn count(counts: &HashMap<Key, usize>, key: Key) -> usize {
    counts.get(&key).copied().unwrap_or(0)
}

fn decrement(counts: &mut HashMap<Key, usize>, key: Key) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// Leave to shake hands. It counts as half-open until it is told how that ended; dropped untold, it failed.
#[must_use = "a permit that is dropped has failed"]
pub struct Permit {
    admission: Arc<Admission>,
    channel: Channel,
    source: Source,
    admitted_at: Instant,
    open: bool,
}

impl Permit {
    /// The peer proved itself: the attempt is given back, and the session counts until the slot is dropped.
    pub fn succeed(mut self) -> SessionSlot {
        self.open = false;
        let key = (self.channel, self.source);
        let mut state = self.admission.lock();
        state.leave_half_open(self.channel, self.source);
        state.refund(self.channel, self.source);
        *state.sessions.entry(key).or_default() += 1;
        drop(state);
        SessionSlot { admission: Arc::clone(&self.admission), key }
    }

    /// The handshake failed.
    pub fn fail(mut self, failure: Failure, now: Instant) {
        self.close(failure, now);
    }

    fn close(&mut self, failure: Failure, now: Instant) {
        self.open = false;
        let penalty = match failure {
            Failure::BadHello => self.admission.limits.failed_hello_penalty,
            Failure::Deadline => self.admission.limits.deadline_penalty,
            Failure::Unfinished => Duration::ZERO,
        };
        self.admission.lock().leave_half_open(self.channel, self.source);
        self.admission.penalize((self.channel, self.source), penalty, now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.open {
            self.close(Failure::BadHello, self.admitted_at);
        }
    }
}

/// One authenticated session of a source.
#[must_use = "the session counts only while the slot lives"]
pub struct SessionSlot {
    admission: Arc<Admission>,
    key: Key,
}

impl SessionSlot {
    /// The peer broke the protocol: its source pays for it.
    pub fn penalize(&self, now: Instant) {
        self.admission.penalize(self.key, self.admission.limits.violation_penalty, now);
    }
}

impl Drop for SessionSlot {
    fn drop(&mut self) {
        decrement(&mut self.admission.lock().sessions, self.key);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const HONEST: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    const NEVER: u32 = u32::MAX;

    fn door() -> Arc<Admission> {
        Admission::new(AdmissionLimits::default())
    }

    #[test]
    fn each_channel_has_its_own_rate() {
        for (channel, limit) in [(Channel::S2s, 30), (Channel::Rdv, 60), (Channel::Admin, 30)] {
            let (door, now) = (door(), Instant::now());
            for attempt in 0..limit {
                let permit = door.admit(channel, HONEST, now, NEVER);
                assert!(permit.is_ok(), "{channel:?} {attempt}");
                permit.unwrap().fail(Failure::Unfinished, now);
            }
            let refused = door.admit(channel, HONEST, now, NEVER).err();
            assert!(matches!(refused, Some(Refusal::TooOften { .. })), "{channel:?} {refused:?}");
            assert!(door.admit(channel, OTHER, now, NEVER).is_ok(), "{channel:?}: another source is not concerned");
        }
    }

    #[test]
    fn success_gives_the_attempt_back() {
        let (door, now) = (door(), Instant::now());
        for _ in 0..100 {
            drop(door.admit(Channel::S2s, HONEST, now, NEVER).unwrap().succeed());
        }
    }

    #[test]
    fn half_open_connections_are_capped_per_source() {
        let (door, now) = (door(), Instant::now());
        let held: Vec<_> = (0..8).map(|_| door.admit(Channel::Rdv, HONEST, now, NEVER).unwrap()).collect();
        assert_eq!(door.admit(Channel::Rdv, HONEST, now, NEVER).err(), Some(Refusal::SourceHalfOpen));
        assert!(door.admit(Channel::Rdv, OTHER, now, NEVER).is_ok());
        drop(held);
        assert_eq!(door.half_open(), 0);
    }

    #[test]
    fn random_early_drop_grows_from_the_start_to_the_cap() {
        let percent = |percent: u64| u32::try_from((percent << 32) / 100).unwrap();
        for (name, open, draw, dropped) in [
            ("below the start nobody", 511, 0, false),
            ("at the start 30 %, a low draw", 512, percent(29), true),
            ("at the start 30 %, a high draw", 512, percent(31), false),
            ("half way 65 %, a low draw", 1280, percent(64), true),
            ("half way 65 %, a high draw", 1280, percent(66), false),
            ("at the cap everybody", 2048, u32::MAX, true),
        ] {
            assert_eq!(dropped_at_random(open, 512, 30, 2048, draw), dropped, "{name}");
        }
    }

    #[test]
    fn penalties_add_up_are_served_and_end() {
        let (door, start) = (door(), Instant::now());
        let fail = |failure, now| door.admit(Channel::S2s, HONEST, now, NEVER).unwrap().fail(failure, now);
        fail(Failure::Deadline, start);
        fail(Failure::BadHello, start);
        // 15 s together: still free. One more is not.
        fail(Failure::BadHello, start);
        let refused = door.admit(Channel::S2s, HONEST, start, NEVER).err();
        assert_eq!(refused, Some(Refusal::Penalized { retry_after: Duration::from_secs(20) }));
        let nearly = start + Duration::from_millis(19_999);
        assert!(door.admit(Channel::S2s, HONEST, nearly, NEVER).is_err(), "a penalty is served to the end");
        assert!(door.admit(Channel::S2s, HONEST, start + Duration::from_secs(20), NEVER).is_ok());
        assert!(door.admit(Channel::S2s, OTHER, start, NEVER).is_ok());
    }

    #[test]
    fn a_violation_after_authentication_is_penalized_at_once_and_capped() {
        let (door, now) = (door(), Instant::now());
        let slot = door.admit(Channel::S2s, HONEST, now, NEVER).unwrap().succeed();
        for _ in 0..100 {
            slot.penalize(now);
        }
        let refused = door.admit(Channel::S2s, HONEST, now, NEVER).err();
        assert_eq!(refused, Some(Refusal::Penalized { retry_after: Duration::from_secs(600) }));
    }

    #[test]
    fn a_permit_that_is_dropped_has_failed() {
        let (door, now) = (door(), Instant::now());
        for _ in 0..4 {
            drop(door.admit(Channel::S2s, HONEST, now, NEVER).unwrap());
        }
        assert!(matches!(door.admit(Channel::S2s, HONEST, now, NEVER).err(), Some(Refusal::Penalized { .. })));
    }

    #[test]
    fn sessions_are_capped_per_source() {
        let limits = AdmissionLimits { sessions_per_source_max: 2, ..AdmissionLimits::default() };
        let (door, now) = (Admission::new(limits), Instant::now());
        let first = door.admit(Channel::S2s, HONEST, now, NEVER).unwrap().succeed();
        let _second = door.admit(Channel::S2s, HONEST, now, NEVER).unwrap().succeed();
        assert_eq!(door.admit(Channel::S2s, HONEST, now, NEVER).err(), Some(Refusal::SourceSessions));
        drop(first);
        assert!(door.admit(Channel::S2s, HONEST, now, NEVER).is_ok());
    }

    /// Goal: neither a botnet nor one customer's /48 makes the door's memory grow. Method: a million IPv4 addresses and every /64 of a /48, one
    /// attempt each.
    #[test]
    fn a_million_sources_cost_bounded_memory_and_nobody_else() {
        let (door, now) = (door(), Instant::now());
        let tracked = |door: &Admission| {
            let state = door.lock();
            let rates: usize = state.rates.iter().map(|(_, sources, networks)| sources.len().max(networks.len())).max().unwrap();
            rates.max(state.penalties.len()).max(state.half_open.len())
        };
        let mut admitted = 0;
        for number in 0..1_000_000 {
            let v4 = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number));
            drop(door.admit(Channel::S2s, v4, now, NEVER).unwrap());
        }
        for subnet in 0..=u16::MAX {
            let v6 = Ipv6Addr::from(0x2001_0db8_0001_u128 << 80 | u128::from(subnet) << 64);
            admitted += u32::from(door.admit(Channel::Rdv, IpAddr::V6(v6), now, NEVER).is_ok());
        }
        assert!(tracked(&door) <= 65_536, "{}", tracked(&door));
        assert!(admitted <= 8 * 60, "one /48 got {admitted} attempts");
        assert!(door.admit(Channel::Rdv, "2001:db8:2::1".parse().unwrap(), now, NEVER).is_ok());
        assert_eq!(door.half_open(), 0);
    }
}
