//! One match as JSON: what was claimed became what was accepted, and every difference has a reason.

use ladder::queue::QueueShape;
use ladder::rating::Stat;
use ladder::reason::Reason;
use ladder::report::Disposition;
use serde::Serialize;
use store::{GenerationOf, MatchDetails, MatchReportDetails, RatingChange, RatingState, SeatDetails, StoredPrediction, Unrated};
use utoipa::ToSchema;

use crate::http::reading::RatingAnswer;
use crate::http::state::hex;
use crate::why;

/// One match.
#[derive(Serialize, ToSchema)]
pub(crate) struct MatchAnswer {
    match_id: u64,
    queue: String,
    /// `pending`, `admitted`, `live`, `reported` or `voided`.
    state: &'static str,
    /// What that means and what happens next, in a sentence or two for people.
    explanation: String,
    /// UUID of the game server's certificate, 32 hexadecimal digits.
    game_server: String,
    /// Whom that certificate names.
    game_server_owner: Option<String>,
    region: Option<String>,
    /// As the policy rated the match when it proposed it, 0 to 1.
    quality: f64,
    /// SHA-256 of the policy that proposed it.
    policy_digest: String,
    /// How often it was moved to another game server before it began.
    moves: u32,
    /// Unix milliseconds.
    opened_at_ms: u64,
    admitted_at_ms: Option<u64>,
    started_at_ms: Option<u64>,
    ended_at_ms: Option<u64>,
    /// Why it counts for nothing.
    void_reason: Option<ReasonAnswer>,
    teams: Vec<TeamAnswer>,
    report: Option<ReportAnswer>,
}

/// One team.
#[derive(Serialize, ToSchema)]
pub(super) struct TeamAnswer {
    /// From 1; equal places are a draw. Absent without a report.
    place: Option<u32>,
    score: Option<f64>,
    side: Option<String>,
    players: Vec<SeatAnswer>,
}

/// One player of a match.
#[derive(Serialize, ToSchema)]
pub(super) struct SeatAnswer {
    player_id: u64,
    name: String,
    /// First time aboard, Unix milliseconds.
    joined_at_ms: Option<u64>,
    /// Last time gone, Unix milliseconds; absent while aboard.
    left_at_ms: Option<u64>,
    /// Share of the match that the player was there for, 0 to 1.
    presence: Option<f64>,
    /// Accepted statistics, each inside its bounds.
    stats: Vec<StatAnswer>,
    /// Numbers that the game server claimed of this player and that were changed before anybody used them, for people.
    clamps: Vec<String>,
    /// Absent if the match was not rated (yet).
    rating: Option<ChangeAnswer>,
    /// Why the rating moved as it did, for people. Absent if it did not move.
    why: Option<String>,
}

/// What a match did to a rating.
#[derive(Serialize, ToSchema)]
pub(super) struct ChangeAnswer {
    before: RatingAnswer,
    after: RatingAnswer,
    /// What the rating engine expected of the player's team before: the mean probability to place before another team, draws counting half;
    /// for two teams the probability to win. Absent if it made no prediction.
    expected: Option<f64>,
}

/// What the rating engine predicted before it rated, and how far the result was from it.
#[derive(Serialize, ToSchema)]
pub(super) struct PredictionAnswer {
    /// Every pair of teams. Empty for contests of more than 32 teams.
    pairs: Vec<PairAnswer>,
    /// Log loss of the contest in nats, the mean over its pairs: 0 for a certainty that came about, 0.693 for a coin.
    surprise: f64,
    /// Share of the matches before, up to 1,000, that surprised less. Absent if there are fewer than 20.
    surprise_larger_than: Option<f64>,
}

/// What was predicted of two teams.
#[derive(Serialize, ToSchema)]
pub(super) struct PairAnswer {
    /// Positions in `teams`, from 0.
    first: u16,
    second: u16,
    /// That the first places before the second, a draw counting half.
    probability: f64,
}

/// One accepted statistic.
#[derive(Serialize, ToSchema)]
pub(super) struct StatAnswer {
    name: String,
    value: f64,
}

/// What became of the game server's report.
#[derive(Serialize, ToSchema)]
pub(super) struct ReportAnswer {
    /// Its place in the journal.
    seq: u64,
    /// Hash of its journal entry, 64 hexadecimal digits.
    journal_hash: String,
    /// When the host accepted it, Unix milliseconds.
    recorded_at_ms: u64,
    duration_s: u32,
    map: Option<String>,
    mode: Option<String>,
    totals: Vec<StatAnswer>,
    /// `ratable`, `held` (an operator decides) or `rejected`.
    disposition: &'static str,
    /// Numbers that had to be changed before anybody used them.
    clamped: u32,
    /// Why each was changed, and what the stat rules found.
    reasons: Vec<ReasonAnswer>,
    /// `rated`, `waits`, `not-ratable` or `voided` (an operator took the match back).
    rating: &'static str,
    /// Why the rating waits.
    rating_waits_because: Option<String>,
    /// It is rated, and what it changed is still being written, because the ratings were built anew.
    changes_to_come: bool,
    /// Why an operator took the match back, and the journal entry that says so.
    voided: Option<VoidAnswer>,
    /// How far the host trusted the result, 0 to 1.
    trust: f64,
    /// Absent if the match was not rated (yet), or could not be predicted.
    prediction: Option<PredictionAnswer>,
    /// SHA-256 of the stat rules that reviewed it.
    rules_digest: Option<String>,
    /// The generation of ratings that it was rated in first, and that generation's engine. Absent while the rating waits.
    rated_by: Option<GenerationAnswer>,
    /// The generation that the shown ratings come from: a later one than `rated_by` if the engine was exchanged since.
    shown: Option<GenerationAnswer>,
}

/// A match that an operator took back: it counts for nothing.
#[derive(Serialize, ToSchema)]
pub(super) struct VoidAnswer {
    reason: String,
    /// The journal entry.
    entry: u64,
}

/// A generation: all ratings of a queue by one engine with one set of parameters.
#[derive(Serialize, ToSchema)]
pub(super) struct GenerationAnswer {
    generation: u64,
    /// SHA-256 of the rating engine.
    engine_digest: String,
    /// What the engine calls itself. Absent if it was never told.
    engine_name: Option<String>,
    engine_version: Option<String>,
    /// Its parameters; what is not named has its default.
    #[schema(value_type = Object)]
    parameters: serde_json::Value,
}

/// A reason, for machines and for people.
#[derive(Serialize, ToSchema)]
pub(super) struct ReasonAnswer {
    /// Stable, kebab-case.
    code: String,
    detail: String,
}

impl MatchAnswer {
    /// `shape` names regions, maps and statistics; without one (the queue is no longer configured) they are shown by number.
    pub(crate) fn new(details: MatchDetails, shape: Option<&QueueShape>) -> Self {
        let names = Names(shape);
        let teams = (0..details.teams.len()).map(|team| TeamAnswer::new(team, &details, names)).collect();
        let report = details.report.as_ref().map(|report| ReportAnswer::new(&details, report, names));
        let explanation = why::state_in_words(&details);
        Self {
            match_id: details.match_id.0,
            queue: details.queue_name,
            state: details.state.name(),
            explanation,
            game_server: details.server.to_string(),
            game_server_owner: details.server_owner,
            region: names.region(details.region),
            quality: details.quality,
            policy_digest: hex(&details.policy_digest.0),
            moves: details.moves,
            opened_at_ms: details.opened_at.0,
            admitted_at_ms: details.admitted_at.map(|at| at.0),
            started_at_ms: details.started_at.map(|at| at.0),
            ended_at_ms: details.ended_at.map(|at| at.0),
            void_reason: details.void_reason.map(ReasonAnswer::from),
            teams,
            report,
        }
    }
}

impl MatchAnswer {
    /// The same with some of the players only.
    pub(crate) fn with_players(mut self, is_wanted: impl Fn(&str) -> bool) -> Self {
        self.teams.iter_mut().for_each(|team| team.players.retain(|seat| is_wanted(&seat.name)));
        self
    }
}

impl TeamAnswer {
    fn new(team: usize, details: &MatchDetails, names: Names<'_>) -> Self {
        let facts = details.report.as_ref().map(|report| &report.facts);
        Self {
            place: facts.and_then(|facts| facts.places.get(team)).map(|&place| u32::from(place) + 1),
            score: facts.and_then(|facts| facts.scores.get(team)).copied(),
            side: facts.and_then(|facts| facts.sides.get(team)).map(|&side| names.side(side)),
            players: details.teams[team].iter().map(|seat| SeatAnswer::new(team, seat, details, names)).collect(),
        }
    }
}

impl SeatAnswer {
    fn new(team: usize, seat: &SeatDetails, details: &MatchDetails, names: Names<'_>) -> Self {
        let report = details.report.as_ref();
        let accepted = report.and_then(|report| report.facts.players.iter().find(|accepted| accepted.player == seat.player));
        Self {
            player_id: seat.player.0,
            name: seat.name.clone(),
            joined_at_ms: seat.joined_at.map(|at| at.0),
            left_at_ms: seat.left_at.map(|at| at.0),
            presence: accepted.map(|accepted| accepted.presence),
            stats: accepted.map(|accepted| accepted.stats.iter().map(|&stat| names.stat(stat)).collect()).unwrap_or_default(),
            clamps: report.map(|report| why::clamps_of(details, report, seat, names.0)).unwrap_or_default(),
            rating: seat.change.as_ref().map(ChangeAnswer::from),
            why: why::seat_in_words(details, team, seat),
        }
    }
}

impl ReportAnswer {
    fn new(details: &MatchDetails, report: &MatchReportDetails, names: Names<'_>) -> Self {
        let facts = &report.facts;
        let (rating, rating_waits_because) = match &report.rating {
            RatingState::Rated(_) => ("rated", None),
            RatingState::Voided { .. } => ("voided", None),
            // What a plugin says about its own fault is for the operator.
            RatingState::Waits(Unrated::Fault(_)) => ("waits", Some("the rating engine faulted".to_owned())),
            RatingState::Waits(why) => ("waits", Some(why.to_string())),
            RatingState::NotRatable => ("not-ratable", None),
        };
        Self {
            seq: report.seq.0,
            journal_hash: hex(&report.hash.0),
            recorded_at_ms: report.recorded_at.0,
            duration_s: facts.duration_s,
            map: facts.map.map(|map| names.map(map)),
            mode: facts.mode.map(|mode| names.mode(mode)),
            totals: facts.totals.iter().map(|&total| names.total(total)).collect(),
            disposition: match report.disposition {
                Disposition::Ratable => "ratable",
                Disposition::Held => "held",
                Disposition::Rejected => "rejected",
            },
            clamped: facts.clamped,
            reasons: why::reasons(details, report, names.0).into_iter().map(ReasonAnswer::from).collect(),
            rating,
            rating_waits_because,
            changes_to_come: matches!(&report.rating, RatingState::Rated(changes) if changes.is_empty()),
            voided: VoidAnswer::of(&report.rating),
            trust: facts.provenance.trust,
            prediction: report.prediction.as_ref().map(|prediction| PredictionAnswer::new(prediction, facts.places.len())),
            rules_digest: facts.provenance.rules.map(|digest| hex(&digest.0)),
            rated_by: report.rated_by.as_ref().map(GenerationAnswer::from),
            shown: report.shown.as_ref().map(GenerationAnswer::from),
        }
    }
}

impl VoidAnswer {
    /// Who decided is the operators' business.
    fn of(rating: &RatingState) -> Option<Self> {
        match rating {
            RatingState::Voided { entry, why, .. } => Some(Self { reason: why.clone(), entry: entry.0 }),
            RatingState::Rated(_) | RatingState::Waits(_) | RatingState::NotRatable => None,
        }
    }
}

impl PredictionAnswer {
    fn new(prediction: &StoredPrediction, teams: usize) -> Self {
        let teams = u16::try_from(teams).unwrap_or(u16::MAX);
        let pairs = (0..teams).flat_map(|first| (first + 1..teams).map(move |second| (first, second)));
        let pair = |((first, second), &probability)| PairAnswer { first, second, probability };
        Self {
            pairs: pairs.zip(&prediction.pairs).map(pair).collect(),
            surprise: prediction.surprise,
            surprise_larger_than: why::larger_than(prediction),
        }
    }
}

impl From<&GenerationOf> for GenerationAnswer {
    fn from(of: &GenerationOf) -> Self {
        let (engine_name, engine_version) = of.engine.clone().unzip();
        Self {
            generation: of.generation.0,
            engine_digest: hex(&of.engine_digest.0),
            engine_name,
            engine_version,
            // Canonical JSON, written by this host.
            parameters: serde_json::from_str(&of.parameters).unwrap_or_default(),
        }
    }
}

impl From<&RatingChange> for ChangeAnswer {
    fn from(change: &RatingChange) -> Self {
        Self {
            before: RatingAnswer { rating: change.visible_before, mean: change.mean_before, uncertainty: change.uncertainty_before },
            after: RatingAnswer { rating: change.visible, mean: change.mean, uncertainty: change.uncertainty },
            expected: change.expected,
        }
    }
}

impl From<Reason> for ReasonAnswer {
    fn from(Reason { code, detail }: Reason) -> Self {
        Self { code, detail }
    }
}

/// The names behind the numbers.
#[derive(Clone, Copy)]
struct Names<'a>(Option<&'a QueueShape>);

impl Names<'_> {
    fn of(self, list: impl Fn(&QueueShape) -> &[String], index: u16) -> String {
        self.0.and_then(|shape| list(shape).get(usize::from(index))).cloned().unwrap_or_else(|| index.to_string())
    }

    fn region(self, index: u16) -> Option<String> {
        self.0.and_then(|shape| shape.regions.get(usize::from(index))).cloned()
    }

    fn side(self, index: u16) -> String {
        self.of(|shape| &shape.sides, index)
    }

    fn map(self, index: u16) -> String {
        self.of(|shape| &shape.maps, index)
    }

    fn mode(self, index: u16) -> String {
        self.of(|shape| &shape.modes, index)
    }

    fn stat(self, stat: Stat) -> StatAnswer {
        StatAnswer { name: self.of(|shape| &shape.stats, stat.index), value: stat.value }
    }

    fn total(self, total: Stat) -> StatAnswer {
        StatAnswer { name: self.of(|shape| &shape.totals, total.index), value: total.value }
    }
}
