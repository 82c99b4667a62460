//! The side of a game server or a player in a handshake.
//!
//! The client believes the host only under a pinned signing key, and reveals its credential only after the host has proved that it knows the
//! auth key.

use alloc::vec::Vec;

use ladder::time::UnixMillis;
use subtle::ConstantTimeEq;
use x25519_dalek::StaticSecret;
use zeroize::{Zeroize, Zeroizing};

use super::finish::{ClientFinish, PROOF_LEN, ServerFinish};
use super::hello::{CHALLENGE_RESPONSE_LEN, ClientHello, SERVER_HELLO_PROOFS_LEN, ServerHello};
use super::{Entropy, HandshakeError, Reject, SUITE, Transport, agree, prologue};
use crate::bytes::Malformed;
use crate::certificate::Certificate;
use crate::frame::{ExpectedPayload, FrameError, HEADER_LEN, Header, PeerClock, Ready, TAG_LEN, Types};
use crate::id::Identity;
use crate::message::{Channel, MsgType};
use crate::record::RecordKeys;
use crate::schedule::{EarlySecret, HandshakeSecret, Transcript, hmac};
use crate::secret::{AuthKey, LoginTicket};
use crate::session::{Established, Role};
use crate::signature::{Context, NodeKey, SIGNATURE_LEN};
use crate::trust::TrustAnchors;

/// Who the client is, and with what it proves it.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// A game server, on the S2S channel.
    Certificate {
        /// From its certificate file.
        certificate: &'a Certificate,
        /// From the certificate secret and the community's pepper.
        auth_key: &'a AuthKey,
        /// The game server's own key.
        node_key: &'a NodeKey,
    },
    /// A player, on the RDV channel.
    LoginTicket(&'a LoginTicket),
}

impl Credential<'_> {
    fn channel(&self) -> Channel {
        match self {
            Self::Certificate { .. } => Channel::S2s,
            Self::LoginTicket(_) => Channel::Rdv,
        }
    }

    fn identity(&self) -> Identity {
        match self {
            Self::Certificate { certificate, .. } => Identity(certificate.fields().server_id.0),
            Self::LoginTicket(ticket) => Identity(ticket.id().0),
        }
    }

    fn early(&self) -> EarlySecret {
        match self {
            Self::Certificate { auth_key, .. } => EarlySecret::new(auth_key),
            Self::LoginTicket(ticket) => EarlySecret::new(&AuthKey::from_login_ticket(ticket)),
        }
    }
}

/// Begins a handshake: M1 and the state that waits for its answer.
#[must_use]
pub fn start<'a>(
    transport: Transport,
    trust: &'a TrustAnchors,
    credential: Credential<'a>,
    entropy: &Entropy,
    now: UnixMillis,
) -> (Vec<u8>, AwaitServerHello<'a>) {
    start_with(credential.early(), transport, trust, credential, entropy, now)
}

/// What [`start`] does, with an auth key that need not be the credential's: tests play thieves with it.
pub(super) fn start_with<'a>(
    early: EarlySecret,
    transport: Transport,
    trust: &'a TrustAnchors,
    credential: Credential<'a>,
    entropy: &Entropy,
    now: UnixMillis,
) -> (Vec<u8>, AwaitServerHello<'a>) {
    let channel = credential.channel();
    let ephemeral = StaticSecret::from(entropy.ephemeral);
    let share = x25519_dalek::PublicKey::from(&ephemeral).to_bytes();
    let hello = ClientHello::new(channel, trust.realm_id(), credential.identity(), entropy.challenge, share);
    let mut frame = Vec::with_capacity(256);
    frame.resize(HEADER_LEN, 0);
    hello.encode(&mut frame);
    let mut header = Header {
        payload_len: u32::try_from(frame.len() - HEADER_LEN).expect("M1 is bounded"),
        hmac: [0; 32],
        epoch: 0,
        seq: 0,
        msg_type: MsgType::ClientHello.to_wire(),
        timestamp: now,
    };
    let authenticated = header.authenticated();
    header.hmac = hmac(early.client_hello_key().as_slice(), &[&authenticated, &frame[HEADER_LEN..]]);
    frame[..HEADER_LEN].copy_from_slice(&header.encode());
    let mut transcript = Transcript::new(&prologue(channel, transport));
    transcript.add(&authenticated, &frame[HEADER_LEN..]);
    let state = AwaitServerHello { trust, credential, early, ephemeral, challenge: entropy.challenge, transcript, sent_at: now };
    (frame, state)
}

/// M1 is out. Anything may come back; only the host's M2 is believed.
pub struct AwaitServerHello<'a> {
    trust: &'a TrustAnchors,
    credential: Credential<'a>,
    early: EarlySecret,
    ephemeral: StaticSecret,
    challenge: [u8; 32],
    transcript: Transcript,
    sent_at: UnixMillis,
}

impl AwaitServerHello<'_> {
    /// Checks the header of M2 or of a [`Reject`]; see [`crate::frame`].
    ///
    /// # Errors
    ///
    /// The peer's fault; close silently and retry later with a fresh hello.
    pub fn check_header(&self, header: &[u8; HEADER_LEN]) -> Result<ExpectedPayload, FrameError> {
        Ready { types: Types::Clear(&[MsgType::ServerHello, MsgType::Reject]), epoch: 0, seq: 0 }.check(header)
    }

    /// Takes the host's answer; gives M3 and the state that waits for M4.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::Rejected`] if the host does not want to talk now; otherwise somebody's fault. In every case close silently, wait, and
    /// retry with a fresh hello and the same offer.
    pub fn handle_answer(
        self,
        expected: ExpectedPayload,
        payload: &[u8],
        now: UnixMillis,
    ) -> Result<(Vec<u8>, AwaitServerFinish), HandshakeError> {
        let ExpectedPayload { header, msg_type, payload_len } = expected;
        if payload.len() != payload_len {
            return Err(FrameError::WrongPayload.into());
        }
        if msg_type == MsgType::Reject {
            let reject = Reject::parse(&header, payload).ok_or(Malformed::OutOfRange { field: "reject" })?;
            return Err(HandshakeError::Rejected(reject));
        }
        let authenticated = header.authenticated();
        let expected_hmac = hmac(self.early.server_hello_key().as_slice(), &[&authenticated, payload]);
        if !bool::from(expected_hmac.ct_eq(&header.hmac)) {
            return Err(HandshakeError::HelloNotAuthentic);
        }
        let (hello, proofs) = ServerHello::parse(payload)?;
        self.check_choice(&hello)?;
        let channel_key = hello.channel_certificate.verify(self.trust, now)?;
        let th_a = self.transcript.hash_with(&authenticated, &payload[..payload_len - SERVER_HELLO_PROOFS_LEN]);
        channel_key.verify(Context::ServerHello, &[&th_a], &proofs.signature)?;
        let kex = agree(&self.ephemeral, &hello.share)?;
        let secret = self.early.handshake(&kex);
        let th_b = self.transcript.hash_with(&authenticated, &payload[..payload_len - CHALLENGE_RESPONSE_LEN]);
        let response = secret.challenge_response(&self.challenge, &th_b);
        if !bool::from(response.ct_eq(&proofs.challenge_response)) {
            return Err(HandshakeError::WrongProof);
        }
        PeerClock { offset_ms: 0, latest: UnixMillis(0) }.check(header.timestamp, now)?;
        let mut transcript = self.transcript;
        transcript.add(&authenticated, payload);
        let finish = PendingFinish {
            credential: self.credential,
            secret,
            transcript,
            clock: PeerClock { offset_ms: offset_ms(header.timestamp, now), latest: header.timestamp },
            server_challenge: hello.challenge,
        };
        Ok(finish.send(now.max(self.sent_at)))
    }

    /// Version and suite are ones that M1 offered, and not below what the own certificate asks for.
    fn check_choice(&self, hello: &ServerHello) -> Result<(), HandshakeError> {
        if hello.version != crate::VERSION {
            return Err(HandshakeError::NoCommonVersion);
        }
        if hello.suite != SUITE {
            return Err(HandshakeError::NoCommonSuite);
        }
        if let Credential::Certificate { certificate, .. } = self.credential
            && hello.version < certificate.min_protocol()
        {
            return Err(HandshakeError::VersionTooLow { min_protocol: certificate.min_protocol() });
        }
        Ok(())
    }
}

#[cfg(test)]
impl<'a> AwaitServerHello<'a> {
    /// A liar: M1 named one identity, M3 will carry another's credential.
    pub(super) fn with_credential(self, credential: Credential<'a>) -> Self {
        Self { credential, ..self }
    }
}

/// Host's clock minus ours. Both are within two minutes of each other: M2's timestamp was checked.
fn offset_ms(host: UnixMillis, now: UnixMillis) -> i64 {
    let difference = i128::from(host.0) - i128::from(now.0);
    i64::try_from(difference).expect("the clock check bounds the difference")
}

/// The host is believed; M3 is to be made.
struct PendingFinish<'a> {
    credential: Credential<'a>,
    secret: HandshakeSecret,
    transcript: Transcript,
    clock: PeerClock,
    server_challenge: [u8; 32],
}

impl PendingFinish<'_> {
    fn send(self, now: UnixMillis) -> (Vec<u8>, AwaitServerFinish) {
        let (credential, signature_len): (&[u8], usize) = match self.credential {
            Credential::Certificate { certificate, .. } => (certificate.encoded(), SIGNATURE_LEN),
            Credential::LoginTicket(ticket) => (ticket.expose(), 0),
        };
        let plaintext_len = ClientFinish::encoded_len(credential.len(), signature_len);
        let header = Header {
            payload_len: u32::try_from(plaintext_len + TAG_LEN).expect("M3 is bounded"),
            hmac: [0; 32],
            epoch: 1,
            seq: 0,
            msg_type: MsgType::ClientFinish.to_wire(),
            timestamp: now,
        };
        let authenticated = header.authenticated();
        let mut plaintext = Zeroizing::new(Vec::with_capacity(plaintext_len));
        ClientFinish::encode_credential(credential, &mut plaintext);
        match self.credential {
            Credential::Certificate { node_key, .. } => {
                let hash = self.transcript.hash_with(&authenticated, &plaintext);
                let signature = node_key.sign(Context::ClientFinish, &[&hash]);
                ClientFinish::encode_signature(&signature, &mut plaintext);
            }
            Credential::LoginTicket(_) => ClientFinish::encode_signature(b"", &mut plaintext),
        }
        let hash = self.transcript.hash_with(&authenticated, &plaintext);
        plaintext.extend_from_slice(&self.secret.client_proof(&self.server_challenge, &hash));
        let th_2 = self.transcript.hash();
        let mut frame = Vec::with_capacity(HEADER_LEN + plaintext_len + TAG_LEN);
        frame.resize(HEADER_LEN, 0);
        frame.extend_from_slice(&plaintext);
        RecordKeys::new(&self.secret.client_traffic(&th_2)).seal(header, &mut frame, 0);
        let server_keys = RecordKeys::new(&self.secret.server_traffic(&th_2));
        let mut transcript = self.transcript;
        transcript.add(&authenticated, &plaintext);
        let channel = self.credential.channel();
        let state = AwaitServerFinish { channel, secret: self.secret, transcript, clock: self.clock, server_keys, sent_at: now };
        (frame, state)
    }
}

/// M3 is out. The session begins with M4 and not before: nothing can be sent in this state.
///
/// ```compile_fail
/// fn too_early(state: protocol::handshake::client::AwaitServerFinish) -> protocol::record::Sealer {
///     state.split().1 // only `Established` can be split
/// }
/// ```
pub struct AwaitServerFinish {
    channel: Channel,
    secret: HandshakeSecret,
    transcript: Transcript,
    clock: PeerClock,
    server_keys: RecordKeys,
    sent_at: UnixMillis,
}

/// What the client holds after M4.
pub struct ClientEstablished {
    /// The session.
    pub established: Established,
    /// The next login ticket (RDV): store it durably before the first record is sent. `None`: the current one stays valid.
    pub next_ticket: Option<LoginTicket>,
}

impl AwaitServerFinish {
    /// Checks the header of M4; see [`crate::frame`].
    ///
    /// # Errors
    ///
    /// The peer's fault; close silently.
    pub fn check_header(&self, header: &[u8; HEADER_LEN]) -> Result<ExpectedPayload, FrameError> {
        Ready { types: Types::Sealed(MsgType::ServerFinish), epoch: 1, seq: 0 }.check(header)
    }

    /// Opens M4 in place, checks the host's proof and begins the session.
    ///
    /// # Errors
    ///
    /// The peer's fault; close silently.
    pub fn handle_finish(
        mut self,
        expected: ExpectedPayload,
        payload: &mut [u8],
        now: UnixMillis,
    ) -> Result<ClientEstablished, HandshakeError> {
        let ExpectedPayload { header, payload_len, .. } = expected;
        if payload.len() != payload_len {
            return Err(FrameError::WrongPayload.into());
        }
        let plaintext = self.server_keys.open(&header, payload)?;
        self.clock.check(header.timestamp, now)?;
        let (finish, proof) = ServerFinish::parse(plaintext)?;
        let authenticated = header.authenticated();
        let hash = self.transcript.hash_with(&authenticated, &plaintext[..plaintext.len() - PROOF_LEN]);
        if !bool::from(self.secret.server_proof(&hash).ct_eq(&proof)) {
            return Err(HandshakeError::WrongProof);
        }
        self.transcript.add(&authenticated, plaintext);
        // The plaintext may hold a login ticket, and the buffer is the caller's.
        plaintext.zeroize();
        let secrets = self.secret.session(&self.transcript.hash());
        let now = now.max(self.sent_at);
        let established = Established::new(Role::Client, self.channel, finish.params, secrets, self.clock, now);
        Ok(ClientEstablished { established, next_ticket: finish.next_ticket })
    }
}
