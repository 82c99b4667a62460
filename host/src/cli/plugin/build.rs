//! `ranked plugin build`: makes the component of a plugin that `ranked plugin new` began.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::json;

use crate::author::build::{self, BuildError, Built};
use crate::cli::failure::{Failure, chain};
use crate::cli::{Context, Exit};

/// Between two steps of the spinner.
const SPIN_EVERY: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The folder with plugin.toml.
    #[arg(default_value = ".")]
    folder: PathBuf,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    let started = Instant::now();
    // indicatif itself hides a spinner whose target is no terminal.
    let target = if context.terminal.is_json() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let spinner = ProgressBar::with_draw_target(None, target);
    spinner.enable_steady_tick(SPIN_EVERY);
    let built = build::build(&arguments.folder, &|tool| spinner.set_message(format!("{tool} is at work")));
    spinner.finish_and_clear();
    let Built { component, bytes, digest } = built?;
    // As the author would type it.
    let near = std::env::current_dir().ok().and_then(|here| component.strip_prefix(here).ok().map(PathBuf::from));
    let component = near.unwrap_or(component);
    let seconds = started.elapsed().as_secs_f64();
    let shown = format!(
        "component  {path}\nsize       {bytes} bytes, built in {seconds:.1} s\ndigest     \"sha256:{digest}\"\n\nnext    ranked plugin check {path}\n",
        path = component.display(),
    );
    let value = json!({
        "component": component.display().to_string(),
        "bytes": bytes,
        "sha256": digest.to_string(),
        "seconds": seconds,
    });
    context.terminal.answer(&shown, &value)?;
    Ok(Exit::Done)
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let (problem, help) = (chain(&error), error.help());
        match error {
            BuildError::Project(_) => Self::usage(problem, help),
            error if error.is_authors() => Self::refused(problem, help),
            _ => Self::Environment { problem, help },
        }
    }
}
