//! How often an address may register and log in, and how long a guesser waits. Pure: time is an argument.
//!
//! **Per address**: a rate ([`KeyedRate`]), spent before anything else is looked at.
//!
//! **Per account** ([`LoginDelays`]): every wrong password doubles the pause before the next attempt counts. Nobody is ever locked out:
//! * One address against one account: three mistakes are free, then 1, 2, 4, .. up to [`PAIR_DELAY_MAX`].
//! * All addresses together against one account: after [`ACCOUNT_MISTAKES_FREE`] mistakes at most [`ACCOUNT_DELAY_MAX`], and never
//!   for an address that logged in to this account before. Somebody who guesses at an account cannot keep its owner out of it.
//! * A name that nobody has is treated the same: the delay tells nothing about who exists.
//!
//! An attempt is charged when it begins and given back when it succeeds, so that a hundred attempts at once are a hundred attempts.
//! Tables are bounded; when one is full the least recently used half is forgotten, which is permissive.

use std::time::{Duration, Instant};

use crate::http::names::AccountKey;
use crate::rate::{KeyedRate, Rate, Recent, Source, TooOften};

/// Mistakes of one address on one account that cost nothing.
pub const PAIR_MISTAKES_FREE: u32 = 3;
/// Longest pause of one address on one account.
pub const PAIR_DELAY_MAX: Duration = Duration::from_secs(300);
/// Mistakes of all addresses on one account that cost nothing.
pub const ACCOUNT_MISTAKES_FREE: u32 = 10;
/// Longest pause of an address that is new to an account.
pub const ACCOUNT_DELAY_MAX: Duration = Duration::from_secs(15);
/// Mistakes are forgotten after so long a quiet time.
pub const FORGET_AFTER: Duration = Duration::from_secs(1800);

/// Both limits of one host.
pub(super) struct Limits {
    /// Registrations and logins of each address.
    pub(super) addresses: KeyedRate<Source>,
    /// Attempts on accounts.
    pub(super) delays: LoginDelays,
}

impl Limits {
    /// `per_minute` attempts per address; `entries_max` rows in each table.
    pub(super) fn new(per_minute: u32, entries_max: usize) -> Self {
        Self { addresses: KeyedRate::new(Rate::per_minute(per_minute), entries_max), delays: LoginDelays::new(entries_max) }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Mistakes {
    count: u32,
    last: Option<Instant>,
    closed_until: Option<Instant>,
}

impl Mistakes {
    fn after_one_more(mut self, now: Instant, free: u32, delay_max: Duration) -> Self {
        if self.last.is_some_and(|last| now.duration_since(last) >= FORGET_AFTER) {
            self = Self::default();
        }
        self.count = self.count.saturating_add(1);
        self.last = Some(now);
        if self.count > free {
            let doublings = (self.count - free - 1).min(16);
            self.closed_until = Some(now + Duration::from_secs(1 << doublings).min(delay_max));
        }
        self
    }

    fn give_back(&mut self) {
        self.count = self.count.saturating_sub(1);
        self.closed_until = None;
    }

    fn check(&self, now: Instant) -> Result<(), TooOften> {
        match self.closed_until {
            Some(until) if now < until => Err(TooOften { retry_after: until - now }),
            _ => Ok(()),
        }
    }
}

/// The pauses of guessers.
pub struct LoginDelays {
    pairs: Recent<(AccountKey, Source), Mistakes>,
    accounts: Recent<AccountKey, Mistakes>,
    /// Who logged in to what.
    welcome: Recent<(AccountKey, Source), ()>,
}

impl LoginDelays {
    /// Remembers so many accounts and pairs of account and address.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self { pairs: Recent::new(entries_max), accounts: Recent::new(entries_max), welcome: Recent::new(entries_max) }
    }

    /// Begins an attempt and charges it as a mistake until [`Self::succeeded`] or [`Self::not_tried`] says otherwise.
    ///
    /// # Errors
    /// The stranger's fault: [`TooOften`]. Nothing was charged, and the password must not be looked at.
    pub fn begin(&mut self, now: Instant, account: AccountKey, source: Source) -> Result<(), TooOften> {
        let of_pair = self.pairs.get((account, source)).copied().unwrap_or_default();
        let of_account = self.accounts.get(account).copied().unwrap_or_default();
        let welcome = self.welcome.get((account, source)).is_some();
        of_pair.check(now)?;
        if !welcome {
            of_account.check(now)?;
            self.accounts.put(account, of_account.after_one_more(now, ACCOUNT_MISTAKES_FREE, ACCOUNT_DELAY_MAX));
        }
        self.pairs.put((account, source), of_pair.after_one_more(now, PAIR_MISTAKES_FREE, PAIR_DELAY_MAX));
        Ok(())
    }

    /// The password was right: this address is welcome at this account, and its mistakes are forgotten.
    pub fn succeeded(&mut self, account: AccountKey, source: Source) {
        self.give_back_to_account(account, source);
        self.pairs.put((account, source), Mistakes::default());
        self.welcome.put((account, source), ());
    }

    /// The password was not looked at, through no fault of the asker.
    pub fn not_tried(&mut self, account: AccountKey, source: Source) {
        self.give_back_to_account(account, source);
        if let Some(mistakes) = self.pairs.get((account, source)) {
            mistakes.give_back();
        }
    }

    /// Attempts from welcome addresses were never charged to the account.
    fn give_back_to_account(&mut self, account: AccountKey, source: Source) {
        if self.welcome.get((account, source)).is_some() {
            return;
        }
        if let Some(mistakes) = self.accounts.get(account) {
            mistakes.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn account(name: &str) -> AccountKey {
        AccountKey::of(name)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const HOME: Source = Source::V4([192, 0, 2, 1]);

    #[test]
    fn each_mistake_doubles_the_pause_up_to_its_end() {
        let mut delays = LoginDelays::new(64);
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..14 {
            while let Err(TooOften { retry_after }) = delays.begin(now, account("Ada"), HOME) {
                pauses.push(retry_after.as_secs());
                now += retry_after;
            }
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
    }

    #[test]
    fn a_hundred_attempts_at_once_are_a_hundred_attempts() {
        let (mut delays, now) = (LoginDelays::new(64), Instant::now());
        let passed = (0..100).filter(|_| delays.begin(now, account("ada"), HOME).is_ok()).count();
        assert_eq!(passed, 4, "three free ones and the one that starts the pause");
    }

    #[test]
    fn guessing_from_everywhere_does_not_keep_the_owner_out() {
        let (mut delays, now) = (LoginDelays::new(8192), Instant::now());
        delays.begin(now, account("ada"), HOME).unwrap();
        delays.succeeded(account("ada"), HOME);
        let botnet = (0..2000_u32).map(|address| Source::V4(address.to_be_bytes()));
        let guessed = botnet.filter(|&source| delays.begin(now, account("ADA"), source).is_ok()).count();
        assert_eq!(guessed, 11, "ten free ones and the one that starts the pause");
        assert_eq!(delays.begin(now, account("Ada"), HOME), Ok(()), "an address that logged in before");
        let elsewhere = delays.begin(now, account("ada"), Source::V4([198, 51, 100, 1]));
        assert!(elsewhere.is_err_and(|soon| soon.retry_after <= ACCOUNT_DELAY_MAX), "a new address waits a little");
    }

    #[test]
    fn what_was_not_tried_or_was_right_costs_nothing() {
        let (mut delays, now) = (LoginDelays::new(64), Instant::now());
        for _ in 0..50 {
            delays.begin(now, account("ada"), HOME).unwrap();
            delays.not_tried(account("ada"), HOME);
        }
        for _ in 0..50 {
            delays.begin(now, account("ada"), HOME).unwrap();
            delays.succeeded(account("ada"), HOME);
        }
    }

    #[test]
    fn mistakes_are_forgotten_after_a_while() {
        let (mut delays, now) = (LoginDelays::new(64), Instant::now());
        while delays.begin(now, account("ada"), HOME).is_ok() {}
        let later = now + FORGET_AFTER;
        assert_eq!((0..10).filter(|_| delays.begin(later, account("ada"), HOME).is_ok()).count(), 4);
    }

    #[test]
    fn a_hundred_thousand_names_take_no_more_room_than_the_tables_have() {
        let (mut delays, now) = (LoginDelays::new(1000), Instant::now());
        for number in 0..100_000 {
            delays.begin(now + seconds(number), account(&number.to_string()), HOME).unwrap();
        }
        assert!(delays.pairs.len() <= 1000 && delays.accounts.len() <= 1000);
    }
}
