//! `ranked plugin backtest`: how well an engine would have predicted the past.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ladder::id::JournalSeq;
use ladder::queue::QueueShape;
use plugin_runtime::{PluginSource, RatingPlugin, Role, Runtime};
use serde_json::{Value, json};
use store::Store;

use super::subject::SubjectArguments;
use crate::author::backtest::{Backtest, backtest};
use crate::author::past::Past;
use crate::author::subject::Subject;
use crate::cli::failure::{Failure, chain};
use crate::cli::journal::progress_bar;
use crate::cli::terminal::table;
use crate::cli::{Context, Exit, text};

/// What every engine is measured against.
const BUILTIN: &str = "gaussian";
/// Journal entries that are read at once.
const ENTRIES_PER_READ: u32 = 1_000;

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    subject: SubjectArguments,
    /// Match history: .ndjson or .ndjson.gz, as `ranked journal import` reads it. The queue's shape is taken from it.
    #[arg(long, required_unless_present = "journal", conflicts_with = "journal")]
    data: Option<PathBuf>,
    /// The accepted reports of this queue, out of the host's own database.
    #[arg(long, value_name = "QUEUE", conflicts_with = "queue")]
    journal: Option<String>,
    /// Score only what comes after this share of the contests, 0 to 1; ratings run through all of them.
    #[arg(long, default_value_t = 0.0)]
    score_after: f64,
}

/// One engine and what came of it.
struct Row {
    engine: String,
    backtest: Backtest,
    is_bulk: bool,
    wall: Duration,
}

pub(super) fn run(context: &Context<'_>, runtime: &Runtime, arguments: &Arguments) -> Result<Exit, Failure> {
    if !(0.0..1.0).contains(&arguments.score_after) {
        return Err(Failure::usage(
            format!("--score-after {} is not from 0 to below 1", arguments.score_after),
            "0.5 scores the second half",
        ));
    }
    let mut options = arguments.subject.clone();
    options.take_queue(arguments.journal.as_deref());
    let subject = options.find(context, runtime, Role::Rating)?;
    let past = match (&arguments.data, &arguments.journal) {
        (Some(file), _) => Past::read(file).map_err(|error| Failure::usage(format!("{}: {error}", file.display()), ""))?,
        (None, Some(queue)) => journal(context, queue, &subject)?,
        (None, None) => return Err(Failure::usage("there is nothing to predict", "give --data or --journal")),
    };
    if past.contests() == 0 {
        return Err(Failure::refused("there is no contest in this history", past.left_out_named.first().cloned().unwrap_or_default()));
    }
    let mut rows = vec![measure(context, runtime, &subject, &past, arguments.score_after)?];
    let is_plain = subject.queues[0].plugin(Role::Rating).parameters == "{}";
    if let Some(source) = PluginSource::builtin(BUILTIN).filter(|source| !is_plain || source.digest() != subject.source.digest()) {
        let other = subject.with_component(&format!("builtin:{BUILTIN}"), source);
        rows.push(measure(context, runtime, &other, &past, arguments.score_after)?);
    }
    answer(context, arguments, &past, &rows)
}

fn journal(context: &Context<'_>, queue: &str, subject: &Subject) -> Result<Past, Failure> {
    let store = context.open_store(&context.load_config()?)?;
    read_journal(&store, queue, subject.queues[0].shape.clone())
}

/// The accepted reports of a queue that are to be rated.
pub(super) fn read_journal(store: &Store, queue: &str, shape: QueueShape) -> Result<Past, Failure> {
    let known = store.list_queues().wait()?;
    let Some((id, _)) = known.iter().find(|(_, name)| name == queue) else {
        return Err(Failure::refused(format!("the journal has no report of queue {}", text::printable(queue)), ""));
    };
    let mut past = Past::of_queue(shape);
    let mut after = JournalSeq(0);
    loop {
        let reports = store.load_reports(*id, after, ENTRIES_PER_READ).wait()?;
        let Some((last, _)) = reports.last() else { return Ok(past) };
        after = *last;
        reports.iter().for_each(|(_, facts)| past.push(facts));
    }
}

fn measure(context: &Context<'_>, runtime: &Runtime, subject: &Subject, past: &Past, score_after: f64) -> Result<Row, Failure> {
    let mut queue = subject.queues[0].clone();
    queue.shape = past.shape.clone();
    let refused = |error: &dyn std::error::Error| Failure::refused(format!("{}: it {}", subject.shown, chain(error)), "");
    let engine: RatingPlugin = subject.load_rating(runtime, &queue).map_err(|error| refused(&error))?;
    let contests = past.contests() as u64;
    let bar = progress_bar(context, contests, "contests");
    let started = Instant::now();
    // As `ranked journal import` counts: the first position that is scored.
    let scored_from = (contests as f64 * score_after) as u64;
    let result = backtest(&engine.warm(), past, scored_from, &mut |through| bar.set_position(through));
    bar.finish_and_clear();
    let backtest =
        result.map_err(|fault| Failure::refused(format!("{}: {fault}", subject.shown), "`ranked plugin check` looks for the cause"))?;
    let is_bulk = ladder::rating::RatingEngine::bulk(&engine).is_some();
    Ok(Row { engine: subject.shown.clone(), backtest, is_bulk, wall: started.elapsed() })
}

fn answer(context: &Context<'_>, arguments: &Arguments, past: &Past, rows: &[Row]) -> Result<Exit, Failure> {
    let number = |value: Option<f64>, digits: usize| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"));
    let shown = rows.iter().map(|row| {
        let Backtest { rated, declined, score, .. } = &row.backtest;
        let accuracy = score.accuracy().map_or_else(|| "-".to_owned(), |accuracy| format!("{:.2} %", accuracy * 100.0));
        let per_s = (rated + declined) as f64 / row.wall.as_secs_f64().max(1e-9);
        [
            row.engine.clone(),
            number(score.log_loss(), 4),
            accuracy,
            number(score.brier(), 4),
            score.contests().to_string(),
            declined.to_string(),
            format!("{per_s:.0}{}", if row.is_bulk { " (bulk)" } else { "" }),
        ]
    });
    let mut shown = table(["ENGINE", "LOG LOSS", "ACCURACY", "BRIER", "SCORED", "DECLINED", "CONTESTS/S"], shown);
    shown.push_str(&format!("{} contests of {} players; a coin has a log loss of 0.6931\n", past.contests(), past.players));
    if past.left_out > 0 {
        let named: Vec<_> = past.left_out_named.iter().map(|line| text::printable(line)).collect();
        shown.push_str(&format!("left out  {} lines\n  {}\n", past.left_out, named.join("\n  ")));
    }
    let value = json!({
        "history": source(arguments),
        "contests": past.contests(),
        "players": past.players,
        "score_after": arguments.score_after,
        "left_out": past.left_out,
        "left_out_named": past.left_out_named,
        "engines": rows.iter().map(to_json).collect::<Vec<_>>(),
    });
    context.terminal.answer(&shown, &value)?;
    Ok(if past.left_out > 0 { Exit::Finding } else { Exit::Done })
}

fn source(arguments: &Arguments) -> String {
    let file = arguments.data.as_deref().map(Path::display);
    file.map_or_else(|| format!("journal of queue {}", arguments.journal.as_deref().unwrap_or_default()), |file| file.to_string())
}

fn to_json(row: &Row) -> Value {
    let Backtest { rated, declined, score, .. } = &row.backtest;
    json!({
        "engine": row.engine,
        "rated": rated,
        "declined": declined,
        "scored": score.contests(),
        "log_loss": score.log_loss(),
        "accuracy": score.accuracy(),
        "brier": score.brier(),
        "bulk": row.is_bulk,
        "seconds": row.wall.as_secs_f64(),
    })
}
