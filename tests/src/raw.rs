//! A peer that is bound by nothing: it speaks the wire by `protocol`, and sends whatever bytes a test hands it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, bail};
use host::clock::Clock;
use ladder::time::UnixMillis;
use protocol::frame::HEADER_LEN;
use protocol::handshake::client::{Credential, start};
use protocol::handshake::{Entropy, Transport};
use protocol::message::{MsgType, WireMessage};
use protocol::reaction::CloseCode;
use protocol::record::{Opened, Opener, Sealer};
use protocol::secret::LoginTicket;
use protocol::session::Session;
use protocol::trust::TrustAnchors;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::world::PATIENCE;

/// Connects from 127.0.0.`last`: each of these addresses has limits of its own at the host.
///
/// # Errors
/// The host does not listen.
pub async fn dial(host: SocketAddr, last: u8) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0))?;
    let stream = socket.connect(host).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Everything that still comes until the other end closes or resets the connection.
pub async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = async {
        // A reset is an end as well: the host closed with unread bytes in its buffer.
        while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {}
    };
    timeout(PATIENCE, read).await.expect("the host closes the connection");
    bytes
}

/// One whole frame, or `None` if the connection ends first.
pub async fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let read = async {
        let mut frame = vec![0; HEADER_LEN];
        stream.read_exact(&mut frame).await.ok()?;
        let len = u32::from_be_bytes(*frame.first_chunk()?);
        frame.resize(HEADER_LEN + usize::try_from(len).ok()?, 0);
        stream.read_exact(&mut frame[HEADER_LEN..]).await.ok()?;
        Some(frame)
    };
    timeout(PATIENCE, read).await.expect("the host answers or closes")
}

/// What the host sent.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// A message.
    Message(MsgType, Vec<u8>),
    /// The host changed its keys.
    KeyUpdate,
    /// The authenticated close.
    Close(CloseCode),
    /// The connection ended without a close.
    End,
}

/// An authenticated session in the hands of a test.
pub struct RawPeer {
    /// The socket.
    pub stream: TcpStream,
    /// Seals what is sent.
    pub sealer: Sealer,
    /// The session as this end knows it.
    pub session: Session,
    /// RDV: the next login ticket.
    pub next_ticket: Option<LoginTicket>,
    /// The client's two frames of the handshake, as they were sent: M1 and M3.
    pub handshake: [Vec<u8>; 2],
    opener: Opener,
    clock: Clock,
}

impl RawPeer {
    /// Connects from 127.0.0.`last` and shakes hands.
    ///
    /// # Errors
    /// The host does not want this peer.
    pub async fn connect(
        host: SocketAddr,
        last: u8,
        trust: &TrustAnchors,
        credential: Credential<'_>,
        clock: &Clock,
    ) -> anyhow::Result<Self> {
        let mut stream = dial(host, last).await?;
        let entropy = Entropy::from_bytes(&client::clock::random());
        let (m1, state) = start(Transport::Tcp, trust, credential, &entropy, clock.now());
        stream.write_all(&m1).await?;
        let m2 = read_frame(&mut stream).await.context("no M2: the host closed in silence")?;
        let (header, payload) = m2.split_first_chunk().context("a header")?;
        let expected = state.check_header(header)?;
        let (m3, state) = state.handle_answer(expected, payload, clock.now())?;
        stream.write_all(&m3).await?;
        let mut m4 = read_frame(&mut stream).await.context("no M4: the host closed in silence")?;
        let (header, payload) = m4.split_first_chunk_mut().context("a header")?;
        let expected = state.check_header(header)?;
        let finished = state.handle_finish(expected, payload, clock.now())?;
        let (session, sealer, opener) = finished.established.split();
        let (next_ticket, clock) = (finished.next_ticket, clock.clone());
        Ok(Self { stream, sealer, session, next_ticket, handshake: [m1, m3], opener, clock })
    }

    /// One sealed record, not sent.
    pub fn seal(&mut self, message: &impl WireMessage) -> Vec<u8> {
        self.seal_at(message, self.clock.now())
    }

    /// One sealed record with any timestamp that is not before the session began, not sent.
    pub fn seal_at(&mut self, message: &impl WireMessage, at: UnixMillis) -> Vec<u8> {
        let mut frame = Vec::new();
        self.sealer.seal_message(message, at, &mut frame).expect("a short message");
        frame
    }

    /// Sends any bytes.
    ///
    /// # Errors
    /// The host has closed.
    pub async fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Seals and sends one message.
    ///
    /// # Errors
    /// The host has closed.
    pub async fn say(&mut self, message: &impl WireMessage) -> anyhow::Result<()> {
        let frame = self.seal(message);
        self.send(&frame).await
    }

    /// Waits for what the host sends next.
    ///
    /// # Errors
    /// The host broke the protocol.
    pub async fn hear(&mut self) -> anyhow::Result<Heard> {
        let Some(mut frame) = read_frame(&mut self.stream).await else { return Ok(Heard::End) };
        let (header, payload) = frame.split_first_chunk_mut().context("a header")?;
        let expected = self.opener.check_header(header)?;
        Ok(match self.opener.open(expected, payload, self.clock.now())? {
            Opened::Message { msg_type, plaintext } => Heard::Message(msg_type, plaintext.to_vec()),
            Opened::Close(close) => Heard::Close(close.code),
            Opened::KeyUpdate { .. } => Heard::KeyUpdate,
        })
    }

    /// Waits for a message of this type; others are passed over.
    ///
    /// # Errors
    /// The session ended, or the host broke the protocol.
    pub async fn until(&mut self, wanted: MsgType) -> anyhow::Result<Vec<u8>> {
        loop {
            match self.hear().await? {
                Heard::Message(msg_type, plaintext) if msg_type == wanted => return Ok(plaintext),
                Heard::Message(..) | Heard::KeyUpdate => {}
                end => bail!("{end:?} before {wanted:?}"),
            }
        }
    }

    /// Waits for the end of the session: the code of the close, or `None` if the host closed without a byte.
    ///
    /// # Errors
    /// The host broke the protocol.
    pub async fn end(&mut self) -> anyhow::Result<Option<CloseCode>> {
        loop {
            match self.hear().await? {
                Heard::Message(..) | Heard::KeyUpdate => {}
                Heard::Close(code) => return Ok(Some(code)),
                Heard::End => return Ok(None),
            }
        }
    }
}
