//! The second half of `ranked plugin compare`: policies on recorded ticks.

use std::sync::Arc;

use plugin_runtime::{PolicyPlugin, RatingPlugin, Role, Runtime};
use serde_json::{Value, json};
use store::Store;

use crate::cli::failure::{Failure, chain};
use crate::cli::journal::progress_bar;
use crate::cli::terminal::table;
use crate::cli::{Context, text};
use crate::compare::policies::Tried;
use crate::compare::recording::decode;
use crate::config::{Config, QueueConfig};
use crate::plugins;

/// Recorded ticks that are read at once.
const TICKS_PER_READ: u32 = 32;

/// Every policy of a queue, and what came of each.
pub(super) struct Policies {
    ticks: u64,
    /// Ticks that cannot be used.
    left_out: u64,
    /// The first reason why.
    why_left_out: Option<String>,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    policy: Result<PolicyPlugin, String>,
    tried: Tried,
}

impl Policies {
    /// Loads the policy in force and every policy shadow, and asks each about every recorded tick.
    pub(super) fn run(
        context: &Context<'_>,
        runtime: &Runtime,
        config: &Config,
        queue: &QueueConfig,
        store: &Store,
        in_force: &str,
    ) -> Result<Self, Failure> {
        let rating = Arc::new(plugins::load_rating(runtime, config, queue)?);
        let policy = plugins::load_policy(runtime, config, queue)?;
        let mut rows = vec![Row::new(in_force, Ok(policy), &rating)];
        for (name, _) in queue.shadows.iter().filter(|(_, shadow)| shadow.role == Role::Policy) {
            let spec = plugins::shadow_spec(config, queue, name);
            let policy = spec.and_then(|spec| runtime.load_policy(spec, &queue.shape).map_err(|error| format!("it {}", chain(&error))));
            rows.push(Row::new(name, policy, &rating));
        }
        let mut policies = Self { ticks: 0, left_out: 0, why_left_out: None, rows };
        policies.ask_all(context, queue, store)?;
        Ok(policies)
    }

    fn ask_all(&mut self, context: &Context<'_>, queue: &QueueConfig, store: &Store) -> Result<(), Failure> {
        let known = store.list_queues().wait()?;
        let Some((id, _)) = known.iter().find(|(_, name)| name == queue.name()) else { return Ok(()) };
        let bar = progress_bar(context, store.count_recorded_ticks(*id).wait()?, "ticks");
        let mut after = 0;
        loop {
            let ticks = store.load_recorded_ticks(*id, after, TICKS_PER_READ).wait()?;
            let Some(last) = ticks.last() else { break };
            after = last.number;
            for tick in &ticks {
                match decode(&tick.columns, &queue.shape) {
                    Ok(pool) => {
                        self.ticks += 1;
                        self.rows.iter_mut().for_each(|row| row.ask(queue, &pool));
                    }
                    Err(problem) => {
                        self.left_out += 1;
                        self.why_left_out.get_or_insert_with(|| problem.to_string());
                    }
                }
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Whether every policy was loaded.
    pub(super) fn is_complete(&self) -> bool {
        self.rows.iter().all(|row| row.policy.is_ok())
    }

    pub(super) fn show(&self) -> String {
        if self.ticks == 0 {
            return "no tick is recorded yet: a running host records them while the queue has a policy shadow and players wait\n"
                .to_owned();
        }
        let mut shown = table(
            ["POLICY", "PLAYERS", "MATCHES", "WAITED P50", "P95", "QUALITY", "BETWEEN TEAMS", "P95", "WITHIN", "P95", "MS A TICK", "P95"],
            self.rows.iter().map(Row::figures),
        );
        let left_out = self.why_left_out.as_ref().map_or_else(String::new, |why| format!("; {} left out, as {why}", self.left_out));
        shown
            .push_str(&format!("{} recorded ticks, each by itself: who is matched in one waits again in the next{left_out}\n", self.ticks));
        for row in &self.rows {
            for (rule, dropped) in &row.tried.violations {
                shown.push_str(&format!("{}: {dropped} proposals dropped, as they break the rule `{rule}`\n", row.name));
            }
            for (fault, ticks) in &row.tried.faults {
                shown.push_str(&format!("{}: {ticks} ticks without an answer, fault `{fault}`\n", row.name));
            }
            if let Err(problem) = &row.policy {
                shown.push_str(&format!("{}: {}\n", row.name, text::printable(problem)));
            }
        }
        shown
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "ticks": self.ticks,
            "left_out": self.left_out,
            "why_left_out": self.why_left_out,
            "policies": self.rows.iter().map(Row::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Row {
    fn new(name: &str, policy: Result<PolicyPlugin, String>, rating: &Arc<RatingPlugin>) -> Self {
        if let Ok(policy) = &policy {
            policy.forecast_with(Arc::clone(rating) as _);
        }
        Self { name: name.to_owned(), policy, tried: Tried::default() }
    }

    fn ask(&mut self, queue: &QueueConfig, pool: &ladder::pool::Pool) {
        if let Ok(policy) = &self.policy {
            self.tried.ask(policy, &queue.shape, pool);
        }
    }

    fn figures(&self) -> [String; 12] {
        let number = |value: Option<f64>, digits: usize| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"));
        let Tried { players, matches, waited_ms, quality, between_teams, within, took_ms, .. } = &self.tried;
        let seconds = |share: f64| number(waited_ms.quantile(share).map(|ms| ms / 1e3), 1);
        [
            self.name.clone(),
            players.to_string(),
            matches.to_string(),
            seconds(0.5) + " s",
            seconds(0.95) + " s",
            number(quality.mean(), 3),
            number(between_teams.mean(), 2),
            number(between_teams.quantile(0.95), 2),
            number(within.mean(), 2),
            number(within.quantile(0.95), 2),
            number(took_ms.quantile(0.5), 2),
            number(took_ms.quantile(0.95), 2),
        ]
    }

    fn to_json(&self) -> Value {
        let Tried { ticks, players, matches, waited_ms, quality, between_teams, within, took_ms, violations, faults } = &self.tried;
        json!({
            "policy": self.name,
            "problem": self.policy.as_ref().err(),
            "ticks": ticks,
            "players": players,
            "matches": matches,
            "waited_ms": { "p50": waited_ms.quantile(0.5), "p95": waited_ms.quantile(0.95) },
            "quality": quality.mean(),
            "between_teams": { "mean": between_teams.mean(), "p95": between_teams.quantile(0.95) },
            "within": { "mean": within.mean(), "p95": within.quantile(0.95) },
            "wall_ms": { "p50": took_ms.quantile(0.5), "p95": took_ms.quantile(0.95) },
            "violations": violations,
            "faults": faults,
        })
    }
}
