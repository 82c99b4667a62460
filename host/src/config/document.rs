//! A TOML file on its way to a typed configuration: every unknown key and every bad value is found, not only the first.
//!
//! serde stops at its first error. So the offending key is noted, taken out, and the rest is read again until nothing is left to say.

use std::ops::Range;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::problem::{ConfigError, Problem};

/// Problems shown at most; a file with more has another format.
const PROBLEMS_MAX: usize = 64;

/// A parsed file, what is wrong with it so far, and where each key stands.
pub(crate) struct Document<'i> {
    file: Arc<str>,
    text: Arc<str>,
    table: Spanned<DeTable<'i>>,
    problems: Vec<Problem>,
}

impl<'i> Document<'i> {
    /// Parses the text. `file` is its name in messages.
    pub(crate) fn parse(file: &str, text: &'i str) -> Result<Self, ConfigError> {
        let (file, shared): (Arc<str>, Arc<str>) = (file.into(), text.into());
        let (table, errors) = DeTable::parse_recoverable(text);
        let problems: Vec<_> = errors
            .into_iter()
            .take(PROBLEMS_MAX)
            .map(|error| Problem {
                file: file.clone(),
                text: shared.clone(),
                span: error.span().unwrap_or(0..0),
                title: error.message().lines().collect::<Vec<_>>().join(", "),
                help: String::new(),
            })
            .collect();
        if !problems.is_empty() {
            return Err(ConfigError::Invalid { problems });
        }
        Ok(Self { file, text: shared, table, problems })
    }

    /// Reads everything that can be read; what cannot is noted and left at its default.
    pub(crate) fn read<T: DeserializeOwned + Default>(&mut self) -> T {
        let mut rest = self.table.clone();
        while self.problems.len() < PROBLEMS_MAX {
            let error = match T::deserialize(toml::de::Deserializer::from(rest.clone())) {
                Ok(value) => return value,
                Err(error) => error,
            };
            let Some(span) = error.span() else {
                self.note(0..0, error.message().to_owned(), String::new());
                break;
            };
            let (title, help) = explain(error.message());
            self.note(span.clone(), title, help);
            if !remove(rest.get_mut(), &span) {
                break;
            }
        }
        T::default()
    }

    /// Notes that the value at `path` cannot be used. A path that is not in the file points at its nearest table.
    pub(crate) fn refuse(&mut self, path: &[&str], title: String, help: String) {
        let span = self.span(path);
        self.note(span, title, help);
    }

    /// Where the value at `path` stands. Numbers in the path count in arrays. Falls back to the nearest key above it.
    pub(crate) fn span(&self, path: &[&str]) -> Range<usize> {
        let mut found = 0..0;
        let mut table = Some(self.table.get_ref());
        let mut array = None;
        for name in path {
            let (key_span, value) = if let Some(here) = table {
                match here.iter().find(|(key, _)| key.get_ref() == name) {
                    Some((key, value)) => (key.span(), value),
                    None => return found,
                }
            } else {
                let element = array.and_then(|elements: &toml::de::DeArray<'_>| elements.get(name.parse::<usize>().ok()?));
                match element {
                    Some(value) => (value.span(), value),
                    None => return found,
                }
            };
            table = value.get_ref().as_table();
            array = value.get_ref().as_array();
            // A table's own span may run over many lines: its name is the better place.
            found = if table.is_some() { key_span } else { value.span() };
        }
        found
    }

    /// Whether the file has something at `path`.
    pub(crate) fn has(&self, path: &[&str]) -> bool {
        let mut table = Some(self.table.get_ref());
        path.iter().all(|name| {
            let value = table.and_then(|here| here.iter().find(|(key, _)| key.get_ref() == name)).map(|(_, value)| value.get_ref());
            table = value.and_then(DeValue::as_table);
            value.is_some()
        })
    }

    /// The configuration, if nothing was noted against it.
    pub(crate) fn finish<T>(mut self, value: T) -> Result<T, ConfigError> {
        if self.problems.is_empty() {
            return Ok(value);
        }
        self.problems.sort_by_key(|problem| problem.span.start);
        Err(ConfigError::Invalid { problems: self.problems })
    }

    /// A problem at `path`, for checks that are made after the file was read.
    pub(crate) fn problem(&self, path: &[&str], title: String, help: String) -> Problem {
        Problem { file: self.file.clone(), text: self.text.clone(), span: self.span(path), title, help }
    }

    fn note(&mut self, span: Range<usize>, title: String, help: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { file: self.file.clone(), text: self.text.clone(), span, title, help });
        }
    }
}

/// The nearest of `known` to what was written, if it is near.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 3))
        .min()
        .map(|(_, name)| name)
}

/// "did you mean", or the list of what is known.
pub(crate) fn suggest<'a>(written: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(written, known.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("known here: {}", known.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    }
}

/// Turns serde's message into ours. Names stand between backticks: first what was written, then what is known.
fn explain(message: &str) -> (String, String) {
    let mut names = message.split('`').skip(1).step_by(2);
    for (prefix, noun) in [("unknown field", "key"), ("unknown variant", "value")] {
        if message.starts_with(prefix) {
            let written = names.next().unwrap_or_default();
            let known: Vec<&str> = names.collect();
            return (format!("unknown {noun} `{written}`"), suggest(written, known));
        }
    }
    (message.to_owned(), String::new())
}

/// Takes out the innermost key whose name or value is at `span`.
fn remove(table: &mut DeTable<'_>, span: &Range<usize>) -> bool {
    let holds = |outer: &Range<usize>| outer.start <= span.start && span.end <= outer.end;
    let mut inner = false;
    for (_, value) in table.iter_mut() {
        if let DeValue::Table(nested) = value.get_mut() {
            inner |= remove(nested, span);
        }
    }
    if inner {
        return true;
    }
    let before = table.len();
    let keep = |key: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>| !(holds(&key.span()) || holds(&value.span()));
    *table = std::mem::take(table).into_iter().filter(|(key, value)| keep(key, value)).collect();
    table.len() < before
}
