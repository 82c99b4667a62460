//! Checking the ratings in force against the journal, and building them again from it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ladder::id::{GenerationId, JournalSeq, PlayerId, QueueId};
use ladder::rating::RatingEngine;
use rusqlite::Connection;

use crate::decisions::counted::newest_revision;
use crate::error::StoreError;
use crate::generations::find_active;
use crate::installation::{InstallRefusal, ReplayProgress};
use crate::rating::Standing;
use crate::replay::{CHUNK_REPORTS_MAX, Chunk, Portion, Replay, Roster, Stop, Traced, run};
use crate::standings::{load_change_rows, load_memory, load_standings};
use crate::{Store, journal, season_reset};

/// Differences that are listed.
pub const DIFFERENCES_LISTED_MAX: usize = 100;
/// How often a check begins again because the generation in force was exchanged meanwhile.
const ATTEMPTS_MAX: usize = 3;

/// One number that is not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Whose.
    pub player: PlayerId,
    /// Which: `mean`, `uncertainty`, `visible`, `contests`, `wins`, `losses`, `draws`, `last_at_s`, `memory`, or `standing` if one side has none.
    pub field: &'static str,
    /// As it was stored.
    pub stored: String,
    /// As the journal gives it.
    pub recomputed: String,
}

/// Standings on two sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Players on either side.
    pub players: u64,
    /// Players who differ in any bit.
    pub differing: u64,
    /// The first difference of each, by player; at most 100 are listed.
    pub listed: Vec<Difference>,
    /// Whether the engine's memory of the whole queue is the same.
    pub memory_equal: bool,
}

impl Differences {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.differing == 0 && self.memory_equal
    }
}

/// What a check of a queue's ratings gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RatingsCheck {
    /// The generation in force that was looked at.
    pub generation: GenerationId,
    /// The revision of the queue whose ratings these are.
    pub revision: u64,
    /// The newest revision that the journal knows; above `revision`, a decision is not in force yet.
    pub newest_revision: u64,
    /// Reports rated again.
    pub reports: u64,
    /// Entries up to here are rated in it.
    pub through: JournalSeq,
    /// What is stored beside what the journal gives.
    pub differences: Differences,
    /// The first report that changed a player who differs otherwise than is stored; `None`: none did, or the changes are not stored.
    pub first_report: Option<(JournalSeq, Difference)>,
}

/// Why the ratings of a queue were not checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckRefusal {
    /// The queue has no ratings yet.
    #[error("the queue has no ratings yet")]
    NothingInForce,
    /// The ratings in force are another engine's.
    #[error("the ratings in force are of another rating engine")]
    OtherEngine,
    /// A season's reset has come to some of the players.
    #[error("a season is being started: try again in a moment")]
    ResetUnderWay,
    /// The engine does not rate what it rated before.
    #[error(transparent)]
    Engine(#[from] InstallRefusal),
    /// The generation in force was exchanged again and again meanwhile.
    #[error("other ratings were put in force while these were checked")]
    Exchanged,
}

impl Store {
    /// Rates a queue's journal again in memory and compares the result, bit for bit, with the ratings in force. Blocks: for a thread of its
    /// own. The host may go on meanwhile.
    ///
    /// # Errors
    /// The environment's fault; refusals are the inner result.
    pub fn check_ratings(
        &self,
        queue: QueueId,
        engine: &Arc<dyn RatingEngine>,
        mut progress: impl FnMut(ReplayProgress),
    ) -> Result<Result<RatingsCheck, CheckRefusal>, StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            match self.check_once(queue, engine, &mut progress)? {
                Err(CheckRefusal::Exchanged) => {}
                answer => return Ok(answer),
            }
        }
        Ok(Err(CheckRefusal::Exchanged))
    }

    fn check_once(
        &self,
        queue: QueueId,
        engine: &Arc<dyn RatingEngine>,
        progress: &mut dyn FnMut(ReplayProgress),
    ) -> Result<Result<RatingsCheck, CheckRefusal>, StoreError> {
        let find = move |connection: &Connection| {
            Ok((find_active(connection, queue)?, journal::head(connection)?, newest_revision(connection, queue)?))
        };
        let (Some(active), head, newest_revision) = self.read_public(find).wait()? else { return Ok(Err(CheckRefusal::NothingInForce)) };
        if active.digest != engine.digest() || active.parameters != engine.parameters() {
            return Ok(Err(CheckRefusal::OtherEngine));
        }
        let head = head.map_or(JournalSeq(0), |(seq, _)| seq);
        let until = active.rated_through.unwrap_or(head);
        let (mut replay, mut roster) = match replay_through(self, (queue, active.revision), &Arc::default(), engine, until, |at| {
            progress(ReplayProgress { through: at, head })
        })? {
            Ok(replayed) => replayed,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let stored = loop {
            let (after, taken) = (replay.through(), std::mem::take(&mut roster));
            let id = active.id;
            let (found, back) = self.read_public(move |connection| find_stored(connection, queue, id, after, taken)).wait()?;
            roster = back;
            match found {
                Found::Exchanged => return Ok(Err(CheckRefusal::Exchanged)),
                Found::ResetUnderWay => return Ok(Err(CheckRefusal::ResetUnderWay)),
                Found::More(chunk) => {
                    if let Some(stop) = replay.rate(&chunk) {
                        return Ok(Err(refusal_of(stop).into()));
                    }
                }
                Found::Stored { chunk, stored } => {
                    if let Some(stop) = replay.rate(&chunk) {
                        return Ok(Err(refusal_of(stop).into()));
                    }
                    break stored;
                }
            }
        };
        if let Err(fault) = replay.settle() {
            return Ok(Err(InstallRefusal::Initial(fault).into()));
        }
        let differences = compare(&replay, stored);
        let first_report = self.find_first_report((queue, active.revision), engine, active.id, &differences, replay.through())?;
        let (reports, through) = (replay.reports(), replay.through());
        let (generation, revision) = (active.id, active.revision);
        Ok(Ok(RatingsCheck { generation, revision, newest_revision, reports, through, differences, first_report }))
    }

    /// The first report that did to one of the differing players what is not stored.
    fn find_first_report(
        &self,
        projection: (QueueId, u64),
        engine: &Arc<dyn RatingEngine>,
        generation: GenerationId,
        differences: &Differences,
        until: JournalSeq,
    ) -> Result<Option<(JournalSeq, Difference)>, StoreError> {
        let players: Vec<PlayerId> = differences.listed.iter().map(|difference| difference.player).collect();
        if players.is_empty() {
            return Ok(None);
        }
        let load = move |connection: &Connection| {
            let rows = players.iter().map(|&player| Ok((player, load_change_rows(connection, generation, player)?)));
            rows.collect::<Result<HashMap<_, _>, StoreError>>()
        };
        let stored = self.read_public(load).wait()?;
        let Ok((rating, visible)) = engine.initial() else { return Ok(None) };
        let mut replay = Replay::new(projection, Arc::clone(engine), Standing::initial(rating, visible), false);
        let mut roster = Roster::default();
        loop {
            let portion = replay.next(until, CHUNK_REPORTS_MAX);
            let mut taken = std::mem::take(&mut roster);
            let gather = move |connection: &Connection| Ok((Chunk::gather(connection, portion, &mut taken)?, taken));
            let chunk;
            (chunk, roster) = self.read_public(gather).wait()?;
            let mut first = None;
            let stop = replay.rate_traced(&chunk, |traced| first = first_otherwise(&traced, &stored));
            if first.is_some() || stop.is_some() || chunk.complete {
                return Ok(first);
            }
        }
    }
}

/// What one snapshot says about the generation in force.
enum Found {
    Exchanged,
    ResetUnderWay,
    /// Reports that were rated meanwhile, and after them come others.
    More(Chunk),
    /// The last reports that are rated in it, and its standings.
    Stored {
        chunk: Chunk,
        stored: (Vec<u8>, Vec<(PlayerId, Standing)>),
    },
}

fn find_stored(
    connection: &Connection,
    queue: QueueId,
    generation: GenerationId,
    after: JournalSeq,
    mut roster: Roster,
) -> Result<(Found, Roster), StoreError> {
    let Some(active) = find_active(connection, queue)?.filter(|active| active.id == generation) else {
        return Ok((Found::Exchanged, roster));
    };
    if season_reset::find_under_way(connection, generation)?.is_some() {
        return Ok((Found::ResetUnderWay, roster));
    }
    let head = journal::head(connection)?.map_or(JournalSeq(0), |(seq, _)| seq);
    let until = active.rated_through.unwrap_or(head);
    let portion = Portion { queue, revision: active.revision, after, until, reports_max: CHUNK_REPORTS_MAX };
    let chunk = Chunk::gather(connection, portion, &mut roster)?;
    if !chunk.complete {
        return Ok((Found::More(chunk), roster));
    }
    let stored = (load_memory(connection, generation)?, load_standings(connection, generation)?);
    Ok((Found::Stored { chunk, stored }, roster))
}

/// A replay from the start of the journal, without some reports.
pub(crate) fn replay_through(
    store: &Store,
    projection: (QueueId, u64),
    left_out: &Arc<HashSet<JournalSeq>>,
    engine: &Arc<dyn RatingEngine>,
    until: JournalSeq,
    mut progress: impl FnMut(JournalSeq),
) -> Result<Result<(Replay, Roster), InstallRefusal>, StoreError> {
    let (rating, visible) = match engine.initial() {
        Ok(initial) => initial,
        Err(fault) => return Ok(Err(InstallRefusal::Initial(fault))),
    };
    let mut one_by_one = false;
    loop {
        let initial = Standing::initial(rating.clone(), visible);
        let mut replay = Replay::new(projection, Arc::clone(engine), initial, one_by_one);
        let ended = run(store, &mut replay, Roster::without(Arc::clone(left_out)), until, |replay| {
            progress(replay.through());
            Ok(true)
        })?;
        match ended {
            Ok(roster) => return Ok(Ok((replay, roster))),
            Err(Stop::Bulk(_)) if !one_by_one => one_by_one = true,
            Err(stop) => return Ok(Err(refusal_of(stop))),
        }
    }
}

fn refusal_of(stop: Stop) -> InstallRefusal {
    match stop {
        Stop::Fault(seq, fault) => InstallRefusal::Replay { seq, fault },
        Stop::Bulk(fault) => InstallRefusal::Initial(fault),
        Stop::Asked => InstallRefusal::Superseded,
    }
}

fn compare(replay: &Replay, (memory, stored): (Vec<u8>, Vec<(PlayerId, Standing)>)) -> Differences {
    let numbers = replay.players().iter().enumerate();
    let mut recomputed: HashMap<PlayerId, usize> = numbers.map(|(number, &player)| (player, number)).collect();
    let mut differences = Differences { memory_equal: memory == replay.memory(), ..Differences::default() };
    for (player, stored) in stored {
        let again = recomputed.remove(&player).and_then(|number| replay.standing(number));
        differences.add(player, Some(&stored), again.as_ref());
    }
    for (player, number) in recomputed {
        if let Some(again) = replay.standing(number) {
            differences.add(player, None, Some(&again));
        }
    }
    differences.listed.sort_by_key(|difference| difference.player);
    differences
}

impl Differences {
    pub(crate) fn add(&mut self, player: PlayerId, stored: Option<&Standing>, recomputed: Option<&Standing>) {
        self.players += 1;
        if let Some(difference) = difference(player, stored, recomputed) {
            self.differing += 1;
            if self.listed.len() < DIFFERENCES_LISTED_MAX {
                self.listed.push(difference);
            }
        }
    }
}

/// The first field that differs in any bit: -0.0 is not 0.0 here.
fn difference(player: PlayerId, stored: Option<&Standing>, recomputed: Option<&Standing>) -> Option<Difference> {
    let (stored, recomputed) = match (stored, recomputed) {
        (Some(stored), Some(recomputed)) => (stored, recomputed),
        (None, None) => return None,
        (stored, _) => {
            let [is, none] = ["rated", "never rated"].map(str::to_owned);
            let (stored, recomputed) = if stored.is_some() { (is, none) } else { (none, is) };
            return Some(Difference { player, field: "standing", stored, recomputed });
        }
    };
    let differs = |field, stored: f64, recomputed: f64| numbers_differ(player, field, stored, recomputed);
    let counts = |field, stored: u32, recomputed: u32| {
        (stored != recomputed).then(|| Difference { player, field, stored: stored.to_string(), recomputed: recomputed.to_string() })
    };
    let last_at = |standing: &Standing| standing.last_at.unwrap_or_default().0;
    differs("mean", stored.rating.mean, recomputed.rating.mean)
        .or_else(|| differs("uncertainty", stored.rating.uncertainty, recomputed.rating.uncertainty))
        .or_else(|| differs("visible", stored.visible, recomputed.visible))
        .or_else(|| counts("contests", stored.contests, recomputed.contests))
        .or_else(|| counts("wins", stored.wins, recomputed.wins))
        .or_else(|| counts("losses", stored.losses, recomputed.losses))
        .or_else(|| counts("draws", stored.draws, recomputed.draws))
        .or_else(|| {
            let (stored, recomputed) = (last_at(stored), last_at(recomputed));
            (stored != recomputed).then(|| Difference {
                player,
                field: "last_at_s",
                stored: stored.to_string(),
                recomputed: recomputed.to_string(),
            })
        })
        .or_else(|| {
            let bytes = |standing: &Standing| format!("{} bytes: {:02x?}", standing.rating.memory.len(), standing.rating.memory);
            (stored.rating.memory != recomputed.rating.memory).then(|| Difference {
                player,
                field: "memory",
                stored: bytes(stored),
                recomputed: bytes(recomputed),
            })
        })
}

fn numbers_differ(player: PlayerId, field: &'static str, stored: f64, recomputed: f64) -> Option<Difference> {
    let differs = stored.to_bits() != recomputed.to_bits();
    // The shortest decimal that reads back as the same bits.
    differs.then(|| Difference { player, field, stored: format!("{stored:?}"), recomputed: format!("{recomputed:?}") })
}

/// The first contest that did to a player what is not stored.
fn first_otherwise(traced: &Traced<'_>, stored: &HashMap<PlayerId, HashMap<JournalSeq, [f64; 3]>>) -> Option<(JournalSeq, Difference)> {
    let (journal, chunk) = (&traced.chunk.journal, traced.chunk);
    for contest in 0..traced.contests {
        let seq = chunk.turns[contest].seq;
        for (&number, at) in journal.players(contest).iter().zip(journal.entrants(contest)) {
            let player = traced.players[chunk.players[number as usize] as usize];
            let Some(row) = stored.get(&player).and_then(|rows| rows.get(&seq)) else { continue };
            let again = [traced.trace.mean[at], traced.trace.uncertainty[at], traced.trace.visible[at]];
            let fields = ["mean", "uncertainty", "visible"].into_iter().zip(row.iter().zip(again));
            if let Some(difference) = fields.into_iter().find_map(|(field, (&stored, again))| numbers_differ(player, field, stored, again))
            {
                return Some((seq, difference));
            }
        }
    }
    None
}
