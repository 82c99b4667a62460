//! HTTP over a real listener and a real database file.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use host::clock::Clock;
use host::config::{Limits, Login};
use host::http::{self, CommunityFacts, HttpParts, HttpState, Readiness, TicketEvents};
use host::metrics::Metrics;
use host::passwords::{PasswordCost, PasswordPool};
use ladder::clamp_note::ClampNote;
use ladder::fault::PluginFault;
use ladder::id::{Digest, PlayerId, QueueId, ReportId, ServerId};
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Entrant, Rating, RatingEngine, Setting, Stat, Update};
use ladder::reason::{Reason, code};
use ladder::report::{AcceptedPlayer, AcceptedReport, Disposition, Provenance, ReportFacts, Source};
use ladder::time::{UnixMillis, UnixSeconds};
use protocol::id::{KeyEpoch, RealmId};
use protocol::signature::PublicKey;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::{
    AcceptOptions, FamilyId, LoginTicketState, MatchOrder, Member, NewKeyEpoch, NewQueueTicket, Options, Store, StoredLoginTicket,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const NOW: UnixMillis = UnixMillis(1_750_000_000_000);
const CHEAP: PasswordCost = PasswordCost { memory_kib: 8, passes: 1, lanes: 1 };
const PASSWORD: &str = "correct horse battery";
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the running host's directory would hear.
#[derive(Default)]
struct Heard {
    issued: Mutex<Vec<StoredLoginTicket>>,
    revoked: Mutex<Vec<FamilyId>>,
}

impl TicketEvents for Heard {
    fn ticket_issued(&self, ticket: StoredLoginTicket) {
        self.issued.lock().unwrap().push(ticket);
    }

    fn families_revoked(&self, families: &[FamilyId]) {
        self.revoked.lock().unwrap().extend(families);
    }
}

struct World {
    store: Store,
    clock: Clock,
    readiness: Readiness,
    heard: Arc<Heard>,
    address: SocketAddr,
    client: reqwest::Client,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    folder: TempDir,
}

impl World {
    async fn new() -> Self {
        Self::with(Limits { login_per_minute: 10_000, ..Limits::default() }, PasswordPool::new(CHEAP, 2, 32).unwrap()).await
    }

    async fn with(limits: Limits, passwords: PasswordPool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("ranked.db"), Options::default()).unwrap();
        let (clock, readiness, heard) = (Clock::standing_at(NOW), Readiness::default(), Arc::new(Heard::default()));
        let state = HttpState::new(HttpParts {
            store: store.clone(),
            metrics: Arc::new(Metrics::new()),
            clock: clock.clone(),
            passwords,
            readiness: readiness.clone(),
            community: CommunityFacts {
                realm_id: RealmId([0xab; 16]),
                signing_keys: BTreeMap::from([(KeyEpoch(1), PublicKey([0x11; 32]))]),
                rdv: "play.example:7711".to_owned(),
            },
            queues: vec![shape()],
            seasons: host::seasons::Seasons::default(),
            login: Login::default(),
            limits: limits.clone(),
            tickets: Arc::clone(&heard) as Arc<dyn TicketEvents>,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let router = http::router(state);
        let serving = tokio::spawn(async move {
            http::serve(listener, router, &limits, async {
                stopped.await.ok();
            })
            .await;
        });
        Self { store, clock, readiness, heard, address, client: reqwest::Client::new(), stop, serving, folder }
    }

    fn request(&self, method: Method, path: &str, token: Option<&str>) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("http://{}{path}", self.address));
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(self.request(Method::GET, path, None).send().await.unwrap()).await
    }

    async fn post(&self, path: &str, token: Option<&str>, body: Value) -> (StatusCode, Value) {
        read(self.request(Method::POST, path, token).json(&body).send().await.unwrap()).await
    }

    async fn register(&self, name: &str) -> Value {
        let (status, answer) = self.post("/v1/players", None, json!({"name": name, "password": PASSWORD})).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        answer
    }

    async fn login(&self, name: &str, password: &str) -> (StatusCode, Value) {
        self.post("/v1/login", None, json!({"name": name, "password": password})).await
    }

    async fn is_logged_in(&self, login: &Value) -> bool {
        let answer = self.request(Method::GET, "/v1/me", Some(token(login))).send().await.unwrap();
        answer.status() == StatusCode::OK
    }

    async fn ticket(&self, login: &Value) -> Value {
        let (status, ticket) = self.post("/v1/login-ticket", Some(token(login)), json!({})).await;
        assert_eq!(status, StatusCode::CREATED, "{ticket}");
        ticket
    }

    /// A queue with a rating engine, and its number.
    async fn duel(&self) -> QueueId {
        let queue = self.store.ensure_queue("duel").await.unwrap();
        self.store.install_engine(queue, Arc::new(Steps), |_| (), NOW).await.unwrap().unwrap();
        queue
    }
}

async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = response.bytes().await.unwrap();
    (status, if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() })
}

fn token(login: &Value) -> &str {
    login["access_token"].as_str().unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn shape() -> QueueShape {
    QueueShape {
        queue: "duel".into(),
        teams: 2,
        team_sizes: vec![1],
        stats: vec!["kills".into()],
        regions: vec!["eu".into()],
        maps: vec!["yard".into()],
        ..QueueShape::default()
    }
}

/// The winner gains, the loser loses.
struct Steps;

impl RatingEngine for Steps {
    fn digest(&self) -> Digest {
        Digest([1; 32])
    }

    fn parameters(&self) -> &str {
        "{}"
    }

    fn initial(&self) -> Result<(Rating, f64), PluginFault> {
        Ok((Rating { mean: 25.0, uncertainty: 8.0, memory: vec![] }, 1.0))
    }

    fn rate(&self, _: &[u8], contest: &Contest) -> Result<Update, PluginFault> {
        let rated = |entrant: &Entrant| {
            let place = f64::from(contest.places[usize::from(entrant.team)]);
            Rating { mean: entrant.rating.mean + 0.5 - place, uncertainty: entrant.rating.uncertainty, memory: vec![] }
        };
        let ratings: Vec<_> = contest.entrants.iter().map(rated).collect();
        let visible = ratings.iter().map(|rating| rating.mean - 24.0).collect();
        Ok(Update { ratings, visible, memory: vec![] })
    }

    fn soften(&self, rating: &Rating, _: f64) -> Result<(Rating, f64), PluginFault> {
        Ok((rating.clone(), rating.mean))
    }

    /// An even match the first time, then 13 of 16 for whoever stands first.
    fn predict(&self, _: &[u8], line_up: &[Entrant], _: &Setting) -> Result<Vec<f64>, PluginFault> {
        Ok(vec![if line_up[0].contests == 0 { 0.5 } else { 0.8125 }])
    }
}

fn duel_report(queue: QueueId, number: u8, winner: PlayerId, loser: PlayerId) -> ReportFacts {
    let player = |player, team| AcceptedPlayer { player, team, presence: 1.0, stats: vec![Stat { index: 0, value: 7.0 }] };
    ReportFacts {
        report_id: ReportId([number; 16]),
        match_id: None,
        provenance: Provenance { queue, source: Source::Import, at: UnixSeconds(1_000 + i64::from(number)), trust: 1.0, rules: None },
        duration_s: 60,
        places: vec![0, 1],
        scores: vec![],
        sides: vec![],
        map: Some(0),
        mode: None,
        totals: vec![],
        players: vec![player(winner, 0), player(loser, 1)],
        disposition: Disposition::Ratable,
        clamped: 0,
        reasons: vec![],
    }
}

#[tokio::test]
async fn whoever_registers_is_logged_in_and_learns_whom_to_trust() {
    let world = World::new().await;
    let login = world.register("Ada").await;
    assert_eq!(login["name"], "Ada");
    assert_eq!(login["realm_id"], "ab".repeat(16));
    assert_eq!(login["signing_keys"], json!({"1": "11".repeat(32)}));
    assert_eq!(login["rdv"], "play.example:7711");
    let me = world.request(Method::GET, "/v1/me", Some(token(&login))).send().await.unwrap();
    let (status, me) = read(me).await;
    assert_eq!((status, &me["profile"]["player_id"]), (StatusCode::OK, &login["player_id"]));
    let (status, again) = world.login("ada", PASSWORD).await;
    assert_eq!((status, &again["player_id"]), (StatusCode::OK, &login["player_id"]), "case makes no other name");
}

/// Goal: a key epoch that another process retired or added is told at the next login, without a restart.
#[tokio::test]
async fn a_rotated_signing_key_is_told_at_the_next_login() {
    let world = World::new().await;
    world.register("ada").await;
    let key = |key_epoch: u32, byte: u8| NewKeyEpoch { key_epoch, public_key: [byte; 32] };
    world.store.add_key_epoch(key(1, 0x11), NOW).await.unwrap().unwrap();
    world.store.nuke(Some(key(2, 0x22)), Reason::new(code::OPERATOR, "lost"), NOW).await.unwrap().unwrap();
    let (_, login) = world.login("ada", PASSWORD).await;
    assert_eq!(login["signing_keys"], json!({"2": "22".repeat(32)}));
}

#[tokio::test]
async fn unfit_names_and_passwords_are_refused_with_their_code() {
    let world = World::new().await;
    world.register("Ada").await;
    for (name, password, status, code) in [
        ("ad", PASSWORD, 400, "bad-name"),
        ("a b c", PASSWORD, 400, "bad-name"),
        ("bob", "short", 400, "bad-password"),
        ("aDA", PASSWORD, 409, "name-taken"),
    ] {
        let (got, body) = world.post("/v1/players", None, json!({"name": name, "password": password})).await;
        assert_eq!((got.as_u16(), body["code"].as_str().unwrap()), (status, code), "{name}");
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_are_the_same_answer() {
    let world = World::new().await;
    world.register("ada").await;
    let wrong = world.login("ada", "wrong password").await;
    assert_eq!(wrong.0, StatusCode::UNAUTHORIZED);
    for (name, password) in
        [("nobody", "wrong password"), ("not a name", "wrong password"), ("ada", "short"), (&*"x".repeat(9000), PASSWORD)]
    {
        assert_eq!(world.login(name, password).await, wrong, "{name:.20}");
    }
}

/// Goal: nobody can tell by the time whether a name exists. Method: a pool without a place refuses exactly those who reach the hashing.
#[tokio::test]
async fn an_unknown_name_costs_a_hash_too_and_a_full_pool_says_when_to_come_again() {
    let world = World::with(Limits::default(), PasswordPool::new(CHEAP, 0, 0).unwrap()).await;
    let hash = PasswordPool::new(CHEAP, 1, 0).unwrap().hash(password(PASSWORD)).await.unwrap();
    world.store.register_player("ada", hash, NOW).await.unwrap().unwrap();
    for name in ["ada", "nobody"] {
        let body = json!({"name": name, "password": PASSWORD});
        let response = world.request(Method::POST, "/v1/login", None).json(&body).send().await.unwrap();
        assert_eq!(response.headers()["retry-after"], "2", "{name}");
        let (status, body) = read(response).await;
        assert_eq!((status, body["code"].as_str().unwrap()), (StatusCode::TOO_MANY_REQUESTS, "busy"), "{name}");
    }
}

fn password(text: &str) -> host::passwords::Password {
    host::passwords::Password::new(text.to_owned().into()).unwrap()
}

#[tokio::test]
async fn a_password_stored_at_a_lower_cost_is_stored_anew_at_login() {
    let dearer = PasswordCost { memory_kib: 16, ..CHEAP };
    let world = World::with(Limits::default(), PasswordPool::new(dearer, 1, 4).unwrap()).await;
    let cheap = PasswordPool::new(CHEAP, 1, 4).unwrap().hash(password(PASSWORD)).await.unwrap();
    world.store.register_player("ada", cheap, NOW).await.unwrap().unwrap();
    assert_eq!(world.login("ada", PASSWORD).await.0, StatusCode::OK);
    let stored = world.store.find_account("ada").await.unwrap().unwrap().password_hash.unwrap();
    assert!(stored.contains("m=16,"), "{stored}");
    assert_eq!(world.login("ada", PASSWORD).await.0, StatusCode::OK);
}

#[tokio::test]
async fn logging_out_kills_the_access_token_and_its_login_tickets() {
    let world = World::new().await;
    let login = world.register("ada").await;
    let (_, other) = world.login("ada", PASSWORD).await;
    world.ticket(&login).await;
    let issued = world.heard.issued.lock().unwrap().clone();
    let (status, _) = world.post("/v1/logout", Some(token(&login)), json!({})).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(*world.heard.revoked.lock().unwrap(), [issued[0].family]);
    assert!(world.store.find_login_ticket(issued[0].ticket_id).await.unwrap().unwrap().family_revoked);
    assert!(!world.is_logged_in(&login).await);
    assert!(world.is_logged_in(&other).await, "another login is another login");
}

#[tokio::test]
async fn a_new_password_ends_every_other_login() {
    let world = World::new().await;
    let (login, new_password) = (world.register("ada").await, "another password");
    let (_, other) = world.login("ada", PASSWORD).await;
    world.ticket(&other).await;
    let change = |current: &str| json!({"current_password": current, "new_password": new_password});
    let (status, body) = world.post("/v1/password", Some(token(&login)), change("not this one")).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::UNAUTHORIZED, Some("wrong-credentials")));
    assert!(world.is_logged_in(&other).await);
    assert_eq!(world.post("/v1/password", Some(token(&login)), change(PASSWORD)).await.0, StatusCode::NO_CONTENT);
    assert!(world.is_logged_in(&login).await, "the one who changed it stays");
    assert!(!world.is_logged_in(&other).await);
    assert_eq!(world.heard.revoked.lock().unwrap().len(), 1);
    assert_eq!(world.login("ada", PASSWORD).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(world.login("ada", new_password).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_login_ticket_is_stored_as_its_hash_and_announced_at_once() {
    let world = World::new().await;
    let login = world.register("ada").await;
    let answer = world.ticket(&login).await;
    let ticket = unhex(answer["login_ticket"].as_str().unwrap());
    assert_eq!(ticket.len(), 48);
    let stored = world.store.find_login_ticket(ticket[..16].try_into().unwrap()).await.unwrap().unwrap();
    assert_eq!(stored.hash, <[u8; 32]>::from(Sha256::digest(&ticket)));
    assert_eq!(stored.state, LoginTicketState::Live);
    assert_eq!(answer["expires_at_ms"], NOW.0 + 600_000);
    assert_eq!(*world.heard.issued.lock().unwrap(), [stored]);
    assert_eq!(answer["rdv"], "play.example:7711");
    assert_eq!(answer["signing_keys"], login["signing_keys"]);
}

#[tokio::test]
async fn a_login_ends_by_itself() {
    let world = World::new().await;
    let login = world.register("ada").await;
    world.clock.set(UnixMillis(login["expires_at_ms"].as_u64().unwrap()));
    assert!(!world.is_logged_in(&login).await);
    for wrong in ["", "00", &"0".repeat(64), &"zz".repeat(32)] {
        let response = world.request(Method::POST, "/v1/login-ticket", Some(wrong)).send().await.unwrap();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{wrong}");
    }
}

/// Goal: what was handed out in clear is nowhere on the disk. Method: search every byte of every file of the database.
#[tokio::test]
async fn the_database_holds_no_password_token_or_ticket() {
    let world = World::new().await;
    let login = world.register("ada").await;
    let ticket = world.ticket(&login).await;
    let texts = [PASSWORD, token(&login), ticket["login_ticket"].as_str().unwrap()];
    let mut needles: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    needles.push(unhex(texts[1]));
    // The ticket's first 16 bytes are its public id, which is stored.
    needles.push(unhex(&texts[2][32..]));
    let files = std::fs::read_dir(world.folder.path()).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    let bytes = files.collect::<Vec<_>>().concat();
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(holds(&unhex(&texts[2][..32])) && holds(b"$argon2id$"), "the search finds what is stored");
    for (number, needle) in needles.iter().enumerate() {
        assert!(!holds(needle), "needle {number} is stored in clear");
    }
}

#[tokio::test]
async fn sixty_attempts_a_minute_and_address_then_429() {
    let world = World::with(Limits::default(), PasswordPool::new(CHEAP, 1, 4).unwrap()).await;
    for attempt in 0..60 {
        // Charged before the body is read: nonsense counts too.
        let path = ["/v1/login", "/v1/players"][attempt % 2];
        assert_eq!(world.post(path, None, json!({})).await.0, StatusCode::BAD_REQUEST, "{attempt}");
    }
    let response = world.request(Method::POST, "/v1/login", None).json(&json!({})).send().await.unwrap();
    assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    let (status, body) = read(response).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::TOO_MANY_REQUESTS, Some("too-many-attempts")));
    assert_eq!(world.get("/v1/queues").await.0, StatusCode::OK, "reading is another matter");
}

#[tokio::test]
async fn a_guesser_waits_longer_and_longer_and_only_for_that_account() {
    let world = World::new().await;
    world.register("bob").await;
    for _ in 0..4 {
        assert_eq!(world.login("ada", "wrong password").await.0, StatusCode::UNAUTHORIZED);
    }
    let (status, body) = world.login("ADA", "wrong password").await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::TOO_MANY_REQUESTS, Some("too-many-attempts")));
    assert_eq!(body["retry_after_s"], 1);
    assert_eq!(world.login("bob", PASSWORD).await.0, StatusCode::OK);
}

#[tokio::test]
async fn leaderboards_and_histories_come_in_pages() {
    let world = World::new().await;
    let queue = world.duel().await;
    let names = ["ada", "bob", "cem"].map(String::from).to_vec();
    let players = world.store.ensure_players(names, NOW).await.unwrap();
    for (number, (winner, loser)) in [(0, 1), (0, 2), (1, 2), (0, 1)].into_iter().enumerate() {
        let facts = duel_report(queue, u8::try_from(number).unwrap(), players[winner], players[loser]);
        world.store.accept_report(AcceptedReport::from_journal(facts), AcceptOptions::default(), NOW).await.unwrap().unwrap();
    }
    let (_, first) = world.get("/v1/queues/duel/leaderboard?limit=2").await;
    assert_eq!((first["total"].as_u64(), first["rows"].as_array().unwrap().len()), (Some(3), 2));
    assert_eq!((&first["rows"][0]["name"], &first["rows"][0]["wins"], &first["rows"][0]["rank"]), (&json!("ada"), &json!(3), &json!(1)));
    let (_, second) = world.get("/v1/queues/duel/leaderboard?offset=2&limit=2").await;
    assert_eq!((&second["rows"][0]["name"], &second["rows"][0]["rank"]), (&json!("cem"), &json!(3)));

    let ada = players[0].0;
    let (_, page) = world.get(&format!("/v1/players/{ada}/history?queue=duel&limit=2")).await;
    let (_, last) = world.get(&format!("/v1/players/{ada}/history?queue=duel&limit=2&before={}", page["next_before"])).await;
    assert_eq!((page["rows"].as_array().unwrap().len(), last["rows"].as_array().unwrap().len()), (2, 1));
    assert_eq!(last.get("next_before"), None);
    assert_eq!(page["rows"][1]["before"], last["rows"][0]["after"], "pages join without a gap");
    assert_eq!((&page["rows"][0]["expected"], &last["rows"][0]["expected"]), (&json!(0.8125), &json!(0.5)));
    let (_, profile) = world.get(&format!("/v1/players/{ada}")).await;
    assert_eq!((&profile["standings"][0]["queue"], &profile["standings"][0]["rank"]), (&json!("duel"), &json!(1)));

    for (path, status, code) in [
        ("/v1/queues/none/leaderboard", 404, "not-found"),
        ("/v1/queues/duel/leaderboard?limit=101", 400, "bad-query"),
        ("/v1/queues/duel/leaderboard?limit=0", 400, "bad-query"),
        ("/v1/queues/duel/leaderboard?limit=-1", 400, "bad-query"),
        ("/v1/queues/duel/leaderboard?offset=100001", 400, "bad-query"),
        ("/v1/queues/duel/leaderboard?page=2", 400, "bad-query"),
        ("/v1/players/99", 404, "not-found"),
        ("/v1/players/ada", 400, "bad-path"),
        ("/v1/players/18446744073709551615", 404, "not-found"),
        ("/v1/players/1/history", 400, "bad-query"),
        ("/v1/matches/18446744073709551615", 404, "not-found"),
    ] {
        let (got, body) = world.get(path).await;
        assert_eq!((got.as_u16(), body["code"].as_str().unwrap()), (status, code), "{path}");
    }
}

#[tokio::test]
async fn a_match_shows_what_was_clamped_and_why_the_ratings_moved() {
    let world = World::new().await;
    let (queue, server) = (world.duel().await, ServerId([7; 16]));
    let players = world.store.ensure_players(["ada", "bob"].map(String::from).to_vec(), NOW).await.unwrap();
    let mut tickets = Vec::new();
    for &player in &players {
        let members = vec![Member { player, latency_ms: vec![20] }];
        tickets.push(world.store.enqueue(NewQueueTicket { queue, members, regions: 1 }, NOW).await.unwrap().unwrap().id);
    }
    let teams = tickets.iter().map(|&ticket| vec![ticket]).collect();
    let order = MatchOrder { queue, teams, region: 0, server, server_capacity: 4, quality: 0.75, policy_digest: Digest([5; 32]) };
    let pending = world.store.open_matches(vec![order], NOW).await.unwrap().pop().unwrap().unwrap();
    let match_id = pending.match_id;
    let path = format!("/v1/matches/{match_id}");
    let details = world.get(&path).await.1;
    assert_eq!((&details["state"], &details["report"]), (&json!("pending"), &Value::Null));
    assert!(details["explanation"].as_str().unwrap().starts_with("The game server has not agreed"), "{details}");
    for number in 2..=21 {
        let facts = duel_report(queue, number, players[0], players[1]);
        world.store.accept_report(AcceptedReport::from_journal(facts), AcceptOptions::default(), NOW).await.unwrap().unwrap();
    }
    world.store.admit_match(&pending.handle_ack(server).unwrap(), NOW).await.unwrap().unwrap();
    let provenance = Provenance { queue, source: Source::Server(server), at: UnixSeconds(2_000), trust: 1.0, rules: None };
    let clamp = ClampNote { player: Some(0), stat: 0, claimed: 900.0, accepted: 100.0 };
    let fault = "the stat rules trapped: password of the operator; declared bounds were enforced";
    let reasons = vec![Reason::new(code::CLAMPED, clamp.to_string()), Reason::new(code::RULES_FAULT, fault)];
    // The favorite stands first, and loses.
    let facts = duel_report(queue, 1, players[0], players[1]);
    let facts = ReportFacts { match_id: Some(match_id), provenance, places: vec![1, 0], clamped: 1, reasons, ..facts };
    world.store.accept_report(AcceptedReport::from_journal(facts), AcceptOptions::default(), NOW).await.unwrap().unwrap();

    let (status, details) = world.get(&path).await;
    assert_eq!((status, &details["state"]), (StatusCode::OK, &json!("reported")));
    let report = &details["report"];
    assert_eq!((&report["clamped"], &report["disposition"], &report["rating"]), (&json!(1), &json!("ratable"), &json!("rated")));
    assert_eq!(
        report["reasons"],
        json!([
            {"code": "clamped", "detail": "kills of ada: 900 became 100"},
            {"code": "rules-fault", "detail": "the stat rules failed; the declared bounds alone were enforced"},
        ]),
        "what a plugin says of its own fault is for the operator"
    );
    let prediction = &report["prediction"];
    assert_eq!(prediction["pairs"], json!([{"first": 0, "second": 1, "probability": 0.8125}]));
    let surprise = -(1.0_f64 - 0.8125).ln();
    assert!((prediction["surprise"].as_f64().unwrap() - surprise).abs() < 1e-12, "{prediction}");
    assert_eq!((&prediction["surprise_larger_than"], &report["trust"]), (&json!(1.0), &json!(1.0)));
    assert_eq!((&report["shown"], &report["shown"]["parameters"]), (&report["rated_by"], &json!({})));
    assert_eq!(details["explanation"], "The result is rated.");
    assert_eq!(report["map"], "yard");
    let seat = &details["teams"][0]["players"][0];
    assert_eq!((&details["teams"][0]["place"], &seat["stats"]), (&json!(2), &json!([{"name": "kills", "value": 7.0}])));
    assert_eq!((&seat["rating"]["before"]["mean"], &seat["rating"]["after"]["mean"]), (&json!(35.0), &json!(34.5)));
    assert_eq!((&seat["rating"]["expected"], &seat["clamps"]), (&json!(0.8125), &json!(["kills of ada: 900 became 100"])));
    assert_eq!(
        seat["why"],
        "ada was expected to win 81 of 100 such matches, and lost. A surprise of 1.67, larger than in 100 % of the 20 matches before. \
         Rating 11.00 to 10.50 (-0.50)."
    );
    let other = &details["teams"][1]["players"][0];
    assert_eq!((&other["rating"]["expected"], &other["clamps"]), (&json!(0.1875), &json!([])));
    assert!(other["why"].as_str().unwrap().starts_with("bob was expected to win 19 of 100 such matches, and won."), "{other}");
    assert_eq!((&details["region"], &details["game_server"]), (&json!("eu"), &json!("07".repeat(16))));
}

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let world = World::new().await;
    assert_eq!(world.client.get(format!("http://{}/healthz", world.address)).send().await.unwrap().text().await.unwrap(), "ok\n");
    let (status, answer) = world.get("/readyz").await;
    let missing = json!({"ready": false, "database": true, "plugins": false, "s2s": false, "rdv": false});
    assert_eq!((status, answer), (StatusCode::SERVICE_UNAVAILABLE, missing));
    world.readiness.set_plugins(true);
    world.readiness.set_s2s(true);
    world.readiness.set_rdv(true);
    assert_eq!(world.get("/readyz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn metrics_count_by_route_and_never_by_path() {
    let world = World::new().await;
    world.register("ada").await;
    world.login("ada", "wrong password").await;
    world.get("/v1/players/1").await;
    world.get("/v1/players/2").await;
    world.get("/no/such/route").await;
    let response = world.request(Method::GET, "/metrics", None).send().await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = response.text().await.unwrap();
    for line in [
        "ranked_http_requests_total{route=\"/v1/players/{player_id}\",status=\"2xx\"} 1\n",
        "ranked_http_requests_total{route=\"/v1/players/{player_id}\",status=\"4xx\"} 1\n",
        "ranked_http_requests_total{route=\"unmatched\",status=\"4xx\"} 1\n",
        "ranked_logins_total{result=\"refused\"} 1\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}

#[tokio::test]
async fn the_openapi_document_lists_every_route() {
    let world = World::new().await;
    let (_, document) = world.get("/openapi.json").await;
    let mut listed = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            listed.insert(format!("{method} {path}"));
            assert!(operation["summary"].is_string(), "{path}");
            // Listed and served are the same thing.
            let asked = path.replace("{queue}", "duel").replace("{player_id}", "1").replace("{match_id}", "1").replace("{number}", "0");
            let response = world.request(method.to_uppercase().parse().unwrap(), &asked, None).send().await.unwrap();
            assert!(!response.text().await.unwrap().contains("no such route"), "{method} {path}");
        }
    }
    let expected = [
        "get /healthz",
        "get /metrics",
        "get /openapi.json",
        "get /readyz",
        "get /v1/matches/{match_id}",
        "get /v1/me",
        "get /v1/players/{player_id}",
        "get /v1/players/{player_id}/history",
        "get /v1/queues",
        "get /v1/queues/{queue}/leaderboard",
        "get /v1/queues/{queue}/seasons",
        "get /v1/queues/{queue}/seasons/{number}/leaderboard",
        "post /v1/login",
        "post /v1/login-ticket",
        "post /v1/logout",
        "post /v1/password",
        "post /v1/players",
    ];
    assert_eq!(listed, expected.map(String::from).into());
    let references = document.to_string();
    for reference in references.split("\"#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document["components"]["schemas"][reference].is_object(), "{reference} is not described");
    }
}

#[tokio::test]
async fn every_refusal_has_the_same_shape() {
    let world = World::new().await;
    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(70_000));
    let post = |path: &str, body: String| {
        let request = world.request(Method::POST, path, None).header("content-type", "application/json").body(body);
        async move { read(request.send().await.unwrap()).await }
    };
    for ((status, body), expected, code) in [
        (world.get("/nowhere").await, 404, "not-found"),
        (world.get("/v1/login").await, 405, "method-not-allowed"),
        (post("/v1/login", "{".into()).await, 400, "bad-body"),
        (post("/v1/login", "[1]".into()).await, 400, "bad-body"),
        (post("/v1/login", long).await, 413, "bad-body"),
        (world.post("/v1/login", None, json!({"name": "ada", "password": PASSWORD, "admin": true})).await, 400, "bad-body"),
    ] {
        assert_eq!((status.as_u16(), body["code"].as_str().unwrap()), (expected, code));
        assert!(body["message"].is_string());
        assert!(!body.to_string().contains(PASSWORD), "a refusal repeats no secret");
    }
}

#[tokio::test]
async fn headers_that_never_end_are_cut_off() {
    let limits = Limits { http_header_ms_max: 100, ..Limits::default() };
    let world = World::with(limits, PasswordPool::new(CHEAP, 1, 4).unwrap()).await;
    let mut slow = TcpStream::connect(world.address).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    let mut rest = Vec::new();
    // Returns when the host closes; without the timer it never would.
    slow.read_to_end(&mut rest).await.ok();
    assert!(!String::from_utf8_lossy(&rest).contains(" 200 "));
    assert_eq!(world.get("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE, "others are served");
}

/// A connection on which one request was answered, so that it has its place; `None` if the host hung up.
async fn connection_from(world: &World, source: [u8; 4]) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((source, 0))).unwrap();
    let mut stream = socket.connect(world.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.ok()?;
    let mut head = [0; 12];
    let answered = tokio::time::timeout(PATIENCE, stream.read_exact(&mut head)).await.expect("the host answers or hangs up");
    (answered.is_ok() && head == *b"HTTP/1.1 200").then_some(stream)
}

#[tokio::test]
async fn one_address_does_not_take_every_connection() {
    let limits = Limits { http_connections_per_source_max: 2, ..Limits::default() };
    let world = World::with(limits, PasswordPool::new(CHEAP, 1, 4).unwrap()).await;
    let first = connection_from(&world, [127, 0, 0, 1]).await.unwrap();
    let _second = connection_from(&world, [127, 0, 0, 1]).await.unwrap();
    assert!(connection_from(&world, [127, 0, 0, 1]).await.is_none(), "a third one");
    assert!(connection_from(&world, [127, 0, 0, 2]).await.is_some(), "another address is not concerned");
    drop(first);
    let again = async { while connection_from(&world, [127, 0, 0, 1]).await.is_none() {} };
    tokio::time::timeout(PATIENCE, again).await.expect("a place that was left is free again");
}

/// Goal: a client that never reads its answers loses its place. Method: there is one place, and its holder asks for more than the sockets hold.
#[tokio::test]
async fn a_client_that_never_reads_does_not_keep_its_place() {
    let limits = Limits { http_connections_max: 1, http_connection_ms_max: 200, http_request_ms_max: 2_000, ..Limits::default() };
    let world = World::with(limits, PasswordPool::new(CHEAP, 1, 4).unwrap()).await;
    let mut deaf = connection_from(&world, [127, 0, 0, 1]).await.unwrap();
    let requests = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(5_000);
    let asking = tokio::time::timeout(Duration::from_millis(100), deaf.write_all(&requests)).await;
    assert!(asking.is_err() || deaf.readable().await.is_ok());
    let served = tokio::time::timeout(PATIENCE, world.get("/readyz")).await.expect("the place becomes free");
    assert_eq!(served.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn an_address_reads_only_so_many_pages_a_minute() {
    let limits = Limits { http_reads_per_minute: 3, ..Limits::default() };
    let world = World::with(limits, PasswordPool::new(CHEAP, 1, 4).unwrap()).await;
    for path in ["/v1/queues", "/v1/players/1", "/v1/me"] {
        assert_ne!(world.get(path).await.0, StatusCode::TOO_MANY_REQUESTS, "{path}");
    }
    let response = world.request(Method::GET, "/v1/queues", None).send().await.unwrap();
    assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    let (status, body) = read(response).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::TOO_MANY_REQUESTS, Some("too-many-attempts")));
    assert_eq!(world.get("/openapi.json").await.0, StatusCode::OK, "not a page of the ladder");
    world.register("ada").await;
}

#[tokio::test]
async fn a_stopped_listener_ends_and_takes_nobody_new() {
    let world = World::new().await;
    world.register("ada").await;
    world.stop.send(()).unwrap();
    world.serving.await.unwrap();
    assert!(TcpStream::connect(world.address).await.is_err());
}
