//! HTTP: accounts, public pages of the ladder, health, metrics, and an OpenAPI document of all of it.
//!
//! ```text
//! serve (deadlines, connections bounded) -> router (body bounded, panics caught, counted) -> extractors (limits, access token) -> handlers
//! ```
//!
//! Refusals have one shape ([`RefusalBody`]). Nothing here knows the sockets or the matchmaker: what they must know at once goes through
//! [`TicketEvents`]. Plain HTTP: outside loopback a TLS proxy stands in front, and its address is then what the limits see.

mod accounts;
mod extract;
pub mod limits;
mod matches;
pub mod names;
mod operating;
mod reading;
mod refusal;
mod seasons;
mod serving;
mod state;

use std::any::Any;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use matches::MatchAnswer;
pub use refusal::{Refusal, RefusalBody};
pub use serving::serve;
pub use state::{CommunityFacts, HttpParts, HttpState, NobodyListens, Readiness, TicketEvents};

use crate::metrics::RouteLabels;
use crate::rate::{Source, TooOften};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "RankedServer",
        description = "Accounts, login tickets and the public pages of one community. Matchmaking itself runs on the RDV channel."
    ),
    tags(
        (name = "accounts", description = "Registering, logging in, login tickets"),
        (name = "ladder", description = "Leaderboards, profiles, matches: public"),
        (name = "operating", description = "Health, readiness, metrics"),
    )
)]
struct Document;

fn routes() -> OpenApiRouter<HttpState> {
    let mut document = Document::openapi();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("The access token of a login")).build();
    document.components.get_or_insert_default().add_security_scheme("access_token", SecurityScheme::Http(bearer));
    OpenApiRouter::with_openapi(document)
        .routes(routes!(accounts::register))
        .routes(routes!(accounts::login))
        .routes(routes!(accounts::logout))
        .routes(routes!(accounts::change_password))
        .routes(routes!(accounts::issue_login_ticket))
        .routes(routes!(accounts::me))
        .routes(routes!(reading::profile))
        .routes(routes!(reading::history))
        .routes(routes!(reading::queues))
        .routes(routes!(reading::leaderboard))
        .routes(routes!(reading::match_details))
        .routes(routes!(seasons::seasons))
        .routes(routes!(seasons::season_leaderboard))
        .routes(routes!(operating::healthz))
        .routes(routes!(operating::readyz))
        .routes(routes!(operating::show_metrics))
        .routes(routes!(operating::openapi))
}

/// The description of every route, as `/openapi.json` and `ranked openapi` show it.
#[must_use]
pub fn openapi_document() -> OpenApi {
    routes().into_openapi()
}

/// Every route, with limits, deadlines and counters around it.
pub fn router(state: HttpState) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(async || Refusal::NotFound { what: "route" })
        .method_not_allowed_fallback(async || Refusal::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(state.parts().limits.http_body_bytes_max))
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(from_fn_with_state(state.clone(), attend))
        .with_state(state)
}

/// The panic itself was printed by the panic hook; what it said is not for strangers.
fn answer_panic(_: Box<dyn Any + Send + 'static>) -> Response {
    Refusal::Internal.into_response()
}

/// Pages cost the database, so that nobody reads without end. Whoever asks for health or metrics is not concerned.
fn charge_read(state: &HttpState, route: &str, request: &Request) -> Result<(), TooOften> {
    if !route.starts_with("/v1/") || !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    let ConnectInfo(address) = request.extensions().get::<ConnectInfo<SocketAddr>>().expect("`serve` sets it for every request");
    state.charge_read(Source::of(address.ip()))
}

/// Refuses whoever reads too often, bounds the time of an answer, counts it, and keeps it out of caches.
async fn attend(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let time_max = Duration::from_millis(state.parts().limits.http_request_ms_max);
    let mut response = match charge_read(&state, &route, &request) {
        Ok(()) => {
            let answer = tokio::time::timeout(time_max, next.run(request)).await;
            answer.unwrap_or_else(|_| Refusal::TimedOut.into_response())
        }
        Err(too_often) => Refusal::TooManyAttempts(too_often).into_response(),
    };
    let status = match response.status().as_u16() {
        0..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    state.parts().metrics.http_requests.get_or_create(&RouteLabels { route, status }).inc();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
