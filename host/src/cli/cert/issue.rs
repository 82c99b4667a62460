//! `ranked cert issue` and `renew`: a signed certificate in the database, and its file for the game server.

use std::path::{Path, PathBuf};

use protocol::certificate::Scope;
use protocol::signature::PublicKey;
use store::{CertificateRefusal, RenewRefusal};

use super::{ScopeName, Terms, find};
use crate::cli::failure::{Failure, chain};
use crate::cli::{Context, Exit, Opened, days, text};
use crate::keys::{IssueOrder, Issued, parse_hex, secret_file};

pub(super) fn issue(context: &Context<'_>, owner: String, scope: &[ScopeName], terms: &Terms) -> Result<Exit, Failure> {
    let opened = context.open()?;
    let scope = scope.iter().map(|name| name.bits()).reduce(Scope::union).unwrap_or(Scope::ALL);
    let order = IssueOrder { server: None, owner, scope, life: life(&opened, terms), node_key: node_key(terms)? };
    let issued = opened.keyring.issue(order, context.clock.now())?;
    let out = write(terms, &issued)?;
    let recorded = opened.store.record_certificate(issued.record.clone()).wait();
    match recorded {
        Ok(Ok(_generation)) => answer(context, "issued ", &issued, &out),
        Ok(Err(refusal)) => {
            discard(&out)?;
            Err(match refusal {
                CertificateRefusal::DeadKeyEpoch { .. } => Failure::refused(chain(&refusal), "`ranked key status` shows the key epochs"),
                other => Failure::refused(chain(&other), "try again"),
            })
        }
        Err(error) => {
            discard(&out)?;
            Err(error.into())
        }
    }
}

pub(super) fn renew(context: &Context<'_>, id: &str, keep_node_key: bool, terms: &Terms) -> Result<Exit, Failure> {
    let opened = context.open()?;
    let old = find(&opened.store, id)?.issued;
    let scope = Scope::from_bits(old.scope).ok_or_else(|| Failure::environment("the stored scope has unknown bits"))?;
    let node_key = if keep_node_key { Some(PublicKey(old.node_public_key)) } else { node_key(terms)? };
    let order = IssueOrder { server: Some(old.server), owner: old.owner, scope, life: life(&opened, terms), node_key };
    let issued = opened.keyring.issue(order, context.clock.now())?;
    let out = write(terms, &issued)?;
    match opened.store.replace_certificate(issued.record.clone()).wait() {
        Ok(Ok(_generation)) => answer(context, "renewed", &issued, &out),
        Ok(Err(refusal)) => {
            discard(&out)?;
            Err(match refusal {
                RenewRefusal::Revoked(revocation) => Failure::refused(
                    format!("it was revoked {} ({})", text::time(revocation.at), text::printable(&revocation.reason.detail)),
                    "what was revoked stays revoked: issue a new one",
                ),
                other => Failure::refused(chain(&other), "`ranked key status` shows the key epochs"),
            })
        }
        Err(error) => {
            discard(&out)?;
            Err(error.into())
        }
    }
}

impl ScopeName {
    fn bits(self) -> Scope {
        match self {
            Self::Heartbeat => Scope::HEARTBEAT,
            Self::Host => Scope::HOST,
            Self::Report => Scope::REPORT,
            Self::Log => Scope::LOG,
        }
    }
}

/// Names of the bits, as `--scope` takes them.
pub(super) fn scope_names(bits: u16) -> String {
    let names = [(Scope::HEARTBEAT, "heartbeat"), (Scope::HOST, "host"), (Scope::REPORT, "report"), (Scope::LOG, "log")];
    names.iter().filter(|(scope, _)| bits & scope.bits() != 0).map(|(_, name)| *name).collect::<Vec<_>>().join(",")
}

fn life(opened: &Opened, terms: &Terms) -> std::time::Duration {
    terms.ttl.unwrap_or_else(|| days(opened.config.host.keys.certificate_days))
}

/// The game server's own public key, if it brought one.
fn node_key(terms: &Terms) -> Result<Option<PublicKey>, Failure> {
    let Some(path) = &terms.node_pub else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display()), ""))?;
    let mut key = [0; 32];
    parse_hex(text.trim(), &mut key)
        .ok_or_else(|| Failure::usage(format!("{} is no public node key", path.display()), "the file has 64 hexadecimal digits"))?;
    Ok(Some(PublicKey(key)))
}

/// The file comes before the database: a certificate that is stored and was never handed out would be nobody's.
fn write(terms: &Terms, issued: &Issued) -> Result<PathBuf, Failure> {
    let out = terms.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.cert", file_name(&issued.record.owner))));
    secret_file::create(&out, &issued.file.encode())?;
    Ok(out)
}

fn discard(out: &Path) -> Result<(), Failure> {
    std::fs::remove_file(out).map_err(Failure::environment)
}

/// An owner's name as a file name that stays in its folder.
fn file_name(owner: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    owner.chars().map(safe).collect::<String>().trim_start_matches('.').to_owned()
}

fn answer(context: &Context<'_>, verb: &str, issued: &Issued, out: &Path) -> Result<Exit, Failure> {
    let record = &issued.record;
    let has_node_key = issued.file.node_key.is_some();
    let value = serde_json::json!({
        "server": record.server.to_string(),
        "owner": record.owner,
        "scope": scope_names(record.scope),
        "key_epoch": record.key_epoch,
        "not_before": text::time(record.not_before),
        "not_after": text::time(record.not_after),
        "file": out.display().to_string(),
        "node_key_in_file": has_node_key,
    });
    let care = if has_node_key {
        "care    the file holds the game server's node key: move it over a secure channel and keep no copy (--node-pub avoids that)"
    } else {
        "note    the game server keeps its own node key; the file alone is not enough to connect"
    };
    let text = format!(
        "{verb} {}  owner {}  key epoch {}  expires {} ({})  scope {}\n\
         wrote   {} (secret inside, mode 0600; the host keeps only an encrypted copy)\n{care}\n\
         next    give the game server this file, community.toml and, separately, pepper.key",
        record.server,
        text::printable(&record.owner),
        record.key_epoch,
        text::time(record.not_after),
        text::span(record.not_after.since(record.issued_at)),
        scope_names(record.scope),
        out.display(),
    );
    context.terminal.answer(&text, &value)?;
    Ok(Exit::Done)
}
