//! Seasons: what a new one does to every standing, and how standings are shown in between.
//!
//! A reset changes what an engine believes, once, at one place in the order of rating. Decay, tiers and placements change nothing that an
//! engine sees: they are how a belief is shown.

use alloc::string::String;
use alloc::vec::Vec;

use crate::fault::PluginFault;
use crate::rating::{Rating, RatingEngine};
use crate::time::UnixSeconds;

/// Seconds of a day.
const DAY_S: i64 = 86_400;

/// What a season that starts does to what is known about every player of the queue. What an engine remembers of the queue as a whole (how
/// maps and sides play) stays in any case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SeasonReset {
    /// Everybody starts again as somebody never seen.
    Hard,
    /// What is known is pulled towards the beginning, as the engine itself does it (`soften`).
    Soft {
        /// Share that is kept, 0 to 1.
        keep: f64,
    },
    /// Expected skill and memory stay; the uncertainty becomes that of the softened belief. An engine that keeps its belief in its memory
    /// may not follow.
    Uncertainty {
        /// Share that is kept, 0 to 1.
        keep: f64,
    },
}

impl SeasonReset {
    /// The stored number: hard 1, soft 2, uncertainty 3. It never changes its meaning.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Hard => 1,
            Self::Soft { .. } => 2,
            Self::Uncertainty { .. } => 3,
        }
    }

    /// The reset with this number and share; `None`: no version of this program wrote that.
    #[must_use]
    pub fn from_number(number: u8, keep: f64) -> Option<Self> {
        if !(0.0..=1.0).contains(&keep) {
            return None;
        }
        match number {
            1 => Some(Self::Hard),
            2 => Some(Self::Soft { keep }),
            3 => Some(Self::Uncertainty { keep }),
            _ => None,
        }
    }

    /// `hard`, `soft` or `uncertainty`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Soft { .. } => "soft",
            Self::Uncertainty { .. } => "uncertainty",
        }
    }

    /// The share that is kept; 0 for a hard reset.
    #[must_use]
    pub fn keep(self) -> f64 {
        match self {
            Self::Hard => 0.0,
            Self::Soft { keep } | Self::Uncertainty { keep } => keep,
        }
    }

    /// The beliefs about many players after the reset, in their order, and what people see of them; `None`: as of somebody never seen.
    ///
    /// # Errors
    /// The plugin's fault: the reset waits, as a report would.
    pub fn apply(self, engine: &dyn RatingEngine, ratings: &[Rating]) -> Result<Option<Vec<(Rating, f64)>>, PluginFault> {
        match self {
            Self::Hard => Ok(None),
            Self::Soft { keep } => engine.soften_many(ratings, keep).map(Some),
            Self::Uncertainty { keep } => {
                let softened = engine.soften_many(ratings, keep)?;
                let widen =
                    |(rating, (softened, _)): (&Rating, (Rating, f64))| Rating { uncertainty: softened.uncertainty, ..rating.clone() };
                let widened: Vec<Rating> = ratings.iter().zip(softened).map(widen).collect();
                let shown = engine.show_many(&widened)?;
                Ok(Some(widened.into_iter().zip(shown).collect()))
            }
        }
    }
}

/// How much less is shown of a player who stays away. Expected skill and uncertainty are not touched: the next rated contest brings all of it
/// back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay {
    /// Days without a rated contest that cost nothing.
    pub after_days: u32,
    /// What every further whole day takes from the visible rating. Finite, above zero.
    pub per_day: f64,
    /// Where it ends: nobody's visible rating falls below it, and one that is below stays as it is. Finite.
    pub floor: f64,
}

impl Decay {
    /// What is shown at `now` of a visible rating: `max(min(visible, floor), visible - per_day * days)`, where `days` are the whole days
    /// since the last rated contest beyond `after_days`.
    #[must_use]
    pub fn shown(&self, visible: f64, last_at: UnixSeconds, now: UnixSeconds) -> f64 {
        let days = now.0.saturating_sub(last_at.0).saturating_sub(i64::from(self.after_days) * DAY_S) / DAY_S;
        if days <= 0 || visible <= self.floor {
            return visible;
        }
        // Exact: nobody stays away for 2^53 days.
        #[allow(clippy::cast_precision_loss)]
        let fallen = visible - self.per_day * days as f64;
        fallen.max(self.floor)
    }
}

/// How the standings of a season become a leaderboard.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StandingRules {
    /// Contests of the season that a player must have played to stand on the leaderboard; 0 is as good as 1.
    pub placements: u32,
    /// How much less is shown of players who stay away; `None`: nothing.
    pub decay: Option<Decay>,
}

impl StandingRules {
    /// Contests of the season from which a player stands on the leaderboard: 1 or more.
    #[must_use]
    pub fn contests_min(&self) -> u32 {
        self.placements.max(1)
    }

    /// What is shown at `now` of a visible rating.
    #[must_use]
    pub fn shown(&self, visible: f64, last_at: UnixSeconds, now: UnixSeconds) -> f64 {
        self.decay.map_or(visible, |decay| decay.shown(visible, last_at, now))
    }
}

/// A step of the ladder that people know by its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Tier {
    /// As shown.
    pub name: String,
    /// The lowest visible rating that belongs to it.
    pub from: f64,
}

impl Tier {
    /// The tier of a visible rating among `tiers`, which stand in ascending order; `None`: it is below the first.
    #[must_use]
    pub fn of(tiers: &[Self], visible: f64) -> Option<&Self> {
        tiers.iter().rev().find(|tier| tier.from <= visible)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_survives_its_number() {
        for reset in [SeasonReset::Hard, SeasonReset::Soft { keep: 0.6 }, SeasonReset::Uncertainty { keep: 1.0 }] {
            assert_eq!(SeasonReset::from_number(reset.number(), reset.keep()), Some(reset));
        }
        for (number, keep) in [(0, 0.5), (4, 0.5), (2, 1.5), (2, f64::NAN), (3, -0.1)] {
            assert_eq!(SeasonReset::from_number(number, keep), None, "{number} {keep}");
        }
    }

    #[test]
    fn decay_takes_whole_days_beyond_the_free_ones_down_to_its_floor() {
        let decay = Decay { after_days: 14, per_day: 2.5, floor: 10.0 };
        let table = [
            ("just played", 100.0, 0, 100.0),
            ("from the future", 100.0, -5 * DAY_S, 100.0),
            ("the last free day", 100.0, 15 * DAY_S - 1, 100.0),
            ("one day", 100.0, 15 * DAY_S, 97.5),
            ("still one day", 100.0, 16 * DAY_S - 1, 97.5),
            ("four days", 100.0, 18 * DAY_S, 90.0),
            ("the floor", 100.0, 1_000 * DAY_S, 10.0),
            ("an age", 100.0, i64::MAX, 10.0),
            ("on the floor", 10.0, 1_000 * DAY_S, 10.0),
            ("below the floor", -3.0, 1_000 * DAY_S, -3.0),
        ];
        for (name, visible, idle, shown) in table {
            assert_eq!(decay.shown(visible, UnixSeconds(0), UnixSeconds(idle)), shown, "{name}");
        }
    }

    #[test]
    fn a_tier_begins_at_its_own_number() {
        let tier = |name: &str, from| Tier { name: name.into(), from };
        let tiers = Vec::from([tier("bronze", 0.0), tier("silver", 10.0)]);
        for (visible, name) in [(-0.1, None), (0.0, Some("bronze")), (9.99, Some("bronze")), (10.0, Some("silver")), (1e9, Some("silver"))]
        {
            assert_eq!(Tier::of(&tiers, visible).map(|tier| tier.name.as_str()), name, "{visible}");
        }
    }
}
