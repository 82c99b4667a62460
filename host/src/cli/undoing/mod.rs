//! What taking reports back has in common, whoever chose them: the look before, the decision, the ratings afterwards.

mod building;
mod preview;

use ladder::id::JournalSeq;
use store::{Decision, TaintedReports};

pub(super) use building::{build, settled, to_json};
pub(super) use preview::{Shown, preview};

use super::failure::Failure;
use super::plugin::operator;

/// Who decides, and why: options of every command that writes a decision.
#[derive(clap::Args)]
pub(super) struct Why {
    /// Why, in one line; kept for ever. Players who ask about their match read it.
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: String,
    /// Who decides; by default the user of this shell.
    #[arg(long, value_name = "NAME")]
    pub(super) by: Option<String>,
}

impl Why {
    /// As it goes on record.
    pub(super) fn decision(&self) -> Result<Decision, Failure> {
        decision(&self.reason, self.by.as_deref())
    }
}

pub(super) fn decision(reason: &str, by: Option<&str>) -> Result<Decision, Failure> {
    let by = by.map_or_else(operator, str::to_owned);
    Decision::new(&by, reason).map_err(|problem| Failure::usage(problem.to_string(), "say in one line why, with --reason"))
}

/// Reports of all queues together.
pub(super) fn flatten(tainted: &TaintedReports) -> Vec<JournalSeq> {
    tainted.iter().flat_map(|(_, reports)| reports.iter().copied()).collect()
}
