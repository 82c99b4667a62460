//! `ranked plugin bench`: what a call costs, beside the built-in component of the same role.

use std::time::Duration;

use plugin_runtime::Runtime;
use serde_json::{Value, json};

use super::subject::SubjectArguments;
use crate::author::bench::{Bench, BenchError, BenchRow, bench};
use crate::author::subject::{Subject, builtin_of, read_component};
use crate::cli::failure::{Failure, chain};
use crate::cli::terminal::table;
use crate::cli::{Context, Exit};

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    subject: SubjectArguments,
    /// Another component to measure beside it: a file or `builtin:NAME`.
    #[arg(long, value_name = "COMPONENT")]
    against: Option<String>,
    /// How long each row is measured.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// The same seed makes the same calls.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) fn run(context: &Context<'_>, runtime: &Runtime, arguments: &Arguments) -> Result<Exit, Failure> {
    let Ok(span) = Duration::try_from_secs_f64(arguments.seconds) else {
        return Err(Failure::usage(format!("--seconds {} is no time", arguments.seconds), "1 is enough for figures that repeat"));
    };
    let subject = Subject::find(runtime, arguments.subject.wish(context)?)?;
    let others = arguments.against.clone().into_iter().chain(builtin_of(subject.role).map(|name| format!("builtin:{name}")));
    let mut subjects = vec![subject.clone()];
    for other in others {
        let source = read_component(&other)?;
        if subjects.iter().all(|known| known.source.digest() != source.digest()) {
            subjects.push(subject.with_component(&other, source));
        }
    }
    let mut measured = Vec::with_capacity(subjects.len());
    for subject in &subjects {
        context.terminal.note(&format!("measuring {} ..", subject.shown))?;
        let figures = bench(subject, span, arguments.seed).map_err(|error| match error {
            BenchError::Runtime(error) => Failure::environment(chain(&error)),
            error => Failure::refused(format!("{}: {}", subject.shown, chain(&error)), "`ranked plugin check` looks for the cause"),
        })?;
        measured.push(figures);
    }
    let value =
        json!({ "role": subject.role.name(), "seed": arguments.seed, "components": measured.iter().map(to_json).collect::<Vec<_>>() });
    context.terminal.answer(&shown(&measured), &value)?;
    Ok(Exit::Done)
}

fn shown(measured: &[Bench]) -> String {
    let us = |span: Duration| format!("{:.1} us", span.as_secs_f64() * 1e6);
    let mut rows = Vec::new();
    for Bench { compile, start, rows: of } in measured {
        for row in of {
            rows.push([
                row.component.clone(),
                row.call.clone(),
                format!("{:.0}", row.calls_per_s),
                us(row.p50),
                us(row.p99),
                row.fuel_per_call.to_string(),
                format!("{} ({:.0} %)", us(*start), start_share(*start, row) * 100.0),
                format!("{:.0} ms", compile.as_secs_f64() * 1e3),
                row.bulk_per_s.map_or_else(|| "-".to_owned(), |per_s| format!("{per_s:.0}")),
            ]);
        }
    }
    table(["COMPONENT", "CALL", "CALLS/S", "P50", "P99", "FUEL/CALL", "OF IT START", "COMPILE", "BULK/S"], rows)
}

/// What starting an instance takes of a call in the middle. A policy's instance stays: there it is what one call after a fault costs more.
fn start_share(start: Duration, row: &BenchRow) -> f64 {
    start.as_secs_f64() / row.p50.as_secs_f64().max(1e-9)
}

fn to_json(bench: &Bench) -> Value {
    let us = |span: Duration| span.as_secs_f64() * 1e6;
    let row = |row: &BenchRow| {
        json!({
            "call": row.call,
            "calls": row.calls,
            "calls_per_s": row.calls_per_s,
            "p50_us": us(row.p50),
            "p99_us": us(row.p99),
            "fuel_per_call": row.fuel_per_call,
            "start_share": start_share(bench.start, row),
            "bulk_contests_per_s": row.bulk_per_s,
        })
    };
    json!({
        "component": bench.rows.first().map(|row| &row.component),
        "compile_ms": bench.compile.as_secs_f64() * 1e3,
        "start_us": us(bench.start),
        "rows": bench.rows.iter().map(row).collect::<Vec<_>>(),
    })
}
