//! What a generation stores: standings of players, the engine's memory of the queue, and what each report changed.

use std::collections::HashMap;

use ladder::id::{GenerationId, JournalSeq, MatchId, PlayerId};
use ladder::rating::Rating;
use ladder::report::ReportFacts;
use ladder::time::UnixSeconds;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::column;
use crate::error::StoreError;
use crate::predictions::Prediction;
use crate::rating::{RatingChange, Standing};

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

/// Every standing of a generation, by player.
pub(crate) fn load_standings(connection: &Connection, generation: GenerationId) -> Result<Vec<(PlayerId, Standing)>, StoreError> {
    let mut statement = connection.prepare_cached(STANDING)?;
    let rows = statement.query_map([column::sql(generation.0)], |row| Ok((PlayerId(column::number(row, 9)?), standing(row)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes a standing over whatever is there.
pub(crate) fn put_standing(
    connection: &Connection,
    generation: GenerationId,
    player: PlayerId,
    standing: &Standing,
) -> Result<(), StoreError> {
    let mut put = connection.prepare_cached(
        "INSERT INTO ratings (generation, player, mean, uncertainty, visible, contests, wins, losses, draws, last_at_s, memory)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (generation, player) DO UPDATE SET mean = ?3, uncertainty = ?4, visible = ?5, contests = ?6, wins = ?7, losses = ?8,
             draws = ?9, last_at_s = ?10, memory = ?11",
    )?;
    let Standing { rating, visible, contests, wins, losses, draws, last_at } = standing;
    let (generation, player, at_s) = (column::sql(generation.0), column::sql(player.0), last_at.unwrap_or_default().0);
    put.execute(params![generation, player, rating.mean, rating.uncertainty, visible, contests, wins, losses, draws, at_s, rating.memory])?;
    Ok(())
}

pub(crate) fn write_standing(
    connection: &Connection,
    generation: GenerationId,
    player: PlayerId,
    standing: &Standing,
) -> Result<(), StoreError> {
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

/// What a report did to its players, and what was predicted of it.
pub(crate) fn write_changes(
    connection: &Connection,
    generation: GenerationId,
    seq: JournalSeq,
    facts: &ReportFacts,
    changes: &[RatingChange],
    prediction: Option<&Prediction>,
) -> Result<(), StoreError> {
    write_change_rows(connection, generation, (seq, facts.match_id, facts.provenance.at), changes, prediction)
}

/// The same, of a report that is known by its entry, its match and when it ended.
pub(crate) fn write_change_rows(
    connection: &Connection,
    generation: GenerationId,
    (seq, match_id, at): (JournalSeq, Option<MatchId>, UnixSeconds),
    changes: &[RatingChange],
    prediction: Option<&Prediction>,
) -> Result<(), StoreError> {
    if let Some(prediction) = prediction {
        prediction.write(connection, generation, seq)?;
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO rating_changes (generation, player, seq, match_id, at_s, place, mean_before, uncertainty_before, visible_before,
                                     mean, uncertainty, visible, expected)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    let match_id = match_id.map(|id| column::sql(id.0));
    for change in changes {
        statement.execute(params![
            column::sql(generation.0),
            column::sql(change.player.0),
            column::sql(seq.0),
            match_id,
            at.0,
            change.place,
            change.mean_before,
            change.uncertainty_before,
            change.visible_before,
            change.mean,
            change.uncertainty,
            change.visible,
            change.expected,
        ])?;
    }
    Ok(())
}

/// What a report did to its players in one generation.
pub(crate) fn load_changes(
    connection: &Connection,
    generation: GenerationId,
    seq: JournalSeq,
    facts: &ReportFacts,
) -> Result<Vec<RatingChange>, StoreError> {
    let mut find = connection.prepare_cached(
        "SELECT place, mean_before, uncertainty_before, visible_before, mean, uncertainty, visible, expected
         FROM rating_changes
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
                expected: row.get(7)?,
            })
        };
        let key = params![column::sql(generation.0), column::sql(player.0), column::sql(seq.0)];
        changes.extend(find.query_row(key, change).optional()?);
    }
    Ok(changes)
}

/// What every report left behind for one player: mean, uncertainty and visible.
pub(crate) fn load_change_rows(
    connection: &Connection,
    generation: GenerationId,
    player: PlayerId,
) -> Result<HashMap<JournalSeq, [f64; 3]>, StoreError> {
    let mut find =
        connection.prepare_cached("SELECT seq, mean, uncertainty, visible FROM rating_changes WHERE generation = ?1 AND player = ?2")?;
    let key = params![column::sql(generation.0), column::sql(player.0)];
    let rows = find.query_map(key, |row| Ok((JournalSeq(column::number(row, 0)?), [row.get(1)?, row.get(2)?, row.get(3)?])))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
