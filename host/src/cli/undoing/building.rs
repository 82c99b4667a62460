//! The ratings afterwards: built here, with progress, or left to the host.

use std::sync::Arc;

use ladder::rating::RatingEngine;
use plugin_runtime::Runtime;
use serde_json::{Value, json};
use store::{NewRevision, ReplayProgress, Store};

use crate::cli::failure::{Failure, chain};
use crate::cli::journal::progress_bar;
use crate::cli::{Context, Exit};
use crate::config::Config;
use crate::plugins;

/// What became of one queue's ratings after a decision.
pub(in crate::cli) struct Ratings {
    /// The queue's name.
    pub(in crate::cli) queue: String,
    /// The decision.
    pub(in crate::cli) made: NewRevision,
    state: State,
}

enum State {
    /// They are as the decision wants them.
    InForce,
    /// The running host builds them, or the next one to start.
    Left(String),
    /// The decision stands, and the ratings of before as well.
    Failed(String),
}

/// Builds the ratings of every new revision and puts them in force; with `wait = false`, leaves that to the host.
pub(in crate::cli) fn build(
    context: &Context<'_>,
    config: &Config,
    store: &Store,
    revisions: Vec<NewRevision>,
    wait: bool,
) -> Result<Vec<Ratings>, Failure> {
    let names = store.list_queues().wait()?;
    let mut runtime = None;
    let mut built = Vec::with_capacity(revisions.len());
    for made in revisions {
        let queue = names.iter().find(|(id, _)| *id == made.queue).map_or_else(|| made.queue.to_string(), |(_, name)| name.clone());
        let state = if made.in_force {
            State::InForce
        } else if config.queue(&queue).is_none() {
            // No host loads its engine, so none builds.
            State::Failed("the queue is not in plugins.toml: put it back, and start the host".to_owned())
        } else if !wait {
            State::Left("you did not want to wait".to_owned())
        } else {
            if runtime.is_none() {
                runtime = Some(Runtime::new().map_err(|error| Failure::environment(chain(&error)))?);
            }
            match &runtime {
                Some(runtime) => build_one(context, runtime, config, store, &queue, &made)?,
                None => State::Left("no plugin can be loaded here".to_owned()),
            }
        };
        built.push(Ratings { queue, made, state });
    }
    Ok(built)
}

fn build_one(
    context: &Context<'_>,
    runtime: &Runtime,
    config: &Config,
    store: &Store,
    queue: &str,
    made: &NewRevision,
) -> Result<State, Failure> {
    let Some(configured) = config.queue(queue) else {
        return Ok(State::Left("the queue is not in plugins.toml".to_owned()));
    };
    let engine = match plugins::load_rating(runtime, config, configured) {
        Ok(engine) => engine,
        Err(error) => return Ok(State::Failed(error.to_string())),
    };
    // A decision about reports swaps no engine.
    if let Some(active) = store.active_engine(made.queue).wait()?
        && (active.digest != engine.digest() || active.parameters != engine.parameters())
    {
        return Ok(State::Left("plugins.toml names another engine than the one in force".to_owned()));
    }
    let bar = progress_bar(context, 0, "journal entries");
    let seen = bar.clone();
    let progress = move |ReplayProgress { through, head }: ReplayProgress| {
        seen.set_length(head.0);
        seen.set_position(through.0);
    };
    let installed = store.install_engine(made.queue, Arc::new(engine) as Arc<dyn RatingEngine>, progress, context.clock.now()).wait()?;
    bar.finish_and_clear();
    Ok(installed.map_or_else(|refusal| State::Failed(chain(&refusal)), |_| State::InForce))
}

impl Ratings {
    /// For people, one line.
    pub(in crate::cli) fn render(&self) -> String {
        let state = match &self.state {
            State::InForce => "in force".to_owned(),
            State::Left(why) => format!("left to the host, or to its next start: {why}"),
            State::Failed(why) => format!("AS BEFORE: the decision stands, and the new ratings cannot be built: {why}"),
        };
        format!("ratings   {}: {state}\n", self.queue)
    }

    fn word(&self) -> &'static str {
        match self.state {
            State::InForce => "in-force",
            State::Left(_) => "left-to-host",
            State::Failed(_) => "failed",
        }
    }
}

/// For machines.
pub(in crate::cli) fn to_json(ratings: &[Ratings]) -> Value {
    let one = |ratings: &Ratings| {
        json!({
            "queue": ratings.queue,
            "revision": ratings.made.revision,
            "journal_entry": ratings.made.entry.0,
            "reports": ratings.made.reports,
            "ratings": ratings.word(),
            "problem": match &ratings.state {
                State::InForce => None,
                State::Left(why) | State::Failed(why) => Some(why),
            },
        })
    };
    ratings.iter().map(one).collect()
}

/// Ratings that could not be built are a finding: the decision stands all the same.
pub(in crate::cli) fn settled(ratings: &[Ratings]) -> Exit {
    let failed = ratings.iter().any(|ratings| matches!(ratings.state, State::Failed(_)));
    if failed { Exit::Finding } else { Exit::Done }
}
