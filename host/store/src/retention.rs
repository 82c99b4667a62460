//! Generations that nobody is likely to go back to: their rows are deleted, a few at a time, and can be built again from the journal.

use ladder::id::QueueId;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::StoreError;
use crate::{Pending, Store, column};

/// Retired generations of a queue that stay as they are, beside the active one; as many again that were laid aside before they were active.
pub const RETIRED_KEPT: u32 = 3;
/// Rows that one transaction deletes.
const ROWS_PER_STEP: u32 = 2_000;

impl Store {
    /// Deletes a few rows of a queue's older generations; whether there are more. The generations themselves stay on record: matches name
    /// them.
    pub fn forget_old_generations(&self, queue: QueueId) -> Pending<bool> {
        self.write(move |connection| forget_some(connection, queue))
    }
}

fn forget_some(connection: &Connection, queue: QueueId) -> Result<bool, StoreError> {
    let mut abandon = connection.prepare_cached(
        "UPDATE generations SET state = 4 WHERE queue = ?1 AND state = 3 AND generation NOT IN
             (SELECT generation FROM
                 (SELECT generation, row_number() OVER (PARTITION BY activated_at IS NULL
                                                        ORDER BY coalesce(activated_at, created_at) DESC, generation DESC) AS place
                  FROM generations WHERE queue = ?1 AND state = 3)
              WHERE place <= ?2)",
    )?;
    abandon.execute(params![column::sql(queue.0), RETIRED_KEPT])?;
    let mut find = connection.prepare_cached(
        // What is half-written is somebody's work.
        "SELECT generation FROM generations g WHERE queue = ?1 AND state = 4 AND lease_until IS NULL AND
             (EXISTS (SELECT 1 FROM rating_changes c WHERE c.generation = g.generation)
              OR EXISTS (SELECT 1 FROM predictions p WHERE p.generation = g.generation)
              OR EXISTS (SELECT 1 FROM ratings r WHERE r.generation = g.generation)
              OR EXISTS (SELECT 1 FROM season_standings s WHERE s.generation = g.generation)
              OR EXISTS (SELECT 1 FROM queue_memories m WHERE m.generation = g.generation)) LIMIT 1",
    )?;
    let Some(generation) = find.query_row([column::sql(queue.0)], |row| row.get::<_, i64>(0)).optional()? else { return Ok(false) };
    let deletions = [
        "DELETE FROM rating_changes WHERE generation = ?1 AND (player, seq) IN
             (SELECT player, seq FROM rating_changes WHERE generation = ?1 LIMIT ?2)",
        "DELETE FROM predictions WHERE generation = ?1 AND seq IN (SELECT seq FROM predictions WHERE generation = ?1 LIMIT ?2)",
        "DELETE FROM ratings WHERE generation = ?1 AND player IN (SELECT player FROM ratings WHERE generation = ?1 LIMIT ?2)",
        "DELETE FROM season_standings WHERE generation = ?1 AND (season, player) IN
             (SELECT season, player FROM season_standings WHERE generation = ?1 LIMIT ?2)",
        "DELETE FROM season_resets WHERE generation = ?1 AND ?2 > 0",
        "DELETE FROM queue_memories WHERE generation = ?1 AND ?2 > 0",
    ];
    for deletion in deletions {
        if connection.prepare_cached(deletion)?.execute(params![generation, ROWS_PER_STEP])? > 0 {
            break;
        }
    }
    Ok(true)
}
