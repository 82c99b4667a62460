//! Passwords: argon2id on a bounded pool of threads that are not the runtime's.
//!
//! One hash costs 19 MiB and tens of milliseconds, so a flood of logins would be a denial of service. Two bounds stand against it: so many
//! hashes are computed at once, and so many callers wait; everybody else hears [`PasswordError::Busy`] at once. Memory is bounded by the first.
//! A hash that was begun is finished, and its place is taken until then, even if the caller went away.
//!
//! A name that nobody has costs the same as a wrong password: it is compared with a fixed dummy hash.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use zeroize::Zeroizing;

/// Characters of a password, at least.
pub const PASSWORD_LEN_MIN: usize = 8;
/// Bytes of a password, at most: hashing must not cost what the asker decides.
pub const PASSWORD_BYTES_MAX: usize = 128;
/// Seconds after which a caller that found no room may come again.
pub const RETRY_AFTER_S: u64 = 2;

/// A password as it was typed. Zeroized when dropped; never printed, compared or stored.
pub struct Password(Zeroizing<String>);

/// The text cannot be a password here. The player's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a password has at least {PASSWORD_LEN_MIN} characters and at most {PASSWORD_BYTES_MAX} bytes")]
pub struct BadPassword;

impl Password {
    /// Takes what was typed, if its length is allowed. Everything else about it is the player's business.
    ///
    /// # Errors
    /// [`BadPassword`].
    pub fn new(typed: Zeroizing<String>) -> Result<Self, BadPassword> {
        let long_enough = typed.chars().take(PASSWORD_LEN_MIN).count() == PASSWORD_LEN_MIN;
        if long_enough && typed.len() <= PASSWORD_BYTES_MAX { Ok(Self(typed)) } else { Err(BadPassword) }
    }
}

/// What one hash costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory in KiB, at least 8 per lane.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for PasswordCost {
    /// OWASP's minimum.
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2, lanes: 1 }
    }
}

/// Argon2 cannot be computed with this cost. The operator's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("passwords cannot be hashed with {cost:?}")]
pub struct BadCost {
    /// As configured.
    pub cost: PasswordCost,
    /// What argon2 said.
    #[source]
    pub source: argon2::Error,
}

/// Why a password was not looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// Too many wait already. Come again after [`RETRY_AFTER_S`].
    #[error("too many passwords wait to be hashed")]
    Busy,
    /// The stored text is not a hash, or the system gave no memory or randomness. Our fault or the environment's.
    #[error("a password could not be hashed")]
    Hashing(#[from] argon2::password_hash::Error),
    /// The system gave no randomness.
    #[error("no salt could be drawn")]
    Randomness(#[from] getrandom::Error),
    /// The runtime shuts down.
    #[error("the pool is closed")]
    Closed,
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// It is not the password.
    Wrong,
    /// It is.
    Right {
        /// The same password hashed at today's cost, if it was stored at a lower one.
        rehashed: Option<String>,
    },
}

/// The pool. Clones share its bounds.
#[derive(Clone)]
pub struct PasswordPool {
    cost: PasswordCost,
    argon2: Argon2<'static>,
    dummy: Arc<str>,
    places: Arc<Semaphore>,
    hashing: Arc<Semaphore>,
}

impl PasswordPool {
    /// A pool that computes `hashing_at_once_max` hashes at a time and lets `waiting_max` callers wait. Computes one hash.
    ///
    /// # Errors
    /// [`BadCost`], or [`PasswordError`] if the dummy hash cannot be computed.
    pub fn new(cost: PasswordCost, hashing_at_once_max: usize, waiting_max: usize) -> Result<Self, PoolError> {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, None).map_err(|source| BadCost { cost, source })?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        // Nobody's password: only its cost matters.
        let dummy = hash(&argon2, "no account has this name").map_err(PoolError::Dummy)?;
        Ok(Self {
            cost,
            argon2,
            dummy: dummy.into(),
            places: Arc::new(Semaphore::new(hashing_at_once_max + waiting_max)),
            hashing: Arc::new(Semaphore::new(hashing_at_once_max)),
        })
    }

    /// Hashes a new password, with a fresh salt, to its PHC text.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn hash(&self, password: Password) -> Result<String, PasswordError> {
        let argon2 = self.argon2.clone();
        self.run(move || hash(&argon2, &password.0)).await
    }

    /// Compares a password with a stored hash; `None` (no such account, or one without a password) takes as long and is always wrong.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn verify(&self, password: Password, stored: Option<String>) -> Result<Verified, PasswordError> {
        let (argon2, dummy, cost) = (self.argon2.clone(), Arc::clone(&self.dummy), self.cost);
        self.run(move || {
            let known = stored.is_some();
            let stored = PasswordHash::new(stored.as_deref().unwrap_or(&dummy)).map_err(argon2::password_hash::Error::from)?;
            // The cost of the stored hash counts, not today's.
            let same = argon2.verify_password(password.0.as_bytes(), &stored).is_ok();
            if !(same && known) {
                return Ok(Verified::Wrong);
            }
            let rehashed = cost.exceeds(&Params::try_from(&stored)?).then(|| hash(&argon2, &password.0)).transpose()?;
            Ok(Verified::Right { rehashed })
        })
        .await
    }

    async fn run<T, F>(&self, work: F) -> Result<T, PasswordError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, PasswordError> + Send + 'static,
    {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(TryAcquireError::NoPermits) => return Err(PasswordError::Busy),
            Err(TryAcquireError::Closed) => return Err(PasswordError::Closed),
        };
        let Ok(turn) = Arc::clone(&self.hashing).acquire_owned().await else { return Err(PasswordError::Closed) };
        tokio::task::spawn_blocking(move || {
            let _held: [OwnedSemaphorePermit; 2] = [place, turn];
            work()
        })
        .await
        .unwrap_or(Err(PasswordError::Closed))
    }
}

/// Why there is no pool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The operator's fault.
    #[error(transparent)]
    Cost(#[from] BadCost),
    /// Not even one hash could be computed.
    #[error("the first password hash failed")]
    Dummy(#[source] PasswordError),
}

impl PasswordCost {
    /// Whether a hash stored with `stored` is cheaper than this in any way.
    fn exceeds(self, stored: &Params) -> bool {
        self.memory_kib > stored.m_cost() || self.passes > stored.t_cost() || self.lanes > stored.p_cost()
    }
}

fn hash(argon2: &Argon2<'static>, password: &str) -> Result<String, PasswordError> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)?;
    Ok(argon2.hash_password_with_salt(password.as_bytes(), &salt)?.to_string())
}

impl std::fmt::Debug for PasswordPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordPool").field("cost", &self.cost).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CHEAP: PasswordCost = PasswordCost { memory_kib: 8, passes: 1, lanes: 1 };

    fn typed(text: &str) -> Password {
        Password::new(Zeroizing::new(text.to_owned())).unwrap()
    }

    #[test]
    fn only_the_length_of_a_password_is_judged() {
        for (name, text, fits) in [
            ("seven", "1234567".to_owned(), false),
            ("eight", "12345678".to_owned(), true),
            ("eight characters of two bytes", "äöüßäöüß".to_owned(), true),
            ("four characters of two bytes", "äöüß".to_owned(), false),
            ("the longest", "x".repeat(128), true),
            ("one more", "x".repeat(129), false),
        ] {
            assert_eq!(Password::new(Zeroizing::new(text)).is_ok(), fits, "{name}");
        }
    }

    #[tokio::test]
    async fn a_password_is_right_only_for_its_own_hash() {
        let pool = PasswordPool::new(CHEAP, 1, 4).unwrap();
        let stored = pool.hash(typed("correct horse")).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{stored}");
        let verify = |text: &'static str, stored: Option<String>| {
            let pool = pool.clone();
            async move { pool.verify(typed(text), stored).await.unwrap() }
        };
        assert_eq!(verify("correct horse", Some(stored.clone())).await, Verified::Right { rehashed: None });
        assert_eq!(verify("correct house", Some(stored)).await, Verified::Wrong);
    }

    #[tokio::test]
    async fn nobodys_name_is_wrong_even_with_the_dummys_own_password() {
        let pool = PasswordPool::new(CHEAP, 1, 4).unwrap();
        assert_eq!(pool.verify(typed("no account has this name"), None).await.unwrap(), Verified::Wrong);
    }

    #[tokio::test]
    async fn a_cheaper_hash_is_replaced_at_the_next_login() {
        let old = PasswordPool::new(CHEAP, 1, 4).unwrap();
        let stored = old.hash(typed("correct horse")).await.unwrap();
        let dearer = PasswordPool::new(PasswordCost { memory_kib: 16, ..CHEAP }, 1, 4).unwrap();
        let Verified::Right { rehashed: Some(rehashed) } = dearer.verify(typed("correct horse"), Some(stored)).await.unwrap() else {
            panic!("not rehashed")
        };
        assert!(rehashed.contains("m=16,"), "{rehashed}");
        // A lower cost than the stored one is no reason to weaken it.
        assert_eq!(old.verify(typed("correct horse"), Some(rehashed)).await.unwrap(), Verified::Right { rehashed: None });
    }

    #[tokio::test]
    async fn beyond_the_waiting_room_nobody_waits() {
        let pool = PasswordPool::new(CHEAP, 1, 1).unwrap();
        let _both = Arc::clone(&pool.places).acquire_many_owned(2).await.unwrap();
        assert!(matches!(pool.verify(typed("correct horse"), None).await, Err(PasswordError::Busy)));
    }
}
