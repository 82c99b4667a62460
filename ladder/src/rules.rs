//! What the ladder asks of the stat rules plugin.

use alloc::vec::Vec;

use crate::fault::PluginFault;
use crate::id::Digest;
use crate::reason::Reason;
use crate::stats::Bound;

/// A limit declared by the rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeclaredBound {
    /// Index into `QueueShape::stats`, or into `QueueShape::totals` if `total`.
    pub stat: u16,
    /// Whether this is a contest-wide statistic.
    pub total: bool,
    /// The limits.
    pub bound: Bound,
}

/// One claimed number. `player` is `u16::MAX` for a contest-wide statistic, whose `stat` then counts in `QueueShape::totals`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Position of the player in the report, or `u16::MAX`.
    pub player: u16,
    /// Team of the player; 0 for a contest-wide statistic.
    pub team: u16,
    /// Index of the statistic.
    pub stat: u16,
    /// As claimed: may be anything, infinite and not-a-number included.
    pub value: f64,
}

/// What the same game server reported before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServerRecord {
    /// Accepted reports.
    pub contests: u32,
    /// Share of them with a clamp, 0 to 1.
    pub clamped: f64,
    /// Share of them disputed, 0 to 1.
    pub disputed: f64,
}

/// A report as the rules see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Seconds.
    pub duration_s: u32,
    /// Place per team.
    pub places: Vec<u16>,
    /// Score per team, or empty.
    pub scores: Vec<f64>,
    /// Every claimed number.
    pub lines: Vec<Line>,
    /// The game server's past.
    pub server: ServerRecord,
}

/// A number that the rules want changed. The host clamps the new value too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clamp {
    /// Index into `Claim::lines`.
    pub line: u32,
    /// The new value; finite.
    pub to: f64,
}

/// What the rules think of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Counted against the game server.
    Suspicious(Reason),
    /// Kept but not rated until an operator decides.
    Hold(Reason),
    /// Never rated.
    Reject(Reason),
}

/// The answer of the rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Changes, each for a different line.
    pub clamps: Vec<Clamp>,
    /// Findings, at most 64.
    pub findings: Vec<Finding>,
}

/// What the ladder asks of any stat rules. Answers were checked: indices in range, values finite, lists bounded.
pub trait StatRules: Send + Sync {
    /// SHA-256 of the component.
    fn digest(&self) -> Digest;
    /// Limits that the host enforces also when `review` faults; read once when the plugin is loaded.
    fn bounds(&self) -> &[DeclaredBound];
    /// Looks at one report.
    ///
    /// # Errors
    /// The plugin's fault: the declared bounds alone are enforced.
    fn review(&self, claim: &Claim) -> Result<Verdict, PluginFault>;
}
