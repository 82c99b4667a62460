//! What is wrong with a configuration file, and how it is shown: file, line, column, and what to write instead.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// A configuration that cannot be used. The operator's fault; the host refuses to start, exit code 2.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file can be read and not used.
    #[error("{} in {}", count(problems.len()), problems.first().map_or("the configuration", |problem| problem.file.as_ref()))]
    Invalid {
        /// Everything that is wrong, in the order of the file.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong, with the place where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's name, as shown.
    pub file: Arc<str>,
    /// The file's text.
    pub text: Arc<str>,
    /// The offending bytes of the text.
    pub span: Range<usize>,
    /// What is wrong, in one line.
    pub title: String,
    /// What to write instead; may be empty.
    pub help: String,
}

impl ConfigError {
    /// The whole message for people, every problem with its line underlined.
    #[must_use]
    pub fn render(&self) -> String {
        match self {
            Self::Unreadable { path, source } => {
                format!(
                    "error: cannot read {}: {source}\nhelp: `ranked init` writes a fresh folder; `--config` names another file\n",
                    path.display()
                )
            }
            Self::Invalid { problems } => problems.iter().fold(String::new(), |mut text, problem| {
                if !text.is_empty() {
                    text.push('\n');
                }
                // Writing to a string cannot fail.
                writeln!(text, "{}", problem.render()).expect("a string takes everything");
                text
            }),
        }
    }
}

impl Problem {
    /// This problem alone, for people.
    #[must_use]
    pub fn render(&self) -> String {
        let span = self.span.start.min(self.text.len())..self.span.end.min(self.text.len());
        let snippet =
            Snippet::source(self.text.as_ref()).path(self.file.as_ref()).annotation(AnnotationKind::Primary.span(span).label("here"));
        let mut report = vec![Level::ERROR.primary_title(self.title.as_str()).element(snippet)];
        if !self.help.is_empty() {
            report.push(annotate_snippets::Group::with_title(Level::HELP.secondary_title(self.help.as_str())));
        }
        Renderer::plain().render(&report)
    }

    /// Line and column of the offending value, both from 1.
    #[must_use]
    pub fn line_column(&self) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(self.span.start)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

fn count(problems: usize) -> String {
    if problems == 1 { "1 problem".to_owned() } else { format!("{problems} problems") }
}
