//! What a generation stores beside what its journal gives: the proof that nothing was lost, rated twice or mixed.

use std::sync::Arc;

use ladder::id::{GenerationId, JournalSeq, PlayerId, QueueId};
use ladder::rating::RatingEngine;
use ladder::report::Disposition;
use rusqlite::Connection;

use crate::error::StoreError;
use crate::generations::find_active;
use crate::installation::InstallRefusal;
use crate::journal::Due;
use crate::live::REPORTS_PER_STEP_MAX;
use crate::rating::{InMemory, Standing};
use crate::seasons::{self, Stretch};
use crate::standings::{STANDING, load_memory, standing};
use crate::{Pending, Store, column, season_reset};

/// Players that a comparison names.
const DIFFERING_NAMED_MAX: usize = 100;

/// The stored ratings of a generation beside those of a replay in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayComparison {
    /// The generation looked at; `None`: the queue has none.
    pub generation: Option<GenerationId>,
    /// Reports replayed.
    pub reports: u64,
    /// Players compared, on either side.
    pub players: u64,
    /// Players whose rating differs in any bit; at most 100 are named.
    pub differing: Vec<PlayerId>,
    /// Whether the engine's memory of the whole queue is the same.
    pub memory_equal: bool,
}

impl ReplayComparison {
    /// Whether everything stored is what the journal gives, bit for bit.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.generation.is_some() && self.differing.is_empty() && self.memory_equal
    }
}

impl Store {
    /// Replays the journal of a queue in memory and compares it with what the active generation stores. Occupies one reader for as long as
    /// the replay takes.
    pub fn compare_with_replay(&self, queue: QueueId, engine: Arc<dyn RatingEngine>) -> Pending<Result<ReplayComparison, InstallRefusal>> {
        self.read_public(move |connection| compare(connection, queue, engine.as_ref()))
    }
}

fn compare(
    connection: &Connection,
    queue: QueueId,
    engine: &dyn RatingEngine,
) -> Result<Result<ReplayComparison, InstallRefusal>, StoreError> {
    let Some(generation) = find_active(connection, queue)? else { return Ok(Ok(ReplayComparison::default())) };
    let mut replay = match InMemory::new(engine) {
        Ok(replay) => replay,
        Err(fault) => return Ok(Err(InstallRefusal::Initial(fault))),
    };
    let mut comparison = ReplayComparison { generation: Some(generation.id), ..ReplayComparison::default() };
    let in_reach = |at: JournalSeq| generation.rated_through.is_none_or(|through| at <= through);
    let mut after = JournalSeq(0);
    loop {
        let Stretch { reports, season, last } = seasons::load_stretch(connection, queue, generation.revision, after, REPORTS_PER_STEP_MAX)?;
        for Due { seq, facts, .. } in reports.iter().filter(|due| in_reach(due.at) && due.facts.disposition == Disposition::Ratable) {
            if let Err(fault) = replay.rate(engine, facts) {
                return Ok(Err(InstallRefusal::Replay { seq: *seq, fault }));
            }
            comparison.reports += 1;
        }
        after = reports.last().map_or(after, |due| due.at);
        let Some(season) = season else {
            if last {
                break;
            }
            continue;
        };
        after = season.seq;
        // A reset that is under way has come to some of the players.
        let through = match season_reset::find_under_way(connection, generation.id)? {
            _ if in_reach(season.seq) => PlayerId(u64::MAX),
            Some((seq, through)) if seq == season.seq => through,
            _ => break,
        };
        if let Err(fault) = season.reset_through(engine, &mut replay.standings, through) {
            return Ok(Err(InstallRefusal::Replay { seq: season.seq, fault }));
        }
    }
    comparison.memory_equal = load_memory(connection, generation.id)? == replay.memory;
    compare_standings(connection, generation.id, replay, &mut comparison)?;
    Ok(Ok(comparison))
}

fn compare_standings(
    connection: &Connection,
    generation: GenerationId,
    mut replay: InMemory,
    comparison: &mut ReplayComparison,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(STANDING)?;
    let mut rows = statement.query([column::sql(generation.0)])?;
    let mut differing = Vec::new();
    while let Some(row) = rows.next()? {
        let player = PlayerId(column::number(row, 9)?);
        comparison.players += 1;
        let stored = standing(row)?;
        if !replay.standings.remove(&player).is_some_and(|replayed| same_bits(&replayed, &stored)) {
            differing.push(player);
        }
    }
    comparison.players += replay.standings.len() as u64;
    differing.extend(replay.standings.into_keys());
    differing.truncate(DIFFERING_NAMED_MAX);
    comparison.differing = differing;
    Ok(())
}

/// Equal in every bit: -0.0 is not 0.0 here.
fn same_bits(replayed: &Standing, stored: &Standing) -> bool {
    let bits = |standing: &Standing| [standing.rating.mean.to_bits(), standing.rating.uncertainty.to_bits(), standing.visible.to_bits()];
    stored == replayed && bits(stored) == bits(replayed)
}
