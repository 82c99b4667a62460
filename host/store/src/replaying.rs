//! Building the ratings of a queue again although they are in force, and putting the result in their place.
//!
//! The same as installing an engine, but for the end: a generation is built from the start of the journal beside the one that serves, takes
//! its place in one transaction, and what differs is told.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ladder::id::{Digest, GenerationId, JournalSeq, PlayerId, QueueId};
use ladder::rating::RatingEngine;
use ladder::time::UnixMillis;
use rusqlite::{Connection, params};

use crate::engines::Ready;
use crate::error::StoreError;
use crate::generations::find_active;
use crate::installation::{Again, Build, InstallRefusal, Installed, ReplayProgress, build};
use crate::ledger::Differences;
use crate::predictions::note_engine_name;
use crate::rating::Standing;
use crate::rebuilding::{Built, Caller, Hidden, LEASE, TOLD_EVERY, Task, Ticking, prolong};
use crate::standings::{load_memory, load_standings};
use crate::{Store, column, journal};

/// Ratings that were built again and put in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// What is in force now.
    pub installed: Installed,
    /// What was in force before; `None`: nothing was.
    pub before: Option<ReplayedBefore>,
    /// Those before as stored, and those that are in force as recomputed, without players who played meanwhile. Between two engines
    /// everything may differ.
    pub differences: Differences,
}

/// The generation that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayedBefore {
    /// Which.
    pub generation: GenerationId,
    /// Its engine.
    pub engine_digest: Digest,
    /// As canonical JSON.
    pub parameters: String,
}

impl Store {
    /// Rates a queue's journal again from its start, puts the result in force at once, and says what differs from what was. Blocks: for a
    /// thread of its own. The host may go on meanwhile; what each report changed is written by it afterwards.
    ///
    /// # Errors
    /// The environment's fault: what was in force stays. So it does if the inner result is a refusal.
    pub fn replay_ledger(
        &self,
        queue: QueueId,
        engine: Arc<dyn RatingEngine>,
        mut progress: impl FnMut(ReplayProgress),
        now: UnixMillis,
    ) -> Result<Result<Replayed, InstallRefusal>, StoreError> {
        let (rating, visible) = match engine.initial() {
            Ok(initial) => initial,
            Err(fault) => return Ok(Err(InstallRefusal::Initial(fault))),
        };
        let (ready, clock) = (Arc::new(Ready { queue, engine, initial: Standing::initial(rating, visible) }), Ticking::from(now));
        let named = Arc::clone(&ready);
        self.write(move |connection| note_engine_name(connection, named.engine.as_ref())).wait()?;
        let known = move |connection: &Connection| {
            let mut known = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM queues WHERE queue = ?1)")?;
            Ok(known.query_row([column::sql(queue.0)], |row| row.get::<_, bool>(0))?)
        };
        if !self.read_public(known).wait()? {
            return Ok(Err(InstallRefusal::UnknownQueue { queue }));
        }
        let mut one_by_one = false;
        loop {
            let task = self.read_public(move |connection| Task::whole(connection, queue)).wait()?;
            let Some(hidden) = Hidden::claim(self, &ready, task.revision, clock)? else {
                std::thread::sleep(TOLD_EVERY);
                continue;
            };
            let mut caller = Caller { progress: &mut progress, goes_on: &|| true };
            match hidden.build(task, one_by_one, &mut caller)? {
                Built::Through(replay) | Built::Until(replay) | Built::Asked(replay) => {
                    let through = replay.through();
                    drop(replay);
                    if let Some(answer) = self.put_in_force(&ready, &hidden, (task, through), clock, &mut progress)? {
                        return Ok(answer);
                    }
                    hidden.forsake(None)?;
                }
                Built::Overtaken => hidden.forsake(None)?,
                Built::Distrusted(fault) => {
                    tracing::warn!(%queue, error = %fault, "the bulk interface faulted: rating one by one");
                    one_by_one = true;
                    hidden.forsake(None)?;
                }
            }
        }
    }

    /// Rates what is left, step by step, and activates; `None`: another journal is to be rated now.
    fn put_in_force(
        &self,
        ready: &Arc<Ready>,
        hidden: &Hidden,
        (task, mut through): (Task, JournalSeq),
        clock: Ticking,
        progress: &mut dyn FnMut(ReplayProgress),
    ) -> Result<Option<Result<Replayed, InstallRefusal>>, StoreError> {
        loop {
            let (builder, generation, now, lease) = (Arc::clone(ready), hidden.generation, clock.now(), clock.after(LEASE));
            let step = move |connection: &Connection| {
                if task.is_outdated(connection)? || !prolong(connection, generation, lease)? {
                    return Ok(None);
                }
                let before = find_active(connection, builder.queue)?;
                let again = Again { generation, revision: task.revision, after: through };
                let built = build(connection, &builder, Some(again), now)?;
                if let Build::Active(_) = built {
                    hand_over_lease(connection, generation, before.as_ref().map(|before| before.id), lease)?;
                }
                let head = journal::head(connection)?.map_or(JournalSeq(0), |(seq, _)| seq);
                Ok(Some((built, before, head)))
            };
            match self.write(step).wait()? {
                None | Some((Build::Refused(InstallRefusal::Superseded), ..)) => return Ok(None),
                Some((Build::Refused(refusal), ..)) => {
                    hidden.forsake(None)?;
                    return Ok(Some(Err(refusal)));
                }
                Some((Build::More(at), ..)) => {
                    through = at.through;
                    progress(at);
                }
                Some((Build::Active(installed), before, head)) => {
                    let before = before.map(|before| ReplayedBefore {
                        generation: before.id,
                        engine_digest: before.digest,
                        parameters: before.parameters,
                    });
                    let old = before.as_ref().map(|before| before.generation);
                    let differences = self.compare_generations(ready.queue, old, installed.generation, head)?;
                    return Ok(Some(Ok(Replayed { installed, before, differences })));
                }
            }
        }
    }

    /// What two generations store, without the players whose reports came after `head`: one of the two rates them. The first one's rows are
    /// free to be forgotten afterwards.
    fn compare_generations(
        &self,
        queue: QueueId,
        before: Option<GenerationId>,
        now: GenerationId,
        head: JournalSeq,
    ) -> Result<Differences, StoreError> {
        let Some(before) = before else { return Ok(Differences { memory_equal: true, ..Differences::default() }) };
        let compare = move |connection: &Connection| {
            let mut recomputed: HashMap<PlayerId, Standing> = load_standings(connection, now)?.into_iter().collect();
            let memory_equal = load_memory(connection, before)? == load_memory(connection, now)?;
            let since = journal::load_due(connection, queue, 0, head, u32::MAX)?;
            let memory_equal = memory_equal || !since.is_empty();
            let played: HashSet<PlayerId> = since.iter().flat_map(|due| &due.facts.players).map(|player| player.player).collect();
            let mut differences = Differences { memory_equal, ..Differences::default() };
            recomputed.retain(|player, _| !played.contains(player));
            for (player, stored) in load_standings(connection, before)?.into_iter().filter(|(player, _)| !played.contains(player)) {
                differences.add(player, Some(&stored), recomputed.remove(&player).as_ref());
            }
            for (player, recomputed) in recomputed {
                differences.add(player, None, Some(&recomputed));
            }
            Ok(differences)
        };
        let differences = self.read_public(compare).wait()?;
        let free = move |connection: &Connection| {
            let mut free = connection.prepare_cached("UPDATE generations SET lease_until = NULL WHERE generation = ?1")?;
            free.execute([column::sql(before.0)])?;
            Ok(())
        };
        self.write(free).wait()?;
        Ok(differences)
    }
}

/// The new generation is in force, and the rows of the one before are looked at once more.
fn hand_over_lease(
    connection: &Connection,
    generation: GenerationId,
    before: Option<GenerationId>,
    until: UnixMillis,
) -> Result<(), StoreError> {
    let mut lease = connection.prepare_cached("UPDATE generations SET lease_until = ?2 WHERE generation = ?1")?;
    lease.execute(params![column::sql(generation.0), None::<i64>])?;
    if let Some(before) = before {
        lease.execute(params![column::sql(before.0), column::sql_time(until)])?;
    }
    Ok(())
}
