//! A game server's claim about a finished match, and the only road from the claim to a fact.
//!
//! ```text
//! ClaimedReport --check_roster(roster, shape)--> RosteredReport --accept(bounds, verdict)--> AcceptedReport
//! ```
//!
//! Every number of an [`AcceptedReport`] is finite and inside its bounds, whatever the game server and the rules plugin said.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;

use crate::clamp_note::ClampNote;
use crate::fault::PluginFault;
use crate::id::{Digest, MatchId, PlayerId, QueueId, ReportId, ServerId};
use crate::matches::Roster;
use crate::queue::QueueShape;
use crate::rating::Stat;
use crate::reason::{Reason, code};
use crate::rules::{Claim, DeclaredBound, Finding, Line, ServerRecord, Verdict};
use crate::stats::Bound;
use crate::time::UnixSeconds;

/// Longest contest believed, in seconds: one week. Longer claims are clamped.
pub const DURATION_S_MAX: u32 = 604_800;
/// Scores are forced into plus and minus this.
pub const SCORE_MAX: f64 = 1e9;
/// Reasons kept per report; more are counted in the last one.
pub const REASONS_MAX: usize = 32;

/// What a game server said. Nothing of it is believed.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedReport {
    /// Chosen by the game server.
    pub report_id: ReportId,
    /// Which match.
    pub match_id: MatchId,
    /// Seconds.
    pub duration_s: u32,
    /// One entry per team, in the order of the team numbers.
    pub teams: Vec<ClaimedTeam>,
    /// Contest-wide statistics, in the order of `QueueShape::totals`; all or none.
    pub totals: Vec<f64>,
    /// Name of the map, or empty.
    pub map: String,
    /// Name of the mode, or empty.
    pub mode: String,
}

/// One team of a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedTeam {
    /// Place, 0 is best.
    pub place: u32,
    /// Score; all teams or none.
    pub score: Option<f64>,
    /// Players, in any order.
    pub players: Vec<ClaimedPlayer>,
    /// Name of the side, or empty.
    pub side: String,
}

/// One player of a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedPlayer {
    /// Who.
    pub player: PlayerId,
    /// Statistics in the order of `QueueShape::stats`; all or none.
    pub stats: Vec<f64>,
    /// Share of the contest that the player was present for.
    pub presence: f64,
}

/// Why a report is refused for good: the game server must not send it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportRefusal {
    /// No such match.
    #[error("the host knows no such match")]
    UnknownMatch,
    /// The match is another game server's.
    #[error("the match is not on this game server")]
    ForeignMatch,
    /// The game server's certificate was revoked or ran out, or its signing key was retired.
    #[error("the certificate of the game server is not in force")]
    CertificateDead,
    /// The match was reported before, under another report id.
    #[error("the match was already reported")]
    AlreadyReported,
    /// The match is not in a state that can be reported.
    #[error("the match is {state}")]
    WrongState {
        /// Its state.
        state: &'static str,
    },
    /// The players or teams are not those of the match.
    #[error("the roster is not the match's: {problem}")]
    WrongRoster {
        /// What differs.
        problem: String,
    },
    /// Wrong numbers of statistics, places or scores.
    #[error("the report does not have the queue's shape: {problem}")]
    Malformed {
        /// What differs.
        problem: String,
    },
}

impl ReportRefusal {
    /// Stable code, the one on the wire.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownMatch => "unknown-match",
            Self::ForeignMatch => "foreign-match",
            Self::CertificateDead => "certificate-dead",
            Self::AlreadyReported => "already-reported",
            Self::WrongState { .. } => "wrong-state",
            Self::WrongRoster { .. } => "wrong-roster",
            Self::Malformed { .. } => "malformed",
        }
    }
}

/// A claim whose players and shape are those of the match. Its numbers are still claims.
#[derive(Clone, Debug, PartialEq)]
pub struct RosteredReport {
    claimed: ClaimedReport,
    places: Vec<u16>,
    /// Per team, or empty.
    sides: Vec<u16>,
    map: Option<u16>,
    mode: Option<u16>,
}

/// Compares a claim with the match it is about: the same teams with the same players, places that start at 0, the queue's statistics.
///
/// # Errors
/// [`ReportRefusal`]: the game server's fault.
pub fn check_roster(claimed: ClaimedReport, roster: &Roster, shape: &QueueShape) -> Result<RosteredReport, ReportRefusal> {
    if claimed.teams.len() != roster.teams().len() {
        return Err(ReportRefusal::WrongRoster { problem: format!("{} teams, expected {}", claimed.teams.len(), roster.teams().len()) });
    }
    for (number, (team, expected)) in claimed.teams.iter().zip(roster.teams()).enumerate() {
        let mut got: Vec<PlayerId> = team.players.iter().map(|player| player.player).collect();
        let mut expected = expected.clone();
        got.sort_unstable();
        expected.sort_unstable();
        if got != expected {
            return Err(ReportRefusal::WrongRoster { problem: format!("team {number} is not the one that was assigned") });
        }
    }
    check_shape(&claimed, shape)?;
    let places = check_places(&claimed.teams)?;
    let sides = claimed.teams.iter().map(|team| index_of(&shape.sides, &team.side)).collect::<Option<Vec<u16>>>().unwrap_or_default();
    let (map, mode) = (index_of(&shape.maps, &claimed.map), index_of(&shape.modes, &claimed.mode));
    Ok(RosteredReport { claimed, places, sides, map, mode })
}

fn index_of(names: &[String], name: &str) -> Option<u16> {
    names.iter().position(|known| known == name).and_then(|index| u16::try_from(index).ok())
}

fn check_shape(claimed: &ClaimedReport, shape: &QueueShape) -> Result<(), ReportRefusal> {
    let malformed = |problem: String| Err(ReportRefusal::Malformed { problem });
    if !claimed.totals.is_empty() && claimed.totals.len() != shape.totals.len() {
        return malformed(format!("{} totals, expected {} or none", claimed.totals.len(), shape.totals.len()));
    }
    for player in claimed.teams.iter().flat_map(|team| &team.players) {
        if !player.stats.is_empty() && player.stats.len() != shape.stats.len() {
            return malformed(format!("{} statistics of a player, expected {} or none", player.stats.len(), shape.stats.len()));
        }
    }
    let scored = claimed.teams.iter().filter(|team| team.score.is_some()).count();
    if scored != 0 && scored != claimed.teams.len() {
        return malformed(format!("{scored} of {} teams have a score", claimed.teams.len()));
    }
    Ok(())
}

/// Places are below the number of teams and somebody is first.
fn check_places(teams: &[ClaimedTeam]) -> Result<Vec<u16>, ReportRefusal> {
    let places: Option<Vec<u16>> =
        teams.iter().map(|team| u16::try_from(team.place).ok().filter(|&place| usize::from(place) < teams.len())).collect();
    match places {
        Some(places) if places.contains(&0) => Ok(places),
        _ => Err(ReportRefusal::Malformed { problem: String::from("places must start at 0 and stay below the number of teams") }),
    }
}

/// What a report is about, for the journal: how the host knows the match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A game server reported a match that the host opened on it.
    Server(ServerId),
    /// An operator imported history.
    Import,
}

/// What is known about a report beside its claim.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Provenance {
    /// The queue whose ratings it moves.
    pub queue: QueueId,
    /// Who reported.
    pub source: Source,
    /// When the contest ended: receipt for live reports, the file's time for imported ones.
    pub at: UnixSeconds,
    /// How far the host trusts this source, 0 to 1.
    pub trust: f64,
    /// SHA-256 of the stat rules that were asked; `None` in reports older than this field.
    pub rules: Option<Digest>,
}

/// What becomes of an accepted report. The number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Disposition {
    /// To be rated, in journal order.
    Ratable = 1,
    /// Rated only if an operator releases it.
    Held = 2,
    /// Never rated.
    Rejected = 3,
}

impl Disposition {
    /// The disposition with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Ratable),
            2 => Some(Self::Held),
            3 => Some(Self::Rejected),
            _ => None,
        }
    }
}

/// One player of an accepted report.
#[derive(Clone, Debug, PartialEq)]
pub struct AcceptedPlayer {
    /// Who.
    pub player: PlayerId,
    /// Team, from 0.
    pub team: u16,
    /// 0 to 1.
    pub presence: f64,
    /// Finite, inside bounds.
    pub stats: Vec<Stat>,
}

/// The content of an accepted report, as the journal keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportFacts {
    /// Chosen by the game server, or derived from the imported line.
    pub report_id: ReportId,
    /// The match; `None` for imported history.
    pub match_id: Option<MatchId>,
    /// Queue, source, time, trust.
    pub provenance: Provenance,
    /// Seconds.
    pub duration_s: u32,
    /// Place per team.
    pub places: Vec<u16>,
    /// Finite score per team, or empty.
    pub scores: Vec<f64>,
    /// Side per team, or empty.
    pub sides: Vec<u16>,
    /// Index of the map.
    pub map: Option<u16>,
    /// Index of the mode.
    pub mode: Option<u16>,
    /// Contest-wide statistics.
    pub totals: Vec<Stat>,
    /// Players, team after team.
    pub players: Vec<AcceptedPlayer>,
    /// What becomes of it.
    pub disposition: Disposition,
    /// Numbers that had to be changed.
    pub clamped: u32,
    /// Why each was changed, and what the rules found; at most [`REASONS_MAX`].
    pub reasons: Vec<Reason>,
}

/// A report that was accepted. Only [`RosteredReport::accept`] makes one, or the journal that holds one.
#[derive(Clone, Debug, PartialEq)]
pub struct AcceptedReport(ReportFacts);

impl AcceptedReport {
    /// Takes a report back from the journal, whose hash chain vouches for it.
    #[must_use]
    pub fn from_journal(facts: ReportFacts) -> Self {
        Self(facts)
    }

    /// The facts.
    #[must_use]
    pub fn facts(&self) -> &ReportFacts {
        &self.0
    }
}

/// Limits in force for one queue: what the operator allows, narrowed by what the rules plugin declares.
#[derive(Clone, Debug, PartialEq)]
pub struct StatBounds {
    /// Per entry of `QueueShape::stats`.
    stats: Vec<Bound>,
    /// Per entry of `QueueShape::totals`.
    totals: Vec<Bound>,
}

/// What holds for a statistic that nobody bounded: any finite number that the maths can square.
const UNBOUNDED: (f64, f64) = (-1e9, 1e9);

impl StatBounds {
    /// Intersects the operator's outer bounds (by name; statistics and totals share the table) with the rules' own.
    #[must_use]
    pub fn new(shape: &QueueShape, outer: &BTreeMap<String, Bound>, declared: &[DeclaredBound]) -> Self {
        let widest = Bound::new(UNBOUNDED.0, UNBOUNDED.1).unwrap_or_else(|_| unreachable!("two finite numbers in order"));
        let outer_of = |names: &[String]| names.iter().map(|name| outer.get(name).copied().unwrap_or(widest)).collect::<Vec<_>>();
        let mut bounds = Self { stats: outer_of(&shape.stats), totals: outer_of(&shape.totals) };
        for DeclaredBound { stat, total, bound } in declared {
            let side = if *total { &mut bounds.totals } else { &mut bounds.stats };
            if let Some(outer) = side.get_mut(usize::from(*stat)) {
                *outer = outer.intersect(*bound);
            }
        }
        bounds
    }

    fn of(&self, line: &Line) -> Option<Bound> {
        let side = if line.player == u16::MAX { &self.totals } else { &self.stats };
        side.get(usize::from(line.stat)).copied()
    }
}

impl RosteredReport {
    /// The claim behind it.
    #[must_use]
    pub fn claimed(&self) -> &ClaimedReport {
        &self.claimed
    }

    /// The report as the rules plugin sees it: players numbered team after team, then the totals.
    #[must_use]
    pub fn to_claim(&self, server: ServerRecord) -> Claim {
        Claim {
            duration_s: self.claimed.duration_s.min(DURATION_S_MAX),
            places: self.places.clone(),
            scores: self.scores().0,
            lines: self.lines(),
            server,
        }
    }

    fn players(&self) -> impl Iterator<Item = (u16, &ClaimedPlayer)> {
        (0..=u16::MAX).zip(&self.claimed.teams).flat_map(|(team, entry)| entry.players.iter().map(move |player| (team, player)))
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for (player, (team, claimed)) in (0..u16::MAX).zip(self.players()) {
            lines.extend((0..=u16::MAX).zip(&claimed.stats).map(|(stat, &value)| Line { player, team, stat, value }));
        }
        lines.extend((0..=u16::MAX).zip(&self.claimed.totals).map(|(stat, &value)| Line { player: u16::MAX, team: 0, stat, value }));
        lines
    }

    /// Scores, finite and bounded, and how many had to be changed.
    fn scores(&self) -> (Vec<f64>, u32) {
        let Ok(bound) = Bound::new(-SCORE_MAX, SCORE_MAX) else { return (Vec::new(), 0) };
        let clamped: Vec<_> = self.claimed.teams.iter().filter_map(|team| team.score).map(|score| bound.clamp(score)).collect();
        // One score that is no number spoils the comparison with the others: then the report has none.
        if self.claimed.teams.iter().any(|team| team.score.is_some_and(f64::is_nan)) {
            return (Vec::new(), count(clamped.len()));
        }
        let changed = clamped.iter().filter(|score| score.because().is_some()).count();
        (clamped.iter().map(|score| score.value()).collect(), count(changed))
    }

    /// Turns the claim into a fact: the rules' clamps first, then the bounds in force, whatever the rules said; then the findings.
    ///
    /// A fault of the rules plugin costs nothing but its clamps and findings: the bounds alone are enforced and the report says so.
    #[must_use]
    pub fn accept(self, provenance: Provenance, bounds: &StatBounds, review: Result<Verdict, PluginFault>) -> AcceptedReport {
        let mut notes = Notes::default();
        let verdict = review.unwrap_or_else(|fault| {
            notes.add(Reason::new(code::RULES_FAULT, format!("the stat rules {fault}; declared bounds were enforced")));
            Verdict::default()
        });
        let lines = self.accepted_lines(bounds, &verdict, &mut notes);
        let (scores, scores_changed) = self.scores();
        notes.changed(scores_changed, "a score was out of range");
        let players = self.accepted_players(&lines, &mut notes);
        let totals = lines.iter().filter(|line| line.player == u16::MAX).map(Line::stat).collect();
        let disposition = notes.weigh(verdict.findings);
        let Self { claimed, places, sides, map, mode } = self;
        AcceptedReport(ReportFacts {
            report_id: claimed.report_id,
            match_id: matches!(provenance.source, Source::Server(_)).then_some(claimed.match_id),
            provenance: Provenance { trust: unit(provenance.trust), ..provenance },
            duration_s: claimed.duration_s.min(DURATION_S_MAX),
            places,
            scores,
            sides,
            map,
            mode,
            totals,
            players,
            disposition,
            clamped: notes.clamped,
            reasons: notes.reasons,
        })
    }

    fn accepted_lines(&self, bounds: &StatBounds, verdict: &Verdict, notes: &mut Notes) -> Vec<Line> {
        let mut lines = self.lines();
        let claimed: Vec<f64> = lines.iter().map(|line| line.value).collect();
        let mut touched = vec![false; lines.len()];
        for clamp in &verdict.clamps {
            if let Some(line) = lines.get_mut(clamp.line as usize) {
                line.value = clamp.to;
                touched[clamp.line as usize] = true;
            }
        }
        for ((line, touched), claimed) in lines.iter_mut().zip(touched).zip(claimed) {
            // A line without a bound cannot exist: check_shape compared the lengths. Zero is inside everything the maths accepts.
            let Some(bound) = bounds.of(line) else {
                line.value = 0.0;
                continue;
            };
            let clamped = bound.clamp(line.value);
            let because = clamped.because().or(touched.then_some(code::CLAMPED));
            if let Some(because) = because {
                notes.clamp(because, line, claimed, clamped.value());
            }
            line.value = clamped.value();
        }
        lines
    }

    fn accepted_players(&self, lines: &[Line], notes: &mut Notes) -> Vec<AcceptedPlayer> {
        let mut players: Vec<AcceptedPlayer> = self
            .players()
            .map(|(team, claimed)| {
                let presence = unit(claimed.presence);
                notes.changed(u32::from(presence.to_bits() != (claimed.presence + 0.0).to_bits()), "a presence was out of range");
                AcceptedPlayer { player: claimed.player, team, presence, stats: Vec::with_capacity(claimed.stats.len()) }
            })
            .collect();
        for line in lines {
            if let Some(player) = players.get_mut(usize::from(line.player)) {
                player.stats.push(line.stat());
            }
        }
        players
    }
}

/// Forces a share into 0 to 1; what is no number counts as 0.
fn unit(share: f64) -> f64 {
    if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) + 0.0 }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Line {
    fn stat(&self) -> Stat {
        Stat { index: self.stat, value: self.value }
    }
}

/// Clamps counted and reasons gathered, both bounded.
#[derive(Default)]
struct Notes {
    clamped: u32,
    reasons: Vec<Reason>,
}

impl Notes {
    fn add(&mut self, reason: Reason) {
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(reason);
        }
    }

    fn clamp(&mut self, because: &'static str, line: &Line, claimed: f64, accepted: f64) {
        self.clamped = self.clamped.saturating_add(1);
        let player = (line.player != u16::MAX).then_some(line.player);
        self.add(Reason::new(because, ClampNote { player, stat: line.stat, claimed, accepted }.to_string()));
    }

    fn changed(&mut self, count: u32, detail: &str) {
        if count > 0 {
            self.clamped = self.clamped.saturating_add(count);
            self.add(Reason::new(code::CLAMPED, detail));
        }
    }

    /// The gravest finding decides.
    fn weigh(&mut self, findings: Vec<Finding>) -> Disposition {
        let mut disposition = Disposition::Ratable;
        for finding in findings {
            let (reason, becomes) = match finding {
                Finding::Suspicious(reason) => (reason, Disposition::Ratable),
                Finding::Hold(reason) => (reason, Disposition::Held),
                Finding::Reject(reason) => (reason, Disposition::Rejected),
            };
            self.add(reason);
            if becomes as u8 > disposition as u8 {
                disposition = becomes;
            }
        }
        disposition
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Clamp;

    fn shape() -> QueueShape {
        QueueShape {
            queue: "duel".to_string(),
            teams: 2,
            team_sizes: vec![1],
            stats: vec!["kills".to_string()],
            totals: vec!["rounds".to_string()],
            ..QueueShape::default()
        }
    }

    fn roster() -> Roster {
        Roster::new(vec![vec![PlayerId(1)], vec![PlayerId(2)]]).expect("two teams")
    }

    fn team(place: u32, player: u64, kills: f64) -> ClaimedTeam {
        let player = ClaimedPlayer { player: PlayerId(player), stats: vec![kills], presence: 1.0 };
        ClaimedTeam { place, score: Some(kills), players: vec![player], side: String::new() }
    }

    fn claim(kills: f64) -> ClaimedReport {
        ClaimedReport {
            report_id: ReportId([9; 16]),
            match_id: MatchId(4),
            duration_s: 60,
            teams: vec![team(0, 1, kills), team(1, 2, 3.0)],
            totals: vec![5.0],
            map: String::new(),
            mode: String::new(),
        }
    }

    fn bounds() -> StatBounds {
        let limit = |max| Bound::new(0.0, max).expect("in order");
        let outer = [("kills".to_string(), limit(100.0)), ("rounds".to_string(), limit(30.0))].into();
        StatBounds::new(&shape(), &outer, &[])
    }

    fn accept(claimed: ClaimedReport, review: Result<Verdict, PluginFault>) -> ReportFacts {
        let provenance =
            Provenance { queue: QueueId(1), source: Source::Server(ServerId([1; 16])), at: UnixSeconds(7), trust: f64::NAN, rules: None };
        let rostered = check_roster(claimed, &roster(), &shape()).expect("the roster is right");
        rostered.accept(provenance, &bounds(), review).facts().clone()
    }

    #[test]
    fn an_honest_report_is_kept_as_it_is() {
        let facts = accept(claim(7.0), Ok(Verdict::default()));
        assert_eq!((facts.clamped, facts.reasons.as_slice(), facts.disposition), (0, [].as_slice(), Disposition::Ratable));
        assert_eq!(facts.players[0].stats, [Stat { index: 0, value: 7.0 }]);
        assert_eq!((facts.places.as_slice(), facts.scores.as_slice()), ([0, 1].as_slice(), [7.0, 3.0].as_slice()));
    }

    #[test]
    fn no_number_that_maths_cannot_bear_survives() {
        for (name, kills, expected) in [
            ("not a number", f64::NAN, 0.0),
            ("infinite", f64::INFINITY, 100.0),
            ("minus infinite", f64::NEG_INFINITY, 0.0),
            ("negative", -5.0, 0.0),
            ("absurd", 1e300, 100.0),
        ] {
            let facts = accept(claim(kills), Ok(Verdict::default()));
            assert_eq!(facts.players[0].stats[0].value, expected, "{name}");
            assert!(facts.clamped > 0 && !facts.reasons.is_empty(), "{name}");
            assert!(facts.scores.iter().all(|score| score.is_finite()), "{name}");
            assert_eq!(facts.provenance.trust, 0.0, "{name}");
        }
    }

    #[test]
    fn the_bounds_hold_whatever_the_rules_say() {
        let verdict = Verdict { clamps: vec![Clamp { line: 0, to: f64::INFINITY }, Clamp { line: 99, to: 1.0 }], findings: vec![] };
        assert_eq!(accept(claim(7.0), Ok(verdict)).players[0].stats[0].value, 100.0);
        let faulted = accept(claim(500.0), Err(PluginFault::OutOfFuel { fuel_max: 1 }));
        assert_eq!(faulted.players[0].stats[0].value, 100.0);
        assert_eq!(faulted.reasons[0].code, code::RULES_FAULT);
    }

    #[test]
    fn the_gravest_finding_decides() {
        let reason = |code: &str| Reason::new(code, "");
        let findings = vec![Finding::Reject(reason("c")), Finding::Suspicious(reason("a")), Finding::Hold(reason("b"))];
        let facts = accept(claim(1.0), Ok(Verdict { clamps: vec![], findings }));
        assert_eq!(facts.disposition, Disposition::Rejected);
        assert_eq!(facts.reasons.len(), 3);
    }

    #[test]
    fn reasons_are_bounded() {
        let findings = (0..1000).map(|_| Finding::Suspicious(Reason::new("x", ""))).collect();
        assert_eq!(accept(claim(1.0), Ok(Verdict { clamps: vec![], findings })).reasons.len(), REASONS_MAX);
    }

    #[test]
    fn a_foreign_roster_is_refused() {
        let mut swapped = claim(1.0);
        swapped.teams.swap(0, 1);
        let mut stranger = claim(1.0);
        stranger.teams[0].players[0].player = PlayerId(3);
        let mut twice = claim(1.0);
        let again = twice.teams[0].players[0].clone();
        twice.teams[0].players.push(again);
        let mut third = claim(1.0);
        third.teams.push(team(2, 3, 0.0));
        for (name, claimed) in [("swapped", swapped), ("stranger", stranger), ("twice", twice), ("third team", third)] {
            let refusal = check_roster(claimed, &roster(), &shape()).expect_err(name);
            assert_eq!(refusal.code(), "wrong-roster", "{name}");
        }
    }

    #[test]
    fn a_report_of_another_shape_is_refused() {
        let mut stats = claim(1.0);
        stats.teams[0].players[0].stats.push(1.0);
        let mut totals = claim(1.0);
        totals.totals.push(1.0);
        let mut score = claim(1.0);
        score.teams[0].score = None;
        let mut place = claim(1.0);
        place.teams[0].place = 2;
        let mut nobody_first = claim(1.0);
        nobody_first.teams[0].place = 1;
        for (name, claimed) in [("stats", stats), ("totals", totals), ("score", score), ("place", place), ("nobody first", nobody_first)] {
            let refusal = check_roster(claimed, &roster(), &shape()).expect_err(name);
            assert_eq!(refusal.code(), "malformed", "{name}");
        }
    }

    #[test]
    fn rules_narrow_the_operators_bounds_and_never_widen_them() {
        let outer: BTreeMap<_, _> = [("kills".to_string(), Bound::new(0.0, 100.0).expect("in order"))].into();
        let declare = |max| DeclaredBound { stat: 0, total: false, bound: Bound::new(0.0, max).expect("in order") };
        for (declared, expected) in [(50.0, 50.0), (500.0, 100.0)] {
            let bounds = StatBounds::new(&shape(), &outer, &[declare(declared)]);
            assert_eq!(bounds.stats[0].max(), expected);
        }
    }
}
