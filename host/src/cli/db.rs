//! `ranked db`: backup, verification, restore.

use std::path::{Path, PathBuf};

use store::{BackupRefusal, Problem, RestoreRefusal, Verification};

use super::failure::Failure;
use super::{Context, Exit, text};
use crate::keys::secret_file;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Copy the database to a new file, while the host runs or not; the copy is verified.
    #[command(after_help = "Example: ranked db backup /backups/ranked.db")]
    Backup {
        /// The new file; by default named after the time, in `backups` beside the database.
        to: Option<PathBuf>,
    },
    /// Check a database or a backup: SQLite's integrity, the journal's hash chain, reports and ratings. Exit code 1 if it is not sound.
    #[command(after_help = "Example: ranked db verify /backups/ranked.db")]
    Verify {
        /// The file; by default the host's database.
        file: Option<PathBuf>,
    },
    /// Put a backup in the place of the database. The host must be stopped; the present database is set aside.
    #[command(after_help = "Example: ranked db restore /backups/ranked.db")]
    Restore {
        /// The backup.
        from: PathBuf,
    },
}

pub(super) fn run(context: &Context<'_>, command: Command) -> Result<Exit, Failure> {
    let database = context.load_config()?.database_path();
    match command {
        Command::Backup { to } => backup(context, &database, to),
        Command::Verify { file } => verify(context, &file.unwrap_or(database)),
        Command::Restore { from } => restore(context, &from, &database),
    }
}

fn backup(context: &Context<'_>, database: &Path, to: Option<PathBuf>) -> Result<Exit, Failure> {
    require(database)?;
    let to = match to {
        Some(to) => to,
        None => {
            let folder = database.with_file_name("backups");
            secret_file::create_folder(&folder)?;
            let at = text::time(context.clock.now()).replace([':', '-'], "");
            folder.join(format!("ranked-{at}.db"))
        }
    };
    let bar = super::journal::progress_bar(context, 0, "pages");
    let copied = store::backup_to(database, &to, |progress| {
        bar.set_length(u64::from(progress.total));
        bar.set_position(u64::from(progress.done));
    })?;
    bar.finish_and_clear();
    let verification = copied.map_err(|refusal| match refusal {
        BackupRefusal::Exists { path } => {
            Failure::refused(format!("{} exists and is not overwritten", path.display()), "name another file")
        }
        other => Failure::refused(other.to_string(), ""),
    })?;
    let mut value = to_json(&verification);
    value["file"] = to.display().to_string().into();
    context.terminal.answer(&format!("wrote    {} (mode 0600)\n{}", to.display(), describe(&verification)), &value)?;
    Ok(exit_of(&verification))
}

fn verify(context: &Context<'_>, file: &Path) -> Result<Exit, Failure> {
    require(file)?;
    let verification = store::verify(file)?;
    let mut value = to_json(&verification);
    value["file"] = file.display().to_string().into();
    context.terminal.answer(&format!("file     {}\n{}", file.display(), describe(&verification)), &value)?;
    Ok(exit_of(&verification))
}

fn restore(context: &Context<'_>, from: &Path, database: &Path) -> Result<Exit, Failure> {
    require(from)?;
    if let Some(folder) = database.parent() {
        secret_file::create_folder(folder)?;
    }
    let restored = store::restore(from, database)?.map_err(|refusal| match refusal {
        RestoreRefusal::Unsound { verification } => {
            Failure::refused(format!("the backup is not sound; nothing was changed\n{}", describe(&verification)), "use another backup")
        }
        RestoreRefusal::InUse { path } => {
            Failure::refused(format!("{} is in use; nothing was changed", path.display()), "stop the host first")
        }
        other => Failure::refused(format!("{other}; nothing was changed"), ""),
    })?;
    let aside = restored.set_aside.as_ref().map(|path| path.display().to_string());
    let mut value = to_json(&restored.verification);
    value["file"] = database.display().to_string().into();
    value["set_aside"] = serde_json::json!(aside);
    let aside = aside.map(|path| format!("kept     the former database as {path}\n")).unwrap_or_default();
    context.terminal.answer(&format!("restored {}\n{aside}{}", database.display(), describe(&restored.verification)), &value)?;
    Ok(Exit::Done)
}

fn require(file: &Path) -> Result<(), Failure> {
    if file.is_file() {
        return Ok(());
    }
    Err(Failure::usage(format!("there is no file {}", file.display()), "`ranked serve` makes the database at its first start"))
}

fn exit_of(verification: &Verification) -> Exit {
    if verification.is_sound() { Exit::Done } else { Exit::Finding }
}

fn describe(verification: &Verification) -> String {
    let Verification { schema_version, players, matches, journal_entries, problems, .. } = verification;
    let head = verification.journal_head.map_or_else(|| "empty".to_owned(), |head| format!("entry {}, {}", head.seq, head.hash));
    let verdict = if problems.is_empty() { "sound    yes\n".to_owned() } else { format!("sound    NO, {} problems\n", problems.len()) };
    let problems: String = problems.iter().map(|problem| format!("         {problem}\n")).collect();
    format!(
        "holds    schema {schema_version}, {players} players, {matches} matches, {journal_entries} journal entries\nhead     {head}\n{verdict}{problems}"
    )
}

fn to_json(verification: &Verification) -> serde_json::Value {
    serde_json::json!({
        "sound": verification.is_sound(),
        "schema_version": verification.schema_version,
        "players": verification.players,
        "matches": verification.matches,
        "journal_entries": verification.journal_entries,
        "journal_head": verification.journal_head.map(|head| serde_json::json!({ "seq": head.seq.0, "hash": head.hash.to_string() })),
        "problems": verification.problems.iter().map(Problem::to_string).collect::<Vec<_>>(),
    })
}
