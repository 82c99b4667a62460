//! Shadows: engines that rate the same journal into generations of their own, while another engine rates for the players.
//!
//! ```text
//! reader: reports, standings, memory -> shadow's thread: rate -> writer: one short transaction, if nobody else has moved the generation
//! ```
//!
//! A shadow's generation is one that is being built and is not activated at the end. So the day its engine is installed, all that is left to
//! do is the activation. The engine is never called on the writer's thread: what it takes long for delays nobody's report.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ladder::fault::PluginFault;
use ladder::id::{Digest, GenerationId, JournalSeq, PlayerId, QueueId};
use ladder::rating::RatingEngine;
use ladder::report::{Disposition, ReportFacts};
use ladder::time::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::decisions::counted;
use crate::engines::Ready;
use crate::error::StoreError;
use crate::generations::{self, BUILDING};
use crate::installation::ReplayProgress;
use crate::journal::Due;
use crate::plugins::PluginRole;
use crate::predictions::Prediction;
use crate::rating::{RatingChange, Standing, step};
use crate::rebuilding::{Caller, count_skipped, rebuild};
use crate::season_reset::Batch;
use crate::seasons::{self, Season, Stretch};
use crate::{Pending, Store, column, journal, standings};

/// Reports that one step of a shadow rates: what one of its transactions writes must not be felt by the reports of players.
pub const SHADOW_REPORTS_PER_STEP: u32 = 64;

/// How long a shadow that is far behind rates in memory before it writes what it has.
const BUILT_PER_STEP: Duration = Duration::from_secs(5);

/// Entries of other queues after which a shadow that has caught up notes how far it looked, so that it does not look at them again.
const ENTRIES_PASSED_MAX: u64 = 1_000;

/// An engine that rates in the shadow of another one.
pub struct Shadow {
    store: Store,
    queue: QueueId,
    ready: Arc<Ready>,
    /// The report that it could not rate, and why: it is not asked the same again.
    stopped: Option<(JournalSeq, PluginFault)>,
}

/// What one step of a shadow came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShadowStep {
    /// Reports were rated, and there are more.
    Advanced(ReplayProgress),
    /// Every report of the queue is rated, up to this entry.
    CaughtUp(JournalSeq),
    /// The engine cannot rate this report. What came before is rated.
    Stopped {
        /// Which.
        seq: JournalSeq,
        /// How it failed.
        fault: PluginFault,
    },
    /// Somebody else moved the generation meanwhile: an installation, or a report that was skipped. Nothing was stored.
    Overtaken,
    /// The engine rates for the players: there is nothing to do in its shadow.
    Active,
    /// No such queue.
    UnknownQueue,
}

/// What the running host says about one shadow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowState {
    /// The queue's name.
    pub queue: String,
    /// The shadow's name: no other of the queue has it.
    pub name: String,
    /// What it would be.
    pub role: PluginRole,
    /// Its component.
    pub digest: Digest,
    /// How far a rating engine is; `None`: it has rated everything, or it is a policy.
    pub behind: Option<ReplayProgress>,
    /// Why it does nothing more.
    pub problem: Option<String>,
}

/// How far the generation of an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationProgress {
    /// Which.
    pub generation: GenerationId,
    /// Whether it is the one that players see.
    pub active: bool,
    /// Every entry up to here was looked at.
    pub through: JournalSeq,
    /// The last report of the queue; 0 if there is none.
    pub last_report: JournalSeq,
}

/// What a step starts from, in one snapshot.
struct Start {
    generation: GenerationId,
    revision: u64,
    after: JournalSeq,
    /// Reports that operators gave up, of all queues.
    skipped: u64,
    head: JournalSeq,
    reports: Vec<Due>,
    /// Whether no report and no season of the queue comes after them.
    complete: bool,
    /// No report stands before the season that starts next: the next of the players whom it resets.
    season: Option<(Season, Batch)>,
    standings: HashMap<PlayerId, Standing>,
    memory: Vec<u8>,
}

/// What a step computed; nothing of it is stored yet.
struct Work {
    through: JournalSeq,
    rated: Vec<(JournalSeq, ReportFacts, Vec<RatingChange>, Option<Prediction>)>,
    standings: HashMap<PlayerId, Standing>,
    memory: Vec<u8>,
    fault: Option<(JournalSeq, PluginFault)>,
}

enum Found {
    Start(Box<Start>),
    Active,
    /// It has to be made, or taken up again.
    Missing,
}

impl Store {
    /// A shadow of a queue; nothing is rated before [`Shadow::advance`].
    ///
    /// # Errors
    /// The plugin's fault: it cannot even say where players start.
    pub fn shadow(&self, queue: QueueId, engine: Arc<dyn RatingEngine>) -> Result<Shadow, PluginFault> {
        let (rating, visible) = engine.initial()?;
        let ready = Arc::new(Ready { queue, engine, initial: Standing::initial(rating, visible) });
        Ok(Shadow { store: self.clone(), queue, ready, stopped: None })
    }

    /// Lays aside every generation of a queue that is being built and is none of `kept`, by digest and parameters. It stays for a while, as
    /// one that was active does.
    pub fn lay_shadows_aside(&self, queue: QueueId, kept: Vec<(Digest, String)>) -> Pending<()> {
        self.write(move |connection| {
            let mut find = connection
                .prepare_cached("SELECT generation, engine_digest, parameters FROM generations WHERE queue = ?1 AND state = 1")?;
            let building = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, (column::digest(row, 1)?, row.get::<_, String>(2)?)));
            let building: Vec<_> = find.query_map([column::sql(queue.0)], building)?.collect::<Result<_, _>>()?;
            let mut lay_aside = connection.prepare_cached("UPDATE generations SET state = 3 WHERE generation = ?1")?;
            for (generation, _) in building.iter().filter(|(_, engine)| !kept.contains(engine)) {
                lay_aside.execute([generation])?;
            }
            Ok(())
        })
    }

    /// How far the generation of an engine is; `None`: it has none.
    pub fn generation_progress(&self, queue: QueueId, digest: Digest, parameters: String) -> Pending<Option<GenerationProgress>> {
        self.read_public(move |connection| {
            let mut find = connection.prepare_cached(
                "SELECT generation, state, rated_through,
                        (SELECT coalesce(max(seq), 0) FROM journal WHERE queue = ?1 AND kind IN (1, 3))
                 FROM generations WHERE queue = ?1 AND engine_digest = ?2 AND parameters = ?3 AND state <> 4 ORDER BY state = 2 DESC LIMIT 1",
            )?;
            let progress = |row: &Row<'_>| {
                let last_report = JournalSeq(column::number(row, 3)?);
                Ok(GenerationProgress {
                    generation: GenerationId(column::number(row, 0)?),
                    active: row.get::<_, u8>(1)? == generations::ACTIVE,
                    through: column::number_option(row, 2)?.map_or(last_report, JournalSeq),
                    last_report,
                })
            };
            Ok(find.query_row(params![column::sql(queue.0), digest.0, parameters], progress).optional()?)
        })
    }

    /// Forgets what a host said about the shadows of a queue that are none of these.
    pub fn keep_shadow_states(&self, queue: String, names: Vec<String>) -> Pending<()> {
        self.write(move |connection| {
            let mut find = connection.prepare_cached("SELECT name FROM shadow_states WHERE queue = ?1")?;
            let known: Vec<String> = find.query_map([&queue], |row| row.get(0))?.collect::<Result<_, _>>()?;
            let mut forget = connection.prepare_cached("DELETE FROM shadow_states WHERE queue = ?1 AND name = ?2")?;
            for name in known.iter().filter(|name| !names.contains(name)) {
                forget.execute(params![queue, name])?;
            }
            Ok(())
        })
    }

    /// Remembers what became of a shadow.
    pub fn note_shadow_state(&self, state: ShadowState) -> Pending<()> {
        self.write(move |connection| {
            let ShadowState { queue, name, role, digest, behind, problem } = state;
            let through = behind.map(|behind| column::sql(behind.through.0));
            let head = behind.map(|behind| column::sql(behind.head.0));
            let mut note = connection.prepare_cached("INSERT OR REPLACE INTO shadow_states VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
            note.execute(params![queue, name, role as u8, digest.0, through, head, problem])?;
            Ok(())
        })
    }

    /// What the running host, or the last one, said about its shadows, by queue and name.
    pub fn list_shadow_states(&self) -> Pending<Vec<ShadowState>> {
        self.read_public(|connection| {
            let mut list = connection
                .prepare_cached("SELECT queue, name, role, digest, through, head, problem FROM shadow_states ORDER BY queue, name")?;
            let states = list.query_and_then([], |row| {
                let through = column::number_option(row, 4)?.map(JournalSeq);
                let behind =
                    through.zip(column::number_option(row, 5)?).map(|(through, head)| ReplayProgress { through, head: JournalSeq(head) });
                let role =
                    PluginRole::from_number(row.get(2)?).ok_or_else(|| StoreError::corrupt("a shadow has an unknown role".to_owned()))?;
                let (queue, name, digest, problem) = (row.get(0)?, row.get(1)?, column::digest(row, 3)?, row.get(6)?);
                Ok(ShadowState { queue, name, role, digest, behind, problem })
            })?;
            states.collect()
        })
    }
}

impl Shadow {
    /// Rates up to [`SHADOW_REPORTS_PER_STEP`] reports; if it is far behind, as many as it can in some seconds, in memory. Blocks for reading, rating and writing: for a thread of its own.
    ///
    /// # Errors
    /// The environment's fault: nothing of the step is stored.
    pub fn advance(&mut self, now: UnixMillis) -> Result<ShadowStep, StoreError> {
        if self.stopped.is_none() {
            let began = Instant::now();
            let goes_on = || began.elapsed() < BUILT_PER_STEP;
            rebuild(&self.store, &self.ready, now, Caller { progress: &mut |_| (), goes_on: &goes_on })?;
        }
        let start = match self.start()? {
            Found::Start(start) => start,
            Found::Active => return Ok(ShadowStep::Active),
            Found::Missing => {
                let (queue, initial) = (self.queue, self.ready.initial.clone());
                let (digest, parameters) = (self.ready.engine.digest(), self.ready.engine.parameters().to_owned());
                let make = move |connection: &Connection| {
                    if is_active(connection, queue, digest, &parameters)? {
                        return Ok(Some(()));
                    }
                    let revision = counted::newest_revision(connection, queue)?;
                    let made = generations::find_or_insert_building(connection, queue, revision, (digest, &parameters), &initial, now)?;
                    Ok(made.map(|_| ()))
                };
                let known = self.store.write(make).wait()?;
                return Ok(known.map_or(ShadowStep::UnknownQueue, |()| ShadowStep::Overtaken));
            }
        };
        if let Start { generation, revision, after, skipped, head, season: Some((season, batch)), .. } = *start {
            return self.reset((generation, revision), (after, skipped), head, season, batch);
        }
        let complete = start.complete;
        let (generation, after, skipped, head) = ((start.generation, start.revision), start.after, start.skipped, start.head);
        let mut work = self.rate(*start);
        if complete && work.fault.is_none() && head.0 > work.through.0.saturating_add(ENTRIES_PASSED_MAX) {
            // The snapshot in which no other report of the queue was found ends there.
            work.through = head;
        }
        let (through, fault) = (work.through, work.fault.clone());
        if through > after {
            let stored = self.store.write(move |connection| store_work(connection, generation, after, skipped, work)).wait()?;
            if !stored {
                return Ok(ShadowStep::Overtaken);
            }
        }
        Ok(match fault {
            Some((seq, fault)) => ShadowStep::Stopped { seq, fault },
            None if complete => ShadowStep::CaughtUp(through),
            None => ShadowStep::Advanced(ReplayProgress { through, head }),
        })
    }

    fn start(&self) -> Result<Found, StoreError> {
        let (queue, digest, parameters) = (self.queue, self.ready.engine.digest(), self.ready.engine.parameters().to_owned());
        self.store.read_public(move |connection| find_start(connection, queue, digest, &parameters)).wait()
    }

    /// One batch of a season's reset.
    fn reset(
        &mut self,
        (generation, revision): (GenerationId, u64),
        (after, skipped): (JournalSeq, u64),
        head: JournalSeq,
        season: Season,
        batch: Batch,
    ) -> Result<ShadowStep, StoreError> {
        let seq = season.seq;
        let reset = match batch.reset(self.ready.engine.as_ref(), &season) {
            Ok(reset) => reset,
            Err(fault) => return Ok(ShadowStep::Stopped { seq, fault }),
        };
        let store = move |connection: &Connection| {
            if !is_as_it_was(connection, (generation, revision), after, skipped)? {
                return Ok(None);
            }
            let stored = batch.store(connection, generation, &season, &reset)?;
            if stored == Some(true) {
                generations::set_rated_through(connection, generation, Some(season.seq))?;
            }
            Ok(stored)
        };
        Ok(match self.store.write(store).wait()? {
            None => ShadowStep::Overtaken,
            Some(true) => ShadowStep::Advanced(ReplayProgress { through: seq, head }),
            Some(false) => ShadowStep::Advanced(ReplayProgress { through: after, head }),
        })
    }

    /// Rates in memory until a report faults.
    fn rate(&mut self, start: Start) -> Work {
        let Start { after, reports, standings, memory, .. } = start;
        let mut work = Work { through: after, rated: Vec::new(), standings, memory, fault: None };
        let mut touched = HashMap::new();
        for Due { at, seq, facts } in reports {
            if facts.disposition == Disposition::Ratable {
                match self.rate_one(seq, &facts, &work) {
                    Ok(step) => {
                        let players = || facts.players.iter().map(|player| player.player);
                        work.standings.extend(players().zip(step.standings.iter().cloned()));
                        touched.extend(players().zip(step.standings));
                        work.memory = step.memory;
                        work.rated.push((seq, facts, step.changes, step.prediction));
                    }
                    Err(fault) => {
                        work.fault = Some((seq, fault));
                        break;
                    }
                }
            }
            work.through = at;
        }
        work.standings = touched;
        work
    }

    fn rate_one(&mut self, seq: JournalSeq, facts: &ReportFacts, work: &Work) -> Result<crate::rating::Step, PluginFault> {
        if let Some((_, fault)) = self.stopped.as_ref().filter(|(stopped, _)| *stopped == seq) {
            return Err(fault.clone());
        }
        let standing = |player: &PlayerId| work.standings.get(player).unwrap_or(&self.ready.initial).clone();
        let before = facts.players.iter().map(|player| standing(&player.player)).collect();
        let rated = step(self.ready.engine.as_ref(), &work.memory, facts, before, true);
        self.stopped = match &rated {
            // A deadline is the machine's time: on another day the same call may be in time.
            Ok(_) | Err(PluginFault::Deadline { .. }) => None,
            Err(fault) => Some((seq, fault.clone())),
        };
        rated
    }
}

fn is_active(connection: &Connection, queue: QueueId, digest: Digest, parameters: &str) -> Result<bool, StoreError> {
    let mut find = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM generations WHERE queue = ?1 AND engine_digest = ?2 AND parameters = ?3 AND state = 2)",
    )?;
    Ok(find.query_row(params![column::sql(queue.0), digest.0, parameters], |row| row.get(0))?)
}

fn find_start(connection: &Connection, queue: QueueId, digest: Digest, parameters: &str) -> Result<Found, StoreError> {
    if is_active(connection, queue, digest, parameters)? {
        return Ok(Found::Active);
    }
    let mut find = connection.prepare_cached(
        "SELECT generation, coalesce(rated_through, 0) FROM generations
         WHERE queue = ?1 AND engine_digest = ?2 AND parameters = ?3 AND state = ?4 AND revision = ?5",
    )?;
    let found = |row: &Row<'_>| Ok((GenerationId(column::number(row, 0)?), JournalSeq(column::number(row, 1)?)));
    let revision = counted::newest_revision(connection, queue)?;
    let key = params![column::sql(queue.0), digest.0, parameters, BUILDING, column::sql(revision)];
    let Some((generation, after)) = find.query_row(key, found).optional()? else { return Ok(Found::Missing) };
    let Stretch { reports, season, last } = seasons::load_stretch(connection, queue, revision, after, SHADOW_REPORTS_PER_STEP)?;
    let season = match season.filter(|_| reports.is_empty()) {
        Some(season) => {
            let batch = Batch::load(connection, generation, &season)?;
            Some((season, batch))
        }
        None => None,
    };
    let mut standings = HashMap::new();
    for player in reports.iter().flat_map(|due| &due.facts.players) {
        if let Some(standing) = standings::find_standing(connection, generation, player.player)? {
            standings.insert(player.player, standing);
        }
    }
    Ok(Found::Start(Box::new(Start {
        generation,
        revision,
        after,
        skipped: count_skipped(connection)?,
        head: journal::head(connection)?.map_or(JournalSeq(0), |(seq, _)| seq),
        memory: standings::load_memory(connection, generation)?,
        reports,
        complete: last,
        season,
        standings,
    })))
}

/// Whether a generation is as it was when a step began.
fn is_as_it_was(
    connection: &Connection,
    (generation, revision): (GenerationId, u64),
    after: JournalSeq,
    skipped: u64,
) -> Result<bool, StoreError> {
    let mut is_same = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM generations WHERE generation = ?1 AND state = ?2 AND rated_through = ?3 AND revision = ?4)",
    )?;
    let found = params![column::sql(generation.0), BUILDING, column::sql(after.0), column::sql(revision)];
    let is_same: bool = is_same.query_row(found, |row| row.get(0))?;
    Ok(is_same && count_skipped(connection)? == skipped)
}

/// Stores a step; `false`: the generation is not as it was when the step began.
fn store_work(
    connection: &Connection,
    (generation, revision): (GenerationId, u64),
    after: JournalSeq,
    skipped: u64,
    work: Work,
) -> Result<bool, StoreError> {
    if !is_as_it_was(connection, (generation, revision), after, skipped)? {
        return Ok(false);
    }
    for (player, standing) in &work.standings {
        standings::put_standing(connection, generation, *player, standing)?;
    }
    for (seq, facts, changes, prediction) in &work.rated {
        standings::write_changes(connection, generation, *seq, facts, changes, prediction.as_ref())?;
    }
    standings::write_memory(connection, generation, &work.memory)?;
    generations::set_rated_through(connection, generation, Some(work.through))?;
    Ok(true)
}
