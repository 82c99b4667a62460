//! `ranked serve`: the host itself, until Ctrl-C or SIGTERM.

use std::io::{IsTerminal as _, Write as _};

use tracing_subscriber::EnvFilter;

use super::failure::{Failure, chain};
use super::{Context, Exit};
use crate::config::{Config, LogFormat, Logs};
use crate::keys::{KeyPaths, Keyring};
use crate::serve::{self, ServeError};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Log filter instead of the one in ranked.toml, such as "info,host=debug".
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

pub(super) fn run(context: &Context<'_>, arguments: Arguments) -> Result<Exit, Failure> {
    let config = context.load_config()?;
    let logs = &config.host.logs;
    start_logs(logs, arguments.log.as_deref().unwrap_or(&logs.filter))?;
    let keyring = Keyring::load(KeyPaths::of(&config))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::environment)?;
    let named = config.clone();
    runtime.block_on(serve::run(config, keyring, started)).map_err(|error| explain(&named, error))?;
    Ok(Exit::Done)
}

/// What an operator sees when the host listens. A terminal that is gone is no reason to stop.
fn started(running: &serve::Running) {
    if let Err(error) = std::io::stderr().lock().write_all(running.summary().as_bytes()) {
        tracing::debug!(%error, "nobody reads standard error");
    }
}

fn start_logs(logs: &Logs, filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::usage(format!("the log filter `{}` cannot be used: {error}", filter.escape_debug()), "write a level such as \"info\"")
    })?;
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    let started = match logs.format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
    started.map_err(Failure::environment)
}

fn explain(config: &Config, error: ServeError) -> Failure {
    match error {
        ServeError::Config(error) => error.into(),
        ServeError::Key(error) => error.into(),
        ServeError::Settle(error) => error.into(),
        ServeError::Folder(error) => error.into(),
        ServeError::Store(error) => error.into(),
        ServeError::Bind { listener, .. } => Failure::Environment {
            problem: chain(&error),
            help: format!(
                "stop what holds the port, or change `{listener}` below `[listen]` in {}",
                config.folder().join(crate::config::HOST_FILE).display()
            ),
        },
        other => Failure::environment(chain(&other)),
    }
}
