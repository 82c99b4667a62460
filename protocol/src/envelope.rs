//! The two secret files that an operator hands to a game server: the certificate file and the pepper file.
//!
//! ```text
//! -----BEGIN RANKED CERTIFICATE-----          -----BEGIN RANKED PEPPER-----
//! certificate: 52534332..                     pepper-id: 1
//! certificate-secret: 00ff..                  pepper: 00ff..
//! pepper-id: 1                                -----END RANKED PEPPER-----
//! node-key: 00ff..
//! -----END RANKED CERTIFICATE-----
//! ```
//!
//! Text outside the envelope, empty lines and lines that begin with `#` are for people and ignored. `node-key` is absent if the game server made
//! its own. The two files travel separately: a stolen certificate file alone cannot complete a handshake.

use alloc::string::String;
use core::fmt::Write;

use zeroize::Zeroizing;

use crate::bytes::Malformed;
use crate::certificate::{CERTIFICATE_LEN_MAX, Certificate};
use crate::id::PepperId;
use crate::secret::{CertificateSecret, Pepper};
use crate::signature::NodeKey;

/// Longest file that is read, in bytes.
pub const FILE_LEN_MAX: usize = 16_384;

/// What `NAME.cert` holds.
pub struct CertificateFile {
    /// The public part.
    pub certificate: Certificate,
    /// What only the host and this game server know.
    pub secret: CertificateSecret,
    /// Which pepper the auth key is made with.
    pub pepper_id: PepperId,
    /// The game server's own key, unless it keeps that elsewhere.
    pub node_key: Option<NodeKey>,
}

/// What `pepper.key` holds.
pub struct PepperFile {
    /// Its generation.
    pub pepper_id: PepperId,
    /// The pepper.
    pub pepper: Pepper,
}

/// The file is not what it should be. The operator's fault: a wrong file, or an edited one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The file is too long to be one of ours.
    #[error("the file has {len} bytes, at most {FILE_LEN_MAX} are read")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A line that begins or ends the envelope is missing.
    #[error("the line `-----{edge} RANKED {kind}-----` is missing")]
    NoEnvelope {
        /// `BEGIN` or `END`.
        edge: &'static str,
        /// What the envelope should hold.
        kind: &'static str,
    },
    /// A line is not a known field.
    #[error("line {line} is not a known field")]
    UnknownField {
        /// Line number, from 1.
        line: usize,
    },
    /// A field comes twice.
    #[error("line {line} repeats field `{field}`")]
    Repeated {
        /// Line number, from 1.
        line: usize,
        /// The field.
        field: &'static str,
    },
    /// A field is missing.
    #[error("field `{field}` is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field's text is not what it should be: wrong length, or not hexadecimal.
    #[error("field `{field}` has a bad value")]
    BadValue {
        /// The field.
        field: &'static str,
    },
    /// The certificate does not parse.
    #[error("the certificate does not parse")]
    Certificate(#[from] Malformed),
}

const CERTIFICATE: &str = "CERTIFICATE";
const PEPPER: &str = "PEPPER";

impl CertificateFile {
    /// The text of the file. Secret: write it with mode 0600.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        let mut text = begin(CERTIFICATE);
        push_hex(&mut text, "certificate", self.certificate.encoded());
        push_hex(&mut text, "certificate-secret", self.secret.expose());
        push_line(&mut text, format_args!("pepper-id: {}", self.pepper_id));
        if let Some(key) = &self.node_key {
            push_hex(&mut text, "node-key", key.expose());
        }
        end(&mut text, CERTIFICATE);
        text
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// The operator's fault: see [`EnvelopeError`].
    pub fn parse(text: &str) -> Result<Self, EnvelopeError> {
        let [certificate, secret, pepper_id, node_key] =
            fields(text, CERTIFICATE, ["certificate", "certificate-secret", "pepper-id", "node-key"])?;
        let mut encoded = [0; CERTIFICATE_LEN_MAX];
        let len = parse_hex(certificate.required()?, &mut encoded).ok_or(certificate.bad())?;
        Ok(Self {
            certificate: Certificate::parse(&encoded[..len])?,
            secret: CertificateSecret::from_bytes(*secret.secret()?),
            pepper_id: pepper_id.pepper_id()?,
            node_key: match node_key.text {
                None => None,
                Some(_) => Some(NodeKey::from_seed(&*node_key.secret()?)),
            },
        })
    }
}

impl PepperFile {
    /// The text of the file. Secret: write it with mode 0600.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        let mut text = begin(PEPPER);
        push_line(&mut text, format_args!("pepper-id: {}", self.pepper_id));
        push_hex(&mut text, "pepper", self.pepper.expose());
        end(&mut text, PEPPER);
        text
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// The operator's fault: see [`EnvelopeError`].
    pub fn parse(text: &str) -> Result<Self, EnvelopeError> {
        let [pepper_id, pepper] = fields(text, PEPPER, ["pepper-id", "pepper"])?;
        Ok(Self { pepper_id: pepper_id.pepper_id()?, pepper: Pepper::from_bytes(*pepper.secret()?) })
    }
}

/// One field of an envelope, present or not.
#[derive(Clone, Copy)]
struct Field<'a> {
    name: &'static str,
    text: Option<&'a str>,
}

impl<'a> Field<'a> {
    fn required(&self) -> Result<&'a str, EnvelopeError> {
        self.text.ok_or(EnvelopeError::Missing { field: self.name })
    }

    fn bad(&self) -> EnvelopeError {
        EnvelopeError::BadValue { field: self.name }
    }

    fn secret(&self) -> Result<Zeroizing<[u8; 32]>, EnvelopeError> {
        let mut bytes = Zeroizing::new([0; 32]);
        match parse_hex(self.required()?, bytes.as_mut_slice()) {
            Some(32) => Ok(bytes),
            _ => Err(self.bad()),
        }
    }

    fn pepper_id(&self) -> Result<PepperId, EnvelopeError> {
        self.required()?.parse().map(PepperId).ok().ok_or(self.bad())
    }
}

/// Reads the fields between the BEGIN and the END line.
fn fields<'a, const N: usize>(text: &'a str, kind: &'static str, names: [&'static str; N]) -> Result<[Field<'a>; N], EnvelopeError> {
    if text.len() > FILE_LEN_MAX {
        return Err(EnvelopeError::TooLong { len: text.len() });
    }
    let mut fields = names.map(|name| Field { name, text: None });
    let mut lines = text.lines().map(str::trim).zip(1..);
    lines.find(|(line, _)| is_edge(line, "BEGIN", kind)).ok_or(EnvelopeError::NoEnvelope { edge: "BEGIN", kind })?;
    for (line, number) in lines {
        if is_edge(line, "END", kind) {
            return Ok(fields);
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let unknown = EnvelopeError::UnknownField { line: number };
        let (name, value) = line.split_once(':').ok_or(unknown)?;
        let field = fields.iter_mut().find(|field| field.name == name.trim()).ok_or(unknown)?;
        if field.text.replace(value.trim()).is_some() {
            return Err(EnvelopeError::Repeated { line: number, field: field.name });
        }
    }
    Err(EnvelopeError::NoEnvelope { edge: "END", kind })
}

fn is_edge(line: &str, edge: &str, kind: &str) -> bool {
    line.strip_prefix("-----")
        .and_then(|rest| rest.strip_suffix("-----"))
        .and_then(|rest| rest.strip_prefix(edge))
        .and_then(|rest| rest.strip_prefix(" RANKED "))
        == Some(kind)
}

fn begin(kind: &str) -> Zeroizing<String> {
    // Reserved at once: a string that grows leaves unerased copies of secrets behind.
    let mut text = Zeroizing::new(String::with_capacity(2 * CERTIFICATE_LEN_MAX + 512));
    push_line(&mut text, format_args!("-----BEGIN RANKED {kind}-----"));
    text
}

fn end(text: &mut String, kind: &str) {
    push_line(text, format_args!("-----END RANKED {kind}-----"));
}

fn push_line(text: &mut String, line: core::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}

fn push_hex(text: &mut String, name: &str, bytes: &[u8]) {
    text.push_str(name);
    text.push_str(": ");
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).expect("a nibble is one digit"));
        }
    }
    text.push('\n');
}

/// Reads pairs of hexadecimal digits into the front of `out` and says how many bytes they were.
fn parse_hex(text: &str, out: &mut [u8]) -> Option<usize> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    if pairs.len() > out.len() {
        return None;
    }
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        let digit = |ascii: &u8| char::from(*ascii).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(pairs.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pepper_text() -> Zeroizing<String> {
        PepperFile { pepper_id: PepperId(3), pepper: Pepper::from_bytes([0xa5; 32]) }.encode()
    }

    #[test]
    fn a_pepper_file_survives_its_text_and_words_around_it() {
        let text = alloc::format!("for eu-1\n\n{}\n# end", *pepper_text());
        let file = PepperFile::parse(&text).unwrap();
        assert_eq!(file.pepper_id, PepperId(3));
        assert!(file.pepper.matches(&[0xa5; 32]));
    }

    #[test]
    fn an_edited_file_says_what_is_wrong() {
        let text = pepper_text();
        let hex = "a5".repeat(32);
        for (name, edited, expected) in [
            ("no end", text.replace("END", "EDN"), EnvelopeError::UnknownField { line: 4 }),
            ("cut", text[..60].into(), EnvelopeError::NoEnvelope { edge: "END", kind: PEPPER }),
            ("no begin", text.replace("BEGIN", ""), EnvelopeError::NoEnvelope { edge: "BEGIN", kind: PEPPER }),
            ("typo", text.replace("pepper: ", "peper: "), EnvelopeError::UnknownField { line: 3 }),
            ("not hex", text.replace("a5a5", "a5g5"), EnvelopeError::BadValue { field: "pepper" }),
            ("odd", text.replacen("a5", "a", 1), EnvelopeError::BadValue { field: "pepper" }),
            ("long", text.replacen("a5", "a5a5", 1), EnvelopeError::BadValue { field: "pepper" }),
            ("missing", text.replace(&hex, "").replace("pepper: \n", ""), EnvelopeError::Missing { field: "pepper" }),
            ("twice", text.replace("pepper-id: 3", "pepper-id: 3\npepper-id: 3"), EnvelopeError::Repeated { line: 3, field: "pepper-id" }),
            ("number", text.replace("id: 3", "id: -1"), EnvelopeError::BadValue { field: "pepper-id" }),
        ] {
            assert_eq!(PepperFile::parse(&edited).err(), Some(expected), "{name}");
        }
        let long = " ".repeat(FILE_LEN_MAX + 1);
        assert_eq!(PepperFile::parse(&long).err(), Some(EnvelopeError::TooLong { len: FILE_LEN_MAX + 1 }));
    }
}
