//! The wire of RankedServer, version 2: header, record layer, handshakes, certificates, messages.
//!
//! Pure: bytes in, bytes out. No socket, no clock, no randomness, no standard library; `now` and random bytes are arguments. `docs/protocol.md` is
//! the specification, `tests/vectors/wire.json` holds every intermediate value. The design has formal but no human audit.
//!
//! A reader goes top-down through [`frame`] (57 bytes in front of everything), [`handshake`] (who is there), [`record`] (what is protected how) and
//! [`message`] (what is said). [`certificate`], [`channel_key`], [`secret`], [`signature`] and [`trust`] hold what identities are made of.
//!
//! The host, the game server and one message, with the sockets left out:
//!
//! ```
//! use ladder::{id::ServerId, time::UnixMillis};
//! use protocol::certificate::{Certificate, CertificateFields, Scope};
//! use protocol::channel_key::ChannelCertificate;
//! use protocol::frame::HEADER_LEN;
//! use protocol::handshake::server::{AwaitHello, ClaimedCredential, HostIdentity};
//! use protocol::handshake::{Entropy, SessionParams, Transport, client};
//! use protocol::id::{KeyEpoch, RealmId};
//! use protocol::message::{Channel, FromGameServer, v1};
//! use protocol::record::Opened;
//! use protocol::replay::ReplayCache;
//! use protocol::secret::{AuthKey, CertificateSecret, Pepper};
//! use protocol::signature::{ChannelKey, NodeKey, SigningKey};
//! use protocol::trust::TrustAnchors;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let random = |n| [n; 32]; // stands for the operating system's random source
//! let now = UnixMillis(1_750_000_000_000);
//! let later = UnixMillis(now.0 + 86_400_000);
//!
//! // A community, and a certificate for one game server.
//! let realm_id = RealmId([1; 16]);
//! let signing_key = SigningKey::from_seed(KeyEpoch(1), &random(2));
//! let channel_key = ChannelKey::from_seed(&random(3));
//! let channel_certificate = ChannelCertificate::issue(realm_id, channel_key.public_key(), now, later, &signing_key);
//! let host = HostIdentity { channel_key, channel_certificate };
//! let trust = TrustAnchors::new(realm_id).with_key(KeyEpoch(1), signing_key.public_key());
//! let (pepper, secret) = (Pepper::from_bytes(random(4)), CertificateSecret::from_bytes(random(5)));
//! let auth_key = AuthKey::from_certificate_secret(&pepper, &secret);
//! let node_key = NodeKey::from_seed(&random(6));
//! let fields = CertificateFields {
//!     realm_id,
//!     server_id: ServerId([7; 16]),
//!     issued_at: now,
//!     not_before: now,
//!     not_after: later,
//!     secret_commitment: secret.commitment(),
//!     node_key: node_key.public_key(),
//!     scope: Scope::ALL,
//!     owner: "eu-1.example".into(),
//! };
//! let certificate = Certificate::issue(fields, &signing_key)?;
//! # fn split(frame: &mut [u8]) -> (&[u8; HEADER_LEN], &mut [u8]) {
//! #     let (header, payload) = frame.split_first_chunk_mut().expect("a frame has a header");
//! #     (header, payload)
//! # }
//!
//! // Game server: M1. `split` stands for "read 57 bytes, check them, read as many as `expected.payload_len()` says".
//! let credential = client::Credential::Certificate { certificate: &certificate, auth_key: &auth_key, node_key: &node_key };
//! let entropy = Entropy::new(random(8), random(9));
//! let (mut m1, game_server) = client::start(Transport::Tcp, &trust, credential, &entropy, now);
//!
//! // Host: who says hello? Look its auth key up, then the cheap checks, then answer.
//! let mut replay_cache = ReplayCache::new();
//! let state = AwaitHello::new(Channel::S2s, Transport::Tcp, realm_id);
//! let (header, payload) = split(&mut m1);
//! let expected = state.check_header(header)?;
//! let claimed = state.handle_hello(expected, payload)?;
//! assert_eq!(claimed.claimed_identity().0, [7; 16]);
//! let hello = claimed.verify(Some(&auth_key), now)?;
//! replay_cache.remember(hello.identity(), hello.client_challenge(), now)?;
//! let (mut m2, state) = hello.respond(&host, &Entropy::new(random(10), random(11)), now)?;
//!
//! // Game server: the host is the right one. M3 carries the certificate.
//! let (header, payload) = split(&mut m2);
//! let expected = game_server.check_header(header)?;
//! let (mut m3, game_server) = game_server.handle_answer(expected, payload, now)?;
//!
//! // Host: everything is proved; M4 states the terms.
//! let (header, payload) = split(&mut m3);
//! let expected = state.check_header(header)?;
//! let ClaimedCredential::Certificate(claim) = state.handle_finish(expected, payload, now)? else { unreachable!() };
//! let (verified, ready) = claim.verify(&trust, &secret.commitment(), now)?;
//! assert_eq!(verified.fields().owner, "eu-1.example");
//! let params =
//!     SessionParams { heartbeat_ms: 5_000, idle_timeout_ms: 20_000, payload_len_max: 65_536, expires_at: later };
//! let (mut m4, host_end) = ready.finish(params, None, now);
//! let (header, payload) = split(&mut m4);
//! let expected = game_server.check_header(header)?;
//! let game_server_end = game_server.handle_finish(expected, payload, now)?.established;
//!
//! // Both ends hold the same session, and two directions each.
//! let (session, mut sealer, _opener) = game_server_end.split();
//! let (host_session, _sealer, mut opener) = host_end.split();
//! assert_eq!(session.session_id(), host_session.session_id());
//! let mut buffer = Vec::new();
//! sealer.seal_message(&v1::MatchStarted { match_id: 42 }, now, &mut buffer)?;
//!
//! let (header, payload) = split(&mut buffer);
//! let expected = opener.check_header(header)?;
//! let Opened::Message { msg_type, plaintext } = opener.open(expected, payload, now)? else { unreachable!() };
//! let message = FromGameServer::decode(msg_type, plaintext)?;
//! assert_eq!(message, FromGameServer::MatchStarted(v1::MatchStarted { match_id: 42 }));
//! # Ok(())
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bytes;
pub mod certificate;
pub mod channel_key;
pub mod envelope;
pub mod frame;
pub mod handshake;
pub mod id;
pub mod message;
pub mod reaction;
pub mod record;
pub mod replay;
mod schedule;
pub mod secret;
pub mod session;
pub mod signature;
pub mod trust;

pub use bytes::Malformed;
pub use prost;

/// The version of the protocol that this crate speaks.
pub const VERSION: u8 = 2;
