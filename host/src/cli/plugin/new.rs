//! `ranked plugin new`: begins a plugin.

use std::path::PathBuf;

use plugin_runtime::Role;
use serde_json::json;

use crate::author::project::{Language, NAME_RULE};
use crate::author::template::{NewPlugin, NewPluginError};
use crate::cli::failure::{Failure, chain};
use crate::cli::{Context, Exit};

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Its name, as in `my-elo`.
    name: String,
    /// What it is for.
    #[arg(long, value_parser = ["rating", "rules", "policy"])]
    role: String,
    /// What it is written in.
    #[arg(long, value_parser = ["rust", "javascript", "python", "c"])]
    lang: String,
    /// Where to put it; made, and must not exist. Otherwise a folder with the plugin's name.
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(super) fn run(context: &Context<'_>, arguments: Arguments) -> Result<Exit, Failure> {
    let Arguments { name, role, lang, dir } = arguments;
    let role = Role::ALL.into_iter().find(|known| known.name() == role).expect("clap lets no other pass");
    let language = Language::ALL.into_iter().find(|known| known.name() == lang).expect("clap lets no other pass");
    let plugin = NewPlugin::new(&name, role, language)?;
    let folder = dir.unwrap_or_else(|| PathBuf::from(&name));
    let files = plugin.write(&folder)?;
    let commands = [language.preparation(), "ranked plugin build", "ranked plugin check", "ranked plugin test"];
    let shown = format!(
        "made    {name}, a {role} plugin in {language}: {folder}\nwrote   {source} (the plugin), plugin.toml, cases/first.toml, wit/ (the \
         contract), README.md\n\nnext    cd {folder}\n        {next}\n",
        language = language.title(),
        folder = folder.display(),
        source = language.source(),
        next = commands.join("\n        "),
    );
    let value = json!({
        "name": name,
        "role": role.name(),
        "language": language.name(),
        "folder": folder.display().to_string(),
        "files": files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
        "next": commands,
    });
    context.terminal.answer(&shown, &value)?;
    Ok(Exit::Done)
}

impl From<NewPluginError> for Failure {
    fn from(error: NewPluginError) -> Self {
        let problem = chain(&error);
        match error {
            NewPluginError::Name { .. } => Self::usage(problem, format!("choose {NAME_RULE}")),
            NewPluginError::NameTaken { .. } => Self::usage(problem, "choose another name"),
            NewPluginError::FolderExists { .. } => Self::refused(problem, "choose another folder with --dir"),
            NewPluginError::Unwritable { .. } => Self::environment(problem),
        }
    }
}
