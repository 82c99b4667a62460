//! `report void`, `report release` and `report restore`.

use serde_json::json;
use store::{ReleaseRefusal, VoidRefusal};

use super::find_all;
use crate::cli::failure::Failure;
use crate::cli::undoing::{self, Why};
use crate::cli::{Context, Exit};

pub(super) fn preview_void(context: &Context<'_>, named: &[String]) -> Result<Exit, Failure> {
    let config = context.load_config()?;
    let store = context.open_store(&config)?;
    let tainted = store.look_at_void(find_all(&store, named)?).wait()?.map_err(void_refused)?;
    let shown = undoing::preview(context, &config, &store, &tainted)?;
    let mut text: String = shown.iter().map(undoing::Shown::render).collect();
    text.push_str("nothing was changed; without --dry-run and with --reason it would be\n");
    let value = json!({ "applied": false, "queues": shown.iter().map(undoing::Shown::to_json).collect::<Vec<_>>() });
    context.terminal.answer(&text, &value)?;
    Ok(Exit::Done)
}

fn void_refused(refusal: VoidRefusal) -> Failure {
    Failure::refused(format!("{refusal}; nothing was changed"), "`ranked report show ENTRY` tells what became of a report")
}

pub(super) fn void(context: &Context<'_>, named: &[String], why: &Why, wait: bool) -> Result<Exit, Failure> {
    let decision = why.decision()?;
    let config = context.load_config()?;
    let store = context.open_store(&config)?;
    let reports = find_all(&store, named)?;
    let made = store.void_reports(reports, decision, None, context.clock.now()).wait()?;
    let made = made.map_err(void_refused)?;
    let reports: u64 = made.iter().map(|made| made.reports).sum();
    let ratings = undoing::build(context, &config, &store, made, wait)?;
    let mut text = format!("voided    {reports} reports\n");
    ratings.iter().for_each(|ratings| text.push_str(&ratings.render()));
    text.push_str("undo      ranked report restore ENTRY.. --reason TEXT\n");
    context.terminal.answer(&text, &json!({ "voided": reports, "queues": undoing::to_json(&ratings) }))?;
    Ok(undoing::settled(&ratings))
}

pub(super) fn restore(context: &Context<'_>, named: &[String], why: &Why, wait: bool) -> Result<Exit, Failure> {
    let decision = why.decision()?;
    let config = context.load_config()?;
    let store = context.open_store(&config)?;
    let reports = find_all(&store, named)?;
    let made = store.restore_reports(reports, decision, context.clock.now()).wait()?;
    let made = made.map_err(|refusal| {
        Failure::refused(format!("{refusal}; nothing was changed"), "`ranked report list --voided` shows what is voided")
    })?;
    let reports: u64 = made.iter().map(|made| made.reports).sum();
    let ratings = undoing::build(context, &config, &store, made, wait)?;
    let mut text = format!("restored  {reports} reports\n");
    ratings.iter().for_each(|ratings| text.push_str(&ratings.render()));
    context.terminal.answer(&text, &json!({ "restored": reports, "queues": undoing::to_json(&ratings) }))?;
    Ok(undoing::settled(&ratings))
}

pub(super) fn release(context: &Context<'_>, named: &[String], why: &Why) -> Result<Exit, Failure> {
    let decision = why.decision()?;
    let store = context.open_store(&context.load_config()?)?;
    let reports = find_all(&store, named)?;
    let (mut released, mut refused) = (Vec::new(), Vec::new());
    for seq in reports {
        match store.release_report(seq, decision.clone(), context.clock.now()).wait()? {
            Ok(entry) => released.push((seq, entry)),
            Err(refusal) => refused.push(refusal),
        }
    }
    let mut text = String::new();
    for (seq, entry) in &released {
        text.push_str(&format!("released  the report at journal entry {seq}; it is rated at entry {entry}\n"));
    }
    for refusal in &refused {
        text.push_str(&format!("not       {refusal}{}\n", advice(refusal)));
    }
    if !released.is_empty() {
        text.push_str("rated     by the running host within a moment, else at its next start\n");
    }
    let value = json!({
        "released": released.iter().map(|(seq, entry)| json!({ "entry": seq.0, "released_by": entry.0 })).collect::<Vec<_>>(),
        "refused": refused.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    context.terminal.answer(&text, &value)?;
    Ok(if refused.is_empty() { Exit::Done } else { Exit::Finding })
}

fn advice(refusal: &ReleaseRefusal) -> &'static str {
    match refusal {
        ReleaseRefusal::Voided { .. } => ": `ranked report restore` it first",
        ReleaseRefusal::NotHeld { .. } => ": `ranked report list --held` shows those that are",
        _ => "",
    }
}
