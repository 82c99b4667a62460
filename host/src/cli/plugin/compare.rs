//! `ranked plugin compare`: the shadows of a queue beside the rating engine in force, on the community's own matches.
//!
//! A shadow costs players nothing: here it rates the same journal in memory, apart from the host's writer. The ratings that a running host keeps
//! for it (`shadows.rs`) are only asked how far they are.

use std::time::{Duration, Instant};

use ladder::id::PlayerId;
use ladder::score::Calibration;
use plugin_runtime::{Role, Runtime};
use serde_json::{Value, json};
use store::{GenerationProgress, Store};

use super::backtest::read_journal;
use super::compare_policies::Policies;
use crate::author::backtest::{Backtest, backtest};
use crate::author::past::Past;
use crate::cli::failure::{Failure, chain};
use crate::cli::journal::progress_bar;
use crate::cli::terminal::table;
use crate::cli::{Context, Exit, text};
use crate::config::{Config, PluginConfig, QueueConfig, ShadowConfig};
use crate::plugins;

/// How the engine in force is called beside its shadows.
const ACTIVE: &str = "(in force)";

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The queue, as plugins.toml names it. Its shadows are the tables `[queue.NAME.shadow.SHADOW]`.
    queue: String,
    /// Score only what comes after this share of the contests, 0 to 1; ratings run through all of them.
    #[arg(long, default_value_t = 0.0)]
    score_after: f64,
    /// Players to name, of those whose rank would change most.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=100))]
    top: u16,
}

/// One engine and what came of it.
struct Row {
    name: String,
    result: Result<Backtest, Failure>,
    wall: Duration,
    /// How far the ratings are that the database holds; `None`: it holds none of this engine.
    stored: Option<GenerationProgress>,
}

/// A player whose rank would be another.
struct Move {
    player: PlayerId,
    name: String,
    rank: usize,
    rank_in_shadow: usize,
}

pub(super) fn run(context: &Context<'_>, runtime: &Runtime, arguments: &Arguments) -> Result<Exit, Failure> {
    if !(0.0..1.0).contains(&arguments.score_after) {
        let title = format!("--score-after {} is not from 0 to below 1", arguments.score_after);
        return Err(Failure::usage(title, "0.5 scores the second half"));
    }
    let config = context.load_config()?;
    let name = &arguments.queue;
    let queue = config.queues.iter().find(|queue| queue.name() == name).ok_or_else(|| {
        let known: Vec<_> = config.queues.iter().map(QueueConfig::name).collect();
        Failure::usage(format!("there is no queue {}", text::printable(name)), format!("plugins.toml has: {}", known.join(", ")))
    })?;
    if queue.shadows.is_empty() {
        let help = format!(
            "write `[queue.{name}.shadow.SOME-NAME]` and below it what `[queue.{name}.rating]` would have; for a policy also `role = 'policy'`"
        );
        return Err(Failure::usage(format!("queue {name} has no shadow to compare"), help));
    }
    let store = context.open_store(&config)?;
    let has = |role| queue.shadows.values().any(|shadow| shadow.role == role);
    let policies = has(Role::Policy).then(|| Policies::run(context, runtime, &config, queue, &store, ACTIVE)).transpose()?;
    let mut answer = Answer { shown: String::new(), value: json!({ "queue": name }), exit: Exit::Done };
    if has(Role::Rating) {
        rate(context, runtime, &config, queue, &store, arguments, &mut answer)?;
    }
    if let Some(policies) = policies {
        if !answer.shown.is_empty() {
            answer.shown.push('\n');
        }
        answer.shown.push_str(&policies.show());
        answer.value["policies"] = policies.to_json();
        if !policies.is_complete() {
            answer.exit = Exit::Finding;
        }
    }
    context.terminal.answer(&answer.shown, &answer.value)?;
    Ok(answer.exit)
}

/// What the command says at the end.
struct Answer {
    shown: String,
    value: Value,
    exit: Exit,
}

/// The rating engines of the queue, on its journal.
fn rate(
    context: &Context<'_>,
    runtime: &Runtime,
    config: &Config,
    queue: &QueueConfig,
    store: &Store,
    arguments: &Arguments,
    answer: &mut Answer,
) -> Result<(), Failure> {
    let name = queue.name();
    let past = read_journal(store, name, queue.shape.clone())?;
    if past.contests() == 0 {
        return Err(Failure::refused(format!("no match of queue {name} was rated yet"), ""));
    }
    let mut rows = vec![measure(context, runtime, config, queue, ACTIVE, &past, arguments.score_after)];
    rows[0].stored = stored(store, queue, &queue.rating)?;
    for (shadow, ShadowConfig { plugin, .. }) in queue.shadows.iter().filter(|(_, shadow)| shadow.role == Role::Rating) {
        let with_shadow = QueueConfig { rating: plugin.clone(), ..queue.clone() };
        let stored = stored(store, queue, plugin)?;
        rows.push(Row { stored, ..measure(context, runtime, config, &with_shadow, shadow, &past, arguments.score_after) });
    }
    let moves = rows.iter().skip(1).map(|row| moves(store, &past, &rows[0], row, arguments.top)).collect::<Result<Vec<_>, _>>()?;
    say(arguments, &past, &rows, &moves, answer);
    Ok(())
}

fn measure(
    context: &Context<'_>,
    runtime: &Runtime,
    config: &Config,
    queue: &QueueConfig,
    name: &str,
    past: &Past,
    score_after: f64,
) -> Row {
    let started = Instant::now();
    let result = plugins::load_rating(runtime, config, queue).map_err(Failure::from).and_then(|engine| {
        let contests = past.contests() as u64;
        let bar = progress_bar(context, contests, "contests");
        // As `ranked plugin backtest` counts: the first position that is scored.
        let scored_from = (contests as f64 * score_after) as u64;
        let result = backtest(&engine.warm(), past, scored_from, &mut |through| bar.set_position(through));
        bar.finish_and_clear();
        result.map_err(|fault| Failure::refused(format!("{name}: {}", chain(&fault)), "`ranked plugin check` looks for the cause"))
    });
    Row { name: name.to_owned(), result, wall: started.elapsed(), stored: None }
}

fn stored(store: &Store, queue: &QueueConfig, plugin: &PluginConfig) -> Result<Option<GenerationProgress>, Failure> {
    let known = store.list_queues().wait()?;
    let Some((id, _)) = known.iter().find(|(_, name)| name == queue.name()) else { return Ok(None) };
    Ok(store.generation_progress(*id, plugins::named_digest(plugin), plugin.parameters.clone()).wait()?)
}

/// How far the ratings are that the database holds.
fn how_far(stored: Option<&GenerationProgress>) -> String {
    match stored {
        None => "none".to_owned(),
        Some(GenerationProgress { active: true, .. }) => "what players see".to_owned(),
        Some(stored) if stored.through >= stored.last_report => "up to date".to_owned(),
        Some(stored) => format!("journal entry {} of {}", stored.through, stored.last_report),
    }
}

/// Ranks by what people would see, best first; equals share the order of their numbers.
fn ranks(visible: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..visible.len()).collect();
    order.sort_by(|&one, &other| visible[other].total_cmp(&visible[one]).then(one.cmp(&other)));
    let mut ranks = vec![0; visible.len()];
    for (rank, player) in order.into_iter().enumerate() {
        ranks[player] = rank + 1;
    }
    ranks
}

fn moves(store: &Store, past: &Past, active: &Row, shadow: &Row, top: u16) -> Result<Vec<Move>, Failure> {
    let (Ok(active), Ok(shadow)) = (&active.result, &shadow.result) else { return Ok(Vec::new()) };
    let (now, then) = (ranks(&active.visible), ranks(&shadow.visible));
    let mut order: Vec<usize> = (0..now.len()).filter(|&player| now[player] != then[player]).collect();
    order.sort_by_key(|&player| (std::cmp::Reverse(now[player].abs_diff(then[player])), now[player]));
    order.truncate(usize::from(top));
    let ids = past.ids();
    let moved = |player: usize| {
        let id = ids[player];
        let name = store.profile(id).wait()?.map_or_else(|| format!("player {id}"), |profile| profile.name);
        Ok(Move { player: id, name, rank: now[player], rank_in_shadow: then[player] })
    };
    order.into_iter().map(moved).collect()
}

fn say(arguments: &Arguments, past: &Past, rows: &[Row], moves: &[Vec<Move>], answer: &mut Answer) {
    let mut shown =
        table(["ENGINE", "LOG LOSS", "ACCURACY", "BRIER", "SCORED", "DECLINED", "CONTESTS/S", "STORED RATINGS"], rows.iter().map(figures));
    shown.push_str(&format!("{} contests of {} players; a coin has a log loss of 0.6931\n", past.contests(), past.players));
    for row in rows {
        match &row.result {
            Ok(backtest) => {
                shown.push_str(&format!("\ncalibration of {}\n{}", row.name, calibration(&backtest.calibration)));
            }
            Err(failure) => shown.push_str(&format!("\n{}: {}\n", row.name, failure.render().trim_end())),
        }
    }
    for (row, moves) in rows.iter().skip(1).zip(moves).filter(|(_, moves)| !moves.is_empty()) {
        let lines = moves.iter().map(|moved| {
            let up = moved.rank as i128 - moved.rank_in_shadow as i128;
            [text::printable(&moved.name), moved.rank.to_string(), moved.rank_in_shadow.to_string(), format!("{up:+}")]
        });
        shown.push_str(&format!("\nwho would move most with {}\n{}", row.name, table(["PLAYER", "RANK", "WOULD BE", "MOVE"], lines)));
    }
    let value = json!({
        "queue": arguments.queue,
        "contests": past.contests(),
        "players": past.players,
        "score_after": arguments.score_after,
        "engines": rows.iter().enumerate().map(|(at, row)| to_json(row, at.checked_sub(1).map(|at| moves[at].as_slice()))).collect::<Vec<_>>(),
    });
    *answer = Answer { shown, value, exit: if rows.iter().all(|row| row.result.is_ok()) { Exit::Done } else { Exit::Finding } };
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn figures(row: &Row) -> [String; 8] {
    let Ok(Backtest { rated, declined, score, .. }) = &row.result else {
        return [row.name.as_str(), "-", "-", "-", "-", "-", "-", "-"].map(str::to_owned);
    };
    let per_s = (rated + declined) as f64 / row.wall.as_secs_f64().max(1e-9);
    [
        row.name.clone(),
        number(score.log_loss(), 4),
        number(score.accuracy().map(|accuracy| accuracy * 100.0), 2) + " %",
        number(score.brier(), 4),
        score.contests().to_string(),
        declined.to_string(),
        format!("{per_s:.0}"),
        how_far(row.stored.as_ref()),
    ]
}

fn calibration(calibration: &Calibration) -> String {
    let tenths = calibration.tenths().iter().enumerate().filter(|(_, tenth)| tenth.sides > 0);
    let lines = tenths.map(|(at, tenth)| {
        let range = format!("{:.1} to {:.1}", at as f64 / 10.0, (at + 1) as f64 / 10.0);
        [range, number(tenth.predicted(), 3), number(tenth.came_about(), 3), tenth.sides.to_string()]
    });
    table(["PREDICTED", "MEAN", "CAME ABOUT", "SIDES"], lines)
}

fn to_json(row: &Row, moves: Option<&[Move]>) -> Value {
    let backtest = match &row.result {
        Ok(backtest) => backtest,
        Err(failure) => return json!({ "engine": row.name, "in_force": moves.is_none(), "failure": failure.to_json() }),
    };
    let Backtest { rated, declined, score, calibration, .. } = backtest;
    json!({
        "engine": row.name,
        "in_force": moves.is_none(),
        "rated": rated,
        "declined": declined,
        "scored": score.contests(),
        "log_loss": score.log_loss(),
        "accuracy": score.accuracy(),
        "brier": score.brier(),
        "calibration": calibration.tenths().iter().map(|tenth| json!({
            "sides": tenth.sides,
            "predicted": tenth.predicted(),
            "came_about": tenth.came_about(),
        })).collect::<Vec<_>>(),
        "moves": moves.unwrap_or_default().iter().map(|moved| json!({
            "player": moved.player.0,
            "name": moved.name,
            "rank": moved.rank,
            "would_be": moved.rank_in_shadow,
        })).collect::<Vec<_>>(),
        "seconds": row.wall.as_secs_f64(),
        "stored": row.stored.map(|stored| json!({
            "generation": stored.generation.0,
            "active": stored.active,
            "journal_through": stored.through.0,
            "last_report": stored.last_report.0,
        })),
    })
}
