//! The client's clock and random bytes: the one place that asks the operating system.

use std::time::{SystemTime, UNIX_EPOCH};

use ladder::time::UnixMillis;

/// Milliseconds since the Unix epoch, by the system clock.
#[must_use]
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Random bytes from the operating system.
///
/// # Panics
///
/// If the operating system has none to give: nothing that needs a secret may go on then.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
