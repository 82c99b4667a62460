//! `ranked plugin test`: an author's cases, and reference vectors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plugin_runtime::{Role, Runtime};
use serde_json::{Value, json};

use super::subject::SubjectArguments;
use super::vectors::VectorRun;
use crate::author::cases::{CaseEnd, CaseFile, Mismatch, PassedOver, Tested};
use crate::author::subject::Subject;
use crate::cli::failure::{Failure, chain};
use crate::cli::{Context, Exit, text};
use crate::config::QueueConfig;

/// Folder of an author's cases, beside plugin.toml.
const CASES_FOLDER: &str = "cases";

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    subject: SubjectArguments,
    /// Case files, or folders of them; by default `cases` beside plugin.toml.
    #[arg(long, value_name = "PATH")]
    cases: Vec<PathBuf>,
    /// A JSON file of reference vectors for rating engines.
    #[arg(long, value_name = "FILE")]
    vectors: Option<PathBuf>,
    /// The engine whose vectors are run, as the file names it: trueskill, elo, ..; a built-in engine knows what it stands for.
    #[arg(long, requires = "vectors")]
    algo: Option<String>,
    /// Run all vectors, each against the built-in engine that stands for it.
    #[arg(long, requires = "vectors", conflicts_with_all = ["component", "cases", "algo"])]
    builtin: bool,
}

/// What came of one file, or of one kind of vectors in it.
pub(super) struct Ran {
    pub(super) place: String,
    /// Of vectors: the engine that they speak of.
    pub(super) algo: Option<String>,
    /// What was asked; `None`: nothing could be.
    pub(super) component: Option<String>,
    pub(super) ends: Vec<End>,
    pub(super) passed_over: Vec<PassedOver>,
}

impl Ran {
    fn failed(&self) -> usize {
        self.ends.iter().filter(|end| !end.passed()).count()
    }

    /// How many were passed over for which reason.
    fn reasons(&self) -> BTreeMap<&str, usize> {
        let mut reasons = BTreeMap::new();
        self.passed_over.iter().for_each(|over| *reasons.entry(over.reason.as_str()).or_insert(0) += 1);
        reasons
    }
}

/// One case or vector.
pub(super) struct End {
    pub(super) name: String,
    /// Every field that differs, or why it could not be run.
    pub(super) result: Result<Vec<Mismatch>, String>,
}

impl End {
    fn passed(&self) -> bool {
        self.result.as_ref().is_ok_and(Vec::is_empty)
    }
}

pub(super) fn run(context: &Context<'_>, runtime: &Runtime, arguments: &Arguments) -> Result<Exit, Failure> {
    let parameters = arguments.subject.parameters();
    let vectors = arguments.vectors.as_deref().map(|file| VectorRun::read(runtime, file, parameters)).transpose()?;
    if let Some(vectors) = vectors.as_ref().filter(|_| arguments.builtin) {
        return answer(context, None, &vectors.of_builtins()?);
    }
    let subject = Subject::find(runtime, arguments.subject.wish(context)?)?;
    let mut ran = Vec::new();
    let files = case_files(&subject, arguments)?;
    if !files.is_empty() {
        ran.extend(run_cases(runtime, &subject, &subject.queues[0], &files)?);
    }
    if let Some(vectors) = vectors {
        ran.extend(vectors.of(&subject, arguments.algo.as_deref())?);
    }
    answer(context, Some(&subject), &ran)
}

/// The files named, or those of the folder beside the manifest, in order.
fn case_files(subject: &Subject, arguments: &Arguments) -> Result<Vec<PathBuf>, Failure> {
    let mut places = arguments.cases.clone();
    let own = subject.folder.as_deref().unwrap_or(Path::new(".")).join(CASES_FOLDER);
    if places.is_empty() && own.is_dir() {
        places.push(own.clone());
    }
    let mut files = Vec::new();
    for place in places {
        let unreadable = |error: std::io::Error| Failure::usage(format!("{}: {error}", place.display()), "");
        if !place.is_dir() {
            files.push(place);
            continue;
        }
        let listed = std::fs::read_dir(&place).map_err(unreadable)?;
        let listed: Result<Vec<_>, _> = listed.map(|entry| entry.map(|entry| entry.path())).collect();
        let mut listed = listed.map_err(unreadable)?;
        listed.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        listed.sort_unstable();
        files.extend(listed);
    }
    if files.is_empty() && arguments.vectors.is_none() {
        return Err(Failure::usage(
            format!("there are no cases in {}", own.display()),
            "name a file with --cases; `ranked plugin new` writes the first one",
        ));
    }
    Ok(files)
}

fn run_cases(runtime: &Runtime, subject: &Subject, queue: &QueueConfig, files: &[PathBuf]) -> Result<Vec<Ran>, Failure> {
    let refused =
        |error| Failure::refused(format!("{} {}", subject.shown, chain(&error)), "`ranked plugin check` looks at it more closely");
    let (rating, rules, policy);
    let tested = match subject.role {
        Role::Rating => {
            rating = subject.load_rating(runtime, queue).map_err(refused)?;
            Tested::Rating(&rating)
        }
        Role::Rules => {
            rules = subject.load_rules(runtime, queue).map_err(refused)?;
            Tested::Rules(&rules)
        }
        Role::Policy => {
            policy = subject.load_policy(runtime, queue).map_err(refused)?;
            Tested::Policy(&policy)
        }
    };
    let mut ran = Vec::with_capacity(files.len());
    for file in files {
        let place = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| Failure::usage(format!("{place}: {error}"), ""))?;
        let cases: CaseFile = toml::from_str(&text).map_err(|error| {
            Failure::usage(format!("{place} cannot be read: {error}"), "`ranked plugin new` writes a file to start from")
        })?;
        if cases.count(subject.role) == 0 {
            return Err(Failure::usage(
                format!("{place} has no case for the role `{}`", subject.role),
                format!("begin one with [[{}]]", subject.role),
            ));
        }
        let end = |CaseEnd { name, result }| End { name, result: result.map_err(|problem| problem.to_string()) };
        let ends = cases.run(&queue.shape, &tested).into_iter().map(end).collect();
        ran.push(Ran { place, algo: None, component: Some(subject.shown.clone()), ends, passed_over: Vec::new() });
    }
    Ok(ran)
}

/// `subject`: what was tested; `None` for the whole of a file against all built-in engines.
fn answer(context: &Context<'_>, subject: Option<&Subject>, ran: &[Ran]) -> Result<Exit, Failure> {
    let total: usize = ran.iter().map(|ran| ran.ends.len()).sum();
    let failed: usize = ran.iter().map(Ran::failed).sum();
    let over: usize = ran.iter().map(|ran| ran.passed_over.len()).sum();
    let mut shown = if subject.is_none() { table(ran) } else { String::new() };
    for ran in ran.iter().filter(|ran| subject.is_some() || ran.failed() > 0) {
        shown.push_str(&listed(ran, subject.is_some()));
    }
    shown.push_str(&format!("{total} cases, {failed} failed"));
    if over > 0 {
        shown.push_str(&format!(", {over} passed over"));
    }
    let value = json!({
        "component": subject.map(|subject| &subject.shown),
        "role": subject.map_or(Role::Rating, |subject| subject.role).name(),
        "files": ran.iter().map(to_json).collect::<Vec<_>>(),
        "cases": total,
        "failed": failed,
        "passed_over": over,
    });
    context.terminal.answer(&shown, &value)?;
    Ok(if failed == 0 { Exit::Done } else { Exit::Finding })
}

/// One line per engine that the vectors speak of, and below it why some were passed over.
fn table(ran: &[Ran]) -> String {
    let mut table = format!("{:<14}  {:<20}  {:>6}  {:>6}  {:>11}\n", "vectors of", "component", "passed", "failed", "passed over");
    for ran in ran {
        let algo = text::printable(ran.algo.as_deref().unwrap_or(&ran.place));
        let component = ran.component.as_deref().unwrap_or("-");
        let (failed, over) = (ran.failed(), ran.passed_over.len());
        table.push_str(&format!("{algo:<14}  {component:<20}  {:>6}  {failed:>6}  {over:>11}\n", ran.ends.len() - failed));
        table.push_str(&reasons(ran));
    }
    table
}

fn reasons(ran: &Ran) -> String {
    ran.reasons().into_iter().map(|(reason, count)| format!("    {count} passed over: {}\n", text::printable(reason))).collect()
}

/// The cases of one file, one a line; those that passed only if wanted.
fn listed(ran: &Ran, with_passed: bool) -> String {
    let algo = ran.algo.as_ref().map(|algo| format!(" ({algo})")).unwrap_or_default();
    let mut shown = format!("{}{}\n", text::printable(&ran.place), text::printable(&algo));
    if with_passed {
        shown.push_str(&reasons(ran));
    }
    for end in ran.ends.iter().filter(|end| with_passed || !end.passed()) {
        let word = if end.passed() { "ok" } else { "FAILED" };
        shown.push_str(&format!("  {word:<6}  {}\n", text::printable(&end.name)));
        match &end.result {
            Ok(mismatches) => {
                mismatches.iter().for_each(|mismatch| shown.push_str(&format!("            {}\n", text::printable(&mismatch.to_string()))))
            }
            Err(problem) => shown.push_str(&format!("            {}\n", text::printable(problem))),
        }
    }
    shown
}

fn to_json(ran: &Ran) -> Value {
    let mismatch = |Mismatch { field, expected, got }: &Mismatch| json!({ "field": field, "expected": expected, "got": got });
    let end = |end: &End| {
        json!({
            "name": end.name,
            "passed": end.passed(),
            "mismatches": end.result.as_ref().map(|mismatches| mismatches.iter().map(mismatch).collect::<Vec<_>>()).unwrap_or_default(),
            "problem": end.result.as_ref().err(),
        })
    };
    let over = |over: &PassedOver| json!({ "name": over.id, "reason": over.reason });
    json!({
        "file": ran.place,
        "algo": ran.algo,
        "component": ran.component,
        "cases": ran.ends.iter().map(end).collect::<Vec<_>>(),
        "passed": ran.ends.len() - ran.failed(),
        "failed": ran.failed(),
        "passed_over": ran.passed_over.len(),
        "reasons": ran.passed_over.iter().map(over).collect::<Vec<_>>(),
    })
}
