//! A queue's journal rated in memory: thousands of reports a call, and bit for bit what the live path makes of them.
//!
//! ```text
//! reader: entries -> columns (chunk n + 1)   |   this thread: chunk n -> engine -> standings in memory
//! ```
//! An engine without the bulk interface is asked contest by contest through the same loop. A contest that the engine does not rate ends the
//! replay exactly before it. If the bulk interface itself faults, the replay is worth nothing: what it said before may be wrong, too.
//!
//! Memory: per player some 60 bytes and what the engine remembers of the player, per archived standing of a season 60 bytes, and two chunks of
//! at most 8 MiB of payload each.

mod chunk;

use std::sync::Arc;

use ladder::bulk::{BulkRatingEngine, Cohort, Outcome, Trace};
use ladder::fault::PluginFault;
use ladder::id::{JournalSeq, PlayerId, QueueId};
use ladder::rating::{QUEUE_MEMORY_BYTES_MAX, Rating, RatingEngine};
use ladder::time::UnixSeconds;

use crate::error::StoreError;
use crate::rating::{Ending, Standing, ending};
use crate::season_reset::{Archived, BATCH};
use crate::seasons::Season;
use crate::{Pending, Store};
pub(crate) use chunk::{CHUNK_REPORTS_MAX, Chunk, Portion, Roster};

/// How a player's contests ended.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    wins: u32,
    losses: u32,
    draws: u32,
}

/// A generation in memory.
pub(crate) struct Replay {
    engine: Arc<dyn RatingEngine>,
    queue: QueueId,
    revision: u64,
    initial: Standing,
    /// By their number in the roster.
    players: Vec<PlayerId>,
    cohort: Cohort,
    tallies: Vec<Tally>,
    visible: Vec<f64>,
    /// Whether `visible` is behind `cohort`: the bulk interface says it for all players at the end.
    visible_behind: bool,
    memory: Vec<u8>,
    /// The last standings of every season that ended, by its number.
    archived: Vec<(u32, PlayerId, Archived)>,
    /// Every entry up to here was looked at.
    through: JournalSeq,
    reports: u64,
    /// The bulk interface is not asked any more.
    one_by_one: bool,
}

/// How a replay ended before its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stop {
    /// The engine does not rate this report.
    Fault(JournalSeq, PluginFault),
    /// The bulk interface faulted: begin again, one by one.
    Bulk(PluginFault),
    /// The caller wants no more.
    Asked,
}

/// What a generation stores.
pub(crate) struct Stored {
    pub(crate) memory: Vec<u8>,
    pub(crate) standings: Vec<(PlayerId, Standing)>,
    pub(crate) archived: Vec<(u32, PlayerId, Archived)>,
}

/// What one chunk came to.
struct Rated {
    /// Contests of it that were rated, from the first.
    contests: usize,
    /// What each left behind, if it was asked for.
    trace: Trace,
    /// What was predicted of each, if it was asked for and the engine could.
    predicted: Vec<Option<Vec<f64>>>,
    fault: Option<PluginFault>,
}

impl Rated {
    fn nothing() -> Self {
        Self { contests: 0, trace: Trace::default(), predicted: Vec::new(), fault: None }
    }
}

/// A chunk after it was rated, for whoever writes down what it changed.
pub(crate) struct Traced<'a> {
    /// By number in the roster.
    pub(crate) players: &'a [PlayerId],
    pub(crate) chunk: &'a Chunk,
    pub(crate) contests: usize,
    pub(crate) trace: &'a Trace,
    /// Per contest.
    pub(crate) predicted: Vec<Option<Vec<f64>>>,
    /// Before the chunk, by the chunk's numbers: mean, uncertainty, visible.
    pub(crate) before: Vec<[f64; 3]>,
}

impl Replay {
    /// A replay of a queue's revision from the start of the journal. `one_by_one`: without the bulk interface.
    pub(crate) fn new((queue, revision): (QueueId, u64), engine: Arc<dyn RatingEngine>, initial: Standing, one_by_one: bool) -> Self {
        Self {
            one_by_one: one_by_one || engine.bulk().is_none(),
            engine,
            queue,
            revision,
            initial,
            players: Vec::new(),
            cohort: Cohort::default(),
            tallies: Vec::new(),
            visible: Vec::new(),
            visible_behind: false,
            memory: Vec::new(),
            archived: Vec::new(),
            through: JournalSeq(0),
            reports: 0,
        }
    }

    /// Goes on from what is stored at entry `through`.
    pub(crate) fn resume(&mut self, through: JournalSeq, stored: Stored, roster: &mut Roster) {
        let Stored { memory, standings, archived } = stored;
        self.archived = archived;
        for (player, standing) in standings {
            roster.number(player);
            self.players.push(player);
            self.cohort.push(&standing.rating, standing.contests, standing.last_at.unwrap_or_default());
            self.tallies.push(Tally { wins: standing.wins, losses: standing.losses, draws: standing.draws });
            self.visible.push(standing.visible);
        }
        (self.through, self.memory) = (through, memory);
    }

    /// What comes next, up to entry `until`.
    pub(crate) fn next(&self, until: JournalSeq, reports_max: usize) -> Portion {
        Portion { queue: self.queue, revision: self.revision, after: self.through, until, reports_max }
    }

    /// Every entry up to here was looked at.
    pub(crate) fn through(&self) -> JournalSeq {
        self.through
    }

    /// Reports that were rated.
    pub(crate) fn reports(&self) -> u64 {
        self.reports
    }

    pub(crate) fn players(&self) -> &[PlayerId] {
        &self.players
    }

    /// What the engine remembers of the queue.
    pub(crate) fn memory(&self) -> &[u8] {
        &self.memory
    }

    /// The last standings of every season that ended, by its number.
    pub(crate) fn archived(&self) -> &[(u32, PlayerId, Archived)] {
        &self.archived
    }

    /// One player, by number in the roster; `None` for one who was named and not rated. Call [`Self::settle`] before.
    pub(crate) fn standing(&self, number: usize) -> Option<Standing> {
        // Cannot truncate: the roster numbers with 32 bits.
        let (contests, last_at) = self.cohort.played(number as u32);
        let Tally { wins, losses, draws } = self.tallies[number];
        let rating = self.cohort.rating(number as u32);
        (contests > 0).then(|| Standing { rating, visible: self.visible[number], contests, wins, losses, draws, last_at: Some(last_at) })
    }

    /// Asks the engine what people see of every player, if that is not known.
    pub(crate) fn settle(&mut self) -> Result<(), PluginFault> {
        if !self.visible_behind {
            return Ok(());
        }
        let engine = Arc::clone(&self.engine);
        let shown = bulk(engine.as_ref())?.visible_many(&self.cohort)?;
        let rated = self.visible.iter_mut().zip(shown).zip(self.cohort.contests()).filter(|(_, contests)| **contests > 0);
        rated.for_each(|((visible, shown), _)| *visible = shown);
        self.visible_behind = false;
        Ok(())
    }

    /// Rates a chunk that begins where this replay is.
    pub(crate) fn rate(&mut self, chunk: &Chunk) -> Option<Stop> {
        self.welcome(chunk);
        match self.rate_chunk(chunk, false) {
            Ok(rated) => self.conclude(chunk, &rated),
            Err(fault) => Some(Stop::Bulk(fault)),
        }
    }

    /// The same, and shows what every contest changed.
    pub(crate) fn rate_traced(&mut self, chunk: &Chunk, look: impl FnOnce(Traced<'_>)) -> Option<Stop> {
        self.welcome(chunk);
        let belief = |&number: &u32| {
            let number = number as usize;
            [self.cohort.means()[number], self.cohort.uncertainties()[number], self.visible[number]]
        };
        let before: Vec<[f64; 3]> = chunk.players.iter().map(belief).collect();
        let mut rated = match self.rate_chunk(chunk, true) {
            Ok(rated) => rated,
            Err(fault) => return Some(Stop::Bulk(fault)),
        };
        let predicted = std::mem::take(&mut rated.predicted);
        look(Traced { players: &self.players, chunk, contests: rated.contests, trace: &rated.trace, predicted, before });
        self.conclude(chunk, &rated)
    }

    fn conclude(&mut self, chunk: &Chunk, rated: &Rated) -> Option<Stop> {
        self.reports += rated.contests as u64;
        match &rated.fault {
            None => match &chunk.season {
                Some(season) => self.start_season(season),
                None => {
                    self.through = chunk.through;
                    None
                }
            },
            Some(fault) => {
                let at = chunk.turns[rated.contests].at;
                self.through = JournalSeq(at.0 - 1);
                Some(Stop::Fault(chunk.turns[rated.contests].seq, fault.clone()))
            }
        }
    }

    /// Archives every standing as it was shown, and resets it: batch by batch, in the order of the players, as a stored generation is.
    fn start_season(&mut self, season: &Season) -> Option<Stop> {
        self.through = JournalSeq(season.seq.0 - 1);
        if let Err(fault) = self.settle() {
            return Some(Stop::Bulk(fault));
        }
        let engine = Arc::clone(&self.engine);
        let mut numbers: Vec<usize> = (0..self.players.len()).filter(|&number| self.cohort.contests()[number] > 0).collect();
        numbers.sort_unstable_by_key(|&number| self.players[number]);
        let mut changed = Vec::with_capacity(numbers.len());
        for numbers in numbers.chunks(BATCH) {
            let batch: Vec<Standing> = numbers.iter().filter_map(|&number| self.standing(number)).collect();
            let reset = match season.reset(engine.as_ref(), &batch) {
                Ok(reset) => reset,
                // Nobody is reset: what is stored now is as before the season, and may be reset again.
                Err(fault) => return Some(Stop::Fault(season.seq, fault)),
            };
            changed.extend(numbers.iter().zip(&batch).zip(reset).map(|((&number, before), after)| (number, season.archive(before), after)));
        }
        let initial = self.initial.clone();
        for (number, archived, after) in changed {
            self.archived.extend(archived.map(|archived| (season.number - 1, self.players[number], archived)));
            self.set(number, after.as_ref().unwrap_or(&initial));
        }
        self.through = season.seq;
        None
    }

    fn set(&mut self, number: usize, standing: &Standing) {
        let Standing { rating, visible, contests, wins, losses, draws, last_at } = standing;
        let belief = (rating.mean, rating.uncertainty);
        // Cannot truncate: the roster numbers with 32 bits.
        self.cohort.set(number as u32, belief, *contests, last_at.unwrap_or_default(), &rating.memory);
        self.tallies[number] = Tally { wins: *wins, losses: *losses, draws: *draws };
        self.visible[number] = *visible;
    }

    /// Newcomers stand where everybody starts.
    fn welcome(&mut self, chunk: &Chunk) {
        for &player in &chunk.newcomers {
            self.players.push(player);
            self.cohort.push(&self.initial.rating, 0, UnixSeconds::default());
            self.tallies.push(Tally::default());
            self.visible.push(self.initial.visible);
        }
    }

    /// Rates the contests of a chunk up to the first that the engine does not rate.
    ///
    /// # Errors
    /// The bulk interface faulted: this replay is worth nothing.
    fn rate_chunk(&mut self, chunk: &Chunk, traced: bool) -> Result<Rated, PluginFault> {
        if self.one_by_one {
            return Ok(self.rate_one_by_one(chunk, traced));
        }
        let engine = Arc::clone(&self.engine);
        let outcome = bulk(engine.as_ref())?.rate_many(&self.memory, self.cohort.pick(&chunk.players), &chunk.journal, traced)?;
        let Some(&declined) = outcome.declined.first() else {
            return Ok(self.take(chunk, chunk.journal.len(), outcome, traced));
        };
        // The contests after it were rated as if it had never been: once more without them.
        let fault = Some(PluginFault::Declined { detail: declined.detail });
        if declined.contest == 0 {
            return Ok(Rated { fault, ..Rated::nothing() });
        }
        let before = chunk.journal.slice(0..declined.contest, |player| player);
        let outcome = bulk(engine.as_ref())?.rate_many(&self.memory, self.cohort.pick(&chunk.players), &before, traced)?;
        if !outcome.declined.is_empty() {
            return Err(PluginFault::BadOutput { place: "rate-many", problem: "declined other contests when asked again".into() });
        }
        Ok(Rated { fault, ..self.take(chunk, declined.contest, outcome, traced) })
    }

    fn take(&mut self, chunk: &Chunk, contests: usize, outcome: Outcome, traced: bool) -> Rated {
        let Outcome { cohort, memory, trace, predicted, .. } = outcome;
        let mut pairs = predicted.as_slice();
        let mut of_contest = |contest| {
            let (these, rest) = pairs.split_at_checked(chunk.journal.pairs(contest))?;
            pairs = rest;
            Some(these.to_vec())
        };
        let predicted = if traced { (0..contests).map(&mut of_contest).collect() } else { Vec::new() };
        self.cohort.put_back(&chunk.players, cohort);
        self.memory = memory;
        self.tally(chunk, contests);
        self.show(chunk, contests, &trace, traced);
        Rated { contests, trace, predicted, fault: None }
    }

    fn rate_one_by_one(&mut self, chunk: &Chunk, traced: bool) -> Rated {
        let mut rated = Rated::nothing();
        let mut cohort = self.cohort.pick(&chunk.players);
        for contest in 0..chunk.journal.len() {
            match self.rate_one(chunk, contest, &mut cohort, traced.then_some(&mut rated)) {
                Ok(()) => rated.contests += 1,
                Err(fault) => {
                    rated.fault = Some(fault);
                    break;
                }
            }
        }
        self.cohort.put_back(&chunk.players, cohort);
        self.tally(chunk, rated.contests);
        rated
    }

    fn rate_one(&mut self, chunk: &Chunk, contest: usize, cohort: &mut Cohort, traced: Option<&mut Rated>) -> Result<(), PluginFault> {
        let asked = chunk.journal.contest(contest, cohort);
        let (update, predicted) = match traced {
            Some(_) => self.engine.rate_and_predict(&self.memory, &asked)?,
            None => (self.engine.rate(&self.memory, &asked)?, None),
        };
        let sound = update.ratings.len() == asked.entrants.len()
            && update.visible.len() == asked.entrants.len()
            && update.ratings.iter().all(Rating::is_sound)
            && update.visible.iter().all(|shown| shown.is_finite())
            && update.memory.len() <= QUEUE_MEMORY_BYTES_MAX;
        if !sound {
            return Err(PluginFault::BadOutput { place: "rate", problem: "ratings or a memory that cannot be stored".into() });
        }
        let players = chunk.journal.players(contest);
        for (&player, (rating, &visible)) in players.iter().zip(update.ratings.iter().zip(&update.visible)) {
            let (contests, _) = cohort.played(player);
            cohort.set(player, (rating.mean, rating.uncertainty), contests.saturating_add(1), asked.setting.at_s, &rating.memory);
            self.visible[chunk.players[player as usize] as usize] = visible;
        }
        if let Some(Rated { trace, predicted: kept, .. }) = traced {
            kept.push(predicted);
            trace.mean.extend(update.ratings.iter().map(|rating| rating.mean));
            trace.uncertainty.extend(update.ratings.iter().map(|rating| rating.uncertainty));
            trace.visible.extend_from_slice(&update.visible);
        }
        self.memory = update.memory;
        Ok(())
    }

    /// What people see after a chunk that was rated in one call.
    fn show(&mut self, chunk: &Chunk, contests: usize, trace: &Trace, traced: bool) {
        if !traced {
            self.visible_behind |= contests > 0;
            return;
        }
        for contest in 0..contests {
            for (&player, at) in chunk.journal.players(contest).iter().zip(chunk.journal.entrants(contest)) {
                self.visible[chunk.players[player as usize] as usize] = trace.visible[at];
            }
        }
    }

    fn tally(&mut self, chunk: &Chunk, contests: usize) {
        for contest in 0..contests {
            let places = chunk.journal.places(contest);
            for (team, members) in chunk.journal.teams(contest).enumerate().map(|(team, at)| (team, chunk.journal.members(at))) {
                let ended = ending(places, places[team]);
                for &player in members {
                    let tally = &mut self.tallies[chunk.players[player as usize] as usize];
                    let count = match ended {
                        Ending::Won => &mut tally.wins,
                        Ending::Lost => &mut tally.losses,
                        Ending::Drawn => &mut tally.draws,
                    };
                    *count = count.saturating_add(1);
                }
            }
        }
    }
}

fn bulk(engine: &dyn RatingEngine) -> Result<&dyn BulkRatingEngine, PluginFault> {
    let withdrawn = || PluginFault::BadOutput { place: "rate-many", problem: "it came out otherwise than from `rate` before".into() };
    engine.bulk().ok_or_else(withdrawn)
}

/// Rates on until entry `until`. `look` sees the replay after every chunk and says whether it goes on. What was read in advance is lost with a
/// stop: the roster comes back only without one.
pub(crate) fn run(
    store: &Store,
    replay: &mut Replay,
    roster: Roster,
    until: JournalSeq,
    mut look: impl FnMut(&mut Replay) -> Result<bool, StoreError>,
) -> Result<Result<Roster, Stop>, StoreError> {
    if replay.through >= until {
        return Ok(Ok(roster));
    }
    let portion = replay.next(until, CHUNK_REPORTS_MAX);
    let read = move |after: JournalSeq, mut roster: Roster| -> Pending<(Chunk, Roster)> {
        let portion = Portion { after, ..portion };
        store.read_public(move |connection| Ok((Chunk::gather(connection, portion, &mut roster)?, roster)))
    };
    let mut coming = read(replay.through, roster);
    loop {
        let (chunk, roster) = coming.wait()?;
        // The next chunk is read while this one is rated.
        let (next, last) = if chunk.complete { (None, Some(roster)) } else { (Some(read(chunk.through, roster)), None) };
        if let Some(stop) = replay.rate(&chunk) {
            return Ok(Err(stop));
        }
        if !look(replay)? {
            return Ok(Err(Stop::Asked));
        }
        match (next, last) {
            (Some(next), _) => coming = next,
            (None, last) => return Ok(Ok(last.unwrap_or_default())),
        }
    }
}
