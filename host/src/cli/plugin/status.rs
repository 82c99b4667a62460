//! `ranked plugin status` and `reload`: what the running host says, and what it is asked.

use plugin_runtime::Role;
use serde_json::json;
use store::{PluginState, ShadowState, Wanted};

use super::following::{self, Followed};
use crate::cli::failure::Failure;
use crate::cli::terminal::table;
use crate::cli::{Context, Exit, text};
use crate::config::Config;
use crate::plugins;
use crate::reload::store_role;

pub(super) fn reload(context: &Context<'_>) -> Result<Exit, Failure> {
    let config = context.load_config()?;
    let store = context.open_store(&config)?;
    let followed = following::reload(context, &store, None, false)?;
    let shown = match followed {
        Followed::NoHost => followed.sentence(),
        _ => "reloaded; rating engines may still be built: `ranked plugin status` shows how far they are",
    };
    context.terminal.answer(shown, &json!({ "state": followed.word() }))?;
    Ok(if followed == Followed::NoHost { Exit::Finding } else { Exit::Done })
}

pub(super) fn status(context: &Context<'_>) -> Result<Exit, Failure> {
    let config = context.load_config()?;
    let store = context.open_store(&config)?;
    let (states, shadows) = (store.list_plugin_states().wait()?, store.list_shadow_states().wait()?);
    let rows = states.iter().map(|state| {
        let PluginState { queue, role, digest, name, version, since, .. } = state;
        [
            queue.clone(),
            role_name(*role).to_owned(),
            format!("{} {}", text::printable(name), text::printable(version)),
            text::short(&digest.to_string()),
            text::time(*since),
            next(&config, state),
        ]
    });
    let mut shown = table(["QUEUE", "ROLE", "IN FORCE", "SHA256", "SINCE", "NEXT"], rows);
    if states.is_empty() {
        shown = "no host has run with this database yet".to_owned();
    }
    let refusals = states.iter().filter_map(|state| match &state.wanted {
        Wanted::Refused { problem, .. } => Some((state, problem)),
        _ => None,
    });
    for (state, problem) in refusals.clone() {
        shown.push_str(&format!("\n{} of queue {} was refused:\n{}\n", role_name(state.role), state.queue, problem.trim_end()));
    }
    if !shadows.is_empty() {
        shown.push_str("\n\n");
        shown.push_str(&show_shadows(&shadows));
    }
    let value = json!({
        "plugins": states.iter().map(to_json).collect::<Vec<_>>(),
        "shadows": shadows.iter().map(shadow_to_json).collect::<Vec<_>>(),
    });
    context.terminal.answer(&shown, &value)?;
    Ok(if refusals.count() == 0 { Exit::Done } else { Exit::Finding })
}

fn show_shadows(shadows: &[ShadowState]) -> String {
    let rows = shadows.iter().map(|ShadowState { queue, name, role, digest, behind, problem }| {
        let state = match (behind, problem) {
            (_, Some(problem)) => text::printable(problem),
            (Some(behind), None) => format!("rates the journal, entry {} of {}", behind.through, behind.head),
            (None, None) => "ready: ranked plugin compare".to_owned(),
        };
        [queue.clone(), name.clone(), role_name(*role).to_owned(), text::short(&digest.to_string()), state]
    });
    table(["QUEUE", "SHADOW", "ROLE", "SHA256", "STATE"], rows)
}

fn shadow_to_json(state: &ShadowState) -> serde_json::Value {
    json!({
        "queue": state.queue,
        "shadow": state.name,
        "role": role_name(state.role),
        "sha256": state.digest.to_string(),
        "journal_through": state.behind.map(|behind| behind.through.0),
        "journal_head": state.behind.map(|behind| behind.head.0),
        "problem": state.problem,
    })
}

fn next(config: &Config, state: &PluginState) -> String {
    match &state.wanted {
        Wanted::Building { digest, through, head } => {
            let percent = through.0.saturating_mul(100).checked_div(head.0).unwrap_or(0);
            format!("{} is being built, {percent} %", text::short(&digest.to_string()))
        }
        Wanted::Refused { digest, .. } => format!("{} REFUSED", text::short(&digest.to_string())),
        Wanted::InForce => {
            let role = Role::ALL.into_iter().find(|role| store_role(*role) == state.role);
            let named = role.zip(config.queue(&state.queue)).map(|(role, queue)| plugins::named_digest(queue.plugin(role)));
            match named {
                Some(named) if named != state.digest => "plugins.toml names another: ranked plugin reload".to_owned(),
                _ => "-".to_owned(),
            }
        }
    }
}

fn to_json(state: &PluginState) -> serde_json::Value {
    let (next, wanted, through, head, problem) = match &state.wanted {
        Wanted::InForce => ("none", None, None, None, None),
        Wanted::Building { digest, through, head } => ("building", Some(digest), Some(through.0), Some(head.0), None),
        Wanted::Refused { digest, problem } => ("refused", Some(digest), None, None, Some(problem)),
    };
    json!({
        "queue": state.queue,
        "role": role_name(state.role),
        "sha256": state.digest.to_string(),
        "name": state.name,
        "version": state.version,
        "since_ms": state.since.0,
        "next": next,
        "next_sha256": wanted.map(ToString::to_string),
        "journal_through": through,
        "journal_head": head,
        "problem": problem,
    })
}

fn role_name(role: store::PluginRole) -> &'static str {
    Role::ALL.into_iter().find(|known| store_role(*known) == role).map_or("", Role::name)
}
