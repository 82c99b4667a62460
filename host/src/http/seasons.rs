//! Seasons for everybody: which there were, and the standings that each ended with.

use axum::Json;
use axum::extract::State;
use ladder::id::QueueId;
use serde::Serialize;
use store::{ArchivedStanding, LeaderboardRow, Season};
use utoipa::ToSchema;

use crate::http::extract::{Path, Query};
use crate::http::reading::{LeaderboardQuery, offset_and_limit};
use crate::http::refusal::{Refusal, RefusalBody};
use crate::http::state::HttpState;
use crate::seasons::QueueSeasons;

/// The name of what came before the first season.
const BEFORE_THE_FIRST: &str = "before the first season";

/// A season by number and name.
#[derive(Serialize, ToSchema)]
pub(super) struct SeasonName {
    /// From 1; 0 is what came before the first season.
    number: u32,
    name: String,
}

/// The seasons of a queue.
#[derive(Serialize, ToSchema)]
pub(super) struct SeasonsAnswer {
    queue: String,
    /// The newest first; empty: there was none.
    seasons: Vec<SeasonAnswer>,
}

/// One season.
#[derive(Serialize, ToSchema)]
pub(super) struct SeasonAnswer {
    #[serde(flatten)]
    name: SeasonName,
    /// Unix milliseconds; absent of what came before the first season.
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at_ms: Option<u64>,
    /// Unix milliseconds; absent while it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at_ms: Option<u64>,
    /// What its start did to the standings: `hard`, `soft` or `uncertainty`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reset: Option<&'static str>,
    /// The share of what was known that its start kept, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    keep: Option<f64>,
}

/// One page of the standings of a season.
#[derive(Serialize, ToSchema)]
pub(super) struct SeasonStandingsAnswer {
    queue: String,
    season: SeasonName,
    /// Whether these are the standings that it ended with.
    ended: bool,
    /// Players on the whole leaderboard.
    total: u64,
    /// Rows in front of this page.
    offset: u64,
    rows: Vec<SeasonRowAnswer>,
}

/// One row of the standings of a season.
#[derive(Serialize, ToSchema)]
pub(super) struct SeasonRowAnswer {
    /// From 1.
    rank: u64,
    player_id: u64,
    name: String,
    /// The rating as it was shown, decay included.
    rating: f64,
    /// What the rating is called today.
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<String>,
    /// Expected skill.
    mean: f64,
    /// Standard deviation of the belief.
    uncertainty: f64,
    wins: u32,
    losses: u32,
    draws: u32,
}

/// The season that goes on in a queue.
pub(super) async fn season_of(state: &HttpState, queue: QueueId) -> Result<Option<SeasonName>, Refusal> {
    let newest = state.store().newest_season(queue).await?;
    Ok(newest.map(|Season { number, name, .. }| SeasonName { number, name }))
}

/// The seasons of a queue, the newest first.
#[utoipa::path(get, path = "/v1/queues/{queue}/seasons", tag = "ladder", params(("queue" = String, Path)), responses(
    (status = 200, description = "Every season so far", body = SeasonsAnswer),
    (status = 404, description = "`not-found`: no such queue", body = RefusalBody),
    (status = 429, description = "`too-many-attempts`: pages read by this address", body = RefusalBody),
    (status = 503, description = "`unavailable`, `timed-out`", body = RefusalBody),
))]
pub(super) async fn seasons(State(state): State<HttpState>, Path(queue): Path<String>) -> Result<Json<SeasonsAnswer>, Refusal> {
    let id = state.queue(&queue).await?;
    let found = state.store().list_seasons(id).await?;
    // Each ends where the one in front of it in the list starts.
    let ends = std::iter::once(None).chain(found.iter().map(|season| Some(season.started_at.0)));
    let mut seasons: Vec<_> = found.iter().zip(ends).map(|(season, ended_at_ms)| answer(season, ended_at_ms)).collect();
    if let Some(first) = found.last().filter(|first| first.number == 1) {
        let name = SeasonName { number: 0, name: BEFORE_THE_FIRST.to_owned() };
        let ended_at_ms = Some(first.started_at.0);
        seasons.push(SeasonAnswer { name, started_at_ms: None, ended_at_ms, reset: None, keep: None });
    }
    Ok(Json(SeasonsAnswer { queue, seasons }))
}

fn answer(season: &Season, ended_at_ms: Option<u64>) -> SeasonAnswer {
    SeasonAnswer {
        name: SeasonName { number: season.number, name: season.name.clone() },
        started_at_ms: Some(season.started_at.0),
        ended_at_ms,
        reset: Some(season.reset.name()),
        keep: Some(season.reset.keep()),
    }
}

/// One page of the standings of a season, best first: those that it ended with, or today's of the one that goes on.
#[utoipa::path(get, path = "/v1/queues/{queue}/seasons/{number}/leaderboard", tag = "ladder",
    params(("queue" = String, Path), ("number" = u32, Path), LeaderboardQuery), responses(
    (status = 200, description = "One page", body = SeasonStandingsAnswer),
    (status = 400, description = "`bad-path`, `bad-query`", body = RefusalBody),
    (status = 404, description = "`not-found`: no such queue or season", body = RefusalBody),
    (status = 429, description = "`too-many-attempts`: pages read by this address", body = RefusalBody),
    (status = 503, description = "`unavailable`, `timed-out`", body = RefusalBody),
))]
pub(super) async fn season_leaderboard(
    State(state): State<HttpState>,
    Path((queue, number)): Path<(String, u32)>,
    Query(query): Query<LeaderboardQuery>,
) -> Result<Json<SeasonStandingsAnswer>, Refusal> {
    let (offset, limit) = offset_and_limit(&query)?;
    let id = state.queue(&queue).await?;
    let store = state.store();
    let (shown, now) = (state.seasons(&queue), state.parts().clock.now().seconds());
    let newest = store.newest_season(id).await?;
    let goes_on = newest.as_ref().map_or(0, |season| season.number);
    let name = match number {
        0 => Some(BEFORE_THE_FIRST.to_owned()),
        _ => store.list_seasons(id).await?.into_iter().find(|season| season.number == number).map(|season| season.name),
    };
    let season = SeasonName { number, name: name.ok_or(Refusal::NotFound { what: "season" })? };
    let (total, rows) = if number == goes_on {
        let rows = store.leaderboard_at(id, shown.rules(), now, offset, limit).await?;
        (store.leaderboard_len_at(id, shown.rules()).await?, rows.into_iter().map(|row| of_today(row, &shown)).collect())
    } else {
        let rows = store.season_standings(id, number, offset, limit).await?;
        (store.season_standings_len(id, number).await?, rows.into_iter().map(|row| archived(row, &shown)).collect())
    };
    Ok(Json(SeasonStandingsAnswer { queue, season, ended: number != goes_on, total, offset, rows }))
}

fn of_today(row: LeaderboardRow, shown: &QueueSeasons) -> SeasonRowAnswer {
    SeasonRowAnswer {
        rank: row.rank,
        player_id: row.player.0,
        name: row.name,
        rating: row.shown,
        tier: shown.tier(row.shown),
        mean: row.mean,
        uncertainty: row.uncertainty,
        wins: row.wins,
        losses: row.losses,
        draws: row.draws,
    }
}

fn archived(row: ArchivedStanding, shown: &QueueSeasons) -> SeasonRowAnswer {
    SeasonRowAnswer {
        rank: row.rank,
        player_id: row.player.0,
        name: row.name,
        rating: row.visible,
        tier: shown.tier(row.visible),
        mean: row.mean,
        uncertainty: row.uncertainty,
        wins: row.wins,
        losses: row.losses,
        draws: row.draws,
    }
}
