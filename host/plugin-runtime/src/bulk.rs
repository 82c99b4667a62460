//! The optional bulk interface of a rating engine: thousands of contests in one call, in columns.
//!
//! ```text
//! journal --chunks--> gather the players of a chunk -> one call -> check every column -> put the players back
//!                                                          \-> sometimes: one contest of it again through `rate`, bit for bit
//! ```
//! An instance is reused from chunk to chunk and kept between calls. The contract forbids it to remember anything; that it keeps to the
//! contract is what the samples look at.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ladder::bulk::{BulkRatingEngine, Cohort, Columns, Declined, Journal, Outcome, Trace};
use ladder::fault::PluginFault;
use ladder::rating::{PLAYER_MEMORY_BYTES_MAX, QUEUE_MEMORY_BYTES_MAX, RatingEngine};
use wasmtime::Store;

use crate::bindings::bulk::exports::ranked::plugin::rating_engine_bulk as wit;
use crate::bindings::bulk::{Bulk as Exports, BulkIndices};
use crate::error::LoadError;
use crate::guest::Guest;
use crate::limits::{Limits, MEMORY_BYTES_CEILING, OUTPUT_BYTES_CEILING};
use crate::rating::RatingPlugin;
use crate::runtime::Prepared;
use crate::service::{Service, Stop, WarmPermit, bad_output};

/// Contests of one call at most: what a call needs stays in the processor's second-level cache.
const CHUNK_CONTESTS_MAX: usize = 1024;
/// Entrants, and likewise statistics, of one call at most, unless a single contest has more.
const CHUNK_ENTRANTS_MAX: usize = 16_384;
const CHUNK_STATS_MAX: usize = 131_072;
/// Memory that a bulk call may use beyond that of a live one: for its columns and for what the engine remembers of the players.
const COLUMNS_BYTES_MAX: u64 = 128 << 20;
/// Fuel of a bulk call at most, however many contests it has.
const CALL_FUEL_MAX: u64 = 20_000_000_000;
/// Wall-clock backstop of a bulk call at most, in milliseconds.
const CALL_DEADLINE_MS_MAX: u64 = 10_000;
/// Every so many contests one is compared with `rate`; the first call always is.
const SAMPLE_CONTESTS: u64 = 1 << 16;

/// The bulk side of a rating plugin.
pub(crate) struct BulkPart {
    exports: BulkIndices,
    warm: Mutex<Option<Warm>>,
    /// Contests since loading: decides which of them are compared.
    contests: AtomicU64,
    distrusted: AtomicBool,
}

/// A configured instance that is kept between calls.
struct Warm {
    store: Store<Guest>,
    exports: Exports,
    _permit: WarmPermit,
}

impl BulkPart {
    /// `None`: the component does not export the interface.
    pub(crate) fn find(prepared: &Prepared, service: &Service) -> Result<Option<Self>, LoadError> {
        if prepared.pre.component().get_export_index(None, "ranked:plugin/rating-engine-bulk@1.0.0").is_none() {
            return Ok(None);
        }
        let exports = BulkIndices::new(&prepared.pre).map_err(|source| LoadError::Mismatch { source })?;
        prepared.compare_types(service, |store, instance| exports.load(store, instance))?;
        Ok(Some(Self::of(exports)))
    }

    fn of(exports: BulkIndices) -> Self {
        Self { exports, warm: Mutex::default(), contests: AtomicU64::new(0), distrusted: AtomicBool::new(false) }
    }

    /// The same interface with an instance and counts of its own.
    pub(crate) fn twin(&self) -> Self {
        Self::of(self.exports.clone())
    }

    /// Whether a sample came out otherwise than from `rate`: from then on the engine is asked one contest at a time.
    pub(crate) fn is_distrusted(&self) -> bool {
        self.distrusted.load(Ordering::Relaxed)
    }

    /// Which contest of a chunk is compared, if one is. Deterministic for a history of calls; nothing that the guest sees tells it.
    fn sample(&self, contests: usize) -> Option<usize> {
        let before = self.contests.fetch_add(contests as u64, Ordering::Relaxed);
        let due = before == 0 || before / SAMPLE_CONTESTS != (before + contests as u64) / SAMPLE_CONTESTS;
        // Fibonacci hashing: spreads consecutive counts over the chunk.
        let place = (before ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        due.then(|| (place % contests.max(1) as u64) as usize)
    }
}

impl RatingPlugin {
    /// The budget of a call over `entries` contests, line-ups or players, whose answer has `output_bytes` at least.
    pub(crate) fn bulk_limits(&self, entries: usize, output_bytes: u64) -> Limits {
        let live = *self.service().limits();
        let times = entries as u64 + 1;
        Limits {
            fuel_max: live.fuel_max.max(live.fuel_max.saturating_mul(times).min(CALL_FUEL_MAX)),
            memory_bytes_max: live.memory_bytes_max.saturating_add(COLUMNS_BYTES_MAX).min(MEMORY_BYTES_CEILING),
            deadline_ms_max: live.deadline_ms_max.max(live.deadline_ms_max.saturating_mul(times).min(CALL_DEADLINE_MS_MAX)),
            output_bytes_max: live.output_bytes_max.saturating_add(output_bytes).min(OUTPUT_BYTES_CEILING),
            ..live
        }
    }

    /// Runs `body` in the instance that is kept, or in a new one that is kept afterwards if one can be spared.
    fn call_bulk<R>(
        &self,
        limits: &Limits,
        function: &'static str,
        body: impl FnOnce(&mut Store<Guest>, &Exports) -> Result<R, Stop>,
    ) -> Result<R, PluginFault> {
        let service = self.service();
        service.admit()?;
        let Some(part) = self.bulk_part() else {
            return Err(PluginFault::BadOutput { place: function, problem: "the component does not export the bulk interface".to_owned() });
        };
        let kept = || part.warm.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out for the call: an instance that faulted answers nothing any more and is dropped.
        let taken = kept().take();
        let (warm, answer) = match taken {
            Some(mut warm) => {
                let answer = service.call_within(limits, function, &mut warm.store, |store| body(store, &warm.exports))?;
                (Some(warm), answer)
            }
            None => {
                let _slot = service.take_slot();
                let mut store = service.store_within(limits);
                let (exports, answer) = service.call_within(limits, function, &mut store, |store| {
                    let instance = self.prepared().start(service, store)?;
                    let exports = part.exports.load(&mut *store, &instance)?;
                    let answer = body(store, &exports)?;
                    Ok((exports, answer))
                })?;
                (service.keep_warm().map(|permit| Warm { store, exports, _permit: permit }), answer)
            }
        };
        if let Some(warm) = warm {
            kept().get_or_insert(warm);
        }
        Ok(answer)
    }
}

/// Reached through `RatingEngine::bulk`, which hands it out only if the component exports the interface.
impl BulkRatingEngine for RatingPlugin {
    fn rate_many(&self, memory: &[u8], cohort: Cohort, journal: &Journal, traced: bool) -> Result<Outcome, PluginFault> {
        let mut outcome = Outcome { cohort, memory: memory.to_vec(), ..Outcome::default() };
        let mut numbering = None;
        let mut from = 0;
        while from < journal.len() {
            let chunk = match Chunk::whole(journal, &mut outcome.cohort) {
                Some(whole) => whole,
                None => {
                    let numbering = numbering.get_or_insert_with(|| Numbering::new(outcome.cohort.len()));
                    Chunk::gather(journal, from, &outcome.cohort, numbering)
                }
            };
            let contests = chunk.journal.len();
            let sampled = self.bulk_part().and_then(|part| part.sample(contests));
            let answer = self.rate_chunk(&outcome.memory, &chunk, traced || sampled.is_some())?;
            if let Some(contest) = sampled {
                self.compare(&outcome.memory, &chunk, contest, &answer)?;
            }
            match &chunk.players {
                Some(players) => outcome.cohort.put_back(players, answer.cohort),
                None => outcome.cohort = answer.cohort,
            }
            outcome.memory = answer.memory;
            let later = |declined: &Declined| Declined { contest: declined.contest + from, ..*declined };
            outcome.declined.extend(answer.declined.iter().map(later));
            outcome.predicted.extend_from_slice(&answer.predicted);
            if traced {
                outcome.trace.mean.extend_from_slice(&answer.trace.mean);
                outcome.trace.uncertainty.extend_from_slice(&answer.trace.uncertainty);
                outcome.trace.visible.extend_from_slice(&answer.trace.visible);
            }
            from += contests;
        }
        Ok(outcome)
    }

    fn predict_many(&self, memory: &[u8], cohort: &Cohort, line_ups: &Journal) -> Result<Vec<f64>, PluginFault> {
        let mut predicted = Vec::new();
        let mut numbering = Numbering::new(cohort.len());
        let mut from = 0;
        while from < line_ups.len() {
            let chunk = Chunk::gather(line_ups, from, cohort, &mut numbering);
            let limits = self.bulk_limits(chunk.journal.len(), chunk.pairs() * 8);
            let answer = self.call_bulk(&limits, "predict-many", |store, exports| {
                let bulk = exports.ranked_plugin_rating_engine_bulk();
                let memories = Memories::of(&chunk.cohort);
                let answer = bulk.call_predict_many(store, memory, memories.lower(&chunk.cohort), line_ups_of(chunk.journal.columns()))?;
                check_predicted("predict-many", &answer, chunk.pairs())?;
                Ok(answer)
            })?;
            predicted.extend_from_slice(&answer);
            from += chunk.journal.len();
        }
        Ok(predicted)
    }

    fn visible_many(&self, cohort: &Cohort) -> Result<Vec<f64>, PluginFault> {
        let mut shown = Vec::with_capacity(cohort.len());
        let mut from = 0;
        while from < cohort.len() {
            let players: Vec<u32> = (from..cohort.len().min(from + CHUNK_ENTRANTS_MAX)).map(|player| player as u32).collect();
            let chunk = cohort.pick(&players);
            let limits = self.bulk_limits(players.len(), players.len() as u64 * 8);
            let mut answer = self.call_bulk(&limits, "visible-many", |store, exports| {
                let memories = Memories::of(&chunk);
                let answer = exports.ranked_plugin_rating_engine_bulk().call_visible_many(store, memories.lower(&chunk))?;
                check_column("visible-many", "visible", &answer, players.len(), |value| value.is_finite())?;
                Ok(answer)
            })?;
            shown.extend(answer.drain(..).map(without_negative_zero));
            from += players.len();
        }
        Ok(shown)
    }
}

impl RatingPlugin {
    fn rate_chunk(&self, memory: &[u8], chunk: &Chunk, traced: bool) -> Result<Outcome, PluginFault> {
        let limits = self.bulk_limits(chunk.journal.len(), chunk.output_bytes(traced));
        self.call_bulk(&limits, "rate-many", |store, exports| {
            let bulk = exports.ranked_plugin_rating_engine_bulk();
            let memories = Memories::of(&chunk.cohort);
            let (cohort, journal) = (memories.lower(&chunk.cohort), lowered(chunk.journal.columns()));
            let answer = bulk.call_rate_many(store, memory, cohort, journal, traced)?;
            checked(chunk, answer, traced)
        })
    }

    /// Rates one contest of a chunk again, alone and in a fresh instance, from the state that the contests before it left behind.
    fn compare(&self, memory: &[u8], chunk: &Chunk, contest: usize, answer: &Outcome) -> Result<(), PluginFault> {
        let before = match contest {
            0 => Outcome { cohort: chunk.cohort.clone(), memory: memory.to_vec(), ..Outcome::default() },
            _ => self.rate_chunk(memory, &chunk.head(contest), false)?,
        };
        let alone = chunk.journal.contest(contest, &before.cohort);
        let declined = answer.declined.iter().find(|declined| declined.contest == contest).map(|declined| declined.detail);
        let equal = match self.rate(&before.memory, &alone) {
            Ok(update) => {
                let traced = chunk
                    .journal
                    .entrants(contest)
                    .map(|at| [answer.trace.mean[at], answer.trace.uncertainty[at], answer.trace.visible[at]]);
                let rated = update.ratings.iter().zip(&update.visible).map(|(rating, &visible)| [rating.mean, rating.uncertainty, visible]);
                declined.is_none() && traced.map(|row| row.map(f64::to_bits)).eq(rated.map(|row| row.map(f64::to_bits)))
            }
            Err(PluginFault::Declined { detail }) => declined == Some(detail),
            Err(fault) => return Err(fault),
        };
        let problem = || format!("contest {contest} of {} came out otherwise than from `rate`", chunk.journal.len());
        if equal {
            return Ok(());
        }
        if let Some(part) = self.bulk_part() {
            part.distrusted.store(true, Ordering::Relaxed);
        }
        Err(self.service().blame("rate-many", problem()))
    }
}

/// Some contests of a journal with the players they name.
struct Chunk<'j> {
    journal: Cow<'j, Journal>,
    cohort: Cohort,
    /// By their number in the chunk: their number in the whole cohort. `None`: the chunk is the whole journal, and the numbers are those of
    /// the cohort.
    players: Option<Vec<u32>>,
}

/// The number that a player of the whole cohort has in the present chunk.
struct Numbering {
    /// The chunk that a player was seen in last, and his number in it: the upper and the lower half.
    seen: Vec<u64>,
    current: u32,
}

impl Numbering {
    fn new(players: usize) -> Self {
        Self { seen: vec![0; players], current: 0 }
    }

    /// Begins a chunk that names up to `entrants` players; they are numbered from 0, in the order in which they are asked for.
    fn of_chunk(&mut self, entrants: usize) -> ChunkNumbering<'_> {
        self.current += 1;
        // One more than there can be players: the next free place is always there to write to.
        ChunkNumbering { seen: &mut self.seen, current: u64::from(self.current) << 32, players: vec![0; entrants + 1], next: 0 }
    }
}

struct ChunkNumbering<'n> {
    seen: &'n mut [u64],
    current: u64,
    players: Vec<u32>,
    next: u32,
}

impl ChunkNumbering<'_> {
    /// Whether a player was seen before is as good as chance, and a processor that guesses wrong loses more time than all else takes: so there
    /// is nothing to guess.
    fn number(&mut self, player: u32) -> u32 {
        let seen = &mut self.seen[player as usize];
        let is_new = *seen & !u64::from(u32::MAX) != self.current;
        // Cannot truncate: the lower half.
        let number = if is_new { self.next } else { *seen as u32 };
        *seen = self.current | u64::from(number);
        self.players[self.next as usize] = player;
        self.next += u32::from(is_new);
        number
    }

    fn into_players(mut self) -> Vec<u32> {
        self.players.truncate(self.next as usize);
        self.players
    }
}

impl<'j> Chunk<'j> {
    /// The whole of a journal that fits into one call, from a cohort that is hardly larger than what it names; the cohort is taken out.
    fn whole(journal: &'j Journal, cohort: &mut Cohort) -> Option<Self> {
        let columns = journal.columns();
        let fits = journal.len() <= CHUNK_CONTESTS_MAX
            && columns.entrant.len() <= CHUNK_ENTRANTS_MAX
            && columns.stat_value.len() <= CHUNK_STATS_MAX
            && cohort.len() <= columns.entrant.len();
        fits.then(|| Self { journal: Cow::Borrowed(journal), cohort: std::mem::take(cohort), players: None })
    }

    fn gather(journal: &'j Journal, from: usize, cohort: &Cohort, numbering: &mut Numbering) -> Self {
        let columns = journal.columns();
        let stats = |entrants: usize| entrants.checked_sub(1).map_or(0, |last| columns.stat_end[last] as usize);
        let start = journal.entrants(from).start;
        let fits = |&to: &usize| {
            let end = journal.entrants(to).end;
            end - start <= CHUNK_ENTRANTS_MAX && stats(end) - stats(start) <= CHUNK_STATS_MAX
        };
        let last = journal.len().min(from + CHUNK_CONTESTS_MAX);
        let to = (from + 1..last).find(|to| !fits(to)).unwrap_or(last);
        let mut numbering = numbering.of_chunk(journal.entrants(to - 1).end - start);
        let journal = Cow::Owned(journal.slice(from..to, |player| numbering.number(player)));
        let players = numbering.into_players();
        Self { journal, cohort: cohort.pick(&players), players: Some(players) }
    }

    /// The same with its first contests only; all players stay.
    fn head(&self, contests: usize) -> Self {
        let journal = Cow::Owned(self.journal.slice(0..contests, |player| player));
        Self { journal, cohort: self.cohort.clone(), players: self.players.clone() }
    }

    fn pairs(&self) -> u64 {
        (0..self.journal.len()).map(|contest| self.journal.pairs(contest) as u64).sum()
    }

    /// What a good answer has the host allocate, with all that the engine may want to remember.
    fn output_bytes(&self, traced: bool) -> u64 {
        let player = 8 + 8 + 4 + 8 + 4 + PLAYER_MEMORY_BYTES_MAX;
        let entrants = if traced { self.journal.columns().entrant.len() * 24 } else { 0 };
        (self.cohort.len() * player + self.journal.len() + entrants + QUEUE_MEMORY_BYTES_MAX) as u64 + self.pairs() * 8
    }
}

/// What the engine remembers of the players, flat.
struct Memories {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Memories {
    fn of(cohort: &Cohort) -> Self {
        if !cohort.has_memories() {
            return Self { bytes: Vec::new(), ends: vec![0; cohort.len()] };
        }
        let mut memories = Self { bytes: Vec::new(), ends: Vec::with_capacity(cohort.len()) };
        for player in 0..cohort.len() {
            memories.bytes.extend_from_slice(cohort.memory(player as u32));
            // Cannot truncate: a chunk's players have 1 KiB each at most.
            memories.ends.push(memories.bytes.len() as u32);
        }
        memories
    }

    fn lower<'a>(&'a self, cohort: &'a Cohort) -> wit::CohortParam<'a> {
        wit::CohortParam {
            mean: cohort.means(),
            uncertainty: cohort.uncertainties(),
            contests: cohort.contests(),
            last_at_s: cohort.last_at_s(),
            memory: &self.bytes,
            memory_end: &self.ends,
        }
    }
}

fn lowered(columns: &Columns) -> wit::Journal<'_> {
    wit::Journal {
        at_s: &columns.at_s,
        trust: &columns.trust,
        map_index: &columns.map_index,
        mode_index: &columns.mode_index,
        side: &columns.side,
        has_score: &columns.has_score,
        total_end: &columns.total_end,
        total_index: &columns.total_index,
        total_value: &columns.total_value,
        team_end: &columns.team_end,
        place: &columns.place,
        score: &columns.score,
        entrant_end: &columns.entrant_end,
        entrant: &columns.entrant,
        presence: &columns.presence,
        stat_end: &columns.stat_end,
        stat_index: &columns.stat_index,
        stat_value: &columns.stat_value,
    }
}

/// What a prediction may see: the columns of results stay here.
fn line_ups_of(columns: &Columns) -> wit::Journal<'_> {
    wit::Journal {
        trust: &[],
        has_score: &[],
        total_end: &[],
        total_index: &[],
        total_value: &[],
        place: &[],
        score: &[],
        presence: &[],
        stat_end: &[],
        stat_index: &[],
        stat_value: &[],
        ..lowered(columns)
    }
}

fn checked(chunk: &Chunk, answer: wit::Outcome, traced: bool) -> Result<Outcome, Stop> {
    const PLACE: &str = "rate-many";
    let wit::Outcome { cohort, memory, fault, predicted, trace } = answer;
    if memory.len() > QUEUE_MEMORY_BYTES_MAX {
        return Err(bad_output(PLACE, format!("remembers {} bytes of the queue, at most {QUEUE_MEMORY_BYTES_MAX}", memory.len())));
    }
    let declined = check_faults(&fault, chunk.journal.len())?;
    check_predicted(PLACE, &predicted, chunk.pairs())?;
    let entrants = if traced { chunk.journal.columns().entrant.len() } else { 0 };
    check_column(PLACE, "trace.mean", &trace.mean, entrants, |value| value.is_finite())?;
    check_column(PLACE, "trace.uncertainty", &trace.uncertainty, entrants, |value| value.is_finite() && value > 0.0)?;
    check_column(PLACE, "trace.visible", &trace.visible, entrants, |value| value.is_finite())?;
    let cohort = check_cohort(chunk, cohort, &fault)?;
    if traced {
        check_trace(chunk, &trace, &cohort)?;
    }
    let wit::Trace { mean, uncertainty, mut visible } = trace;
    visible.iter_mut().for_each(|value| *value = without_negative_zero(*value));
    Ok(Outcome { cohort, memory, declined, predicted, trace: Trace { mean, uncertainty, visible } })
}

/// What a contest left behind last is what is known afterwards. Samples look at the trace, and the cohort is what is kept.
fn check_trace(chunk: &Chunk, trace: &wit::Trace, after: &Cohort) -> Result<(), Stop> {
    let mut last = vec![None; after.len()];
    for contest in 0..chunk.journal.len() {
        for (&player, at) in chunk.journal.players(contest).iter().zip(chunk.journal.entrants(contest)) {
            last[player as usize] = Some(at);
        }
    }
    for (player, at) in last.into_iter().enumerate().filter_map(|(player, at)| Some((player, at?))) {
        let traced = [trace.mean[at].to_bits(), trace.uncertainty[at].to_bits()];
        if traced != [after.means()[player].to_bits(), after.uncertainties()[player].to_bits()] {
            return Err(bad_output("rate-many", format!("trace and cohort differ about player {player} of the call")));
        }
    }
    Ok(())
}

fn check_faults(faults: &[u8], contests: usize) -> Result<Vec<Declined>, Stop> {
    check_len("rate-many", "fault", faults.len(), contests)?;
    let mut declined = Vec::new();
    for (contest, &code) in faults.iter().enumerate().filter(|&(_, &code)| code != 0) {
        let detail = match code {
            1 => "unsupported-shape",
            2 => "out-of-range",
            _ => return Err(bad_output("rate-many", format!("fault {code} of contest {contest} is unknown"))),
        };
        declined.push(Declined { contest, detail });
    }
    Ok(declined)
}

/// Who played, how often and when, is known without the engine; what it says about others must not have changed.
fn check_cohort(chunk: &Chunk, cohort: wit::CohortResult, faults: &[u8]) -> Result<Cohort, Stop> {
    const PLACE: &str = "rate-many";
    let (before, players) = (&chunk.cohort, chunk.cohort.len());
    let wit::CohortResult { mean, uncertainty, contests, last_at_s, memory, memory_end } = cohort;
    check_column(PLACE, "cohort.mean", &mean, players, |value| value.is_finite())?;
    check_column(PLACE, "cohort.uncertainty", &uncertainty, players, |value| value.is_finite() && value > 0.0)?;
    let (mut played, mut last) = (before.contests().to_vec(), before.last_at_s().to_vec());
    for (contest, _) in faults.iter().enumerate().filter(|&(_, &fault)| fault == 0) {
        let at_s = chunk.journal.columns().at_s[contest];
        for &player in chunk.journal.players(contest) {
            played[player as usize] = played[player as usize].saturating_add(1);
            last[player as usize] = at_s;
        }
    }
    if contests != played || last_at_s != last {
        return Err(bad_output(PLACE, "counts other contests, or other times of the last one, than were rated"));
    }
    let untouched = |player: &usize| played[*player] == before.contests()[*player];
    let bits = |mean: f64, uncertainty: f64| [mean.to_bits(), uncertainty.to_bits()];
    let changed = |&player: &usize| bits(mean[player], uncertainty[player]) != bits(before.means()[player], before.uncertainties()[player]);
    if let Some(player) = (0..players).filter(untouched).find(changed) {
        return Err(bad_output(PLACE, format!("changed player {player} of the call, who played no rated contest")));
    }
    let memories = split_memories(&memory, &memory_end, players)?;
    let after = Cohort::from_columns(mean, uncertainty, contests, last_at_s, memories);
    let remembers_otherwise = |&player: &usize| after.memory(player as u32) != before.memory(player as u32);
    if let Some(player) = (0..players).filter(untouched).find(remembers_otherwise) {
        return Err(bad_output(PLACE, format!("changed the memory of player {player} of the call, who played no rated contest")));
    }
    Ok(after)
}

/// Flat memories apart again; none at all if nobody has one.
fn split_memories(bytes: &[u8], ends: &[u32], players: usize) -> Result<Vec<Vec<u8>>, Stop> {
    check_len("rate-many", "cohort.memory-end", ends.len(), players)?;
    let mut start = 0;
    let mut memories = Vec::new();
    for &end in ends {
        let memory = bytes.get(start..end as usize).filter(|memory| memory.len() <= PLAYER_MEMORY_BYTES_MAX);
        let Some(memory) = memory else {
            let problem = format!("the memory of a player goes from byte {start} to {end} of {}: at most 1 KiB each", bytes.len());
            return Err(bad_output("rate-many", problem));
        };
        if !bytes.is_empty() {
            memories.push(memory.to_vec());
        }
        start = end as usize;
    }
    check_len("rate-many", "cohort.memory", bytes.len(), start)?;
    Ok(memories)
}

fn check_predicted(place: &'static str, predicted: &[f64], pairs: u64) -> Result<(), Stop> {
    let pairs = usize::try_from(pairs).unwrap_or(usize::MAX);
    check_column(place, "predicted", predicted, pairs, |value| (0.0..=1.0).contains(&value))
}

fn check_column(place: &'static str, column: &str, values: &[f64], len: usize, sound: impl Fn(f64) -> bool) -> Result<(), Stop> {
    check_len(place, column, values.len(), len)?;
    match values.iter().position(|&value| !sound(value)) {
        Some(at) => Err(bad_output(place, format!("{column} {at} is {}", values[at]))),
        None => Ok(()),
    }
}

fn check_len(place: &'static str, column: &str, len: usize, expected: usize) -> Result<(), Stop> {
    if len == expected { Ok(()) } else { Err(bad_output(place, format!("{len} entries of {column}, expected {expected}"))) }
}

/// Nobody's leaderboard shows a negative zero.
fn without_negative_zero(value: f64) -> f64 {
    value + 0.0
}

#[cfg(test)]
mod tests {
    use ladder::rating::{Contest, Entrant, Rating, Setting};
    use ladder::time::UnixSeconds;

    use super::*;

    /// A duel of players 0 and 1; player 2 looks on in the same chunk, because a second duel of 1 and 2 was declined.
    fn chunk() -> Chunk<'static> {
        let (mut journal, mut cohort) = (Journal::default(), Cohort::default());
        let rating = Rating { mean: 25.0, uncertainty: 8.0, memory: Vec::new() };
        for _ in 0..3 {
            cohort.push(&rating, 4, UnixSeconds(50));
        }
        for players in [[0, 1], [1, 2]] {
            let entrants: Vec<Entrant> = (0..2).map(|team| cohort.entrant(players[usize::from(team)], team, UnixSeconds(60))).collect();
            let setting = Setting { at_s: UnixSeconds(60), ..Setting::default() };
            let contest = Contest { places: vec![0, 1], scores: Vec::new(), setting, totals: Vec::new(), trust: 1.0, entrants };
            journal.push(&contest, &players);
        }
        Chunk { journal: Cow::Owned(journal), cohort, players: None }
    }

    fn good() -> wit::Outcome {
        wit::Outcome {
            cohort: wit::CohortResult {
                mean: vec![26.0, 24.0, 25.0],
                uncertainty: vec![7.0, 7.0, 8.0],
                contests: vec![5, 5, 4],
                last_at_s: vec![60, 60, 50],
                memory: vec![9, 9],
                memory_end: vec![2, 2, 2],
            },
            memory: Vec::new(),
            fault: vec![0, 2],
            predicted: vec![0.5, 0.5],
            trace: wit::Trace { mean: vec![26.0, 24.0, 24.0, 25.0], uncertainty: vec![7.0, 7.0, 7.0, 8.0], visible: vec![-0.0; 4] },
        }
    }

    #[test]
    fn every_chunk_numbers_its_players_from_zero() {
        let mut numbering = Numbering::new(9);
        for (asked, numbers, players) in [
            (vec![7, 2, 7, 7, 0], vec![0, 1, 0, 0, 2], vec![7, 2, 0]),
            (vec![2, 8, 2], vec![0, 1, 0], vec![2, 8]),
            (vec![], vec![], vec![]),
        ] {
            let mut chunk = numbering.of_chunk(asked.len());
            assert_eq!(asked.iter().map(|&player| chunk.number(player)).collect::<Vec<_>>(), numbers);
            assert_eq!(chunk.into_players(), players);
        }
    }

    #[test]
    fn a_good_answer_is_taken_over() {
        let Ok(outcome) = checked(&chunk(), good(), true) else { panic!("it was refused") };
        assert_eq!(outcome.declined, [Declined { contest: 1, detail: "out-of-range" }]);
        assert_eq!((outcome.cohort.memory(0), outcome.cohort.memory(1)), ([9, 9].as_slice(), [].as_slice()));
        assert!(outcome.trace.visible.iter().all(|visible| visible.is_sign_positive()), "no negative zero");
    }

    #[test]
    fn each_bad_answer_is_refused_with_its_column() {
        type Spoil = fn(&mut wit::Outcome);
        let table: [(&str, Spoil); 18] = [
            ("fault", |answer| answer.fault.push(0)),
            ("fault 3", |answer| answer.fault[1] = 3),
            ("predicted", |answer| answer.predicted.truncate(1)),
            ("predicted", |answer| answer.predicted[0] = 1.01),
            ("predicted", |answer| answer.predicted[1] = f64::NAN),
            ("of the queue", |answer| answer.memory = vec![0; QUEUE_MEMORY_BYTES_MAX + 1]),
            ("cohort.mean", |answer| answer.cohort.mean[0] = f64::INFINITY),
            ("cohort.mean", |answer| answer.cohort.mean.push(1.0)),
            ("cohort.uncertainty", |answer| answer.cohort.uncertainty[1] = 0.0),
            ("counts other", |answer| answer.cohort.contests[0] = 4),
            ("counts other", |answer| answer.cohort.last_at_s[2] = 60),
            ("changed player 2", |answer| answer.cohort.mean[2] = 25.5),
            ("memory of a player", |answer| answer.cohort.memory_end = vec![2, 1, 2]),
            ("cohort.memory", |answer| answer.cohort.memory.push(1)),
            ("trace.visible", |answer| answer.trace.visible[3] = f64::NAN),
            ("trace.mean", |answer| answer.trace.mean.truncate(3)),
            ("trace and cohort differ about player 1", |answer| answer.trace.mean[2] = 24.5),
            ("memory of player 2", |answer| (answer.cohort.memory, answer.cohort.memory_end) = (vec![9; 4], vec![2, 2, 4])),
        ];
        for (expected, spoil) in table {
            let mut answer = good();
            spoil(&mut answer);
            match checked(&chunk(), answer, true) {
                Err(Stop::Fault(PluginFault::BadOutput { place: "rate-many", problem })) => {
                    assert!(problem.contains(expected), "{expected}: {problem}");
                }
                _ => panic!("{expected}: it was taken"),
            }
        }
    }

    #[test]
    fn a_trace_that_nobody_asked_for_is_refused() {
        assert!(checked(&chunk(), good(), false).is_err());
    }
}
