//! `ranked demo`: a whole community on this machine, with nothing to configure.

use std::path::PathBuf;
use std::time::Duration;

use plugin_runtime::Role;

use super::failure::Failure;
use super::{Context, Exit};
use crate::demo::{self, Plan};
use crate::serve::ServeError;

/// What the demo consists of.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Players.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(2..=1000))]
    players: u32,
    /// Game servers.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    servers: u32,
    /// Stop after so many seconds; otherwise at Ctrl-C.
    #[arg(long)]
    seconds: Option<u64>,
    /// Seed of the hidden skills and of every game.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the demo's files here; otherwise a temporary folder is used and removed.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// A component file that rates, instead of the built-in engine.
    #[arg(long)]
    rating: Option<PathBuf>,
    /// A component file with the stat rules.
    #[arg(long)]
    rules: Option<PathBuf>,
    /// A component file that makes the matches.
    #[arg(long)]
    policy: Option<PathBuf>,
    /// Exchange the rating engines so often while the bots play, and compare the ratings with a replay at the end.
    #[arg(long, default_value_t = 0, conflicts_with = "rating", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    swaps: u32,
}

pub(super) fn run(context: &Context<'_>, arguments: Arguments) -> Result<Exit, Failure> {
    let Arguments { players, servers, seconds, seed, dir, rating, rules, policy, swaps } = arguments;
    let named = [(Role::Rating, rating), (Role::Rules, rules), (Role::Policy, policy)];
    let plugins = named.into_iter().filter_map(|(role, file)| Some((role, file?))).collect();
    let plan = Plan { players, servers, time: seconds.map(Duration::from_secs), seed, folder: dir, plugins, swaps };
    let clock = context.clock.clone();
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::environment)?;
    let outcome = if context.terminal.is_json() {
        runtime.block_on(demo::run(plan, &clock, &mut std::io::sink()))
    } else {
        runtime.block_on(demo::run(plan, &clock, &mut std::io::stdout()))
    };
    let outcome = outcome.map_err(explain)?;
    if context.terminal.is_json() {
        context.terminal.document(&outcome.to_json())?;
    }
    Ok(Exit::Done)
}

/// A plugin that does not load is told as it would be from `plugins.toml`.
fn explain(error: anyhow::Error) -> Failure {
    match error.downcast::<ServeError>() {
        Ok(ServeError::Config(error)) => error.into(),
        // `{:#}` prints the causes too.
        Ok(error) => Failure::environment(format_args!("{:#}", anyhow::Error::from(error))),
        Err(error) => Failure::environment(format_args!("{error:#}")),
    }
}
