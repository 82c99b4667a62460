//! Cases of stat rules: what a game server claims, and what the rules make of it.
//!
//! ```toml
//! [[rules]]
//! name = "a hundred kills in two minutes are held"
//! duration_s = 120
//! places = [0, 1]
//! scores = [16, 9]
//! teams = [[{ kills = 100, deaths = 0 }], [{ kills = 0, deaths = 100 }]]   # statistics of each player
//! totals = { rounds = 25 }
//! server = { contests = 40, clamped = 0.1, disputed = 0.0 }               # what the same game server reported before
//! clamps = [{ team = 0, player = 0, stat = "kills", to = 60 }, { total = "rounds", to = 24 }]
//! findings = ["hold: too-many-kills"]                                    # also `suspicious: ..` and `reject: ..`
//! bounds = { kills = [0, 60] }                                           # as declared; only those named are compared
//! ```
//! `clamps` and `findings` are compared in full, whatever their order, unless they are left out. `nan` and `inf` can be claimed.

use std::collections::BTreeMap;

use ladder::queue::QueueShape;
use ladder::rules::{Claim, Finding, Line, ServerRecord, StatRules, Verdict};

use super::compare::{Comparison, Mismatch};
use super::{CaseProblem, TOLERANCE_DEFAULT, index_of};

/// One case.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RulesCase {
    /// What it shows, as a sentence.
    pub name: String,
    /// How far numbers may differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// Length claimed, in seconds.
    pub duration_s: u32,
    /// Place per team, 0 is best.
    pub places: Vec<u16>,
    /// Score per team, or empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<f64>,
    /// Statistics by name, per team and player.
    pub teams: Vec<Vec<BTreeMap<String, f64>>>,
    /// Every change expected, or nothing to leave it open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clamps: Option<Vec<ClampCase>>,
    /// Every finding expected, as `kind: code`, or nothing to leave it open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<Vec<String>>,
    /// Contest-wide statistics by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub totals: BTreeMap<String, f64>,
    /// What the game server reported before.
    #[serde(skip_serializing_if = "ServerCase::is_new")]
    pub server: ServerCase,
    /// Bounds expected to be declared, as smallest and largest value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub bounds: BTreeMap<String, [f64; 2]>,
}

/// The game server's past.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerCase {
    /// Accepted reports.
    pub contests: u32,
    /// Share of them with a clamp, 0 to 1.
    pub clamped: f64,
    /// Share of them disputed, 0 to 1.
    pub disputed: f64,
}

impl ServerCase {
    fn is_new(&self) -> bool {
        *self == Self::default()
    }
}

/// One number that the rules are expected to change: of a player, or a total.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClampCase {
    /// Team of the player.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<u16>,
    /// Position in the team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub player: Option<u16>,
    /// Statistic of the player.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stat: Option<String>,
    /// Contest-wide statistic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// The new value.
    pub to: f64,
}

/// A claim with a name for each of its lines.
struct NamedClaim {
    claim: Claim,
    /// Per line: `teams[0][1].kills` or `totals.rounds`.
    lines: Vec<String>,
}

impl RulesCase {
    /// Has the claim reviewed and compares.
    ///
    /// # Errors
    /// The case cannot be read, or the rules broke their contract.
    pub fn run(&self, shape: &QueueShape, rules: &dyn StatRules) -> Result<Vec<Mismatch>, CaseProblem> {
        let NamedClaim { claim, lines } = self.claim(shape)?;
        let verdict = rules.review(&claim)?;
        let mut comparison = Comparison::default();
        self.compare_clamps(&lines, &verdict, &mut comparison)?;
        if let Some(expected) = &self.findings {
            let mut expected: Vec<String> = expected.iter().map(|finding| spaced(finding)).collect();
            let mut got: Vec<String> = verdict.findings.iter().map(shown).collect();
            expected.sort_unstable();
            got.sort_unstable();
            comparison.equal("findings", &format!("{expected:?}"), &format!("{got:?}"));
        }
        self.compare_bounds(shape, rules, &mut comparison)?;
        Ok(comparison.mismatches)
    }

    fn claim(&self, shape: &QueueShape) -> Result<NamedClaim, CaseProblem> {
        let (mut lines, mut names) = (Vec::new(), Vec::new());
        let mut player = 0;
        for (team, players) in (0..=u16::MAX).zip(&self.teams) {
            for (position, stats) in players.iter().enumerate() {
                for (name, &value) in stats {
                    let place = format!("teams[{team}][{position}].{name}");
                    lines.push(Line { player, team, stat: index_of(&shape.stats, name, &place)?, value });
                    names.push(place);
                }
                player += 1;
            }
        }
        for (name, &value) in &self.totals {
            let place = format!("totals.{name}");
            lines.push(Line { player: u16::MAX, team: 0, stat: index_of(&shape.totals, name, &place)?, value });
            names.push(place);
        }
        let ServerCase { contests, clamped, disputed } = self.server;
        let server = ServerRecord { contests, clamped, disputed };
        let claim = Claim { duration_s: self.duration_s, places: self.places.clone(), scores: self.scores.clone(), lines, server };
        Ok(NamedClaim { claim, lines: names })
    }

    fn compare_clamps(&self, lines: &[String], verdict: &Verdict, comparison: &mut Comparison) -> Result<(), CaseProblem> {
        let Some(clamps) = &self.clamps else { return Ok(()) };
        let name = |line: u32| lines.get(line as usize).cloned().unwrap_or_else(|| format!("line {line}"));
        let mut got: BTreeMap<String, f64> = verdict.clamps.iter().map(|clamp| (name(clamp.line), clamp.to)).collect();
        for (index, clamp) in clamps.iter().enumerate() {
            let line = match (clamp.team, clamp.player, &clamp.stat, &clamp.total) {
                (Some(team), Some(player), Some(stat), None) => format!("teams[{team}][{player}].{stat}"),
                (None, None, None, Some(total)) => format!("totals.{total}"),
                _ => {
                    let problem = "name `team`, `player` and `stat`, or `total`";
                    return Err(CaseProblem::unusable(format!("clamps[{index}]"), problem));
                }
            };
            match got.remove(&line) {
                Some(to) => comparison.number(&line, clamp.to, to, self.tolerance.unwrap_or(TOLERANCE_DEFAULT)),
                None => comparison.differs(&line, clamp.to.to_string(), "no clamp"),
            }
        }
        for (line, to) in got {
            comparison.differs(&line, "no clamp", to.to_string());
        }
        Ok(())
    }

    fn compare_bounds(&self, shape: &QueueShape, rules: &dyn StatRules, comparison: &mut Comparison) -> Result<(), CaseProblem> {
        for (name, [min, max]) in &self.bounds {
            let place = format!("bounds.{name}");
            let (total, names) = if shape.totals.contains(name) { (true, &shape.totals) } else { (false, &shape.stats) };
            let stat = index_of(names, name, &place)?;
            match rules.bounds().iter().find(|declared| (declared.stat, declared.total) == (stat, total)) {
                Some(declared) => {
                    let tolerance = self.tolerance.unwrap_or(TOLERANCE_DEFAULT);
                    comparison.number(&format!("{place}[0]"), *min, declared.bound.min(), tolerance);
                    comparison.number(&format!("{place}[1]"), *max, declared.bound.max(), tolerance);
                }
                None => comparison.differs(&place, format!("{min} to {max}"), "no bound"),
            }
        }
        Ok(())
    }

    /// A claim as a case that makes it again: what `ranked plugin check` shows of a failure.
    #[must_use]
    pub fn of(name: &str, shape: &QueueShape, claim: &Claim) -> Self {
        let ServerRecord { contests, clamped, disputed } = claim.server;
        let mut case = Self {
            name: name.to_owned(),
            duration_s: claim.duration_s,
            places: claim.places.clone(),
            scores: claim.scores.clone(),
            server: ServerCase { contests, clamped, disputed },
            teams: vec![Vec::new(); claim.places.len()],
            ..Self::default()
        };
        let named = |names: &[String], stat: u16| names.get(usize::from(stat)).cloned().unwrap_or_else(|| format!("unknown-{stat}"));
        let mut last = None;
        for line in &claim.lines {
            if line.player == u16::MAX {
                case.totals.insert(named(&shape.totals, line.stat), line.value);
                continue;
            }
            let Some(team) = case.teams.get_mut(usize::from(line.team)) else { continue };
            if last != Some(line.player) {
                team.push(BTreeMap::new());
                last = Some(line.player);
            }
            if let Some(stats) = team.last_mut() {
                stats.insert(named(&shape.stats, line.stat), line.value);
            }
        }
        case
    }
}

fn shown(finding: &Finding) -> String {
    let (kind, reason) = match finding {
        Finding::Suspicious(reason) => ("suspicious", reason),
        Finding::Hold(reason) => ("hold", reason),
        Finding::Reject(reason) => ("reject", reason),
    };
    format!("{kind}: {}", reason.code)
}

/// `hold:code` and `hold: code` are the same.
fn spaced(finding: &str) -> String {
    finding.split_once(':').map_or_else(|| finding.to_owned(), |(kind, code)| format!("{}: {}", kind.trim(), code.trim()))
}
