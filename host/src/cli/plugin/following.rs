//! Asks the running host to reload and follows what it makes of it. Both know each other by the database alone.

use std::time::{Duration, Instant};

use ladder::id::Digest;
use plugin_runtime::Role;
use store::{PluginState, ReloadProgress, Store, Wanted};

use crate::cli::failure::Failure;
use crate::cli::{Context, journal};
use crate::reload::store_role;

/// A host that runs looks for requests ten times a second.
const HOST_ANSWERS_WITHIN: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the host made of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// No host runs: the next start reads the file.
    NoHost,
    /// Everything that was asked for is in force.
    InForce,
    /// A rating engine is being built, and nobody wanted to wait.
    Building,
}

impl Followed {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::NoHost => "no-host",
            Self::InForce => "in-force",
            Self::Building => "building",
        }
    }

    /// For people.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::NoHost => "no host runs here: the next start uses it",
            Self::InForce => "in force",
            Self::Building => "its ratings are being built: `ranked plugin status` shows how far they are",
        }
    }
}

/// The role that a command changed, and to what.
pub(super) struct Change<'a> {
    pub(super) queue: &'a str,
    pub(super) role: Role,
    pub(super) digest: Digest,
}

/// Asks for a reload and waits until the host has done it; for a rating engine, with `wait`, until it is in force.
pub(super) fn reload(context: &Context<'_>, store: &Store, change: Option<&Change<'_>>, wait: bool) -> Result<Followed, Failure> {
    let reload = store.request_reload(operator(), context.clock.now()).wait()?;
    let asked = Instant::now();
    let ended = loop {
        match store.reload_progress(reload).wait()? {
            Some(ReloadProgress::Ended(ended)) => break ended,
            Some(ReloadProgress::Waiting) if asked.elapsed() > HOST_ANSWERS_WITHIN => return Ok(Followed::NoHost),
            None => return Err(Failure::environment("the request to reload was forgotten: too many others came after it")),
            Some(_) => std::thread::sleep(LOOK_EVERY),
        }
    };
    match (change, ended) {
        (None, Ok(())) => Ok(Followed::InForce),
        (None, Err(problem)) => Err(Failure::refused(problem, "what was not named here was reloaded")),
        (Some(change), ended) => {
            if let Err(problem) = &ended {
                context.terminal.note(&format!("the host did not reload everything:\n{problem}"))?;
            }
            follow(context, store, change, wait)
        }
    }
}

/// Waits until the host says what became of one role. Its request has ended: the host has said at least that it is building.
fn follow(context: &Context<'_>, store: &Store, change: &Change<'_>, wait: bool) -> Result<Followed, Failure> {
    let bar = journal::progress_bar(context, 0, "journal entries");
    loop {
        let state = find(store, change)?;
        match state.map(|state| (state.digest, state.wanted)) {
            Some((digest, Wanted::InForce)) if digest == change.digest => {
                bar.finish_and_clear();
                return Ok(Followed::InForce);
            }
            Some((_, Wanted::Refused { digest, problem })) if digest == change.digest => {
                bar.finish_and_clear();
                return Err(Failure::refused(
                    format!("the host refused it, and what ran before stays in force: {problem}"),
                    format!("`ranked plugin rollback {} {}` puts plugins.toml back", change.queue, change.role.name()),
                ));
            }
            Some((_, Wanted::Building { digest, through, head })) if digest == change.digest => {
                bar.set_length(head.0);
                bar.set_position(through.0);
            }
            _ => {
                bar.finish_and_clear();
                return Err(Failure::refused(
                    "the host did not take it up, or another change came after it",
                    "`ranked plugin status` shows what is in force",
                ));
            }
        }
        if !wait {
            return Ok(Followed::Building);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn find(store: &Store, change: &Change<'_>) -> Result<Option<PluginState>, Failure> {
    let states = store.list_plugin_states().wait()?;
    Ok(states.into_iter().find(|state| state.queue == change.queue && state.role == store_role(change.role)))
}

/// Who runs the command, for the records.
pub(in crate::cli) fn operator() -> String {
    ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok()).unwrap_or_else(|| "unknown".to_owned())
}
