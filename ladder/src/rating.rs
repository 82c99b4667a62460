//! Beliefs about skill, and what the ladder asks of any rating engine.

use alloc::vec::Vec;

use crate::bulk::BulkRatingEngine;
use crate::fault::PluginFault;
use crate::id::Digest;
use crate::time::UnixSeconds;

/// Belief about one player, on the engine's own scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Rating {
    /// Expected skill. Finite.
    pub mean: f64,
    /// Standard deviation of the belief. Finite, above zero.
    pub uncertainty: f64,
    /// What else the engine remembers of the player; opaque, at most [`PLAYER_MEMORY_BYTES_MAX`].
    pub memory: Vec<u8>,
}

/// Bytes that an engine may remember per player.
pub const PLAYER_MEMORY_BYTES_MAX: usize = 1024;
/// Bytes that an engine may remember per queue.
pub const QUEUE_MEMORY_BYTES_MAX: usize = 64 * 1024;

impl Rating {
    /// Whether the host may store this belief: finite, positive uncertainty, bounded memory.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.mean.is_finite() && self.uncertainty.is_finite() && self.uncertainty > 0.0 && self.memory.len() <= PLAYER_MEMORY_BYTES_MAX
    }
}

/// One accepted statistic: index into the queue's names, finite value inside its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stat {
    /// Index into `QueueShape::stats` or `QueueShape::totals`.
    pub index: u16,
    /// Finite.
    pub value: f64,
}

/// One player in one contest.
#[derive(Clone, Debug, PartialEq)]
pub struct Entrant {
    /// Belief before the contest.
    pub rating: Rating,
    /// Team, from 0.
    pub team: u16,
    /// Contests rated before this one.
    pub contests: u32,
    /// Seconds since the previous rated contest; 0 for the first.
    pub idle_s: u64,
    /// Share of the contest that the player was present for, 0 to 1.
    pub presence: f64,
    /// Accepted statistics.
    pub stats: Vec<Stat>,
}

/// What is known before a contest starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// When the contest ended.
    pub at_s: UnixSeconds,
    /// Index into `QueueShape::maps`.
    pub map: Option<u16>,
    /// Index into `QueueShape::modes`.
    pub mode: Option<u16>,
    /// Side per team, or empty.
    pub sides: Vec<u16>,
}

/// One finished contest, ready to be rated.
#[derive(Clone, Debug, PartialEq)]
pub struct Contest {
    /// Place per team, 0 is best, equal places are a draw.
    pub places: Vec<u16>,
    /// Score per team, or empty.
    pub scores: Vec<f64>,
    /// Time, map, mode, sides.
    pub setting: Setting,
    /// Accepted contest-wide statistics.
    pub totals: Vec<Stat>,
    /// How far the host trusts this result, 0 to 1.
    pub trust: f64,
    /// Players, in any order; their `team` says where they stand.
    pub entrants: Vec<Entrant>,
}

impl Contest {
    /// Who was about to meet: the entrants without what the contest brought (presence, statistics). What a prediction may look at.
    #[must_use]
    pub fn line_up(&self) -> Vec<Entrant> {
        let before = |entrant: &Entrant| Entrant { rating: entrant.rating.clone(), presence: 1.0, stats: Vec::new(), ..*entrant };
        self.entrants.iter().map(before).collect()
    }
}

/// What a contest did.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// In the order of the entrants.
    pub ratings: Vec<Rating>,
    /// What people see for each of `ratings`, in the same order.
    pub visible: Vec<f64>,
    /// What the engine remembers of the whole queue.
    pub memory: Vec<u8>,
}

/// What the ladder asks of any rating engine, whatever contract version and sandbox it runs in.
///
/// Implementations have already checked every answer: as many ratings as entrants, all sound, memory within bounds. The same arguments give
/// the same bits for the same [`RatingEngine::digest`] and parameters.
pub trait RatingEngine: Send + Sync {
    /// SHA-256 of the component.
    fn digest(&self) -> Digest;
    /// Parameters as configured, canonical JSON: with the digest they name the generation.
    fn parameters(&self) -> &str;
    /// Belief about a player never seen, and what people see of it.
    ///
    /// # Errors
    /// The plugin's fault.
    fn initial(&self) -> Result<(Rating, f64), PluginFault>;
    /// Rates one contest. `memory` is empty before the first.
    ///
    /// # Errors
    /// The plugin's fault: the report is kept and rated later.
    fn rate(&self, memory: &[u8], contest: &Contest) -> Result<Update, PluginFault>;
    /// Season reset: keeps share `keep`, 0 to 1, of what is known about a player; returns the belief and what people see of it.
    ///
    /// # Errors
    /// The plugin's fault.
    fn soften(&self, rating: &Rating, keep: f64) -> Result<(Rating, f64), PluginFault>;
    /// [`soften`](Self::soften) of many players at once, in their order. Pure engines answer the same as one by one.
    ///
    /// # Errors
    /// The plugin's fault.
    fn soften_many(&self, ratings: &[Rating], keep: f64) -> Result<Vec<(Rating, f64)>, PluginFault> {
        ratings.iter().map(|rating| self.soften(rating, keep)).collect()
    }
    /// What people see of each of these beliefs, to the last bit what came with them when the engine made them.
    ///
    /// # Errors
    /// The plugin's fault.
    fn show_many(&self, ratings: &[Rating]) -> Result<Vec<f64>, PluginFault> {
        // To keep everything changes nothing. An engine to which rounding does must say it itself.
        ratings.iter().map(|rating| self.soften(rating, 1.0).map(|(_, visible)| visible)).collect()
    }
    /// For each pair of teams i < j in the order (0,1), (0,2), .. (1,2), ..: the probability that i places before j plus half the
    /// probability of a draw. Only `entrants` and `setting` of the contest are looked at.
    ///
    /// # Errors
    /// The plugin's fault.
    fn predict(&self, memory: &[u8], line_up: &[Entrant], setting: &Setting) -> Result<Vec<f64>, PluginFault>;
    /// Rates one contest, and says what [`predict`](Self::predict) made of its [line-up](Contest::line_up) before; `None` where the engine
    /// could not predict it. The rating is that of [`rate`](Self::rate), bit for bit, whatever becomes of the prediction.
    ///
    /// # Errors
    /// As `rate`.
    fn rate_and_predict(&self, memory: &[u8], contest: &Contest) -> Result<(Update, Option<Vec<f64>>), PluginFault> {
        let update = self.rate(memory, contest)?;
        let predicted = self.predict(memory, &contest.line_up(), &contest.setting);
        Ok((update, predicted.ok()))
    }
    /// Name and version as the engine says them, for people; `None` if it says nothing.
    fn described(&self) -> Option<(&str, &str)> {
        None
    }
    /// The same engine in columns, thousands of contests a call; `None` if it has no such interface.
    fn bulk(&self) -> Option<&dyn BulkRatingEngine> {
        None
    }
}
