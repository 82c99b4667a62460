//! The import itself: each line goes the way of a live report, and the rating engine is asked for its prediction first.
//!
//! ```text
//! line -> claim -> check_roster -> rules -> bounds -> journal and rating (one transaction) -> the prediction is scored
//! ```

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use ladder::id::{PlayerId, QueueId};
use ladder::matches::{BadRoster, Roster};
use ladder::queue::QueueShape;
use ladder::report::{AcceptedReport, Disposition, Provenance, ReportRefusal, Source, StatBounds, check_roster};
use ladder::rules::{ServerRecord, StatRules as _};
use ladder::score::Score;
use ladder::time::UnixSeconds;
use plugin_runtime::{RulesPlugin, Runtime};
use serde_json::json;
use store::{AcceptOptions, Accepted, Pending, REPORTS_PER_STEP_MAX, RatingState, Store};

use super::{new_queue, progress_bar};
use crate::cli::failure::{Failure, chain};
use crate::cli::{Context, Exit, text};
use crate::clock::Clock;
use crate::config::{Config, PLUGINS_FILE, QueueConfig};
use crate::history::{BadLine, Line, Lines};
use crate::plugins;

/// Reports on their way to the disk at once: they share commits.
const IN_FLIGHT_MAX: usize = 512;
/// Lines whose players are looked up in one command.
const LINES_PER_LOOKUP: usize = 256;
/// Bad lines after which the file is taken for something else.
const BAD_LINES_MAX: u64 = 1_000;
/// Bad lines that are shown.
const BAD_LINES_SHOWN: usize = 20;

pub(super) fn run(context: &Context<'_>, file: &Path, queue: Option<String>, create: bool) -> Result<Exit, Failure> {
    let queue = match queue {
        Some(queue) => queue,
        None => stem(file)?,
    };
    let lines_total = count_lines(file)?;
    let config = config_with(context, &queue, file, create)?;
    let queue = config.queue(&queue).ok_or_else(|| Failure::environment("plugins.toml changed meanwhile"))?;
    let mut import = Import::open(context, &config, queue, lines_total)?;
    let bar = progress_bar(context, lines_total, "contests");
    let started = Instant::now();
    let finished = import.read(file, &bar);
    let drained = import.drain(0).and_then(|()| import.catch_up(&bar));
    bar.finish_and_clear();
    finished?;
    drained?;
    import.report(context, file, started.elapsed())
}

/// The file's name without `.gz` and `.ndjson`.
fn stem(file: &Path) -> Result<String, Failure> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match name.split('.').next() {
        Some(stem) if !stem.is_empty() => Ok(stem.to_owned()),
        _ => Err(Failure::usage(format!("{} names no queue", file.display()), "give --queue")),
    }
}

fn count_lines(file: &Path) -> Result<u64, Failure> {
    let unreadable = |error: std::io::Error| Failure::usage(format!("{}: {error}", file.display()), "");
    let mut lines = Lines::open(file).map_err(unreadable)?;
    let mut count = 0;
    while let Some((_, line)) = lines.next().map_err(unreadable)? {
        count += u64::from(line.is_ok());
    }
    Ok(count)
}

/// The configuration with the queue in it; made on request.
fn config_with(context: &Context<'_>, queue: &str, file: &Path, create: bool) -> Result<Config, Failure> {
    let config = context.load_config()?;
    if config.queue(queue).is_some() {
        return Ok(config);
    }
    if !create {
        let known: Vec<_> = config.queues.iter().map(QueueConfig::name).collect();
        return Err(Failure::usage(
            format!("plugins.toml has no queue `{}` (it has: {})", text::printable(queue), known.join(", ")),
            "give --create to add one that fits the file, or --queue to name another",
        ));
    }
    new_queue::add(&config, queue, file)?;
    context.terminal.note(&format!("added   queue {queue} to {PLUGINS_FILE}"))?;
    context.load_config()
}

/// A queue that takes contests in.
struct Import {
    store: Store,
    queue: QueueId,
    shape: QueueShape,
    rules: RulesPlugin,
    bounds: StatBounds,
    clock: Clock,
    players: HashMap<String, PlayerId>,
    in_flight: VecDeque<InFlight>,
    /// Contests from this position on are scored.
    scored_from: u64,
    tally: Tally,
}

/// A report whose acknowledgement is awaited.
struct InFlight {
    answer: Pending<Result<Accepted, ReportRefusal>>,
    line: u64,
    places: Vec<u16>,
    scored: bool,
}

/// What became of the lines.
#[derive(Default)]
struct Tally {
    contests: u64,
    accepted: u64,
    repeated: u64,
    held: u64,
    rejected: u64,
    waiting: u64,
    /// Rated after a fault of the engine, so without a prediction.
    late: u64,
    clamped: u64,
    bad: u64,
    bad_shown: Vec<String>,
    score: Score,
}

impl Tally {
    fn bad_line(&mut self, line: u64, problem: impl std::fmt::Display) {
        self.bad += 1;
        if self.bad_shown.len() < BAD_LINES_SHOWN {
            self.bad_shown.push(format!("line {line}: {}", text::printable(&problem.to_string())));
        }
    }
}

impl Import {
    fn open(context: &Context<'_>, config: &Config, queue: &QueueConfig, lines_total: u64) -> Result<Self, Failure> {
        let store = context.open_store(config)?;
        let runtime = Runtime::new().map_err(|error| Failure::environment(chain(&error)))?;
        let rating = Arc::new(plugins::load_rating(&runtime, config, queue)?);
        let rules = plugins::load_rules(&runtime, config, queue)?;
        let queue_id = store.ensure_queue(queue.name()).wait()?;
        let installed = store.install_engine(queue_id, rating, |_progress| (), context.clock.now()).wait()?;
        installed.map_err(|refusal| Failure::environment(chain(&refusal)))?;
        Ok(Self {
            queue: queue_id,
            bounds: StatBounds::new(&queue.shape, &queue.outer_bounds, rules.bounds()),
            shape: queue.shape.clone(),
            rules,
            store,
            clock: context.clock.clone(),
            players: HashMap::new(),
            in_flight: VecDeque::new(),
            scored_from: lines_total / 2,
            tally: Tally::default(),
        })
    }

    fn read(&mut self, file: &Path, bar: &ProgressBar) -> Result<(), Failure> {
        let mut lines = Lines::open(file).map_err(Failure::environment)?;
        loop {
            let chunk = self.next_chunk(&mut lines)?;
            if chunk.is_empty() {
                return Ok(());
            }
            self.look_up_players(&chunk)?;
            for (number, line) in &chunk {
                self.take_in(*number, line);
                self.drain(IN_FLIGHT_MAX)?;
                bar.inc(1);
            }
        }
    }

    fn next_chunk(&mut self, lines: &mut Lines) -> Result<Vec<(u64, Line)>, Failure> {
        let mut chunk = Vec::with_capacity(LINES_PER_LOOKUP);
        while chunk.len() < LINES_PER_LOOKUP {
            match lines.next().map_err(Failure::environment)? {
                None => break,
                Some((number, Ok(line))) => chunk.push((number, line)),
                Some((number, Err(problem))) => self.leave_out(number, &problem)?,
            }
        }
        Ok(chunk)
    }

    fn leave_out(&mut self, line: u64, problem: &BadLine) -> Result<(), Failure> {
        self.tally.bad_line(line, problem);
        if self.tally.bad < BAD_LINES_MAX {
            return Ok(());
        }
        let shown = self.tally.bad_shown.join("\n  ");
        Err(Failure::refused(
            format!("{BAD_LINES_MAX} lines cannot be used; stopped at line {line}\n  {shown}"),
            "see the format in --help",
        ))
    }

    fn look_up_players(&mut self, chunk: &[(u64, Line)]) -> Result<(), Failure> {
        let mut names: Vec<String> =
            chunk.iter().flat_map(|(_, line)| line.players()).filter(|name| !self.players.contains_key(*name)).cloned().collect();
        names.sort_unstable();
        names.dedup();
        for names in names.chunks(store::NAMES_PER_CALL_MAX) {
            let players = self.store.ensure_players(names.to_vec(), self.clock.now()).wait()?;
            self.players.extend(names.iter().cloned().zip(players));
        }
        Ok(())
    }

    /// One contest, on the road that `play::reports` describes for live reports.
    fn take_in(&mut self, number: u64, line: &Line) {
        let position = self.tally.contests;
        self.tally.contests += 1;
        match self.accept(line) {
            Ok(report) => {
                self.tally.clamped += u64::from(report.facts().clamped > 0);
                let places = report.facts().places.clone();
                let answer = self.store.accept_report(report, AcceptOptions { predict: true }, self.clock.now());
                self.in_flight.push_back(InFlight { answer, line: number, places, scored: position >= self.scored_from });
            }
            Err(problem) => self.tally.bad_line(number, problem),
        }
    }

    fn accept(&self, line: &Line) -> Result<AcceptedReport, Unacceptable> {
        let players: Vec<PlayerId> = line.players().filter_map(|name| self.players.get(name).copied()).collect();
        let claim = line.to_claim(&self.shape, &players);
        // Who played is what the file says: there is no assignment to compare with.
        let roster = Roster::new(claim.teams.iter().map(|team| team.players.iter().map(|player| player.player).collect()).collect())?;
        let rostered = check_roster(claim, &roster, &self.shape)?;
        let review = self.rules.review(&rostered.to_claim(ServerRecord::default()));
        let rules = Some(self.rules.digest());
        let provenance = Provenance { queue: self.queue, source: Source::Import, at: UnixSeconds(line.ts), trust: 1.0, rules };
        Ok(rostered.accept(provenance, &self.bounds, review))
    }

    /// Waits until at most `left_max` reports are on their way.
    fn drain(&mut self, left_max: usize) -> Result<(), Failure> {
        while self.in_flight.len() > left_max {
            let Some(InFlight { answer, line, places, scored }) = self.in_flight.pop_front() else { return Ok(()) };
            match answer.wait()? {
                Ok(accepted) => self.count(&accepted, &places, scored),
                Err(refusal) => self.tally.bad_line(line, refusal),
            }
        }
        Ok(())
    }

    /// A fault of the rating engine stops the ratings of its queue, not the import: what waits since then is rated now, in journal order. It
    /// has no prediction of its own any more and is missing in the score.
    fn catch_up(&mut self, bar: &ProgressBar) -> Result<(), Failure> {
        if self.tally.waiting > 0 {
            bar.set_length(self.tally.waiting);
            bar.set_position(0);
        }
        while self.tally.waiting > 0 {
            let Ok(step) = self.store.rate_waiting(self.queue, REPORTS_PER_STEP_MAX).wait()? else { return Ok(()) };
            if step.rated.is_empty() && !step.reset {
                return Ok(());
            }
            let rated = step.rated.len() as u64;
            self.tally.waiting = self.tally.waiting.saturating_sub(rated);
            self.tally.late += rated;
            bar.inc(rated);
        }
        Ok(())
    }

    fn count(&mut self, accepted: &Accepted, places: &[u16], scored: bool) {
        let tally = &mut self.tally;
        if accepted.repeated {
            tally.repeated += 1;
            return;
        }
        tally.accepted += 1;
        match accepted.disposition {
            Disposition::Ratable => tally.waiting += u64::from(matches!(accepted.rating, RatingState::Waits(_))),
            Disposition::Held => tally.held += 1,
            Disposition::Rejected => tally.rejected += 1,
        }
        if let Some(predicted) = accepted.predicted.as_deref().filter(|_| scored) {
            tally.score.add(places, predicted);
        }
    }

    fn report(&self, context: &Context<'_>, file: &Path, elapsed: Duration) -> Result<Exit, Failure> {
        let Tally { contests, accepted, repeated, held, rejected, waiting, late, clamped, bad, bad_shown, score } = &self.tally;
        let value = json!({
            "file": file.display().to_string(),
            "queue": self.shape.queue,
            "contests": contests,
            "accepted": accepted,
            "repeated": repeated,
            "held": held,
            "rejected": rejected,
            "waiting": waiting,
            "rated_late": late,
            "clamped": clamped,
            "bad_lines": bad,
            "bad_lines_shown": bad_shown,
            "players": self.players.len(),
            "scored": score.contests(),
            "accuracy": score.accuracy(),
            "log_loss": score.log_loss(),
            "brier": score.brier(),
            "seconds": elapsed.as_secs_f64(),
        });
        let mut shown = format!(
            "imported  {accepted} contests of {} players into queue {} in {:.1} s",
            self.players.len(),
            self.shape.queue,
            elapsed.as_secs_f64()
        );
        let counts = [
            ("before", *repeated),
            ("held", *held),
            ("rejected", *rejected),
            ("waiting to be rated", *waiting),
            ("rated late", *late),
            ("clamped", *clamped),
        ];
        for (what, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            shown.push_str(&format!("\n          {count} {what}"));
        }
        if let (Some(log_loss), Some(brier)) = (score.log_loss(), score.brier()) {
            let accuracy = score.accuracy().map_or_else(|| "-".to_owned(), |accuracy| format!("{:.2} %", accuracy * 100.0));
            shown.push_str(&format!(
                "\npredicted {} contests before they were rated (second half of the file)\n\
                 accuracy  {accuracy}\nlog loss  {log_loss:.4}  (a coin: 0.6931)\nBrier     {brier:.4}",
                score.contests()
            ));
        }
        if *bad > 0 {
            shown.push_str(&format!("\nleft out  {bad} lines\n  {}", bad_shown.join("\n  ")));
        }
        context.terminal.answer(&shown, &value)?;
        Ok(if *bad > 0 { Exit::Finding } else { Exit::Done })
    }
}

/// Why a contest that could be read was not accepted.
#[derive(Debug, thiserror::Error)]
enum Unacceptable {
    #[error(transparent)]
    Roster(#[from] BadRoster),
    #[error(transparent)]
    Report(#[from] ReportRefusal),
}
