//! What a host leaves behind on disk and in its logs.

use client::http::Account;
use protocol::envelope::{CertificateFile, PepperFile};
use protocol::handshake::client::Credential;
use protocol::message::v1;
use protocol::secret::AuthKey;
use tests::logs::Logs;
use tests::raw::RawPeer;
use tests::traces::{files, find};
use tests::world::{DUEL, OWNERS, PASSWORD, World, report};

/// Goal: whoever gets hold of the database or the logs gets hold of no credential. Method: a whole evening (register, log in, wrong passwords,
/// queue, play, report, reconnect, a thief, log out), with every log line of every level kept; then both are searched for every secret that
/// was in play, as bytes, hex, base64 and lists of numbers.
#[tokio::test(flavor = "multi_thread")]
async fn database_and_logs_hold_no_ticket_password_or_auth_key() {
    let logs = Logs::capture();
    let world = World::start().await;
    let mut server = world.game_server(OWNERS[0]).await;
    let mut duel = world.duel(&mut server).await;
    let mut join_tokens: Vec<Vec<u8>> = duel.assignments.iter().map(|assignment| assignment.join_token.clone()).collect();
    server.client.report(report(&duel.allow, 1)).await.unwrap();
    server.report_ack().await;
    for player in &mut duel.players {
        player.ended().await;
    }
    let [ada, bob] = duel.players;
    let ada_first = *ada.first_ticket.expose();
    let mut ada = ada.reconnect().await;
    ada.enqueue(DUEL).await;
    let extra = ada.account.login_ticket().await.unwrap();
    let rotating =
        RawPeer::connect(world.host().rdv_addr(), 2, &world.trust(), Credential::LoginTicket(&extra.ticket), world.clock()).await.unwrap();
    let next = *rotating.next_ticket.as_ref().unwrap().expose();
    let exporter = *rotating.session.exporter();
    drop(rotating);
    let thief =
        RawPeer::connect(world.host().rdv_addr(), 3, &world.trust(), Credential::LoginTicket(&ada.first_ticket), world.clock()).await;
    assert!(thief.is_err());
    assert!(Account::login(&world.http(), "bob", "not bob's password").await.is_err());
    let login = login_over_http(&world, "bob").await;
    bob.account.logout().await.unwrap();
    join_tokens.dedup();

    let folder = world.folder().to_owned();
    let certificate = CertificateFile::parse(&std::fs::read_to_string(world.certificate_path(OWNERS[0])).unwrap()).unwrap();
    let pepper = PepperFile::parse(&std::fs::read_to_string(folder.join("pepper.key")).unwrap()).unwrap().pepper;
    let auth_key = AuthKey::from_certificate_secret(&pepper, &certificate.secret);
    let keyring = world.open_keyring();
    let kek = std::fs::read_to_string(keyring.paths().kek()).unwrap();
    let mut secrets: Vec<(&str, Vec<u8>)> = vec![
        ("a password", PASSWORD.as_bytes().to_vec()),
        ("a wrong password", b"not bob's password".to_vec()),
        ("a login ticket", ada_first.to_vec()),
        ("the secret half of a login ticket", ada_first[16..].to_vec()),
        ("an unused login ticket's secret half", extra.ticket.expose()[16..].to_vec()),
        ("the next login ticket", next.to_vec()),
        ("the secret half of the next login ticket", next[16..].to_vec()),
        ("an access token", login),
        ("a certificate secret", certificate.secret.expose().to_vec()),
        ("a node key", certificate.node_key.as_ref().unwrap().expose().to_vec()),
        ("an auth key", auth_key.expose().to_vec()),
        ("the pepper", pepper.expose().to_vec()),
        ("the key-encryption key", unhex(kek.lines().find_map(|line| line.strip_prefix("key: ")).unwrap())),
        ("the channel key", keyring.identity().channel_key.expose().to_vec()),
        ("a session's exporter", exporter.to_vec()),
    ];
    secrets.extend(join_tokens.into_iter().map(|token| ("a join token", token)));

    let database = world.host().store().path().parent().unwrap().to_owned();
    let mut places = files(&database);
    assert!(places.iter().any(|(name, _)| name.ends_with("-wal")), "searched with the write-ahead log: {places:?}");
    let stored: Vec<u8> = places.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
    places.push(("the logs".to_owned(), logs.bytes()));
    places.push(("community.toml".to_owned(), std::fs::read(folder.join("community.toml")).unwrap()));
    for (place, bytes) in &places {
        for (what, secret) in &secrets {
            assert_eq!(find(bytes, secret), None, "{what} in {place}");
        }
    }
    // That the search finds what is there: the hash that the database is meant to hold, and the lines that the evening was meant to log.
    assert_eq!(find(&stored, AuthKey::from_login_ticket(&extra.ticket).expose()), Some("raw"));
    assert_eq!(find(&logs.bytes(), AuthKey::from_login_ticket(&extra.ticket).expose()), None, "the auth key of a player, in the logs");
    let lines = String::from_utf8_lossy(&logs.bytes()).into_owned();
    for line in ["session-opened", OWNERS[0], "login-ticket-reused"] {
        assert!(lines.contains(line), "{line} was not logged");
    }
}

/// Goal: a game server cannot forge the operator's log. Method: entries with line breaks, terminal escapes and great length; each stands
/// escaped on the one line of the host that names its sender.
#[tokio::test(flavor = "multi_thread")]
async fn log_entries_of_a_game_server_are_escaped_and_bounded() {
    let logs = Logs::capture();
    let world = World::start().await;
    let mut server = world.game_server(OWNERS[0]).await;
    let entry = |message: String| v1::LogEntry { level: v1::LogLevel::Warn.into(), at_ms: 0, message };
    let forged = "mischief-4711\n2026-01-01T00:00:00Z INFO audit: all is well\x1b[2J\u{202e}";
    let long = format!("verbose-4711 {}", "x".repeat(50_000));
    server.client.log(vec![entry(forged.to_owned()), entry(long)]).await.unwrap();
    server.still_there().await;
    let bytes = logs.bytes();
    let text = String::from_utf8_lossy(&bytes);
    let line_of = |mark: &str| text.lines().find(|line| line.contains(mark)).unwrap_or_else(|| panic!("{mark} was not logged"));
    let line = line_of("mischief-4711");
    assert!(line.contains("all is well"), "still one line: {line}");
    assert!(!line.contains(['\x1b', '\u{202e}']), "{line:?}");
    assert!(line_of("verbose-4711").len() < 4_096);
}

/// Logs in without the reference client, which does not show its access token; returns the token's bytes.
async fn login_over_http(world: &World, name: &str) -> Vec<u8> {
    let body = serde_json::json!({ "name": name, "password": PASSWORD });
    let url = format!("{}/v1/login", world.http());
    let answer: serde_json::Value = reqwest::Client::new().post(url).json(&body).send().await.unwrap().json().await.unwrap();
    unhex(answer["access_token"].as_str().unwrap())
}

fn unhex(digits: &str) -> Vec<u8> {
    digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
