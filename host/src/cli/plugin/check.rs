//! `ranked plugin check`: whether a component keeps the contract.

use plugin_runtime::Runtime;
use serde_json::{Value, json};

use super::subject::SubjectArguments;
use crate::author::check::{self, Check, CheckVerdict};
use crate::author::subject::{Subject, SubjectError};
use crate::cli::failure::{Failure, chain};
use crate::cli::{Context, Exit, text};

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    subject: SubjectArguments,
    /// The same seed tries the same things.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) fn run(context: &Context<'_>, runtime: &Runtime, arguments: &Arguments) -> Result<Exit, Failure> {
    let (shown, role, checks) = match Subject::find(runtime, arguments.subject.wish(context)?) {
        Ok(subject) => {
            let checks = check::run(runtime, &subject, arguments.seed).map_err(|error| Failure::environment(chain(&error)))?;
            (subject.shown, Some(subject.role), checks)
        }
        Err(SubjectError::Unfit(error)) => (arguments.subject.component.clone().unwrap_or_default(), None, vec![check::unfit(&error)]),
        Err(error) => return Err(error.into()),
    };
    let failures = checks.iter().filter(|check| check.is_failed()).count();
    let warnings = checks.iter().filter(|check| matches!(check.verdict, CheckVerdict::Warning { .. })).count();
    let role = role.map_or("no plugin", plugin_runtime::Role::name);
    let mut answer = format!("{} ({role}), seed {}\n", text::printable(&shown), arguments.seed);
    checks.iter().for_each(|check| answer.push_str(&line(check)));
    answer.push_str(&format!("{} checks, {warnings} warnings, {failures} failures", checks.len()));
    let value = json!({
        "component": shown,
        "role": role,
        "seed": arguments.seed,
        "checks": checks.iter().map(to_json).collect::<Vec<_>>(),
        "warnings": warnings,
        "failures": failures,
    });
    context.terminal.answer(&answer, &value)?;
    Ok(if failures == 0 { Exit::Done } else { Exit::Finding })
}

fn line(check: &Check) -> String {
    let indented = |what: &str, text: &str| {
        if text.is_empty() {
            return String::new();
        }
        // A plugin's own words may be among these: each line is made printable.
        let lines: Vec<_> = text.trim_end().lines().map(text::printable).collect();
        format!("           {what}{}\n", lines.join("\n             "))
    };
    let head = format!("  {:<7}  {:<12}  {}\n", check.verdict.name(), check.name, check.tried);
    head + &match &check.verdict {
        CheckVerdict::Ok => String::new(),
        CheckVerdict::Warning { problem, fix } => indented("", problem) + &indented("fix: ", fix),
        CheckVerdict::Failed { problem, example, fix } => {
            let example = if example.is_empty() { String::new() } else { format!("smallest example, as a case:\n{example}") };
            indented("", problem) + &indented("", &example) + &indented("fix: ", fix)
        }
    }
}

fn to_json(check: &Check) -> Value {
    let (problem, example, fix) = match &check.verdict {
        CheckVerdict::Ok => (None, None, None),
        CheckVerdict::Warning { problem, fix } => (Some(problem), None, Some(fix)),
        CheckVerdict::Failed { problem, example, fix } => (Some(problem), Some(example), Some(fix)),
    };
    json!({
        "name": check.name,
        "verdict": check.verdict.name().to_ascii_lowercase(),
        "tried": check.tried,
        "problem": problem,
        "example": example.filter(|example| !example.is_empty()),
        "fix": fix,
    })
}
