//! The operator's commands. Each works while the host runs and while it does not: they share the database, never a socket.
//!
//! Exit codes: 0 done, 1 a finding or a negative answer, 2 wrong usage or configuration, 3 the environment failed.

mod cert;
mod db;
mod demo;
mod doctor;

mod failure;
mod incident;
mod init;
mod journal;
mod key;
mod ledger;
mod matches;
mod openapi;
mod plugin;
mod report;
mod season;
mod serve;

mod terminal;
mod text;
mod tune;
mod undoing;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use plugin_runtime::builtin_names;
use store::{Options, Store};

use crate::clock::Clock;
use crate::config::{Config, HOST_FILE};
use crate::keys::{KeyPaths, Keyring, secret_file};
use failure::Failure;
use terminal::Terminal;

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 a finding or a negative answer, 2 wrong usage or configuration, 3 the environment failed.

Example: ranked init && ranked serve";

/// Ranked matchmaking for communities whose game servers nobody fully controls.
#[derive(Parser)]
#[command(name = "ranked", version, after_help = AFTER_HELP, max_term_width = 100)]
struct Arguments {
    /// The host's configuration; plugins.toml and relative paths are found beside it.
    #[arg(long, global = true, env = "RANKED_CONFIG", default_value = HOST_FILE)]
    config: PathBuf,
    /// Answer in JSON, one document on standard output.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a community: commented configuration, keys, community.toml. Overwrites nothing.
    #[command(after_help = "Example: ranked init --dir /srv/ranked --yes")]
    Init(init::Arguments),
    /// Run the host.
    #[command(after_help = "Example: ranked serve --config /srv/ranked/ranked.toml")]
    Serve(serve::Arguments),
    /// Check everything that a host needs, each finding with its remedy. Exit code 1 if anything fails.
    #[command(after_help = "Example: ranked doctor --json")]
    Doctor(doctor::Arguments),
    /// Certificates of game servers.
    #[command(subcommand, after_help = "Example: ranked cert issue --owner eu-1.example --ttl 90d")]
    Cert(cert::Command),
    /// Signing keys.
    #[command(subcommand, after_help = "Example: ranked key status")]
    Key(key::Command),
    /// The database.
    #[command(subcommand, after_help = "Example: ranked db backup")]
    Db(db::Command),
    /// Plugins.
    #[command(subcommand, after_help = "Example: ranked plugin list")]
    Plugin(plugin::Command),
    /// The journal of accepted reports.
    #[command(subcommand, after_help = "Example: ranked journal import halo2_h2h.ndjson.gz --create")]
    Journal(journal::Command),
    /// Look for better parameters of a queue's rating engine in the queue's own matches. Exit code 1 if they gain no more than noise.
    ///
    /// Every set of parameters predicts the journal match by match before it rates. The best is chosen on the middle part and confirmed on the
    /// last part, by which none was chosen. Ctrl-C ends the search and keeps the best so far.
    #[command(after_help = "Example: ranked tune duel --write")]
    Tune(tune::Arguments),
    /// Matches, and why each moved the ratings as it did.
    #[command(subcommand, name = "match", after_help = "Example: ranked match why 17")]
    Match(matches::Command),
    /// Accepted reports: what came, what is held, and decisions about them.
    #[command(subcommand, after_help = "Example: ranked report list --held")]
    Report(report::Command),
    /// Take back what a game server did to the ratings, and undo that.
    #[command(subcommand, after_help = "Example: ranked incident rollback --server 7f0c --since \"6h ago\"")]
    Incident(incident::Command),
    /// The ratings in force: checked against the journal, and built again from it.
    #[command(subcommand, after_help = "Example: ranked ledger verify")]
    Ledger(ledger::Command),
    /// Seasons: start one, list them, show the standings that each ended with.
    #[command(subcommand, after_help = "Example: ranked season list duel")]
    Season(season::Command),
    /// Run a whole community here for a look: host, game servers and players, over real TCP.
    #[command(after_help = "Example: ranked demo --players 40 --seconds 300")]
    Demo(demo::Arguments),
    /// Print the OpenAPI document of the HTTP interface.
    #[command(after_help = "Example: ranked openapi > openapi.json")]
    Openapi,
}

/// How a command ended, short of a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exit {
    Done,
    /// Something was found that the operator should know: a certificate that is not ok, a failed check.
    Finding,
}

/// Runs one command with the process's own arguments.
#[must_use]
pub fn main() -> ExitCode {
    // Clap itself ends the process for --help (0) and for wrong usage (2).
    let arguments = Arguments::parse();
    let terminal = Terminal::new(arguments.json);
    let context = Context { terminal: &terminal, config: arguments.config, clock: Clock::system() };
    match run(&context, arguments.command) {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Finding) => ExitCode::from(1),
        Err(failure) => {
            terminal.failure(&failure);
            failure.exit_code()
        }
    }
}

fn run(context: &Context<'_>, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Init(arguments) => init::run(context, arguments),
        Command::Serve(arguments) => serve::run(context, arguments),
        Command::Doctor(arguments) => doctor::run(context, &arguments),
        Command::Cert(command) => cert::run(context, command),
        Command::Key(command) => key::run(context, command),
        Command::Db(command) => db::run(context, command),
        Command::Plugin(command) => plugin::run(context, command),
        Command::Journal(command) => journal::run(context, command),
        Command::Match(command) => matches::run(context, command),
        Command::Report(command) => report::run(context, command),
        Command::Incident(command) => incident::run(context, command),
        Command::Ledger(command) => ledger::run(context, command),
        Command::Season(command) => season::run(context, command),
        Command::Tune(arguments) => tune::run(context, &arguments),
        Command::Demo(arguments) => demo::run(context, arguments),
        Command::Openapi => openapi::run(context),
    }
}

/// What every command has at hand.
struct Context<'a> {
    terminal: &'a Terminal,
    config: PathBuf,
    clock: Clock,
}

impl Context<'_> {
    fn load_config(&self) -> Result<Config, Failure> {
        Ok(Config::load(&self.config, &builtin_names())?)
    }

    /// Opens the database and the keys, agreed with each other.
    fn open(&self) -> Result<Opened, Failure> {
        let config = self.load_config()?;
        let mut keyring = Keyring::load(KeyPaths::of(&config))?;
        let store = self.open_store(&config)?;
        wait_for(keyring.settle(&store, channel_life(&config), self.clock.now()))??;
        Ok(Opened { config, keyring, store })
    }

    fn open_store(&self, config: &Config) -> Result<Store, Failure> {
        let path = config.database_path();
        if let Some(folder) = path.parent() {
            secret_file::create_folder(folder)?;
        }
        Ok(Store::open(path, Options::default())?)
    }
}

/// A community, ready for a command.
struct Opened {
    config: Config,
    keyring: Keyring,
    store: Store,
}

fn channel_life(config: &Config) -> Duration {
    days(config.host.keys.channel_days)
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days.saturating_mul(86_400))
}

/// Commands are not async; what they share with the host is.
fn wait_for<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::environment)?;
    Ok(runtime.block_on(future))
}
