//! The role of stat rules: what a game server may claim.
//!
//! Rules declare bounds, which the host enforces whatever else happens, and review each claim: which lines to force inside
//! the bounds, and what to think of the whole.

use crate::bindings::rules::exports::ranked::plugin::stat_rules as wit;
use crate::{Export, Plugin};

/// Which statistic, by its index in the names of [`QueueShape`](crate::QueueShape).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stat {
    /// A statistic of one player: index into `stats`.
    Player(u16),
    /// A contest-wide statistic: index into `totals`.
    Total(u16),
}

/// Limits of one statistic, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// Which statistic.
    pub stat: Stat,
    /// Smallest value. Finite.
    pub min: f64,
    /// Largest value. Finite, not below `min`.
    pub max: f64,
}

/// One claimed number. The value may be anything that a game server can send: infinite, negative, not a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Which statistic.
    pub stat: Stat,
    /// Whose: index of the player in the roster; `None` for a contest-wide statistic.
    pub player: Option<u16>,
    /// Team of the player; without meaning for a contest-wide statistic.
    pub team: u16,
    /// What the game server says.
    pub value: f64,
}

/// What the same game server reported before this claim.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServerHistory {
    /// Contests reported.
    pub contests: u32,
    /// Share of them with clamped lines, 0 to 1.
    pub clamped: f64,
    /// Share of them that was disputed, 0 to 1.
    pub disputed: f64,
}

/// What a game server says about one finished contest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// Length of the contest in seconds.
    pub duration_s: u32,
    /// Place per team, 0 is best.
    pub places: Vec<u16>,
    /// Score per team, or empty.
    pub scores: Vec<f64>,
    /// Every number claimed.
    pub lines: Vec<Line>,
    /// What the same game server reported before.
    pub server: ServerHistory,
}

/// What rules think of a claim as a whole. The code is kebab-case and stable, for machines; the detail is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Counted against the game server.
    Suspicious {
        /// For machines.
        code: &'static str,
        /// For people.
        detail: String,
    },
    /// The contest is kept but not rated until an operator decides.
    Hold {
        /// For machines.
        code: &'static str,
        /// For people.
        detail: String,
    },
    /// The contest is never rated.
    Reject {
        /// For machines.
        code: &'static str,
        /// For people.
        detail: String,
    },
}

/// The answer to a claim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    clamps: Vec<(u32, f64)>,
    findings: Vec<Finding>,
}

impl Verdict {
    /// Nothing to change, nothing to say.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the value of the line at `index` of [`Claim::lines`]; `to` is finite.
    pub fn clamp(&mut self, index: usize, to: f64) {
        // Cannot truncate: the host bounds a report far below 2^32 lines.
        self.clamps.push((index as u32, to));
    }

    /// Counts something against the game server.
    pub fn suspicious(&mut self, code: &'static str, detail: impl Into<String>) {
        self.findings.push(Finding::Suspicious { code, detail: detail.into() });
    }

    /// Keeps the contest, unrated, until an operator decides.
    pub fn hold(&mut self, code: &'static str, detail: impl Into<String>) {
        self.findings.push(Finding::Hold { code, detail: detail.into() });
    }

    /// Never rates the contest.
    pub fn reject(&mut self, code: &'static str, detail: impl Into<String>) {
        self.findings.push(Finding::Reject { code, detail: detail.into() });
    }

    /// Lines that change, as index and new value.
    pub fn clamps(&self) -> &[(u32, f64)] {
        &self.clamps
    }

    /// What was found.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

/// Stat rules of a queue.
pub trait StatRules: Plugin {
    /// Limits that the host itself enforces, also when [`Self::review`] faults.
    fn bounds(&self) -> Vec<Bound>;

    /// Reviews one claim.
    fn review(&self, claim: &Claim) -> Verdict;
}

impl<E: Export<Plugin: StatRules>> wit::Guest for E {
    fn bounds() -> Vec<wit::Bound> {
        let export = |Bound { stat, min, max }| match stat {
            Stat::Player(stat) => wit::Bound { stat, total: false, min, max },
            Stat::Total(stat) => wit::Bound { stat, total: true, min, max },
        };
        E::slot().plugin().bounds().into_iter().map(export).collect()
    }

    fn review(claim: wit::Claim) -> wit::Verdict {
        E::slot().plugin().review(&claim.into()).into()
    }
}

impl From<wit::Claim> for Claim {
    fn from(claim: wit::Claim) -> Self {
        let line = |line: wit::Line| match line.player {
            u16::MAX => Line { stat: Stat::Total(line.stat), player: None, team: line.team, value: line.value },
            player => Line { stat: Stat::Player(line.stat), player: Some(player), team: line.team, value: line.value },
        };
        Claim {
            duration_s: claim.duration_s,
            places: claim.places,
            scores: claim.scores,
            lines: claim.lines.into_iter().map(line).collect(),
            server: ServerHistory { contests: claim.server_contests, clamped: claim.server_clamped, disputed: claim.server_disputed },
        }
    }
}

impl From<Verdict> for wit::Verdict {
    fn from(verdict: Verdict) -> Self {
        let reason = |code: &str, detail| wit::Reason { code: code.to_owned(), detail };
        let finding = |finding| match finding {
            Finding::Suspicious { code, detail } => wit::Finding::Suspicious(reason(code, detail)),
            Finding::Hold { code, detail } => wit::Finding::Hold(reason(code, detail)),
            Finding::Reject { code, detail } => wit::Finding::Reject(reason(code, detail)),
        };
        wit::Verdict {
            clamps: verdict.clamps.into_iter().map(|(line, to)| wit::Clamp { line, to }).collect(),
            findings: verdict.findings.into_iter().map(finding).collect(),
        }
    }
}
