//! The host's side of a handshake.
//!
//! Ordered by price: nothing is looked up before the frame parses, no public-key operation runs before the hello's HMAC verified, and no
//! session exists before M3 proved everything.

use alloc::vec::Vec;

use ladder::id::ServerId;
use ladder::time::UnixMillis;
use subtle::{Choice, ConstantTimeEq};
use x25519_dalek::StaticSecret;
use zeroize::{Zeroize, Zeroizing};

use super::finish::{ClientFinish, PROOF_LEN, ServerFinish, login_ticket};
use super::hello::{ClientHello, SERVER_HELLO_PROOFS_LEN, ServerHello};
use super::{Entropy, HandshakeError, SESSION_MS_MAX, SUITE, SessionParams, Transport, agree, prologue};
use crate::certificate::{Certificate, VerifiedCertificate};
use crate::channel_key::ChannelCertificate;
use crate::frame::{ExpectedPayload, FrameError, HEADER_LEN, Header, PeerClock, Ready, TAG_LEN, Types};
use crate::id::{Identity, LoginTicketId, RealmId};
use crate::message::{Channel, MsgType};
use crate::record::RecordKeys;
use crate::schedule::{EarlySecret, HandshakeSecret, Secret, Transcript, hmac};
use crate::secret::{AuthKey, LoginTicket};
use crate::session::{Established, Role};
use crate::signature::{ChannelKey, Context, SIGNATURE_LEN};
use crate::trust::TrustAnchors;

/// What the host signs handshakes with.
pub struct HostIdentity {
    /// The hot key.
    pub channel_key: ChannelKey,
    /// The signing key's word for it.
    pub channel_certificate: ChannelCertificate,
}

/// A connection that has said nothing.
pub struct AwaitHello {
    channel: Channel,
    realm_id: RealmId,
    transcript: Transcript,
}

impl AwaitHello {
    /// The first state of a connection to a listener of `channel`.
    #[must_use]
    pub fn new(channel: Channel, transport: Transport, realm_id: RealmId) -> Self {
        Self { channel, realm_id, transcript: Transcript::new(&prologue(channel, transport)) }
    }

    /// Checks the header of M1; see [`crate::frame`].
    ///
    /// # Errors
    ///
    /// The stranger's fault; close silently.
    pub fn check_header(&self, header: &[u8; HEADER_LEN]) -> Result<ExpectedPayload, FrameError> {
        Ready { types: Types::Clear(&[MsgType::ClientHello]), epoch: 0, seq: 0 }.check(header)
    }

    /// Reads M1. What it says is a claim.
    ///
    /// # Errors
    ///
    /// The stranger's fault; act as [`HandshakeError::reaction`] says.
    pub fn handle_hello(self, expected: ExpectedPayload, payload: &[u8]) -> Result<ClaimedHello, HandshakeError> {
        if payload.len() != expected.payload_len {
            return Err(FrameError::WrongPayload.into());
        }
        let hello = ClientHello::parse(payload)?;
        hello.check(self.channel, self.realm_id)?;
        Ok(ClaimedHello { channel: self.channel, transcript: self.transcript, header: expected.header, payload: payload.to_vec(), hello })
    }
}

/// M1 says who it is from. Look up that identity's auth key; nothing else is worth doing yet.
pub struct ClaimedHello {
    channel: Channel,
    transcript: Transcript,
    header: Header,
    payload: Vec<u8>,
    hello: ClientHello,
}

impl ClaimedHello {
    /// Who the stranger says it is.
    #[must_use]
    pub fn claimed_identity(&self) -> Identity {
        self.hello.identity
    }

    /// Checks that M1 comes from somebody who knows the auth key, and its clock. `None` stands for an identity that nobody knows: it costs
    /// the same and ends in the same error.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::HelloNotAuthentic`], or [`HandshakeError::HelloClockSkew`]; act as [`HandshakeError::reaction`] says.
    pub fn verify(self, auth_key: Option<&AuthKey>, now: UnixMillis) -> Result<VerifiedHello, HandshakeError> {
        let known = Choice::from(u8::from(auth_key.is_some()));
        let auth_key = auth_key.map_or_else(|| AuthKey::from_bytes([0; 32]), AuthKey::duplicate);
        let early = EarlySecret::new(&auth_key);
        let authenticated = self.header.authenticated();
        let expected = hmac(early.client_hello_key().as_slice(), &[&authenticated, &self.payload]);
        if !bool::from(expected.ct_eq(&self.header.hmac) & known) {
            return Err(HandshakeError::HelloNotAuthentic);
        }
        let mut clock = PeerClock { offset_ms: 0, latest: UnixMillis(0) };
        clock.check(self.header.timestamp, now).map_err(HandshakeError::HelloClockSkew)?;
        let mut transcript = self.transcript;
        transcript.add(&authenticated, &self.payload);
        let Self { channel, hello, .. } = self;
        Ok(VerifiedHello { channel, transcript, hello, auth_key, early, clock })
    }
}

/// M1 is authentic and recent. Check it against the [`crate::replay::ReplayCache`], the revocations and expiries; then answer.
pub struct VerifiedHello {
    channel: Channel,
    transcript: Transcript,
    hello: ClientHello,
    auth_key: AuthKey,
    early: EarlySecret,
    clock: PeerClock,
}

impl VerifiedHello {
    /// Whose auth key it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.hello.identity
    }

    /// The client's random challenge, for the replay cache.
    #[must_use]
    pub fn client_challenge(&self) -> &[u8; 32] {
        &self.hello.challenge
    }

    /// Answers with M2: the first public-key operations of the handshake.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::WeakShare`], the client's fault.
    pub fn respond(self, host: &HostIdentity, entropy: &Entropy, now: UnixMillis) -> Result<(Vec<u8>, AwaitFinish), HandshakeError> {
        let ephemeral = StaticSecret::from(entropy.ephemeral);
        let kex = agree(&ephemeral, &self.hello.share)?;
        let answer = ServerHello {
            version: crate::VERSION,
            suite: SUITE,
            challenge: entropy.challenge,
            share: x25519_dalek::PublicKey::from(&ephemeral).to_bytes(),
            channel_certificate: host.channel_certificate.clone(),
        };
        let mut frame = Vec::with_capacity(HEADER_LEN + 512);
        frame.resize(HEADER_LEN, 0);
        answer.encode(&mut frame);
        let payload_len = frame.len() - HEADER_LEN + SERVER_HELLO_PROOFS_LEN;
        let mut header = Header {
            payload_len: u32::try_from(payload_len).expect("M2 is bounded"),
            hmac: [0; 32],
            epoch: 0,
            seq: 0,
            msg_type: MsgType::ServerHello.to_wire(),
            timestamp: now,
        };
        let authenticated = header.authenticated();
        let th_a = self.transcript.hash_with(&authenticated, &frame[HEADER_LEN..]);
        let signature = host.channel_key.sign(Context::ServerHello, &[&th_a]);
        frame.extend_from_slice(&signature);
        let th_b = self.transcript.hash_with(&authenticated, &frame[HEADER_LEN..]);
        let server_hello_key = self.early.server_hello_key();
        let secret = self.early.handshake(&kex);
        frame.extend_from_slice(&secret.challenge_response(&self.hello.challenge, &th_b));
        header.hmac = hmac(server_hello_key.as_slice(), &[&authenticated, &frame[HEADER_LEN..]]);
        frame[..HEADER_LEN].copy_from_slice(&header.encode());
        let mut transcript = self.transcript;
        transcript.add(&authenticated, &frame[HEADER_LEN..]);
        let th_2 = transcript.hash();
        let state = AwaitFinish {
            channel: self.channel,
            identity: self.hello.identity,
            auth_key: self.auth_key,
            server_challenge: entropy.challenge,
            client_keys: RecordKeys::new(&secret.client_traffic(&th_2)),
            server_traffic: secret.server_traffic(&th_2),
            secret,
            transcript,
            clock: self.clock,
            sent_at: now,
        };
        Ok((frame, state))
    }
}

/// M2 is out; the client must now prove itself.
///
/// Nothing can be sent in this state: there are no keys to send with.
///
/// ```compile_fail
/// fn too_early(state: protocol::handshake::server::AwaitFinish) -> protocol::record::Sealer {
///     state.split().1 // only `Established` can be split
/// }
/// ```
pub struct AwaitFinish {
    channel: Channel,
    identity: Identity,
    auth_key: AuthKey,
    server_challenge: [u8; 32],
    client_keys: RecordKeys,
    server_traffic: Secret,
    secret: HandshakeSecret,
    transcript: Transcript,
    clock: PeerClock,
    sent_at: UnixMillis,
}

/// M3 is authentic: whoever sent it knows the auth key and holds this connection. Its credential is still a claim.
pub enum ClaimedCredential {
    /// On the S2S channel.
    Certificate(CertificateClaim),
    /// On the RDV channel.
    LoginTicket(LoginTicketClaim),
}

impl AwaitFinish {
    /// Checks the header of M3; see [`crate::frame`].
    ///
    /// # Errors
    ///
    /// The peer's fault; close silently.
    pub fn check_header(&self, header: &[u8; HEADER_LEN]) -> Result<ExpectedPayload, FrameError> {
        Ready { types: Types::Sealed(MsgType::ClientFinish), epoch: 1, seq: 0 }.check(header)
    }

    /// Opens M3 in place and checks the client's proof. The payload is erased.
    ///
    /// # Errors
    ///
    /// The peer's fault; close silently.
    pub fn handle_finish(
        self,
        expected: ExpectedPayload,
        payload: &mut [u8],
        now: UnixMillis,
    ) -> Result<ClaimedCredential, HandshakeError> {
        let claimed = self.open_finish(expected, payload, now);
        // The buffer is the caller's and now holds a credential in clear.
        payload.zeroize();
        claimed
    }

    fn open_finish(mut self, expected: ExpectedPayload, payload: &mut [u8], now: UnixMillis) -> Result<ClaimedCredential, HandshakeError> {
        let ExpectedPayload { header, payload_len, .. } = expected;
        if payload.len() != payload_len {
            return Err(FrameError::WrongPayload.into());
        }
        let plaintext: &[u8] = self.client_keys.open(&header, payload)?;
        self.clock.check(header.timestamp, now)?;
        let finish = ClientFinish::parse(plaintext)?;
        let authenticated = header.authenticated();
        let proven = &plaintext[..plaintext.len() - PROOF_LEN];
        let hash = self.transcript.hash_with(&authenticated, proven);
        let proof = self.secret.client_proof(&self.server_challenge, &hash);
        if !bool::from(proof.ct_eq(&finish.proof)) {
            return Err(HandshakeError::WrongProof);
        }
        let signed_hash = self.transcript.hash_with(&authenticated, finish.signed(plaintext));
        let mut transcript = self.transcript;
        transcript.add(&authenticated, plaintext);
        let ready = ReadyToFinish {
            channel: self.channel,
            server_traffic: self.server_traffic,
            secret: self.secret,
            transcript,
            clock: self.clock,
            sent_at: self.sent_at,
        };
        match self.channel {
            Channel::S2s => Ok(ClaimedCredential::Certificate(CertificateClaim {
                certificate: Certificate::parse(finish.credential)?,
                signature: finish.signature.try_into().ok().ok_or(HandshakeError::WrongProof)?,
                signed_hash,
                identity: self.identity,
                ready,
            })),
            Channel::Rdv if finish.signature.is_empty() => Ok(ClaimedCredential::LoginTicket(LoginTicketClaim {
                ticket: login_ticket(finish.credential)?,
                auth_key: self.auth_key,
                identity: self.identity,
                ready,
            })),
            Channel::Rdv => Err(HandshakeError::WrongProof),
        }
    }
}

/// The certificate of M3, not believed yet.
pub struct CertificateClaim {
    certificate: Certificate,
    signature: [u8; SIGNATURE_LEN],
    signed_hash: [u8; 32],
    identity: Identity,
    ready: ReadyToFinish,
}

impl CertificateClaim {
    /// The certificate, for the audit line of a refusal.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Checks the certificate against the host's keys and clock, against M1 and the stored commitment, and that its node key signed this
    /// connection. The host adds its own knowledge (revoked? replaced?) before it calls [`ReadyToFinish::finish`].
    ///
    /// # Errors
    ///
    /// The peer's fault; close silently. [`HandshakeError::WrongSecret`] means that the database was tampered with.
    pub fn verify(
        self,
        trust: &TrustAnchors,
        secret_commitment: &[u8; 32],
        now: UnixMillis,
    ) -> Result<(VerifiedCertificate, ReadyToFinish), HandshakeError> {
        let verified = self.certificate.verify(trust, now)?;
        let min_protocol = verified.certificate().min_protocol();
        if crate::VERSION < min_protocol {
            return Err(HandshakeError::VersionTooLow { min_protocol });
        }
        let fields = verified.fields();
        if fields.server_id != ServerId(self.identity.0) {
            return Err(HandshakeError::WrongIdentity);
        }
        if !bool::from(fields.secret_commitment.ct_eq(secret_commitment)) {
            return Err(HandshakeError::WrongSecret);
        }
        fields.node_key.verify(Context::ClientFinish, &[&self.signed_hash], &self.signature)?;
        Ok((verified, self.ready))
    }
}

/// The login ticket of M3, not compared yet.
pub struct LoginTicketClaim {
    ticket: LoginTicket,
    auth_key: AuthKey,
    identity: Identity,
    ready: ReadyToFinish,
}

/// Evidence that the client holds the whole login ticket, not only its hash. Only [`LoginTicketClaim::verify`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedLoginTicket(LoginTicketId);

impl VerifiedLoginTicket {
    /// Which login ticket.
    #[must_use]
    pub fn id(&self) -> LoginTicketId {
        self.0
    }
}

impl LoginTicketClaim {
    /// Compares the revealed login ticket with the stored hash, in constant time. Only after this may the host judge whether the login ticket
    /// was superseded: the thief of a hash must not be able to revoke a family.
    ///
    /// # Errors
    ///
    /// The peer's fault; close silently.
    pub fn verify(self) -> Result<(VerifiedLoginTicket, ReadyToFinish), HandshakeError> {
        if !self.auth_key.matches(AuthKey::from_login_ticket(&self.ticket).expose()) {
            return Err(HandshakeError::WrongProof);
        }
        if self.ticket.id().0 != self.identity.0 {
            return Err(HandshakeError::WrongIdentity);
        }
        Ok((VerifiedLoginTicket(self.ticket.id()), self.ready))
    }
}

/// The client has proved everything. What is left is the host's consent.
pub struct ReadyToFinish {
    channel: Channel,
    server_traffic: Secret,
    secret: HandshakeSecret,
    transcript: Transcript,
    clock: PeerClock,
    sent_at: UnixMillis,
}

impl ReadyToFinish {
    /// Dictates the terms in M4 and begins the session. `params.expires_at` is cut to [`SESSION_MS_MAX`] from now.
    #[must_use]
    pub fn finish(self, mut params: SessionParams, next_ticket: Option<&LoginTicket>, now: UnixMillis) -> (Vec<u8>, Established) {
        let now = now.max(self.sent_at);
        params.expires_at = params.expires_at.min(UnixMillis(now.0.saturating_add(SESSION_MS_MAX)));
        let plaintext_len = ServerFinish::encoded_len(next_ticket.is_some());
        let header = Header {
            payload_len: u32::try_from(plaintext_len + TAG_LEN).expect("M4 is bounded"),
            hmac: [0; 32],
            epoch: 1,
            seq: 0,
            msg_type: MsgType::ServerFinish.to_wire(),
            timestamp: now,
        };
        let authenticated = header.authenticated();
        let mut plaintext = Zeroizing::new(Vec::with_capacity(plaintext_len));
        ServerFinish::encode(&params, next_ticket, &mut plaintext);
        let hash = self.transcript.hash_with(&authenticated, &plaintext);
        plaintext.extend_from_slice(&self.secret.server_proof(&hash));
        let mut transcript = self.transcript;
        transcript.add(&authenticated, &plaintext);
        // The plaintext may hold a login ticket: sealed in place, so that no second copy of it is left behind.
        let mut frame = Vec::with_capacity(HEADER_LEN + plaintext_len + TAG_LEN);
        frame.resize(HEADER_LEN, 0);
        frame.extend_from_slice(&plaintext);
        RecordKeys::new(&self.server_traffic).seal(header, &mut frame, 0);
        let secrets = self.secret.session(&transcript.hash());
        let established = Established::new(Role::Server, self.channel, params, secrets, self.clock, now);
        (frame, established)
    }
}
