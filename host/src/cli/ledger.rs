//! `ranked ledger`: are the journal and the ratings in force what they should be, and the ratings built again from the journal.

use std::sync::Arc;

use indicatif::ProgressBar;
use ladder::id::QueueId;
use ladder::rating::RatingEngine;
use plugin_runtime::Runtime;
use serde_json::{Value, json};
use store::{ChainCheck, CheckRefusal, Difference, Differences, RatingsCheck, ReplayProgress, Replayed, Store};

use super::failure::{Failure, chain};
use super::journal::progress_bar;
use super::{Context, Exit, text};
use crate::config::{Config, QueueConfig};
use crate::plugins;

/// Differences that people are shown; machines get all that are listed.
const DIFFERENCES_SHOWN: usize = 10;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Check the hash chain of the whole journal, and the ratings in force against the journal, bit for bit. Exit code 1 on a difference.
    ///
    /// The reports of every queue are rated again in memory with the engine of plugins.toml and compared with what is stored; the host may
    /// go on meanwhile. Ratings of another engine than the one in plugins.toml cannot be checked: that counts as a finding.
    #[command(after_help = "Example: ranked ledger verify")]
    Verify {
        /// Only this queue's ratings; the chain is the whole journal's in any case.
        #[arg(long)]
        queue: Option<String>,
    },
    /// Rate a queue's journal again from its start and put the result in force, while the host serves or not; shows what differs.
    ///
    /// The engine is the one of plugins.toml. If the ratings in force are another engine's, this is a swap, and the two are compared. What
    /// was in force stays until the new ratings take their place in one transaction. What each report changed is written by the running host
    /// afterwards, or by the next one.
    #[command(after_help = "Example: ranked ledger replay duel")]
    Replay {
        /// Its name in plugins.toml.
        queue: String,
    },
}

pub(super) fn run(context: &Context<'_>, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Verify { queue } => verify(context, queue.as_deref()),
        Command::Replay { queue } => replay(context, &queue),
    }
}

/// A queue whose engine was loaded.
struct Loaded {
    id: QueueId,
    engine: Arc<dyn RatingEngine>,
}

fn load(config: &Config, runtime: &Runtime, store: &Store, queue: &QueueConfig) -> Result<Loaded, Failure> {
    let engine = Arc::new(plugins::load_rating(runtime, config, queue)?);
    Ok(Loaded { id: store.ensure_queue(queue.name()).wait()?, engine })
}

/// A queue that has ratings and that plugins.toml does not name: nobody rates its reports or carries its decisions out.
fn describe_unnamed(queue: &str) -> (String, Value) {
    let shown = format!("{}  QUEUE NOT CHECKED: not in plugins.toml; put it back there\n", text::printable(queue));
    (shown, json!({ "queue": queue, "sound": false, "refused": "not in plugins.toml" }))
}

fn find<'a>(config: &'a Config, name: &str) -> Result<&'a QueueConfig, Failure> {
    let known = || config.queues.iter().map(QueueConfig::name).collect::<Vec<_>>().join(", ");
    let missing = || Failure::usage(format!("plugins.toml has no queue `{}`", text::printable(name)), format!("it has: {}", known()));
    config.queue(name).ok_or_else(missing)
}

fn runtime() -> Result<Runtime, Failure> {
    Runtime::new().map_err(|error| Failure::environment(chain(&error)))
}

fn show(bar: &ProgressBar, at: ReplayProgress) {
    bar.set_length(at.head.0);
    bar.set_position(at.through.0);
}

fn verify(context: &Context<'_>, only: Option<&str>) -> Result<Exit, Failure> {
    let config = context.load_config()?;
    if let Some(name) = only {
        find(&config, name)?;
    }
    let store = context.open_store(&config)?;
    let bar = progress_bar(context, 0, "entries of the chain");
    let checked = store.check_chain(|at| show(&bar, at))?;
    bar.finish_and_clear();
    let mut shown = show_chain(&checked);
    let mut sound = checked.broken.is_none();
    let mut queues = Vec::new();
    // What a broken journal would give means nothing.
    if sound {
        let runtime = runtime()?;
        // A check writes nothing, not even the name of a new queue.
        let known = store.list_queues().wait()?;
        for queue in config.queues.iter().filter(|queue| only.is_none_or(|only| only == queue.name())) {
            let engine: Arc<dyn RatingEngine> = Arc::new(plugins::load_rating(&runtime, &config, queue)?);
            let answer = match known.iter().find(|(_, name)| name == queue.name()) {
                None => Err(CheckRefusal::NothingInForce),
                Some((id, _)) => {
                    let bar = progress_bar(context, 0, "entries rated again");
                    let answer = store.check_ratings(*id, &engine, |at| show(&bar, at))?;
                    bar.finish_and_clear();
                    answer
                }
            };
            let (text, value, is_sound) = describe(queue.name(), &answer);
            shown.push_str(&text);
            queues.push(value);
            sound &= is_sound;
        }
        for (id, name) in known.iter().filter(|(_, name)| only.is_none() && config.queue(name).is_none()) {
            if store.active_engine(*id).wait()?.is_some() {
                let (text, value) = describe_unnamed(name);
                shown.push_str(&text);
                queues.push(value);
                sound = false;
            }
        }
    }
    let head = checked.head.map(|head| json!({ "seq": head.seq.0, "hash": head.hash.to_string() }));
    let problem = checked.broken.as_ref().map(ToString::to_string);
    context.terminal.answer(&shown, &json!({ "sound": sound, "journal_head": head, "problem": problem, "queues": queues }))?;
    Ok(if sound { Exit::Done } else { Exit::Finding })
}

fn show_chain(checked: &ChainCheck) -> String {
    let head = checked.head.map_or_else(|| "empty".to_owned(), |head| format!("{} entries, the last is {}", head.seq, head.hash));
    match &checked.broken {
        None => format!("journal  {head}\n"),
        Some(problem) => format!("journal  BROKEN: {problem}\n         good until then: {head}\n"),
    }
}

/// One queue for people and for machines, and whether it is as it should be.
fn describe(queue: &str, answer: &Result<RatingsCheck, CheckRefusal>) -> (String, Value, bool) {
    match answer {
        Ok(check) => {
            let RatingsCheck { generation, revision, newest_revision, reports, through, differences, first_report } = check;
            let pending = newest_revision > revision;
            let sound = differences.is_empty() && !pending;
            let verdict = if differences.is_empty() { "as the journal gives them, bit for bit" } else { "NOT what the journal gives" };
            let mut text = format!("{queue}  {} players, {reports} reports: {verdict} (generation {generation})\n", differences.players);
            if pending {
                text.push_str(&format!(
                    "         A DECISION IS NOT IN FORCE YET: these are the ratings of revision {revision}, the newest is {newest_revision}; `ranked incident list`\n"
                ));
            }
            text.push_str(&show_differences(differences));
            if let Some((seq, Difference { player, field, stored, recomputed })) = first_report {
                text.push_str(&format!(
                    "         first report: journal entry {seq}, player {player}: {field} afterwards {stored}, recomputed {recomputed}\n"
                ));
            }
            let first = first_report.as_ref().map(|(seq, difference)| json!({ "seq": seq.0, "difference": to_json(difference) }));
            let value = json!({
                "queue": queue, "sound": sound, "generation": generation.0, "reports": reports, "through": through.0,
                "revision": revision, "newest_revision": newest_revision, "decision_pending": pending,
                "differences": differences_to_json(differences), "first_report": first,
            });
            (text, value, sound)
        }
        Err(CheckRefusal::NothingInForce) => {
            (format!("{queue}  has no ratings yet\n"), json!({ "queue": queue, "sound": true, "refused": "nothing-in-force" }), true)
        }
        Err(refusal) => {
            let help = match refusal {
                CheckRefusal::OtherEngine => {
                    "; plugins.toml names another one: start the host or `ranked ledger replay` to put it in force, or put the former one back"
                }
                _ => "",
            };
            let problem = chain(refusal);
            (format!("{queue}  NOT CHECKED: {problem}{help}\n"), json!({ "queue": queue, "sound": false, "refused": problem }), false)
        }
    }
}

fn replay(context: &Context<'_>, name: &str) -> Result<Exit, Failure> {
    let config = context.load_config()?;
    let queue = find(&config, name)?;
    let store = context.open_store(&config)?;
    let Loaded { id, engine } = load(&config, &runtime()?, &store, queue)?;
    let (digest, parameters) = (engine.digest(), engine.parameters().to_owned());
    let bar = progress_bar(context, 0, "entries rated again");
    let replayed = store.replay_ledger(id, engine, |at| show(&bar, at), context.clock.now())?;
    bar.finish_and_clear();
    let Replayed { installed, before, differences } = replayed.map_err(|refusal| {
        Failure::refused(format!("{}; what was in force stays", chain(&refusal)), "`ranked journal status` shows what waits")
    })?;
    let same_engine = before.as_ref().is_some_and(|before| before.engine_digest == digest && before.parameters == parameters);
    let mut shown = format!("replayed  queue {name}: generation {} is in force\n", installed.generation);
    match &before {
        None => shown.push_str("before    the queue had no ratings\n"),
        Some(before) if same_engine => shown.push_str(&format!("before    generation {} of the same engine\n", before.generation)),
        Some(before) => shown.push_str(&format!(
            "before    generation {} of another engine, {}: the differences are those between the two engines\n",
            before.generation, before.engine_digest
        )),
    }
    shown.push_str(&format!("differ    {} of {} players\n", differences.differing, differences.players));
    shown.push_str(&show_differences(&differences));
    if installed.waits {
        shown.push_str("waiting   reports wait to be rated: `ranked journal status`\n");
    }
    let value = json!({
        "queue": name, "generation": installed.generation.0, "waits": installed.waits, "same_engine": same_engine,
        "before": before.map(|before| json!({ "generation": before.generation.0, "engine_digest": before.engine_digest.to_string() })),
        "differences": differences_to_json(&differences),
    });
    context.terminal.answer(&shown, &value)?;
    Ok(Exit::Done)
}

fn show_differences(differences: &Differences) -> String {
    let mut shown = String::new();
    for Difference { player, field, stored, recomputed } in differences.listed.iter().take(DIFFERENCES_SHOWN) {
        shown.push_str(&format!("         player {player}: {field} stored {stored}, recomputed {recomputed}\n"));
    }
    let more = differences.differing.saturating_sub(DIFFERENCES_SHOWN as u64);
    if more > 0 {
        shown.push_str(&format!("         and {more} more players\n"));
    }
    if !differences.memory_equal {
        shown.push_str("         the engine's memory of the queue differs, too\n");
    }
    shown
}

fn differences_to_json(differences: &Differences) -> Value {
    json!({
        "players": differences.players,
        "differing": differences.differing,
        "memory_equal": differences.memory_equal,
        "listed": differences.listed.iter().map(to_json).collect::<Vec<_>>(),
    })
}

fn to_json(difference: &Difference) -> Value {
    let Difference { player, field, stored, recomputed } = difference;
    json!({ "player": player.0, "field": field, "stored": stored, "recomputed": recomputed })
}
