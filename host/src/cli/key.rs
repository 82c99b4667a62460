//! `ranked key`: the signing keys, and the one command that kills every certificate at once.

use std::time::Instant;

use ladder::reason::{Reason, code};
use ladder::time::UnixMillis;
use store::{KeyEpochState, NewKeyEpoch, StoredCertificate};

use super::cert::State;
use super::failure::Failure;
use super::terminal::table;
use super::{Context, Exit, Opened, channel_life, text};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Signing keys by key epoch, and how many certificates depend on each.
    #[command(after_help = "Example: ranked key status --json")]
    Status,
    /// Kill every certificate in the system at once and start a new key epoch. Asks for the number of certificates that die.
    #[command(after_help = "Example: ranked key nuke --reason 'backup stolen' --yes=14")]
    Nuke {
        /// Why; kept in the database.
        #[arg(long, default_value = "operator")]
        reason: String,
        /// The number of certificates that die, instead of being asked for it.
        #[arg(long, value_name = "N")]
        yes: Option<u64>,
    },
}

pub(super) fn run(context: &Context<'_>, command: Command) -> Result<Exit, Failure> {
    let opened = context.open()?;
    match command {
        Command::Status => status(context, &opened),
        Command::Nuke { reason, yes } => nuke(context, opened, reason, yes),
    }
}

fn status(context: &Context<'_>, opened: &Opened) -> Result<Exit, Failure> {
    let now = context.clock.now();
    let epochs = opened.store.list_key_epochs().wait()?;
    let certificates = opened.store.list_certificates().wait()?;
    let rows: Vec<_> = epochs
        .iter()
        .map(|epoch| {
            let theirs = || certificates.iter().filter(|certificate| certificate.issued.key_epoch == epoch.key_epoch);
            let in_force = theirs().filter(|certificate| State::of(certificate, now) == State::InForce).count();
            let last_seen = theirs().filter_map(|certificate| certificate.last_seen.as_ref().map(|(at, _)| *at)).max();
            (epoch, in_force, last_seen)
        })
        .collect();
    let value = serde_json::json!({
        "realm_id": opened.keyring.realm_id().to_string(),
        "channel_certificate_ends": text::time(opened.keyring.channel_not_after()),
        "can_issue": opened.keyring.can_sign(),
        "key_epochs": rows.iter().map(|(epoch, in_force, last_seen)| {
            let (state, retired_at, because) = match &epoch.state {
                KeyEpochState::Active => ("active", None, None),
                KeyEpochState::Retired { at, because } => ("retired", Some(text::time(*at)), Some(because)),
            };
            serde_json::json!({
                "key_epoch": epoch.key_epoch,
                "public_key": hex(&epoch.public_key),
                "state": state,
                "created_at": text::time(epoch.created_at),
                "retired_at": retired_at,
                "retired_because": because,
                "certificates_in_force": in_force,
                "last_seen": last_seen.map(text::time),
            })
        }).collect::<Vec<_>>(),
    });
    let lines = rows.iter().map(|(epoch, in_force, last_seen)| {
        let state = match &epoch.state {
            KeyEpochState::Active => "active".to_owned(),
            KeyEpochState::Retired { at, because } => format!("retired {} ({})", text::time(*at), text::printable(because)),
        };
        let seen = last_seen.map_or_else(|| "never".to_owned(), |at| format!("{} ago", text::span(now.since(at))));
        [epoch.key_epoch.to_string(), text::short(&hex(&epoch.public_key)), state, in_force.to_string(), seen]
    });
    let keys = table(["EPOCH", "PUBLIC KEY", "STATE", "CERTIFICATES", "LAST SEEN"], lines);
    let channel = format!("channel certificate: {} left", text::span(opened.keyring.channel_not_after().since(now)));
    let here = if opened.keyring.can_sign() { "" } else { "\nthe signing key is not on this machine: nothing can be issued here" };
    context.terminal.answer(&format!("{keys}\n\n{channel}{here}"), &value)?;
    Ok(Exit::Done)
}

fn nuke(context: &Context<'_>, opened: Opened, reason: String, yes: Option<u64>) -> Result<Exit, Failure> {
    let Opened { config, mut keyring, store } = opened;
    let now = context.clock.now();
    let certificates = store.list_certificates().wait()?;
    let dying: Vec<&StoredCertificate> = certificates.iter().filter(|certificate| is_alive(certificate, now)).collect();
    let matches = store.load_active_matches().wait()?.len();
    let count = u64::try_from(dying.len()).unwrap_or(u64::MAX);
    let warning = format!("this kills {count} certificates at once, with their sessions; {matches} open matches end without a result");
    let typed = match yes {
        Some(number) => number,
        None if context.terminal.is_interactive() => {
            context.terminal.note(&warning)?;
            let answer = context.terminal.ask("type the number of certificates to go on: ")?;
            answer.parse().ok().ok_or_else(|| Failure::refused("that is not the number; nothing was changed", ""))?
        }
        None => return Err(Failure::usage(warning, format!("give --yes={count} to go on"))),
    };
    if typed != count {
        return Err(Failure::refused(
            format!("{count} certificates are in force, not {typed}; nothing was changed"),
            format!("give --yes={count} to go on"),
        ));
    }
    let started = Instant::now();
    let successor = keyring.prepare_successor()?;
    let known = NewKeyEpoch { key_epoch: successor.key_epoch().0, public_key: successor.public_key().0 };
    let because = Reason::new(code::OPERATOR, reason);
    // The database first: from its commit on nothing old is accepted. If this process dies before the files follow, the next command or
    // the next start takes the successor over.
    let nuked = store
        .nuke(Some(known), because, now)
        .wait()?
        .map_err(|refusal| Failure::environment(format!("{refusal}: another command was faster; run it again")))?;
    let committed_in = started.elapsed();
    keyring.adopt(successor, channel_life(&config), now)?;
    // Saying it again raises the generation once more: the running host now finds the new files.
    store.add_key_epoch(known, now).wait()?.map_err(Failure::environment)?;
    let value = serde_json::json!({
        "certificates": nuked.certificates,
        "key_epochs": nuked.key_epochs,
        "matches": matches,
        "generation": nuked.generation.0,
        "new_key_epoch": known.key_epoch,
        "committed_in_ms": committed_in.as_secs_f64() * 1e3,
    });
    let answer = format!(
        "killed  {} certificates of {} key epochs  generation {}  committed in {:.1} ms; a running host closes their sessions within a second\n\
         begun   key epoch {}; community.toml was written anew\n\
         next    give community.toml to every game server, and issue certificates again: ranked cert renew ID",
        nuked.certificates,
        nuked.key_epochs,
        nuked.generation.0,
        committed_in.as_secs_f64() * 1e3,
        known.key_epoch,
    );
    context.terminal.answer(&answer, &value)?;
    Ok(Exit::Done)
}

/// Exactly what `Store::nuke` counts: what could be used now or later.
fn is_alive(certificate: &StoredCertificate, now: UnixMillis) -> bool {
    certificate.revocation.is_none() && certificate.key_epoch_retired_at.is_none() && certificate.issued.not_after > now
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
