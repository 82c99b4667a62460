//! Where answers go: text or JSON on standard output, failures and progress on standard error.

use std::io::IsTerminal as _;

use comfy_table::{Table, presets};
use serde_json::Value;

use super::failure::Failure;

/// The operator's terminal, or the script that reads it.
pub(super) struct Terminal {
    json: bool,
}

impl Terminal {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a person may be asked.
    pub(super) fn is_interactive(&self) -> bool {
        !self.json && std::io::stdin().is_terminal()
    }

    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// The answer: `text` for people, `value` for machines.
    pub(super) fn answer(&self, text: &str, value: &Value) -> Result<(), Failure> {
        if self.json { self.document(value) } else { write_all(std::io::stdout().lock(), &with_newline(text)) }
    }

    /// One of many answers: text for people, a document on a line of its own for machines.
    pub(super) fn answer_line(&self, text: &str, value: &Value) -> Result<(), Failure> {
        let line = if self.json { format!("{value}\n") } else { with_newline(text) };
        write_all(std::io::stdout().lock(), &line)
    }

    /// What stands before the place where a person types.
    pub(super) fn prompt(&self, text: &str) -> Result<(), Failure> {
        write_all(std::io::stdout().lock(), text)
    }

    /// A JSON document, whoever asked.
    pub(super) fn document(&self, value: &Value) -> Result<(), Failure> {
        write_all(std::io::stdout().lock(), &format!("{value:#}\n"))
    }

    /// Something for people that is not the answer; machines do not see it.
    pub(super) fn note(&self, text: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { write_all(std::io::stderr().lock(), &with_newline(text)) }
    }

    /// Asks a person; the answer without white space around it.
    pub(super) fn ask(&self, question: &str) -> Result<String, Failure> {
        write_all(std::io::stderr().lock(), question)?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map_err(Failure::environment)?;
        Ok(answer.trim().to_owned())
    }

    /// Says why the command failed. A terminal that is gone cannot be told that it is gone.
    pub(super) fn failure(&self, failure: &Failure) {
        if self.json {
            self.document(&failure.to_json()).unwrap_or_default();
        }
        write_all(std::io::stderr().lock(), &failure.render()).unwrap_or_default();
    }
}

/// A table without lines, as `ls -l` would print it.
pub(super) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    // The preset pads on the left as well.
    table.lines().map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(&line).trim_end())).collect()
}

fn with_newline(text: &str) -> String {
    if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}

fn write_all(mut to: impl std::io::Write, text: &str) -> Result<(), Failure> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        // `ranked cert list | head` is no failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::environment(error)),
        _ => Ok(()),
    }
}
