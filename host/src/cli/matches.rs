//! `ranked match`: matches, and why each did to the ratings what it did.

use ladder::id::MatchId;
use serde_json::json;
use store::{GenerationOf, ListedMatch, MatchDetails, MatchFilter, MatchReportDetails};

use super::failure::Failure;
use super::terminal::table;
use super::{Context, Exit, text};
use crate::http::MatchAnswer;
use crate::why;

/// Digits of a rating on the terminal.
const DIGITS: usize = 2;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List matches, the newest first.
    #[command(after_help = "Example: ranked match list --queue duel --player ada")]
    List(ListArguments),
    /// Say why a match did to the ratings what it did: what was predicted, how it ended, how surprising that was, what was clamped, which
    /// rating engine and which rules; and what happens next to a result that is not rated.
    #[command(after_help = "Example: ranked match why 17 --player ada")]
    Why(WhyArguments),
}

#[derive(clap::Args)]
pub(super) struct ListArguments {
    /// Only of this queue.
    #[arg(long)]
    queue: Option<String>,
    /// Only with this player.
    #[arg(long, value_name = "NAME")]
    player: Option<String>,
    /// Matches to list.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(store::MATCHES_LISTED_MAX)))]
    limit: u32,
}

#[derive(clap::Args)]
pub(super) struct WhyArguments {
    /// The match, as `ranked match list` and a player's history number it.
    match_id: u64,
    /// Only what concerns this player.
    #[arg(long, value_name = "NAME")]
    player: Option<String>,
}

pub(super) fn run(context: &Context<'_>, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::List(arguments) => list(context, arguments),
        Command::Why(arguments) => why(context, &arguments),
    }
}

fn list(context: &Context<'_>, arguments: ListArguments) -> Result<Exit, Failure> {
    let store = context.open_store(&context.load_config()?)?;
    let ListArguments { queue, player, limit } = arguments;
    if let Some(name) = &queue {
        super::report::find_queue(&store, name)?;
    }
    let matches = store.list_matches(MatchFilter { queue, player }, limit).wait()?;
    let rows = matches.iter().map(|listed| {
        let ended = listed.ended_at.map_or_else(|| "-".to_owned(), text::time);
        let players = text::printable(&listed.players.join(", "));
        let ListedMatch { match_id, queue_name, state, opened_at, .. } = listed;
        [match_id.to_string(), queue_name.clone(), state.name().to_owned(), text::time(*opened_at), ended, players]
    });
    let shown = table(["MATCH", "QUEUE", "STATE", "OPENED", "ENDED", "PLAYERS"], rows);
    let value = json!({ "matches": matches.iter().map(|listed| json!({
        "match_id": listed.match_id.0,
        "queue": listed.queue_name,
        "state": listed.state.name(),
        "opened_at_ms": listed.opened_at.0,
        "ended_at_ms": listed.ended_at.map(|at| at.0),
        "seq": listed.report.map(|seq| seq.0),
        "players": listed.players,
    })).collect::<Vec<_>>() });
    context.terminal.answer(&shown, &value)?;
    Ok(Exit::Done)
}

fn why(context: &Context<'_>, arguments: &WhyArguments) -> Result<Exit, Failure> {
    let config = context.load_config()?;
    let store = context.open_store(&config)?;
    let found = store.match_details(MatchId(arguments.match_id)).wait()?;
    let details = found.ok_or_else(|| {
        Failure::refused(format!("there is no match {}", arguments.match_id), "`ranked match list` shows the newest ones")
    })?;
    let is_asked_for = |name: &str| arguments.player.as_ref().is_none_or(|player| player.eq_ignore_ascii_case(name));
    if !details.teams.iter().flatten().any(|seat| is_asked_for(&seat.name)) {
        let names: Vec<_> = details.teams.iter().flatten().map(|seat| seat.name.as_str()).collect();
        let title = format!("{} did not play in match {}", text::printable(arguments.player.as_deref().unwrap_or("-")), details.match_id);
        return Err(Failure::refused(title, format!("these did: {}", text::printable(&names.join(", ")))));
    }
    let shape = config.queue(&details.queue_name).map(|queue| &queue.shape);
    let mut shown = head(&details);
    if let Some(report) = &details.report {
        shown.push_str(&facts(&details, report, shape));
        if let Some(ratings) = ratings(&details, &is_asked_for) {
            shown.push('\n');
            shown.push_str(&ratings);
        }
    }
    for (team, seats) in details.teams.iter().enumerate() {
        for words in seats.iter().filter(|seat| is_asked_for(&seat.name)).filter_map(|seat| why::seat_in_words(&details, team, seat)) {
            shown.push_str(&format!("\n{}", text::printable(&words)));
        }
    }
    let answer = MatchAnswer::new(details, shape).with_players(is_asked_for);
    let value = serde_json::to_value(answer).map_err(Failure::environment)?;
    context.terminal.answer(&shown, &value)?;
    Ok(Exit::Done)
}

fn head(details: &MatchDetails) -> String {
    let MatchDetails { match_id, queue_name, state, .. } = details;
    let explained = text::printable(&why::state_in_words(details));
    format!("match      {match_id}  queue {queue_name}  {}  opened {}\n{explained}\n", state.name(), text::time(details.opened_at))
}

/// Everything that led to the ratings, line by line.
fn facts(details: &MatchDetails, report: &MatchReportDetails, shape: Option<&ladder::queue::QueueShape>) -> String {
    let facts = &report.facts;
    let mut lines = vec![format!("journal    entry {}, accepted {}", report.seq, text::time(report.recorded_at))];
    if let Some(rules) = facts.provenance.rules {
        lines.push(format!("rules      sha256:{rules}"));
    }
    if let Some(engine) = report.shown.as_ref() {
        lines.push(format!("engine     {}", engine_in_words(engine)));
    }
    if let Some(first) = report.rated_by.as_ref().filter(|first| report.shown.as_ref() != Some(*first)) {
        lines.push(format!("rated by   {}; the ratings shown are of the engine above", engine_in_words(first)));
    }
    if facts.provenance.trust < 1.0 {
        lines.push(format!("trust      {:.2}", facts.provenance.trust));
    }
    if let Some(prediction) = &report.prediction {
        if let [first] = prediction.pairs[..] {
            lines.push(format!("predicted  team 1 wins {:.1} %, team 2 {:.1} %", first * 100.0, (1.0 - first) * 100.0));
        }
        lines.push(format!("surprise   {:.3} nats (a coin: 0.693){}", prediction.surprise, why::compared(prediction)));
    }
    if facts.clamped > 0 {
        lines.push(format!("clamped    {} numbers of the report", facts.clamped));
    }
    for reason in why::reasons(details, report, shape) {
        lines.push(format!("reason     {}: {}", text::printable(&reason.code), text::printable(&reason.detail)));
    }
    lines.join("\n") + "\n"
}

fn engine_in_words(of: &GenerationOf) -> String {
    let name = of.engine.as_ref().map(|(name, version)| format!("{} {}  ", text::printable(name), text::printable(version)));
    let GenerationOf { generation, engine_digest, parameters, .. } = of;
    format!("{}sha256:{engine_digest}  generation {generation}  parameters {}", name.unwrap_or_default(), text::printable(parameters))
}

/// Before and after per player; `None`: nobody's rating moved.
fn ratings(details: &MatchDetails, is_asked_for: &impl Fn(&str) -> bool) -> Option<String> {
    let places = details.report.as_ref().map(|report| report.facts.places.as_slice()).unwrap_or_default();
    let mut rows = Vec::new();
    for (team, seats) in details.teams.iter().enumerate() {
        for seat in seats.iter().filter(|seat| is_asked_for(&seat.name)) {
            let Some(change) = &seat.change else { continue };
            let number = |value: f64| format!("{value:.DIGITS$}");
            rows.push([
                (team + 1).to_string(),
                places.get(team).map_or_else(|| "-".to_owned(), |place| (place + 1).to_string()),
                text::printable(&seat.name),
                change.expected.map_or_else(|| "-".to_owned(), |expected| format!("{:.1} %", expected * 100.0)),
                number(change.visible_before),
                number(change.visible),
                format!("{:+.DIGITS$}", change.visible - change.visible_before),
                format!("{} +- {}", number(change.mean_before), number(change.uncertainty_before)),
                format!("{} +- {}", number(change.mean), number(change.uncertainty)),
            ]);
        }
    }
    let columns = ["TEAM", "PLACE", "PLAYER", "EXPECTED", "BEFORE", "AFTER", "MOVE", "SKILL BEFORE", "SKILL AFTER"];
    (!rows.is_empty()).then(|| table(columns, rows))
}
