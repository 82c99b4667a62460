//! Chance from a seed: the same seed tries the same things, on every machine and in every version of `rand`.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// A source of chance of its own for each check, so that one more draw in one does not shift the others.
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    /// The draws of the check named `what` under `seed`.
    pub(crate) fn new(seed: u64, what: &str) -> Self {
        // FNV-1a: any fixed mixing of the name will do.
        let stream = what.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// Below `end`; 0 if `end` is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { self.0.random_range(0..end) }
    }

    /// From 0 to 1.
    pub(crate) fn share(&mut self) -> f64 {
        self.0.random_range(0.0..1.0)
    }

    /// From `low` to `high`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.share()
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// A number of 64 bits.
    pub(crate) fn number(&mut self) -> u64 {
        self.0.random()
    }

    /// The numbers below `len`, shuffled.
    pub(crate) fn order(&mut self, len: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..len).collect();
        for last in (1..len).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_name_repeat_their_draws_and_others_differ() {
        let draws = |seed, what: &str| {
            let mut chance = Chance::new(seed, what);
            [chance.number(), chance.number()]
        };
        assert_eq!(draws(1, "order"), draws(1, "order"));
        assert_ne!(draws(1, "order"), draws(2, "order"));
        assert_ne!(draws(1, "order"), draws(1, "winner"));
    }

    #[test]
    fn an_order_holds_every_number_once() {
        let mut order = Chance::new(7, "x").order(50);
        assert_ne!(order, (0..50).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }
}
