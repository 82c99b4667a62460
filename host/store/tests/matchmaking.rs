//! Queue tickets and matches, from waiting to voided.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use std::sync::{Arc, Barrier};

use ladder::id::{MatchId, PlayerId, QueueId, QueueTicketId};
use ladder::matches::{AdmittedMatch, MatchState};
use ladder::reason::{Reason, code};
use ladder::time::UnixMillis;
use store::{AdmitRefusal, EnqueueRefusal, MatchOrder, MatchRefusal, Member, MoveRefusal, NewQueueTicket, OpenRefusal, PARTY_MEMBERS_MAX};
use world::{NOW, OTHER_SERVER, SERVER, World};

fn timeout() -> Reason {
    Reason::new(code::ALLOWLIST_TIMEOUT, "5 s passed")
}

fn enqueue(world: &World, players: &[PlayerId]) -> Result<QueueTicketId, EnqueueRefusal> {
    let members = players.iter().map(|&player| Member { player, latency_ms: vec![] }).collect();
    let new = NewQueueTicket { queue: world.queue, members, regions: 1 };
    world.store.enqueue(new, NOW).wait().unwrap().map(|ticket| ticket.id)
}

#[test]
fn nobody_queues_twice() {
    let world = World::new(5);
    let [a, b, c, d, e] = world.players[..] else { unreachable!() };
    let party = enqueue(&world, &[a, b]).unwrap();
    let refused = EnqueueRefusal::AlreadyQueued { player: b, ticket: party, queue: world.queue };
    assert_eq!(enqueue(&world, &[b]), Err(refused));
    assert_eq!(enqueue(&world, &[c, b]), Err(refused), "the whole party is refused");
    let match_id = world.live(d, e);
    assert_eq!(enqueue(&world, &[d]), Err(EnqueueRefusal::InMatch { player: d, match_id }));
    let nobody = PlayerId(99);
    assert_eq!(enqueue(&world, &[nobody]), Err(EnqueueRefusal::UnknownPlayer { player: nobody }));
    for (name, party) in [("nobody", vec![]), ("twice", vec![c, c]), ("crowd", vec![c; PARTY_MEMBERS_MAX + 1])] {
        assert_eq!(enqueue(&world, &party), Err(EnqueueRefusal::BadParty), "{name}");
    }
    let elsewhere = NewQueueTicket { queue: QueueId(9), members: vec![Member { player: c, latency_ms: vec![] }], regions: 1 };
    assert_eq!(world.store.enqueue(elsewhere, NOW).wait().unwrap(), Err(EnqueueRefusal::UnknownQueue { queue: QueueId(9) }));

    let gone = world.store.dequeue(b).wait().unwrap().unwrap();
    assert_eq!((gone.ticket, gone.members), (party, vec![a, b]));
    assert_eq!(world.store.dequeue(b).wait().unwrap(), None);
    assert!(enqueue(&world, &[b]).unwrap() > party, "a number never comes again");
}

/// Two hosts (or two threads) race for the same player.
#[test]
fn of_two_racing_enqueues_one_wins() {
    let world = World::new(40);
    let barrier = Arc::new(Barrier::new(2));
    let race = |store: store::Store| {
        let (barrier, queue, players) = (Arc::clone(&barrier), world.queue, world.players.clone());
        std::thread::spawn(move || {
            barrier.wait();
            let enqueue = |player| {
                let members = vec![Member { player, latency_ms: vec![] }];
                store.enqueue(NewQueueTicket { queue, members, regions: 1 }, NOW).wait().unwrap().is_ok()
            };
            players.into_iter().filter(|&player| enqueue(player)).count()
        })
    };
    let (first, second) = (race(world.store.clone()), race(world.second()));
    assert_eq!(first.join().unwrap() + second.join().unwrap(), 40);
    assert_eq!(world.store.waiting_count(world.queue).wait().unwrap(), 40);
}

#[test]
fn those_who_wait_are_loaded_with_their_ratings() {
    let world = World::new(3);
    let [a, b, c] = world.players[..] else { unreachable!() };
    world.import(1, a, b);
    let ticket = world.enqueue(&[c, a]);
    let waiting = world.store.load_waiting(world.queue).wait().unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].id, waiting[0].enqueued_at, waiting[0].regions), (ticket, NOW, 1 << 63 | 1));
    let [stranger, rated] = &waiting[0].members[..] else { panic!("two members") };
    assert_eq!((stranger.player, stranger.mean, stranger.uncertainty, stranger.contests), (c, 25.0, 8.0, 0));
    assert_eq!(stranger.latency_ms, [20, u16::MAX]);
    assert_eq!((rated.player, rated.contests), (a, 1));
    assert!(rated.mean > 25.0 && rated.uncertainty < 8.0);
}

#[test]
fn opening_looks_at_everything_again() {
    let world = World::new(8);
    let tickets: Vec<_> = world.players.iter().map(|&player| world.enqueue(&[player])).collect();
    let pair = |first: usize, second: usize| world.order(&[&[tickets[first]], &[tickets[second]]]);
    let other = world.store.ensure_queue("other").wait().unwrap();
    world.store.dequeue(world.players[7]).wait().unwrap().unwrap();
    let orders = vec![
        pair(0, 1),
        pair(1, 2),
        MatchOrder { queue: other, ..pair(2, 3) },
        pair(2, 7),
        pair(2, 2),
        world.order(&[&[tickets[2]]]),
        MatchOrder { server_capacity: 1, ..pair(2, 3) },
        MatchOrder { server: OTHER_SERVER, server_capacity: 1, ..pair(2, 3) },
    ];
    let answers = world.store.open_matches(orders, NOW).wait().unwrap();
    let opened = answers[0].as_ref().unwrap();
    assert_eq!(opened.roster.teams(), [vec![world.players[0]], vec![world.players[1]]]);
    assert_eq!(answers[1], Err(OpenRefusal::InMatch { player: world.players[1], match_id: opened.match_id }));
    assert_eq!(answers[2], Err(OpenRefusal::OtherQueue { ticket: tickets[2], queue: world.queue }));
    assert_eq!(answers[3], Err(OpenRefusal::NotWaiting { ticket: tickets[7] }));
    assert_eq!(answers[4], Err(OpenRefusal::NotWaiting { ticket: tickets[2] }));
    assert!(matches!(answers[5], Err(OpenRefusal::BadRoster(_))));
    assert_eq!(answers[6], Err(OpenRefusal::ServerFull { server: SERVER, active: 1, capacity: 1 }));
    assert!(answers[7].is_ok(), "refused orders left nothing behind");
    assert_eq!(world.store.waiting_count(world.queue).wait().unwrap(), 3);
    assert_eq!(world.store.match_counts().wait().unwrap().pending, 2);
    assert_eq!(world.store.dequeue(world.players[0]).wait().unwrap(), None, "who is being matched does not wait");
}

/// Two matchmakers open matches of the same queue tickets at the same time.
#[test]
fn of_two_racing_matchmakers_one_gets_each_player() {
    let world = World::new(40);
    let tickets: Vec<_> = world.players.iter().map(|&player| world.enqueue(&[player])).collect();
    let barrier = Arc::new(Barrier::new(2));
    let race = |store: store::Store| {
        let orders: Vec<_> =
            tickets.chunks(2).map(|pair| MatchOrder { server_capacity: 99, ..world.order(&[&pair[..1], &pair[1..]]) }).collect();
        let barrier = Arc::clone(&barrier);
        std::thread::spawn(move || {
            barrier.wait();
            let open = |order| store.open_matches(vec![order], NOW).wait().unwrap().pop().unwrap().is_ok();
            orders.into_iter().filter(|order| open(order.clone())).count()
        })
    };
    let (first, second) = (race(world.store.clone()), race(world.second()));
    assert_eq!(first.join().unwrap() + second.join().unwrap(), 20);
    assert_eq!(world.store.load_active_matches().wait().unwrap().len(), 20);
}

#[test]
fn a_failed_match_gives_its_players_their_waiting_time_back() {
    let world = World::new(2);
    let pending = world.open(world.players[0], world.players[1]);
    let later = UnixMillis(NOW.0 + 9000);
    let tickets = world.store.requeue_match(pending.match_id, timeout(), later).wait().unwrap().unwrap();
    assert_eq!(tickets.iter().map(|ticket| ticket.enqueued_at).collect::<Vec<_>>(), [NOW, NOW]);
    assert_eq!(world.store.load_waiting(world.queue).wait().unwrap(), tickets);
    assert_eq!(world.store.requeue_match(pending.match_id, timeout(), later).wait().unwrap(), None);
    assert_eq!(world.store.find_active_match(world.players[0]).wait().unwrap(), None);
    let details = world.store.match_details(pending.match_id).wait().unwrap().unwrap();
    assert_eq!((details.state, details.void_reason, details.ended_at), (MatchState::Voided, Some(timeout()), Some(later)));
    // And they can be matched again.
    let order = world.order(&[&[tickets[0].id], &[tickets[1].id]]);
    assert!(world.store.open_matches(vec![order], later).wait().unwrap()[0].is_ok());
}

#[test]
fn a_match_moves_only_while_pending_and_only_to_a_free_slot() {
    let world = World::new(4);
    let first = world.open(world.players[0], world.players[1]);
    let second = world.open(world.players[2], world.players[3]);
    let full = world.store.move_match(first.match_id, OTHER_SERVER, 0).wait().unwrap();
    assert_eq!(full, Err(MoveRefusal::ServerFull { server: OTHER_SERVER, active: 0, capacity: 0 }));
    let match_id = first.match_id;
    let moved = world.store.move_match(match_id, OTHER_SERVER, 1).wait().unwrap().unwrap();
    assert_eq!((moved.server, &moved.roster), (OTHER_SERVER, &first.roster));
    // The acknowledgement of the game server that lost it comes too late.
    let late = world.store.admit_match(&first.handle_ack(SERVER).unwrap(), NOW).wait().unwrap();
    assert_eq!(late, Err(AdmitRefusal::Moved { match_id, server: OTHER_SERVER }));
    world.store.admit_match(&moved.handle_ack(OTHER_SERVER).unwrap(), NOW).wait().unwrap().unwrap();
    let admitted = world.store.move_match(match_id, SERVER, 9).wait().unwrap();
    assert_eq!(admitted, Err(MoveRefusal::NotPending { match_id }));
    let taken = world.store.move_match(second.match_id, OTHER_SERVER, 1).wait().unwrap();
    assert_eq!(taken, Err(MoveRefusal::ServerFull { server: OTHER_SERVER, active: 1, capacity: 1 }));
    assert_eq!(world.store.load_active_matches_of(OTHER_SERVER).wait().unwrap()[0].moves, 1);
}

#[test]
fn an_admitted_match_survives_a_restart() {
    let world = World::new(2);
    let [a, b] = world.players[..] else { unreachable!() };
    let pending = world.open(a, b);
    let match_id = pending.match_id;
    let admitted = pending.handle_ack(SERVER).unwrap();
    for _ in 0..2 {
        world.store.admit_match(&admitted, NOW).wait().unwrap().unwrap();
    }
    assert_eq!(world.store.load_waiting(world.queue).wait().unwrap(), []);
    let World { store, folder, .. } = world;
    drop(store);
    let store = store::Store::open(folder.path().join("ranked.db"), store::Options::default()).unwrap();
    let found = store.find_active_match(b).wait().unwrap().unwrap();
    assert_eq!((found.state, found.details.match_id, found.region, found.quality), (MatchState::Admitted, match_id, 0, 0.75));
    let restored = AdmittedMatch::from_store(found.state, found.details).unwrap();
    assert_eq!(restored, admitted);
    assert_eq!(store.load_active_matches().wait().unwrap().len(), 1);
}

#[test]
fn only_the_hosting_game_server_has_a_word() {
    let world = World::new(3);
    let [a, b, stranger] = world.players[..] else { unreachable!() };
    let pending = world.open(a, b);
    let match_id = pending.match_id;
    let early = world.store.start_match(match_id, SERVER, NOW).wait().unwrap();
    assert_eq!(early, Err(MatchRefusal::WrongState { state: MatchState::Pending }));
    world.store.admit_match(&pending.handle_ack(SERVER).unwrap(), NOW).wait().unwrap().unwrap();
    assert_eq!(world.store.start_match(match_id, OTHER_SERVER, NOW).wait().unwrap(), Err(MatchRefusal::ForeignMatch));
    assert_eq!(world.store.start_match(MatchId(99), SERVER, NOW).wait().unwrap(), Err(MatchRefusal::UnknownMatch));
    assert_eq!(world.store.start_match(MatchId(u64::MAX), SERVER, NOW).wait().unwrap(), Err(MatchRefusal::UnknownMatch));
    for now in [5, 6] {
        world.store.player_joined(match_id, SERVER, a, UnixMillis(now)).wait().unwrap().unwrap();
        world.store.start_match(match_id, SERVER, UnixMillis(now)).wait().unwrap().unwrap();
    }
    world.store.player_left(match_id, SERVER, a, UnixMillis(7)).wait().unwrap().unwrap();
    let unknown = world.store.player_left(match_id, SERVER, stranger, UnixMillis(7)).wait().unwrap();
    assert_eq!(unknown, Err(MatchRefusal::UnknownPlayer { player: stranger }));
    let details = world.store.match_details(match_id).wait().unwrap().unwrap();
    assert_eq!((details.state, details.started_at), (MatchState::Live, Some(UnixMillis(5))));
    let seat = &details.teams[0][0];
    assert_eq!((seat.joined_at, seat.left_at), (Some(UnixMillis(5)), Some(UnixMillis(7))));
}

#[test]
fn a_voided_match_frees_its_players_for_good() {
    let world = World::new(4);
    let [a, b, c, d] = world.players[..] else { unreachable!() };
    let (live, pending) = (world.live(a, b), world.open(c, d).match_id);
    let lost = Reason::new(code::SERVER_LOST, "");
    let voided = world.store.void_match(live, lost.clone(), NOW).wait().unwrap().unwrap();
    assert_eq!((voided.from, voided.server, voided.players), (MatchState::Live, SERVER, vec![a, b]));
    let voided = world.store.void_match(pending, lost.clone(), NOW).wait().unwrap().unwrap();
    assert_eq!(voided.from, MatchState::Pending);
    assert_eq!(world.store.load_waiting(world.queue).wait().unwrap(), []);
    for player in [a, b, c, d] {
        enqueue(&world, &[player]).unwrap();
    }
    assert_eq!(world.store.void_match(live, lost, NOW).wait().unwrap(), None);
    assert_eq!(world.store.statistics().wait().unwrap().queues[0].waiting, 4);
}
