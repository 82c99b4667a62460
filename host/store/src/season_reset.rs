//! What the start of a season does to a generation: the standings are archived as they were shown, and reset.
//!
//! ```text
//! reports before the entry rated -> batch after batch, in the order of the players: archived, then reset -> the entry is behind
//! ```
//!
//! * One transaction does as many batches as fit a short time; how far the reset is stands in `season_resets`. Killed in between, or helped
//!   by another process, it goes on from there: nobody is reset twice.
//! * **It is the same everywhere**: live, in a new generation, in a shadow and in a replay in memory. Engines are asked in the same batches, so
//!   that even one whose answers depend on what it was asked before gives the same bits.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ladder::fault::PluginFault;
use ladder::id::{GenerationId, JournalSeq, PlayerId};
use ladder::rating::{Rating, RatingEngine};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::column;
use crate::error::StoreError;
use crate::rating::Standing;
use crate::seasons::Season;
use crate::standings::{STANDING, standing};

/// Players of one batch.
pub(crate) const BATCH: usize = 256;
/// After this time a transaction takes no further batch: players' reports wait for the one writer.
const STEP_TIME_MAX: Duration = Duration::from_millis(20);

/// What a step of a reset came to.
pub(crate) enum ResetStep {
    /// Every standing is reset.
    Done,
    /// There are more players.
    More,
    /// The engine cannot say what becomes of a player: the reset waits, and everything after it.
    Fault(PluginFault),
}

/// A standing as it is archived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Archived {
    pub(crate) visible: f64,
    pub(crate) mean: f64,
    pub(crate) uncertainty: f64,
    pub(crate) wins: u32,
    pub(crate) losses: u32,
    pub(crate) draws: u32,
}

impl Season {
    /// The standing as the leaderboard of the season before showed it last; `None`: it did not.
    pub(crate) fn archive(&self, standing: &Standing) -> Option<Archived> {
        let &Standing { ref rating, visible, wins, losses, draws, last_at, .. } = standing;
        let contests = wins.saturating_add(losses).saturating_add(draws);
        (contests >= self.ended.contests_min()).then(|| Archived {
            visible: self.ended.shown(visible, last_at.unwrap_or_default(), self.started_at.seconds()),
            mean: rating.mean,
            uncertainty: rating.uncertainty,
            wins,
            losses,
            draws,
        })
    }

    /// What becomes of the standings of one batch, in its order; `None`: as of somebody never seen. `contests` and the time of the last one
    /// stay, because engines see them; what was won and lost counts from here on.
    pub(crate) fn reset(&self, engine: &dyn RatingEngine, batch: &[Standing]) -> Result<Vec<Option<Standing>>, PluginFault> {
        let ratings: Vec<Rating> = batch.iter().map(|standing| standing.rating.clone()).collect();
        let reset = self.reset.apply(engine, &ratings)?;
        let fresh = |(standing, (rating, visible)): (&Standing, (Rating, f64))| {
            Some(Standing { rating, visible, wins: 0, losses: 0, draws: 0, contests: standing.contests, last_at: standing.last_at })
        };
        Ok(match reset {
            None => vec![None; batch.len()],
            Some(reset) => batch.iter().zip(reset).map(fresh).collect(),
        })
    }

    /// The reset in memory, of players up to `last`.
    pub(crate) fn reset_through(
        &self,
        engine: &dyn RatingEngine,
        standings: &mut BTreeMap<PlayerId, Standing>,
        last: PlayerId,
    ) -> Result<(), PluginFault> {
        let players: Vec<PlayerId> = standings.range(..=last).map(|(player, _)| *player).collect();
        for players in players.chunks(BATCH) {
            let batch: Vec<Standing> = players.iter().map(|player| standings[player].clone()).collect();
            for (player, standing) in players.iter().zip(self.reset(engine, &batch)?) {
                match standing {
                    Some(standing) => drop(standings.insert(*player, standing)),
                    None => drop(standings.remove(player)),
                }
            }
        }
        Ok(())
    }
}

/// The next players of a reset, as they stand.
pub(crate) struct Batch {
    /// The last player who was reset before; `None`: nobody was.
    after: Option<PlayerId>,
    players: Vec<PlayerId>,
    standings: Vec<Standing>,
}

impl Batch {
    /// Reads the next batch of a season's reset in a generation that has rated everything before its entry.
    pub(crate) fn load(connection: &Connection, generation: GenerationId, season: &Season) -> Result<Self, StoreError> {
        let after = find_progress(connection, generation, season.seq)?;
        let mut load = connection.prepare_cached(&format!("{STANDING} AND player > ?2 ORDER BY player LIMIT ?3"))?;
        // Player numbers begin at 1.
        let key = params![column::sql(generation.0), after.map_or(0, |player| column::sql(player.0)), BATCH as i64];
        let rows = load.query_map(key, |row| Ok((PlayerId(column::number(row, 9)?), standing(row)?)))?;
        let (players, standings) = rows.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        Ok(Self { after, players, standings })
    }

    /// What becomes of the players.
    pub(crate) fn reset(&self, engine: &dyn RatingEngine, season: &Season) -> Result<Vec<Option<Standing>>, PluginFault> {
        season.reset(engine, &self.standings)
    }

    /// Stores what became of them; `None`: somebody else has reset them meanwhile, and nothing was stored. `Some(true)`: that was the end.
    pub(crate) fn store(
        &self,
        connection: &Connection,
        generation: GenerationId,
        season: &Season,
        reset: &[Option<Standing>],
    ) -> Result<Option<bool>, StoreError> {
        if find_progress(connection, generation, season.seq)? != self.after {
            return Ok(None);
        }
        let Some(last) = self.players.last() else {
            connection.prepare_cached("DELETE FROM season_resets WHERE generation = ?1")?.execute([column::sql(generation.0)])?;
            return Ok(Some(true));
        };
        for ((player, before), after) in self.players.iter().zip(&self.standings).zip(reset) {
            if let Some(archived) = season.archive(before) {
                write_archived(connection, generation, season.number - 1, *player, &archived)?;
            }
            write_reset(connection, generation, *player, after.as_ref())?;
        }
        write_progress(connection, generation, season.seq, *last)?;
        Ok(Some(false))
    }
}

/// One step of a season's reset, in a transaction of the writer.
pub(crate) fn step(
    connection: &Connection,
    generation: GenerationId,
    engine: &dyn RatingEngine,
    season: &Season,
) -> Result<ResetStep, StoreError> {
    let began = Instant::now();
    loop {
        let batch = Batch::load(connection, generation, season)?;
        let reset = match batch.reset(engine, season) {
            Ok(reset) => reset,
            Err(fault) => return Ok(ResetStep::Fault(fault)),
        };
        match batch.store(connection, generation, season, &reset)? {
            Some(true) => return Ok(ResetStep::Done),
            Some(false) | None if began.elapsed() >= STEP_TIME_MAX => return Ok(ResetStep::More),
            Some(false) | None => {}
        }
    }
}

/// A reset that is under way in a generation: its entry, and the last player who was reset.
pub(crate) fn find_under_way(connection: &Connection, generation: GenerationId) -> Result<Option<(JournalSeq, PlayerId)>, StoreError> {
    let mut find = connection.prepare_cached("SELECT seq, after_player FROM season_resets WHERE generation = ?1")?;
    let found =
        find.query_row([column::sql(generation.0)], |row| Ok((JournalSeq(column::number(row, 0)?), PlayerId(column::number(row, 1)?))));
    Ok(found.optional()?)
}

fn find_progress(connection: &Connection, generation: GenerationId, seq: JournalSeq) -> Result<Option<PlayerId>, StoreError> {
    Ok(find_under_way(connection, generation)?.filter(|(under_way, _)| *under_way == seq).map(|(_, player)| player))
}

fn write_progress(connection: &Connection, generation: GenerationId, seq: JournalSeq, player: PlayerId) -> Result<(), StoreError> {
    let mut write =
        connection.prepare_cached("INSERT OR REPLACE INTO season_resets (generation, seq, after_player) VALUES (?1, ?2, ?3)")?;
    write.execute(params![column::sql(generation.0), column::sql(seq.0), column::sql(player.0)])?;
    Ok(())
}

/// Every archived standing of a generation, with the season that ended with it.
pub(crate) fn load_archived(connection: &Connection, generation: GenerationId) -> Result<Vec<(u32, PlayerId, Archived)>, StoreError> {
    let mut load = connection.prepare_cached(
        "SELECT season, player, visible, mean, uncertainty, wins, losses, draws FROM season_standings WHERE generation = ?1",
    )?;
    let rows = load.query_map([column::sql(generation.0)], |row| {
        let archived = Archived {
            visible: row.get(2)?,
            mean: row.get(3)?,
            uncertainty: row.get(4)?,
            wins: row.get(5)?,
            losses: row.get(6)?,
            draws: row.get(7)?,
        };
        Ok((row.get(0)?, PlayerId(column::number(row, 1)?), archived))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Archives one standing of a season.
pub(crate) fn write_archived(
    connection: &Connection,
    generation: GenerationId,
    season: u32,
    player: PlayerId,
    archived: &Archived,
) -> Result<(), StoreError> {
    let mut write = connection.prepare_cached(
        "INSERT INTO season_standings (generation, season, player, visible, mean, uncertainty, wins, losses, draws)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let &Archived { visible, mean, uncertainty, wins, losses, draws } = archived;
    write.execute(params![column::sql(generation.0), season, column::sql(player.0), visible, mean, uncertainty, wins, losses, draws])?;
    Ok(())
}

fn write_reset(connection: &Connection, generation: GenerationId, player: PlayerId, standing: Option<&Standing>) -> Result<(), StoreError> {
    let (generation, player) = (column::sql(generation.0), column::sql(player.0));
    let Some(Standing { rating, visible, .. }) = standing else {
        connection.prepare_cached("DELETE FROM ratings WHERE generation = ?1 AND player = ?2")?.execute(params![generation, player])?;
        return Ok(());
    };
    let mut write = connection.prepare_cached(
        "UPDATE ratings SET mean = ?3, uncertainty = ?4, visible = ?5, memory = ?6, wins = 0, losses = 0, draws = 0
         WHERE generation = ?1 AND player = ?2",
    )?;
    write.execute(params![generation, player, rating.mean, rating.uncertainty, visible, rating.memory])?;
    Ok(())
}
