//! `ranked season`: start one now, list them, show the standings that each ended with.

use std::collections::BTreeMap;

use ladder::id::QueueId;
use ladder::season::{SeasonReset, StandingRules};
use ladder::time::UnixMillis;
use serde_json::json;
use store::{ArchivedStanding, LEADERBOARD_ROWS_MAX, LeaderboardRow, NewSeason, Season, SeasonRefusal, Store};

use super::failure::Failure;
use super::terminal::table;
use super::text::{printable, time};
use super::{Context, Exit};
use crate::config::{Config, check_season_name};
use crate::seasons::QueueSeasons;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List the seasons of a queue, the newest first, and the one of plugins.toml that is still to start.
    #[command(after_help = "Example: ranked season list duel")]
    List {
        /// The queue.
        queue: String,
    },
    /// Show the standings of a season: those that it ended with, or today's of the one that goes on.
    #[command(after_help = "Example: ranked season show duel --season 1 --csv > season-1.csv")]
    Show {
        /// The queue.
        queue: String,
        /// The number of the season; 0 is what came before the first. By default the one that goes on.
        #[arg(long)]
        season: Option<u32>,
        /// Rows to show; all of them with --csv.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// All rows as comma-separated values.
        #[arg(long)]
        csv: bool,
    },
    /// Start a season now. Without --yes it only says what would happen.
    ///
    /// The standings are archived and reset, by a running host within a moment, else at its next start. There is no way back. A season that
    /// is to start at a known time belongs into plugins.toml, as [queue.NAME.season].
    #[command(after_help = "Example: ranked season start duel --name 2027-2 --reset soft --keep 0.6 --yes")]
    Start {
        /// The queue.
        queue: String,
        /// What the season is known by; no two of a queue have the same.
        #[arg(long)]
        name: String,
        /// What becomes of the ratings: everybody begins anew, is pulled towards the beginning, or only becomes less certain.
        #[arg(long, value_enum)]
        reset: Reset,
        /// For soft and uncertainty: the share of what is known that is kept, 0 to 1.
        #[arg(long)]
        keep: Option<f64>,
        /// Do it.
        #[arg(long)]
        yes: bool,
    },
}

/// [`SeasonReset`] as it is written.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum Reset {
    Hard,
    Soft,
    Uncertainty,
}

pub(super) fn run(context: &Context<'_>, command: Command) -> Result<Exit, Failure> {
    let config = context.load_config()?;
    let store = context.open_store(&config)?;
    let find = |queue: &str| -> Result<Subject, Failure> {
        let found = store.list_queues().wait()?.into_iter().find(|(_, name)| name == queue);
        let unknown = || Failure::usage(format!("there is no queue `{}`", queue.escape_debug()), "`ranked journal status` lists them");
        Ok(Subject { id: found.ok_or_else(unknown)?.0, name: queue.to_owned(), said: said(&config, queue) })
    };
    match command {
        Command::List { queue } => list(context, &store, &find(&queue)?),
        Command::Show { queue, season, limit, csv } => show(context, &store, &find(&queue)?, season, (limit, csv)),
        Command::Start { queue, name, reset, keep, yes } => start(context, &store, &find(&queue)?, name, read_reset(reset, keep)?, yes),
    }
}

/// A queue of the database, and what plugins.toml says of its seasons.
struct Subject {
    id: QueueId,
    name: String,
    said: QueueSeasons,
}

fn said(config: &Config, queue: &str) -> QueueSeasons {
    config.queue(queue).map(|queue| QueueSeasons { config: queue.season.clone(), tiers: queue.tiers.clone() }).unwrap_or_default()
}

fn read_reset(reset: Reset, keep: Option<f64>) -> Result<SeasonReset, Failure> {
    let share = || match keep {
        Some(keep) if (0.0..=1.0).contains(&keep) => Ok(keep),
        Some(keep) => Err(Failure::usage(format!("{keep} is no share"), "write 0 to 1: 1 keeps everything, 0 is where players start")),
        None => Err(Failure::usage("it is not said how much is kept", "add `--keep 0.6`: 1 keeps everything, 0 is where players start")),
    };
    Ok(match (reset, keep) {
        (Reset::Hard, None) => SeasonReset::Hard,
        (Reset::Hard, Some(_)) => return Err(Failure::usage("a hard reset keeps nothing", "leave `--keep` out, or say `--reset soft`")),
        (Reset::Soft, _) => SeasonReset::Soft { keep: share()? },
        (Reset::Uncertainty, _) => SeasonReset::Uncertainty { keep: share()? },
    })
}

fn list(context: &Context<'_>, store: &Store, queue: &Subject) -> Result<Exit, Failure> {
    let seasons = store.list_seasons(queue.id).wait()?;
    let mut players = BTreeMap::new();
    for number in 0..seasons.first().map_or(0, |newest| newest.number) {
        players.insert(number, store.season_standings_len(queue.id, number).wait()?);
    }
    let starting = queue.said.config.starting.as_ref().filter(|starting| seasons.iter().all(|season| season.name != starting.name));
    let archived = |number: u32| players.get(&number).map_or_else(|| "-".to_owned(), u64::to_string);
    let ahead = starting.iter().map(|starting| {
        let reset = describe(starting.reset);
        ["-".to_owned(), printable(&starting.name), time(starting.starts_at), reset, "to start".to_owned()]
    });
    let started = seasons.iter().map(|season| {
        [season.number.to_string(), printable(&season.name), time(season.started_at), describe(season.reset), archived(season.number)]
    });
    let first = players
        .get(&0)
        .map(|archived| ["0".to_owned(), "before the first season".to_owned(), "-".to_owned(), "-".to_owned(), archived.to_string()]);
    let shown = table(["NUMBER", "NAME", "STARTED", "RESET", "ARCHIVED PLAYERS"], ahead.into_iter().chain(started).chain(first));
    let value = json!({
        "queue": queue.name,
        "to_start": starting.map(|starting| json!({
            "name": starting.name, "starts_at_ms": starting.starts_at.0, "reset": starting.reset.name(), "keep": starting.reset.keep(),
        })),
        "seasons": seasons.iter().map(|season| to_json(season, players.get(&season.number).copied())).collect::<Vec<_>>(),
        "archived_before_the_first": players.get(&0),
    });
    context.terminal.answer(&shown, &value)?;
    Ok(Exit::Done)
}

fn to_json(season: &Season, archived: Option<u64>) -> serde_json::Value {
    let Season { number, name, seq, reset, starts_at, started_at, by, ended: _ } = season;
    json!({
        "number": number,
        "name": name,
        "journal_entry": seq.0,
        "reset": reset.name(),
        "keep": reset.keep(),
        "starts_at_ms": starts_at.0,
        "started_at_ms": started_at.0,
        "started_by": by,
        "archived_players": archived,
    })
}

fn describe(reset: SeasonReset) -> String {
    match reset {
        SeasonReset::Hard => "hard".to_owned(),
        SeasonReset::Soft { keep } => format!("soft, keeps {keep}"),
        SeasonReset::Uncertainty { keep } => format!("uncertainty, keeps {keep}"),
    }
}

fn show(context: &Context<'_>, store: &Store, queue: &Subject, season: Option<u32>, (limit, csv): (u32, bool)) -> Result<Exit, Failure> {
    let newest = store.list_seasons(queue.id).wait()?.first().map_or(0, |season| season.number);
    let number = season.unwrap_or(newest);
    if number > newest {
        return Err(Failure::usage(format!("queue `{}` had no season {number}", queue.name), "`ranked season list` shows them"));
    }
    let now = context.clock.now();
    let rows = load_rows(store, queue, (number == newest).then_some(now), number, if csv { u32::MAX } else { limit })?;
    let cells = |row: &ArchivedStanding| {
        let tier = queue.said.tier(row.visible).unwrap_or_else(|| "-".to_owned());
        let [wins, losses, draws] = [row.wins, row.losses, row.draws].map(|count| count.to_string());
        let (mean, uncertainty) = (row.mean, row.uncertainty);
        if csv {
            let numbers = [row.visible, mean, uncertainty].map(|number| number.to_string());
            let [visible, mean, uncertainty] = numbers;
            let name = quoted(&row.name);
            return [row.rank.to_string(), row.player.to_string(), name, visible, quoted(&tier), mean, uncertainty, wins, losses, draws];
        }
        let numbers = [row.visible, mean, uncertainty].map(|number| format!("{number:.2}"));
        let [visible, mean, uncertainty] = numbers;
        [
            row.rank.to_string(),
            row.player.to_string(),
            printable(&row.name),
            visible,
            printable(&tier),
            mean,
            uncertainty,
            wins,
            losses,
            draws,
        ]
    };
    let shown = if csv {
        let lines = rows.iter().map(|row| cells(row).join(",") + "\n");
        std::iter::once("rank,player,name,rating,tier,mean,uncertainty,wins,losses,draws\n".to_owned()).chain(lines).collect()
    } else {
        table(["RANK", "PLAYER", "NAME", "RATING", "TIER", "MEAN", "UNCERTAINTY", "WINS", "LOSSES", "DRAWS"], rows.iter().map(cells))
    };
    let row = |row: &ArchivedStanding| {
        json!({
            "rank": row.rank, "player_id": row.player.0, "name": row.name, "rating": row.visible, "tier": queue.said.tier(row.visible),
            "mean": row.mean, "uncertainty": row.uncertainty, "wins": row.wins, "losses": row.losses, "draws": row.draws,
        })
    };
    let value = json!({
        "queue": queue.name, "season": number, "ended": number != newest, "rows": rows.iter().map(row).collect::<Vec<_>>(),
    });
    context.terminal.answer(&shown, &value)?;
    Ok(Exit::Done)
}

/// The first `limit` rows: of today at `now`, or archived.
fn load_rows(store: &Store, queue: &Subject, now: Option<UnixMillis>, number: u32, limit: u32) -> Result<Vec<ArchivedStanding>, Failure> {
    let mut rows = Vec::new();
    loop {
        let wanted = limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX)).min(LEADERBOARD_ROWS_MAX);
        let offset = rows.len() as u64;
        let page: Vec<ArchivedStanding> = match now {
            Some(now) => {
                let rows = store.leaderboard_at(queue.id, queue.said.rules(), now.seconds(), offset, wanted).wait()?;
                rows.into_iter().map(as_archived).collect()
            }
            None => store.season_standings(queue.id, number, offset, wanted).wait()?,
        };
        let is_last = page.len() < LEADERBOARD_ROWS_MAX as usize;
        rows.extend(page);
        if is_last {
            return Ok(rows);
        }
    }
}

fn as_archived(row: LeaderboardRow) -> ArchivedStanding {
    let LeaderboardRow { rank, player, name, shown, mean, uncertainty, wins, losses, draws, .. } = row;
    ArchivedStanding { rank, player, name, visible: shown, mean, uncertainty, wins, losses, draws }
}

/// One cell of comma-separated values (RFC 4180).
fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn start(context: &Context<'_>, store: &Store, queue: &Subject, name: String, reset: SeasonReset, yes: bool) -> Result<Exit, Failure> {
    check_season_name(&name).map_err(|problem| Failure::usage(problem, "as in `--name 2027-2`"))?;
    let now = context.clock.now();
    let rules: StandingRules = queue.said.rules();
    let archived = store.leaderboard_len_at(queue.id, rules).wait()?;
    let newest = store.list_seasons(queue.id).wait()?.into_iter().next();
    let number = newest.as_ref().map_or(0, |season| season.number) + 1;
    if let Some(season) = store.find_season(queue.id, &name).wait()? {
        return Err(refused(&SeasonRefusal::AlreadyStarted { name, number: season.number }));
    }
    if !yes {
        let ends = newest.map_or_else(
            || "what came before the first season".to_owned(),
            |season| format!("season {} `{}`", season.number, printable(&season.name)),
        );
        let shown = format!(
            "would start   season {number} `{}` of queue {}, reset {}\nwould archive {archived} players, as the leaderboard shows them at that moment\nwould end     {ends}\nNothing was done. Add --yes; there is no way back.",
            printable(&name),
            queue.name,
            describe(reset),
        );
        let value = json!({
            "started": false, "queue": queue.name, "number": number, "name": name, "reset": reset.name(), "keep": reset.keep(),
            "archived_players": archived,
        });
        context.terminal.answer(&shown, &value)?;
        return Ok(Exit::Done);
    }
    let new = NewSeason { name, reset, starts_at: now, ended: rules, by: "ranked season start".to_owned() };
    let season = store.start_season(queue.id, new, now).wait()?.map_err(|refusal| refused(&refusal))?;
    let shown = format!(
        "started  season {} `{}` of queue {} at journal entry {}\narchives {archived} players and resets everybody: a running host within a moment, else at its next start",
        season.number,
        printable(&season.name),
        queue.name,
        season.seq,
    );
    let mut value = to_json(&season, Some(archived));
    value["started"] = true.into();
    value["queue"] = queue.name.clone().into();
    context.terminal.answer(&shown, &value)?;
    Ok(Exit::Done)
}

fn refused(refusal: &SeasonRefusal) -> Failure {
    Failure::refused(format!("{refusal}; nothing was changed"), "choose another name: `ranked season list` shows those that were")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_with_a_comma_or_a_quote_is_quoted() {
        for (text, cell) in [("anna", "anna"), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\""), ("", "")] {
            assert_eq!(quoted(text), cell);
        }
    }
}
