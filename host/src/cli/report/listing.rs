//! `report list` and `report show`.

use ladder::report::{Disposition, Source};
use serde_json::{Value, json};
use store::{Decided, DecisionRecord, Deed, ListedReport, RatingState, ReportFilter, Store, Unrated};

use super::{find, find_server};
use crate::cli::failure::Failure;
use crate::cli::terminal::table;
use crate::cli::{Context, Exit, text};

#[derive(clap::Args)]
pub(in crate::cli) struct ListArguments {
    /// Only reports of this queue.
    #[arg(long)]
    queue: Option<String>,
    /// Only reports that wait for a decision: `release` or `void` them.
    #[arg(long, conflicts_with = "voided")]
    held: bool,
    /// Only reports that are voided.
    #[arg(long)]
    voided: bool,
    /// Only reports of this game server: its id, or the first digits of its certificate's.
    #[arg(long, value_name = "ID")]
    server: Option<String>,
    /// Accepted then or later: 2026-11-23T14:00:00Z, 2026-11-23, "2h ago".
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Accepted before then.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

/// What a list of reports goes by, from the options that several commands have.
pub(in crate::cli) struct Chosen<'a> {
    pub(in crate::cli) queue: Option<&'a str>,
    pub(in crate::cli) server: Option<&'a str>,
    pub(in crate::cli) since: Option<&'a str>,
    pub(in crate::cli) until: Option<&'a str>,
}

impl Chosen<'_> {
    pub(in crate::cli) fn filter(&self, context: &Context<'_>, store: &Store) -> Result<ReportFilter, Failure> {
        let now = context.clock.now();
        let time = |text: &str| text::parse_time(text, now).map_err(|problem| Failure::usage(problem, ""));
        let queue = self.queue.map(|name| find_queue(store, name)).transpose()?;
        let server = self.server.map(|named| find_server(store, named)).transpose()?;
        let filter = ReportFilter {
            queue,
            server,
            since: self.since.map(time).transpose()?,
            until: self.until.map(time).transpose()?,
            decided: None,
        };
        match (filter.since, filter.until) {
            (Some(since), Some(until)) if since >= until => {
                let [since, until] = [since, until].map(text::time);
                Err(Failure::usage(format!("nothing lies between {since} and {until}"), "--since comes before --until"))
            }
            _ => Ok(filter),
        }
    }
}

pub(in crate::cli) fn find_queue(store: &Store, name: &str) -> Result<ladder::id::QueueId, Failure> {
    let queues = store.list_queues().wait()?;
    let found = queues.iter().find(|(_, known)| known == name).map(|(queue, _)| *queue);
    let known: Vec<_> = queues.iter().map(|(_, name)| text::printable(name)).collect();
    found.ok_or_else(|| {
        Failure::usage(format!("the database has no queue `{}`", text::printable(name)), format!("it has: {}", known.join(", ")))
    })
}

pub(super) fn list(context: &Context<'_>, arguments: &ListArguments) -> Result<Exit, Failure> {
    let ListArguments { queue, held, voided, server, since, until, limit } = arguments;
    let store = context.open_store(&context.load_config()?)?;
    let chosen = Chosen { queue: queue.as_deref(), server: server.as_deref(), since: since.as_deref(), until: until.as_deref() };
    let decided = if *held { Some(Decided::Held) } else { voided.then_some(Decided::Voided) };
    let filter = ReportFilter { decided, ..chosen.filter(context, &store)? };
    let reports = store.list_reports(filter, *limit).wait()?;
    let rows = reports.iter().map(|report| {
        let facts = &report.facts;
        let why = facts.reasons.last().map_or(String::new(), |reason| format!("{}: {}", reason.code, reason.detail));
        [
            report.seq.to_string(),
            text::time(report.recorded_at),
            text::printable(&report.queue_name),
            facts.match_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            source(report),
            facts.players.len().to_string(),
            state(report).to_owned(),
            text::printable(&why),
        ]
    });
    let mut shown = table(["ENTRY", "ACCEPTED", "QUEUE", "MATCH", "SERVER", "PLAYERS", "STATE", "WHY"], rows);
    if reports.len() as u64 == u64::from(*limit) {
        shown.push_str(&format!("the newest {limit}; --limit shows more\n"));
    }
    let value = json!({ "reports": reports.iter().map(to_json).collect::<Vec<_>>() });
    context.terminal.answer(&shown, &value)?;
    Ok(Exit::Done)
}

pub(super) fn show(context: &Context<'_>, named: &str) -> Result<Exit, Failure> {
    let store = context.open_store(&context.load_config()?)?;
    let seq = find(&store, named)?;
    let found = store.report_record(seq).wait()?;
    let (report, decisions) = found
        .ok_or_else(|| Failure::refused(format!("journal entry {seq} is not a report"), "`ranked report list` shows the latest ones"))?;
    let value = json!({ "report": to_json(&report), "decisions": decisions.iter().map(decision_json).collect::<Vec<_>>() });
    context.terminal.answer(&render(&store, &report, &decisions)?, &value)?;
    Ok(Exit::Done)
}

fn render(store: &Store, report: &ListedReport, decisions: &[DecisionRecord]) -> Result<String, Failure> {
    let facts = &report.facts;
    let mut shown = format!(
        "report    journal entry {}  queue {}  match {}\naccepted  {}  from {}\nstate     {}\nclamped   {} numbers\n",
        report.seq,
        text::printable(&report.queue_name),
        facts.match_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
        text::time(report.recorded_at),
        source(report),
        sentence(report),
        facts.clamped,
    );
    for reason in &facts.reasons {
        shown.push_str(&format!("because   {}: {}\n", text::printable(&reason.code), text::printable(&reason.detail)));
    }
    for decision in decisions {
        let revision = decision.revision.map_or(String::new(), |revision| format!("  revision {revision}"));
        shown.push_str(&format!(
            "decided   {} {} by {}, entry {}{revision}: {}\n",
            text::time(decision.at),
            deed(decision.deed),
            text::printable(decision.by.as_deref().unwrap_or("an operator")),
            decision.entry,
            text::printable(&decision.why),
        ));
    }
    let changes = match &report.rating {
        RatingState::Rated(changes) => changes.as_slice(),
        _ => &[],
    };
    let mut rows = Vec::with_capacity(facts.players.len());
    for player in &facts.players {
        let name = store.find_player(player.player).wait()?.map_or_else(|| player.player.to_string(), |account| account.name);
        let team = usize::from(player.team);
        let change = changes.iter().find(|change| change.player == player.player);
        rows.push([
            (team + 1).to_string(),
            text::printable(&name),
            facts.places.get(team).map_or_else(|| "-".to_owned(), |place| (place + 1).to_string()),
            facts.scores.get(team).map_or_else(|| "-".to_owned(), f64::to_string),
            format!("{:.0} %", player.presence * 100.0),
            change.map_or_else(|| "-".to_owned(), |change| format!("{:.2} -> {:.2}", change.visible_before, change.visible)),
        ]);
    }
    shown.push_str(&table(["TEAM", "PLAYER", "PLACE", "SCORE", "PRESENT", "RATING"], rows));
    Ok(shown)
}

fn source(report: &ListedReport) -> String {
    match report.facts.provenance.source {
        Source::Server(server) => text::short(&server.to_string()),
        Source::Import => "import".to_owned(),
    }
}

/// One word for what became of a report.
fn state(report: &ListedReport) -> &'static str {
    match (&report.rating, report.facts.disposition) {
        (RatingState::Rated(_), _) => "rated",
        (RatingState::Waits(_), _) => "waits",
        (RatingState::Voided { .. }, _) => "voided",
        (RatingState::NotRatable, Disposition::Held) => "held",
        (RatingState::NotRatable, Disposition::Rejected) => "rejected",
        (RatingState::NotRatable, Disposition::Ratable) => "skipped",
    }
}

fn sentence(report: &ListedReport) -> String {
    match &report.rating {
        RatingState::Waits(why @ Unrated::Fault(_)) => format!("waits: {}", text::printable(&why.to_string())),
        RatingState::Waits(why) => format!("waits: {why}"),
        RatingState::Voided { entry, by, why } => {
            format!("voided by {}, entry {entry}: {}", text::printable(by), text::printable(why))
        }
        RatingState::NotRatable if report.facts.disposition == Disposition::Held => {
            "held: `ranked report release` lets it be rated, `ranked report void` never".to_owned()
        }
        _ => state(report).to_owned(),
    }
}

fn deed(deed: Deed) -> &'static str {
    match deed {
        Deed::Released => "released",
        Deed::Voided => "voided",
        Deed::Restored => "restored",
        Deed::Skipped => "skipped",
    }
}

fn decision_json(decision: &DecisionRecord) -> Value {
    json!({
        "decision": deed(decision.deed),
        "entry": decision.entry.0,
        "revision": decision.revision,
        "by": decision.by,
        "reason": decision.why,
        "at_ms": decision.at.0,
    })
}

fn to_json(report: &ListedReport) -> Value {
    let facts = &report.facts;
    let server = match facts.provenance.source {
        Source::Server(server) => Some(server.to_string()),
        Source::Import => None,
    };
    let players =
        facts.players.iter().map(|player| json!({ "player_id": player.player.0, "team": player.team, "presence": player.presence }));
    json!({
        "entry": report.seq.0,
        "accepted_at_ms": report.recorded_at.0,
        "queue": report.queue_name,
        "match_id": facts.match_id.map(|id| id.0),
        "server": server,
        "state": state(report),
        "disposition": match facts.disposition {
            Disposition::Ratable => "ratable",
            Disposition::Held => "held",
            Disposition::Rejected => "rejected",
        },
        "clamped": facts.clamped,
        "reasons": facts.reasons.iter().map(|reason| json!({ "code": reason.code, "detail": reason.detail })).collect::<Vec<_>>(),
        "places": facts.places,
        "scores": facts.scores,
        "players": players.collect::<Vec<_>>(),
    })
}
