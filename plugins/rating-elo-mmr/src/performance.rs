//! How well each place of a contest was played: the performance under which the places are likeliest.
//!
//! Ebtekar and Liu, "Elo-MMR: A rating system for massive multiplayer competitions" (WWW 2021), section 3.1. A team's performance is its
//! skill plus noise, with the belief about both as one [`Term`]. Whoever placed k-th outperformed all behind and was outperformed by all
//! before, and equation 8 of the paper gives the likeliest performance as the root of a falling function, a sum of one summand per
//! team. A team counts as tied with itself, which keeps the root finite; all teams of one place therefore share a root.
//!
//! With logistic terms the summands of those before and of those behind differ by constants only, so that one function, shifted, serves
//! every place. From [`TABLE_MIN`] teams on it is tabulated once: a contest of n teams costs n summands per grid point instead of
//! per place and step.

use core::f64::consts::PI;

use normal::above;

/// Deviation of a logistic distribution in units of its scale: pi / sqrt(3).
pub const TANH_MULTIPLIER: f64 = PI / 1.732_050_807_568_877_2;

/// Teams from which a table is faster than the sums themselves.
const TABLE_MIN: usize = 40;

/// Grid points per deviation of the narrowest term. The summands have their nearest poles 1.7 deviations off the real axis, so that a
/// quintic on this grid is right to about one part in 10^9.
const GRID_PER_DEVIATION: f64 = 10.0;

/// Grid points at most; fields spread wider than that go without a table.
const GRID_MAX: f64 = 20_000.0;

/// Steps of a search at most. Halving alone would need about a hundred.
const STEPS_MAX: usize = 250;

/// A search ends with a step of Newton's method below this share of a deviation: such a step leaves about the square of itself.
const SETTLED: f64 = 1e-7;

/// Which distribution performances have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub enum System {
    /// Logistic performances: one disaster or triumph moves a rating by a bounded amount.
    #[default]
    #[serde(rename = "elo-mmr")]
    EloMmr,
    /// Gaussian performances.
    #[serde(rename = "elo-mmx")]
    EloMmx,
}

/// What is expected of one team: the belief about its skill with the noise of one performance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// Expected performance.
    pub mean: f64,
    /// Standard deviation, above 0.
    pub deviation: f64,
}

/// How a team compares with the one whose performance is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Better,
    Equal,
    Worse,
}

/// A sum and its slope.
type Sloped = (f64, f64);

impl Term {
    /// Weight of the term's summand: the slope of log likelihoods far from the mean.
    fn weight(&self) -> f64 {
        TANH_MULTIPLIER / self.deviation
    }

    /// Minus the hyperbolic tangent, times the weight, at performance `x`, with its first two derivatives.
    fn tangent(&self, x: f64) -> [f64; 3] {
        let weight = self.weight();
        let (tanh, square) = tangent((x - self.mean) * 0.5 * weight);
        let slope = -0.5 * weight * weight * square;
        [-weight * tanh, slope, -weight * tanh * slope]
    }

    fn logistic(&self, x: f64, order: Order, split_ties: bool) -> Sloped {
        let [value, slope, _] = self.tangent(x);
        match order {
            Order::Better => (value - self.weight(), slope),
            Order::Worse => (value + self.weight(), slope),
            Order::Equal if split_ties => (value, slope),
            // Win and loss at once: the density itself.
            Order::Equal => (2.0 * value, 2.0 * slope),
        }
    }

    fn gaussian(&self, x: f64, order: Order, split_ties: bool) -> Sloped {
        let z = (x - self.mean) / self.deviation;
        let scaled = |value: f64, slope: f64| (value / self.deviation, -slope / (self.deviation * self.deviation));
        let (won, lost) = (above(z, 0.0), above(-z, 0.0));
        match order {
            Order::Better => scaled(-lost.shift, 1.0 - lost.variance_left),
            Order::Worse => scaled(won.shift, 1.0 - won.variance_left),
            Order::Equal if split_ties => scaled(0.5 * (won.shift - lost.shift), 0.5 * (2.0 - won.variance_left - lost.variance_left)),
            Order::Equal => scaled(-z, 1.0),
        }
    }
}

/// Hyperbolic tangent of `z`, and one minus its square without cancellation.
pub(crate) fn tangent(z: f64) -> (f64, f64) {
    let e = libm::exp(-2.0 * z.abs());
    let whole = 1.0 + e;
    let tanh = (1.0 - e) / whole;
    (if z < 0.0 { -tanh } else { tanh }, 4.0 * e / (whole * whole))
}

/// A contest: what was expected of each team, and how the performances follow from places.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Which distribution performances have.
    pub system: System,
    /// Whether a tie is half a win and half a loss, instead of performances that were equal.
    pub split_ties: bool,
    /// Per team.
    pub terms: &'a [Term],
    /// Per team: 0 is best, equal places are ties.
    pub places: &'a [u16],
}

impl Field<'_> {
    /// The performance of each team, in the order of the teams.
    pub fn performances(&self) -> Vec<f64> {
        let mut order: Vec<usize> = (0..self.terms.len()).collect();
        // By mean and deviation where places are equal: sums then do not depend on the order of the teams.
        order.sort_by(|&a, &b| {
            let by_place = self.places[a].cmp(&self.places[b]);
            by_place
                .then_with(|| self.terms[a].mean.total_cmp(&self.terms[b].mean))
                .then_with(|| self.terms[a].deviation.total_cmp(&self.terms[b].deviation))
        });
        let terms: Vec<Term> = order.iter().map(|&team| self.terms[team]).collect();
        let bracket = bracket(&terms);
        let table = self.wants_table().then(|| Table::new(&terms, bracket)).flatten();
        let mut performances = vec![0.0; terms.len()];
        let (mut start, mut guess) = (0, bracket.1);
        while start < terms.len() {
            let place = self.places[order[start]];
            let end = order[start..].iter().position(|&team| self.places[team] != place).map_or(terms.len(), |tied| start + tied);
            let tied = start..end;
            guess = match &table {
                Some(table) => solve(bracket, guess, terms[start].deviation, |x| self.shifted(table, &terms, tied.clone(), x)),
                None => solve(bracket, guess, terms[start].deviation, |x| self.sum(&terms, tied.clone(), x)),
            };
            for &team in &order[tied] {
                performances[team] = guess;
            }
            start = end;
        }
        performances
    }

    fn wants_table(&self) -> bool {
        self.system == System::EloMmr && self.terms.len() >= TABLE_MIN
    }

    /// The falling function whose root is the performance of the teams `tied`; `terms` are in the order of their places.
    fn sum(&self, terms: &[Term], tied: core::ops::Range<usize>, x: f64) -> Sloped {
        let term = |term: &Term, order| match self.system {
            System::EloMmr => term.logistic(x, order, self.split_ties),
            System::EloMmx => term.gaussian(x, order, self.split_ties),
        };
        let ordered = |range: core::ops::Range<usize>, order| terms[range].iter().map(move |one| term(one, order));
        let better = ordered(0..tied.start, Order::Better);
        let worse = ordered(tied.end..terms.len(), Order::Worse);
        better.chain(ordered(tied, Order::Equal)).chain(worse).fold((0.0, 0.0), add)
    }

    /// The same from the table.
    fn shifted(&self, table: &Table, terms: &[Term], tied: core::ops::Range<usize>, x: f64) -> Sloped {
        let offset = table.weight_before[terms.len()] - table.weight_before[tied.end] - table.weight_before[tied.start];
        let all = add(table.at(x), (offset, 0.0));
        if self.split_ties {
            return all;
        }
        // The table has each team once, equal performances count twice.
        let once_more = |term: &Term| {
            let [value, slope, _] = term.tangent(x);
            (value, slope)
        };
        terms[tied].iter().map(once_more).fold(all, add)
    }
}

fn add(sum: Sloped, more: Sloped) -> Sloped {
    (sum.0 + more.0, sum.1 + more.1)
}

/// Where all performances lie. Above the best, n teams of one deviation each pull up by `2 exp(-2 z)` of their weight at most, and the tie
/// with oneself pulls down by half of one at least: they are even within `z = ln(2 n) / 2`, which is 0.56 ln(2 n) deviations. Narrower
/// terms are weaker there, and so are Gaussian ones.
fn bracket(terms: &[Term]) -> (f64, f64) {
    let fold = |of: fn(f64, f64) -> f64, from: f64, value: fn(&Term) -> f64| terms.iter().map(value).fold(from, of);
    let deviation = fold(f64::max, 0.0, |term| term.deviation);
    let margin = deviation * (1.5 + 0.56 * libm::log(2.0 * terms.len() as f64));
    let low = fold(f64::min, f64::INFINITY, |term| term.mean);
    let high = fold(f64::max, f64::NEG_INFINITY, |term| term.mean);
    (low - margin, high + margin)
}

/// Root of a function that falls inside a bracket: Newton's method where it makes good progress, halving elsewhere.
pub(crate) fn solve(bracket: (f64, f64), guess: f64, deviation: f64, f: impl Fn(f64) -> Sloped) -> f64 {
    let (mut low, mut high) = bracket;
    let mut x = guess.clamp(low, high);
    let mut last_step = high - low;
    let mut step = last_step;
    for _ in 0..STEPS_MAX {
        let (value, slope) = f(x);
        if value == 0.0 {
            break;
        }
        if value > 0.0 {
            low = x;
        } else {
            high = x;
        }
        let newton = x - value / slope;
        // Written so that a slope of zero, which makes no number, halves.
        let good = newton > low && newton < high && (2.0 * value).abs() <= (last_step * slope).abs();
        let next = if good { newton } else { 0.5 * (low + high) };
        (last_step, step) = (step, (next - x).abs());
        x = next;
        if step <= (if good { SETTLED } else { SETTLED * SETTLED }) * deviation {
            break;
        }
    }
    x
}

/// The sum of all tangents on a grid, by value and two derivatives.
struct Table {
    start: f64,
    width: f64,
    points: Vec<[f64; 3]>,
    /// Weights of the first so many terms together.
    weight_before: Vec<f64>,
}

impl Table {
    /// None for a field too wide for a table.
    fn new(terms: &[Term], (low, high): (f64, f64)) -> Option<Self> {
        let narrowest = terms.iter().map(|term| term.deviation).fold(f64::INFINITY, f64::min);
        let width = narrowest / GRID_PER_DEVIATION;
        let intervals = ((high - low) / width).ceil();
        if intervals.is_nan() || intervals > GRID_MAX {
            return None;
        }
        let mut points = vec![[0.0; 3]; intervals as usize + 1];
        for (index, point) in points.iter_mut().enumerate() {
            let x = low + index as f64 * width;
            for term in terms {
                let tangent = term.tangent(x);
                (0..3).for_each(|order| point[order] += tangent[order]);
            }
        }
        let mut weight_before = vec![0.0; terms.len() + 1];
        for (index, term) in terms.iter().enumerate() {
            weight_before[index + 1] = weight_before[index] + term.weight();
        }
        Some(Table { start: low, width, points, weight_before })
    }

    /// Value and slope by the quintic that agrees with both neighbors in value and two derivatives.
    fn at(&self, x: f64) -> Sloped {
        let position = (x - self.start) / self.width;
        let index = (position as usize).min(self.points.len() - 2);
        let t = position - index as f64;
        let (h, [p0, v0, a0], [p1, v1, a1]) = (self.width, self.points[index], self.points[index + 1]);
        let (v0, v1, a0, a1) = (v0 * h, v1 * h, 0.5 * a0 * h * h, 0.5 * a1 * h * h);
        // What a parabola from the left misses at the right end, in value, slope and half curvature.
        let (value, slope, bend) = (p1 - p0 - v0 - a0, v1 - v0 - 2.0 * a0, a1 - a0);
        let c3 = 10.0 * value - 4.0 * slope + bend;
        let c4 = -15.0 * value + 7.0 * slope - 2.0 * bend;
        let c5 = 6.0 * value - 3.0 * slope + bend;
        let sum = p0 + t * (v0 + t * (a0 + t * (c3 + t * (c4 + t * c5))));
        let rise = v0 + t * (2.0 * a0 + t * (3.0 * c3 + t * (4.0 * c4 + t * 5.0 * c5)));
        (sum, rise / h)
    }
}
