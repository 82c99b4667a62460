//! What a request must bring before a handler sees it. Each extractor is evidence: a handler that takes [`Attempt`] cannot be reached by an
//! address that spent its attempts, one that takes [`LoggedIn`] not without an access token in force.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRequest, FromRequestParts};
use axum::http::header;
use axum::http::request::Parts;
use ladder::id::Digest;
use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};
use store::Login;
use zeroize::Zeroizing;

use crate::http::refusal::Refusal;
use crate::http::state::HttpState;
use crate::rate::Source;

/// Where a request comes from. Behind a proxy that is the proxy: no header is believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct From(pub(super) Source);

impl FromRequestParts<HttpState> for From {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &HttpState) -> Result<Self, Infallible> {
        let ConnectInfo(address) = parts.extensions.get::<ConnectInfo<SocketAddr>>().expect("`serve` sets it for every request");
        Ok(Self(Source::of(address.ip())))
    }
}

/// One attempt to register or log in, already spent. Comes before the body in every handler, so that refusing costs nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// Whose attempt.
    pub(super) source: Source,
}

impl FromRequestParts<HttpState> for Attempt {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Refusal> {
        let Ok(From(source)) = From::from_request_parts(parts, state).await;
        state.limits().addresses.charge(source, Instant::now())?;
        Ok(Self { source })
    }
}

/// An access token: 32 random bytes as hexadecimal digits. The database knows its SHA-256 only.
pub(super) fn access_token_hash(token: &[u8; 32]) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// A request with an access token in force.
pub(super) struct LoggedIn(pub(super) Login);

impl FromRequestParts<HttpState> for LoggedIn {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Refusal> {
        let token = bearer(parts).ok_or(Refusal::NotLoggedIn)?;
        let login = state.store().find_login(access_token_hash(&token), state.now()).await?;
        login.map(Self).ok_or(Refusal::NotLoggedIn)
    }
}

fn bearer(parts: &Parts) -> Option<Zeroizing<[u8; 32]>> {
    let text = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    let token = scheme.eq_ignore_ascii_case("bearer").then(|| Digest::from_hex(token.trim()))??;
    Some(Zeroizing::new(token.0))
}

/// A JSON body of this shape.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Refusal))]
pub(super) struct Json<T>(pub(super) T);

/// A query of this shape.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Refusal))]
pub(super) struct Query<T>(pub(super) T);

/// The parameters of the path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Refusal))]
pub(super) struct Path<T>(pub(super) T);

/// A text of a body that must not stay in memory.
pub(super) struct Secret(pub(super) Zeroizing<String>);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}
