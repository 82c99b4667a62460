//! What the engine remembers of one player: a Gaussian belief about his skill per configuration.

use crate::grid::{GRID, LANES, Lanes, VARIANCES, Variances};

/// Bytes of a player's memory: mean and variance per configuration.
pub(crate) const MEMORY_LEN: usize = LANES * 8;

/// Smallest variance that the engine works with.
const VARIANCE_MIN: f64 = 1e-6;

/// Farthest skill from the mean of newcomers that the engine works with.
const MEAN_MAX: f64 = 1e4;

/// The same as the bits of what is stored; a variance is at most that of the newcomers of any configuration.
const MEAN_BITS_MAX: u32 = (MEAN_MAX as f32).to_bits();
const VARIANCE_BITS_MIN: u32 = (VARIANCE_MIN as f32).to_bits();
const VARIANCE_BITS_MAX: u32 = 100_f32.to_bits();

/// Seconds in a day.
const DAY_S: f64 = 86_400.0;

/// Belief about one skill, per configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Skill {
    pub(crate) mean: Lanes,
    pub(crate) variance: Lanes,
}

impl Skill {
    /// A player never seen, as far as the memory goes: `mean` and `uncertainty` say what else is known, in units of a newcomer's
    /// uncertainty (0 and 1 for nothing).
    pub(crate) fn known_as(mean: f64, uncertainty: f64) -> Self {
        let mut skill = Skill { mean: [0.0; LANES], variance: [0.0; LANES] };
        for (lane, configuration) in GRID.iter().enumerate() {
            let deviation = configuration.prior * uncertainty.min(1.0);
            skill.mean[lane] = (mean * configuration.prior).clamp(-MEAN_MAX, MEAN_MAX);
            skill.variance[lane] = (deviation * deviation).max(VARIANCE_MIN);
        }
        skill
    }

    /// Reads a memory; `None` if no such belief was ever written.
    pub(crate) fn read(memory: &[u8]) -> Option<Self> {
        let (numbers, []) = memory.as_chunks::<4>() else { return None };
        if numbers.len() != 2 * LANES {
            return None;
        }
        let mut skill = Skill { mean: [0.0; LANES], variance: [0.0; LANES] };
        let mut sound = true;
        for lane in 0..LANES {
            let (mean, variance) = (u32::from_le_bytes(numbers[lane]), u32::from_le_bytes(numbers[LANES + lane]));
            // Positive floats are ordered like their bits, and a sandbox watches integers less closely.
            sound &= (mean & i32::MAX as u32) <= MEAN_BITS_MAX && (VARIANCE_BITS_MIN..=VARIANCE_BITS_MAX).contains(&variance);
            skill.mean[lane] = f64::from(f32::from_bits(mean));
            skill.variance[lane] = f64::from(f32::from_bits(variance));
        }
        sound.then_some(skill)
    }

    /// Writes the memory.
    pub(crate) fn write(&self, memory: &mut Vec<u8>) {
        memory.resize(MEMORY_LEN, 0);
        let (numbers, _) = memory.as_chunks_mut::<4>();
        for lane in 0..LANES {
            let mean = self.mean[lane].clamp(-MEAN_MAX, MEAN_MAX);
            // No `max`: a component calls a function for its rules about NaN.
            let variance = if self.variance[lane] > VARIANCE_MIN { self.variance[lane] } else { VARIANCE_MIN };
            // Seven digits are far more than the belief is worth.
            numbers[lane] = (mean as f32).to_le_bytes();
            numbers[LANES + lane] = (variance as f32).to_le_bytes();
        }
    }

    /// Lets time pass: `idle_s` seconds and, by share `played`, the step to the next contest. Nobody becomes less known than a newcomer.
    pub(crate) fn drift(&mut self, idle_s: u64, played: f64) {
        let days = idle_s as f64 / DAY_S;
        let Variances { drift, drift_day, prior } = &VARIANCES;
        for lane in 0..LANES {
            let drifted = self.variance[lane] + drift[lane] * played + drift_day[lane] * days;
            self.variance[lane] = if drifted < prior[lane] { drifted } else { prior[lane] };
        }
    }

    /// Keeps share `keep` of the evidence: of the precision beyond a newcomer's, and of the mean as far as it rests on that.
    pub(crate) fn soften(&mut self, keep: f64) {
        for (lane, configuration) in GRID.iter().enumerate() {
            let fresh = 1.0 / (configuration.prior * configuration.prior);
            let known = 1.0 / self.variance[lane];
            let left = fresh + keep * (known - fresh).max(0.0);
            self.mean[lane] *= keep * known / left;
            self.variance[lane] = 1.0 / left;
        }
    }
}
