//! `ranked plugin install`: a component is looked at, its signature is checked, and it is put where `plugins.toml` can name it.

use std::path::{Path, PathBuf};

use plugin_runtime::{PluginSource, Role, Runtime};
use serde_json::json;
use store::{InstalledComponent, Store};

use crate::cli::failure::{Failure, chain};
use crate::cli::{Context, Exit, text};
use crate::components;
use crate::config::{Config, Signatures};
use crate::keys::PluginSignature;
use crate::plugins;
use crate::reload::store_role;

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The component.
    file: PathBuf,
    /// Its signature, made with `ranked plugin sign`. Otherwise FILE.sig, if the host wants signatures.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
}

pub(super) fn run(context: &Context<'_>, runtime: &Runtime, arguments: &Arguments) -> Result<Exit, Failure> {
    let config = context.load_config()?;
    let store = context.open_store(&config)?;
    let installed = install(context, runtime, &config, &store, &arguments.file, arguments.signature.as_deref())?;
    let InstalledComponent { digest, name, version, roles, publisher, .. } = &installed;
    let publisher = publisher.as_deref().map(|publisher| publisher.rsplit_once(' ').map_or(publisher, |(name, _)| name));
    let role = Role::ALL.into_iter().find(|role| roles.contains(&store_role(*role))).map_or("ROLE", Role::name);
    let queue = config.queues.first().map_or("QUEUE", |queue| queue.name());
    let next = format!("ranked plugin activate {queue} {role} sha256:{digest}");
    let shown = format!(
        "installed {} {}  {}\ndigest    sha256:{digest}\nsigned by {}\nnext      {next}",
        text::printable(name),
        text::printable(version),
        components::path_of(*digest),
        publisher.unwrap_or("nobody that was asked for"),
    );
    let value = json!({
        "sha256": digest.to_string(),
        "component": components::path_of(*digest),
        "name": name,
        "version": version,
        "publisher": publisher,
        "next": next,
    });
    context.terminal.answer(&shown, &value)?;
    Ok(Exit::Done)
}

/// Looks at a component, checks its signature, copies it and writes it down.
pub(super) fn install(
    context: &Context<'_>,
    runtime: &Runtime,
    config: &Config,
    store: &Store,
    file: &Path,
    signature: Option<&Path>,
) -> Result<InstalledComponent, Failure> {
    let source = plugins::read(file).map_err(|error| Failure::usage(format!("{}: {error}", file.display()), ""))?;
    let publisher = check_signature(config, &source, file, signature)?;
    let shown = file.display();
    let inspection = runtime.inspect(&source).map_err(|error| Failure::refused(format!("{shown} {}", chain(&error)), ""))?;
    let described = inspection.described.map_err(|error| Failure::refused(format!("{shown} cannot be used: it {}", chain(&error)), ""))?;
    components::install(config.folder(), &source).map_err(|error| Failure::environment(chain(&error)))?;
    let component = InstalledComponent {
        digest: source.digest(),
        name: described.description.name,
        version: described.description.version,
        roles: inspection.roles.into_iter().map(store_role).collect(),
        bytes: source.bytes().len() as u64,
        publisher,
        installed_at: context.clock.now(),
    };
    store.record_component(component.clone()).wait()?;
    Ok(component)
}

/// Name and key of the publisher who vouches for a component. With `signatures = "off"` nobody needs to, unless a signature is named.
fn check_signature(config: &Config, source: &PluginSource, file: &Path, signature: Option<&Path>) -> Result<Option<String>, Failure> {
    let rules = &config.host.plugins;
    let beside = PathBuf::from(format!("{}.sig", file.display()));
    let path = match (signature, rules.signatures) {
        (Some(path), _) => path,
        (None, Signatures::Required) if beside.exists() => &beside,
        (None, Signatures::Required) => {
            return Err(Failure::refused(
                format!("{} has no signature, and this host wants one", file.display()),
                "`ranked plugin sign FILE --key KEY` makes FILE.sig; or write `signatures = \"off\"` below [plugins] in ranked.toml",
            ));
        }
        (None, Signatures::Off) => return Ok(None),
    };
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("{shown}: {error}"), ""))?;
    let signature = PluginSignature::parse(&text).map_err(|error| Failure::refused(format!("{shown}: {error}"), ""))?;
    let refuse = |problem: String, help: &str| Failure::refused(format!("{shown}: {problem}"), help);
    let signer = signature.verify(source.digest()).map_err(|error| refuse(error.to_string(), "ask its publisher for both files again"))?;
    match rules.publishers.iter().find(|known| known.key == signer) {
        Some(known) => Ok(Some(format!("{} {}", known.name, known.key))),
        None => Err(refuse(
            format!("its publisher {signer} is not among `publishers` of ranked.toml"),
            "if you trust them: add `{ name = \"..\", key = \"..\" }` to `publishers` below [plugins]",
        )),
    }
}
