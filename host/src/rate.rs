//! How often each of many strangers may try: a bounded table of token buckets, without a clock.
//!
//! [`KeyedRate`] is what the sockets, the handshakes and HTTP limit attempts with. A bucket is one instant (the generic cell rate algorithm):
//! the time at which it would be full again. The table forgets the keys that were longest out of use, so that a flood of new keys costs a
//! fixed amount of memory; a forgotten key starts with a full bucket (overflow is permissive: the bound protects the host's memory, and a key
//! that is worth remembering is one that keeps coming).

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Who is counted as one: an IPv4 address, or the /64 that an IPv6 customer has at least; /48 for the network above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// One IPv4 address.
    V4([u8; 4]),
    /// The first 64 bits of an IPv6 address.
    V6Net64([u8; 8]),
    /// The first 48 bits of an IPv6 address.
    V6Net48([u8; 6]),
}

impl Source {
    /// The source of an address. An IPv4 address in IPv6 clothes is that IPv4 address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.octets()),
            IpAddr::V6(v6) => Self::V6Net64(prefix(v6)),
        }
    }

    /// The network above: whoever has a /48 has 65,536 of the /64.
    #[must_use]
    pub fn network(self) -> Option<Self> {
        match self {
            Self::V6Net64([a, b, c, d, e, f, _, _]) => Some(Self::V6Net48([a, b, c, d, e, f])),
            Self::V4(_) | Self::V6Net48(_) => None,
        }
    }
}

fn prefix(address: Ipv6Addr) -> [u8; 8] {
    *address.octets().first_chunk().expect("an IPv6 address has 16 bytes")
}

/// So many attempts at once, and then one more each time a `limit`-th part of the minute has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_attempt: Duration,
    burst: Duration,
}

impl Rate {
    /// `limit` attempts per minute; 0 is taken as 1.
    #[must_use]
    pub fn per_minute(limit: u32) -> Self {
        let limit = limit.max(1);
        let per_attempt = Duration::from_secs(60) / limit;
        Self { per_attempt, burst: per_attempt * limit }
    }

    /// The same for `times` sources together.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { per_attempt: self.per_attempt / times.max(1), burst: self.burst }
    }

    /// When the bucket is full again after one more attempt.
    ///
    /// # Errors
    /// The bucket is empty: how long until it is not.
    fn after_attempt(self, full_at: Option<Instant>, now: Instant) -> Result<Instant, TooOften> {
        let full_at = full_at.map_or(now, |at| at.max(now)) + self.per_attempt;
        let ahead = full_at.duration_since(now);
        match ahead.checked_sub(self.burst) {
            Some(retry_after) if !retry_after.is_zero() => Err(TooOften { retry_after }),
            _ => Ok(full_at),
        }
    }
}

/// More attempts than the rate allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts, retry after {} ms", retry_after.as_millis())]
pub struct TooOften {
    /// When the next attempt is allowed.
    pub retry_after: Duration,
}

/// One [`Rate`] for each of at most `keys_max` keys.
#[derive(Debug)]
pub struct KeyedRate<K> {
    rate: Rate,
    full_at: Recent<K, Instant>,
}

impl<K: Copy + Eq + Hash> KeyedRate<K> {
    /// An empty table.
    #[must_use]
    pub fn new(rate: Rate, keys_max: usize) -> Self {
        Self { rate, full_at: Recent::new(keys_max) }
    }

    /// Whether an attempt would be allowed, without counting it.
    ///
    /// # Errors
    /// The stranger's fault: [`TooOften`].
    pub fn check(&mut self, key: K, now: Instant) -> Result<(), TooOften> {
        self.rate.after_attempt(self.full_at.get(key).copied(), now).map(drop)
    }

    /// Counts an attempt. A refused one is not counted.
    ///
    /// # Errors
    /// The stranger's fault: [`TooOften`].
    pub fn charge(&mut self, key: K, now: Instant) -> Result<(), TooOften> {
        let full_at = self.rate.after_attempt(self.full_at.get(key).copied(), now)?;
        self.full_at.put(key, full_at);
        Ok(())
    }

    /// Takes one counted attempt back: it succeeded.
    pub fn refund(&mut self, key: K) {
        if let Some(full_at) = self.full_at.get(key) {
            *full_at = full_at.checked_sub(self.rate.per_attempt).unwrap_or(*full_at);
        }
    }

    /// Keys remembered now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.full_at.len()
    }

    /// Whether no key is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A map of at most `entries_max` entries that forgets those longest out of use.
///
/// Two halves instead of a list through the entries: what is used moves into the young half; when that is full, the old half is dropped and
/// the young one becomes old. The newest `entries_max / 2` keys are therefore always remembered.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half_max: usize,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half_max: (entries_max / 2).max(1) }
    }

    pub(crate) fn get(&mut self, key: K) -> Option<&mut V> {
        if let Some(value) = self.old.remove(&key) {
            self.put(key, value);
        }
        self.young.get_mut(&key)
    }

    pub(crate) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.half_max && !self.young.contains_key(&key) {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_one_at_a_time() {
        let start = Instant::now();
        for limit in [1, 7, 30, 60] {
            let mut rate = KeyedRate::new(Rate::per_minute(limit), 64);
            for attempt in 0..limit {
                assert_eq!(rate.charge("a", start), Ok(()), "{attempt} of {limit}");
            }
            let refused = rate.charge("a", start).unwrap_err();
            assert_eq!(rate.charge("b", start), Ok(()), "another key is not concerned");
            let just_before = start + refused.retry_after - Duration::from_millis(1);
            assert!(rate.charge("a", just_before).is_err(), "{limit}");
            assert_eq!(rate.charge("a", start + refused.retry_after), Ok(()), "{limit}");
        }
    }

    #[test]
    fn an_attempt_that_succeeds_costs_nothing() {
        let start = Instant::now();
        let mut rate = KeyedRate::new(Rate::per_minute(30), 64);
        for _ in 0..1000 {
            assert_eq!(rate.charge(1, start), Ok(()));
            rate.refund(1);
        }
    }

    #[test]
    fn addresses_of_one_customer_are_one_source() {
        let source = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::9"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_eq!(source("2001:db8:1:2::1").network(), source("2001:db8:1:3::1").network());
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("192.0.2.1").network(), None);
    }

    #[test]
    fn the_table_forgets_the_longest_unused_keys_first() {
        let mut recent = Recent::new(8);
        recent.put(0, "kept");
        for key in 1..1000 {
            recent.put(key, "passing");
            assert!(recent.len() <= 8);
            assert_eq!(recent.get(0), Some(&mut "kept"));
        }
        assert_eq!(recent.get(1), None);
    }
}
