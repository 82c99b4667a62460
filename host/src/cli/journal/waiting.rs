//! `journal status` and `journal skip`: reports behind which a queue's ratings stand still.

use ladder::id::JournalSeq;
use serde_json::json;
use store::{QueueStatistics, SkipRefusal};

use crate::cli::failure::Failure;
use crate::cli::terminal::table;
use crate::cli::{Context, Exit};

/// Longest reason, in bytes: it is kept for ever.
const REASON_LEN_MAX: usize = 256;

pub(super) fn status(context: &Context<'_>) -> Result<Exit, Failure> {
    let store = context.open_store(&context.load_config()?)?;
    let statistics = store.statistics().wait()?;
    let value = json!({
        "journal_entries": statistics.journal_entries,
        "queues": statistics.queues.iter().map(to_json).collect::<Vec<_>>(),
    });
    let rows = statistics.queues.iter().map(|queue| {
        let first = queue.first_waiting.map_or_else(|| "-".to_owned(), |seq| seq.to_string());
        let [reports, waiting, held] = [queue.reports, queue.reports_waiting, queue.reports_held].map(|count| count.to_string());
        [queue.name.clone(), reports, waiting, first, held, queue.reports_voided.to_string()]
    });
    let mut shown = table(["QUEUE", "REPORTS", "WAITING", "FIRST WAITING", "HELD", "VOIDED"], rows);
    let waits = statistics.queues.iter().any(|queue| queue.reports_waiting > 0);
    if waits {
        shown.push_str("The host's log says why the first one waits. `ranked journal skip SEQ --reason TEXT` gives it up.\n");
    }
    if statistics.queues.iter().any(|queue| queue.reports_held > 0) {
        shown.push_str("Held ones wait for a decision: `ranked report list --held`.\n");
    }
    context.terminal.answer(&shown, &value)?;
    Ok(if waits { Exit::Finding } else { Exit::Done })
}

pub(super) fn skip(context: &Context<'_>, seq: JournalSeq, reason: &str) -> Result<Exit, Failure> {
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > REASON_LEN_MAX || reason.chars().any(char::is_control) {
        let problem = format!("the reason is empty, longer than {REASON_LEN_MAX} bytes, or holds control characters");
        return Err(Failure::usage(problem, "say in one line why the report is given up"));
    }
    let store = context.open_store(&context.load_config()?)?;
    let written = store.skip_report(seq, reason, context.clock.now()).wait()?.map_err(|refusal| match refusal {
        SkipRefusal::DoesNotWait { .. } | SkipRefusal::NotAReport { .. } => {
            Failure::refused(format!("{refusal}; nothing was changed"), "`ranked journal status` shows the first report that waits")
        }
        other => Failure::refused(other.to_string(), ""),
    })?;
    let queues = store.statistics().wait()?.queues;
    let waiting: u64 = queues.iter().map(|queue| queue.reports_waiting).sum();
    let value = json!({
        "skipped": seq.0,
        "journal_entry": written.0,
        "reason": reason,
        "reports_waiting": waiting,
        "queues": queues.iter().map(to_json).collect::<Vec<_>>(),
    });
    let mut shown = format!("skipped  the report at journal entry {seq}; entry {written} says so\nwaiting  {waiting} reports");
    if waiting > 0 {
        shown.push_str("; the host rates them in order, at its next start if it does not run");
    }
    context.terminal.answer(&shown, &value)?;
    Ok(Exit::Done)
}

fn to_json(queue: &QueueStatistics) -> serde_json::Value {
    json!({
        "queue": queue.name,
        "reports": queue.reports,
        "reports_waiting": queue.reports_waiting,
        "first_waiting": queue.first_waiting.map(|seq| seq.0),
        "reports_held": queue.reports_held,
        "reports_voided": queue.reports_voided,
    })
}
