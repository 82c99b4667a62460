//! `ranked cert list`, `inspect` and `check`: nothing is changed.

use std::path::Path;

use ladder::time::UnixMillis;
use protocol::certificate::Certificate;
use protocol::envelope::CertificateFile;
use serde_json::{Value, json};
use store::{Store, StoredCertificate};
use zeroize::Zeroizing;

use super::issue::scope_names;
use super::{State, find};
use crate::cli::failure::{Failure, chain};
use crate::cli::terminal::table;
use crate::cli::{Context, Exit, Opened, days, text};
use crate::keys::{Community, KeyPaths, secret_file};

pub(super) fn list(context: &Context<'_>, in_force: bool) -> Result<Exit, Failure> {
    let opened = context.open()?;
    let now = context.clock.now();
    let mut certificates = opened.store.list_certificates().wait()?;
    certificates.retain(|certificate| !in_force || State::of(certificate, now) == State::InForce);
    let warning = days(opened.config.host.keys.certificate_warning_days);
    let rows = certificates.iter().map(|certificate| {
        let issued = &certificate.issued;
        let state = State::of(certificate, now);
        let left = issued.not_after.since(now);
        let ends = match state {
            State::InForce if left < warning => format!("{} left !", text::span(left)),
            State::InForce => format!("{} left", text::span(left)),
            _ => text::time(issued.not_after),
        };
        let seen = match &certificate.last_seen {
            Some((at, address)) => format!("{} ago from {}", text::span(now.since(*at)), text::printable(address)),
            None => "never".to_owned(),
        };
        [
            text::short(&issued.server.to_string()),
            text::printable(&issued.owner),
            state.name().to_owned(),
            issued.key_epoch.to_string(),
            ends,
            scope_names(issued.scope),
            seen,
        ]
    });
    let shown = table(["ID", "OWNER", "STATE", "EPOCH", "ENDS", "SCOPE", "LAST SEEN"], rows);
    let value = json!({ "certificates": certificates.iter().map(|certificate| to_json(certificate, now)).collect::<Vec<_>>() });
    context.terminal.answer(&shown, &value)?;
    Ok(Exit::Done)
}

pub(super) fn inspect(context: &Context<'_>, named: &str) -> Result<Exit, Failure> {
    let now = context.clock.now();
    if is_file(named) {
        let file = read_file(Path::new(named))?;
        let community = read_community(context);
        return inspect_file(context, named, &file, community.as_ref(), now);
    }
    let opened = context.open()?;
    let certificate = find(&opened.store, named)?;
    let mut text = describe(&parse_stored(&certificate)?, now);
    text.push_str(&format!("state      {}\n", state_text(&certificate, now)));
    context.terminal.answer(&text, &to_json(&certificate, now))?;
    Ok(Exit::Done)
}

/// Works without the database; the signature is checked if `community.toml` is there.
fn inspect_file(
    context: &Context<'_>,
    named: &str,
    file: &CertificateFile,
    community: Option<&Community>,
    now: UnixMillis,
) -> Result<Exit, Failure> {
    let certificate = &file.certificate;
    let fields = certificate.fields();
    let verdict = community.map(|community| match certificate.clone().verify(&trust(community), now) {
        Ok(_verified) => "verifies under community.toml".to_owned(),
        Err(error) => format!("DOES NOT VERIFY: {}", chain(&error)),
    });
    let secret_fits = file.secret.commitment() == fields.secret_commitment;
    let node_key = match &file.node_key {
        None => "not in the file",
        Some(key) if key.public_key() == fields.node_key => "in the file",
        Some(_) => "in the file, and NOT the certificate's",
    };
    let text = format!(
        "{}secret     {}\nnode key   {node_key}\npepper     {}\nsignature  {}\n",
        describe(certificate, now),
        if secret_fits { "belongs to the certificate" } else { "DOES NOT belong to the certificate" },
        file.pepper_id,
        verdict.clone().unwrap_or_else(|| "not checked: no community.toml here".to_owned()),
    );
    let value = json!({
        "file": named,
        "server": fields.server_id.to_string(),
        "owner": fields.owner,
        "realm_id": fields.realm_id.to_string(),
        "key_epoch": certificate.key_epoch().0,
        "issued_at": text::time(fields.issued_at),
        "not_before": text::time(fields.not_before),
        "not_after": text::time(fields.not_after),
        "scope": scope_names(fields.scope.bits()),
        "node_public_key": fields.node_key.to_string(),
        "secret_fits": secret_fits,
        "node_key_in_file": file.node_key.is_some(),
        "pepper_id": file.pepper_id.0,
        "signature": verdict,
    });
    context.terminal.answer(&text, &value)?;
    Ok(Exit::Done)
}

pub(super) fn check(context: &Context<'_>, named: &[String]) -> Result<Exit, Failure> {
    let opened = context.open()?;
    let now = context.clock.now();
    let width = named.iter().map(String::len).max().unwrap_or(0);
    let mut answers = Vec::new();
    for name in named {
        answers.push((name, check_one(&opened, name, now)?));
    }
    let lines: Vec<_> = answers.iter().map(|(name, answer)| format!("{name:width$}  {}  {}", answer.id, answer.text)).collect();
    let value = json!({ "certificates": answers.iter().map(|(name, answer)| json!({
        "certificate": name, "server": answer.server, "ok": answer.ok, "state": answer.state, "detail": answer.text,
    })).collect::<Vec<_>>() });
    context.terminal.answer(&lines.join("\n"), &value)?;
    Ok(if answers.iter().all(|(_, answer)| answer.ok) { Exit::Done } else { Exit::Finding })
}

struct Checked {
    server: Option<String>,
    id: String,
    ok: bool,
    state: &'static str,
    text: String,
}

fn check_one(opened: &Opened, name: &str, now: UnixMillis) -> Result<Checked, Failure> {
    if !is_file(name) {
        let certificate = find(&opened.store, name)?;
        return Ok(checked(&certificate, now));
    }
    let file = match read_file(Path::new(name)) {
        Ok(file) => file,
        Err(failure) => {
            let problem = failure.render();
            let text = problem.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            return Ok(Checked { server: None, id: "-".to_owned(), ok: false, state: "unreadable", text });
        }
    };
    check_file(&opened.store, opened, &file, now)
}

fn check_file(store: &Store, opened: &Opened, file: &CertificateFile, now: UnixMillis) -> Result<Checked, Failure> {
    let server = file.certificate.fields().server_id;
    let no = |state: &'static str, text: String| {
        Ok(Checked { server: Some(server.to_string()), id: text::short(&server.to_string()), ok: false, state, text })
    };
    let Some(stored) = store.find_certificate(server).wait()? else {
        return no("unknown", "unknown to this host's database".to_owned());
    };
    if State::of(&stored, now) != State::InForce {
        return Ok(checked(&stored, now));
    }
    if stored.issued.certificate != file.certificate.encoded() {
        return no("superseded", format!("replaced by a certificate of {}", text::time(stored.issued.issued_at)));
    }
    if let Err(error) = file.certificate.clone().verify(&opened.keyring.trust(), now) {
        return no("invalid", chain(&error));
    }
    if file.secret.commitment() != stored.issued.secret_commitment {
        return no("invalid", "the secret in the file is not the certificate's".to_owned());
    }
    if let Err(error) = opened.keyring.auth_key(&stored.issued) {
        return no("unusable", chain(&error));
    }
    Ok(checked(&stored, now))
}

fn checked(certificate: &StoredCertificate, now: UnixMillis) -> Checked {
    let state = State::of(certificate, now);
    let server = certificate.issued.server.to_string();
    Checked {
        id: text::short(&server),
        server: Some(server),
        ok: state == State::InForce,
        state: state.name(),
        text: state_text(certificate, now),
    }
}

/// The state in one line, as `cert check` prints it.
fn state_text(certificate: &StoredCertificate, now: UnixMillis) -> String {
    let issued = &certificate.issued;
    match State::of(certificate, now) {
        State::InForce => {
            let seen = match &certificate.last_seen {
                Some((at, address)) => format!("last seen {} ago from {}", text::span(now.since(*at)), text::printable(address)),
                None => "never seen".to_owned(),
            };
            format!("ok, {} left, key epoch {}, {seen}", text::span(issued.not_after.since(now)), issued.key_epoch)
        }
        State::NotYet => format!("NOT YET VALID before {}", text::time(issued.not_before)),
        State::Expired => format!("EXPIRED {}", text::time(issued.not_after)),
        State::Revoked => certificate.revocation.as_ref().map_or_else(
            || "REVOKED".to_owned(),
            |revocation| format!("REVOKED {} {}", text::time(revocation.at), text::printable(&revocation.reason.detail)),
        ),
        State::KeyEpochRetired => {
            let at = certificate.key_epoch_retired_at.map(text::time).unwrap_or_default();
            format!("KEY EPOCH {} RETIRED {at}", issued.key_epoch)
        }
    }
}

fn describe(certificate: &Certificate, now: UnixMillis) -> String {
    let fields = certificate.fields();
    let left = if now < fields.not_after { format!("{} left", text::span(fields.not_after.since(now))) } else { "over".to_owned() };
    format!(
        "id         {}\nowner      {}\nrealm      {}\nkey epoch  {}\nissued     {}\nvalid      {} to {} ({left})\nscope      {}\nnode pub   {}\n",
        fields.server_id,
        text::printable(&fields.owner),
        fields.realm_id,
        certificate.key_epoch(),
        text::time(fields.issued_at),
        text::time(fields.not_before),
        text::time(fields.not_after),
        scope_names(fields.scope.bits()),
        fields.node_key,
    )
}

fn to_json(certificate: &StoredCertificate, now: UnixMillis) -> Value {
    let issued = &certificate.issued;
    json!({
        "server": issued.server.to_string(),
        "owner": issued.owner,
        "state": State::of(certificate, now).name(),
        "key_epoch": issued.key_epoch,
        "scope": scope_names(issued.scope),
        "issued_at": text::time(issued.issued_at),
        "not_before": text::time(issued.not_before),
        "not_after": text::time(issued.not_after),
        "pepper_id": issued.pepper_id,
        "revoked_at": certificate.revocation.as_ref().map(|revocation| text::time(revocation.at)),
        "revoked_because": certificate.revocation.as_ref().map(|revocation| &revocation.reason.detail),
        "last_seen": certificate.last_seen.as_ref().map(|(at, _)| text::time(*at)),
        "last_address": certificate.last_seen.as_ref().map(|(_, address)| address),
    })
}

/// An id has no dot and no slash; a file of the same name still counts as a file.
fn is_file(named: &str) -> bool {
    named.contains(['.', '/']) || Path::new(named).is_file()
}

fn read_file(path: &Path) -> Result<CertificateFile, Failure> {
    let text: Zeroizing<String> = secret_file::read(path)?;
    CertificateFile::parse(&text).map_err(|error| {
        Failure::usage(
            format!("{} is no certificate file: {}", path.display(), chain(&error)),
            "give a file that `ranked cert issue` wrote",
        )
    })
}

fn parse_stored(certificate: &StoredCertificate) -> Result<Certificate, Failure> {
    Certificate::parse(&certificate.issued.certificate)
        .map_err(|error| Failure::environment(format!("the stored certificate is damaged: {error}")))
}

/// What is public, if it is at hand: beside the configuration that the command was given.
fn read_community(context: &Context<'_>) -> Option<Community> {
    let config = context.load_config().ok()?;
    Community::parse(&std::fs::read_to_string(KeyPaths::of(&config).community).ok()?).ok()
}

fn trust(community: &Community) -> protocol::trust::TrustAnchors {
    let anchors = protocol::trust::TrustAnchors::new(community.realm_id);
    community.signing_keys.iter().fold(anchors, |anchors, (&key_epoch, &key)| anchors.with_key(key_epoch, key))
}
