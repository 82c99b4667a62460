//! Glicko-2 and Glicko for one player and one rating period: pure mathematics, no plugin in sight.
//!
//! * Glickman, "Example of the Glicko-2 system" (2013, revised 2022), cited as G2 with the number of its step.
//! * Glickman, "Parameter estimation in large dynamic paired comparison experiments" (Applied Statistics 48, 1999) and "The Glicko
//!   system" (glicko.net), cited as G1.
//!
//! On the scale of a logistic curve both are one model. The opponents' deviations flatten the curve by
//! `g(phi) = 1 / sqrt(1 + 3 phi^2 / pi^2)`, a score is expected as `E = 1 / (1 + exp(-g (mu - mu_j)))`, and a period's games are worth the
//! precision `1/v = sum g^2 E (1 - E)` and pull the mean by `sum g (s - E)`. Glicko-2 makes the drift between periods, the volatility,
//! a property of the player; Glicko has one constant for all.

use core::f64::consts::{LN_10, PI};

/// Points per unit of the logistic curve as G2 rounds it (steps 2 and 8); kept, because published numbers were computed with it.
pub const GLICKO2_SCALE: f64 = 173.7178;

/// Points per unit of the logistic curve of G1, 1/q there.
pub const GLICKO_SCALE: f64 = 400.0 / LN_10;

/// Where the search for a volatility stops as G2 suggests: when the logarithm of its square is known this well.
pub const VOLATILITY_TOLERANCE: f64 = 1e-6;

/// Steps of a search at most, and of one next to the old volatility.
const STEPS_MAX: usize = 200;
const NEAR_STEPS_MAX: usize = 8;

/// How near the old volatility Newton's method is trusted, as a step of the logarithm of its square.
const NEAR: f64 = 0.25;

/// Excess of a squared surprise from which the far bracket of G2 step 5 is not tried: beyond it lie roots at which the volatility, and
/// with it the deviation, would explode by orders of magnitude after one upset.
const EXCESS_MAX: f64 = 1e4;

/// Largest volatility that a surprise can lead to, per period.
const VOLATILITY_MAX: f64 = 1.0;

/// Smallest precision with which a surprise is compared: an upset that was impossible stays a number.
const PRECISION_MIN: f64 = 1e-100;

/// How an opponent's uncertainty flattens the curve; `variance` is phi squared (G2 step 3, G1 equation 2 of the summary).
pub fn flattening(variance: f64) -> f64 {
    1.0 / (1.0 + 3.0 / (PI * PI) * variance).sqrt()
}

/// Expected score at a lead of `gap` under a curve flattened by `g` (G2 step 3).
pub fn expected(g: f64, gap: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-g * gap))
}

/// What games say about one player, on the logistic scale.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// 1/v of G2 step 3.
    pub precision: f64,
    /// The sum of `g (s - E)` of G2 steps 4 and 7; times v it is their delta.
    pub pull: f64,
}

impl Evidence {
    /// Adds a game at a lead of `gap` with `score` 0, 0.5 or 1 under a curve flattened by `g`. It counts for `weight` games, and the
    /// player's own skill moves the lead by `reach`: 1 in a duel.
    pub fn add(&mut self, reach: f64, g: f64, gap: f64, score: f64, weight: f64) {
        let expected = expected(g, gap);
        let slope = reach * g;
        self.precision += weight * slope * slope * expected * (1.0 - expected);
        self.pull += weight * slope * (score - expected);
    }
}

/// What the root of G2 step 5 is looked for in; x of the paper counts from the logarithm of the old squared volatility.
struct Surprise {
    /// Old volatility, squared.
    old: f64,
    /// phi squared plus v.
    known: f64,
    /// delta squared beyond that.
    excess: f64,
    /// 1 / tau squared.
    stiffness: f64,
}

impl Surprise {
    /// f of G2 step 5, and its slope; as quotients of numbers of one size, because squares of an impossible upset would overflow.
    fn f(&self, x: f64, exp_x: f64) -> (f64, f64) {
        let drift = self.old * exp_x;
        let all = 1.0 / (self.known + drift);
        let (share, ratio) = (drift * all, (self.excess - drift) * all);
        let value = 0.5 * share * ratio - x * self.stiffness;
        (value, 0.5 * share * (ratio - 2.0 * share * ratio - share) - self.stiffness)
    }

    /// The root next to zero by Newton's method, if it is near: a surprise changes a volatility by a thousandth as a rule. None if it is not.
    fn near_root(&self, tolerance: f64) -> Option<f64> {
        let (mut x, mut exp_x) = (0.0, 1.0);
        for _ in 0..NEAR_STEPS_MAX {
            let (value, slope) = self.f(x, exp_x);
            let step = -value / slope;
            if !(slope < 0.0 && step.abs() <= NEAR) {
                return None;
            }
            x += step;
            // A step leaves less than its square: the curve bends by less than half of what it falls by.
            if step * step <= tolerance {
                return Some(x);
            }
            exp_x = libm::exp(x);
        }
        None
    }

    /// The root by the Illinois method, bracketed as in G2 step 5.
    fn root(&self, tau: f64, tolerance: f64) -> f64 {
        let f = |x: f64| self.f(x, libm::exp(x)).0;
        let (mut a, mut f_a) = (0.0, f(0.0));
        let unit = -libm::log(self.old);
        let mut b = if self.excess <= 0.0 {
            (1..STEPS_MAX).map(|k| -(k as f64) * tau).find(|&x| f(x) >= 0.0).unwrap_or(0.0)
        } else if self.excess > EXCESS_MAX && f(unit) < 0.0 {
            unit
        } else {
            libm::log(self.excess) + unit
        };
        let mut f_b = f(b);
        for _ in 0..STEPS_MAX {
            if (b - a).abs() <= tolerance || f_b == f_a {
                break;
            }
            let c = a + (a - b) * f_a / (f_b - f_a);
            let f_c = f(c);
            if f_c * f_b <= 0.0 {
                (a, f_a) = (b, f_b);
            } else {
                f_a *= 0.5;
            }
            (b, f_b) = (c, f_c);
        }
        a
    }
}

/// The player's volatility after a period (G2 step 5).
///
/// `variance` is phi squared before the period, `tau` above 0 how fast volatilities change. Most roots are next to the old volatility, where
/// Newton's method finds them in a step or two; others are found by the Illinois method of the paper. Where the paper's bracket would reach to
/// roots far beyond all volatilities, it is cut at [`VOLATILITY_MAX`].
pub fn volatility_after(volatility: f64, variance: f64, evidence: Evidence, tau: f64, tolerance: f64) -> f64 {
    let precision = if evidence.precision > PRECISION_MIN { evidence.precision } else { PRECISION_MIN };
    let v = 1.0 / precision;
    let (known, delta) = (variance + v, evidence.pull * v);
    let surprise = Surprise { old: volatility * volatility, known, excess: delta * delta - known, stiffness: 1.0 / (tau * tau) };
    let x = surprise.near_root(tolerance).unwrap_or_else(|| surprise.root(tau, tolerance));
    let found = volatility * libm::exp(0.5 * x);
    let most = if volatility > VOLATILITY_MAX { volatility } else { VOLATILITY_MAX };
    if found > most { most } else { found }
}

/// Which of Glickman's systems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// Every player drifts at a pace of his own.
    #[default]
    Glicko2,
    /// All drift at one pace.
    Glicko,
}

/// What a system assumes about drift.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// Which system.
    pub system: System,
    /// How fast volatilities change (Glicko-2), above 0; per square root of a period.
    pub tau: f64,
    /// How far a skill drifts per square root of a period (Glicko), in points.
    pub c: f64,
    /// The deviation that drift leads to at most, in points: as little is known of somebody who was away for years as of a stranger.
    pub deviation_max: f64,
    /// How well the logarithm of a squared volatility is found.
    pub tolerance: f64,
}

/// What is known about one player, in points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Expected skill.
    pub rating: f64,
    /// Standard deviation, RD of the papers.
    pub deviation: f64,
    /// Drift per square root of a period on the logistic scale; Glicko has no use for it.
    pub volatility: f64,
}

/// One game of a rating period, as one of the two sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Game {
    /// The opponent's rating at the start of the period.
    pub rating: f64,
    /// The opponent's deviation at the start of the period.
    pub deviation: f64,
    /// 0, 0.5 or 1.
    pub score: f64,
}

impl Drift {
    /// Points per unit of the logistic curve.
    pub fn scale(&self) -> f64 {
        match self.system {
            System::Glicko2 => GLICKO2_SCALE,
            System::Glicko => GLICKO_SCALE,
        }
    }

    /// Drift per period as a variance on the logistic scale.
    fn per_period(&self, volatility: f64) -> f64 {
        match self.system {
            System::Glicko2 => volatility * volatility,
            System::Glicko => {
                let c = self.c / self.scale();
                c * c
            }
        }
    }

    /// The variance, phi squared, of a player who did not play for `periods` (G2 end of step 6, G1 step 1), never above that of
    /// [`Self::deviation_max`] unless it was there before.
    pub fn idle(&self, variance: f64, volatility: f64, periods: f64) -> f64 {
        let grown = variance + self.per_period(volatility) * periods;
        let most = self.deviation_max / self.scale();
        let most = most * most;
        if grown <= most {
            grown
        } else if variance > most {
            variance
        } else {
            most
        }
    }

    /// Moves a player, as `mean` and `variance` on the logistic scale, by the evidence of `periods` rating periods (G2 steps 5 to 7, G1
    /// step 2); returns the volatility.
    pub fn apply(&self, mean: &mut f64, variance: &mut f64, volatility: f64, evidence: Evidence, periods: f64) -> f64 {
        let (before, volatility) = match self.system {
            System::Glicko2 => {
                // A share of a period has that share of the drift, and that share of the drift of the drift.
                let root = periods.sqrt();
                let drifted = match evidence.precision > 0.0 && periods > 0.0 {
                    true => volatility_after(volatility * root, *variance, evidence, self.tau * root, self.tolerance),
                    false => volatility * root,
                };
                (*variance + drifted * drifted, if periods > 0.0 { drifted / root } else { volatility })
            }
            System::Glicko => {
                // G1 caps every deviation, wherever it came from.
                let (grown, most) = (*variance + self.per_period(volatility) * periods, self.deviation_max / self.scale());
                (if grown < most * most { grown } else { most * most }, volatility)
            }
        };
        *variance = 1.0 / (1.0 / before + evidence.precision);
        *mean += *variance * evidence.pull;
        volatility
    }

    /// What games of one whole rating period say about a player; empty if there were none.
    pub fn evidence(&self, player: &Standing, games: &[Game]) -> Evidence {
        let scale = self.scale();
        let mut evidence = Evidence::default();
        for game in games {
            let phi = game.deviation / scale;
            evidence.add(1.0, flattening(phi * phi), (player.rating - game.rating) / scale, game.score, 1.0);
        }
        evidence
    }

    /// A player after one whole rating period with any number of games, as in the papers.
    pub fn period(&self, player: &Standing, games: &[Game]) -> Standing {
        let scale = self.scale();
        let evidence = self.evidence(player, games);
        let (mut mean, phi) = (0.0, player.deviation / scale);
        let mut variance = phi * phi;
        let volatility = if games.is_empty() {
            variance = self.idle(variance, player.volatility, 1.0);
            player.volatility
        } else {
            self.apply(&mut mean, &mut variance, player.volatility, evidence, 1.0)
        };
        Standing { rating: player.rating + mean * scale, deviation: variance.sqrt() * scale, volatility }
    }
}

/// Probability that `a` beats `b` plus half that of a draw, from both deviations (G1, the expected outcome of a game), on the logistic
/// scale: `gap` is the lead, `variance` the sum of both variances.
pub fn expected_score(gap: f64, variance: f64) -> f64 {
    expected(flattening(variance), gap)
}
