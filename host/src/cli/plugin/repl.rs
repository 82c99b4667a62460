//! `ranked plugin repl`: type contests, see ratings.

use std::io::{BufRead as _, IsTerminal as _};

use plugin_runtime::{Role, Runtime};
use serde_json::{Value, json};

use super::subject::SubjectArguments;
use crate::author::club::{Change, Member};
use crate::author::repl::{HELP, Prediction, Repl, ReplProblem, Reply};
use crate::cli::failure::{Failure, chain};
use crate::cli::terminal::table;
use crate::cli::{Context, Exit};

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    subject: SubjectArguments,
}

const PROMPT: &str = "> ";

pub(super) fn run(context: &Context<'_>, runtime: &Runtime, arguments: &Arguments) -> Result<Exit, Failure> {
    let subject = arguments.subject.find(context, runtime, Role::Rating)?;
    let engine = subject.load_rating(runtime, &subject.queues[0]).map_err(|error| Failure::refused(format!("it {}", chain(&error)), ""))?;
    let mut repl = Repl::new(&engine).map_err(|fault| Failure::refused(format!("the engine {fault}"), ""))?;
    let (mut input, is_asked) = (std::io::stdin().lock(), std::io::stdin().is_terminal() && !context.terminal.is_json());
    let mut exit = Exit::Done;
    if is_asked {
        context.terminal.note(&format!("{} {}; `help` says what can be typed", engine.description().name, engine.description().version))?;
    }
    loop {
        if is_asked {
            context.terminal.prompt(PROMPT)?;
        }
        let mut line = String::new();
        if input.read_line(&mut line).map_err(Failure::environment)? == 0 {
            return Ok(exit);
        }
        match repl.answer(&line) {
            Ok(Reply::Quit) => return Ok(exit),
            Ok(Reply::Nothing) => {}
            Ok(reply) => context.terminal.answer_line(&shown(&reply), &to_json(&reply))?,
            Err(problem) => {
                // A person sees it and goes on; a script has to know.
                if !is_asked {
                    exit = Exit::Finding;
                }
                context.terminal.answer_line(&underlined(&line, &problem, is_asked), &json!({ "problem": problem.to_string() }))?;
            }
        }
    }
}

/// The problem below the place in the line. What was typed at a prompt stands above already.
fn underlined(line: &str, problem: &ReplProblem, is_asked: bool) -> String {
    let ReplProblem::Line(bad) = problem else { return problem.to_string() };
    let indent = if is_asked { PROMPT.len() } else { 0 };
    let echo = if is_asked { String::new() } else { format!("{}\n", line.trim_end()) };
    format!("{echo}{}^ {bad}", " ".repeat(indent + bad.column - 1))
}

fn shown(reply: &Reply) -> String {
    match reply {
        Reply::Rated { changes, predicted, surprise_bits } => {
            let moved = |before: f64, after: f64| format!("{before:.2} -> {after:.2} ({:+.2})", after - before);
            let rows = changes.iter().map(|Change { name, place, before, after }| {
                let visible = before.visible.zip(after.visible).map_or_else(String::new, |(before, after)| moved(before, after));
                let (mean, uncertainty) = (before.rating.mean, before.rating.uncertainty);
                let columns = [moved(mean, after.rating.mean), moved(uncertainty, after.rating.uncertainty)];
                let [mean, uncertainty] = columns;
                [name.clone(), (place + 1).to_string(), mean, uncertainty, visible]
            });
            let rows = table(["PLAYER", "PLACE", "MEAN", "UNCERTAINTY", "VISIBLE"], rows);
            format!("{rows}{}surprise {surprise_bits:.2} bits", predictions(predicted))
        }
        Reply::Predicted(prediction) => predictions(prediction).trim_end().to_owned(),
        Reply::Standings(standings) if standings.is_empty() => "nobody has played yet".to_owned(),
        Reply::Standings(standings) => {
            let rows = standings.iter().map(|(name, member)| {
                let Member { rating, visible, contests, .. } = member;
                let visible = visible.map_or_else(String::new, |visible| format!("{visible:.2}"));
                [name.clone(), visible, format!("{:.2}", rating.mean), format!("{:.2}", rating.uncertainty), contests.to_string()]
            });
            table(["PLAYER", "VISIBLE", "MEAN", "UNCERTAINTY", "CONTESTS"], rows)
        }
        Reply::Undone(line) => format!("took back  {line}"),
        Reply::Help => HELP.to_owned(),
        Reply::Nothing | Reply::Quit => String::new(),
    }
}

fn predictions(prediction: &Prediction) -> String {
    let mut shares = prediction.pairs.iter();
    let mut text = String::new();
    for (index, first) in prediction.teams.iter().enumerate() {
        for (second, share) in prediction.teams[index + 1..].iter().zip(&mut shares) {
            text.push_str(&format!("predicted  {} before {}: {:.1} %\n", first.join(","), second.join(","), share * 100.0));
        }
    }
    text
}

fn to_json(reply: &Reply) -> Value {
    let member = |member: &Member| {
        json!({
            "mean": member.rating.mean, "uncertainty": member.rating.uncertainty, "visible": member.visible, "contests": member.contests,
        })
    };
    let prediction = |prediction: &Prediction| json!({ "teams": prediction.teams, "pairs": prediction.pairs });
    match reply {
        Reply::Rated { changes, predicted, surprise_bits } => {
            let change = |change: &Change| json!({ "player": change.name, "place": change.place, "before": member(&change.before), "after": member(&change.after) });
            json!({ "changes": changes.iter().map(change).collect::<Vec<_>>(), "predicted": prediction(predicted), "surprise_bits": surprise_bits })
        }
        Reply::Predicted(predicted) => json!({ "predicted": prediction(predicted) }),
        Reply::Standings(standings) => {
            let standing = |(name, of): &(String, Member)| json!({ "player": name, "rating": member(of) });
            json!({ "standings": standings.iter().map(standing).collect::<Vec<_>>() })
        }
        Reply::Undone(line) => json!({ "undone": line }),
        Reply::Help => json!({ "help": HELP.lines().collect::<Vec<_>>() }),
        Reply::Nothing | Reply::Quit => Value::Null,
    }
}
