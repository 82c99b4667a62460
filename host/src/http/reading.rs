//! What everybody may look at: profiles, histories, leaderboards, matches with the reasons for what became of them.

use axum::Json;
use axum::extract::State;
use ladder::id::{JournalSeq, MatchId, PlayerId};
use serde::{Deserialize, Serialize};
use store::{HistoryRow, LeaderboardRow, QueueStanding};
use utoipa::{IntoParams, ToSchema};

use crate::http::extract::{Path, Query};
use crate::http::matches::MatchAnswer;
use crate::http::refusal::{Refusal, RefusalBody};
use crate::http::seasons::{SeasonName, season_of};
use crate::http::state::HttpState;
use crate::metrics::ByQueue;
use crate::seasons::QueueSeasons;

/// Rows of one page, at most.
pub(super) const ROWS_MAX: u32 = 100;
/// Rows of one page, if the asker does not say.
const ROWS_DEFAULT: u32 = 50;
/// How deep a leaderboard can be paged: the database walks over every row in front of a page.
const OFFSET_MAX: u64 = 100_000;

/// A player in public.
#[derive(Serialize, ToSchema)]
pub(super) struct ProfileAnswer {
    player_id: u64,
    name: String,
    /// Unix milliseconds.
    registered_at_ms: u64,
    /// One per queue in which the player was rated.
    standings: Vec<StandingAnswer>,
}

/// A player's place in one queue.
#[derive(Serialize, ToSchema)]
pub(super) struct StandingAnswer {
    queue: String,
    /// The season that goes on; absent: none ever started.
    #[serde(skip_serializing_if = "Option::is_none")]
    season: Option<SeasonName>,
    /// Contests that the player must still play to stand on the leaderboard; absent: he stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    placement: Option<PlacementAnswer>,
    /// When the last rated contest ended, Unix seconds.
    last_at_s: i64,
    #[serde(flatten)]
    row: RowAnswer,
}

/// How far a player is on the way to the leaderboard of a season.
#[derive(Serialize, ToSchema)]
pub(super) struct PlacementAnswer {
    /// Contests rated in this season.
    played: u32,
    /// Contests that are needed.
    of: u32,
}

/// One row of a leaderboard.
#[derive(Serialize, ToSchema)]
pub(super) struct RowAnswer {
    /// From 1; absent of a player in placement.
    #[serde(skip_serializing_if = "Option::is_none")]
    rank: Option<u64>,
    player_id: u64,
    name: String,
    /// The rating that counts: a cautious estimate, what the order goes by.
    rating: f64,
    /// What the rating is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<String>,
    /// What `rating` is short of because the player stays away; the next rated contest brings it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    decay: Option<f64>,
    /// Expected skill.
    mean: f64,
    /// Standard deviation of the belief.
    uncertainty: f64,
    /// Contests rated, in all seasons since the last hard reset; what was won and lost is of this season.
    contests: u32,
    wins: u32,
    losses: u32,
    draws: u32,
}

/// One page of a leaderboard.
#[derive(Serialize, ToSchema)]
pub(super) struct LeaderboardAnswer {
    queue: String,
    /// The season that goes on; absent: none ever started.
    #[serde(skip_serializing_if = "Option::is_none")]
    season: Option<SeasonName>,
    /// Contests of the season that a player must have played to stand here.
    placements: u32,
    /// Players on the whole leaderboard.
    total: u64,
    /// Rows in front of this page.
    offset: u64,
    rows: Vec<RowAnswer>,
}

/// One page of a player's rated contests, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct HistoryAnswer {
    player_id: u64,
    queue: String,
    rows: Vec<ContestAnswer>,
    /// `before` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_before: Option<u64>,
    /// The ratings were built anew and what each contest changed is still being written: rows may be missing between these two entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<MissingAnswer>,
}

/// Contests whose changes are still being written.
#[derive(Serialize, ToSchema)]
pub(super) struct MissingAnswer {
    /// After this entry of the journal ..
    after: u64,
    /// .. and up to this one.
    through: u64,
}

/// One rated contest of one player.
#[derive(Serialize, ToSchema)]
pub(super) struct ContestAnswer {
    /// Its place in the journal.
    seq: u64,
    /// Absent for imported history.
    #[serde(skip_serializing_if = "Option::is_none")]
    match_id: Option<u64>,
    /// When it ended, Unix seconds.
    at_s: i64,
    /// Place of the player's team, from 1.
    place: u32,
    before: RatingAnswer,
    after: RatingAnswer,
    /// What was expected of the player's team before: for two teams the probability to win, else the mean probability to place before another
    /// team; draws count half. Absent if the rating engine made no prediction.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<f64>,
}

/// A rating at one moment.
#[derive(Serialize, ToSchema)]
pub(super) struct RatingAnswer {
    /// The rating that counts.
    pub(super) rating: f64,
    /// Expected skill.
    pub(super) mean: f64,
    /// Standard deviation of the belief.
    pub(super) uncertainty: f64,
}

/// The queues that can be joined.
#[derive(Serialize, ToSchema)]
pub(super) struct QueuesAnswer {
    queues: Vec<QueueAnswer>,
}

/// One queue.
#[derive(Serialize, ToSchema)]
pub(super) struct QueueAnswer {
    name: String,
    teams: u16,
    /// Players per team, one entry a team; one entry for all teams of a free-for-all.
    team_sizes: Vec<u16>,
    /// Bit r of `regions` in an Enqueue message stands for entry r.
    regions: Vec<String>,
    /// Who waits now.
    players_waiting: u64,
}

/// Which part of a leaderboard.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LeaderboardQuery {
    /// Rows to skip, at most 100,000.
    #[serde(default)]
    #[param(minimum = 0, maximum = 100_000)]
    offset: u64,
    /// Rows to show, 1 to 100; 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// Which part of a history.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryQuery {
    /// Name of the queue.
    queue: String,
    /// Only contests before this place in the journal: `next_before` of the previous page.
    before: Option<u64>,
    /// Rows to show, 1 to 100; 50 if absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// The part of a leaderboard that is asked for.
pub(super) fn offset_and_limit(query: &LeaderboardQuery) -> Result<(u64, u32), Refusal> {
    let limit = rows(query.limit)?;
    if query.offset > OFFSET_MAX {
        return Err(Refusal::OutOfRange { parameter: "offset", least: 0, most: OFFSET_MAX });
    }
    Ok((query.offset, limit))
}

fn rows(limit: Option<u32>) -> Result<u32, Refusal> {
    let limit = limit.unwrap_or(ROWS_DEFAULT);
    if (1..=ROWS_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(Refusal::OutOfRange { parameter: "limit", least: 1, most: u64::from(ROWS_MAX) })
    }
}

/// A player's public profile.
#[utoipa::path(get, path = "/v1/players/{player_id}", tag = "ladder", params(("player_id" = u64, Path)), responses(
    (status = 200, description = "Name and one standing per queue", body = ProfileAnswer),
    (status = 400, description = "`bad-path`", body = RefusalBody),
    (status = 404, description = "`not-found`", body = RefusalBody),
    (status = 429, description = "`too-many-attempts`: pages read by this address", body = RefusalBody),
    (status = 503, description = "`unavailable`, `timed-out`", body = RefusalBody),
))]
pub(super) async fn profile(State(state): State<HttpState>, Path(player): Path<u64>) -> Result<Json<ProfileAnswer>, Refusal> {
    Ok(Json(load_profile(&state, PlayerId(player)).await?))
}

/// A player in public, as the rules of each queue show him.
pub(super) async fn load_profile(state: &HttpState, player: PlayerId) -> Result<ProfileAnswer, Refusal> {
    let queues = state.store().list_queues().await?;
    let rules = queues.iter().map(|(queue, name)| (*queue, state.seasons(name).rules())).collect();
    let now = state.parts().clock.now().seconds();
    let profile = state.store().profile_at(player, rules, now).await?.ok_or(Refusal::NotFound { what: "player" })?;
    let mut standings = Vec::with_capacity(profile.standings.len());
    for standing in profile.standings {
        let season = season_of(state, standing.queue).await?;
        standings.push(StandingAnswer::new(standing, season, state));
    }
    Ok(ProfileAnswer { player_id: profile.player.0, name: profile.name, registered_at_ms: profile.registered_at.0, standings })
}

/// A player's rated contests in one queue, newest first.
#[utoipa::path(get, path = "/v1/players/{player_id}/history", tag = "ladder", params(("player_id" = u64, Path), HistoryQuery), responses(
    (status = 200, description = "One page", body = HistoryAnswer),
    (status = 400, description = "`bad-path`, `bad-query`", body = RefusalBody),
    (status = 404, description = "`not-found`: no such queue", body = RefusalBody),
    (status = 429, description = "`too-many-attempts`: pages read by this address", body = RefusalBody),
    (status = 503, description = "`unavailable`, `timed-out`", body = RefusalBody),
))]
pub(super) async fn history(
    State(state): State<HttpState>,
    Path(player): Path<u64>,
    Query(HistoryQuery { queue, before, limit }): Query<HistoryQuery>,
) -> Result<Json<HistoryAnswer>, Refusal> {
    let limit = rows(limit)?;
    let id = state.queue(&queue).await?;
    // One more than shown: whether there is another page.
    let before = before.map(|seq| JournalSeq(seq.min(i64::MAX.cast_unsigned())));
    let mut found = state.store().history(PlayerId(player), id, before, limit + 1).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next_before = found.last().filter(|_| more).map(|row| row.seq.0);
    let missing = state.store().changes_progress(id).await?.map(|at| MissingAnswer { after: at.through.0, through: at.head.0 });
    Ok(Json(HistoryAnswer { player_id: player, queue, rows: found.into_iter().map(ContestAnswer::from).collect(), next_before, missing }))
}

/// The queues of this host.
#[utoipa::path(get, path = "/v1/queues", tag = "ladder", responses(
    (status = 200, description = "In the order of their names", body = QueuesAnswer),
    (status = 429, description = "`too-many-attempts`: pages read by this address", body = RefusalBody),
))]
pub(super) async fn queues(State(state): State<HttpState>) -> Json<QueuesAnswer> {
    let waiting = &state.parts().metrics.players_waiting;
    let answer = |shape: &ladder::queue::QueueShape| QueueAnswer {
        name: shape.queue.clone(),
        teams: shape.teams,
        team_sizes: shape.team_sizes.clone(),
        regions: shape.regions.clone(),
        players_waiting: waiting.get(&ByQueue::new(shape.queue.as_str())).map_or(0, |gauge| u64::try_from(gauge.get()).unwrap_or(0)),
    };
    Json(QueuesAnswer { queues: state.parts().queues.iter().map(answer).collect() })
}

/// One page of a queue's leaderboard, best first.
#[utoipa::path(get, path = "/v1/queues/{queue}/leaderboard", tag = "ladder", params(("queue" = String, Path), LeaderboardQuery), responses(
    (status = 200, description = "One page", body = LeaderboardAnswer),
    (status = 400, description = "`bad-query`", body = RefusalBody),
    (status = 404, description = "`not-found`: no such queue", body = RefusalBody),
    (status = 429, description = "`too-many-attempts`: pages read by this address", body = RefusalBody),
    (status = 503, description = "`unavailable`, `timed-out`", body = RefusalBody),
))]
pub(super) async fn leaderboard(
    State(state): State<HttpState>,
    Path(queue): Path<String>,
    Query(query): Query<LeaderboardQuery>,
) -> Result<Json<LeaderboardAnswer>, Refusal> {
    let (offset, limit) = offset_and_limit(&query)?;
    let id = state.queue(&queue).await?;
    let (shown, now) = (state.seasons(&queue), state.parts().clock.now().seconds());
    let total = state.store().leaderboard_len_at(id, shown.rules()).await?;
    let rows = state.store().leaderboard_at(id, shown.rules(), now, offset, limit).await?;
    let rows = rows.into_iter().map(|row| RowAnswer::new(row, &shown)).collect();
    Ok(Json(LeaderboardAnswer { season: season_of(&state, id).await?, placements: shown.rules().placements, queue, total, offset, rows }))
}

/// Everything about one match: who played, what was reported, what was clamped, what it did to the ratings and why.
#[utoipa::path(get, path = "/v1/matches/{match_id}", tag = "ladder", params(("match_id" = u64, Path)), responses(
    (status = 200, description = "The match", body = MatchAnswer),
    (status = 400, description = "`bad-path`", body = RefusalBody),
    (status = 404, description = "`not-found`", body = RefusalBody),
    (status = 429, description = "`too-many-attempts`: pages read by this address", body = RefusalBody),
    (status = 503, description = "`unavailable`, `timed-out`", body = RefusalBody),
))]
pub(super) async fn match_details(State(state): State<HttpState>, Path(match_id): Path<u64>) -> Result<Json<MatchAnswer>, Refusal> {
    let details = state.store().match_details(MatchId(match_id)).await?.ok_or(Refusal::NotFound { what: "match" })?;
    let shape = state.shape(&details.queue_name);
    Ok(Json(MatchAnswer::new(details, shape)))
}

impl StandingAnswer {
    fn new(standing: QueueStanding, season: Option<SeasonName>, state: &HttpState) -> Self {
        let QueueStanding { queue_name, row, last_at, .. } = standing;
        let shown = state.seasons(&queue_name);
        let (played, of) = (row.season_contests(), shown.rules().contests_min());
        let placement = (played < of).then_some(PlacementAnswer { played, of });
        let row = RowAnswer::new(row, &shown);
        let rank = row.rank.filter(|_| placement.is_none());
        Self { queue: queue_name, season, placement, last_at_s: last_at.0, row: RowAnswer { rank, ..row } }
    }
}

impl RowAnswer {
    fn new(row: LeaderboardRow, shown: &QueueSeasons) -> Self {
        Self {
            rank: Some(row.rank),
            player_id: row.player.0,
            name: row.name,
            rating: row.shown,
            tier: shown.tier(row.shown),
            decay: (row.shown < row.visible).then_some(row.visible - row.shown),
            mean: row.mean,
            uncertainty: row.uncertainty,
            contests: row.contests,
            wins: row.wins,
            losses: row.losses,
            draws: row.draws,
        }
    }
}

impl From<HistoryRow> for ContestAnswer {
    fn from(row: HistoryRow) -> Self {
        Self {
            seq: row.seq.0,
            match_id: row.match_id.map(|id| id.0),
            at_s: row.at.0,
            place: u32::from(row.place) + 1,
            before: RatingAnswer { rating: row.visible_before, mean: row.mean_before, uncertainty: row.uncertainty_before },
            after: RatingAnswer { rating: row.visible, mean: row.mean, uncertainty: row.uncertainty },
            expected: row.expected,
        }
    }
}
