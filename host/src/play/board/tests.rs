//! What the board tells whom, and when. No store: each test says what was committed.

use std::net::{IpAddr, Ipv4Addr};

use ladder::reason::code;
use protocol::certificate::Scope;
use protocol::message::{ToGameServer, ToPlayer, v1};
use sha2::Digest as _;
use store::{WaitingMember, WaitingTicket};

use super::*;
use crate::net::peer::{Ending, PlayerPeer, ServerPeer};
use crate::play::effect::Effect;

pub(in crate::play) const START: UnixMillis = UnixMillis(1_700_000_000_000);

pub(in crate::play) fn at(milliseconds: u64) -> UnixMillis {
    UnixMillis(START.0 + milliseconds)
}

pub(in crate::play) fn duel() -> QueueShape {
    QueueShape {
        queue: "duel".to_owned(),
        teams: 2,
        team_sizes: vec![1],
        stats: vec!["kills".to_owned()],
        regions: vec!["eu".to_owned(), "us".to_owned()],
        ..QueueShape::default()
    }
}

pub(in crate::play) fn server_peer(number: u8, session: u8) -> ServerPeer {
    ServerPeer {
        server: ServerId([number; 16]),
        owner: format!("server-{number}"),
        scope: Scope::ALL,
        session_id: SessionId([session; 16]),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

pub(in crate::play) fn player_peer(player: u64, session: u8) -> PlayerPeer {
    PlayerPeer {
        player: PlayerId(player),
        name: format!("player-{player}"),
        session_id: SessionId([session; 16]),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

pub(in crate::play) fn beat(number: u8) -> v1::Heartbeat {
    v1::Heartbeat {
        capacity: 2,
        region: "eu".to_owned(),
        address: format!("127.0.0.1:{}", 7800 + u16::from(number)),
        ..v1::Heartbeat::default()
    }
}

fn ticket(player: u64) -> WaitingTicket {
    let member = WaitingMember { player: PlayerId(player), mean: 25.0, uncertainty: 8.0, contests: 0, latency_ms: vec![20, 90] };
    WaitingTicket { id: QueueTicketId(100 + player), queue: QueueId(1), enqueued_at: START, regions: 0b11, members: vec![member] }
}

fn pending(server: u8) -> PendingMatch {
    let roster = Roster::new(vec![vec![PlayerId(1)], vec![PlayerId(2)]]).expect("two teams");
    PendingMatch { match_id: MatchId(7), queue: QueueId(1), server: ServerId([server; 16]), roster }
}

/// Game servers 1 and 2 of region eu are connected; players 1 and 2 are connected and wait.
fn world() -> Board {
    let mut board = Board::new(Matchmaking::default(), JoinKey::derive(&[5; 32]), vec![(QueueId(1), duel())]);
    for number in [1, 2] {
        let peer = server_peer(number, number);
        board.server_opened(&peer, START);
        board.handle_heartbeat(&peer, &beat(number), START);
    }
    for player in [1, 2] {
        board.player_opened(&player_peer(player, 10), START);
        board.waits(0, &ticket(player), None, START);
    }
    board
}

fn admitted(board: &mut Board, now: UnixMillis) -> Vec<Effect> {
    let admitted = board.begin_admission(MatchId(7), ServerId([1; 16])).expect("the host of the match");
    board.admitted(admitted, now)
}

fn allowlists(effects: &[Effect]) -> Vec<(u8, v1::AllowPlayers)> {
    let pick = |effect: &Effect| match effect {
        Effect::Server(server, ToGameServer::AllowPlayers(allowlist)) => Some((server.0[0], allowlist.clone())),
        _ => None,
    };
    effects.iter().filter_map(pick).collect()
}

fn assignments(effects: &[Effect]) -> Vec<(u64, v1::Assignment)> {
    let pick = |effect: &Effect| match effect {
        Effect::Player(player, ToPlayer::Assignment(assignment)) => Some((player.0, assignment.clone())),
        _ => None,
    };
    effects.iter().filter_map(pick).collect()
}

fn statuses(effects: &[Effect]) -> Vec<(u64, v1::QueueState, String)> {
    let pick = |effect: &Effect| match effect {
        Effect::Player(player, ToPlayer::QueueStatus(status)) => {
            Some((player.0, status.state(), status.notice.clone().unwrap_or_default().code))
        }
        _ => None,
    };
    effects.iter().filter_map(pick).collect()
}

#[test]
fn players_learn_the_address_only_after_the_game_server_acknowledged() {
    let mut board = world();
    let opened = board.opened(0, 0, pending(1), START, START);
    assert_eq!(assignments(&opened), []);
    assert_eq!(statuses(&opened), [(1, v1::QueueState::Matched, String::new()), (2, v1::QueueState::Matched, String::new())]);
    let (to, allowlist) = allowlists(&opened).remove(0);
    assert_eq!((to, allowlist.match_id, allowlist.stats, allowlist.region), (1, 7, vec!["kills".to_owned()], "eu".to_owned()));

    let told = assignments(&admitted(&mut board, at(10)));
    assert_eq!(told.iter().map(|(player, assignment)| (*player, assignment.team)).collect::<Vec<_>>(), [(1, 0), (2, 1)]);
    for (allowed, (player, assignment)) in allowlist.players.iter().zip(&told) {
        assert_eq!(allowed.player_id, *player);
        assert_eq!(allowed.name, format!("player-{player}"));
        assert_eq!(allowed.join_token_sha256, sha2::Sha256::digest(&assignment.join_token).to_vec(), "the token matches its digest");
        assert_eq!((assignment.address.as_str(), assignment.server_name.as_str()), ("127.0.0.1:7801", "server-1"));
        assert_eq!(assignment.expires_at_ms, allowlist.expires_at_ms);
    }
    assert_ne!(told[0].1.join_token, told[1].1.join_token);
}

#[test]
fn a_stranger_cannot_acknowledge_and_nobody_acknowledges_twice() {
    let mut board = world();
    board.opened(0, 0, pending(1), START, START);
    let refused = |board: &mut Board, match_id, server: u8| board.begin_admission(MatchId(match_id), ServerId([server; 16])).err();
    assert_eq!(refused(&mut board, 7, 2), Some(AckIgnored::ForeignMatch));
    assert_eq!(refused(&mut board, 8, 1), Some(AckIgnored::Unknown));
    admitted(&mut board, at(10));
    assert_eq!(refused(&mut board, 7, 1), Some(AckIgnored::Repeated));
    assert_eq!(refused(&mut board, 7, 2), Some(AckIgnored::ForeignMatch));
}

#[test]
fn a_player_who_reconnects_is_routed_back_to_the_match() {
    let mut board = world();
    board.opened(0, 0, pending(1), START, START);
    let before = board.player_opened(&player_peer(1, 11), at(5));
    assert_eq!((assignments(&before).len(), statuses(&before).len()), (0, 1), "matched, and not yet where");
    let first = assignments(&admitted(&mut board, at(10)));
    board.player_closed(&player_peer(1, 11), at(20));
    let again = assignments(&board.player_opened(&player_peer(1, 12), at(60_000)));
    assert_eq!(again, first[..1], "the same place with the same token");
    assert_eq!(board.whereabouts(PlayerId(1)), Whereabouts::Playing(MatchId(7)));
}

#[test]
fn an_older_session_that_ends_later_changes_nothing() {
    let mut board = world();
    board.player_opened(&player_peer(1, 11), at(5));
    board.player_closed(&player_peer(1, 10), at(6));
    board.server_opened(&server_peer(1, 3), at(5));
    board.server_closed(&server_peer(1, 1), Ending::Replaced, at(6));
    board.opened(0, 0, pending(1), START, at(10));
    admitted(&mut board, at(10));
    let patience = Matchmaking::default().server_lost_grace_ms.max(Matchmaking::default().player_lost_grace_ms);
    assert_eq!(board.due(at(patience + 7)), []);
}

#[test]
fn a_lost_game_server_gets_its_grace_and_a_dead_certificate_none() {
    let grace = Matchmaking::default().server_lost_grace_ms;
    let table = [
        ("closed", Ending::Truncated, grace, Some(code::SERVER_LOST)),
        ("closed a moment ago", Ending::Truncated, grace - 1, None),
        ("revoked", Ending::CredentialDead, 0, Some(code::CERTIFICATE_DEAD)),
    ];
    for (name, ending, later, expected) in table {
        let mut board = world();
        board.opened(0, 0, pending(1), START, START);
        admitted(&mut board, START);
        board.server_closed(&server_peer(1, 1), ending, START);
        let reasons: Vec<_> = board
            .due(at(later))
            .into_iter()
            .filter_map(|due| match due {
                Due::Void(MatchId(7), because) => Some(because.code),
                _ => None,
            })
            .collect();
        assert_eq!(reasons, Vec::from_iter(expected.map(str::to_owned)), "{name}");
    }
}

#[test]
fn a_game_server_that_comes_back_in_time_keeps_its_match() {
    let mut board = world();
    board.opened(0, 0, pending(1), START, START);
    board.server_closed(&server_peer(1, 1), Ending::Truncated, at(10));
    let effects = board.server_opened(&server_peer(1, 2), at(4_000));
    assert_eq!(allowlists(&effects).len(), 1, "asked again to admit the players");
    assert_eq!(board.due(at(8_000)), [], "and given time again to acknowledge");
    admitted(&mut board, at(8_000));
    board.server_closed(&server_peer(1, 2), Ending::Truncated, at(9_000));
    let effects = board.server_opened(&server_peer(1, 3), at(10_000));
    assert_eq!(allowlists(&effects).len(), 1, "it may have restarted and forgotten them");
    assert_eq!(board.due(at(50_000)), []);
}

#[test]
fn an_unacknowledged_match_moves_and_then_its_players_wait_again() {
    let mut board = world();
    board.opened(0, 0, pending(1), START, START);
    let late = Matchmaking::default().allowlist_ack_ms_max;
    assert_eq!(board.due(at(late - 1)), []);
    let timeout = Reason::new(code::ALLOWLIST_TIMEOUT, "the game server did not acknowledge the match in time");
    assert_eq!(board.due(at(late)), [Due::Move(MatchId(7), timeout.clone())]);

    let Some((_, Relocation::To(berth))) = board.begin_move(MatchId(7)) else { panic!("there is another game server") };
    assert_eq!(berth.server, ServerId([2; 16]));
    let late_ack = board.begin_admission(MatchId(7), ServerId([1; 16]));
    assert_eq!(late_ack.err(), Some(AckIgnored::NotPending), "too late: a transaction decides");
    assert_eq!(board.due(at(late)), [], "and nobody else decides meanwhile");
    let moved = board.moved(pending(2), &timeout, at(late));
    assert_eq!(allowlists(&moved).into_iter().map(|(server, _)| server).collect::<Vec<_>>(), [2]);
    assert!(matches!(&moved[0], Effect::Server(ServerId([1, ..]), ToGameServer::MatchVoided(voided)) if voided.match_id == 7));

    let Some((_, Relocation::Queue)) = board.begin_move(MatchId(7)) else { panic!("both game servers were tried") };
    let back = board.requeued(MatchId(7), &[ticket(1), ticket(2)], &timeout, at(2 * late));
    let expected = |player| (player, v1::QueueState::Waiting, "match-failed".to_owned());
    assert_eq!(statuses(&back), [expected(1), expected(2)]);
    assert_eq!(board.whereabouts(PlayerId(1)), Whereabouts::Waiting(0));
    let waited: Vec<_> = board.queue(0).mirror.iter().map(|(_, row, _)| row.enqueued_at).collect();
    assert_eq!(waited, [START; 2], "the waiting time is kept");
}

#[test]
fn a_match_that_never_starts_or_never_ends_is_voided() {
    let settings = Matchmaking::default();
    let mut board = world();
    board.opened(0, 0, pending(1), START, START);
    admitted(&mut board, START);
    assert_eq!(board.due(at(settings.start_ms_max - 1)), []);
    assert!(matches!(&board.due(at(settings.start_ms_max))[..], [Due::Void(_, because)] if because.code == code::MATCH_EXPIRED));
    assert_eq!(board.start_of(MatchId(7)), Start::First);
    board.started(MatchId(7), at(1_000));
    assert_eq!(board.start_of(MatchId(7)), Start::Again);
    assert_eq!(board.due(at(1_000 + settings.match_ms_max - 1)), []);
    assert!(matches!(&board.due(at(1_000 + settings.match_ms_max))[..], [Due::Void(..)]));

    let phase = board.begin_void(MatchId(7)).expect("nobody else decides");
    assert!(board.begin_void(MatchId(7)).is_none());
    board.put_back(MatchId(7), phase, at(1_000 + settings.match_ms_max));
    assert_eq!(board.due(at(1_000 + settings.match_ms_max)), [], "a failed transaction is not hurried");
    board.begin_void(MatchId(7)).expect("it was put back");
    let told = board.voided(MatchId(7), &Reason::new(code::MATCH_EXPIRED, "too long"));
    assert_eq!(told.len(), 3, "the game server and both players");
    assert_eq!(board.whereabouts(PlayerId(2)), Whereabouts::Nowhere);
}

#[test]
fn after_a_restart_players_are_routed_once_the_game_server_says_where_it_is() {
    let mut board = Board::new(Matchmaking::default(), JoinKey::derive(&[5; 32]), vec![(QueueId(1), duel())]);
    for player in [1, 2] {
        board.expect_player(PlayerId(player), &format!("player-{player}"), START);
    }
    let stored = AdmittedMatch::from_store(ladder::matches::MatchState::Admitted, pending(1)).expect("it was acknowledged");
    board.recovered(0, 0, Phase::Admitted(stored), START, at(5_000));
    let early = board.player_opened(&player_peer(1, 10), at(5_100));
    assert_eq!(statuses(&early), [(1, v1::QueueState::Matched, String::new())]);
    board.server_opened(&server_peer(1, 1), at(5_200));
    let told = assignments(&board.handle_heartbeat(&server_peer(1, 1), &beat(1), at(5_300)));
    assert_eq!(told.len(), 2);
    let repeated = board.handle_heartbeat(&server_peer(1, 1), &beat(1), at(10_300));
    assert_eq!(assignments(&repeated), [], "told once");

    let mut before = world();
    before.opened(0, 0, pending(1), START, START);
    assert_eq!(assignments(&admitted(&mut before, at(10))), told, "the very tokens of before the restart");
}

#[test]
fn a_waiting_player_who_stays_away_leaves_the_queue() {
    let grace = Matchmaking::default().player_lost_grace_ms;
    let mut board = world();
    board.player_closed(&player_peer(1, 10), at(100));
    assert_eq!(board.due(at(100 + grace - 1)), []);
    assert_eq!(board.due(at(100 + grace)), [Due::Leave(PlayerId(1))]);
    let back = board.player_opened(&player_peer(1, 11), at(100 + grace));
    assert_eq!(statuses(&back), [(1, v1::QueueState::Waiting, String::new())]);
    assert_eq!(board.due(at(100 + 2 * grace)), []);
    board.left_queue(QueueTicketId(101), &[PlayerId(1)], &Reason::new("dequeued", ""));
    assert_eq!(board.queue(0).mirror.tickets(), 1);
}

#[test]
fn whoever_leaves_while_a_tick_goes_on_is_answered_all_the_same() {
    let mut board = world();
    board.drop_stale(0, QueueTicketId(101));
    assert_eq!(board.whereabouts(PlayerId(1)), Whereabouts::Nowhere);
    let told = board.left_queue(QueueTicketId(101), &[PlayerId(1)], &Reason::new("dequeued", "you left the queue"));
    assert_eq!(statuses(&told), [(1, v1::QueueState::NotQueued, "dequeued".to_owned())]);
}

#[test]
fn only_connected_usable_game_servers_of_the_queues_regions_offer_slots() {
    let mut board = world();
    let mut slots = Slots::default();
    let mut free = |board: &Board| {
        board.fill_slots(0, &mut slots);
        slots.free_per_region().collect::<Vec<_>>()
    };
    assert_eq!(free(&board), [4, 0]);
    board.opened(0, 0, pending(1), START, START);
    assert_eq!(free(&board), [3, 0], "a pending match takes a slot");
    board.server_closed(&server_peer(2, 2), Ending::TimedOut, at(5));
    assert_eq!(free(&board), [1, 0]);
    let elsewhere = v1::Heartbeat { region: "us".to_owned(), ..beat(1) };
    board.handle_heartbeat(&server_peer(1, 1), &elsewhere, at(6));
    assert_eq!(free(&board), [0, 1]);
    let unknown = v1::Heartbeat { region: "mars".to_owned(), ..beat(1) };
    board.handle_heartbeat(&server_peer(1, 1), &unknown, at(7));
    assert_eq!(free(&board), [0, 0]);
}

#[test]
fn the_estimate_is_the_median_of_the_latest_waits() {
    let mut waits = RecentWaits::default();
    assert_eq!(waits.median(), None);
    (1..=200).for_each(|seconds| waits.note(Duration::from_secs(seconds)));
    assert_eq!(waits.median(), Some(Duration::from_secs(169)));
}
