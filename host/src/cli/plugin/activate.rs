//! `ranked plugin activate` and `rollback`: `plugins.toml` gets another table for one role, and the running host follows.
//!
//! ```text
//! what is asked for -> the new text -> read as the host reads it -> plugin loaded and called once -> written -> host asked to reload
//! ```
//! Nothing is written before the plugin has worked once. Every table that was in force by command stays on record for the way back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ladder::fault::PluginFault;
use ladder::id::Digest;
use ladder::pool::{MatchmakingPolicy as _, Pool};
use ladder::queue::QueueShape;
use ladder::rating::{Contest, Entrant, RatingEngine as _, Setting};
use ladder::rules::{Claim, ServerRecord, StatRules as _};
use ladder::time::UnixMillis;
use plugin_runtime::{Role, Runtime};
use serde_json::json;
use store::{NewPluginVersion, PluginVersion, Store};

use super::following::{self, Change};
use super::install;
use crate::cli::failure::{Failure, chain};
use crate::cli::terminal::table;
use crate::cli::{Context, Exit, text};
use crate::components;
use crate::config::{ComponentSource, Config, EditError, PluginConfig, PluginsFile, Signatures, is_same_table};
use crate::keys::secret_file;
use crate::plugins;
use crate::reload::store_role;

/// Versions that are offered for a rollback.
const VERSIONS_SHOWN: usize = 20;

#[derive(clap::Args)]
pub(in crate::cli) struct ActivateArguments {
    /// The queue, as in plugins.toml.
    queue: String,
    /// rating, rules or policy.
    #[arg(value_parser = parse_role)]
    role: Role,
    /// `builtin:NAME`, the digest of an installed component (its first digits are enough), or a file, which is installed first; or
    /// `shadow:NAME`: what that shadow of the queue runs, with its parameters.
    component: String,
    /// A TOML file with all parameters; otherwise those in plugins.toml stay.
    #[arg(long, value_name = "FILE")]
    parameters: Option<PathBuf>,
    /// Return as soon as the host has taken it up, although its ratings are still being built.
    #[arg(long)]
    no_wait: bool,
}

#[derive(clap::Args)]
pub(in crate::cli) struct RollbackArguments {
    /// The queue, as in plugins.toml.
    queue: String,
    /// rating, rules or policy.
    #[arg(value_parser = parse_role)]
    role: Role,
    /// The version to go back to, as `ranked plugin versions` numbers it; otherwise the one before.
    #[arg(long, value_name = "VERSION")]
    to: Option<u64>,
    /// Return as soon as the host has taken it up, although its ratings are still being built.
    #[arg(long)]
    no_wait: bool,
}

#[derive(clap::Args)]
pub(in crate::cli) struct VersionsArguments {
    /// The queue, as in plugins.toml.
    queue: String,
    /// rating, rules or policy.
    #[arg(value_parser = parse_role)]
    role: Role,
}

pub(super) fn parse_role(text: &str) -> Result<Role, String> {
    Role::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| "write rating, rules or policy".to_owned())
}

pub(super) fn activate(context: &Context<'_>, runtime: &Runtime, arguments: &ActivateArguments) -> Result<Exit, Failure> {
    let ActivateArguments { queue, role, component, parameters, no_wait } = arguments;
    let config = context.load_config()?;
    let store = context.open_store(&config)?;
    let mut file = PluginsFile::read(&config.plugins_path()).map_err(explain)?;
    match component.strip_prefix("shadow:") {
        Some(shadow) => file.take_shadow(queue, *role, shadow).map_err(explain)?,
        None => {
            let named = Named::find(context, runtime, &config, &store, component)?;
            file.set_component(queue, *role, &named.component, named.pin().as_deref()).map_err(explain)?;
        }
    }
    if let Some(path) = parameters {
        let text = std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display()), ""))?;
        file.set_parameters(queue, *role, &text).map_err(|error| about(path, error))?;
    }
    Edit { context, runtime, config: &config, store: &store, queue, role: *role, going_back: false }.carry_out(file, !no_wait)
}

pub(super) fn rollback(context: &Context<'_>, runtime: &Runtime, arguments: &RollbackArguments) -> Result<Exit, Failure> {
    let RollbackArguments { queue, role, to, no_wait } = arguments;
    let config = context.load_config()?;
    let store = context.open_store(&config)?;
    let mut file = PluginsFile::read(&config.plugins_path()).map_err(explain)?;
    let now = file.settings(queue, *role).map_err(explain)?;
    let versions = store.list_plugin_versions(queue, store_role(*role)).wait()?;
    let target = choose(&versions, &now, *to).ok_or_else(|| {
        Failure::usage(
            to.map_or_else(|| "there is no version before this one".to_owned(), |to| format!("there is no version {to}")),
            format!("`ranked plugin versions {queue} {}` lists them", role.name()),
        )
    })?;
    file.put_back(queue, *role, &target.settings).map_err(explain)?;
    Edit { context, runtime, config: &config, store: &store, queue, role: *role, going_back: true }.carry_out(file, !no_wait)
}

/// The version asked for, or the one before the newest record of what stands in the file now.
fn choose<'a>(versions: &'a [PluginVersion], now: &str, to: Option<u64>) -> Option<&'a PluginVersion> {
    match to {
        Some(number) => versions.iter().find(|version| version.number == number),
        None => {
            // A table that no command wrote comes after all of them.
            let present = versions.iter().rposition(|version| is_same_table(&version.settings, now)).unwrap_or(versions.len());
            versions[..present].iter().rfind(|version| !is_same_table(&version.settings, now))
        }
    }
}

pub(super) fn versions(context: &Context<'_>, arguments: &VersionsArguments) -> Result<Exit, Failure> {
    let VersionsArguments { queue, role } = arguments;
    let config = context.load_config()?;
    let store = context.open_store(&config)?;
    let now = PluginsFile::read(&config.plugins_path()).and_then(|mut file| file.settings(queue, *role)).map_err(explain)?;
    let versions = store.list_plugin_versions(queue, store_role(*role)).wait()?;
    let present = versions.iter().rposition(|version| is_same_table(&version.settings, &now));
    let newest_first = || versions.iter().enumerate().rev().take(VERSIONS_SHOWN);
    let rows = newest_first().map(|(position, version)| {
        let mark = if Some(position) == present { "in plugins.toml" } else { "" };
        let PluginVersion { number, digest, written_by, written_at, .. } = version;
        [number.to_string(), text::short(&digest.to_string()), text::time(*written_at), text::printable(written_by), mark.to_owned()]
    });
    let shown = table(["VERSION", "SHA256", "WRITTEN", "BY", ""], rows);
    let value = json!({ "versions": newest_first().map(|(position, version)| json!({
        "version": version.number,
        "sha256": version.digest.to_string(),
        "written_at_ms": version.written_at.0,
        "written_by": version.written_by,
        "settings": version.settings,
        "present": Some(position) == present,
    })).collect::<Vec<_>>() });
    context.terminal.answer(&shown, &value)?;
    Ok(Exit::Done)
}

/// A component as `plugins.toml` names it.
struct Named {
    component: String,
    /// `None`: built in, it changes with the program.
    digest: Option<Digest>,
}

impl Named {
    fn find(context: &Context<'_>, runtime: &Runtime, config: &Config, store: &Store, asked: &str) -> Result<Self, Failure> {
        if asked.starts_with("builtin:") {
            return Ok(Self { component: asked.to_owned(), digest: None });
        }
        let path = Path::new(asked);
        let digest = if path.is_file() {
            install::install(context, runtime, config, store, path, None)?.digest
        } else {
            Self::installed(store, asked)?
        };
        Ok(Self { component: components::path_of(digest), digest: Some(digest) })
    }

    /// The one installed component whose digest starts so.
    fn installed(store: &Store, asked: &str) -> Result<Digest, Failure> {
        let digits = asked.strip_prefix("sha256:").unwrap_or(asked).to_ascii_lowercase();
        let installed = store.list_components().wait()?;
        let mut fitting = installed.iter().filter(|component| component.digest.to_string().starts_with(&digits));
        match (fitting.next(), fitting.next()) {
            (Some(component), None) if digits.len() >= 4 => Ok(component.digest),
            (Some(_), Some(_)) => {
                Err(Failure::usage(format!("more than one installed component starts with {digits}"), "write more digits"))
            }
            _ => Err(Failure::usage(
                format!("`{}` is no file, no built-in component and no installed one", text::printable(asked)),
                "`ranked plugin install FILE` installs one; built-in ones are written `builtin:gaussian`",
            )),
        }
    }

    fn pin(&self) -> Option<String> {
        self.digest.map(|digest| format!("sha256:{digest}"))
    }
}

/// One change of one table, from the text to the running host.
struct Edit<'a> {
    context: &'a Context<'a>,
    runtime: &'a Runtime,
    config: &'a Config,
    store: &'a Store,
    queue: &'a str,
    role: Role,
    /// A table of before is put back: that makes no new version.
    going_back: bool,
}

impl Edit<'_> {
    fn carry_out(&self, mut file: PluginsFile, wait: bool) -> Result<Exit, Failure> {
        let Self { context, config, store, queue, role, .. } = *self;
        let fresh = config.with_plugins_text(file.text(), &plugin_runtime::builtin_names())?;
        let wanted = fresh.queue(queue).ok_or_else(|| Failure::usage(format!("there is no queue `{queue}`"), ""))?;
        let plugin = self.try_out(&fresh)?;
        self.check_trust(wanted.plugin(role))?;
        let digest = plugins::named_digest(wanted.plugin(role));
        if file.changed_meanwhile()? {
            return Err(Failure::refused("plugins.toml was changed meanwhile, and nothing was written", "try again"));
        }
        let mut before = PluginsFile::read(&config.plugins_path()).map_err(explain)?;
        let replaced = config.queue(queue).map_or(digest, |queue| plugins::named_digest(queue.plugin(role)));
        self.record(before.settings(queue, role).map_err(explain)?, replaced)?;
        secret_file::replace_public(&config.plugins_path(), &file.text())?;
        let version = self.record(file.settings(queue, role).map_err(explain)?, digest)?;
        let followed = following::reload(context, store, Some(&Change { queue, role, digest }), wait)?;
        let shown = format!(
            "{plugin}\nqueue     {queue}  role {}  version {version}  sha256:{digest}\nstate     {}",
            role.name(),
            followed.sentence()
        );
        let value = json!({
            "queue": queue,
            "role": role.name(),
            "version": version,
            "sha256": digest.to_string(),
            "state": followed.word(),
        });
        context.terminal.answer(&shown, &value)?;
        Ok(Exit::Done)
    }

    /// Where signatures are wanted, whoever signed a component must still be trusted: the list may be shorter than when it was installed.
    fn check_trust(&self, plugin: &PluginConfig) -> Result<(), Failure> {
        let rules = &self.config.host.plugins;
        let (Signatures::Required, ComponentSource::File { digest, .. }) = (rules.signatures, &plugin.component) else { return Ok(()) };
        let installed = self.store.list_components().wait()?;
        let signer = installed.iter().find(|component| component.digest == *digest).and_then(|component| component.publisher.as_deref());
        let key = signer.and_then(|signer| signer.rsplit_once(' ')).map(|(_, key)| key);
        if rules.publishers.iter().any(|known| key == Some(known.key.to_string().as_str())) {
            return Ok(());
        }
        Err(Failure::refused(
            format!("nobody on the trust list has signed sha256:{digest}, and this host wants signatures"),
            "install it again with a signature",
        ))
    }

    /// Going back does not make a new version of the old table. Everything else does, unless it is the newest one: the version before is
    /// the one that ran before.
    fn record(&self, settings: String, digest: Digest) -> Result<u64, Failure> {
        let role = store_role(self.role);
        let known = self.store.list_plugin_versions(self.queue, role).wait()?;
        let candidates = if self.going_back { known.len() } else { 1 };
        if let Some(known) = known.iter().rev().take(candidates).find(|known| is_same_table(&known.settings, &settings)) {
            return Ok(known.number);
        }
        let new = NewPluginVersion { queue: self.queue.to_owned(), role, settings, digest, written_by: following::operator() };
        Ok(self.store.record_plugin_version(new, self.context.clock.now()).wait()?)
    }

    /// Loads the plugin with the queue's parameters and calls it once; says who it is.
    fn try_out(&self, config: &Config) -> Result<String, Failure> {
        let Self { runtime, queue, role, .. } = *self;
        let queue = config.queue(queue).ok_or_else(|| Failure::usage(format!("there is no queue `{queue}`"), ""))?;
        let (description, called) = match role {
            Role::Rating => {
                let engine = plugins::load_rating(runtime, config, queue)?;
                let contest = engine.initial().map(|(stranger, _)| first_contest(&queue.shape, stranger, self.context.clock.now()));
                (engine.description().clone(), contest.and_then(|contest| engine.rate(&[], &contest)).map(drop))
            }
            Role::Rules => {
                let rules = plugins::load_rules(runtime, config, queue)?;
                (rules.description().clone(), rules.review(&first_claim(&queue.shape)).map(drop))
            }
            Role::Policy => {
                let policy = plugins::load_policy(runtime, config, queue)?;
                policy.forecast_with(Arc::new(plugins::load_rating(runtime, config, queue)?));
                (policy.description().clone(), policy.propose(&Pool::default()).map(drop))
            }
        };
        // Declining one contest is an answer.
        if let Err(fault) = called.or_else(|fault| if matches!(fault, PluginFault::Declined { .. }) { Ok(()) } else { Err(fault) }) {
            return Err(Failure::refused(
                format!("the plugin loads and fails at its first call: it {}", chain(&fault)),
                "nothing was changed; `ranked plugin check` looks closer",
            ));
        }
        Ok(format!("tried     {} {}", text::printable(&description.name), text::printable(&description.version)))
    }
}

/// Strangers, one team after the other in order.
fn first_contest(shape: &QueueShape, stranger: ladder::rating::Rating, now: UnixMillis) -> Contest {
    let size = |team: u16| shape.team_sizes.get(usize::from(team)).or(shape.team_sizes.first()).copied().unwrap_or(1);
    let entrant = |team| Entrant { rating: stranger.clone(), team, contests: 0, idle_s: 0, presence: 1.0, stats: vec![] };
    Contest {
        places: (0..shape.teams).collect(),
        scores: vec![],
        setting: Setting { at_s: now.seconds(), map: None, mode: None, sides: vec![] },
        totals: vec![],
        trust: 1.0,
        entrants: (0..shape.teams).flat_map(|team| (0..size(team)).map(move |_| team)).map(entrant).collect(),
    }
}

/// A report without statistics.
fn first_claim(shape: &QueueShape) -> Claim {
    Claim { duration_s: 600, places: (0..shape.teams).collect(), scores: vec![], lines: vec![], server: ServerRecord::default() }
}

fn explain(error: EditError) -> Failure {
    match error {
        EditError::Config(error) => error.into(),
        EditError::NoShadow { .. } => Failure::usage(error.to_string(), "`ranked plugin status` shows the shadows"),
        EditError::NoTable { .. } => Failure::usage(error.to_string(), "`ranked plugin list` shows the queues and their roles"),
        other => Failure::usage(format!("plugins.toml: {}", chain(&other)), ""),
    }
}

fn about(path: &Path, error: EditError) -> Failure {
    match error {
        EditError::NoToml(error) => Failure::usage(format!("{}: {error}", path.display()), "write it as the table below `parameters`"),
        other => explain(other),
    }
}
