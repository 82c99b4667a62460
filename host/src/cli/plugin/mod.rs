//! `ranked plugin`: what the queues run, and what a component is.

mod activate;
mod backtest;
mod bench;
mod build;
mod check;
mod compare;
mod compare_policies;
mod following;
mod install;
mod new;
mod repl;
mod sign;
mod status;
mod subject;
mod test;
mod vectors;

pub(super) use following::operator;

use std::path::Path;

use plugin_runtime::{Inspection, PluginSource, Role, Runtime, WasiGrant, builtin_names};
use serde_json::{Value, json};

use super::failure::{Failure, chain};
use super::terminal::table;
use super::{Context, Exit, text};
use crate::config::{ComponentSource, Config, QueueConfig};
use crate::plugins;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Load every plugin of every queue and show it. Exit code 1 if one does not load.
    #[command(after_help = "Example: ranked plugin list --json")]
    List,
    /// Show what a component is, wants and offers, without putting it into service.
    #[command(after_help = "Example: ranked plugin inspect builtin:gaussian")]
    Inspect {
        /// A component file, or `builtin:NAME`.
        component: String,
    },
    /// Check whether a component keeps the contract: determinism, order, harsh inputs, budget. Exit code 1 if it does not.
    #[command(after_help = "Example: ranked plugin check my-engine.component.wasm --team-sizes 5,5")]
    Check(check::Arguments),
    /// Begin a plugin: sources that work, the contract, cases. Needs no network.
    #[command(after_help = "Example: ranked plugin new my-elo --role rating --lang rust")]
    New(new::Arguments),
    /// Make the component of a plugin with the tools of its language.
    #[command(after_help = "Example: ranked plugin build my-elo")]
    Build(build::Arguments),
    /// Check a component and its signature, and put it where plugins.toml can name it. Nothing runs it yet.
    #[command(after_help = "Example: ranked plugin install elo.wasm")]
    Install(install::Arguments),
    /// Put a component in force for a role of a queue, after it was tried: changes plugins.toml, and the running host follows.
    ///
    /// Rules and policies are exchanged at once. A rating engine rates the whole journal first, while the old one goes on. Without a
    /// running host, its next start uses what was written. Exit code 1 if it is refused.
    #[command(after_help = "Example: ranked plugin activate duel rating sha256:3f2a")]
    Activate(activate::ActivateArguments),
    /// Put back what filled a role before.
    #[command(after_help = "Example: ranked plugin rollback duel rating")]
    Rollback(activate::RollbackArguments),
    /// List what filled a role, by command, the newest first.
    #[command(after_help = "Example: ranked plugin versions duel rating")]
    Versions(activate::VersionsArguments),
    /// Ask the running host to read plugins.toml again. SIGHUP does the same. Exit code 1 if it refuses anything, or if no host runs here.
    #[command(after_help = "Example: ranked plugin reload")]
    Reload,
    /// Show what the running host has in force, is building or refused. Exit code 1 if it refused something.
    #[command(after_help = "Example: ranked plugin status --json")]
    Status,
    /// Make a key to sign components with.
    #[command(after_help = "Example: ranked plugin publisher --out acme.key")]
    Publisher(sign::PublisherArguments),
    /// Sign a component, so that hosts that trust its publisher take it.
    #[command(after_help = "Example: ranked plugin sign elo.wasm --key acme.key")]
    Sign(sign::SignArguments),
    /// Run an author's cases (cases/*.toml), and reference vectors; show each field that differs. Exit code 1 if one does.
    #[command(after_help = "Example: ranked plugin test my-engine.component.wasm --cases cases")]
    Test(test::Arguments),
    /// Measure what a call costs, in time and fuel, beside the built-in component of the same role.
    #[command(after_help = "Example: ranked plugin bench my-engine.component.wasm --team-sizes 5,5")]
    Bench(bench::Arguments),
    /// Predict a history contest by contest, before rating each; show log loss, accuracy and Brier score beside the built-in engine's.
    #[command(after_help = "Example: ranked plugin backtest my-engine.component.wasm --data halo2_h2h.ndjson.gz --score-after 0.5")]
    Backtest(backtest::Arguments),
    /// Compare the shadows of a queue with its rating engine on the community's own matches: log loss, accuracy, Brier score, calibration,
    /// and who would move where. Exit code 1 if a shadow does not load or faults.
    #[command(after_help = "Example: ranked plugin compare duel --json")]
    Compare(compare::Arguments),
    /// Type contests (`a,b beat c,d 16-9`) and see what a rating engine makes of them. Reads standard input, also from a pipe.
    #[command(after_help = "Example: ranked plugin repl builtin:gaussian")]
    Repl(repl::Arguments),
}

pub(super) fn run(context: &Context<'_>, command: Command) -> Result<Exit, Failure> {
    let runtime = Runtime::new().map_err(|error| Failure::environment(chain(&error)))?;
    match command {
        Command::List => list(context, &runtime),
        Command::Inspect { component } => inspect(context, &runtime, &component),
        Command::Check(arguments) => check::run(context, &runtime, &arguments),
        Command::New(arguments) => new::run(context, arguments),
        Command::Build(arguments) => build::run(context, &arguments),
        Command::Install(arguments) => install::run(context, &runtime, &arguments),
        Command::Activate(arguments) => activate::activate(context, &runtime, &arguments),
        Command::Rollback(arguments) => activate::rollback(context, &runtime, &arguments),
        Command::Versions(arguments) => activate::versions(context, &arguments),
        Command::Reload => status::reload(context),
        Command::Status => status::status(context),
        Command::Publisher(arguments) => sign::publisher(context, &arguments),
        Command::Sign(arguments) => sign::sign(context, &arguments),
        Command::Test(arguments) => test::run(context, &runtime, &arguments),
        Command::Bench(arguments) => bench::run(context, &runtime, &arguments),
        Command::Backtest(arguments) => backtest::run(context, &runtime, &arguments),
        Command::Compare(arguments) => compare::run(context, &runtime, &arguments),
        Command::Repl(arguments) => repl::run(context, &runtime, &arguments),
    }
}

/// One plugin of one queue, loaded or not.
struct Listed<'a> {
    queue: &'a str,
    role: Role,
    component: String,
    digest: Option<String>,
    loaded: Result<String, Failure>,
}

fn list(context: &Context<'_>, runtime: &Runtime) -> Result<Exit, Failure> {
    let config = context.load_config()?;
    let pairs = config.queues.iter().flat_map(|queue| Role::ALL.map(|role| (queue, role)));
    let plugins: Vec<_> = pairs.map(|(queue, role)| load(runtime, &config, queue, role)).collect();
    let rows = plugins.iter().map(|plugin| {
        let state = plugin.loaded.as_ref().map_or_else(|_| "DOES NOT LOAD".to_owned(), Clone::clone);
        let digest = plugin.digest.as_deref().map(text::short).unwrap_or_default();
        [plugin.queue.to_owned(), plugin.role.name().to_owned(), plugin.component.clone(), digest, state]
    });
    let mut shown = table(["QUEUE", "ROLE", "COMPONENT", "SHA256", "PLUGIN"], rows);
    for failure in plugins.iter().filter_map(|plugin| plugin.loaded.as_ref().err()) {
        shown.push_str("\n\n");
        shown.push_str(failure.render().trim_end());
    }
    let value = json!({ "plugins": plugins.iter().map(|plugin| json!({
        "queue": plugin.queue,
        "role": plugin.role.name(),
        "component": plugin.component,
        "sha256": plugin.digest,
        "loaded": plugin.loaded.is_ok(),
        "plugin": plugin.loaded.as_ref().ok(),
        "failure": plugin.loaded.as_ref().err().map(Failure::to_json),
    })).collect::<Vec<_>>() });
    context.terminal.answer(&shown, &value)?;
    Ok(if plugins.iter().all(|plugin| plugin.loaded.is_ok()) { Exit::Done } else { Exit::Finding })
}

fn load<'a>(runtime: &Runtime, config: &Config, queue: &'a QueueConfig, role: Role) -> Listed<'a> {
    let component = match &queue.plugin(role).component {
        ComponentSource::Builtin { name, .. } => format!("builtin:{name}"),
        ComponentSource::File { path, .. } => path.display().to_string(),
    };
    let digest = plugins::spec(config, queue, role).ok().map(|spec| spec.source.digest().to_string());
    let named = |description: &plugin_runtime::Description| {
        format!("{} {}", text::printable(&description.name), text::printable(&description.version))
    };
    let loaded = match role {
        Role::Rating => plugins::load_rating(runtime, config, queue).map(|plugin| named(plugin.description())),
        Role::Rules => plugins::load_rules(runtime, config, queue).map(|plugin| named(plugin.description())),
        Role::Policy => plugins::load_policy(runtime, config, queue).map(|plugin| named(plugin.description())),
    };
    Listed { queue: queue.name(), role, component, digest, loaded: loaded.map_err(Failure::from) }
}

fn inspect(context: &Context<'_>, runtime: &Runtime, component: &str) -> Result<Exit, Failure> {
    let source = match component.strip_prefix("builtin:") {
        Some(name) => PluginSource::builtin(name).ok_or_else(|| {
            Failure::usage(
                format!("there is no built-in component `{}`", text::printable(name)),
                format!("known: {}", builtin_names().join(", ")),
            )
        })?,
        None => plugins::read(Path::new(component)).map_err(|error| Failure::usage(format!("{component}: {error}"), ""))?,
    };
    let inspection = runtime.inspect(&source).map_err(|error| Failure::refused(format!("{component} {}", chain(&error)), ""))?;
    context.terminal.answer(&describe(component, &inspection), &to_json(component, &inspection))?;
    Ok(if inspection.described.is_ok() { Exit::Done } else { Exit::Finding })
}

fn describe(component: &str, inspection: &Inspection) -> String {
    let roles: Vec<_> = inspection.roles.iter().map(|role| role.name()).collect();
    let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let mut shown = format!(
        "component  {component}\ndigest     \"sha256:{}\"\nsize       {} bytes, compiled in {:.1} ms\nroles      {}\nimports    {}\nexports    {}\n",
        inspection.digest,
        inspection.bytes,
        inspection.compile_time.as_secs_f64() * 1e3,
        if roles.is_empty() { "none: this is no plugin".to_owned() } else { roles.join(", ") },
        list(&inspection.imports),
        list(&inspection.exports),
    );
    if inspection.needs_wasi != WasiGrant::None {
        shown.push_str(&format!("needs      wasi = \"{}\" in its table of plugins.toml\n", inspection.needs_wasi.name()));
    }
    match &inspection.described {
        Ok(described) => shown.push_str(&format!(
            "plugin     {} {}  ({} fuel, {:.0} us to say so)\nparameters (JSON Schema)\n{}\n",
            text::printable(&described.description.name),
            text::printable(&described.description.version),
            described.fuel_used,
            described.wall_time.as_secs_f64() * 1e6,
            pretty(&described.description.parameters_schema),
        )),
        Err(error) => shown.push_str(&format!("plugin     CANNOT BE USED: it {}\n", chain(error))),
    }
    shown
}

/// A schema is a plugin's own text: shown in full if it is JSON, escaped otherwise.
fn pretty(schema: &str) -> String {
    serde_json::from_str::<Value>(schema).map_or_else(|_| text::printable(schema), |value| format!("{value:#}"))
}

fn to_json(component: &str, inspection: &Inspection) -> Value {
    let described = inspection.described.as_ref();
    json!({
        "component": component,
        "sha256": inspection.digest.to_string(),
        "bytes": inspection.bytes,
        "roles": inspection.roles.iter().map(|role| role.name()).collect::<Vec<_>>(),
        "imports": inspection.imports,
        "needs_wasi": inspection.needs_wasi.name(),
        "exports": inspection.exports,
        "compile_ms": inspection.compile_time.as_secs_f64() * 1e3,
        "name": described.ok().map(|described| &described.description.name),
        "version": described.ok().map(|described| &described.description.version),
        "parameters_schema": described.ok().map(|described| &described.description.parameters_schema),
        "problem": described.err().map(|error| chain(error)),
    })
}
