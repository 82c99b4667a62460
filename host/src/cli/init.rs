//! `ranked init`: a new community in a folder.

use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::{Context, Exit, channel_life};
use crate::config::{Config, HOST_FILE, HostConfig, PLUGINS_FILE, plugins_toml, ranked_toml};
use crate::keys::{KeyPaths, Keyring, secret_file};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Where to put it; made if it does not exist.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(context: &Context<'_>, arguments: Arguments) -> Result<Exit, Failure> {
    let dir = &arguments.dir;
    // No file is read: a new community starts from the defaults.
    let config = Config::new(HostConfig::default(), Vec::new(), dir.clone());
    let paths = KeyPaths::of(&config);
    let (host, plugins) = (dir.join(HOST_FILE), dir.join(PLUGINS_FILE));
    refuse_if_there(&[&host, &plugins, &paths.community, &paths.pepper, &paths.channel(), &paths.kek(), &config.database_path()])?;
    if !arguments.yes && context.terminal.is_interactive() {
        let question = format!("Make a new community in {}? [y/N] ", dir.display());
        if !context.terminal.ask(&question)?.eq_ignore_ascii_case("y") {
            return Err(Failure::refused("nothing was made", "answer y, or give --yes"));
        }
    }
    secret_file::create_folder(dir)?;
    if let Some(folder) = config.database_path().parent() {
        secret_file::create_folder(folder)?;
    }
    secret_file::create_public(&host, &ranked_toml())?;
    secret_file::create_public(&plugins, &plugins_toml())?;
    let keyring = Keyring::create(paths.clone(), &config.host.public, channel_life(&config), context.clock.now())?;
    let value = serde_json::json!({
        "folder": dir.display().to_string(),
        "realm_id": keyring.realm_id().to_string(),
        "key_epoch": keyring.key_epoch().0,
        "config": host.display().to_string(),
        "plugins": plugins.display().to_string(),
        "community": paths.community.display().to_string(),
        "pepper": paths.pepper.display().to_string(),
        "keys": paths.folder.display().to_string(),
    });
    context.terminal.answer(&next_steps(dir, &keyring, &paths), &value)?;
    Ok(Exit::Done)
}

fn refuse_if_there(files: &[&Path]) -> Result<(), Failure> {
    match files.iter().find(|file| file.symlink_metadata().is_ok()) {
        Some(file) => Err(Failure::refused(format!("{} exists; nothing was made", file.display()), "choose another folder with --dir")),
        None => Ok(()),
    }
}

fn next_steps(dir: &Path, keyring: &Keyring, paths: &KeyPaths) -> String {
    let config = if dir == Path::new(".") { String::new() } else { format!(" --config {}", dir.join(HOST_FILE).display()) };
    format!(
        "made    community {realm} in {dir}\n\
         wrote   ranked.toml, plugins.toml (commented)\n\
         wrote   {keys}: signing key (key epoch {epoch}), channel key, key-encryption key (mode 0600)\n\
         wrote   pepper.key (mode 0600), community.toml (public)\n\
         \n\
         next    ranked doctor{config}\n\
         \x20       ranked serve{config}\n\
         \x20       ranked cert issue --owner eu-1.example{config}\n\
         keep    a backup of {keys} and pepper.key apart from backups of the database: together they open everything\n",
        realm = keyring.realm_id(),
        dir = dir.display(),
        keys = paths.folder.display(),
        epoch = keyring.key_epoch(),
    )
}
