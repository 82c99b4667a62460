//! `ranked report`: what game servers reported, and what operators decide about it.

mod deciding;
mod listing;

use ladder::id::{JournalSeq, MatchId, ServerId};
use store::Store;

pub(super) use listing::{Chosen, find_queue};

use super::failure::Failure;
use super::undoing::Why;
use super::{Context, Exit, cert, text};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Accepted reports, the newest first.
    #[command(after_help = "Example: ranked report list --held")]
    List(listing::ListArguments),
    /// One report in full: what was accepted, why, what became of it, and every decision about it.
    #[command(after_help = "Example: ranked report show 4711\n         ranked report show match:815")]
    Show {
        /// Its journal entry, or `match:` and the number of the match.
        report: String,
    },
    /// Take reports back: they count for nothing, as if they had never been. `restore` undoes it.
    ///
    /// The ratings without them are built while the host serves, and put in force at once. A held report that is voided is never rated.
    #[command(after_help = "Example: ranked report void 4711 4712 --dry-run\n         ranked report void 4711 4712 --reason \"aim bot\"")]
    Void {
        /// Journal entries, or `match:` and the number of a match.
        #[arg(required = true)]
        reports: Vec<String>,
        /// Show what it would do, and do nothing.
        #[arg(long)]
        dry_run: bool,
        /// Why, in one line; kept for ever. Players who ask about their match read it.
        #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
        reason: Option<String>,
        /// Who decides; by default the user of this shell.
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
        /// Leave the building of the ratings to the host.
        #[arg(long)]
        no_wait: bool,
    },
    /// Let held reports be rated. Each has its turn now, after everything that was rated before.
    #[command(after_help = "Example: ranked report release 4711 --reason \"watched the demo, it is fair\"")]
    Release {
        /// Journal entries, or `match:` and the number of a match.
        #[arg(required = true)]
        reports: Vec<String>,
        #[command(flatten)]
        why: Why,
    },
    /// Let voided reports count again, where they stood.
    #[command(after_help = "Example: ranked report restore 4711 --reason \"the wrong match\"")]
    Restore {
        /// Journal entries, or `match:` and the number of a match.
        #[arg(required = true)]
        reports: Vec<String>,
        #[command(flatten)]
        why: Why,
        /// Leave the building of the ratings to the host.
        #[arg(long)]
        no_wait: bool,
    },
}

pub(super) fn run(context: &Context<'_>, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::List(arguments) => listing::list(context, &arguments),
        Command::Show { report } => listing::show(context, &report),
        Command::Void { reports, dry_run: true, .. } => deciding::preview_void(context, &reports),
        Command::Void { reports, dry_run: false, reason, by, no_wait } => {
            deciding::void(context, &reports, &Why { reason: reason.unwrap_or_default(), by }, !no_wait)
        }
        Command::Release { reports, why } => deciding::release(context, &reports, &why),
        Command::Restore { reports, why, no_wait } => deciding::restore(context, &reports, &why, !no_wait),
    }
}

/// The journal entry that somebody means.
fn find(store: &Store, named: &str) -> Result<JournalSeq, Failure> {
    let wrong =
        || Failure::usage(format!("`{}` names no report", text::printable(named)), "write a journal entry (4711) or a match (match:815)");
    let Some(match_id) = named.strip_prefix("match:") else { return named.parse().map(JournalSeq).map_err(|_not_a_number| wrong()) };
    let match_id = match_id.parse().map(MatchId).map_err(|_not_a_number| wrong())?;
    store
        .report_of_match(match_id)
        .wait()?
        .ok_or_else(|| Failure::refused(format!("match {match_id} was not reported"), "`ranked report list` shows what was"))
}

fn find_all(store: &Store, named: &[String]) -> Result<Vec<JournalSeq>, Failure> {
    named.iter().map(|named| find(store, named)).collect()
}

/// A game server by its whole id, with or without dashes, whether or not its certificate is still known; or by the first digits of one that is.
pub(super) fn find_server(store: &Store, named: &str) -> Result<ServerId, Failure> {
    match ServerId::from_hex(&named.replace('-', "").to_ascii_lowercase()) {
        Some(server) => Ok(server),
        None => Ok(cert::find(store, named)?.issued.server),
    }
}
