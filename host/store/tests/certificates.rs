//! Certificates and key epochs.
#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use ladder::id::ServerId;
use ladder::reason::Reason;
use ladder::report::{AcceptedReport, ReportRefusal};
use ladder::time::UnixMillis;
use store::{AcceptOptions, AdmitRefusal, CertificateRefusal, KeyEpochState, NewCertificate, NewKeyEpoch, OpenRefusal, RenewRefusal};
use world::{NOW, OTHER_SERVER, SERVER, World, imported, report};

fn certificate(server: ServerId, key_epoch: u32) -> NewCertificate {
    NewCertificate {
        server,
        owner: "clan".into(),
        scope: 0x000f,
        key_epoch,
        issued_at: NOW,
        not_before: NOW,
        not_after: UnixMillis(NOW.0 + 1000),
        node_public_key: [1; 32],
        certificate: vec![1, 2, 3],
        secret_commitment: [2; 32],
        sealed_secret: vec![9; 61],
        pepper_id: 4,
    }
}

fn world_with_keys() -> World {
    let world = World::new(2);
    for key_epoch in [1, 2] {
        world.store.add_key_epoch(NewKeyEpoch { key_epoch, public_key: [key_epoch as u8; 32] }, NOW).wait().unwrap().unwrap();
    }
    world.store.record_certificate(certificate(SERVER, 1)).wait().unwrap().unwrap();
    world.store.record_certificate(certificate(OTHER_SERVER, 2)).wait().unwrap().unwrap();
    world
}

fn stolen() -> Reason {
    Reason::new("stolen", "the disk was sold")
}

#[test]
fn a_certificate_is_recorded_once_by_a_living_key() {
    let world = world_with_keys();
    let twice = world.store.record_certificate(certificate(SERVER, 1)).wait().unwrap();
    assert_eq!(twice, Err(CertificateRefusal::Exists { server: SERVER }));
    let unknown = world.store.record_certificate(certificate(ServerId([1; 16]), 9)).wait().unwrap();
    assert_eq!(unknown, Err(CertificateRefusal::DeadKeyEpoch { key_epoch: 9 }));
    let found = world.store.find_certificates("0707").wait().unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].issued, certificate(SERVER, 1));
    for (prefix, count) in [("", 0), ("%", 0), ("0", 2), ("0808080808080808080808080808080A", 0)] {
        assert_eq!(world.store.find_certificates(prefix).wait().unwrap().len(), count, "{prefix:?}");
    }
    world.store.record_seen(SERVER, "10.0.0.1", NOW).wait().unwrap().unwrap();
    let seen = world.store.find_certificate(SERVER).wait().unwrap().unwrap().last_seen;
    assert_eq!(seen, Some((NOW, "10.0.0.1".into())));
}

#[test]
fn a_revocation_stands_and_is_noticed() {
    let world = world_with_keys();
    let before = world.store.control_generation().wait().unwrap();
    // As a command in another process does it.
    let revoked = world.second().revoke_certificate(SERVER, stolen(), NOW).wait().unwrap().unwrap();
    assert!(revoked.already.is_none());
    assert_eq!(world.store.control_generation().wait().unwrap(), revoked.generation);
    assert!(revoked.generation > before);
    let again = world.store.revoke_certificate(SERVER, Reason::new("other", ""), UnixMillis(1)).wait().unwrap().unwrap();
    assert_eq!(again.already.unwrap().reason, stolen());
    assert_eq!(world.store.find_certificate(SERVER).wait().unwrap().unwrap().revocation.unwrap().at, NOW);
    let renewed = world.store.replace_certificate(certificate(SERVER, 2)).wait().unwrap();
    assert!(matches!(renewed, Err(RenewRefusal::Revoked(_))));
    assert!(world.store.revoke_certificate(ServerId([1; 16]), stolen(), NOW).wait().unwrap().is_err());
}

#[test]
fn a_renewal_keeps_the_uuid() {
    let world = world_with_keys();
    let renewed = NewCertificate { not_after: UnixMillis(NOW.0 + 9000), ..certificate(SERVER, 2) };
    world.store.replace_certificate(renewed.clone()).wait().unwrap().unwrap();
    assert_eq!(world.store.find_certificate(SERVER).wait().unwrap().unwrap().issued, renewed);
    let unknown = world.store.replace_certificate(certificate(ServerId([1; 16]), 2)).wait().unwrap();
    assert!(matches!(unknown, Err(RenewRefusal::Unknown(_))));
}

#[test]
fn a_nuke_kills_everything_at_once() {
    let world = world_with_keys();
    let refused = world.store.nuke(Some(NewKeyEpoch { key_epoch: 2, public_key: [9; 32] }), stolen(), NOW).wait().unwrap();
    assert!(refused.is_err());
    assert!(world.store.list_key_epochs().wait().unwrap().iter().all(|epoch| epoch.state == KeyEpochState::Active));

    let nuked = world.store.nuke(Some(NewKeyEpoch { key_epoch: 3, public_key: [3; 32] }), stolen(), NOW).wait().unwrap().unwrap();
    assert_eq!((nuked.certificates, nuked.key_epochs), (2, 2));
    let epochs = world.store.list_key_epochs().wait().unwrap();
    let active: Vec<_> = epochs.iter().filter(|epoch| epoch.state == KeyEpochState::Active).map(|epoch| epoch.key_epoch).collect();
    assert_eq!(active, [3]);
    assert_eq!(epochs[0].certificates, 1);
    for found in world.store.list_certificates().wait().unwrap() {
        assert_eq!(found.key_epoch_retired_at, Some(NOW));
    }
    let dead = world.store.replace_certificate(certificate(SERVER, 1)).wait().unwrap();
    assert_eq!(dead, Err(RenewRefusal::DeadKeyEpoch { key_epoch: 1 }));
    world.store.replace_certificate(certificate(SERVER, 3)).wait().unwrap().unwrap();
    assert_eq!(world.store.nuke(None, stolen(), NOW).wait().unwrap().unwrap().certificates, 1);
}

/// A name for the assertion, what kills the certificate, and the time after it.
type Death = (&'static str, fn(&World), UnixMillis);

#[test]
fn a_withdrawn_game_server_gets_no_match() {
    let world = world_with_keys();
    let tickets = [world.enqueue(&[world.players[0]]), world.enqueue(&[world.players[1]])];
    world.store.revoke_certificate(SERVER, stolen(), NOW).wait().unwrap().unwrap();
    let order = world.order(&[&tickets[..1], &tickets[1..]]);
    let refused = world.store.open_matches(vec![order], NOW).wait().unwrap().pop().unwrap();
    assert_eq!(refused, Err(OpenRefusal::ServerWithdrawn { server: SERVER }));
    assert_eq!(world.store.waiting_count(world.queue).wait().unwrap(), 2);
}

#[test]
fn a_report_after_the_revocation_is_refused() {
    let deaths: [Death; 3] = [
        ("revoked", |world| assert!(world.second().revoke_certificate(SERVER, stolen(), NOW).wait().unwrap().is_ok()), NOW),
        ("retired", |world| assert!(world.second().nuke(None, stolen(), NOW).wait().unwrap().is_ok()), NOW),
        ("ran out", |_| (), UnixMillis(NOW.0 + 1000)),
    ];
    for (name, kill, now) in deaths {
        let world = world_with_keys();
        let [a, b] = world.players[..] else { unreachable!() };
        let first = world.live(a, b);
        let accepted = report(world.queue, first, 1, a, b);
        world.accept(accepted.clone());
        let second = world.live(a, b);
        kill(&world);
        let send = |facts| world.store.accept_report(AcceptedReport::from_journal(facts), AcceptOptions::default(), now).wait().unwrap();
        assert_eq!(send(report(world.queue, second, 2, a, b)), Err(ReportRefusal::CertificateDead), "{name}");
        assert!(world.store.find_active_match(a).wait().unwrap().is_some(), "{name}: nothing changed");
        // What was acknowledged before stays acknowledged, and history needs no certificate.
        assert!(send(accepted).unwrap().repeated, "{name}");
        assert!(!send(imported(world.queue, 3, a, b)).unwrap().repeated, "{name}");
    }
}

#[test]
fn a_match_is_not_admitted_after_the_revocation() {
    let world = world_with_keys();
    let [a, b] = world.players[..] else { unreachable!() };
    let pending = world.open(a, b);
    let match_id = pending.match_id;
    world.second().revoke_certificate(SERVER, stolen(), NOW).wait().unwrap().unwrap();
    let refused = world.store.admit_match(&pending.handle_ack(SERVER).unwrap(), NOW).wait().unwrap();
    assert_eq!(refused, Err(AdmitRefusal::CertificateDead { server: SERVER }));
    // Still pending: it can be given to another game server.
    world.store.move_match(match_id, OTHER_SERVER, 4).wait().unwrap().unwrap();
}
