//! Accounts, logins and login tickets.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use std::time::Duration;

use ladder::id::PlayerId;
use ladder::time::UnixMillis;
use store::{
    FAMILIES_PER_LOGIN_MAX, LOGINS_PER_PLAYER_MAX, LoginRefusal, LoginTicketRefusal, LoginTicketState, NameTaken, NewLogin, NewLoginTicket,
};
use world::{NOW, World};

const HOUR: Duration = Duration::from_secs(3600);

fn later(hours: u32) -> UnixMillis {
    NOW.plus(HOUR * hours)
}

fn login(world: &World, number: u8, player: PlayerId) -> [u8; 16] {
    let new = NewLogin { login_id: [number; 16], player, access_token_hash: [number; 32], expires_at: later(10) };
    world.store.open_login(new, UnixMillis(NOW.0 + u64::from(number))).wait().unwrap().unwrap();
    [number; 16]
}

fn ticket(number: u8) -> NewLoginTicket {
    NewLoginTicket { ticket_id: [number; 16], hash: [number; 32], expires_at: later(5) }
}

#[test]
fn a_name_is_taken_in_any_case() {
    let world = World::new(0);
    let player = world.store.register_player("Ada", "hash", NOW).wait().unwrap().unwrap();
    assert_eq!(world.store.register_player("aDA", "other", NOW).wait().unwrap(), Err(NameTaken));
    let account = world.store.find_account("ADA").wait().unwrap().unwrap();
    assert_eq!((account.player, account.name.as_str(), account.password_hash.as_deref()), (player, "Ada", Some("hash")));
    assert_eq!(world.store.load_account(player).wait().unwrap().unwrap(), account);
    assert!(world.store.load_account(PlayerId(u64::MAX)).wait().unwrap().is_err());
    let imported = world.store.ensure_players(vec!["ada".into(), "Bob".into(), "bob".into()], NOW).wait().unwrap();
    assert_eq!(imported[0], player);
    assert_eq!(imported[1], imported[2]);
}

#[test]
fn a_login_ends_by_time_and_by_log_out() {
    let world = World::new(1);
    let player = world.players[0];
    let id = login(&world, 1, player);
    assert_eq!(world.store.find_login([1; 32], NOW).wait().unwrap().unwrap().player, player);
    assert_eq!(world.store.find_login([1; 32], later(10)).wait().unwrap(), None);
    assert_eq!(world.store.find_login([2; 32], NOW).wait().unwrap(), None);
    let again = NewLogin { login_id: [9; 16], player, access_token_hash: [1; 32], expires_at: later(1) };
    assert_eq!(world.store.open_login(again.clone(), NOW).wait().unwrap(), Err(LoginRefusal::Reused));
    let nobody = NewLogin { player: PlayerId(77), ..again };
    assert!(matches!(world.store.open_login(nobody, NOW).wait().unwrap(), Err(LoginRefusal::UnknownPlayer(_))));

    let family = world.store.issue_login_ticket(id, ticket(1), NOW).wait().unwrap().unwrap();
    let before = world.store.control_generation().wait().unwrap();
    let ended = world.store.end_login(id, NOW).wait().unwrap().unwrap();
    assert_eq!(ended.families, [family]);
    assert!(world.store.control_generation().wait().unwrap() > before);
    assert_eq!(world.store.find_login([1; 32], NOW).wait().unwrap(), None);
    assert!(world.store.find_login_ticket([1; 16]).wait().unwrap().unwrap().family_revoked);
    assert_eq!(world.store.end_login(id, NOW).wait().unwrap(), None);
    assert_eq!(world.store.issue_login_ticket(id, ticket(2), NOW).wait().unwrap(), Err(LoginTicketRefusal::Revoked));
}

#[test]
fn a_changed_password_ends_the_other_logins() {
    let world = World::new(1);
    let player = world.players[0];
    let (kept, other) = (login(&world, 1, player), login(&world, 2, player));
    let family = world.store.issue_login_ticket(other, ticket(1), NOW).wait().unwrap().unwrap();
    let ended = world.store.change_password(player, "new", Some(kept), NOW).wait().unwrap().unwrap();
    assert_eq!((ended.logins, ended.families), (vec![other], vec![family]));
    assert!(world.store.find_login([1; 32], NOW).wait().unwrap().is_some());
    assert!(world.store.find_login([2; 32], NOW).wait().unwrap().is_none());
    assert!(world.store.replace_password_hash(player, "new", "newer").wait().unwrap());
    assert!(!world.store.replace_password_hash(player, "new", "lost").wait().unwrap());
}

#[test]
fn logins_and_families_are_bounded() {
    let world = World::new(1);
    for number in 0..=LOGINS_PER_PLAYER_MAX as u8 {
        login(&world, number, world.players[0]);
    }
    assert!(world.store.find_login([0; 32], NOW).wait().unwrap().is_none(), "the oldest login ended");
    assert!(world.store.find_login([1; 32], NOW).wait().unwrap().is_some());
    for number in 0..=FAMILIES_PER_LOGIN_MAX as u8 {
        world.store.issue_login_ticket([1; 16], ticket(number), NOW).wait().unwrap().unwrap();
    }
    let revoked: Vec<_> = world.store.load_login_tickets(NOW).wait().unwrap().into_iter().filter(|ticket| ticket.family_revoked).collect();
    assert_eq!(revoked.len(), 1);
    assert_eq!(revoked[0].ticket_id, [0; 16]);
}

/// A successor counts only once the client has shown it; until then the old ticket stays.
#[test]
fn a_ticket_is_superseded_only_when_its_successor_is_confirmed() {
    let world = World::new(1);
    let id = login(&world, 1, world.players[0]);
    let family = world.store.issue_login_ticket(id, ticket(1), NOW).wait().unwrap().unwrap();
    let state = |number: u8| world.store.find_login_ticket([number; 16]).wait().unwrap().map(|ticket| ticket.state);

    assert_eq!(world.store.offer_successor([1; 16], ticket(2), NOW).wait().unwrap(), Ok(family));
    assert_eq!((state(1), state(2)), (Some(LoginTicketState::Live), Some(LoginTicketState::Pending)));
    assert_eq!(world.store.offer_successor([2; 16], ticket(3), NOW).wait().unwrap(), Err(LoginTicketRefusal::WrongState));
    // The connection broke; the next handshake offers another one, which replaces the first.
    assert_eq!(world.store.offer_successor([1; 16], ticket(3), NOW).wait().unwrap(), Ok(family));
    assert_eq!((state(2), state(3)), (None, Some(LoginTicketState::Pending)));
    for _ in 0..2 {
        assert_eq!(world.store.confirm_successor([3; 16], NOW).wait().unwrap(), Ok(family));
        assert_eq!((state(1), state(3)), (Some(LoginTicketState::Superseded), Some(LoginTicketState::Live)));
    }
    assert_eq!(world.store.offer_successor([1; 16], ticket(4), NOW).wait().unwrap(), Err(LoginTicketRefusal::WrongState));
    assert_eq!(world.store.confirm_successor([1; 16], NOW).wait().unwrap(), Err(LoginTicketRefusal::WrongState));
    assert_eq!(world.store.offer_successor([3; 16], ticket(1), NOW).wait().unwrap(), Err(LoginTicketRefusal::Reused));
    assert_eq!(world.store.offer_successor([9; 16], ticket(4), NOW).wait().unwrap(), Err(LoginTicketRefusal::Unknown));
    assert_eq!(world.store.offer_successor([3; 16], ticket(4), later(5)).wait().unwrap(), Err(LoginTicketRefusal::Expired));

    assert!(world.store.revoke_family(family, "reuse", NOW).wait().unwrap());
    assert!(!world.store.revoke_family(family, "reuse", NOW).wait().unwrap());
    assert_eq!(world.store.confirm_successor([3; 16], NOW).wait().unwrap(), Err(LoginTicketRefusal::Revoked));
}

#[test]
fn expired_rows_are_purged_and_nothing_else() {
    let world = World::new(1);
    let id = login(&world, 1, world.players[0]);
    world.store.issue_login_ticket(id, ticket(1), NOW).wait().unwrap().unwrap();
    let nothing = world.store.purge_expired(NOW).wait().unwrap();
    assert_eq!((nothing.login_tickets, nothing.families, nothing.logins), (0, 0, 0));
    let tickets = world.store.purge_expired(later(6)).wait().unwrap();
    assert_eq!((tickets.login_tickets, tickets.families, tickets.logins), (1, 1, 0));
    assert!(world.store.find_login([1; 32], later(6)).wait().unwrap().is_some());
    assert_eq!(world.store.purge_expired(later(11)).wait().unwrap().logins, 1);
}

/// What is only a hash opens nothing by itself, and still stays out of logs.
#[test]
fn no_hash_is_printed() {
    let world = World::new(0);
    let player = world.store.register_player("Ada", "argon2-hash", NOW).wait().unwrap().unwrap();
    login(&world, 171, player);
    world.store.issue_login_ticket([171; 16], NewLoginTicket { ticket_id: [1; 16], ..ticket(171) }, NOW).wait().unwrap().unwrap();
    let account = world.store.load_account(player).wait().unwrap().unwrap();
    let stored = world.store.find_login_ticket([1; 16]).wait().unwrap().unwrap();
    let new_login = NewLogin { login_id: [1; 16], player, access_token_hash: [171; 32], expires_at: NOW };
    let printed = format!("{account:?} {stored:?} {:?} {new_login:?}", ticket(171));
    assert!(
        !printed.contains("argon2-hash")
            && !printed.contains("171, 171, 171, 171, 171, 171, 171, 171, 171, 171, 171, 171, 171, 171, 171, 171, 171"),
        "{printed}"
    );
}
