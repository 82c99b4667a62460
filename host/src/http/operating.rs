//! For whoever runs the host: health, readiness, metrics and the description of this interface.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::state::HttpState;
use crate::metrics;

/// Whether the host can do its work, and what is missing if not.
#[derive(Serialize, ToSchema)]
pub(super) struct ReadinessAnswer {
    /// All of the below.
    ready: bool,
    /// The database takes writes.
    database: bool,
    /// Every queue has its plugins.
    plugins: bool,
    /// The listener for game servers accepts.
    s2s: bool,
    /// The listener for players accepts.
    rdv: bool,
}

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "operating", responses((status = 200, description = "It does", body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the host can do its work.
#[utoipa::path(get, path = "/readyz", tag = "operating", responses(
    (status = 200, description = "It can", body = ReadinessAnswer),
    (status = 503, description = "Something is missing", body = ReadinessAnswer),
))]
pub(super) async fn readyz(State(state): State<HttpState>) -> (StatusCode, Json<ReadinessAnswer>) {
    let readiness = &state.parts().readiness;
    let (database, plugins, s2s, rdv) = (state.database_writable().await, readiness.plugins(), readiness.s2s(), readiness.rdv());
    let ready = database && plugins && s2s && rdv;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadinessAnswer { ready, database, plugins, s2s, rdv }))
}

/// Metrics in OpenMetrics text, for Prometheus. Labels are bounded: never a player, a match or an address.
#[utoipa::path(get, path = "/metrics", tag = "operating", responses(
    (status = 200, description = "OpenMetrics", body = String, content_type = "application/openmetrics-text"),
))]
pub(super) async fn show_metrics(State(state): State<HttpState>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], state.parts().metrics.render())
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "operating", responses(
    (status = 200, description = "OpenAPI", body = Object),
))]
pub(super) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(super::openapi_document())
}
