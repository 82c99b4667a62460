//! What the operator made: configuration, keys, database, plugins, certificates.

use std::time::Duration;

use ladder::pool::MatchmakingPolicy as _;
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Entrant, RatingEngine as _, Setting};
use ladder::rules::{Claim, ServerRecord, StatRules as _};
use ladder::time::{UnixMillis, UnixSeconds};
use plugin_runtime::Runtime;
use store::{Store, StoreError, StoredCertificate, Verification};

use super::{Check, Verdict};
use crate::cli::cert::State;
use crate::cli::failure::{Failure, chain};
use crate::cli::{Context, channel_life, days, text, wait_for};
use crate::config::{Config, QueueConfig};
use crate::keys::{KeyPaths, Keyring};
use crate::plugins::{self, QueuePlugins};

/// A game server that was silent for so long is worth a look.
const SILENT_AFTER: Duration = Duration::from_secs(600);
/// A clock may be this far behind what the database has seen.
const CLOCK_BEHIND_MAX: Duration = Duration::from_secs(120);
/// 2025-01-01: a machine that believes to live earlier has no clock.
const EARLIEST: UnixMillis = UnixMillis(1_735_689_600_000);
/// A database larger than this is not read completely by a routine check.
const VERIFIED_BYTES_MAX: u64 = 256 << 20;

pub(super) fn configuration(config: &Config) -> Check {
    let names: Vec<_> = config.queues.iter().map(QueueConfig::name).collect();
    if names.is_empty() {
        return Check::warn(
            "configuration",
            "plugins.toml has no queue: nobody can play",
            "add a [queue.NAME]; `ranked init` writes an example",
        );
    }
    Check::ok("configuration", format!("ranked.toml and plugins.toml are usable; queues: {}", names.join(", ")))
}

/// Key files, the key-encryption key and the channel certificate.
pub(super) fn keys(config: &Config, now: UnixMillis, checks: &mut Vec<Check>) -> Option<Keyring> {
    let paths = KeyPaths::of(config);
    let keyring = match Keyring::load(paths.clone()) {
        Ok(keyring) => keyring,
        Err(error) => {
            checks.push(Check::fail("keys", chain(&error), error.fix()));
            return None;
        }
    };
    let folder = paths.folder.display();
    checks.push(if keyring.can_sign() {
        Check::ok("keys", format!("{folder}: all there, none readable by others, key epoch {}", keyring.key_epoch()))
    } else {
        Check::warn(
            "keys",
            format!("the signing key of key epoch {} is not here: the host runs, nothing can be issued or renewed", keyring.key_epoch()),
            format!("bring {} back before the channel certificate ends", paths.signing(keyring.key_epoch()).display()),
        )
    });
    let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|folder| std::path::Path::new(&folder).join("kek").exists());
    let source = if handed_over { "the service manager's credentials".to_owned() } else { paths.kek().display().to_string() };
    checks.push(Check::ok("kek", format!("key {} from {source}", keyring.kek().kek_id())));
    checks.push(channel(config, &keyring, now));
    checks.push(published(config, &keyring));
    Some(keyring)
}

fn channel(config: &Config, keyring: &Keyring, now: UnixMillis) -> Check {
    let certificate = &keyring.identity().channel_certificate;
    let left = certificate.not_after().since(now);
    let fix = "restart the host with the signing key in the keys folder: it renews the channel certificate";
    match certificate.verify(&keyring.trust(), now) {
        Err(error) if keyring.can_sign() => Check::warn("channel", chain(&error), fix),
        Err(error) => Check::fail("channel", chain(&error), fix),
        Ok(_key) if left < channel_life(config) / 4 => {
            Check::warn("channel", format!("the channel certificate ends in {}", text::span(left)), fix)
        }
        Ok(_key) => Check::ok("channel", format!("the channel certificate ends in {}", text::span(left))),
    }
}

fn published(config: &Config, keyring: &Keyring) -> Check {
    let mut community = keyring.community().clone();
    if community.set_addresses(&config.host.public) {
        return Check::warn(
            "community",
            "community.toml tells other addresses than [public] in ranked.toml",
            "`ranked serve` writes it again; then give it to every game server",
        );
    }
    Check::ok("community", format!("realm {}, {} and {}", community.realm_id, community.s2s, community.rdv))
}

/// The database and what is in it. A database that does not exist is not made.
pub(super) fn database(context: &Context<'_>, config: &Config, keyring: Option<Keyring>, checks: &mut Vec<Check>) {
    let now = context.clock.now();
    let path = config.database_path();
    let Ok(metadata) = path.metadata() else {
        checks.push(Check::ok("database", format!("{} does not exist yet: `ranked serve` makes it", path.display())));
        checks.push(clock(now, None));
        return;
    };
    checks.push(sound(&path, metadata.len()));
    let store = match context.open_store(config) {
        Ok(store) => store,
        Err(failure) => {
            checks.push(Check::failed("schema", &failure));
            return;
        }
    };
    checks.push(Check::ok("schema", format!("version {}", store::schema_version())));
    if let Some(keyring) = keyring {
        checks.push(settled(config, keyring, &store, now));
    }
    match contents(config, &store, now) {
        Ok(more) => checks.extend(more),
        Err(error) => checks.push(Check::failed("contents", &Failure::from(error))),
    }
}

fn sound(path: &std::path::Path, bytes: u64) -> Check {
    if bytes > VERIFIED_BYTES_MAX {
        return Check::ok(
            "database",
            format!("{}, {} MiB; too large for a routine check, `ranked db verify` reads it all", path.display(), bytes >> 20),
        );
    }
    match store::verify(path) {
        Ok(verification) if verification.is_sound() => {
            let Verification { players, matches, journal_entries, .. } = verification;
            Check::ok("database", format!("sound: {players} players, {matches} matches, {journal_entries} journal entries"))
        }
        Ok(verification) => {
            let problems: Vec<_> = verification.problems.iter().map(ToString::to_string).collect();
            Check::fail("database", problems.join("\n"), "stop the host, then `ranked db restore BACKUP`")
        }
        Err(error) => Check::failed("database", &error.into()),
    }
}

fn settled(config: &Config, mut keyring: Keyring, store: &Store, now: UnixMillis) -> Check {
    match wait_for(keyring.settle(store, channel_life(config), now)) {
        Ok(Ok(())) => Check::ok("key epochs", "keys and database agree"),
        Ok(Err(error)) => Check::failed("key epochs", &error.into()),
        Err(failure) => Check::failed("key epochs", &failure),
    }
}

fn contents(config: &Config, store: &Store, now: UnixMillis) -> Result<Vec<Check>, StoreError> {
    let statistics = store.statistics().wait()?;
    let certificates = store.list_certificates().wait()?;
    let latest = certificates.iter().filter_map(|certificate| certificate.last_seen.as_ref().map(|(at, _)| *at));
    let latest = latest.chain(statistics.journal_last_at).max();
    let waiting: Vec<_> = statistics
        .queues
        .iter()
        .filter(|queue| queue.reports_waiting > 0)
        .map(|queue| format!("{}: {}", queue.name, queue.reports_waiting))
        .collect();
    let ratings = if waiting.is_empty() {
        Check::ok("ratings", "no report waits to be rated")
    } else {
        Check::warn(
            "ratings",
            format!("reports wait to be rated: {}", waiting.join(", ")),
            "`ranked plugin list` shows whether the engine loads; the log says what failed",
        )
    };
    let held: u64 = statistics.queues.iter().map(|queue| queue.reports_held).sum();
    let held = if held == 0 {
        Check::ok("held reports", "none waits for a decision")
    } else {
        Check::warn("held reports", format!("{held} wait for a decision"), "ranked report list --held")
    };
    Ok(vec![clock(now, latest), ratings, held, ending(config, &certificates, now), silent(&certificates, now)])
}

fn clock(now: UnixMillis, latest: Option<UnixMillis>) -> Check {
    let fix = "set the clock (`timedatectl set-ntp true`): handshakes more than 120 s off are refused";
    if now < EARLIEST {
        return Check::fail("clock", format!("the machine believes it is {}", text::time(now)), fix);
    }
    match latest.filter(|latest| latest.since(now) > CLOCK_BEHIND_MAX) {
        Some(latest) => Check::fail("clock", format!("it is {}, and the database has seen {}", text::time(now), text::time(latest)), fix),
        None => Check::ok("clock", text::time(now)),
    }
}

fn ending(config: &Config, certificates: &[StoredCertificate], now: UnixMillis) -> Check {
    let warning = days(config.host.keys.certificate_warning_days);
    let in_force: Vec<_> = certificates.iter().filter(|certificate| State::of(certificate, now) == State::InForce).collect();
    let ending: Vec<_> = in_force
        .iter()
        .filter(|certificate| certificate.issued.not_after.since(now) < warning)
        .map(|certificate| {
            format!("{} in {}", text::printable(&certificate.issued.owner), text::span(certificate.issued.not_after.since(now)))
        })
        .collect();
    if ending.is_empty() {
        Check::ok("certificates", format!("{} in force, none ends soon", in_force.len()))
    } else {
        Check::warn("certificates", format!("{} end soon: {}", ending.len(), ending.join(", ")), "ranked cert renew ID")
    }
}

fn silent(certificates: &[StoredCertificate], now: UnixMillis) -> Check {
    let in_force = certificates.iter().filter(|certificate| State::of(certificate, now) == State::InForce);
    let silent: Vec<_> = in_force
        .filter_map(|certificate| certificate.last_seen.as_ref().map(|(at, _)| (certificate, now.since(*at))))
        .filter(|(_, silence)| *silence > SILENT_AFTER)
        .map(|(certificate, silence)| format!("{} for {}", text::printable(&certificate.issued.owner), text::span(silence)))
        .collect();
    if silent.is_empty() {
        Check::ok("game servers", "none is silent")
    } else {
        Check::warn(
            "game servers",
            format!("silent: {}", silent.join(", ")),
            "look at their logs; `ranked cert list` shows where they were last seen",
        )
    }
}

/// Every plugin loads and answers one call. Loading compiles, so it also proves that executable memory may be had.
pub(super) fn plugins(config: &Config, checks: &mut Vec<Check>) {
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            let fix = "raise the address space limit (`ulimit -v unlimited`); a container needs at least what `ulimit -v` shows here";
            checks.push(Check::fail("sandbox", chain(&error), fix));
            return;
        }
    };
    let mut loaded_any = false;
    let mut found = Vec::new();
    for queue in &config.queues {
        match plugins::load(&runtime, config, queue) {
            Ok(loaded) => {
                loaded_any = true;
                found.push(dry_calls(queue, &loaded));
            }
            Err(error) => found.push(Check::failed("plugins", &error.into())),
        }
    }
    checks.push(if loaded_any || config.queues.is_empty() {
        Check::ok("sandbox", "executable memory is allowed")
    } else {
        Check::warn(
            "sandbox",
            "no plugin could be loaded, so it is not known whether executable memory is allowed",
            "if the plugins themselves are fine: a service file must not set MemoryDenyWriteExecute",
        )
    });
    checks.extend(found);
}

fn dry_calls(queue: &QueueConfig, loaded: &QueuePlugins) -> Check {
    let faults: Vec<_> = [
        ("rating", loaded.rating.initial().and_then(|(rating, _)| loaded.rating.rate(&[], &dry_contest(&queue.shape, rating)).map(|_| ()))),
        ("rules", loaded.rules.review(&dry_claim(&queue.shape)).map(|_| ())),
        ("policy", loaded.policy.propose(&ladder::pool::Pool::default()).map(|_| ())),
    ]
    .into_iter()
    .filter_map(|(role, answer)| answer.err().map(|fault| format!("{role} {fault}")))
    .collect();
    if faults.is_empty() {
        let [rating, rules, policy] = [loaded.rating.description(), loaded.rules.description(), loaded.policy.description()];
        let detail = format!("queue {}: {}, {}, {} load and answer", queue.name(), rating.name, rules.name, policy.name);
        return Check::ok("plugins", text::printable(&detail));
    }
    let fix = "look at the log lines of the plugin; raise its budget in plugins.toml, or use another component";
    Check { verdict: Verdict::Fail, ..Check::fail("plugins", format!("queue {}: {}", queue.name(), faults.join("; ")), fix) }
}

/// One contest among strangers: the first team wins.
fn dry_contest(shape: &QueueShape, rating: ladder::rating::Rating) -> Contest {
    let entrants = (0..shape.teams).flat_map(|team| (0..shape.team_size(usize::from(team))).map(move |_| team));
    Contest {
        places: (0..shape.teams).collect(),
        scores: Vec::new(),
        setting: Setting { at_s: UnixSeconds(0), ..Setting::default() },
        totals: Vec::new(),
        trust: 1.0,
        entrants: entrants
            .map(|team| Entrant { rating: rating.clone(), team, contests: 0, idle_s: 0, presence: 1.0, stats: Vec::new() })
            .collect(),
    }
}

fn dry_claim(shape: &QueueShape) -> Claim {
    Claim { duration_s: 60, places: (0..shape.teams).collect(), scores: Vec::new(), lines: Vec::new(), server: ServerRecord::default() }
}
