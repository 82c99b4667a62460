//! `ranked cert`: certificates of game servers, from issue to revocation.

mod issue;
mod show;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ladder::reason::{Reason, code};
use ladder::time::UnixMillis;
use store::{Store, StoredCertificate};

use super::failure::Failure;
use super::text::parse_span;
use super::{Context, Exit, text};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Sign a certificate for a game server and write its file.
    #[command(after_help = "Example: ranked cert issue --owner eu-1.example --ttl 90d --node-pub eu1.pub --out eu1.cert")]
    Issue {
        /// The game server's name: 1 to 64 bytes. Whatever else it calls itself is overridden.
        #[arg(long)]
        owner: String,
        /// What it may do: heartbeat, host, report, log.
        #[arg(long, value_delimiter = ',', default_value = "heartbeat,host,report,log")]
        scope: Vec<ScopeName>,
        #[command(flatten)]
        terms: Terms,
    },
    /// Every certificate with its state.
    #[command(after_help = "Example: ranked cert list --json")]
    List {
        /// Only certificates that are in force.
        #[arg(long)]
        in_force: bool,
    },
    /// Show what a certificate says: a file (works without the host's database) or an id.
    #[command(after_help = "Example: ranked cert inspect eu1.cert")]
    Inspect {
        /// A certificate file, or at least 4 hexadecimal digits of an id.
        certificate: String,
    },
    /// Check certificates against keys and database, one line each. Exit code 1 if any is not ok.
    #[command(after_help = "Example: ranked cert check eu1.cert us2.cert")]
    Check {
        /// Certificate files or ids.
        #[arg(required = true)]
        certificates: Vec<String>,
    },
    /// Withdraw a certificate for good. A running host closes its session within a second.
    #[command(after_help = "Example: ranked cert revoke 7f0c --reason compromised")]
    Revoke {
        /// At least 4 hexadecimal digits of the id.
        id: String,
        /// Why; kept in the database.
        #[arg(long, default_value = "operator")]
        reason: String,
    },
    /// Sign a certificate again: same id, new secret, new dates, newest key epoch. The old file stops working.
    #[command(after_help = "Example: ranked cert renew 7f0c --ttl 90d --out eu1-new.cert")]
    Renew {
        /// At least 4 hexadecimal digits of the id.
        id: String,
        /// Keep the node key of the old certificate; the game server must still have its private half.
        #[arg(long, conflicts_with = "node_pub")]
        keep_node_key: bool,
        #[command(flatten)]
        terms: Terms,
    },
}

/// What `issue` and `renew` share.
#[derive(clap::Args)]
pub(super) struct Terms {
    /// Its life: 90d, 12h, 30m. Default: `certificate_days` of ranked.toml.
    #[arg(long, value_parser = parse_span)]
    ttl: Option<Duration>,
    /// File with the game server's own public node key (64 hexadecimal digits). Without it a node key is made and put into the file.
    #[arg(long)]
    node_pub: Option<PathBuf>,
    /// The file to write; by default OWNER.cert. Never overwritten.
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum ScopeName {
    /// May send heartbeats.
    Heartbeat,
    /// May host matches.
    Host,
    /// May report matches.
    Report,
    /// May send log entries.
    Log,
}

pub(super) fn run(context: &Context<'_>, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Issue { owner, scope, terms } => issue::issue(context, owner, &scope, &terms),
        Command::Renew { id, keep_node_key, terms } => issue::renew(context, &id, keep_node_key, &terms),
        Command::List { in_force } => show::list(context, in_force),
        Command::Inspect { certificate } => show::inspect(context, &certificate),
        Command::Check { certificates } => show::check(context, &certificates),
        Command::Revoke { id, reason } => revoke(context, &id, reason),
    }
}

/// Whether a stored certificate can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    InForce,
    NotYet,
    Expired,
    Revoked,
    KeyEpochRetired,
}

impl State {
    pub(super) fn of(certificate: &StoredCertificate, now: UnixMillis) -> Self {
        if certificate.revocation.is_some() {
            Self::Revoked
        } else if certificate.key_epoch_retired_at.is_some() {
            Self::KeyEpochRetired
        } else if now >= certificate.issued.not_after {
            Self::Expired
        } else if now < certificate.issued.not_before {
            Self::NotYet
        } else {
            Self::InForce
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::InForce => "ok",
            Self::NotYet => "not-yet-valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::KeyEpochRetired => "key-epoch-retired",
        }
    }
}

/// Digits that a prefix of an id needs at least: fewer name a certificate by accident.
const PREFIX_DIGITS_MIN: usize = 4;
/// Candidates that are listed for an ambiguous prefix.
const CANDIDATES_MAX: usize = 10;

/// The one certificate whose id begins so.
pub(super) fn find(store: &Store, prefix: &str) -> Result<StoredCertificate, Failure> {
    if prefix.len() < PREFIX_DIGITS_MIN || !prefix.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Failure::usage(
            format!("`{}` is no id", text::printable(prefix)),
            format!("give at least {PREFIX_DIGITS_MIN} hexadecimal digits; `ranked cert list` shows them"),
        ));
    }
    let mut found = store.find_certificates(prefix).wait()?;
    match (found.pop(), found.is_empty()) {
        (None, _) => Err(Failure::refused(format!("no certificate's id begins with {prefix}"), "`ranked cert list` shows all of them")),
        (Some(one), true) => Ok(one),
        (Some(last), false) => {
            found.push(last);
            let mut lines: String = found
                .iter()
                .take(CANDIDATES_MAX)
                .map(|one| format!("\n  {}  {}", one.issued.server, text::printable(&one.issued.owner)))
                .collect();
            if found.len() > CANDIDATES_MAX {
                lines.push_str(&format!("\n  and {} more", found.len() - CANDIDATES_MAX));
            }
            Err(Failure::refused(format!("{} ids begin with {prefix}:{lines}", found.len()), "give more digits"))
        }
    }
}

fn revoke(context: &Context<'_>, id: &str, reason: String) -> Result<Exit, Failure> {
    let opened = context.open()?;
    let certificate = find(&opened.store, id)?;
    let server = certificate.issued.server;
    let matches = opened.store.load_active_matches_of(server).wait()?.len();
    let started = Instant::now();
    let because = Reason::new(code::OPERATOR, reason.clone());
    let revoked = opened
        .store
        .revoke_certificate(server, because, context.clock.now())
        .wait()?
        .map_err(|unknown| Failure::refused(unknown.to_string(), ""))?;
    let latency_ms = started.elapsed().as_secs_f64() * 1e3;
    let before = revoked.already.as_ref().map(|earlier| text::time(earlier.at));
    let value = serde_json::json!({
        "server": server.to_string(),
        "owner": certificate.issued.owner,
        "reason": reason,
        "generation": revoked.generation.0,
        "already_revoked_at": before,
        "open_matches": matches,
        "committed_in_ms": latency_ms,
    });
    let seen = match &certificate.last_seen {
        Some((at, address)) => format!("last seen {} ago from {}", text::span(context.clock.now().since(*at)), text::printable(address)),
        None => "never seen".to_owned(),
    };
    let owner = text::printable(&certificate.issued.owner);
    let answer = match before {
        Some(before) => format!("revoked {server}  owner {owner}  already since {before}; nothing changed"),
        None => format!(
            "revoked {server}  owner {owner}  {seen}  generation {}  committed in {latency_ms:.1} ms\n\
             ends    its session if the host runs, within a second, and {matches} open matches without a result",
            revoked.generation.0
        ),
    };
    context.terminal.answer(&answer, &value)?;
    Ok(Exit::Done)
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;
    use ladder::id::ServerId;
    use store::{NewCertificate, NewKeyEpoch, Options};

    const NOW: UnixMillis = UnixMillis(1_750_000_000_000);

    fn certificate(server: [u8; 16], owner: &str) -> NewCertificate {
        NewCertificate {
            server: ServerId(server),
            owner: owner.to_owned(),
            scope: 15,
            key_epoch: 1,
            issued_at: NOW,
            not_before: NOW,
            not_after: UnixMillis(NOW.0 + 1_000),
            node_public_key: [0; 32],
            certificate: vec![1],
            secret_commitment: [0; 32],
            sealed_secret: vec![1],
            pepper_id: 1,
        }
    }

    fn store(folder: &std::path::Path) -> Store {
        let store = Store::open(folder.join("ranked.db"), Options::default()).expect("a new database");
        let key = NewKeyEpoch { key_epoch: 1, public_key: [1; 32] };
        store.add_key_epoch(key, NOW).wait().expect("the store works").expect("a new key");
        for (last, owner) in [(1, "eu-1"), (2, "eu-2")] {
            let mut server = [0xab; 16];
            server[15] = last;
            store.record_certificate(certificate(server, owner)).wait().expect("the store works").expect("a new certificate");
        }
        store
    }

    #[test]
    fn a_prefix_that_fits_two_certificates_lists_both() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        let shown = find(&store, "abab").expect_err("two fit").render();
        assert!(shown.contains("2 ids begin with abab") && shown.contains("eu-1") && shown.contains("eu-2"), "{shown}");
        let second = format!("{}02", "AB".repeat(15));
        assert_eq!(find(&store, &second).ok().map(|found| found.issued.owner), Some("eu-2".to_owned()));
        let longer = find(&store, &format!("{second}02")).expect_err("an id has 32 digits");
        assert!(longer.render().contains("no certificate"), "{}", longer.render());
    }

    #[test]
    fn the_state_follows_the_clock_at_its_edges() {
        let folder = tempfile::tempdir().expect("a folder");
        let found = find(&store(folder.path()), &format!("{}01", "ab".repeat(15))).ok().expect("it is there");
        for (at, expected) in
            [(NOW.0 - 1, State::NotYet), (NOW.0, State::InForce), (NOW.0 + 999, State::InForce), (NOW.0 + 1_000, State::Expired)]
        {
            assert_eq!(State::of(&found, UnixMillis(at)), expected, "{at}");
        }
    }
}
