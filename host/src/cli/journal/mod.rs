//! `ranked journal`: match history from elsewhere, through the same pipeline as live reports; and reports that no engine rates.

mod import;
mod new_queue;
mod waiting;

use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ladder::id::JournalSeq;

use super::failure::Failure;
use super::{Context, Exit};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Import match history (NDJSON, also gzipped) into a queue, and score the rating engine's own predictions.
    ///
    /// Every contest goes the way of a live report: stat rules, bounds, journal, rating. Before each one the engine predicts it; the
    /// predictions of the second half of the file are scored. Importing a file again changes nothing. A line that cannot be used is named
    /// and left out, and the exit code is 1; after 1,000 such lines the import stops.
    #[command(after_help = "Example: ranked journal import halo2_h2h.ndjson.gz --create")]
    Import {
        /// The file: .ndjson or .ndjson.gz.
        file: PathBuf,
        /// The queue of plugins.toml; by default named as the file.
        #[arg(long)]
        queue: Option<String>,
        /// If plugins.toml has no such queue, add one that fits the file, with the built-in plugins.
        #[arg(long)]
        create: bool,
    },
    /// Show per queue how many reports the journal holds, how many of them wait to be rated, and the first of those.
    ///
    /// Reports wait behind one at which the rating engine faults. Exit code 1 if any wait.
    #[command(after_help = "Example: ranked journal status")]
    Status,
    /// Give up rating one waiting report, so that those behind it are rated.
    ///
    /// The report stays in the journal, with a new entry that says it was skipped and why. A running host rates what waited behind it by
    /// itself. There is no way back.
    #[command(after_help = "Example: ranked journal skip 4711 --reason \"scores beyond all measure\"")]
    Skip {
        /// The journal entry of the report: `ranked journal status` shows the first one that waits.
        seq: u64,
        /// For the journal: why.
        #[arg(long)]
        reason: String,
    },
}

pub(super) fn run(context: &Context<'_>, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Import { file, queue, create } => import::run(context, &file, queue, create),
        Command::Status => waiting::status(context),
        Command::Skip { seq, reason } => waiting::skip(context, JournalSeq(seq), &reason),
    }
}

/// A bar on standard error, if somebody may be looking at it.
pub(in crate::cli) fn progress_bar(context: &Context<'_>, len: u64, what: &'static str) -> ProgressBar {
    // indicatif itself hides a bar whose target is no terminal.
    let target = if context.terminal.is_json() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(len), target);
    match ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}  {per_sec}  {eta} left") {
        Ok(style) => bar.with_style(style).with_message(what),
        Err(_unusable_template) => bar,
    }
}
