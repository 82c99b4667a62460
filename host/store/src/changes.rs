//! What each report changed, written afterwards for a generation that was built in memory: little by little, while the host serves.
//!
//! The generation says up to which entry it was built so, and up to which entry the changes are there. Whoever goes on rates the journal up to
//! there once more in memory, and from there on writes down what every report did, in short transactions. A process that dies loses no more
//! than the last of them.

use std::collections::VecDeque;
use std::sync::Arc;

use ladder::id::{GenerationId, JournalSeq, MatchId, PlayerId, QueueId};
use ladder::time::UnixSeconds;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::engines::Ready;
use crate::error::StoreError;
use crate::generations::find_active;
use crate::installation::ReplayProgress;
use crate::predictions::Prediction;
use crate::rating::RatingChange;
use crate::replay::{Chunk, Replay, Roster, Stop, Traced, run};
use crate::{Pending, Store, column, standings};

/// Reports whose changes one transaction writes: what it takes must not be felt by the reports of players.
pub const CHANGES_REPORTS_PER_STEP: usize = 64;
/// Reports that are rated at a time to be written in some steps.
const REPORTS_PER_CHUNK: usize = 1_024;

/// Writes what the reports of a queue changed, for the generation in force.
pub struct ChangesBackfill {
    store: Store,
    queue: QueueId,
    work: Option<Work>,
    /// A generation whose engine is asked contest by contest, because its bulk interface faulted.
    one_by_one: Option<GenerationId>,
    /// Where the engine did not rate what it had rated before: it is not asked the same again.
    stuck: Option<(GenerationId, JournalSeq)>,
}

/// What one step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangesStep {
    /// Every change was there already.
    Complete,
    /// Some were written.
    Advanced(ReplayProgress),
    /// This process does not have the engine in force, or it does not rate any more what it rated before: the changes stay as they are.
    Stuck,
}

struct Work {
    generation: GenerationId,
    replay: Replay,
    roster: Roster,
    /// Rated, not yet written.
    ready: VecDeque<Changed>,
    /// Every entry up to here is written, or in `ready`.
    through: JournalSeq,
    /// Every entry up to here is written.
    written: JournalSeq,
}

/// One report.
struct Changed {
    at: JournalSeq,
    seq: JournalSeq,
    match_id: Option<MatchId>,
    at_s: UnixSeconds,
    changes: Vec<RatingChange>,
    prediction: Option<Prediction>,
}

/// A generation in force to which changes are missing.
#[derive(Clone, Copy)]
struct Owing {
    generation: GenerationId,
    changes_through: JournalSeq,
    built_through: JournalSeq,
}

impl Store {
    /// What writes the changes of a queue; nothing is looked at before [`ChangesBackfill::advance`].
    #[must_use]
    pub fn changes_backfill(&self, queue: QueueId) -> ChangesBackfill {
        ChangesBackfill { store: self.clone(), queue, work: None, one_by_one: None, stuck: None }
    }

    /// How far the changes of a queue's ratings are written; `None`: all are there.
    pub fn changes_progress(&self, queue: QueueId) -> Pending<Option<ReplayProgress>> {
        self.read_public(move |connection| {
            let owing = find_owing(connection, queue)?;
            Ok(owing.map(|owing| ReplayProgress { through: owing.changes_through, head: owing.built_through }))
        })
    }
}

impl ChangesBackfill {
    /// Writes the changes of up to [`CHANGES_REPORTS_PER_STEP`] reports. Blocks for reading, rating and writing: for a thread of its own. The
    /// first step after a start rates in memory what was written before.
    ///
    /// # Errors
    /// The environment's fault: nothing of the step is stored.
    pub fn advance(&mut self) -> Result<ChangesStep, StoreError> {
        let queue = self.queue;
        let found = self.store.read_public(move |connection| {
            let Some(owing) = find_owing(connection, queue)? else { return Ok(None) };
            Ok(find_active(connection, queue)?.map(|active| (owing, active)))
        });
        let Some((owing, active)) = found.wait()? else {
            self.work = None;
            return Ok(ChangesStep::Complete);
        };
        let Ok(ready) = self.store.engines().find(queue, &active) else { return Ok(ChangesStep::Stuck) };
        let at = (owing.generation, owing.changes_through);
        if self.stuck == Some(at) {
            return Ok(ChangesStep::Stuck);
        }
        // Another generation, or another process wrote meanwhile.
        let fits = |work: &Work| (work.generation, work.written) == at;
        let kept = self.work.take().filter(fits);
        let mut prepared = self.prepare(kept, &ready, active.revision, owing)?;
        if let Err(Stop::Bulk(fault)) = &prepared
            && self.one_by_one != Some(owing.generation)
        {
            tracing::warn!(%queue, error = %fault, "the bulk interface faulted: changes are rated one by one");
            self.one_by_one = Some(owing.generation);
            prepared = self.prepare(None, &ready, active.revision, owing)?;
        }
        let mut work = match prepared {
            Ok(work) => work,
            Err(stop) => {
                tracing::warn!(%queue, ?stop, "the engine does not rate again what it rated before: changes of ratings stay unwritten");
                self.stuck = Some(at);
                return Ok(ChangesStep::Stuck);
            }
        };
        let through = work.write(&self.store, owing)?;
        self.work = Some(work);
        Ok(ChangesStep::Advanced(ReplayProgress { through, head: owing.built_through }))
    }

    /// Work with something to write.
    fn prepare(&self, kept: Option<Work>, ready: &Arc<Ready>, revision: u64, owing: Owing) -> Result<Result<Work, Stop>, StoreError> {
        let mut work = match kept {
            Some(work) => work,
            None => match self.start(ready, revision, owing)? {
                Ok(work) => work,
                Err(stop) => return Ok(Err(stop)),
            },
        };
        let stop = if work.ready.is_empty() { work.rate(&self.store, owing.built_through)? } else { None };
        Ok(stop.map_or(Ok(work), Err))
    }

    /// Rates what is written already.
    fn start(&self, ready: &Arc<Ready>, revision: u64, owing: Owing) -> Result<Result<Work, Stop>, StoreError> {
        let (generation, through) = (owing.generation, owing.changes_through);
        let one_by_one = self.one_by_one == Some(generation);
        let mut replay = Replay::new((self.queue, revision), Arc::clone(&ready.engine), ready.initial.clone(), one_by_one);
        let roster = match run(&self.store, &mut replay, Roster::default(), through, |_| Ok(true))? {
            Ok(roster) => roster,
            Err(stop) => return Ok(Err(stop)),
        };
        let settled = replay.settle();
        let work = Work { generation, replay, roster, ready: VecDeque::new(), through, written: through };
        Ok(settled.map(|()| work).map_err(Stop::Bulk))
    }
}

impl Work {
    /// Rates the next reports; why not, if the engine does not.
    fn rate(&mut self, store: &Store, until: JournalSeq) -> Result<Option<Stop>, StoreError> {
        let portion = self.replay.next(until, REPORTS_PER_CHUNK);
        let mut roster = std::mem::take(&mut self.roster);
        let gather = move |connection: &Connection| Ok((Chunk::gather(connection, portion, &mut roster)?, roster));
        let chunk;
        (chunk, self.roster) = store.read_public(gather).wait()?;
        let ready = &mut self.ready;
        let stop = self.replay.rate_traced(&chunk, |traced| collect(traced, ready));
        self.through = chunk.through;
        Ok(stop)
    }

    /// Writes some of what is rated; returns how far everything is written now.
    fn write(&mut self, store: &Store, owing: Owing) -> Result<JournalSeq, StoreError> {
        let some = self.ready.len().min(CHANGES_REPORTS_PER_STEP);
        let some: Vec<Changed> = self.ready.drain(..some).collect();
        let through = match some.last() {
            Some(last) if !self.ready.is_empty() => last.at,
            _ => self.through,
        };
        let write = move |connection: &Connection| write_changed(connection, owing, &some, through);
        store.write(write).wait()?;
        self.written = through;
        Ok(through)
    }
}

/// What every contest of a chunk changed, player by player as the report names them.
fn collect(mut traced: Traced<'_>, ready: &mut VecDeque<Changed>) {
    let (journal, chunk) = (&traced.chunk.journal, traced.chunk);
    let mut beliefs = traced.before.clone();
    for contest in 0..traced.contests {
        let turn = chunk.turns[contest];
        let places = journal.places(contest);
        let predicted = traced.predicted.get_mut(contest).and_then(Option::take);
        let prediction = predicted.and_then(|pairs| Prediction::of(places, pairs));
        let mut changes = Vec::with_capacity(journal.players(contest).len());
        let mut entrants = journal.entrants(contest);
        for (team, members) in (0..).zip(journal.teams(contest).map(|team| journal.members(team))) {
            let expected = prediction.as_ref().and_then(|prediction| prediction.expected(team));
            for (&player, at) in members.iter().zip(entrants.by_ref()) {
                let after = [traced.trace.mean[at], traced.trace.uncertainty[at], traced.trace.visible[at]];
                let before = std::mem::replace(&mut beliefs[player as usize], after);
                let player = traced.players[chunk.players[player as usize] as usize];
                changes.push(RatingChange { expected, ..change(player, places[usize::from(team)], before, after) });
            }
        }
        let at_s = UnixSeconds(journal.columns().at_s[contest]);
        ready.push_back(Changed { at: turn.at, seq: turn.seq, match_id: turn.match_id, at_s, changes, prediction });
    }
}

fn change(player: PlayerId, place: u16, before: [f64; 3], after: [f64; 3]) -> RatingChange {
    let ([mean_before, uncertainty_before, visible_before], [mean, uncertainty, visible]) = (before, after);
    RatingChange { player, place, mean_before, uncertainty_before, visible_before, mean, uncertainty, visible, expected: None }
}

/// Stores changes, unless somebody else did or the generation is not in force any more: then there is nothing to do.
fn write_changed(connection: &Connection, owing: Owing, some: &[Changed], through: JournalSeq) -> Result<(), StoreError> {
    let mut note = connection
        .prepare_cached("UPDATE generations SET changes_through = ?3 WHERE generation = ?1 AND state = 2 AND changes_through = ?2")?;
    let generation = owing.generation;
    let noted = note.execute(params![column::sql(generation.0), column::sql(owing.changes_through.0), column::sql(through.0)])?;
    if noted == 1 {
        for Changed { seq, match_id, at_s, changes, prediction, .. } in some {
            standings::write_change_rows(connection, generation, (*seq, *match_id, *at_s), changes, prediction.as_ref())?;
        }
    }
    Ok(())
}

fn find_owing(connection: &Connection, queue: QueueId) -> Result<Option<Owing>, StoreError> {
    let mut find = connection.prepare_cached(
        "SELECT generation, changes_through, built_through FROM generations
         WHERE queue = ?1 AND state = 2 AND changes_through < built_through",
    )?;
    let owing = |row: &Row<'_>| {
        Ok(Owing {
            generation: GenerationId(column::number(row, 0)?),
            changes_through: JournalSeq(column::number(row, 1)?),
            built_through: JournalSeq(column::number(row, 2)?),
        })
    };
    Ok(find.query_row([column::sql(queue.0)], owing).optional()?)
}
