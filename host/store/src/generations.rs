//! Generations: projections of the journal by one rating engine with one set of parameters.
//!
//! ```text
//! building --caught up with the journal--> active --another engine--> retired --the same engine again--> building
//! ```
//!
//! Installing an engine, swapping it and rolling back are one operation: find or make the generation of this engine, catch up with the
//! journal in bounded steps while the old one serves, activate. A generation whose engine faults stops before the report that it cannot
//! rate; later reports of the queue are accepted and wait, so that the order of the journal stays the order of rating.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ladder::fault::PluginFault;
use ladder::id::{Digest, GenerationId, JournalSeq, MatchId, PlayerId, QueueId};
use ladder::journal::EntryKind;
use ladder::rating::{Rating, RatingEngine};
use ladder::report::{Disposition, ReportFacts};
use ladder::time::{UnixMillis, UnixSeconds};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::error::StoreError;
use crate::rating::{RatingChange, Standing, Step, Unrated, step};
use crate::reports::RatingState;
use crate::{Pending, Store, column, control, journal};

/// Reports that one transaction rates when it catches up.
pub const REPORTS_PER_STEP_MAX: u32 = 256;
/// After this time a transaction rates no further report: an engine may take long, and every report of a player waits for the one writer.
const STEP_TIME_MAX: Duration = Duration::from_millis(20);
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

/// The engine of the active generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveEngine {
    /// The generation.
    pub generation: GenerationId,
    /// SHA-256 of the component.
    pub digest: Digest,
    /// As canonical JSON.
    pub parameters: String,
    /// Whether reports of the queue wait to be rated.
    pub waits: bool,
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

/// What became of a queue's backlog.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RatedWaiting {
    /// What was rated, in journal order, with the match if it was one.
    pub rated: Vec<(JournalSeq, Option<MatchId>, Vec<RatingChange>)>,
    /// Whether reports still wait.
    pub waits: bool,
    /// The report at which the engine faulted again.
    pub fault: Option<(JournalSeq, PluginFault)>,
}

/// Why a report was not skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SkipRefusal {
    /// No such entry, or not a report.
    #[error("journal entry {seq} is not a report")]
    NotAReport {
        /// As asked for.
        seq: JournalSeq,
    },
    /// It does not wait: it was rated, is not to be rated, or was skipped before.
    #[error("the report at journal entry {seq} does not wait to be rated")]
    DoesNotWait {
        /// As asked for.
        seq: JournalSeq,
    },
}

/// The engines that this process can run, in the order in which they were asked for: the last one of a queue is the one that its operator
/// wants. Which of them is in force is decided by the database, by digest and parameters.
#[derive(Default)]
pub(crate) struct Engines(Mutex<Vec<Arc<Ready>>>);

/// An engine that said where players start.
struct Ready {
    queue: QueueId,
    engine: Arc<dyn RatingEngine>,
    initial: Standing,
}

impl Ready {
    fn is(&self, queue: QueueId, digest: Digest, parameters: &str) -> bool {
        self.queue == queue && self.engine.digest() == digest && self.engine.parameters() == parameters
    }
}

impl Engines {
    /// Adds an engine and returns the one that had the same digest and parameters, which it stands for from now on.
    fn add(&self, ready: &Arc<Ready>) -> Option<Arc<Ready>> {
        let mut engines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = engines.iter().position(|other| other.is(ready.queue, ready.engine.digest(), ready.engine.parameters()));
        let replaced = same.map(|position| engines.remove(position));
        engines.push(Arc::clone(ready));
        replaced
    }

    /// Takes an engine out that was not installed; the one that it replaced may be in force and comes back.
    fn give_up(&self, gone: &Arc<Ready>, replaced: Option<Arc<Ready>>) {
        let mut engines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(position) = engines.iter().position(|other| Arc::ptr_eq(other, gone)) else { return };
        engines.remove(position);
        if let Some(replaced) = replaced {
            engines.insert(position, replaced);
        }
    }

    /// Whether no other engine was asked for since.
    fn is_latest(&self, ready: &Arc<Ready>) -> bool {
        let engines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        engines.iter().rfind(|other| other.queue == ready.queue).is_some_and(|latest| Arc::ptr_eq(latest, ready))
    }

    /// Forgets the engines of the queue that were asked for before this one, which is in force now.
    fn forget_older(&self, in_force: &Arc<Ready>) {
        let mut engines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(position) = engines.iter().position(|other| Arc::ptr_eq(other, in_force)) else { return };
        let mut at = 0;
        engines.retain(|other| {
            let older = at < position && other.queue == in_force.queue;
            at += 1;
            !older
        });
    }

    fn find(&self, queue: QueueId, generation: &Generation) -> Result<Arc<Ready>, Unrated> {
        let engines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = engines.iter().find(|ready| ready.is(queue, generation.digest, &generation.parameters));
        match fits {
            Some(ready) => Ok(Arc::clone(ready)),
            None if engines.iter().any(|ready| ready.queue == queue) => Err(Unrated::OtherEngine),
            None => Err(Unrated::NoEngine),
        }
    }
}

/// The generation that is shown, or another one of the same queue.
pub(crate) struct Generation {
    pub(crate) id: GenerationId,
    pub(crate) digest: Digest,
    pub(crate) parameters: String,
    /// Entries after it are still to be rated; `None`: none are.
    pub(crate) rated_through: Option<JournalSeq>,
}

/// States of the table. The numbers are stored.
pub(crate) const BUILDING: u8 = 1;
pub(crate) const ACTIVE: u8 = 2;
const RETIRED: u8 = 3;
const ABANDONED: u8 = 4;

impl Store {
    pub(crate) fn engines(&self) -> Arc<Engines> {
        Arc::clone(&self.0.engines)
    }

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

    /// Rates up to `max` waiting reports of a queue (at most [`REPORTS_PER_STEP_MAX`]), in order, until one faults. A slow engine rates fewer,
    /// but at least one: ask again while some were rated and others still wait.
    pub fn rate_waiting(&self, queue: QueueId, max: u32) -> Pending<Result<RatedWaiting, Unrated>> {
        let engines = self.engines();
        self.write(move |connection| {
            let Some(generation) = find_active(connection, queue)? else { return Ok(Err(Unrated::NoEngine)) };
            let Some(after) = generation.rated_through else { return Ok(Ok(RatedWaiting::default())) };
            let ready = match engines.find(queue, &generation) {
                Ok(ready) => ready,
                Err(unrated) => return Ok(Err(unrated)),
            };
            let caught_up = catch_up(connection, generation.id, &ready, after, max.min(REPORTS_PER_STEP_MAX))?;
            set_rated_through(connection, generation.id, (!caught_up.complete).then_some(caught_up.through))?;
            note_raters(connection, queue, generation.id, (after, caught_up.through))?;
            Ok(Ok(RatedWaiting { rated: caught_up.rated, waits: !caught_up.complete, fault: caught_up.fault }))
        })
    }

    /// Gives up rating one waiting report, for every engine: writes that to the journal.
    pub fn skip_report(&self, seq: JournalSeq, why: impl Into<String>, now: UnixMillis) -> Pending<Result<JournalSeq, SkipRefusal>> {
        let why = why.into();
        self.write(move |connection| {
            let Some(facts) = journal::find_report(connection, seq)? else { return Ok(Err(SkipRefusal::NotAReport { seq })) };
            if !matches!(find_rating_state(connection, seq, &facts)?, RatingState::Waits(_)) {
                return Ok(Err(SkipRefusal::DoesNotWait { seq }));
            }
            let queue = facts.provenance.queue;
            let by = journal::append(connection, EntryKind::Skipped, queue, &journal::encode_skipped(seq, &why), now)?;
            let mut remember = connection.prepare_cached("INSERT INTO skipped_reports (seq, skipped_by) VALUES (?1, ?2)")?;
            remember.execute(params![column::sql(seq.0), column::sql(by.0)])?;
            // Generations that had rated it are no projection of this journal any more.
            let mut abandon = connection.prepare_cached(
                "UPDATE generations SET state = ?3 WHERE queue = ?1 AND state <> 2 AND coalesce(rated_through, ?2) >= ?2",
            )?;
            abandon.execute(params![column::sql(queue.0), column::sql(seq.0), ABANDONED])?;
            Ok(Ok(by))
        })
    }

    /// The rating engine that a queue's ratings come from, whether or not this process can run it.
    pub fn active_engine(&self, queue: QueueId) -> Pending<Option<ActiveEngine>> {
        self.read(move |connection| {
            let active = find_active(connection, queue)?;
            Ok(active.map(|Generation { id, digest, parameters, rated_through }| ActiveEngine {
                generation: id,
                digest,
                parameters,
                waits: rated_through.is_some(),
            }))
        })
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
    let ready = Arc::new(Ready { queue, engine, initial: Standing::initial(rating, visible) });
    let engines = store.engines();
    let mut replaced = engines.add(&ready);
    loop {
        if !engines.is_latest(&ready) {
            let leaving = Arc::clone(&ready);
            store.write(move |connection| lay_aside(connection, &leaving)).wait()?;
            engines.give_up(&ready, replaced.take());
            return Ok(Err(InstallRefusal::Superseded));
        }
        let builder = Arc::clone(&ready);
        match store.write(move |connection| build(connection, &builder, now)).wait() {
            Ok(Build::Active(installed)) => {
                engines.forget_older(&ready);
                return Ok(Ok(installed));
            }
            Ok(Build::More(so_far)) => progress(so_far),
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

/// What one step of building came to.
enum Build {
    Active(Installed),
    More(ReplayProgress),
    Refused(InstallRefusal),
}

/// One step: nothing to do, a few reports more, or the activation. Two processes that build the same generation help each other: how far it
/// is stands in the database.
fn build(connection: &Connection, ready: &Ready, now: UnixMillis) -> Result<Build, StoreError> {
    let queue = ready.queue;
    let active = find_active(connection, queue)?;
    if let Some(active) = &active
        && ready.is(queue, active.digest, &active.parameters)
    {
        let (generation, waits) = (active.id, active.rated_through.is_some());
        return Ok(Build::Active(Installed { generation, rebuilt: false, waits, released: Vec::new() }));
    }
    let engine = (ready.engine.digest(), ready.engine.parameters());
    let Some((generation, after)) = find_or_insert_building(connection, queue, engine, &ready.initial, now)? else {
        return Ok(Build::Refused(InstallRefusal::UnknownQueue { queue }));
    };
    let caught_up = catch_up(connection, generation, ready, after, REPORTS_PER_STEP_MAX)?;
    match caught_up.fault {
        Some((seq, fault)) if active.is_some() => return Ok(Build::Refused(InstallRefusal::Replay { seq, fault })),
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
            load_released(connection, queue, generation, waited_after)?
        }
        None => Vec::new(),
    };
    activate(connection, queue, generation, waits.then_some(caught_up.through), now)?;
    Ok(Build::Active(Installed { generation, rebuilt: true, waits, released }))
}

fn activate(
    connection: &Connection,
    queue: QueueId,
    generation: GenerationId,
    rated_through: Option<JournalSeq>,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let head = journal::head(connection)?.map_or(JournalSeq(0), |(seq, _)| seq);
    let mut retire = connection
        .prepare_cached("UPDATE generations SET state = ?3, rated_through = coalesce(rated_through, ?2) WHERE queue = ?1 AND state = 2")?;
    retire.execute(params![column::sql(queue.0), column::sql(head.0), RETIRED])?;
    let mut activate = connection.prepare_cached("UPDATE generations SET state = ?2, activated_at = ?3 WHERE generation = ?1")?;
    activate.execute(params![column::sql(generation.0), ACTIVE, column::sql_time(now)])?;
    set_rated_through(connection, generation, rated_through)?;
    control::bump(connection)?;
    Ok(())
}

/// The engine's own generation of the queue and how far it is; made if there is none. `None`: no such queue.
pub(crate) fn find_or_insert_building(
    connection: &Connection,
    queue: QueueId,
    (digest, parameters): (Digest, &str),
    initial: &Standing,
    now: UnixMillis,
) -> Result<Option<(GenerationId, JournalSeq)>, StoreError> {
    let (queue, digest) = (column::sql(queue.0), digest.0);
    let mut find = connection.prepare_cached(
        "UPDATE generations SET state = 1 WHERE queue = ?1 AND engine_digest = ?2 AND parameters = ?3 AND state IN (1, 3)
         RETURNING generation, coalesce(rated_through, 0)",
    )?;
    let found = |row: &Row<'_>| Ok((GenerationId(column::number(row, 0)?), JournalSeq(column::number(row, 1)?)));
    if let Some(found) = find.query_row(params![queue, digest, parameters], found).optional()? {
        return Ok(Some(found));
    }
    let mut known = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM queues WHERE queue = ?1)")?;
    if !known.query_row([queue], |row| row.get::<_, bool>(0))? {
        return Ok(None);
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO generations (queue, engine_digest, parameters, state, rated_through, initial_mean, initial_uncertainty,
                                  initial_visible, created_at)
         VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8) RETURNING generation",
    )?;
    let Standing { rating, visible, .. } = initial;
    let row = params![queue, digest, parameters, BUILDING, rating.mean, rating.uncertainty, visible, column::sql_time(now)];
    let generation = insert.query_row(row, |row| column::number(row, 0))?;
    Ok(Some((GenerationId(generation), JournalSeq(0))))
}

/// How far a generation came.
struct CaughtUp {
    rated: Vec<(JournalSeq, Option<MatchId>, Vec<RatingChange>)>,
    /// Every entry up to here was looked at.
    through: JournalSeq,
    /// Whether no report of the queue comes after it.
    complete: bool,
    fault: Option<(JournalSeq, PluginFault)>,
}

/// Rates up to `max` reports after `after`, in order, until one faults; fewer if [`STEP_TIME_MAX`] is over, but at least one.
fn catch_up(connection: &Connection, generation: GenerationId, ready: &Ready, after: JournalSeq, max: u32) -> Result<CaughtUp, StoreError> {
    let reports = journal::load_reports(connection, ready.queue, after, max)?;
    let complete = reports.len() < max as usize;
    let mut caught_up = CaughtUp { rated: Vec::new(), through: after, complete, fault: None };
    let began = Instant::now();
    for (seq, facts) in reports {
        if !caught_up.rated.is_empty() && began.elapsed() >= STEP_TIME_MAX {
            caught_up.complete = false;
            return Ok(caught_up);
        }
        if facts.disposition == Disposition::Ratable {
            match rate_one(connection, generation, ready, seq, &facts, false)? {
                Ok(step) => caught_up.rated.push((seq, facts.match_id, step.changes)),
                Err(fault) => {
                    caught_up.fault = Some((seq, fault));
                    caught_up.complete = false;
                    return Ok(caught_up);
                }
            }
        }
        caught_up.through = seq;
    }
    Ok(caught_up)
}

/// Matches whose reports had to wait are rated now, by this generation: those with reports after `after`, up to `through`, that no other
/// one rated.
fn note_raters(
    connection: &Connection,
    queue: QueueId,
    generation: GenerationId,
    (after, through): (JournalSeq, JournalSeq),
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "UPDATE matches SET rated_by = ?1 WHERE queue = ?2 AND report_seq > ?3 AND report_seq <= ?4 AND rated_by IS NULL AND EXISTS
             (SELECT 1 FROM match_players p JOIN rating_changes c ON c.generation = ?1 AND c.player = p.player AND c.seq = report_seq
              WHERE p.match_id = matches.match_id)",
    )?;
    statement.execute(params![column::sql(generation.0), column::sql(queue.0), column::sql(after.0), column::sql(through.0)])?;
    Ok(())
}

/// What a generation made of the matches that it rated first, after `after`.
fn load_released(
    connection: &Connection,
    queue: QueueId,
    generation: GenerationId,
    after: JournalSeq,
) -> Result<Vec<(MatchId, Vec<RatingChange>)>, StoreError> {
    let mut released = Vec::new();
    for (seq, facts) in journal::load_reports(connection, queue, after, RELEASED_TOLD_MAX)? {
        if let Some(match_id) = facts.match_id {
            let changes = load_changes(connection, generation, seq, &facts)?;
            released.extend((!changes.is_empty()).then_some((match_id, changes)));
        }
    }
    Ok(released)
}

/// What became of a report at the moment it was accepted.
pub(crate) struct Live {
    pub(crate) state: RatingState,
    pub(crate) predicted: Option<Vec<f64>>,
    /// Who rated it.
    pub(crate) rated_by: Option<GenerationId>,
}

impl Live {
    pub(crate) fn unrated(state: RatingState) -> Self {
        Self { state, predicted: None, rated_by: None }
    }

    fn waits(why: Unrated) -> Self {
        Self::unrated(RatingState::Waits(why))
    }
}

/// Rates a report at the moment it is accepted, or lets it and all that follow it wait.
pub(crate) fn rate_live(
    connection: &Connection,
    engines: &Engines,
    seq: JournalSeq,
    facts: &ReportFacts,
    predict: bool,
) -> Result<Live, StoreError> {
    let queue = facts.provenance.queue;
    let Some(generation) = find_active(connection, queue)? else { return Ok(Live::waits(Unrated::NoEngine)) };
    if generation.rated_through.is_some() {
        return Ok(Live::waits(Unrated::BehindOthers));
    }
    let unrated = match engines.find(queue, &generation) {
        Ok(ready) => match rate_one(connection, generation.id, &ready, seq, facts, predict)? {
            Ok(Step { changes, predicted, .. }) => {
                return Ok(Live { state: RatingState::Rated(changes), predicted, rated_by: Some(generation.id) });
            }
            Err(fault) => Unrated::Fault(fault),
        },
        Err(unrated) => unrated,
    };
    set_rated_through(connection, generation.id, Some(JournalSeq(seq.0 - 1)))?;
    Ok(Live::waits(unrated))
}

/// The active generation of a queue.
pub(crate) fn find_active(connection: &Connection, queue: QueueId) -> Result<Option<Generation>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT generation, engine_digest, parameters, rated_through FROM generations WHERE queue = ?1 AND state = 2")?;
    let generation = |row: &Row<'_>| {
        Ok(Generation {
            id: GenerationId(column::number(row, 0)?),
            digest: column::digest(row, 1)?,
            parameters: row.get(2)?,
            rated_through: column::number_option(row, 3)?.map(JournalSeq),
        })
    };
    Ok(statement.query_row([column::sql(queue.0)], generation).optional()?)
}

pub(crate) fn set_rated_through(connection: &Connection, generation: GenerationId, through: Option<JournalSeq>) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("UPDATE generations SET rated_through = ?2 WHERE generation = ?1")?;
    statement.execute(params![column::sql(generation.0), through.map(|seq| column::sql(seq.0))])?;
    Ok(())
}

/// Rates one report in one generation: reads what the step needs, computes it, stores what it gave. A fault stores nothing.
fn rate_one(
    connection: &Connection,
    generation: GenerationId,
    ready: &Ready,
    seq: JournalSeq,
    facts: &ReportFacts,
    predict: bool,
) -> Result<Result<Step, PluginFault>, StoreError> {
    let memory = load_memory(connection, generation)?;
    let mut before = Vec::with_capacity(facts.players.len());
    for player in &facts.players {
        before.push(find_standing(connection, generation, player.player)?.unwrap_or_else(|| ready.initial.clone()));
    }
    let step = match step(ready.engine.as_ref(), &memory, facts, before, predict) {
        Ok(step) => step,
        Err(fault) => return Ok(Err(fault)),
    };
    for (player, standing) in facts.players.iter().zip(&step.standings) {
        write_standing(connection, generation, player.player, standing)?;
    }
    write_changes(connection, generation, seq, facts, &step.changes)?;
    if step.memory != memory {
        write_memory(connection, generation, &step.memory)?;
    }
    Ok(Ok(step))
}

pub(crate) fn write_memory(connection: &Connection, generation: GenerationId, memory: &[u8]) -> Result<(), StoreError> {
    let mut write = connection.prepare_cached("INSERT OR REPLACE INTO queue_memories (generation, memory) VALUES (?1, ?2)")?;
    write.execute(params![column::sql(generation.0), memory])?;
    Ok(())
}

pub(crate) fn load_memory(connection: &Connection, generation: GenerationId) -> Result<Vec<u8>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT memory FROM queue_memories WHERE generation = ?1")?;
    Ok(statement.query_row([column::sql(generation.0)], |row| row.get(0)).optional()?.unwrap_or_default())
}

/// All standings of a generation, with the player at the end of each row; [`standing`] reads one.
pub(crate) const STANDING: &str =
    "SELECT mean, uncertainty, visible, contests, wins, losses, draws, last_at_s, memory, player FROM ratings WHERE generation = ?1";

pub(crate) fn standing(row: &Row<'_>) -> rusqlite::Result<Standing> {
    Ok(Standing {
        rating: Rating { mean: row.get(0)?, uncertainty: row.get(1)?, memory: row.get(8)? },
        visible: row.get(2)?,
        contests: row.get(3)?,
        wins: row.get(4)?,
        losses: row.get(5)?,
        draws: row.get(6)?,
        last_at: Some(UnixSeconds(row.get(7)?)),
    })
}

pub(crate) fn find_standing(connection: &Connection, generation: GenerationId, player: PlayerId) -> Result<Option<Standing>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{STANDING} AND player = ?2"))?;
    Ok(statement.query_row(params![column::sql(generation.0), column::sql(player.0)], standing).optional()?)
}

fn write_standing(connection: &Connection, generation: GenerationId, player: PlayerId, standing: &Standing) -> Result<(), StoreError> {
    // The first contest inserts; all others update, which looks at no foreign key.
    let sql = if standing.contests == 1 {
        "INSERT INTO ratings (generation, player, mean, uncertainty, visible, contests, wins, losses, draws, last_at_s, memory)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
    } else {
        "UPDATE ratings SET mean = ?3, uncertainty = ?4, visible = ?5, contests = ?6, wins = ?7, losses = ?8, draws = ?9,
         last_at_s = ?10, memory = ?11 WHERE generation = ?1 AND player = ?2"
    };
    let Standing { rating, visible, contests, wins, losses, draws, last_at } = standing;
    let at_s = last_at.unwrap_or_default().0;
    let (generation, player) = (column::sql(generation.0), column::sql(player.0));
    let row = params![generation, player, rating.mean, rating.uncertainty, visible, contests, wins, losses, draws, at_s, rating.memory];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

pub(crate) fn write_changes(
    connection: &Connection,
    generation: GenerationId,
    seq: JournalSeq,
    facts: &ReportFacts,
    changes: &[RatingChange],
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO rating_changes (generation, player, seq, match_id, at_s, place, mean_before, uncertainty_before, visible_before,
                                     mean, uncertainty, visible) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    let match_id = facts.match_id.map(|id| column::sql(id.0));
    for change in changes {
        statement.execute(params![
            column::sql(generation.0),
            column::sql(change.player.0),
            column::sql(seq.0),
            match_id,
            facts.provenance.at.0,
            change.place,
            change.mean_before,
            change.uncertainty_before,
            change.visible_before,
            change.mean,
            change.uncertainty,
            change.visible,
        ])?;
    }
    Ok(())
}

/// What became of the rating of a report, in the active generation.
pub(crate) fn find_rating_state(connection: &Connection, seq: JournalSeq, facts: &ReportFacts) -> Result<RatingState, StoreError> {
    let mut skipped = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM skipped_reports WHERE seq = ?1)")?;
    if facts.disposition != Disposition::Ratable || skipped.query_row([column::sql(seq.0)], |row| row.get(0))? {
        return Ok(RatingState::NotRatable);
    }
    let Some(generation) = find_active(connection, facts.provenance.queue)? else {
        return Ok(RatingState::Waits(Unrated::NoEngine));
    };
    if generation.rated_through.is_some_and(|through| through < seq) {
        return Ok(RatingState::Waits(Unrated::BehindOthers));
    }
    Ok(RatingState::Rated(load_changes(connection, generation.id, seq, facts)?))
}

/// What a report did to its players in one generation.
fn load_changes(
    connection: &Connection,
    generation: GenerationId,
    seq: JournalSeq,
    facts: &ReportFacts,
) -> Result<Vec<RatingChange>, StoreError> {
    let mut find = connection.prepare_cached(
        "SELECT place, mean_before, uncertainty_before, visible_before, mean, uncertainty, visible FROM rating_changes
         WHERE generation = ?1 AND player = ?2 AND seq = ?3",
    )?;
    let mut changes = Vec::with_capacity(facts.players.len());
    for player in &facts.players {
        let player = player.player;
        let change = |row: &Row<'_>| {
            Ok(RatingChange {
                player,
                place: row.get(0)?,
                mean_before: row.get(1)?,
                uncertainty_before: row.get(2)?,
                visible_before: row.get(3)?,
                mean: row.get(4)?,
                uncertainty: row.get(5)?,
                visible: row.get(6)?,
            })
        };
        let key = params![column::sql(generation.0), column::sql(player.0), column::sql(seq.0)];
        changes.extend(find.query_row(key, change).optional()?);
    }
    Ok(changes)
}
