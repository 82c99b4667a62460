//! `ranked plugin test`: an author's cases, and reference vectors.

use std::path::{Path, PathBuf};

use plugin_runtime::{Role, Runtime};
use serde_json::{Value, json};

use super::subject::SubjectArguments;
use crate::author::cases::{CaseEnd, CaseFile, Mismatch, Tested, Vectors};
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
    #[arg(long, value_name = "FILE", requires = "algo")]
    vectors: Option<PathBuf>,
    /// The engine whose vectors are run, as the file names it: trueskill, elo, ..
    #[arg(long)]
    algo: Option<String>,
}

/// What came of one file.
struct Ran {
    place: String,
    ends: Vec<End>,
    /// Entries that are of another form.
    passed_over: usize,
}

/// One case or vector.
struct End {
    name: String,
    /// Every field that differs, or why it could not be run.
    result: Result<Vec<Mismatch>, String>,
}

impl End {
    fn passed(&self) -> bool {
        self.result.as_ref().is_ok_and(Vec::is_empty)
    }
}

pub(super) fn run(context: &Context<'_>, runtime: &Runtime, arguments: &Arguments) -> Result<Exit, Failure> {
    let subject = Subject::find(runtime, arguments.subject.wish(context)?)?;
    let queue = &subject.queues[0];
    let mut ran = Vec::new();
    let files = case_files(&subject, arguments)?;
    if !files.is_empty() {
        ran.extend(run_cases(runtime, &subject, queue, &files)?);
    }
    if let (Some(file), Some(algo)) = (&arguments.vectors, &arguments.algo) {
        ran.push(run_vectors(runtime, &subject, queue, arguments, file, algo)?);
    }
    answer(context, &subject, &ran)
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
        ran.push(Ran { place, ends, passed_over: 0 });
    }
    Ok(ran)
}

fn run_vectors(
    runtime: &Runtime,
    subject: &Subject,
    queue: &QueueConfig,
    arguments: &Arguments,
    file: &Path,
    algo: &str,
) -> Result<Ran, Failure> {
    if subject.role != Role::Rating {
        return Err(Failure::usage(format!("vectors are for rating engines; this is for the role `{}`", subject.role), ""));
    }
    let unusable = |error: &dyn std::error::Error| Failure::usage(format!("{}: {}", file.display(), chain(error)), "");
    let json = std::fs::read(file).map_err(|error| unusable(&error))?;
    let Vectors { vectors, passed_over } = Vectors::parse(&json, algo).map_err(|error| unusable(&error))?;
    // What the caller says stands above what the file says: a switch that the file does not know.
    let extra: Value =
        arguments.subject.parameters().map(serde_json::from_str).transpose().map_err(|error| unusable(&error))?.unwrap_or_default();
    let mut ends = Vec::with_capacity(vectors.len());
    for vector in vectors {
        let mut parameters = vector.parameters.clone();
        if let (Some(parameters), Some(extra)) = (parameters.as_object_mut(), extra.as_object()) {
            parameters.extend(extra.clone());
        }
        let queue = subject.with_parameters(queue, parameters.to_string());
        let result = match subject.load_rating(runtime, &queue) {
            Ok(engine) => vector.run(&engine).map_err(|fault| format!("the plugin {fault}")),
            Err(error) => Err(format!("with the parameters of the vector it {}", chain(&error))),
        };
        ends.push(End { name: vector.id, result });
    }
    Ok(Ran { place: format!("{} ({algo})", file.display()), ends, passed_over })
}

fn answer(context: &Context<'_>, subject: &Subject, ran: &[Ran]) -> Result<Exit, Failure> {
    let total: usize = ran.iter().map(|ran| ran.ends.len()).sum();
    let failed: usize = ran.iter().flat_map(|ran| &ran.ends).filter(|end| !end.passed()).count();
    let mut shown = String::new();
    for Ran { place, ends, passed_over } in ran {
        let over = if *passed_over > 0 { format!(" ({passed_over} of another form passed over)") } else { String::new() };
        shown.push_str(&format!("{}{over}\n", text::printable(place)));
        for end in ends {
            let word = if end.passed() { "ok" } else { "FAILED" };
            shown.push_str(&format!("  {word:<6}  {}\n", text::printable(&end.name)));
            match &end.result {
                Ok(mismatches) => mismatches
                    .iter()
                    .for_each(|mismatch| shown.push_str(&format!("            {}\n", text::printable(&mismatch.to_string())))),
                Err(problem) => shown.push_str(&format!("            {}\n", text::printable(problem))),
            }
        }
    }
    shown.push_str(&format!("{total} cases, {failed} failed"));
    let value = json!({
        "component": subject.shown,
        "role": subject.role.name(),
        "files": ran.iter().map(to_json).collect::<Vec<_>>(),
        "cases": total,
        "failed": failed,
    });
    context.terminal.answer(&shown, &value)?;
    Ok(if failed == 0 { Exit::Done } else { Exit::Finding })
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
    json!({ "file": ran.place, "cases": ran.ends.iter().map(end).collect::<Vec<_>>(), "passed_over": ran.passed_over })
}
