//! The text of the host's own key files: a BEGIN line, `name: value` lines, an END line. Comments and empty lines are for people.

use zeroize::Zeroizing;

/// What is wrong with a key file's text. The operator's fault: a wrong file, or an edited one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The BEGIN or the END line is missing.
    #[error("it is no `RANKED {kind}` file")]
    NoEnvelope {
        /// What it should be.
        kind: &'static str,
    },
    /// A line is not a known field, or repeats one.
    #[error("line {line} is not expected")]
    UnexpectedLine {
        /// Line number, from 1.
        line: usize,
    },
    /// A field is missing or has a bad value.
    #[error("field `{field}` is missing or has a bad value")]
    BadField {
        /// The field.
        field: &'static str,
    },
}

/// Longest text of a key file of ours, in bytes.
const TEXT_LEN_MAX: usize = 1_024;

/// A key file being written.
pub(super) struct Writer {
    text: Zeroizing<String>,
    kind: &'static str,
}

impl Writer {
    pub(super) fn new(kind: &'static str) -> Self {
        // Reserved at once: a string that grows leaves unerased copies of secrets behind.
        let mut text = Zeroizing::new(String::with_capacity(TEXT_LEN_MAX));
        text.push_str(&format!("-----BEGIN RANKED {kind}-----\n"));
        Self { text, kind }
    }

    pub(super) fn number(mut self, name: &str, value: u32) -> Self {
        self.text.push_str(&format!("{name}: {value}\n"));
        self
    }

    pub(super) fn bytes(mut self, name: &str, value: &[u8]) -> Self {
        self.text.push_str(name);
        self.text.push_str(": ");
        for byte in value {
            for nibble in [byte >> 4, byte & 15] {
                self.text.push(char::from_digit(u32::from(nibble), 16).expect("a nibble is one digit"));
            }
        }
        self.text.push('\n');
        self
    }

    pub(super) fn finish(mut self) -> Zeroizing<String> {
        self.text.push_str(&format!("-----END RANKED {}-----\n", self.kind));
        debug_assert!(self.text.len() <= TEXT_LEN_MAX);
        self.text
    }
}

/// The fields of a key file.
pub(super) struct Fields<'a, const N: usize> {
    names: [&'static str; N],
    values: [Option<&'a str>; N],
}

impl<'a, const N: usize> Fields<'a, N> {
    pub(super) fn parse(text: &'a str, kind: &'static str, names: [&'static str; N]) -> Result<Self, KeyFileError> {
        let edge = |which: &str| format!("-----{which} RANKED {kind}-----");
        let (begin, end) = (edge("BEGIN"), edge("END"));
        let mut values = [None; N];
        let mut lines = text.lines().map(str::trim).zip(1..);
        lines.find(|(line, _)| *line == begin).ok_or(KeyFileError::NoEnvelope { kind })?;
        for (content, line) in lines {
            if content == end {
                return Ok(Self { names, values });
            }
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let unexpected = KeyFileError::UnexpectedLine { line };
            let (name, value) = content.split_once(':').ok_or(unexpected)?;
            let field = names.iter().position(|known| *known == name.trim()).ok_or(unexpected)?;
            if values[field].replace(value.trim()).is_some() {
                return Err(unexpected);
            }
        }
        Err(KeyFileError::NoEnvelope { kind })
    }

    pub(super) fn number(&self, field: usize) -> Result<u32, KeyFileError> {
        self.values[field].and_then(|value| value.parse().ok()).ok_or(KeyFileError::BadField { field: self.names[field] })
    }

    pub(super) fn bytes<const LEN: usize>(&self, field: usize) -> Result<Zeroizing<[u8; LEN]>, KeyFileError> {
        let bad = KeyFileError::BadField { field: self.names[field] };
        let mut bytes = Zeroizing::new([0; LEN]);
        parse_hex(self.values[field].ok_or(bad)?, bytes.as_mut_slice()).ok_or(bad)?;
        Ok(bytes)
    }
}

/// Reads exactly as many bytes as `out` has.
pub(crate) fn parse_hex(text: &str, out: &mut [u8]) -> Option<()> {
    let digit = |ascii: u8| char::from(ascii).to_digit(16).and_then(|value| u8::try_from(value).ok());
    if text.len() != out.len() * 2 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(())
}
