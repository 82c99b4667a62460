//! One match as JSON: what was claimed became what was accepted, and every difference has a reason.

use ladder::queue::QueueShape;
use ladder::rating::Stat;
use ladder::reason::Reason;
use ladder::report::Disposition;
use serde::Serialize;
use store::{GenerationOf, MatchDetails, MatchReportDetails, RatingChange, RatingState, SeatDetails, Unrated};
use utoipa::ToSchema;

use crate::http::reading::RatingAnswer;
use crate::http::state::hex;

/// One match.
#[derive(Serialize, ToSchema)]
pub(super) struct MatchAnswer {
    match_id: u64,
    queue: String,
    /// `pending`, `admitted`, `live`, `reported` or `voided`.
    state: &'static str,
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
    /// Absent if the match was not rated (yet).
    rating: Option<ChangeAnswer>,
}

/// What a match did to a rating.
#[derive(Serialize, ToSchema)]
pub(super) struct ChangeAnswer {
    before: RatingAnswer,
    after: RatingAnswer,
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
    /// Why an operator took the match back, and the journal entry that says so.
    voided: Option<VoidAnswer>,
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
    pub(super) fn new(details: MatchDetails, shape: Option<&QueueShape>) -> Self {
        let names = Names(shape);
        let teams = details.teams.into_iter().enumerate().map(|(team, seats)| TeamAnswer::new(team, seats, details.report.as_ref(), names));
        Self {
            match_id: details.match_id.0,
            queue: details.queue_name,
            state: details.state.name(),
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
            teams: teams.collect(),
            report: details.report.as_ref().map(|report| ReportAnswer::new(report, names)),
        }
    }
}

impl TeamAnswer {
    fn new(team: usize, seats: Vec<SeatDetails>, report: Option<&MatchReportDetails>, names: Names<'_>) -> Self {
        let facts = report.map(|report| &report.facts);
        Self {
            place: facts.and_then(|facts| facts.places.get(team)).map(|&place| u32::from(place) + 1),
            score: facts.and_then(|facts| facts.scores.get(team)).copied(),
            side: facts.and_then(|facts| facts.sides.get(team)).map(|&side| names.side(side)),
            players: seats.into_iter().map(|seat| SeatAnswer::new(seat, report, names)).collect(),
        }
    }
}

impl SeatAnswer {
    fn new(seat: SeatDetails, report: Option<&MatchReportDetails>, names: Names<'_>) -> Self {
        let accepted = report.and_then(|report| report.facts.players.iter().find(|accepted| accepted.player == seat.player));
        Self {
            player_id: seat.player.0,
            name: seat.name,
            joined_at_ms: seat.joined_at.map(|at| at.0),
            left_at_ms: seat.left_at.map(|at| at.0),
            presence: accepted.map(|accepted| accepted.presence),
            stats: accepted.map(|accepted| accepted.stats.iter().map(|&stat| names.stat(stat)).collect()).unwrap_or_default(),
            rating: seat.change.map(ChangeAnswer::from),
        }
    }
}

impl ReportAnswer {
    fn new(report: &MatchReportDetails, names: Names<'_>) -> Self {
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
            reasons: facts.reasons.iter().cloned().map(ReasonAnswer::from).collect(),
            rating,
            rating_waits_because,
            voided: VoidAnswer::of(&report.rating),
            rules_digest: facts.provenance.rules.map(|digest| hex(&digest.0)),
            rated_by: report.rated_by.map(GenerationAnswer::from),
            shown: report.shown.map(GenerationAnswer::from),
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

impl From<GenerationOf> for GenerationAnswer {
    fn from(of: GenerationOf) -> Self {
        Self { generation: of.generation.0, engine_digest: hex(&of.engine_digest.0) }
    }
}

impl From<RatingChange> for ChangeAnswer {
    fn from(change: RatingChange) -> Self {
        Self {
            before: RatingAnswer { rating: change.visible_before, mean: change.mean_before, uncertainty: change.uncertainty_before },
            after: RatingAnswer { rating: change.visible, mean: change.mean, uncertainty: change.uncertainty },
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
