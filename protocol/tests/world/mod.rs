//! The inputs of the test vectors of `docs/protocol.md`, and both ends of a connection driven by hand.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use ladder::id::ServerId;
use ladder::time::UnixMillis;
use protocol::certificate::{Certificate, CertificateFields, Scope};
use protocol::channel_key::ChannelCertificate;
use protocol::frame::HEADER_LEN;
use protocol::handshake::client::{AwaitServerFinish, AwaitServerHello, ClientEstablished, Credential};
use protocol::handshake::server::{AwaitFinish, AwaitHello, ClaimedCredential, HostIdentity, VerifiedHello};
use protocol::handshake::{Entropy, HandshakeError, SessionParams, Transport, client};
use protocol::id::{KeyEpoch, LoginTicketId, RealmId};
use protocol::message::Channel;
use protocol::secret::{AuthKey, CertificateSecret, LoginTicket, Pepper};
use protocol::session::Established;
use protocol::signature::{ChannelKey, NodeKey, SigningKey};
use protocol::trust::TrustAnchors;
use sha2::{Digest, Sha256};

/// T0 of the vectors.
pub const T0: u64 = 1_750_000_000_000;
pub const DAY: u64 = 86_400_000;

/// R(tag, 32).
pub fn random(tag: &str) -> [u8; 32] {
    Sha256::new().chain_update("rs2 vector ").chain_update(tag).finalize().into()
}

/// R(tag, 16).
pub fn random16(tag: &str) -> [u8; 16] {
    *random(tag).first_chunk().unwrap()
}

pub fn at(offset: u64) -> UnixMillis {
    UnixMillis(T0 + offset)
}

/// A community with one game server and one player.
pub struct World {
    pub trust: TrustAnchors,
    pub host: HostIdentity,
    pub certificate: Certificate,
    pub secret: CertificateSecret,
    pub pepper: Pepper,
    pub node_key: NodeKey,
    pub ticket: LoginTicket,
    pub next_ticket: LoginTicket,
    pub auth_key: AuthKey,
}

impl World {
    pub fn new() -> Self {
        let realm_id = RealmId(random16("realm"));
        let signing_key = SigningKey::from_seed(KeyEpoch(7), &random("root"));
        let channel_key = ChannelKey::from_seed(&random("chan"));
        let channel_certificate =
            ChannelCertificate::issue(realm_id, channel_key.public_key(), UnixMillis(T0 - 1000), at(7 * DAY), &signing_key);
        let node_key = NodeKey::from_seed(&random("node"));
        let secret = CertificateSecret::from_bytes(random("cert_secret"));
        let pepper = Pepper::from_bytes(random("pepper"));
        let fields = CertificateFields {
            realm_id,
            server_id: ServerId(random16("uuid")),
            issued_at: UnixMillis(T0 - 1000),
            not_before: UnixMillis(T0 - 1000),
            not_after: at(90 * DAY),
            secret_commitment: secret.commitment(),
            node_key: node_key.public_key(),
            scope: Scope::ALL,
            owner: "eu-1.example".into(),
        };
        let secret_of = |tag: &str| {
            let mut secret = [0; 32];
            secret.copy_from_slice(&random(tag));
            secret
        };
        Self {
            trust: TrustAnchors::new(realm_id).with_key(KeyEpoch(7), signing_key.public_key()),
            host: HostIdentity { channel_key, channel_certificate },
            certificate: Certificate::issue(fields, &signing_key).unwrap(),
            auth_key: AuthKey::from_certificate_secret(&pepper, &secret),
            secret,
            pepper,
            node_key,
            ticket: LoginTicket::new(LoginTicketId(random16("ticket_id")), &secret_of("ticket_secret")),
            next_ticket: LoginTicket::new(LoginTicketId(random16("next_ticket_id")), &secret_of("next_ticket_secret")),
        }
    }

    pub fn credential(&self, channel: Channel) -> Credential<'_> {
        match channel {
            Channel::S2s => Credential::Certificate { certificate: &self.certificate, auth_key: &self.auth_key, node_key: &self.node_key },
            Channel::Rdv => Credential::LoginTicket(&self.ticket),
        }
    }

    pub fn client_entropy(&self) -> Entropy {
        Entropy::new(random("cchal"), random("ec"))
    }

    pub fn start(&self, channel: Channel, entropy: &Entropy) -> (Vec<u8>, AwaitServerHello<'_>) {
        client::start(Transport::Tcp, &self.trust, self.credential(channel), entropy, at(0))
    }

    pub fn host_auth_key(&self, channel: Channel) -> AuthKey {
        match channel {
            Channel::S2s => AuthKey::from_certificate_secret(&self.pepper, &self.secret),
            Channel::Rdv => AuthKey::from_login_ticket(&self.ticket),
        }
    }

    pub fn await_hello(&self, channel: Channel) -> AwaitHello {
        AwaitHello::new(channel, Transport::Tcp, self.trust.realm_id())
    }

    pub fn verify_hello(&self, channel: Channel, state: AwaitHello, m1: &[u8], now: UnixMillis) -> Result<VerifiedHello, HandshakeError> {
        let (header, payload) = split(m1);
        let expected = state.check_header(header)?;
        state.handle_hello(expected, payload)?.verify(Some(&self.host_auth_key(channel)), now)
    }

    pub fn respond(&self, channel: Channel, m1: &[u8]) -> Result<(Vec<u8>, AwaitFinish), HandshakeError> {
        let hello = self.verify_hello(channel, self.await_hello(channel), m1, at(5))?;
        hello.respond(&self.host, &Entropy::new(random("schal"), random("es")), at(5))
    }

    pub fn finish(&self, state: AwaitFinish, m3: &[u8]) -> Result<(Vec<u8>, Established), HandshakeError> {
        let (header, payload) = split(m3);
        let mut payload = payload.to_vec();
        let expected = state.check_header(header)?;
        let (ready, ticket) = match state.handle_finish(expected, &mut payload, at(12))? {
            ClaimedCredential::Certificate(claim) => (claim.verify(&self.trust, &self.secret.commitment(), at(12))?.1, None),
            ClaimedCredential::LoginTicket(claim) => (claim.verify()?.1, Some(&self.next_ticket)),
        };
        Ok(ready.finish(params(), ticket, at(12)))
    }

    /// Both ends after a handshake without incident, and its four frames.
    pub fn connect(&self, channel: Channel) -> (Established, ClientEstablished, [Vec<u8>; 4]) {
        let (m1, client) = self.start(channel, &self.client_entropy());
        let (m2, server) = self.respond(channel, &m1).unwrap();
        let (m3, client) = take_answer(client, &m2).unwrap();
        let (m4, server) = self.finish(server, &m3).unwrap();
        let client = take_finish(client, &m4).unwrap();
        (server, client, [m1, m2, m3, m4])
    }
}

pub fn params() -> SessionParams {
    SessionParams { heartbeat_ms: 5000, idle_timeout_ms: 20_000, payload_len_max: 65_536, expires_at: at(DAY) }
}

pub fn take_answer(client: AwaitServerHello<'_>, m2: &[u8]) -> Result<(Vec<u8>, AwaitServerFinish), HandshakeError> {
    let (header, payload) = split(m2);
    let expected = client.check_header(header)?;
    client.handle_answer(expected, payload, at(9))
}

pub fn take_finish(client: AwaitServerFinish, m4: &[u8]) -> Result<ClientEstablished, HandshakeError> {
    let (header, payload) = split(m4);
    let mut payload = payload.to_vec();
    let expected = client.check_header(header)?;
    client.handle_finish(expected, &mut payload, at(14))
}

/// Header and the rest.
pub fn split(frame: &[u8]) -> (&[u8; HEADER_LEN], &[u8]) {
    frame.split_first_chunk().unwrap()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
