//! Rating one report at a time, in the writer's transactions: at the moment it is accepted, or later if it had to wait.

use std::time::{Duration, Instant};

use ladder::fault::PluginFault;
use ladder::id::{GenerationId, JournalSeq, MatchId, QueueId};
use ladder::report::{Disposition, ReportFacts};
use rusqlite::{Connection, params};

use crate::engines::{Engines, Ready};
use crate::error::StoreError;
use crate::generations::{find_active, set_rated_through};
use crate::journal::Due;
use crate::rating::{RatingChange, Step, Unrated, step};
use crate::reports::RatingState;
use crate::season_reset::{self, ResetStep};
use crate::seasons::{self, Stretch};
use crate::standings::{find_standing, load_memory, write_changes, write_memory, write_standing};
use crate::{Pending, Store, column};

/// Reports that one transaction rates when it catches up.
pub const REPORTS_PER_STEP_MAX: u32 = 256;
/// After this time a transaction rates no further report: an engine may take long, and every report of a player waits for the one writer.
const STEP_TIME_MAX: Duration = Duration::from_millis(20);

/// What became of a queue's backlog.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RatedWaiting {
    /// What was rated, in journal order, with the match if it was one.
    pub rated: Vec<(JournalSeq, Option<MatchId>, Vec<RatingChange>)>,
    /// Whether reports still wait.
    pub waits: bool,
    /// Whether a season's reset came further.
    pub reset: bool,
    /// The report, or the season, at which the engine faulted again.
    pub fault: Option<(JournalSeq, PluginFault)>,
}

impl Store {
    /// Rates up to `max` waiting reports of a queue (at most [`REPORTS_PER_STEP_MAX`]), in order, until one faults. A slow engine rates fewer,
    /// but at least one: ask again while some were rated, or a season's reset came further, and others still wait.
    pub fn rate_waiting(&self, queue: QueueId, max: u32) -> Pending<Result<RatedWaiting, Unrated>> {
        let engines = self.engines();
        self.write(move |connection| {
            let Some(generation) = find_active(connection, queue)? else { return Ok(Err(Unrated::NoEngine)) };
            let Some(after) = generation.rated_through else { return Ok(Ok(RatedWaiting::default())) };
            let ready = match engines.find(queue, &generation) {
                Ok(ready) => ready,
                Err(unrated) => return Ok(Err(unrated)),
            };
            let projection = (generation.id, generation.revision);
            let caught_up = catch_up(connection, projection, &ready, after, max.min(REPORTS_PER_STEP_MAX))?;
            set_rated_through(connection, generation.id, (!caught_up.complete).then_some(caught_up.through))?;
            note_raters(connection, queue, generation.id, (after, caught_up.through))?;
            Ok(Ok(RatedWaiting { rated: caught_up.rated, reset: caught_up.reset, waits: !caught_up.complete, fault: caught_up.fault }))
        })
    }
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
pub(crate) fn rate_live(connection: &Connection, engines: &Engines, seq: JournalSeq, facts: &ReportFacts) -> Result<Live, StoreError> {
    let queue = facts.provenance.queue;
    let Some(generation) = find_active(connection, queue)? else { return Ok(Live::waits(Unrated::NoEngine)) };
    if generation.rated_through.is_some() {
        return Ok(Live::waits(Unrated::BehindOthers));
    }
    let unrated = match engines.find(queue, &generation) {
        Ok(ready) => match rate_one(connection, generation.id, &ready, seq, facts)? {
            Ok(Step { changes, prediction, .. }) => {
                let predicted = prediction.map(|prediction| prediction.pairs);
                return Ok(Live { state: RatingState::Rated(changes), predicted, rated_by: Some(generation.id) });
            }
            Err(fault) => Unrated::Fault(fault),
        },
        Err(unrated) => unrated,
    };
    set_rated_through(connection, generation.id, Some(JournalSeq(seq.0 - 1)))?;
    Ok(Live::waits(unrated))
}

/// How far a generation came.
pub(crate) struct CaughtUp {
    pub(crate) rated: Vec<(JournalSeq, Option<MatchId>, Vec<RatingChange>)>,
    /// Every entry up to here was looked at.
    pub(crate) through: JournalSeq,
    /// Whether no report of the queue comes after it.
    pub(crate) complete: bool,
    pub(crate) fault: Option<(JournalSeq, PluginFault)>,
    /// Whether a season's reset came further.
    pub(crate) reset: bool,
}

/// Rates up to `max` reports after `after`, in order, until one faults; fewer if [`STEP_TIME_MAX`] is over, but at least one.
pub(crate) fn catch_up(
    connection: &Connection,
    (generation, revision): (GenerationId, u64),
    ready: &Ready,
    after: JournalSeq,
    max: u32,
) -> Result<CaughtUp, StoreError> {
    let Stretch { reports, season, last } = seasons::load_stretch(connection, ready.queue, revision, after, max)?;
    let mut caught_up = CaughtUp { rated: Vec::new(), through: after, complete: last, fault: None, reset: false };
    let began = Instant::now();
    for Due { at, seq, facts } in reports {
        if !caught_up.rated.is_empty() && began.elapsed() >= STEP_TIME_MAX {
            caught_up.complete = false;
            return Ok(caught_up);
        }
        if facts.disposition == Disposition::Ratable {
            match rate_one(connection, generation, ready, seq, &facts)? {
                Ok(step) => caught_up.rated.push((seq, facts.match_id, step.changes)),
                Err(fault) => {
                    caught_up.fault = Some((seq, fault));
                    caught_up.complete = false;
                    return Ok(caught_up);
                }
            }
        }
        caught_up.through = at;
    }
    if let Some(season) = season
        && began.elapsed() < STEP_TIME_MAX
    {
        match season_reset::step(connection, generation, ready.engine.as_ref(), &season)? {
            ResetStep::Done => (caught_up.through, caught_up.reset) = (season.seq, true),
            ResetStep::More => caught_up.reset = true,
            ResetStep::Fault(fault) => caught_up.fault = Some((season.seq, fault)),
        }
    }
    Ok(caught_up)
}

/// Matches whose reports had to wait are rated now, by this generation: those with reports that have their turn after `after`, up to
/// `through`, and that no other one rated.
pub(crate) fn note_raters(
    connection: &Connection,
    queue: QueueId,
    generation: GenerationId,
    (after, through): (JournalSeq, JournalSeq),
) -> Result<(), StoreError> {
    // Apart, each leads to its few matches; together they would lead to all that wait.
    for its_turn in TURNS_OF_MATCHES {
        let mut statement = connection.prepare_cached(&update_raters(its_turn))?;
        statement.execute(params![column::sql(generation.0), column::sql(queue.0), column::sql(after.0), column::sql(through.0)])?;
    }
    Ok(())
}

/// When the report of a match has its turn: at its own entry, or at the one that released it.
const TURNS_OF_MATCHES: [&str; 2] = [
    "report_seq > ?3 AND report_seq <= ?4",
    "report_seq IN (SELECT seq FROM released_reports WHERE released_by > ?3 AND released_by <= ?4)",
];

fn update_raters(its_turn: &str) -> String {
    format!(
        "UPDATE matches SET rated_by = ?1 WHERE queue = ?2 AND rated_by IS NULL AND report_seq IS NOT NULL AND {its_turn} AND EXISTS
             (SELECT 1 FROM match_players p JOIN rating_changes c ON c.generation = ?1 AND c.player = p.player AND c.seq = report_seq
              WHERE p.match_id = matches.match_id)"
    )
}

/// Rates one report in one generation: reads what the step needs, computes it, stores what it gave. A fault stores nothing.
fn rate_one(
    connection: &Connection,
    generation: GenerationId,
    ready: &Ready,
    seq: JournalSeq,
    facts: &ReportFacts,
) -> Result<Result<Step, PluginFault>, StoreError> {
    let memory = load_memory(connection, generation)?;
    let mut before = Vec::with_capacity(facts.players.len());
    for player in &facts.players {
        before.push(find_standing(connection, generation, player.player)?.unwrap_or_else(|| ready.initial.clone()));
    }
    let step = match step(ready.engine.as_ref(), &memory, facts, before, true) {
        Ok(step) => step,
        Err(fault) => return Ok(Err(fault)),
    };
    for (player, standing) in facts.players.iter().zip(&step.standings) {
        write_standing(connection, generation, player.player, standing)?;
    }
    write_changes(connection, generation, seq, facts, &step.changes, step.prediction.as_ref())?;
    if step.memory != memory {
        write_memory(connection, generation, &step.memory)?;
    }
    Ok(Ok(step))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_step_looks_only_at_the_matches_whose_reports_it_may_have_rated() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("ranked.db"), crate::Options::default()).unwrap();
        let found_by = ["(queue=? AND report_seq>? AND report_seq<?)", "(queue=? AND report_seq=?)"];
        for (its_turn, found_by) in TURNS_OF_MATCHES.into_iter().zip(found_by) {
            let plan = store.read(move |connection| {
                let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", update_raters(its_turn)))?;
                let rows = statement.query_map([1; 4], |row| row.get::<_, String>(3))?;
                Ok(rows.collect::<Result<Vec<_>, _>>()?.join("\n"))
            });
            let plan = plan.wait().unwrap();
            assert!(plan.contains(&format!("SEARCH matches USING INDEX matches_not_rated {found_by}")), "{plan}");
        }
    }
}
