//! Whose credentials count, in memory: certificates, key epochs and login tickets, as the database has them.
//!
//! ```text
//! CertificateClaim --verify_certificate--> InForce   --(registry)--> session        the sweep asks again and again: still in force?
//! LoginTicketClaim --verify_login_ticket-> LiveLogin --(registry)--> session
//! ```
//!
//! The database decides; this is its mirror, so that a stranger's hello costs a map lookup and no disk. [`Directory::reload`] reads it anew
//! whenever the store's control generation has risen. [`InForce`] and [`LiveLogin`] are evidence: nothing else opens a session, and only this
//! module makes them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ladder::id::{PlayerId, ServerId};
use ladder::time::UnixMillis;
use protocol::certificate::Scope;
use protocol::handshake::HandshakeError;
use protocol::handshake::server::{CertificateClaim, LoginTicketClaim, ReadyToFinish};
use protocol::id::{Identity, KeyEpoch, LoginTicketId, RealmId};
use protocol::message::Channel;
use protocol::reaction::CloseCode;
use protocol::secret::AuthKey;
use protocol::trust::TrustAnchors;
use store::{FamilyId, KeyEpochState, LoginTicketState, Store, StoreError, StoredCertificate, StoredLoginTicket};

use crate::http::TicketEvents;
use crate::keys::Keyring;
use crate::net::outbox::Closing;
use crate::net::peer::Ending;

/// Superseded login tickets that are remembered for each family, the latest ones: who shakes hands often would otherwise fill the memory.
///
/// An older one that comes back is unknown here and gets silence, although the database has it until it expires. A thief gains nothing by it;
/// only the family is not revoked for a login ticket that served so long ago.
const SUPERSEDED_PER_FAMILY_MAX: usize = 8;

/// Evidence that a certificate was in force at one instant: signed by a living key, inside its dates, not revoked, proved by its holder.
///
/// Only [`Directory::verify_certificate`] makes one.
///
/// ```compile_fail
/// let forged = host::directory::InForce { server: ladder::id::ServerId([0; 16]) }; // the fields are private
/// ```
#[derive(Debug)]
pub struct InForce {
    server: ServerId,
    owner: String,
    scope: Scope,
    key_epoch: KeyEpoch,
    not_after: UnixMillis,
}

impl InForce {
    /// Which game server.
    #[must_use]
    pub fn server(&self) -> ServerId {
        self.server
    }

    /// Whose name it bears.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// What it may do.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// When the certificate ends.
    #[must_use]
    pub fn not_after(&self) -> UnixMillis {
        self.not_after
    }
}

/// Evidence that a player proved to hold a login ticket that counts. Only [`Directory::verify_login_ticket`] makes one.
#[derive(Debug)]
pub struct LiveLogin {
    ticket_id: LoginTicketId,
    family: FamilyId,
    player: PlayerId,
    player_name: Arc<str>,
    pending: bool,
}

impl LiveLogin {
    /// By which login ticket.
    #[must_use]
    pub fn ticket_id(&self) -> LoginTicketId {
        self.ticket_id
    }

    /// Of which family it is.
    #[must_use]
    pub fn family(&self) -> FamilyId {
        self.family
    }

    /// Who.
    #[must_use]
    pub fn player(&self) -> PlayerId {
        self.player
    }

    /// The account's name.
    #[must_use]
    pub fn player_name(&self) -> &str {
        &self.player_name
    }

    /// Whether the login ticket was offered and never confirmed until this handshake proved that the client has it.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.pending
    }
}

/// Why a proven peer gets no session. The peer's fault or fate; it learns nothing but silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotInForce {
    /// The proof itself failed.
    #[error("the credential was not proved")]
    Handshake(#[from] HandshakeError),
    /// Nobody knows this credential (any more).
    #[error("unknown credential")]
    Unknown,
    /// An operator withdrew the certificate, or the login was ended.
    #[error("revoked")]
    Revoked,
    /// The key epoch of the certificate was retired.
    #[error("key epoch {0} is retired")]
    KeyEpochRetired(KeyEpoch),
    /// Past its end.
    #[error("expired")]
    Expired,
    /// A superseded login ticket came back: two hold it, and one of them is a thief. The whole family must die.
    #[error("superseded login ticket of family {} used again", .0.0)]
    Reused(FamilyId),
}

impl NotInForce {
    /// How a session that lives by such a credential ends.
    #[must_use]
    pub fn closing(&self) -> Closing {
        let (code, text) = match self {
            Self::KeyEpochRetired(_) => (CloseCode::KeyEpochRetired, "key-epoch-retired"),
            Self::Expired => (CloseCode::Revoked, "expired"),
            Self::Handshake(_) | Self::Unknown | Self::Revoked | Self::Reused(_) => (CloseCode::Revoked, "revoked"),
        };
        Closing::now(code, Ending::CredentialDead, text)
    }
}

/// See the module.
pub struct Directory {
    realm_id: RealmId,
    state: RwLock<State>,
}

struct State {
    keyring: Arc<Keyring>,
    trust: TrustAnchors,
    retired: HashSet<KeyEpoch>,
    newest_key_epoch: Option<KeyEpoch>,
    certificates: HashMap<ServerId, KnownCertificate>,
    login_tickets: HashMap<LoginTicketId, KnownTicket>,
    families: HashMap<FamilyId, Family>,
}

struct KnownCertificate {
    /// `None`: the database holds a secret that this host's keys do not open. That game server cannot connect.
    auth_key: Option<Arc<AuthKey>>,
    sealed_secret: Vec<u8>,
    secret_commitment: [u8; 32],
    key_epoch: KeyEpoch,
    not_after: UnixMillis,
    revoked: bool,
}

struct KnownTicket {
    auth_key: Arc<AuthKey>,
    family: FamilyId,
    player: PlayerId,
    player_name: Arc<str>,
    expires_at: UnixMillis,
    state: LoginTicketState,
}

#[derive(Default)]
struct Family {
    tickets: Vec<LoginTicketId>,
    revoked: bool,
}

impl Directory {
    /// Reads the database.
    ///
    /// # Errors
    /// The environment's: [`StoreError`].
    pub async fn load(keyring: Arc<Keyring>, store: &Store, now: UnixMillis) -> Result<Arc<Self>, StoreError> {
        let mut state = State::load(keyring, None, store, now).await?;
        state.forget_long_superseded();
        Ok(Arc::new(Self { realm_id: state.trust.realm_id(), state: RwLock::new(state) }))
    }

    /// Reads the database anew. What was known stays in force until all of it is read.
    ///
    /// # Errors
    /// The environment's: [`StoreError`]; nothing changed.
    pub async fn reload(&self, store: &Store, now: UnixMillis) -> Result<(), StoreError> {
        let keyring = self.keyring();
        let mut fresh = State::load(keyring, Some(self), store, now).await?;
        let mut state = self.write();
        fresh.keep_what_happened_meanwhile(&mut state, now);
        fresh.forget_long_superseded();
        *state = fresh;
        Ok(())
    }

    /// Whether the database knows a key epoch whose key files were not there yet: a command in another process is not done.
    #[must_use]
    pub fn lacks_key_files(&self) -> bool {
        let state = self.read();
        state.newest_key_epoch.is_some_and(|newest| !state.keyring.signing_keys().contains_key(&newest))
    }

    /// Uses other keys from now on: the channel key was renewed.
    pub fn use_keyring(&self, keyring: Arc<Keyring>) {
        self.write().keyring = keyring;
    }

    /// The community.
    #[must_use]
    pub fn realm_id(&self) -> RealmId {
        self.realm_id
    }

    /// The keys in use: those of the latest key epoch that the files have.
    #[must_use]
    pub fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.read().keyring)
    }

    /// The auth key of an identity, for the first check of a hello. It says nothing about whether the credential still counts.
    #[must_use]
    pub fn auth_key(&self, channel: Channel, identity: Identity) -> Option<Arc<AuthKey>> {
        let state = self.read();
        match channel {
            Channel::S2s => state.certificates.get(&ServerId(identity.0))?.auth_key.clone(),
            Channel::Rdv => Some(Arc::clone(&state.login_tickets.get(&LoginTicketId(identity.0))?.auth_key)),
        }
    }

    /// Whether an authentic hello is worth public-key operations. A superseded login ticket is: its reuse must be proved before it is judged.
    ///
    /// # Errors
    /// [`NotInForce`].
    pub fn check_hello(&self, channel: Channel, identity: Identity, now: UnixMillis) -> Result<(), NotInForce> {
        let state = self.read();
        match channel {
            Channel::S2s => {
                let known = state.certificates.get(&ServerId(identity.0)).ok_or(NotInForce::Unknown)?;
                state.check_certificate(ServerId(identity.0), known.key_epoch, known.not_after, now)
            }
            Channel::Rdv => {
                let known = state.login_tickets.get(&LoginTicketId(identity.0)).ok_or(NotInForce::Unknown)?;
                state.check_family(known.family)?;
                if known.expires_at <= now { Err(NotInForce::Expired) } else { Ok(()) }
            }
        }
    }

    /// Believes a certificate, or not: signature, realm, dates, commitment, node key, then revocation and key epoch as of now.
    ///
    /// # Errors
    /// [`NotInForce`].
    pub fn verify_certificate(&self, claim: CertificateClaim, now: UnixMillis) -> Result<(InForce, ReadyToFinish), NotInForce> {
        let state = self.read();
        let server = claim.certificate().fields().server_id;
        let known = state.certificates.get(&server).ok_or(NotInForce::Unknown)?;
        let (verified, ready) = claim.verify(&state.trust, &known.secret_commitment, now)?;
        let fields = verified.fields();
        let in_force = InForce {
            server,
            owner: fields.owner.clone(),
            scope: fields.scope,
            key_epoch: verified.certificate().key_epoch(),
            not_after: fields.not_after,
        };
        state.check_certificate(server, in_force.key_epoch, in_force.not_after, now)?;
        Ok((in_force, ready))
    }

    /// Believes a login ticket, or not: first that the client holds all of it, and only then whether it counts.
    ///
    /// # Errors
    /// [`NotInForce`]; on [`NotInForce::Reused`] the caller revokes the family.
    pub fn verify_login_ticket(&self, claim: LoginTicketClaim, now: UnixMillis) -> Result<(LiveLogin, ReadyToFinish), NotInForce> {
        let (verified, ready) = claim.verify()?;
        let state = self.read();
        let ticket_id = verified.id();
        let known = state.login_tickets.get(&ticket_id).ok_or(NotInForce::Unknown)?;
        state.check_family(known.family)?;
        if known.expires_at <= now {
            return Err(NotInForce::Expired);
        }
        let pending = match known.state {
            LoginTicketState::Superseded => return Err(NotInForce::Reused(known.family)),
            LoginTicketState::Pending => true,
            LoginTicketState::Live => false,
        };
        let login =
            LiveLogin { ticket_id, family: known.family, player: known.player, player_name: Arc::clone(&known.player_name), pending };
        Ok((login, ready))
    }

    /// Whether a game server's session must end.
    #[must_use]
    pub fn judge_server(&self, in_force: &InForce, now: UnixMillis) -> Option<Closing> {
        let judged = self.read().check_certificate(in_force.server, in_force.key_epoch, in_force.not_after, now);
        judged.err().map(|dead| dead.closing())
    }

    /// Whether a player's session must end.
    #[must_use]
    pub fn judge_player(&self, login: &LiveLogin) -> Option<Closing> {
        self.read().check_family(login.family).err().map(|dead| dead.closing())
    }

    /// A handshake offers `successor` to the holder of `login`; one that was offered before and never confirmed is forgotten.
    pub fn successor_offered(&self, login: &LiveLogin, successor: LoginTicketId, hash: [u8; 32], expires_at: UnixMillis) {
        let mut state = self.write();
        let earlier: Vec<LoginTicketId> = state.tickets_of(login.family, LoginTicketState::Pending);
        for ticket_id in earlier {
            state.forget_ticket(ticket_id);
        }
        let known = KnownTicket {
            auth_key: Arc::new(AuthKey::from_bytes(hash)),
            family: login.family,
            player: login.player,
            player_name: Arc::clone(&login.player_name),
            expires_at,
            state: LoginTicketState::Pending,
        };
        state.login_tickets.insert(successor, known);
        state.families.entry(login.family).or_default().tickets.push(successor);
    }

    /// A client showed that it has `successor`: it is live and its predecessor superseded.
    pub fn successor_confirmed(&self, successor: LoginTicketId) {
        let mut state = self.write();
        let Some(family) = state.login_tickets.get(&successor).map(|known| known.family) else { return };
        let live = state.tickets_of(family, LoginTicketState::Live);
        for ticket_id in live.into_iter().filter(|&ticket_id| ticket_id != successor) {
            state.set_state(ticket_id, LoginTicketState::Superseded);
        }
        state.set_state(successor, LoginTicketState::Live);
        state.forget_superseded_of(family);
    }

    /// Forgets login tickets that are past their end, and families of which none is left. A revoked family stays until the next reload: the
    /// sweep may not have closed its session yet.
    pub fn forget_expired(&self, now: UnixMillis) {
        let mut state = self.write();
        let State { login_tickets, families, .. } = &mut *state;
        login_tickets.retain(|_, known| known.expires_at > now);
        families.retain(|_, family| {
            family.tickets.retain(|ticket_id| login_tickets.contains_key(ticket_id));
            family.revoked || !family.tickets.is_empty()
        });
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TicketEvents for Directory {
    fn ticket_issued(&self, ticket: StoredLoginTicket) {
        self.write().put_ticket(&ticket);
    }

    /// Their login tickets are dead at once, their sessions with the next sweep.
    fn families_revoked(&self, families: &[FamilyId]) {
        let mut state = self.write();
        for family in families {
            state.families.entry(*family).or_default().revoked = true;
        }
    }
}

impl State {
    async fn load(keyring: Arc<Keyring>, before: Option<&Directory>, store: &Store, now: UnixMillis) -> Result<Self, StoreError> {
        let epochs = store.list_key_epochs().await?;
        let certificates = store.list_certificates().await?;
        let tickets = store.load_login_tickets(now).await?;
        let newest = epochs.iter().filter(|epoch| epoch.state == KeyEpochState::Active).map(|epoch| KeyEpoch(epoch.key_epoch)).max();
        let keyring = with_key_epoch(keyring, newest);
        let retired: HashSet<KeyEpoch> =
            epochs.iter().filter(|epoch| epoch.state != KeyEpochState::Active).map(|epoch| KeyEpoch(epoch.key_epoch)).collect();
        let mut trust = keyring.trust();
        for &key_epoch in &retired {
            trust.retire(key_epoch);
        }
        let known_before = before.map(Directory::read);
        let certificates = certificates
            .into_iter()
            .map(|stored| {
                let before = known_before.as_ref().and_then(|state| state.certificates.get(&stored.issued.server));
                (stored.issued.server, KnownCertificate::new(&keyring, stored, before))
            })
            .collect();
        drop(known_before);
        let mut state = Self {
            keyring,
            trust,
            retired,
            newest_key_epoch: newest,
            certificates,
            login_tickets: HashMap::with_capacity(tickets.len()),
            families: HashMap::new(),
        };
        tickets.iter().for_each(|stored| state.put_ticket(stored));
        Ok(state)
    }

    /// Handshakes went on while the database was read, so what was read may be older than what is known. A login ticket only ever moves
    /// from pending to live to superseded, and a family only ever to revoked: the later of both is right.
    fn keep_what_happened_meanwhile(&mut self, before: &mut Self, now: UnixMillis) {
        for (ticket_id, known) in before.login_tickets.drain().filter(|(_, known)| known.expires_at > now) {
            match self.login_tickets.get_mut(&ticket_id) {
                Some(fresh) if (fresh.state as u8) < known.state as u8 => fresh.state = known.state,
                Some(_) => {}
                None => {
                    self.families.entry(known.family).or_default().tickets.push(ticket_id);
                    self.login_tickets.insert(ticket_id, known);
                }
            }
        }
        for (family, known) in before.families.drain().filter(|(_, known)| known.revoked) {
            if let Some(fresh) = self.families.get_mut(&family) {
                fresh.revoked |= known.revoked;
            }
        }
    }

    fn put_ticket(&mut self, stored: &StoredLoginTicket) {
        let ticket_id = LoginTicketId(stored.ticket_id);
        let known = KnownTicket {
            auth_key: Arc::new(AuthKey::from_bytes(stored.hash)),
            family: stored.family,
            player: stored.player,
            player_name: stored.player_name.as_str().into(),
            expires_at: stored.expires_at,
            state: stored.state,
        };
        self.login_tickets.insert(ticket_id, known);
        let family = self.families.entry(stored.family).or_default();
        family.tickets.push(ticket_id);
        family.revoked |= stored.family_revoked;
    }

    fn forget_ticket(&mut self, ticket_id: LoginTicketId) {
        let Some(known) = self.login_tickets.remove(&ticket_id) else { return };
        if let Some(family) = self.families.get_mut(&known.family) {
            family.tickets.retain(|&of_family| of_family != ticket_id);
        }
    }

    /// All but the latest [`SUPERSEDED_PER_FAMILY_MAX`]; a successor expires after its predecessor.
    fn forget_superseded_of(&mut self, family: FamilyId) {
        let mut superseded = self.tickets_of(family, LoginTicketState::Superseded);
        let Some(too_many) = superseded.len().checked_sub(SUPERSEDED_PER_FAMILY_MAX) else { return };
        superseded.sort_by_key(|ticket_id| self.login_tickets.get(ticket_id).map(|known| known.expires_at));
        for &ticket_id in &superseded[..too_many] {
            self.forget_ticket(ticket_id);
        }
    }

    fn forget_long_superseded(&mut self) {
        let crowded = self.families.iter().filter(|(_, family)| family.tickets.len() > SUPERSEDED_PER_FAMILY_MAX);
        let crowded: Vec<FamilyId> = crowded.map(|(&family, _)| family).collect();
        for family in crowded {
            self.forget_superseded_of(family);
        }
    }

    fn tickets_of(&self, family: FamilyId, in_state: LoginTicketState) -> Vec<LoginTicketId> {
        let tickets = self.families.get(&family).map_or(&[][..], |family| &family.tickets);
        let is_in_state = |ticket_id: &&LoginTicketId| self.login_tickets.get(*ticket_id).is_some_and(|known| known.state == in_state);
        tickets.iter().filter(is_in_state).copied().collect()
    }

    fn set_state(&mut self, ticket_id: LoginTicketId, to: LoginTicketState) {
        if let Some(known) = self.login_tickets.get_mut(&ticket_id) {
            known.state = to;
        }
    }

    fn check_certificate(&self, server: ServerId, key_epoch: KeyEpoch, not_after: UnixMillis, now: UnixMillis) -> Result<(), NotInForce> {
        if self.retired.contains(&key_epoch) {
            return Err(NotInForce::KeyEpochRetired(key_epoch));
        }
        let known = self.certificates.get(&server).ok_or(NotInForce::Unknown)?;
        if known.revoked {
            return Err(NotInForce::Revoked);
        }
        if not_after <= now { Err(NotInForce::Expired) } else { Ok(()) }
    }

    fn check_family(&self, family: FamilyId) -> Result<(), NotInForce> {
        match self.families.get(&family) {
            Some(family) if family.revoked => Err(NotInForce::Revoked),
            // A family without tickets: they expired while its session lives on. The session has an end of its own.
            _ => Ok(()),
        }
    }
}

impl KnownCertificate {
    fn new(keyring: &Keyring, stored: StoredCertificate, before: Option<&Self>) -> Self {
        let issued = stored.issued;
        let unchanged = before.filter(|before| before.sealed_secret == issued.sealed_secret && before.auth_key.is_some());
        let auth_key = match unchanged {
            Some(before) => before.auth_key.clone(),
            None => keyring
                .auth_key(&issued)
                .inspect_err(|error| tracing::warn!(server = %issued.server, %error, "this certificate cannot be used here"))
                .ok()
                .map(Arc::new),
        };
        Self {
            auth_key,
            sealed_secret: issued.sealed_secret,
            secret_commitment: issued.secret_commitment,
            key_epoch: KeyEpoch(issued.key_epoch),
            not_after: issued.not_after,
            revoked: stored.revocation.is_some(),
        }
    }
}

/// The key files may have moved on with a command in another process (`ranked key nuke`); then they are read again.
fn with_key_epoch(keyring: Arc<Keyring>, newest: Option<KeyEpoch>) -> Arc<Keyring> {
    match newest {
        Some(newest) if !keyring.signing_keys().contains_key(&newest) => match Keyring::load(keyring.paths().clone()) {
            Ok(fresh) => Arc::new(fresh),
            Err(error) => {
                tracing::error!(%error, %newest, "the key files of the newest key epoch cannot be read; the old ones stay in use");
                keyring
            }
        },
        _ => keyring,
    }
}
