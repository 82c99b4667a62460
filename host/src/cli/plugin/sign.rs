//! `ranked plugin publisher` and `ranked plugin sign`: what the publisher of a component does with it.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::failure::{Failure, chain};
use crate::cli::{Context, Exit};
use crate::keys::{PublisherKey, secret_file};
use crate::plugins;

#[derive(clap::Args)]
pub(in crate::cli) struct PublisherArguments {
    /// Where to put the secret key. It is never overwritten.
    #[arg(long, value_name = "FILE", default_value = "publisher.key")]
    out: PathBuf,
}

#[derive(clap::Args)]
pub(in crate::cli) struct SignArguments {
    /// The component.
    file: PathBuf,
    /// The publisher's secret key, made with `ranked plugin publisher`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where to put the signature; otherwise FILE.sig.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn publisher(context: &Context<'_>, arguments: &PublisherArguments) -> Result<Exit, Failure> {
    let key = PublisherKey::generate().map_err(Failure::environment)?;
    secret_file::create(&arguments.out, &key.encode())?;
    let (out, id) = (arguments.out.display(), key.id());
    let shown = format!(
        "made      {out}  keep it secret: who has it publishes in your name\npublic    {id}\nnext      ranked plugin sign FILE --key {out}\n\
         operators who trust you write below [plugins] in ranked.toml\n          publishers = [{{ name = \"YOU\", key = \"{id}\" }}]"
    );
    context.terminal.answer(&shown, &json!({ "key_file": out.to_string(), "publisher": id.to_string() }))?;
    Ok(Exit::Done)
}

pub(super) fn sign(context: &Context<'_>, arguments: &SignArguments) -> Result<Exit, Failure> {
    let SignArguments { file, key, out } = arguments;
    let source = plugins::read(file).map_err(|error| Failure::usage(format!("{}: {error}", file.display()), ""))?;
    let text = secret_file::read(key)?;
    let key = PublisherKey::parse(&text).map_err(|error| Failure::usage(format!("{}: {}", key.display(), chain(&error)), ""))?;
    let out = out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.sig", file.display())));
    write(&out, &key.sign(source.digest()).encode())?;
    let (digest, publisher) = (source.digest(), key.id());
    let shown = format!("signed    sha256:{digest}\nby        {publisher}\nsignature {}", out.display());
    let value = json!({ "sha256": digest.to_string(), "publisher": publisher.to_string(), "signature": out.display().to_string() });
    context.terminal.answer(&shown, &value)?;
    Ok(Exit::Done)
}

/// A signature is public and may be made again.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    Ok(secret_file::replace_public(path, text)?)
}
