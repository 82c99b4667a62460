//! `ranked incident`: everything that one game server reported in some hours, taken back together; and that undone.

use serde_json::{Value, json};
use store::{Revision, RevisionKind, TaintedReports};

use super::failure::Failure;
use super::report::Chosen;
use super::terminal::table;
use super::undoing::{self, Why};
use super::{Context, Exit, text};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Take back what a game server reported between two times. Shows what it would do; --apply does it.
    ///
    /// Matches, players, the largest moves and who crosses a tier are shown first. With --apply the ratings without those reports are built
    /// while the host serves, and put in force at once. `ranked incident undo` takes it back.
    #[command(after_help = "\
Example: ranked incident rollback --server 7f0c --since \"6h ago\"
         ranked incident rollback --server 7f0c --since \"6h ago\" --apply --reason \"stolen certificate\"")]
    Rollback(RollbackArguments),
    /// Every void and restoration: who, when, why, how many reports, and whether the ratings follow it.
    #[command(after_help = "Example: ranked incident list --json")]
    List,
    /// Let everything count again that one revision voided.
    #[command(after_help = "Example: ranked incident undo 3 --queue duel --reason \"the wrong server\"")]
    Undo {
        /// The revision, as `ranked incident list` numbers it.
        revision: u64,
        /// The queue; needed if more than one has such a revision.
        #[arg(long)]
        queue: Option<String>,
        #[command(flatten)]
        why: Why,
        /// Leave the building of the ratings to the host.
        #[arg(long)]
        no_wait: bool,
    },
}

#[derive(clap::Args)]
pub(super) struct RollbackArguments {
    /// The game server: its id, or the first digits of its certificate's. The certificate need not exist any more.
    #[arg(long, value_name = "ID")]
    server: String,
    /// What was accepted then or later: 2026-11-23T14:00:00Z, 2026-11-23 14:00 (in UTC), "2h ago".
    #[arg(long, value_name = "TIME")]
    since: String,
    /// What was accepted before then.
    #[arg(long, value_name = "TIME", default_value = "now")]
    until: String,
    /// Only this queue.
    #[arg(long)]
    queue: Option<String>,
    /// Do it.
    #[arg(long, requires = "reason")]
    apply: bool,
    /// Why, in one line; kept for ever. Players who ask about their match read it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who decides; by default the user of this shell.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Ask nothing.
    #[arg(long)]
    yes: bool,
    /// Leave the building of the ratings to the host.
    #[arg(long)]
    no_wait: bool,
}

pub(super) fn run(context: &Context<'_>, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Rollback(arguments) => rollback(context, &arguments),
        Command::List => list(context),
        Command::Undo { revision, queue, why, no_wait } => undo(context, revision, queue.as_deref(), &why, !no_wait),
    }
}

fn rollback(context: &Context<'_>, arguments: &RollbackArguments) -> Result<Exit, Failure> {
    let RollbackArguments { server, since, until, queue, apply, reason, by, yes, no_wait } = arguments;
    let decision = reason.as_deref().map(|reason| undoing::decision(reason, by.as_deref())).transpose()?;
    let config = context.load_config()?;
    let store = context.open_store(&config)?;
    let chosen = Chosen { queue: queue.as_deref(), server: Some(server), since: Some(since), until: Some(until) };
    let filter = chosen.filter(context, &store)?;
    let span = match (filter.server, filter.since, filter.until) {
        (Some(server), Some(since), Some(until)) => format!("game server {server} from {} until {}", text::time(since), text::time(until)),
        _ => return Err(Failure::usage("a rollback needs a game server and a time", "")),
    };
    let tainted = store.tainted_reports(filter).wait()?;
    let reports = undoing::flatten(&tainted);
    if reports.is_empty() {
        let help = "`ranked report list --server ID` shows what it reported, and what is voided already";
        return Err(Failure::refused(format!("{span}: no report that counts"), help));
    }
    if *apply && decision.is_some() && !*yes && !context.terminal.is_interactive() {
        let title = format!("{span}: this voids {} reports; nobody can be asked here", reports.len());
        return Err(Failure::usage(title, "give --yes to go on"));
    }
    // Whoever does it without being asked has looked before, or does not want to.
    let looks = !(*apply && *yes);
    let shown = if looks { undoing::preview(context, &config, &store, &tainted)? } else { Vec::new() };
    let mut text = format!("incident  {span}\n");
    shown.iter().for_each(|shown| text.push_str(&shown.render()));
    let (true, Some(decision)) = (*apply, decision) else {
        text.push_str("nothing was changed; --apply --reason TEXT does it\n");
        context.terminal.answer(&text, &preview_json(&span, &tainted, &shown))?;
        return Ok(Exit::Done);
    };
    if !yes {
        context.terminal.note(&text)?;
        let question = format!("void these {} reports? type yes to go on: ", reports.len());
        if !context.terminal.ask(&question)?.eq_ignore_ascii_case("yes") {
            return Err(Failure::refused("nothing was changed", ""));
        }
        text.clear();
    }
    let made = store.void_reports(reports, decision, Some(span.clone()), context.clock.now()).wait()?;
    let made =
        made.map_err(|refusal| Failure::refused(format!("{refusal}; nothing was changed"), "another command was faster: look again"))?;
    let ratings = undoing::build(context, &config, &store, made, !no_wait)?;
    for ratings in &ratings {
        text.push_str(&format!("voided    {}: {} reports, revision {}\n", ratings.queue, ratings.made.reports, ratings.made.revision));
        text.push_str(&ratings.render());
        text.push_str(&format!("undo      ranked incident undo {} --queue {} --reason TEXT\n", ratings.made.revision, ratings.queue));
    }
    context.terminal.answer(&text, &json!({ "applied": true, "incident": span, "queues": undoing::to_json(&ratings) }))?;
    Ok(undoing::settled(&ratings))
}

fn preview_json(span: &str, tainted: &TaintedReports, shown: &[undoing::Shown]) -> Value {
    json!({
        "applied": false,
        "incident": span,
        "reports": undoing::flatten(tainted).iter().map(|seq| seq.0).collect::<Vec<_>>(),
        "queues": shown.iter().map(undoing::Shown::to_json).collect::<Vec<_>>(),
    })
}

fn list(context: &Context<'_>) -> Result<Exit, Failure> {
    let store = context.open_store(&context.load_config()?)?;
    let revisions = store.list_revisions().wait()?;
    let rows = revisions.iter().rev().map(|it| {
        [
            text::printable(&it.queue_name),
            it.revision.to_string(),
            text::time(it.at),
            text::printable(&it.by),
            deed(it),
            it.reports.to_string(),
            state(it).to_owned(),
            text::printable(&it.why),
        ]
    });
    let mut shown = table(["QUEUE", "REVISION", "WHEN", "BY", "WHAT", "REPORTS", "STATE", "WHY"], rows);
    if revisions.iter().any(|it| !it.in_force) {
        shown.push_str("being built: by the running host, or at its next start; `ranked plugin status` shows how far\n");
    }
    context.terminal.answer(&shown, &json!({ "revisions": revisions.iter().rev().map(to_json).collect::<Vec<_>>() }))?;
    Ok(Exit::Done)
}

fn deed(revision: &Revision) -> String {
    match (revision.kind, revision.taken_back, &revision.incident) {
        (RevisionKind::Void, _, Some(incident)) => format!("void: {}", text::printable(incident)),
        (RevisionKind::Void, _, None) => "void".to_owned(),
        (RevisionKind::Restore, Some(taken_back), _) => format!("restore of {taken_back}"),
        (RevisionKind::Restore, None, _) => "restore".to_owned(),
    }
}

/// What stands of it, and whether the ratings follow.
fn state(revision: &Revision) -> &'static str {
    match (revision.in_force, revision.kind, revision.still_voided) {
        (false, ..) => "being built",
        (true, RevisionKind::Void, 0) => "undone",
        (true, RevisionKind::Void, left) if left < revision.reports => "partly undone",
        (true, ..) => "in force",
    }
}

fn to_json(revision: &Revision) -> Value {
    json!({
        "queue": revision.queue_name,
        "revision": revision.revision,
        "journal_entry": revision.entry.0,
        "what": match revision.kind { RevisionKind::Void => "void", RevisionKind::Restore => "restore" },
        "taken_back": revision.taken_back,
        "incident": revision.incident,
        "by": revision.by,
        "reason": revision.why,
        "at_ms": revision.at.0,
        "reports": revision.reports,
        "still_voided": revision.still_voided,
        "in_force": revision.in_force,
        "state": state(revision),
    })
}

fn undo(context: &Context<'_>, revision: u64, queue: Option<&str>, why: &Why, wait: bool) -> Result<Exit, Failure> {
    let decision = why.decision()?;
    let config = context.load_config()?;
    let store = context.open_store(&config)?;
    let revisions = store.list_revisions().wait()?;
    let voids = revisions.iter().filter(|it| it.kind == RevisionKind::Void && it.revision == revision);
    let fitting: Vec<_> = voids.filter(|it| queue.is_none_or(|queue| it.queue_name == queue)).collect();
    let chosen = match fitting[..] {
        [chosen] => chosen,
        [] => {
            let problem = format!("no void has the revision {revision}");
            return Err(Failure::refused(problem, "`ranked incident list` shows them"));
        }
        _ => {
            let names: Vec<_> = fitting.iter().map(|it| text::printable(&it.queue_name)).collect();
            let problem = format!("several queues have a revision {revision}: {}", names.join(", "));
            return Err(Failure::usage(problem, "name one with --queue"));
        }
    };
    let made = store.restore_revision(chosen.queue, revision, decision, context.clock.now()).wait()?;
    let made =
        made.map_err(|refusal| Failure::refused(format!("{refusal}; nothing was changed"), "`ranked incident list` shows what stands"))?;
    let reports = made.reports;
    let ratings = undoing::build(context, &config, &store, vec![made], wait)?;
    let mut text = format!("restored  {}: {reports} reports of revision {revision}\n", text::printable(&chosen.queue_name));
    ratings.iter().for_each(|ratings| text.push_str(&ratings.render()));
    context.terminal.answer(&text, &json!({ "restored": reports, "queues": undoing::to_json(&ratings) }))?;
    Ok(undoing::settled(&ratings))
}
