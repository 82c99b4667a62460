//! Putting an engine in force: its generation is built from the journal while the old one serves, and activated at once at the end.

use std::sync::Arc;

use ladder::fault::PluginFault;
use ladder::id::{GenerationId, JournalSeq, MatchId, QueueId};
use ladder::rating::RatingEngine;
use ladder::time::UnixMillis;
use rusqlite::{Connection, params};

use crate::decisions::counted;
use crate::engines::Ready;
use crate::error::StoreError;
use crate::generations::{ABANDONED, RETIRED, activate, find_active, find_or_insert_building, set_rated_through};
use crate::journal::Due;
use crate::live::{REPORTS_PER_STEP_MAX, catch_up, note_raters};
use crate::predictions::note_engine_name;
use crate::rating::{RatingChange, Standing};
use crate::rebuilding::{Caller, rebuild};
use crate::standings::load_changes;
use crate::{Pending, Store, column, journal};

/// How far a new generation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayProgress {
    /// Every entry up to here was looked at.
    pub through: JournalSeq,
    /// The journal's last entry.
    pub head: JournalSeq,
}

/// Matches whose late rating is told to their players; the pages show the rest.
const RELEASED_TOLD_MAX: u32 = 10_000;

/// An engine in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Installed {
    /// The active generation.
    pub generation: GenerationId,
    /// Whether it had to be built or caught up; `false`: it was the active one already.
    pub rebuilt: bool,
    /// Whether reports of the queue wait to be rated.
    pub waits: bool,
    /// Matches whose reports had to wait for the engine before, and that this one has rated; at most 10,000 are named.
    pub released: Vec<(MatchId, Vec<RatingChange>)>,
}

/// Why an engine was not installed; the one before stays in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstallRefusal {
    /// The engine could not even say where players start.
    #[error("the rating engine faulted on its initial rating")]
    Initial(#[source] PluginFault),
    /// The engine cannot rate a report of the journal. Skip that report, or keep the old engine.
    #[error("the rating engine cannot rate journal entry {seq}")]
    Replay {
        /// Which.
        seq: JournalSeq,
        /// How it failed.
        #[source]
        fault: PluginFault,
    },
    /// No such queue.
    #[error("queue {queue} does not exist")]
    UnknownQueue {
        /// As asked for.
        queue: QueueId,
    },
    /// Another engine was asked for while this one was being built. What was built stays for the next time.
    #[error("another rating engine was asked for meanwhile")]
    Superseded,
}

impl Store {
    /// Puts a rating engine in force for a queue. If the active generation is another engine's, the journal is replayed into this engine's
    /// generation in steps of [`REPORTS_PER_STEP_MAX`] while the old one serves, and activated at once at the end; `progress` hears of
    /// every step, on another thread.
    pub fn install_engine(
        &self,
        queue: QueueId,
        engine: Arc<dyn RatingEngine>,
        progress: impl FnMut(ReplayProgress) + Send + 'static,
        now: UnixMillis,
    ) -> Pending<Result<Installed, InstallRefusal>> {
        let (reply, pending) = Pending::coming();
        let store = self.clone();
        let install = move || {
            let installed = install(&store, queue, engine, progress, now);
            drop(reply.send(installed));
            // Nobody waits for this. What fails now is done after the next installation.
            while store.forget_old_generations(queue).wait().unwrap_or(false) {}
        };
        match std::thread::Builder::new().name("store-install".into()).spawn(install) {
            Ok(_runs_by_itself) => pending,
            Err(source) => Pending::refused(StoreError::file(self.path(), source)),
        }
    }
}

fn install(
    store: &Store,
    queue: QueueId,
    engine: Arc<dyn RatingEngine>,
    mut progress: impl FnMut(ReplayProgress),
    now: UnixMillis,
) -> Result<Result<Installed, InstallRefusal>, StoreError> {
    let (rating, visible) = match engine.initial() {
        Ok(initial) => initial,
        Err(fault) => return Ok(Err(InstallRefusal::Initial(fault))),
    };
    let named = Arc::clone(&engine);
    store.write(move |connection| note_engine_name(connection, named.as_ref())).wait()?;
    let ready = Arc::new(Ready { queue, engine, initial: Standing::initial(rating, visible) });
    let engines = store.engines();
    let mut replaced = engines.add(&ready);
    let goes_on = || engines.is_latest(&ready);
    // How far single steps came; `None`: what is far behind is to be built in memory first.
    let mut reached = None;
    loop {
        if reached.is_none()
            && let Err(error) = rebuild(store, &ready, now, Caller { progress: &mut progress, goes_on: &goes_on })
        {
            engines.give_up(&ready, replaced.take());
            return Err(error);
        }
        if !engines.is_latest(&ready) {
            let leaving = Arc::clone(&ready);
            store.write(move |connection| lay_aside(connection, &leaving)).wait()?;
            engines.give_up(&ready, replaced.take());
            return Ok(Err(InstallRefusal::Superseded));
        }
        let builder = Arc::clone(&ready);
        match store.write(move |connection| build(connection, &builder, None, now)).wait() {
            Ok(Build::Active(installed)) => {
                engines.forget_older(&ready);
                return Ok(Ok(installed));
            }
            Ok(Build::More(so_far)) => {
                progress(so_far);
                // Further back than before: a decision made the generation anew.
                reached = Some(so_far.through).filter(|through| reached.is_none_or(|reached| *through >= reached));
            }
            Ok(Build::Refused(refusal)) => {
                engines.give_up(&ready, replaced.take());
                return Ok(Err(refusal));
            }
            Err(error) => {
                engines.give_up(&ready, replaced.take());
                return Err(error);
            }
        }
    }
}

/// Nobody builds this engine's generation any more: it is one to come back to, like any that was active.
fn lay_aside(connection: &Connection, ready: &Ready) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("UPDATE generations SET state = ?4 WHERE queue = ?1 AND engine_digest = ?2 AND parameters = ?3 AND state = 1")?;
    statement.execute(params![column::sql(ready.queue.0), ready.engine.digest().0, ready.engine.parameters(), RETIRED])?;
    Ok(())
}

/// A generation that is built beside the one that serves, and how far it is.
#[derive(Clone, Copy)]
pub(crate) struct Again {
    pub(crate) generation: GenerationId,
    pub(crate) revision: u64,
    pub(crate) after: JournalSeq,
}

/// What one step of building came to.
pub(crate) enum Build {
    Active(Installed),
    More(ReplayProgress),
    Refused(InstallRefusal),
}

/// One step: nothing to do, a few reports more, or the activation. Two processes that build the same generation help each other: how far it
/// is stands in the database. `again`: this generation is activated, whatever the active one is.
pub(crate) fn build(connection: &Connection, ready: &Ready, again: Option<Again>, now: UnixMillis) -> Result<Build, StoreError> {
    let queue = ready.queue;
    let active = find_active(connection, queue)?;
    let revision = counted::newest_revision(connection, queue)?;
    if let Some(active) = &active
        && again.is_none()
        && ready.is(queue, active.digest, &active.parameters)
        && active.revision == revision
    {
        let (generation, waits) = (active.id, active.rated_through.is_some());
        return Ok(Build::Active(Installed { generation, rebuilt: false, waits, released: Vec::new() }));
    }
    let engine = (ready.engine.digest(), ready.engine.parameters());
    let (generation, after) = match again {
        Some(again) if again.revision == revision => (again.generation, again.after),
        Some(_) => return Ok(Build::Refused(InstallRefusal::Superseded)),
        None => match find_or_insert_building(connection, queue, revision, engine, &ready.initial, now)? {
            Some(found) => found,
            None => return Ok(Build::Refused(InstallRefusal::UnknownQueue { queue })),
        },
    };
    let caught_up = catch_up(connection, (generation, revision), ready, after, REPORTS_PER_STEP_MAX)?;
    match caught_up.fault {
        // The ratings in force that wait at this very report are no better: the same engine's of another revision, or those built again.
        Some((seq, fault))
            if active.as_ref().is_some_and(|active| {
                let is_same = again.is_some() || ready.is(queue, active.digest, &active.parameters);
                !(is_same && active.waits_at(caught_up.through))
            }) =>
        {
            return Ok(Build::Refused(InstallRefusal::Replay { seq, fault }));
        }
        None if !caught_up.complete => {
            set_rated_through(connection, generation, Some(caught_up.through))?;
            let head = journal::head(connection)?.map_or(JournalSeq(0), |(seq, _)| seq);
            return Ok(Build::More(ReplayProgress { through: caught_up.through, head }));
        }
        // Complete, or stuck in a queue that never had an engine: then what comes after the stuck report waits.
        Some(_) | None => {}
    }
    let waits = !caught_up.complete;
    let released = match active.and_then(|active| active.rated_through) {
        Some(waited_after) => {
            note_raters(connection, queue, generation, (waited_after, caught_up.through))?;
            load_released(connection, queue, (generation, revision), waited_after)?
        }
        None => Vec::new(),
    };
    if again.is_some() {
        make_room(connection, ready, revision)?;
    }
    activate(connection, queue, generation, waits.then_some(caught_up.through), now)?;
    Ok(Build::Active(Installed { generation, rebuilt: true, waits, released }))
}

/// Nobody goes back to the other generations of this engine: one takes the place of all.
fn make_room(connection: &Connection, ready: &Ready, revision: u64) -> Result<(), StoreError> {
    let mut abandon = connection.prepare_cached(
        "UPDATE generations SET state = ?5 WHERE queue = ?1 AND engine_digest = ?2 AND parameters = ?3 AND revision = ?4 AND state <> ?5",
    )?;
    let (queue, revision) = (column::sql(ready.queue.0), column::sql(revision));
    abandon.execute(params![queue, ready.engine.digest().0, ready.engine.parameters(), revision, ABANDONED])?;
    Ok(())
}

/// What a generation made of the matches that it rated first, after `after`.
fn load_released(
    connection: &Connection,
    queue: QueueId,
    (generation, revision): (GenerationId, u64),
    after: JournalSeq,
) -> Result<Vec<(MatchId, Vec<RatingChange>)>, StoreError> {
    let mut released = Vec::new();
    for Due { seq, facts, .. } in journal::load_due(connection, queue, revision, after, RELEASED_TOLD_MAX)? {
        if let Some(match_id) = facts.match_id {
            let changes = load_changes(connection, generation, seq, &facts)?;
            released.extend((!changes.is_empty()).then_some((match_id, changes)));
        }
    }
    Ok(released)
}
