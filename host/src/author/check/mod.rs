//! `ranked plugin check`: what the contract asks of a component, tried out. The same seed tries the same things.
//!
//! A check is one line: what was tried, how it came out, and if it failed the smallest example that was found, written as a case for
//! `ranked plugin test`. What is not checked: whether the answers are any good. `ranked plugin backtest` measures that.

mod bulk;
pub(super) mod contests;
mod policy;
pub(super) mod pools;
mod rating;
pub(super) mod rules;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use ladder::fault::PluginFault;
use plugin_runtime::{LoadError, Role, Runtime, RuntimeError};
use serde_json::Value;

use super::cases::CaseFile;
use super::subject::{Subject, shape_name};
use crate::config::QueueConfig;
use crate::plugins::chain;

/// Share of a budget from which a plugin is told to take care: the worst contest of a real queue is worse than any that was tried here.
pub const BUDGET_SHARE_WARNING: f64 = 0.7;

/// Longest time that one example is made smaller.
const SHRINK_TIME_MAX: Duration = Duration::from_secs(3);

/// One line of the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// One word or two, always the same.
    pub name: &'static str,
    /// What was tried, with numbers.
    pub tried: String,
    /// How it came out.
    pub verdict: CheckVerdict,
}

/// How a check came out.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckVerdict {
    /// As the contract asks.
    Ok,
    /// The host can work with it; players or operators may not like it.
    Warning {
        /// What was seen.
        problem: String,
        /// What to do about it.
        fix: String,
    },
    /// The contract is broken.
    Failed {
        /// What was seen.
        problem: String,
        /// The smallest example found, as a case in TOML; empty if none is needed.
        example: String,
        /// What to do about it.
        fix: String,
    },
}

impl CheckVerdict {
    /// The word for lists and machines.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning { .. } => "warning",
            Self::Failed { .. } => "FAILED",
        }
    }
}

impl Check {
    fn ok(name: &'static str, tried: impl Into<String>) -> Self {
        Self { name, tried: tried.into(), verdict: CheckVerdict::Ok }
    }

    fn warning(name: &'static str, tried: impl Into<String>, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, tried: tried.into(), verdict: CheckVerdict::Warning { problem: problem.into(), fix: fix.into() } }
    }

    fn failed(name: &'static str, tried: impl Into<String>, failure: Failing) -> Self {
        let Failing { problem, example, fix } = failure;
        Self { name, tried: tried.into(), verdict: CheckVerdict::Failed { problem, example, fix } }
    }

    /// Whether the contract is broken.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        matches!(self.verdict, CheckVerdict::Failed { .. })
    }
}

/// What a failed check has to say.
#[derive(Clone, Debug, Default)]
struct Failing {
    problem: String,
    example: String,
    fix: String,
}

impl Failing {
    fn new(problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { problem: problem.into(), example: String::new(), fix: fix.into() }
    }

    fn with_example(mut self, case: CaseFile) -> Self {
        // A number that TOML cannot hold is the only reason; the problem itself names it.
        self.example = toml::to_string(&case).unwrap_or_default();
        self
    }
}

/// A component that does not even load, as a line of the answer.
#[must_use]
pub fn unfit(error: &LoadError) -> Check {
    let fix = match error {
        LoadError::ForeignImport { .. } | LoadError::CoreModule | LoadError::ContractVersion { .. } => "",
        LoadError::Compile { .. } => "is it the file that the build wrote last? `ranked plugin build` builds and wraps it",
        LoadError::MissingExport { .. } => "export every interface of the role, or name another with --role",
        LoadError::Mismatch { .. } => "`ranked plugin new` writes the contract beside a new plugin",
        LoadError::Parameters(_) => "change [parameters] in plugin.toml, or give --parameters; `ranked plugin inspect` prints the schema",
        LoadError::Fault { source, .. } => fix_of(source),
        _ => "",
    };
    Check::failed("contract", "size, imports, exports, describe, configure", Failing::new(format!("it {}", chain(error)), fix))
}

/// What an author can do about a fault.
fn fix_of(fault: &PluginFault) -> &'static str {
    match fault.code() {
        "trap" => "a panic or an access out of bounds: log the arguments (debug) and read the last line above",
        "out-of-fuel" => "look for a loop that does not end; or raise fuel_max if the work is needed",
        "deadline" => "look for a loop that does not end; or raise deadline_ms_max if the work is needed",
        "memory" => "free what one call no longer needs; or raise memory_bytes_max if the work is needed",
        "declined" => "decline only what the queue cannot bring; what it brings has to be rated",
        _ => "answer as the contract says beside the function; the message names the field",
    }
}

/// Checks a component against everything that the contract asks of its role.
///
/// # Errors
/// The environment's fault: no sandbox.
pub fn run(runtime: &Runtime, subject: &Subject, seed: u64) -> Result<Vec<Check>, RuntimeError> {
    // A second sandbox with a compiler of its own: what differs there differs on the next machine too.
    let again = Runtime::new()?;
    let mut checks = Vec::new();
    let queues = match contract(runtime, subject, &mut checks) {
        Ok(queues) => queues,
        Err(check) => {
            checks.push(check);
            return Ok(checks);
        }
    };
    checks.push(parameters(runtime, subject, &queues[0]));
    let found = match subject.role {
        Role::Rating => rating::run(runtime, &again, subject, &queues, seed),
        Role::Rules => rules::run(runtime, &again, subject, &queues, seed),
        Role::Policy => policy::run(runtime, &again, subject, &queues, seed),
    };
    match found {
        Ok(found) => checks.extend(found),
        Err(error) => checks.push(unfit(&error)),
    }
    Ok(checks)
}

/// Loads the component in every queue. Typical queues that it refuses are left out, unless it refuses all.
fn contract(runtime: &Runtime, subject: &Subject, checks: &mut Vec<Check>) -> Result<Vec<QueueConfig>, Check> {
    let (mut fit, mut refused) = (Vec::new(), Vec::new());
    for queue in &subject.queues {
        match load(runtime, subject, queue) {
            Ok(()) => fit.push(queue.clone()),
            // About the queue, not about the component: the author did not say which queue it is for.
            Err(LoadError::Parameters(problems)) if !subject.is_queue_chosen => refused.push((queue, LoadError::Parameters(problems))),
            Err(error) => return Err(unfit(&error)),
        }
    }
    let names: Vec<_> = fit.iter().map(|queue| shape_name(&queue.shape)).collect();
    let tried = format!("size, imports, exports, describe, configure; queues of {}", names.join(", "));
    match refused.first() {
        Some((_, error)) if fit.is_empty() => return Err(unfit(error)),
        Some((queue, error)) => checks.push(Check::warning(
            "contract",
            tried,
            format!("refuses a queue of {}: it {}", shape_name(&queue.shape), chain(error)),
            "nothing to do if it is not for such queues; --team-sizes names yours",
        )),
        None => checks.push(Check::ok("contract", tried)),
    }
    Ok(fit)
}

fn load(runtime: &Runtime, subject: &Subject, queue: &QueueConfig) -> Result<(), LoadError> {
    match subject.role {
        Role::Rating => subject.load_rating(runtime, queue).map(drop),
        Role::Rules => subject.load_rules(runtime, queue).map(drop),
        Role::Policy => subject.load_policy(runtime, queue).map(drop),
    }
}

/// The schema is JSON, its defaults are taken, and a key that nobody knows is not.
fn parameters(runtime: &Runtime, subject: &Subject, queue: &QueueConfig) -> Check {
    const NAME: &str = "parameters";
    let described = runtime.inspect(&subject.source).and_then(|inspection| inspection.described);
    let schema = match described {
        Ok(described) => described.description.parameters_schema,
        Err(error) => return unfit(&error),
    };
    let schema: Value = match serde_json::from_str(&schema) {
        Ok(schema @ Value::Object(_)) => schema,
        Ok(_) => {
            return Check::failed(NAME, "the schema", Failing::new("the schema is no JSON object", "describe parameters by a JSON Schema"));
        }
        Err(error) => {
            let problem = format!("the schema is no JSON: {error}");
            return Check::failed(NAME, "the schema", Failing::new(problem, "`{}` is the least that a plugin without parameters can say"));
        }
    };
    let defaults = defaults(&schema);
    let takes = |parameters: &Value| load(runtime, subject, &subject.with_parameters(queue, parameters.to_string()));
    let count = defaults.as_object().map_or(0, serde_json::Map::len);
    let tried = format!("the schema, its {count} defaults, a key that it does not have");
    if let Err(error) = takes(&defaults) {
        let problem = format!("with the schema's own defaults it {}", chain(&error));
        return Check::failed(NAME, tried, Failing::new(problem, "make schema and configure agree"));
    }
    let mut unknown = defaults;
    if let Some(object) = unknown.as_object_mut() {
        object.insert("no-such-parameter".to_owned(), Value::from(1));
    }
    match takes(&unknown) {
        Err(LoadError::Parameters(_)) => Check::ok(NAME, tried),
        Err(error) => Check::failed(
            NAME,
            tried,
            Failing::new(format!("with a key that it does not have it {}", chain(&error)), "name it in configure's answer"),
        ),
        Ok(()) => Check::warning(
            NAME,
            tried,
            "a key that it does not have is taken without a word",
            "refuse unknown keys in configure: an operator's typing mistake would have no effect and nobody would know",
        ),
    }
}

/// The object of all defaults of a schema's properties.
fn defaults(schema: &Value) -> Value {
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    properties
        .filter_map(|(name, property)| Some((name.clone(), property.get("default")?.clone())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// How long a failing example is made smaller: so many attempts, and not past this moment. A component that fails by its deadline takes
/// most of a second for each.
struct Patience {
    attempts: usize,
    until: Instant,
}

impl Patience {
    fn new(attempts: usize) -> Self {
        Self { attempts, until: Instant::now() + SHRINK_TIME_MAX }
    }

    /// Whether one more attempt is due.
    fn is_left(&mut self) -> bool {
        let left = self.attempts > 0 && Instant::now() < self.until;
        self.attempts = self.attempts.saturating_sub(1);
        left
    }
}

/// What the calls of all queues used at most.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    calls: u64,
    fuel_share_max: f64,
    /// Memory of the call that had most, in bytes.
    memory_bytes_max: u64,
}

impl Used {
    fn add(&mut self, counters: &plugin_runtime::PluginCounters) {
        self.calls += counters.calls;
        self.fuel_share_max = self.fuel_share_max.max(counters.fuel_share_max);
        self.memory_bytes_max = self.memory_bytes_max.max(counters.memory_bytes_max);
    }

    /// The line about the budget, where a call may use `memory_bytes_limit`.
    fn check(self, memory_bytes_limit: u64) -> Check {
        let (share, kib) = (self.fuel_share_max * 100.0, self.memory_bytes_max / 1024);
        let tried = format!("{} calls; the worst used {share:.2} % of its fuel; at most {kib} KiB of memory", self.calls);
        let memory_share = self.memory_bytes_max as f64 / memory_bytes_limit.max(1) as f64;
        if memory_share >= BUDGET_SHARE_WARNING {
            let problem = format!("a call had {:.0} % of its memory", memory_share * 100.0);
            return Check::warning("budget", tried, problem, "free what is no longer needed, or have the operator raise memory_bytes_max");
        }
        if self.fuel_share_max >= BUDGET_SHARE_WARNING {
            let problem = format!("the worst call used {share:.0} % of its fuel");
            return Check::warning("budget", tried, problem, "make it cheaper, or have the operator raise fuel_max");
        }
        Check::ok("budget", tried)
    }
}
