//! `ranked doctor`: everything that a host needs, checked one by one, each finding with its remedy.

mod community;
mod machine;

use serde_json::json;

use super::failure::Failure;
use super::{Context, Exit};

#[derive(clap::Args)]
pub(super) struct Arguments {}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

/// One numbered line of the answer.
struct Check {
    name: &'static str,
    verdict: Verdict,
    detail: String,
    fix: String,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, detail: detail.into(), fix: String::new() }
    }

    fn warn(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warn, detail: detail.into(), fix: fix.into() }
    }

    fn fail(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fail, detail: detail.into(), fix: fix.into() }
    }

    /// A failure of a command, as a failed check.
    fn failed(name: &'static str, failure: &Failure) -> Self {
        let shown = failure.render();
        let (problem, help) = shown.split_once("\nhelp: ").unwrap_or((&shown, ""));
        Self::fail(name, problem.trim_start_matches("error: ").trim_end(), help.trim_end())
    }
}

pub(super) fn run(context: &Context<'_>, _arguments: &Arguments) -> Result<Exit, Failure> {
    let checks = all(context);
    let worst = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let (warnings, failures) = (worst(Verdict::Warn), worst(Verdict::Fail));
    let lines: String = checks.iter().zip(1..).map(|(check, number)| line(number, check)).collect();
    let shown = format!("{lines}{} checks, {warnings} warnings, {failures} failures", checks.len());
    let value = json!({
        "checks": checks.iter().zip(1..).map(|(check, number)| json!({
            "number": number, "name": check.name, "verdict": check.verdict.name(), "detail": check.detail, "fix": check.fix,
        })).collect::<Vec<_>>(),
        "warnings": warnings,
        "failures": failures,
    });
    context.terminal.answer(&shown, &value)?;
    Ok(if failures == 0 { Exit::Done } else { Exit::Finding })
}

/// The checks in the order in which one depends on another.
fn all(context: &Context<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    let config = match context.load_config() {
        Ok(config) => {
            checks.push(community::configuration(&config));
            config
        }
        Err(failure) => {
            checks.push(Check::failed("configuration", &failure));
            checks.push(machine::open_files());
            return checks;
        }
    };
    let now = context.clock.now();
    let keyring = community::keys(&config, now, &mut checks);
    checks.extend(machine::ports(&config.host.listen));
    checks.push(machine::disk(&config));
    community::database(context, &config, keyring, &mut checks);
    community::plugins(&config, &mut checks);
    checks.push(machine::open_files());
    checks
}

fn line(number: usize, check: &Check) -> String {
    let indented = |text: &str| text.replace('\n', "\n                               ");
    let fix = if check.fix.is_empty() { String::new() } else { format!("                          fix: {}\n", indented(&check.fix)) };
    format!("{number:>3}  {:<4}  {:<15} {}\n{fix}", check.verdict.name(), check.name, indented(&check.detail))
}
