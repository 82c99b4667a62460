//! Registering, logging in and out, passwords, login tickets.
//!
//! An access token is 32 random bytes, a login ticket 48; both leave this process once, in the answer, and the database keeps SHA-256 only.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use protocol::id::LoginTicketId;
use protocol::secret::{AuthKey, LoginTicket};
use serde::{Deserialize, Serialize, Serializer};
use store::{Account, LoginTicketRefusal, LoginTicketState, NameTaken, NewLogin, NewLoginTicket, StoredLoginTicket};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::http::extract::{Attempt, Json, LoggedIn, Secret, access_token_hash};
use crate::http::names::{AccountKey, PlayerName};
use crate::http::reading::{ProfileAnswer, load_profile};
use crate::http::refusal::{Refusal, RefusalBody};
use crate::http::state::{HttpState, hex};
use crate::metrics::{LoginLabels, LoginResult};
use crate::passwords::{Password, PasswordError, Verified};
use crate::rate::Source;

/// Who, and the password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    /// 3 to 24 of A-Z, a-z, 0-9, `_`, `-`, `.`; begins and ends with a letter or digit. Case is kept, and makes no other name.
    #[schema(min_length = 3, max_length = 24, pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{1,22}[A-Za-z0-9]$", example = "ada")]
    name: String,
    /// At least 8 characters, at most 128 bytes.
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 128)]
    password: Secret,
}

/// A login.
#[derive(Serialize, ToSchema)]
pub(super) struct LoginAnswer {
    /// Who.
    player_id: u64,
    /// The name as registered.
    name: String,
    /// 64 hexadecimal digits: `Authorization: Bearer` of later requests. Keep it secret.
    #[schema(value_type = String)]
    #[serde(serialize_with = "reveal")]
    access_token: Zeroizing<String>,
    /// When the login ends by itself, Unix milliseconds.
    expires_at_ms: u64,
    /// The community, 32 hexadecimal digits: pin it.
    realm_id: String,
    /// Ed25519 public keys by key epoch, 64 hexadecimal digits each: pin them.
    #[schema(example = json!({"1": "8f4c..."}))]
    signing_keys: BTreeMap<u32, String>,
    /// Where to connect with a login ticket: host and port.
    rdv: String,
}

/// A login ticket.
#[derive(Serialize, ToSchema)]
pub(super) struct LoginTicketAnswer {
    /// 96 hexadecimal digits: 16 bytes of ticket id, 32 of secret. Opens one handshake on the RDV channel. Keep it secret.
    #[schema(value_type = String)]
    #[serde(serialize_with = "reveal")]
    login_ticket: Zeroizing<String>,
    /// Until when it must be used, Unix milliseconds; the handshake hands out the next one.
    expires_at_ms: u64,
    /// Where to connect with it: host and port.
    rdv: String,
    /// The community, 32 hexadecimal digits.
    realm_id: String,
    /// Ed25519 public keys by key epoch, 64 hexadecimal digits each.
    signing_keys: BTreeMap<u32, String>,
}

/// A change of the password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordChange {
    /// As it is now.
    #[schema(value_type = String, format = Password)]
    current_password: Secret,
    /// As it shall be: at least 8 characters, at most 128 bytes.
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 128)]
    new_password: Secret,
}

/// The owner's view of an account.
#[derive(Serialize, ToSchema)]
pub(super) struct MeAnswer {
    /// When this login ends by itself, Unix milliseconds.
    login_expires_at_ms: u64,
    /// What everybody sees.
    profile: ProfileAnswer,
}

/// Secrets leave the process in the answer to whom they belong, and nowhere else.
fn reveal<S: Serializer>(secret: &Zeroizing<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret)
}

/// Registers a player and logs in.
#[utoipa::path(post, path = "/v1/players", tag = "accounts", request_body = Credentials, responses(
    (status = 201, description = "Registered and logged in", body = LoginAnswer),
    (status = 400, description = "`bad-body`, `bad-name`, `bad-password`", body = RefusalBody),
    (status = 409, description = "`name-taken`", body = RefusalBody),
    (status = 429, description = "`too-many-attempts`, `busy`", body = RefusalBody),
    (status = 503, description = "`unavailable`, `timed-out`", body = RefusalBody),
))]
pub(super) async fn register(
    axum::extract::State(state): axum::extract::State<HttpState>,
    attempt: Attempt,
    Json(Credentials { name, password }): Json<Credentials>,
) -> Result<(StatusCode, axum::Json<LoginAnswer>), Refusal> {
    let name = PlayerName::new(name)?;
    let password = Password::new(password.0)?;
    // Who exists is public anyway (leaderboards), and a taken name is not worth a hash.
    if state.store().find_account(name.as_str()).await?.is_some() {
        return Err(Refusal::NameTaken);
    }
    let password_hash = state.parts().passwords.hash(password).await?;
    let now = state.now();
    let registered = state.store().register_player(name.as_str(), password_hash.clone(), now).await?;
    let player = registered.map_err(|NameTaken| Refusal::NameTaken)?;
    let name = name.as_str().to_owned();
    state.limits().delays.succeeded(AccountKey::of(&name), attempt.source);
    let account = Account { player, name, password_hash: Some(password_hash), registered_at: now };
    Ok((StatusCode::CREATED, axum::Json(open_login(&state, account).await?)))
}

/// Logs in.
#[utoipa::path(post, path = "/v1/login", tag = "accounts", request_body = Credentials, responses(
    (status = 200, description = "Logged in", body = LoginAnswer),
    (status = 400, description = "`bad-body`", body = RefusalBody),
    (status = 401, description = "`wrong-credentials`: the password is wrong, or nobody has the name", body = RefusalBody),
    (status = 429, description = "`too-many-attempts` of this address or on this account; `busy`", body = RefusalBody),
    (status = 503, description = "`unavailable`, `timed-out`", body = RefusalBody),
))]
pub(super) async fn login(
    axum::extract::State(state): axum::extract::State<HttpState>,
    attempt: Attempt,
    Json(Credentials { name, password }): Json<Credentials>,
) -> Result<axum::Json<LoginAnswer>, Refusal> {
    let account = Guess::begin(&state, &name, attempt.source)?.judge(&name, password).await?;
    Ok(axum::Json(open_login(&state, account).await?))
}

/// Ends this login: its access token and every login ticket that came of it are dead, sessions opened with them are closed.
#[utoipa::path(post, path = "/v1/logout", tag = "accounts", security(("access_token" = [])), responses(
    (status = 204, description = "Logged out"),
    (status = 401, description = "`not-logged-in`", body = RefusalBody),
    (status = 503, description = "`unavailable`, `timed-out`", body = RefusalBody),
))]
pub(super) async fn logout(
    axum::extract::State(state): axum::extract::State<HttpState>,
    LoggedIn(login): LoggedIn,
) -> Result<StatusCode, Refusal> {
    if let Some(ended) = state.store().end_login(login.login_id, state.now()).await? {
        state.parts().tickets.families_revoked(&ended.families);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Changes the password. Every other login of the player ends, with its login tickets and sessions; this one stays.
#[utoipa::path(post, path = "/v1/password", tag = "accounts", security(("access_token" = [])), request_body = PasswordChange, responses(
    (status = 204, description = "Changed"),
    (status = 400, description = "`bad-body`, `bad-password`", body = RefusalBody),
    (status = 401, description = "`not-logged-in`; `wrong-credentials`: the current password is wrong", body = RefusalBody),
    (status = 429, description = "`too-many-attempts`, `busy`", body = RefusalBody),
    (status = 503, description = "`unavailable`, `timed-out`", body = RefusalBody),
))]
pub(super) async fn change_password(
    axum::extract::State(state): axum::extract::State<HttpState>,
    attempt: Attempt,
    LoggedIn(login): LoggedIn,
    Json(PasswordChange { current_password, new_password }): Json<PasswordChange>,
) -> Result<StatusCode, Refusal> {
    let new_password = Password::new(new_password.0)?;
    let account = Guess::begin(&state, &login.name, attempt.source)?.judge(&login.name, current_password).await?;
    let new_hash = state.parts().passwords.hash(new_password).await?;
    let changed = state.store().change_password(account.player, new_hash, Some(login.login_id), state.now()).await?;
    let ended = changed.ok().ok_or(Refusal::NotLoggedIn)?;
    state.parts().tickets.families_revoked(&ended.families);
    Ok(StatusCode::NO_CONTENT)
}

/// Issues a login ticket for the RDV channel: the first of a new family. Usable at once.
#[utoipa::path(post, path = "/v1/login-ticket", tag = "accounts", security(("access_token" = [])), responses(
    (status = 201, description = "Issued", body = LoginTicketAnswer),
    (status = 401, description = "`not-logged-in`", body = RefusalBody),
    (status = 429, description = "`too-many-attempts`", body = RefusalBody),
    (status = 503, description = "`unavailable`, `timed-out`", body = RefusalBody),
))]
pub(super) async fn issue_login_ticket(
    axum::extract::State(state): axum::extract::State<HttpState>,
    LoggedIn(login): LoggedIn,
) -> Result<(StatusCode, axum::Json<LoginTicketAnswer>), Refusal> {
    state.charge_ticket(login.player)?;
    let secret = Zeroizing::new(random()?);
    let ticket = LoginTicket::new(LoginTicketId(random()?), &secret);
    let now = state.now();
    let expires_at = now.plus(Duration::from_secs(state.parts().login.ticket_s));
    let (ticket_id, hash) = (ticket.id().0, *AuthKey::from_login_ticket(&ticket).expose());
    let new = NewLoginTicket { ticket_id, hash, expires_at };
    let family = state.store().issue_login_ticket(login.login_id, new, now).await?.map_err(|refusal| match refusal {
        // 128 random bits met twice: a broken random source.
        LoginTicketRefusal::Reused => Refusal::Internal,
        // The login ended between the token's check and now.
        _ => Refusal::NotLoggedIn,
    })?;
    state.parts().tickets.ticket_issued(StoredLoginTicket {
        ticket_id,
        hash,
        family,
        player: login.player,
        player_name: login.name,
        expires_at,
        state: LoginTicketState::Live,
        family_revoked: false,
    });
    let answer = LoginTicketAnswer {
        login_ticket: Zeroizing::new(hex(ticket.expose())),
        expires_at_ms: expires_at.0,
        rdv: state.parts().community.rdv.clone(),
        realm_id: state.parts().community.realm_id.to_string(),
        signing_keys: state.signing_keys().await?,
    };
    Ok((StatusCode::CREATED, axum::Json(answer)))
}

/// The own profile.
#[utoipa::path(get, path = "/v1/me", tag = "accounts", security(("access_token" = [])), responses(
    (status = 200, description = "Whose access token this is", body = MeAnswer),
    (status = 401, description = "`not-logged-in`", body = RefusalBody),
    (status = 429, description = "`too-many-attempts`: pages read by this address", body = RefusalBody),
    (status = 503, description = "`unavailable`, `timed-out`", body = RefusalBody),
))]
pub(super) async fn me(
    axum::extract::State(state): axum::extract::State<HttpState>,
    LoggedIn(login): LoggedIn,
) -> Result<axum::Json<MeAnswer>, Refusal> {
    let profile = load_profile(&state, login.player).await?;
    Ok(axum::Json(MeAnswer { login_expires_at_ms: login.expires_at.0, profile }))
}

/// One look at a password, charged to the account until it proves right.
struct Guess<'a> {
    state: &'a HttpState,
    key: AccountKey,
    source: Source,
}

impl<'a> Guess<'a> {
    fn begin(state: &'a HttpState, name: &str, source: Source) -> Result<Self, Refusal> {
        let key = AccountKey::of(name);
        let begun = state.limits().delays.begin(Instant::now(), key, source);
        if begun.is_err() {
            count(state, LoginResult::Delayed);
        }
        begun?;
        Ok(Self { state, key, source })
    }

    /// The account, if the password is its password. A name that nobody has takes as long as a wrong password.
    async fn judge(self, name: &str, password: Secret) -> Result<Account, Refusal> {
        // No stored password has another length.
        let Ok(password) = Password::new(password.0) else { return Err(self.refuse()) };
        let account = match PlayerName::new(name.to_owned()) {
            Ok(name) => self.state.store().find_account(name.as_str()).await.map_err(|error| self.give_back(error.into()))?,
            // Nobody can have registered it.
            Err(_) => None,
        };
        let stored = account.as_ref().and_then(|account| account.password_hash.clone());
        let verified = self.state.parts().passwords.verify(password, stored).await.map_err(|error| {
            if matches!(error, PasswordError::Busy) {
                count(self.state, LoginResult::Delayed);
            }
            self.give_back(error.into())
        })?;
        let (Verified::Right { rehashed }, Some(account)) = (verified, account) else { return Err(self.refuse()) };
        self.state.limits().delays.succeeded(self.key, self.source);
        count(self.state, LoginResult::Accepted);
        if let (Some(new_hash), Some(old_hash)) = (rehashed, account.password_hash.clone()) {
            self.state.store().replace_password_hash(account.player, old_hash, new_hash).await?;
        }
        Ok(account)
    }

    fn refuse(&self) -> Refusal {
        count(self.state, LoginResult::Refused);
        Refusal::WrongCredentials
    }

    fn give_back(&self, refusal: Refusal) -> Refusal {
        self.state.limits().delays.not_tried(self.key, self.source);
        refusal
    }
}

fn count(state: &HttpState, result: LoginResult) {
    state.parts().metrics.logins.get_or_create(&LoginLabels { result }).inc();
}

async fn open_login(state: &HttpState, account: Account) -> Result<LoginAnswer, Refusal> {
    let token = Zeroizing::new(random()?);
    let now = state.now();
    let expires_at = now.plus(Duration::from_secs(state.parts().login.access_s));
    let login = NewLogin { login_id: random()?, player: account.player, access_token_hash: access_token_hash(&token), expires_at };
    // The account was there a moment ago, and 128 random bits do not repeat.
    state.store().open_login(login, now).await?.ok().ok_or(Refusal::Internal)?;
    let community = &state.parts().community;
    Ok(LoginAnswer {
        player_id: account.player.0,
        name: account.name,
        access_token: Zeroizing::new(hex(&*token)),
        expires_at_ms: expires_at.0,
        realm_id: community.realm_id.to_string(),
        signing_keys: state.signing_keys().await?,
        rdv: community.rdv.clone(),
    })
}

fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
