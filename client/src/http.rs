//! The HTTP side of a player: register, log in, fetch a login ticket, log out.

use std::collections::BTreeMap;

use ladder::id::PlayerId;
use protocol::secret::LoginTicket;
use protocol::trust::TrustAnchors;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::provision::trust_anchors;

/// Why an HTTP call gave nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The network, or an answer that is not the documented JSON.
    #[error("the host's HTTP listener failed")]
    Http(#[from] reqwest::Error),
    /// The host refused.
    #[error("the host refused: {} ({})", refusal.message.escape_debug(), refusal.code.escape_debug())]
    Refused {
        /// HTTP status.
        status: u16,
        /// Why.
        refusal: Refusal,
    },
    /// The answer names a community that cannot be pinned, or a login ticket that is none.
    #[error("the host's answer is not usable: {0}")]
    Unusable(&'static str),
}

/// The host's error body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    /// Stable, kebab-case.
    pub code: String,
    /// For people.
    pub message: String,
    /// When to try again, in seconds.
    pub retry_after_s: Option<u64>,
}

#[derive(Serialize)]
struct Credentials<'a> {
    name: &'a str,
    password: &'a str,
}

#[derive(Deserialize)]
struct LoginAnswer {
    player_id: u64,
    access_token: String,
    realm_id: String,
    signing_keys: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct TicketAnswer {
    login_ticket: String,
    expires_at_ms: u64,
    rdv: String,
}

/// A logged-in account.
pub struct Account {
    http: reqwest::Client,
    base: String,
    player: PlayerId,
    access_token: Zeroizing<String>,
    realm_id: String,
    signing_keys: BTreeMap<String, String>,
}

/// A login ticket fresh from the host.
pub struct IssuedTicket {
    /// The credential for the RDV channel.
    pub ticket: LoginTicket,
    /// Until when it must be used first, Unix milliseconds.
    pub expires_at_ms: u64,
    /// Where to connect with it.
    pub rdv: String,
}

impl Account {
    /// Registers a new account and logs in.
    ///
    /// # Errors
    ///
    /// [`HttpError`]; a taken name is a refusal.
    pub async fn register(base: &str, name: &str, password: &str) -> Result<Self, HttpError> {
        Self::enter(base, "/v1/players", name, password).await
    }

    /// Logs in.
    ///
    /// # Errors
    ///
    /// [`HttpError`]; wrong name and wrong password are one and the same refusal.
    pub async fn login(base: &str, name: &str, password: &str) -> Result<Self, HttpError> {
        Self::enter(base, "/v1/login", name, password).await
    }

    async fn enter(base: &str, path: &str, name: &str, password: &str) -> Result<Self, HttpError> {
        let http = reqwest::Client::new();
        let response = http.post(format!("{base}{path}")).json(&Credentials { name, password }).send().await?;
        let LoginAnswer { player_id, access_token, realm_id, signing_keys } = accepted(response).await?.json().await?;
        let access_token = Zeroizing::new(access_token);
        Ok(Self { http, base: base.to_owned(), player: PlayerId(player_id), access_token, realm_id, signing_keys })
    }

    /// Whose account this is.
    #[must_use]
    pub fn player_id(&self) -> PlayerId {
        self.player
    }

    /// The community and its signing keys, as the login told: pin them.
    ///
    /// # Errors
    ///
    /// [`HttpError::Unusable`].
    pub fn trust(&self) -> Result<TrustAnchors, HttpError> {
        trust_anchors(&self.realm_id, &self.signing_keys).map_err(HttpError::Unusable)
    }

    /// Fetches a login ticket for the RDV channel.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub async fn login_ticket(&self) -> Result<IssuedTicket, HttpError> {
        let response = self.post("/v1/login-ticket").send().await?;
        let TicketAnswer { mut login_ticket, expires_at_ms, rdv } = accepted(response).await?.json().await?;
        let ticket = parse_ticket(&login_ticket);
        login_ticket.zeroize();
        Ok(IssuedTicket { ticket: ticket.ok_or(HttpError::Unusable("a login ticket has 96 hexadecimal digits"))?, expires_at_ms, rdv })
    }

    /// Logs out: the access token and every login ticket of this login are dead, live sessions are closed.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub async fn logout(self) -> Result<(), HttpError> {
        let response = self.post("/v1/logout").send().await?;
        accepted(response).await.map(drop)
    }

    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.base)).bearer_auth(self.access_token.as_str())
    }
}

/// Fetches a public page of the API, such as a leaderboard.
///
/// # Errors
///
/// [`HttpError`].
pub async fn fetch<T: serde::de::DeserializeOwned>(url: &str) -> Result<T, HttpError> {
    Ok(accepted(reqwest::get(url).await?).await?.json().await?)
}

async fn accepted(response: reqwest::Response) -> Result<reqwest::Response, HttpError> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status().as_u16();
    // A proxy in between may answer something that is not ours; the status says enough then.
    let refusal = response.json().await.unwrap_or_default();
    Err(HttpError::Refused { status, refusal })
}

fn parse_ticket(text: &str) -> Option<LoginTicket> {
    let mut bytes = Zeroizing::new([0; 48]);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    if pairs.len() != bytes.len() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let digit = |ascii: &u8| char::from(*ascii).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(LoginTicket::from_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_ticket_is_read_from_its_digits_only() {
        let digits = "0f".repeat(48);
        assert!(parse_ticket(&digits).is_some_and(|ticket| ticket.matches(&[0x0f; 48])));
        for wrong in ["", "0f", &digits[1..], &digits.replace('f', "g")] {
            assert!(parse_ticket(wrong).is_none(), "{wrong}");
        }
    }
}
