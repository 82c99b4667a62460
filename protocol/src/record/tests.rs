//! Limits, clocks and sizes of the record layer.

use alloc::vec::Vec;

use ladder::time::UnixMillis;
use zeroize::Zeroizing;

use super::*;
use crate::frame::{FrameError, HEADER_LEN, PeerClock};
use crate::message::{Channel, Direction, MsgType};
use crate::reaction::{CloseCode, Reaction};

const START: UnixMillis = UnixMillis(1_750_000_000_000);

fn after(ms: u64) -> UnixMillis {
    UnixMillis(START.0 + ms)
}

fn pair() -> (Sealer, Opener) {
    let (channel, direction) = (Channel::S2s, Direction::ClientToServer);
    let traffic = || Zeroizing::new([0x42; 32]);
    let clock = PeerClock { offset_ms: 0, latest: START };
    (Sealer::new(channel, direction, 65_536, traffic(), START), Opener::new(channel, direction, 65_536, traffic(), clock))
}

/// Opens every frame in `frames` and says what they were; stops at the first error.
fn open(opener: &mut Opener, frames: &[u8], now: UnixMillis) -> Result<Vec<MsgType>, FrameError> {
    let mut frames = frames.to_vec();
    let mut rest = frames.as_mut_slice();
    let mut types = Vec::new();
    while let Some((header, behind)) = rest.split_first_chunk_mut::<HEADER_LEN>() {
        let expected = opener.check_header(header)?;
        let (payload, behind) = behind.split_at_mut(expected.payload_len());
        types.push(match opener.open(expected, payload, now)? {
            Opened::Message { msg_type, .. } => msg_type,
            Opened::KeyUpdate { .. } => MsgType::KeyUpdate,
            Opened::Close(_) => MsgType::Close,
        });
        rest = behind;
    }
    Ok(types)
}

fn sealed(sealer: &mut Sealer, now: UnixMillis) -> Vec<u8> {
    let mut out = Vec::new();
    sealer.seal(MsgType::Heartbeat, b"beat", now, &mut out).unwrap();
    out
}

#[test]
fn keys_are_replaced_at_each_limit_and_the_receiver_follows() {
    let beat = MsgType::Heartbeat;
    for (name, seq, bytes, ms, expected) in [
        ("fresh", 0, 0, 0, &[beat][..]),
        ("records, below", RECORDS_MAX - 2, 0, 0, &[beat]),
        ("records", RECORDS_MAX - 1, 0, 0, &[MsgType::KeyUpdate, beat]),
        ("bytes, below", 0, BYTES_MAX - 65_537, 0, &[beat]),
        ("bytes", 0, BYTES_MAX - 65_536, 0, &[MsgType::KeyUpdate, beat]),
        ("age, below", 0, 0, KEY_AGE_MS_MAX - 1, &[beat]),
        ("age", 0, 0, KEY_AGE_MS_MAX, &[MsgType::KeyUpdate, beat]),
    ] {
        let (mut sealer, mut opener) = pair();
        sealer.pretend(seq, bytes);
        opener.pretend(seq);
        let now = after(ms);
        assert_eq!(sealer.needs_key_update(now), expected.len() == 2, "{name}");
        let frames = sealed(&mut sealer, now);
        assert_eq!(open(&mut opener, &frames, now).as_deref(), Ok(expected), "{name}");
        let frames = sealed(&mut sealer, now);
        assert_eq!(open(&mut opener, &frames, now).map(|types| types.last().copied()), Ok(Some(beat)), "{name}");
    }
}

#[test]
fn a_receiver_refuses_a_sequence_that_no_honest_sender_reaches() {
    for (seq, expected) in [(SEQ_MAX - 1, Ok(1)), (SEQ_MAX, Err(FrameError::SequenceExhausted { seq: SEQ_MAX }))] {
        let (mut sealer, mut opener) = pair();
        // A sender that does not count: its key updates never come.
        let mut frames = Vec::new();
        sealer.pretend(seq, 0);
        opener.pretend(seq);
        sealer.key_update(false, START, &mut frames);
        let opened = open(&mut opener, &frames, START).map(|types| types.len());
        assert_eq!(opened, expected);
    }
}

#[test]
fn four_key_updates_a_minute_are_taken_and_a_fifth_ends_the_session() {
    let (mut sealer, mut opener) = pair();
    let update = |sealer: &mut Sealer, ms| {
        let mut out = Vec::new();
        sealer.key_update(false, after(ms), &mut out);
        out
    };
    for ms in [0, 1, 2, 3, 60_000, 60_001, 60_002, 60_003] {
        let frames = update(&mut sealer, ms);
        assert_eq!(open(&mut opener, &frames, after(ms)).as_deref(), Ok(&[MsgType::KeyUpdate][..]), "{ms}");
    }
    let frames = update(&mut sealer, 119_999);
    let error = open(&mut opener, &frames, after(119_999)).unwrap_err();
    assert_eq!((error, error.reaction()), (FrameError::TooManyKeyUpdates, Reaction::CloseWith(CloseCode::Protocol)));
    assert_eq!(open(&mut opener, &sealed(&mut sealer, after(200_000)), after(200_000)), Err(FrameError::Ended));
}

#[test]
fn timestamps_may_be_two_minutes_off_and_never_go_back() {
    for (name, sent, received, fine) in [
        ("equal", 0, 0, true),
        ("late, at the limit", 0, 120_000, true),
        ("late", 0, 120_001, false),
        ("early, at the limit", 120_000, 0, true),
        ("early", 120_001, 0, false),
    ] {
        let (mut sealer, mut opener) = pair();
        let opened = open(&mut opener, &sealed(&mut sealer, after(sent)), after(received));
        assert_eq!(opened.is_ok(), fine, "{name}: {opened:?}");
    }
    let (mut sealer, mut opener) = pair();
    let first = sealed(&mut sealer, after(500));
    // The sender's clock goes back; its timestamps stand still.
    let second = sealed(&mut sealer, after(100));
    assert!(open(&mut opener, &first, after(500)).is_ok());
    assert!(open(&mut opener, &second, after(500)).is_ok());

    let (mut honest, _) = pair();
    let (mut liar, mut opener) = pair();
    let first = sealed(&mut honest, after(500));
    sealed(&mut liar, after(400));
    let second = sealed(&mut liar, after(400));
    assert!(open(&mut opener, &first, after(500)).is_ok());
    let error = open(&mut opener, &second, after(500)).unwrap_err();
    assert_eq!(error, FrameError::ClockWentBack { previous: after(500), got: after(400) });
    assert_eq!(error.reaction(), Reaction::CloseWith(CloseCode::Protocol));
}

#[test]
fn a_host_with_another_clock_is_followed_at_a_fixed_distance() {
    let (mut sealer, _) = pair();
    let clock = PeerClock { offset_ms: -100_000, latest: START };
    let mut opener = Opener::new(Channel::S2s, Direction::ClientToServer, 65_536, Zeroizing::new([0x42; 32]), clock);
    let frame = sealed(&mut sealer, after(20_000));
    assert!(open(&mut opener, &frame, after(240_000)).is_ok());
    let frame = sealed(&mut sealer, after(20_001));
    assert_eq!(open(&mut opener, &frame, after(240_002)), Err(FrameError::ClockSkew { skew_ms: -120_001 }));
}

#[test]
fn what_may_not_be_sent_is_refused_here_and_changes_nothing() {
    let (mut sealer, mut opener) = pair();
    let mut out = Vec::new();
    for msg_type in MsgType::ALL.iter().copied().filter(|msg_type| !(0x10..=0x17).contains(&msg_type.to_wire())) {
        let refused = sealer.seal(msg_type, b"", START, &mut out);
        assert_eq!(refused, Err(SealError::WrongType { msg_type }));
    }
    let refused = sealer.seal(MsgType::MatchStarted, &[0; 49], START, &mut out);
    assert_eq!(refused, Err(SealError::PayloadTooLong { msg_type: MsgType::MatchStarted, payload_len: 65, max: 64 }));
    assert!(out.is_empty());
    sealer.seal(MsgType::MatchStarted, &[0; 48], START, &mut out).unwrap();
    assert_eq!(open(&mut opener, &out, START).as_deref(), Ok(&[MsgType::MatchStarted][..]));
}

#[test]
fn the_limit_of_the_session_binds_messages_but_not_the_close() {
    let traffic = || Zeroizing::new([1; 32]);
    let clock = PeerClock { offset_ms: 0, latest: START };
    let mut sealer = Sealer::new(Channel::S2s, Direction::ClientToServer, 100, traffic(), START);
    let mut opener = Opener::new(Channel::S2s, Direction::ClientToServer, 100, traffic(), clock);
    let mut out = Vec::new();
    assert!(sealer.seal(MsgType::Heartbeat, &[0; 85], START, &mut out).is_err());
    sealer.seal(MsgType::Heartbeat, &[0; 84], START, &mut out).unwrap();
    let text = "ü".repeat(200);
    sealer.close(Close { text: &text, ..Close::new(CloseCode::GoingAway) }, START, &mut out);
    assert_eq!(open(&mut opener, &out, START).as_deref(), Ok(&[MsgType::Heartbeat, MsgType::Close][..]));
    assert_eq!(out.len(), 57 + 100 + 57 + 16 + 15 + 254);
}

#[test]
fn each_end_fits_many_idle_sessions() {
    assert!(size_of::<Sealer>() + size_of::<Opener>() <= 4096, "{} {}", size_of::<Sealer>(), size_of::<Opener>());
    fn is_send<T: Send>() {}
    is_send::<Sealer>();
    is_send::<Opener>();
}
