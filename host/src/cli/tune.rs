//! `ranked tune`: better parameters for a queue's rating engine, from the queue's own journal, written as a shadow if the operator wants.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::ProgressBar;
use ladder::id::JournalSeq;
use ladder::score::Score;
use plugin_runtime::{RatingPlugin, Runtime};
use serde_json::{Map, Value, json};
use store::Store;
use tokio::signal::unix::{SignalKind, signal};

use super::failure::{Failure, chain};
use super::journal::progress_bar;
use super::terminal::table;
use super::{Context, Exit, text};
use crate::author::past::Past;
use crate::config::{Config, PLUGINS_FILE, PluginsFile, QueueConfig};
use crate::keys::secret_file;
use crate::plugins;
use crate::tune::domain::{Domain, Domains, domains};
use crate::tune::search::{Answer, search};
use crate::tune::{ERRORS_BEYOND_NOISE, Gain, Parts, Scored, gain, score};

/// Journal entries that are read at once.
const ENTRIES_PER_READ: u32 = 1_000;
/// How the shadow with the found parameters is called.
const SHADOW: &str = "tuned";

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The queue, as plugins.toml names it.
    queue: String,
    /// Sets of parameters to try, at most.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    evaluations: u32,
    /// Search only these parameters; may be given several times. Otherwise all that the engine's schema gives a range for.
    #[arg(long = "parameter", value_name = "NAME")]
    parameters: Vec<String>,
    /// Matches to look at, the newest: they are held in memory (about 800 bytes for a 5v5 with three statistics).
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    matches: u64,
    /// Score candidates from this share of the matches on; before it, ratings warm up.
    #[arg(long, default_value_t = 0.3)]
    choose_from: f64,
    /// Choose no candidate by what comes after this share of the matches: the best is confirmed there.
    #[arg(long, default_value_t = 0.7)]
    confirm_from: f64,
    /// The same seed tries the same parameters.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the best parameters to plugins.toml as the shadow `tuned`, if they gain more than noise. Nobody's ratings change.
    #[arg(long)]
    write: bool,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<Exit, Failure> {
    check_shares(arguments)?;
    let config = context.load_config()?;
    let queue = find_queue(&config, &arguments.queue)?;
    let store = context.open_store(&config)?;
    let runtime = Runtime::new().map_err(|error| Failure::environment(chain(&error)))?;
    let engine = plugins::load_rating(&runtime, &config, queue)?;
    let domains = find_domains(&engine, &arguments.parameters)?;
    let (past, left_out) = read(&store, queue, arguments.matches)?;
    let contests = past.contests() as u64;
    let parts = Parts::of(contests, arguments.choose_from, arguments.confirm_from).ok_or_else(|| too_few(contests))?;
    let evaluations = arguments.evaluations as usize;
    let bar = progress_bar(context, evaluations as u64 * parts.confirmed_from + 2 * contests, "matches");
    let tuning = Tuning { runtime: &runtime, config: &config, queue, past: &past, parts, bar, stop: stop_on_ctrl_c()? };
    let now = given(queue)?;
    let found = tuning.search(&domains, &now, evaluations, arguments.seed);
    let confirmed = tuning.confirm(&now, &found.parameters);
    tuning.bar.finish_and_clear();
    let outcome = Outcome { now, found, confirmed: confirmed?, parts, left_out };
    let written = match &outcome.confirmed.gain {
        Some(gain) if gain.is_beyond_noise() && arguments.write => Some(write(&config, queue, &outcome.found.parameters)?),
        _ => None,
    };
    outcome.answer(context, queue, &domains, arguments, written)
}

fn find_queue<'a>(config: &'a Config, name: &str) -> Result<&'a QueueConfig, Failure> {
    config.queue(name).ok_or_else(|| {
        let known: Vec<_> = config.queues.iter().map(QueueConfig::name).collect();
        Failure::usage(format!("there is no queue {}", text::printable(name)), format!("plugins.toml has: {}", known.join(", ")))
    })
}

/// What the engine's schema lets be searched.
fn find_domains(engine: &RatingPlugin, asked: &[String]) -> Result<Domains, Failure> {
    let schema: Value = serde_json::from_str(&engine.description().parameters_schema).unwrap_or_default();
    let mut found = domains(&schema);
    if let Some(unknown) = asked.iter().find(|name| !found.searched.iter().any(|domain| domain.name == **name)) {
        let why = found.left.iter().find(|(name, _)| name == unknown).map_or("the engine has no such parameter", |(_, why)| why);
        let known: Vec<_> = found.searched.iter().map(|domain| domain.name.as_str()).collect();
        let title = format!("`{}` cannot be searched: {why}", text::printable(unknown));
        return Err(Failure::usage(title, format!("these can: {}", text::printable(&known.join(", ")))));
    }
    if !asked.is_empty() {
        found.searched.retain(|domain| asked.contains(&domain.name));
    }
    match found.searched.is_empty() {
        true => Err(Failure::refused(
            "the engine's schema gives no parameter a range to search",
            "`builtin:adaptive` tunes itself; docs/plugins.md says what a schema would need",
        )),
        false => Ok(found),
    }
}

/// The newest matches of the queue that are to be rated, and how many older ones there are.
fn read(store: &Store, queue: &QueueConfig, matches_max: u64) -> Result<(Past, u64), Failure> {
    let known = store.list_queues().wait()?;
    let Some((id, _)) = known.iter().find(|(_, name)| name == queue.name()) else {
        return Err(Failure::refused(format!("the journal has no report of queue {}", queue.name()), ""));
    };
    let mut past = Past::of_queue(queue.shape.clone());
    let (mut after, mut left_out) = (JournalSeq(0), 0);
    let matches_max = usize::try_from(matches_max).unwrap_or(usize::MAX);
    loop {
        let reports = store.load_reports(*id, after, ENTRIES_PER_READ).wait()?;
        let Some((last, _)) = reports.last() else { return Ok((past, left_out)) };
        after = *last;
        reports.iter().for_each(|(_, facts)| past.push(facts));
        left_out += past.forget_oldest(matches_max);
    }
}

/// Not a number is no share either.
fn check_shares(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { choose_from, confirm_from, .. } = arguments;
    if !(0.0..1.0).contains(choose_from) || !(*choose_from..1.0).contains(confirm_from) {
        return Err(Failure::usage(
            format!("--choose-from {choose_from} and --confirm-from {confirm_from} do not follow each other between 0 and 1"),
            "the defaults are 0.3 and 0.7",
        ));
    }
    Ok(())
}

fn too_few(contests: u64) -> Failure {
    let help = format!("the part that confirms needs {} at least: play on", crate::tune::CONFIRMED_MIN);
    Failure::refused(format!("{contests} matches are too few to tell a gain from noise"), help)
}

/// The parameters that plugins.toml gives the engine now.
fn given(queue: &QueueConfig) -> Result<Map<String, Value>, Failure> {
    serde_json::from_str(&queue.rating.parameters).map_err(Failure::environment)
}

/// The first Ctrl-C ends the search, and the best so far is confirmed; the second one ends the command.
fn stop_on_ctrl_c() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::environment)?;
    let mut interrupts = {
        let _entered = runtime.enter();
        signal(SignalKind::interrupt()).map_err(Failure::environment)?
    };
    let listen = move || {
        runtime.block_on(async {
            interrupts.recv().await;
            stopping.store(true, Ordering::Relaxed);
            interrupts.recv().await;
            // As the shell counts a command that was interrupted.
            std::process::exit(130);
        });
    };
    // It ends with the process.
    std::thread::Builder::new().name("ctrl-c".into()).spawn(listen).map_err(Failure::environment)?;
    Ok(stop)
}

/// Everything that a search works with.
struct Tuning<'a> {
    runtime: &'a Runtime,
    config: &'a Config,
    queue: &'a QueueConfig,
    past: &'a Past,
    parts: Parts,
    bar: ProgressBar,
    stop: Arc<AtomicBool>,
}

/// What the search came to.
struct FoundParameters {
    parameters: Map<String, Value>,
    tried: usize,
    unusable: usize,
    /// Whether Ctrl-C ended it.
    interrupted: bool,
}

/// The present and the best parameters on both parts.
struct Confirmed {
    now: Scored,
    best: Scored,
    gain: Option<Gain>,
}

impl Tuning<'_> {
    fn search(&self, domains: &Domains, now: &Map<String, Value>, evaluations: usize, seed: u64) -> FoundParameters {
        let domains = &domains.searched;
        let mut known: HashMap<String, f64> = HashMap::new();
        let (mut tried, mut unusable, mut interrupted) = (0_u64, 0, false);
        let mut ask = |place: &[f64]| {
            let parameters = with(now, domains, place);
            let key = Value::Object(parameters.clone()).to_string();
            if let Some(&loss) = known.get(&key) {
                return Answer::Known(loss);
            }
            let scored = self.score(&parameters, self.parts.confirmed_from, tried * self.parts.confirmed_from, true);
            tried += 1;
            let answer = match scored {
                Ok(None) => {
                    interrupted = true;
                    return Answer::Stop;
                }
                // A candidate that leaves contests out is not better at predicting the rest.
                Ok(Some(scored)) if scored.declined == 0 => scored.chosen_on.log_loss().map_or(Answer::Unusable, Answer::Loss),
                Ok(Some(_)) | Err(_) => Answer::Unusable,
            };
            unusable += usize::from(answer == Answer::Unusable);
            known.insert(key, if let Answer::Loss(loss) = answer { loss } else { f64::INFINITY });
            answer
        };
        let place = |of: &Map<String, Value>| domains.iter().map(|domain| domain.place_in(of)).collect::<Vec<_>>();
        let starts = [place(now), place(&Map::new())];
        let found = search(domains, &starts, evaluations, seed, &mut ask);
        FoundParameters { parameters: with(now, domains, &found.place), tried: found.tried, unusable, interrupted }
    }

    fn confirm(&self, now: &Map<String, Value>, best: &Map<String, Value>) -> Result<Confirmed, Failure> {
        let contests = self.parts.contests;
        let total = self.bar.length().unwrap_or_default();
        let run = |parameters, done| {
            // Nobody stops it any more: without it there is nothing to say.
            let scored = self.score(parameters, contests, done, false)?;
            scored.ok_or_else(|| Failure::environment("the confirmation was interrupted"))
        };
        let now = run(now, total.saturating_sub(2 * contests))?;
        let best = run(best, total.saturating_sub(contests))?;
        let gain = gain(&now, &best);
        Ok(Confirmed { now, best, gain })
    }

    /// Runs the engine with these parameters; `Ok(None)`: Ctrl-C. `done`: where the progress bar stands before.
    fn score(&self, parameters: &Map<String, Value>, until: u64, done: u64, may_stop: bool) -> Result<Option<Scored>, Failure> {
        let mut queue = self.queue.clone();
        queue.rating.parameters = Value::Object(parameters.clone()).to_string();
        let engine = plugins::load_rating(self.runtime, self.config, &queue)?;
        let mut progress = |through: u64| {
            self.bar.set_position(done + through);
            !(may_stop && self.stop.load(Ordering::Relaxed))
        };
        let scored = score(&engine.warm(), self.past, self.parts, until, &mut progress);
        scored.map_err(|fault| Failure::refused(chain(&fault), "`ranked plugin check` looks for the cause"))
    }
}

/// The parameters of a place: what is not searched stays.
fn with(now: &Map<String, Value>, domains: &[Domain], place: &[f64]) -> Map<String, Value> {
    let mut parameters = now.clone();
    for (domain, &place) in domains.iter().zip(place) {
        // A value that stands where it stood keeps every digit, and a default stays unwritten.
        if domain.place_in(now) != place {
            parameters.insert(domain.name.clone(), domain.at(place));
        }
    }
    parameters
}

/// Puts the parameters into plugins.toml as a shadow; the running host takes it up when it is asked to reload.
fn write(config: &Config, queue: &QueueConfig, parameters: &Map<String, Value>) -> Result<String, Failure> {
    let mut file = PluginsFile::read(&config.plugins_path()).map_err(|error| Failure::environment(chain(&error)))?;
    let text = toml::to_string(parameters).map_err(Failure::environment)?;
    file.put_shadow(queue.name(), SHADOW, &text).map_err(|error| Failure::environment(chain(&error)))?;
    config.with_plugins_text(file.text(), &plugin_runtime::builtin_names())?;
    if file.changed_meanwhile()? {
        return Err(Failure::refused(format!("{PLUGINS_FILE} was changed meanwhile, and nothing was written"), "try again"));
    }
    secret_file::replace_public(&config.plugins_path(), &file.text())?;
    Ok(format!("[queue.{}.shadow.{SHADOW}]", queue.name()))
}

/// What the command says at the end.
struct Outcome {
    now: Map<String, Value>,
    found: FoundParameters,
    confirmed: Confirmed,
    parts: Parts,
    /// Older matches that were not looked at.
    left_out: u64,
}

impl Outcome {
    fn answer(
        &self,
        context: &Context<'_>,
        queue: &QueueConfig,
        domains: &Domains,
        arguments: &Arguments,
        written: Option<String>,
    ) -> Result<Exit, Failure> {
        let gains = self.confirmed.gain.as_ref().is_some_and(Gain::is_beyond_noise);
        let shown = [self.show_parameters(domains), self.show_scores(), self.show_verdict(queue, arguments, written.as_deref())].join("\n");
        context.terminal.answer(&shown, &self.to_json(queue, domains, arguments, written.as_deref()))?;
        Ok(if gains { Exit::Done } else { Exit::Finding })
    }

    fn show_parameters(&self, domains: &Domains) -> String {
        let value = |of: &Map<String, Value>, domain: &Domain| {
            of.get(&domain.name).or(domain.default.as_ref()).map_or_else(|| "-".to_owned(), |value| text::printable(&value.to_string()))
        };
        let row = |domain: &Domain| {
            [text::printable(&domain.name), value(&self.now, domain), value(&self.found.parameters, domain), domain.shown()]
        };
        let mut shown = table(["PARAMETER", "NOW", "BEST", "SEARCHED"], domains.searched.iter().map(row));
        let left: Vec<_> = domains.left.iter().map(|(name, _)| text::printable(name)).collect();
        if !left.is_empty() {
            shown.push_str(&format!("left as they are: {}\n", left.join(", ")));
        }
        shown
    }

    fn show_scores(&self) -> String {
        let number = |value: Option<f64>, digits: usize| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"));
        let row = |part: &str, who: &str, score: &Score| {
            let accuracy = score.accuracy().map_or_else(|| "-".to_owned(), |accuracy| format!("{:.2} %", accuracy * 100.0));
            let (log_loss, brier) = (number(score.log_loss(), 4), number(score.brier(), 4));
            [part.to_owned(), who.to_owned(), log_loss, accuracy, brier, score.contests().to_string()]
        };
        let Confirmed { now, best, .. } = &self.confirmed;
        let rows = [
            row("chosen on", "now", &now.chosen_on),
            row("chosen on", "best", &best.chosen_on),
            row("confirmed on", "now", &now.confirmed_on),
            row("confirmed on", "best", &best.confirmed_on),
        ];
        let Parts { chosen_from, confirmed_from, contests } = self.parts;
        let mut shown = table(["PART", "PARAMETERS", "LOG LOSS", "ACCURACY", "BRIER", "MATCHES"], rows);
        shown.push_str(&format!(
            "{contests} matches: the first {chosen_from} warm up, {} choose, the last {} confirm; a coin has a log loss of 0.6931\n",
            confirmed_from - chosen_from,
            contests - confirmed_from,
        ));
        if self.left_out > 0 {
            shown.push_str(&format!("{} older matches were not looked at (--matches)\n", self.left_out));
        }
        let FoundParameters { tried, unusable, interrupted, .. } = &self.found;
        let ended = if *interrupted { ", stopped by Ctrl-C" } else { "" };
        shown.push_str(&format!(
            "{tried} sets of parameters tried{ended}; {unusable} of them the engine refused, or declined matches with\n"
        ));
        shown
    }

    fn show_verdict(&self, queue: &QueueConfig, arguments: &Arguments, written: Option<&str>) -> String {
        let name = queue.name();
        let Some(gain) = &self.confirmed.gain else { return "the two have too few matches in common to be compared\n".to_owned() };
        let Gain { log_loss, standard_error, blocks, contests } = gain;
        let verdict = if gain.is_beyond_noise() { "beyond noise" } else { "NO GAIN BEYOND NOISE" };
        let mut shown = format!(
            "gain       {log_loss:+.5} nats a match, standard error {standard_error:.5} ({contests} matches in {blocks} blocks): {verdict}\n"
        );
        match written {
            Some(header) => shown.push_str(&format!(
                "written    {header} in {PLUGINS_FILE}; nobody's ratings changed\nnext       ranked plugin reload; ranked plugin compare {name}; \
                 ranked plugin activate {name} rating shadow:{SHADOW}\n"
            )),
            None if gain.is_beyond_noise() => shown.push_str("next       the same with --write puts them into plugins.toml as a shadow\n"),
            None if arguments.write => shown.push_str("written    nothing: stay with what you have\n"),
            None => {}
        }
        shown
    }

    fn to_json(&self, queue: &QueueConfig, domains: &Domains, arguments: &Arguments, written: Option<&str>) -> Value {
        let score = |score: &Score| json!({ "log_loss": score.log_loss(), "accuracy": score.accuracy(), "brier": score.brier(), "matches": score.contests() });
        let side = |scored: &Scored, parameters: &Map<String, Value>| {
            json!({
                "parameters": parameters,
                "chosen_on": score(&scored.chosen_on),
                "confirmed_on": score(&scored.confirmed_on),
                "declined": scored.declined,
            })
        };
        let Parts { chosen_from, confirmed_from, contests } = self.parts;
        json!({
            "queue": queue.name(),
            "matches": contests,
            "left_out": self.left_out,
            "chosen_from": chosen_from,
            "confirmed_from": confirmed_from,
            "seed": arguments.seed,
            "tried": self.found.tried,
            "unusable": self.found.unusable,
            "interrupted": self.found.interrupted,
            "searched": domains.searched.iter().map(|domain| json!({ "parameter": domain.name, "range": domain.shown() })).collect::<Vec<_>>(),
            "left_as_they_are": domains.left.iter().map(|(name, why)| json!({ "parameter": name, "because": why })).collect::<Vec<_>>(),
            "now": side(&self.confirmed.now, &self.now),
            "best": side(&self.confirmed.best, &self.found.parameters),
            "gain": self.confirmed.gain.map(|gain| json!({
                "log_loss": gain.log_loss,
                "standard_error": gain.standard_error,
                "blocks": gain.blocks,
                "matches": gain.contests,
                "errors_beyond_noise": ERRORS_BEYOND_NOISE,
                "beyond_noise": gain.is_beyond_noise(),
            })),
            "written": written,
        })
    }
}
