//! The one shape of every answer that is not a success.
//!
//! Coarse towards strangers: a wrong password and a name that nobody has are the same answer, and what the database said stays in the log.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use store::StoreError;
use utoipa::ToSchema;

use crate::http::names::BadName;
use crate::passwords::{self, BadPassword, PasswordError};
use crate::rate::TooOften;

/// Why there is no other answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The body is not the JSON that the route takes. The asker's fault.
    #[error("the body is not what this route takes: {0}")]
    BadBody(#[from] JsonRejection),
    /// A parameter of the query or path cannot be read. The asker's fault.
    #[error("a parameter cannot be read: {0}")]
    BadQuery(#[from] QueryRejection),
    /// A parameter of the path cannot be read. The asker's fault.
    #[error("the path cannot be read: {0}")]
    BadPath(#[from] PathRejection),
    /// A parameter is out of range. The asker's fault.
    #[error("`{parameter}` is out of range: it must be {least} to {most}")]
    OutOfRange {
        /// Which.
        parameter: &'static str,
        /// The smallest that is taken.
        least: u64,
        /// The largest that is taken.
        most: u64,
    },
    /// The player's fault.
    #[error(transparent)]
    BadName(#[from] BadName),
    /// The player's fault.
    #[error(transparent)]
    BadPassword(#[from] BadPassword),
    /// Somebody else was first.
    #[error("the name is taken")]
    NameTaken,
    /// A wrong password, or a name that nobody has: nobody is told which.
    #[error("name or password is wrong")]
    WrongCredentials,
    /// No access token, or one that opens nothing any more.
    #[error("log in first: the access token is missing or no longer valid")]
    NotLoggedIn,
    /// There is no such thing.
    #[error("there is no such {what}")]
    NotFound {
        /// What was asked for.
        what: &'static str,
    },
    /// The route exists, for other methods.
    #[error("this route does not take this method")]
    MethodNotAllowed,
    /// More attempts than allowed.
    #[error("too many attempts")]
    TooManyAttempts(#[from] TooOften),
    /// Too many passwords wait to be hashed.
    #[error("too many players log in at once")]
    Busy,
    /// The storage failed or is overloaded; nothing happened. The environment's fault.
    #[error("the host cannot do this now")]
    Unavailable(#[source] StoreError),
    /// It took too long. It may still happen.
    #[error("the answer took too long")]
    TimedOut,
    /// A bug of ours, or no randomness to be had.
    #[error("the host failed")]
    Internal,
}

/// Body of every refusal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"code": "too-many-attempts", "message": "too many attempts", "retry_after_s": 4}))]
pub struct RefusalBody {
    /// Stable, kebab-case: what programs look at.
    pub code: &'static str,
    /// For people. Never part of the contract.
    pub message: String,
    /// When to try again, in seconds, where trying again makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::BadBody(rejection) => match rejection.status() {
                status @ (StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE) => status,
                // Broken JSON and JSON of another shape are one mistake to whoever made it.
                _ => StatusCode::BAD_REQUEST,
            },
            Self::BadQuery(_) | Self::BadPath(_) | Self::OutOfRange { .. } | Self::BadName(_) | Self::BadPassword(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::NameTaken => StatusCode::CONFLICT,
            Self::WrongCredentials | Self::NotLoggedIn => StatusCode::UNAUTHORIZED,
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooManyAttempts(_) | Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) | Self::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Stable, kebab-case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadBody(_) => "bad-body",
            Self::BadQuery(_) | Self::OutOfRange { .. } => "bad-query",
            Self::BadPath(_) => "bad-path",
            Self::BadName(_) => "bad-name",
            Self::BadPassword(_) => "bad-password",
            Self::NameTaken => "name-taken",
            Self::WrongCredentials => "wrong-credentials",
            Self::NotLoggedIn => "not-logged-in",
            Self::NotFound { .. } => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::TooManyAttempts(_) => "too-many-attempts",
            Self::Busy => "busy",
            Self::Unavailable(_) => "unavailable",
            Self::TimedOut => "timed-out",
            Self::Internal => "internal",
        }
    }

    fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::TooManyAttempts(TooOften { retry_after }) => Some(retry_after.as_secs_f64().ceil().max(1.0) as u64),
            Self::Busy => Some(passwords::RETRY_AFTER_S),
            Self::Unavailable(_) => Some(1),
            _ => None,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, code = error.code(), "the store failed an HTTP request");
        Self::Unavailable(error)
    }
}

impl From<PasswordError> for Refusal {
    fn from(error: PasswordError) -> Self {
        if matches!(error, PasswordError::Busy) {
            return Self::Busy;
        }
        tracing::error!(error = &error as &dyn std::error::Error, "a password could not be looked at");
        Self::Internal
    }
}

impl From<getrandom::Error> for Refusal {
    fn from(error: getrandom::Error) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the system gives no randomness");
        Self::Internal
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let retry_after_s = self.retry_after_s();
        let body = RefusalBody { code: self.code(), message: self.to_string(), retry_after_s };
        let mut response = (self.status(), Json(body)).into_response();
        if let Some(seconds) = retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if matches!(self, Self::NotLoggedIn) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
