//! What the engine remembers of the whole queue: one row of numbers in sections, read and written in place.
//!
//! ```text
//! dimensions | head | weights | spreads | sides | maps x sides | modes x sides | modes x (row + statistics) | statistics
//! ```
//!
//! A queue whose lists of sides, maps, modes or statistics were changed starts those sections anew and keeps the rest.

use std::borrow::Cow;

use crate::grid::{GRID, LANES};
use crate::{mixture, terms};

/// Names beyond these share the row of the unknown one; statistics beyond are not looked at.
const SIDES_MAX: usize = 8;
const MAPS_MAX: usize = 256;
const MODES_MAX: usize = 64;
const STATS_MAX: usize = 32;

/// Bytes of a number.
const WIDTH: usize = 4;

const _: () = assert!(Layout::of(usize::MAX, usize::MAX, usize::MAX, usize::MAX).len * WIDTH <= 65_536);

/// Numbers that say which layout a memory was written with.
const DIMENSIONS: usize = 4;
/// Contests rated so far.
pub(crate) const CONTESTS: usize = DIMENSIONS;
/// Belief about the slope of the calibration: mean and variance, as all beliefs here.
pub(crate) const SLOPE: usize = CONTESTS + 1;
/// Belief about what experience adds to a performance.
pub(crate) const EXPERIENCE: usize = SLOPE + 2;
/// Belief about what one more player adds.
pub(crate) const SIZE: usize = EXPERIENCE + 2;
/// Weights of the configurations.
pub(crate) const WEIGHTS: usize = SIZE + 2;
/// Square of the difference that each configuration expects between two teams, on average.
pub(crate) const SPREADS: usize = WEIGHTS + LANES;
/// Least and most that such a square may be: the noise alone is 1.
pub(crate) const SPREAD_RANGE: (f64, f64) = (1.0, 1e4);
/// First section whose length depends on the queue.
const SECTIONS: usize = SPREADS + LANES;

/// Numbers of a mode before those of its statistics: contests, draws, and three scales.
const MODE_ROW: usize = 8;
const MODE_DRAWS: usize = 1;
const MODE_MARGIN: usize = 2;
const MODE_LINE: usize = 4;
const MODE_LINE_MARGIN: usize = 6;
/// Numbers of a scale: values seen, and the logarithm of their deviation.
const SCALE: usize = 2;
/// Numbers of a statistic: how often it agreed with the result, net of disagreement, and how much there was to agree on.
const STAT_ROW: usize = 2;

/// Where the numbers of one queue stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    sides: usize,
    maps: usize,
    modes: usize,
    stats: usize,
    map_sides: usize,
    mode_sides: usize,
    mode_rows: usize,
    stat_rows: usize,
    len: usize,
}

const fn at_most(count: usize, max: usize) -> usize {
    if count < max { count } else { max }
}

impl Layout {
    /// The layout for a queue with so many sides, maps, modes and statistics.
    pub(crate) const fn of(sides: usize, maps: usize, modes: usize, stats: usize) -> Self {
        let (sides, maps) = (at_most(sides, SIDES_MAX), at_most(maps, MAPS_MAX));
        let (modes, stats) = (at_most(modes, MODES_MAX), at_most(stats, STATS_MAX));
        let map_sides = SECTIONS + 2 * sides;
        let mode_sides = map_sides + 2 * sides * maps;
        let mode_rows = mode_sides + 2 * sides * modes;
        // One row more than modes: contests whose mode is unknown.
        let stat_rows = mode_rows + (modes + 1) * (MODE_ROW + SCALE * stats);
        let len = stat_rows + STAT_ROW * stats;
        Layout { sides, maps, modes, stats, map_sides, mode_sides, mode_rows, stat_rows, len }
    }

    /// Number of statistics that are looked at.
    pub(crate) fn stats(&self) -> usize {
        self.stats
    }

    /// Belief about what a side adds everywhere.
    pub(crate) fn side(&self, side: u16) -> Option<usize> {
        let side = usize::from(side);
        (side < self.sides).then_some(SECTIONS + 2 * side)
    }

    /// Belief about what a side adds on a map.
    pub(crate) fn map_side(&self, map: u16, side: u16) -> Option<usize> {
        let (map, side) = (usize::from(map), usize::from(side));
        (map < self.maps && side < self.sides).then_some(self.map_sides + 2 * (map * self.sides + side))
    }

    /// Belief about what a side adds in a mode.
    pub(crate) fn mode_side(&self, mode: u16, side: u16) -> Option<usize> {
        let (mode, side) = (usize::from(mode), usize::from(side));
        (mode < self.modes && side < self.sides).then_some(self.mode_sides + 2 * (mode * self.sides + side))
    }

    /// Row of a mode, or of the unknown mode.
    pub(crate) fn mode(&self, mode: Option<u16>) -> ModeRow {
        let mode = mode.map_or(self.modes, |mode| at_most(usize::from(mode), self.modes));
        ModeRow(self.mode_rows + mode * (MODE_ROW + SCALE * self.stats))
    }

    /// Agreement of a statistic with results.
    pub(crate) fn stat(&self, stat: usize) -> usize {
        self.stat_rows + STAT_ROW * stat
    }

    fn dimensions(&self) -> [usize; DIMENSIONS] {
        [self.sides, self.maps, self.modes, self.stats]
    }

    /// Whether a memory was written with this layout.
    pub(crate) fn fits(&self, memory: &[u8]) -> bool {
        let dimensions = self.dimensions().into_iter().enumerate();
        memory.len() == WIDTH * self.len && dimensions.into_iter().all(|(at, count)| number(memory, at) == count as f64)
    }

    /// The memory of a queue without a contest.
    pub(crate) fn fresh(&self, priors: &Priors) -> Vec<u8> {
        let mut memory = vec![0; WIDTH * self.len];
        for (at, count) in self.dimensions().into_iter().enumerate() {
            set(&mut memory, at, count as f64);
        }
        for (at, belief) in [(SLOPE, priors.slope), (EXPERIENCE, priors.experience), (SIZE, priors.size)] {
            write(&mut memory, at, belief);
        }
        for (lane, configuration) in GRID.iter().enumerate() {
            set(&mut memory, WEIGHTS + lane, 1.0 / LANES as f64);
            set(&mut memory, SPREADS + lane, 1.0 + configuration.prior * configuration.prior);
        }
        let sections = [(SECTIONS, self.map_sides, priors.side), (self.map_sides, self.mode_rows, priors.place)];
        for (from, to, belief) in sections {
            for at in (from..to).step_by(2) {
                write(&mut memory, at, belief);
            }
        }
        memory
    }

    /// A memory of whatever origin in this layout; what does not fit or makes no sense starts anew.
    pub(crate) fn adopted<'a>(&self, fresh: &[u8], memory: &'a [u8]) -> Cow<'a, [u8]> {
        let (fits, head) = (self.fits(memory), memory.get(..WIDTH * SECTIONS).filter(|head| head_is_sound(head)));
        let mut adopted = match (fits, head) {
            (true, Some(_)) => return Cow::Borrowed(memory),
            (true, None) => memory.to_vec(),
            (false, _) => fresh.to_vec(),
        };
        let head = head.unwrap_or(fresh);
        adopted[WIDTH * DIMENSIONS..WIDTH * SECTIONS].copy_from_slice(&head[WIDTH * DIMENSIONS..WIDTH * SECTIONS]);
        Cow::Owned(adopted)
    }

    /// The same in place.
    pub(crate) fn adopt(&self, fresh: &[u8], memory: &mut Vec<u8>) {
        if let Cow::Owned(adopted) = self.adopted(fresh, memory) {
            *memory = adopted;
        }
    }
}

/// Whether everything in the head of a memory is within the bounds that the engine keeps it in.
fn head_is_sound(head: &[u8]) -> bool {
    let within = |at: usize, (least, most): (f64, f64)| (least..=most).contains(&number(head, at));
    let term = |at: usize| {
        let Belief { mean, variance } = read(head, at);
        mean.abs() <= terms::MEAN_MAX && variance > 0.0 && variance <= terms::VARIANCE_MAX
    };
    let lanes = (0..LANES).all(|lane| within(WEIGHTS + lane, (0.0, 1.0 + 1e-6)) && within(SPREADS + lane, SPREAD_RANGE));
    let weight: f64 = (0..LANES).map(|lane| number(head, WEIGHTS + lane)).sum();
    // Stored numbers are rounded to seven digits.
    let (least, most) = mixture::SLOPE_RANGE;
    let slope = within(SLOPE, (least - 1e-6, most + 1e-6)) && within(SLOPE + 1, (0.0, 1.0));
    lanes && weight > 0.5 && slope && term(EXPERIENCE) && term(SIZE) && number(head, CONTESTS) >= 0.0
}

/// The numbers of one mode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ModeRow(usize);

impl ModeRow {
    /// Contests.
    pub(crate) fn contests(self) -> usize {
        self.0
    }

    /// Contests that ended in a draw.
    pub(crate) fn draws(self) -> usize {
        self.0 + MODE_DRAWS
    }

    /// Scale of margins.
    pub(crate) fn margin(self) -> usize {
        self.0 + MODE_MARGIN
    }

    /// Scale of margins made of statistics, where there are no scores.
    pub(crate) fn line_margin(self) -> usize {
        self.0 + MODE_LINE_MARGIN
    }

    /// Scale of what all statistics of a player say together.
    pub(crate) fn line(self) -> usize {
        self.0 + MODE_LINE
    }

    /// Scale of one statistic.
    pub(crate) fn stat(self, stat: usize) -> usize {
        self.0 + MODE_ROW + SCALE * stat
    }
}

/// A Gaussian belief about one number of the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Belief {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

/// What is believed of a queue without a contest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Priors {
    pub(crate) slope: Belief,
    pub(crate) experience: Belief,
    pub(crate) size: Belief,
    pub(crate) side: Belief,
    /// A side on one map or in one mode, beyond what it is everywhere.
    pub(crate) place: Belief,
}

/// The number at `at`.
pub(crate) fn number(memory: &[u8], at: usize) -> f64 {
    let mut bytes = [0; WIDTH];
    bytes.copy_from_slice(&memory[WIDTH * at..WIDTH * (at + 1)]);
    f64::from(f32::from_le_bytes(bytes))
}

/// Sets the number at `at`.
pub(crate) fn set(memory: &mut [u8], at: usize, value: f64) {
    // Seven digits: nothing that is learned here is known better.
    memory[WIDTH * at..WIDTH * (at + 1)].copy_from_slice(&(value as f32).to_le_bytes());
}

/// The belief at `at`.
pub(crate) fn read(memory: &[u8], at: usize) -> Belief {
    Belief { mean: number(memory, at), variance: number(memory, at + 1) }
}

/// Sets the belief at `at`.
pub(crate) fn write(memory: &mut [u8], at: usize, belief: Belief) {
    set(memory, at, belief.mean);
    set(memory, at + 1, belief.variance);
}
