//! What an engine predicted of a contest before it rated it, and how much the result surprised it.
//!
//! Kept per generation and report beside the rating changes, by every path that writes those: live, late, in the shadow, or when a rebuilt
//! generation is filled up. A contest that the engine could not predict has none.

use ladder::id::{Digest, GenerationId, JournalSeq};
use ladder::rating::RatingEngine;
use ladder::score::{ContestScore, expected_shares};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::column;
use crate::error::StoreError;

/// Teams of a contest whose prediction is kept pair by pair; of more, one number a team is kept: 256 teams have 32,640 pairs.
pub const TEAMS_PAIRED_MAX: usize = 32;
/// Earlier contests that a surprise is compared with.
pub const SURPRISES_COMPARED_MAX: u32 = 1_000;

/// A prediction that fits its contest, and how it fared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prediction {
    /// One probability per pair of teams.
    pub(crate) pairs: Vec<f64>,
    shares: Vec<f64>,
    surprise: f64,
}

impl Prediction {
    /// `None`: no prediction of a contest that ended so.
    pub(crate) fn of(places: &[u16], pairs: Vec<f64>) -> Option<Self> {
        // The runtime looked at this already; the database must not depend on it.
        if !pairs.iter().all(|p| (0.0..=1.0).contains(p)) {
            return None;
        }
        let surprise = ContestScore::of(places, &pairs)?.log_loss;
        let shares = expected_shares(places.len(), &pairs);
        Some(Self { pairs, shares, surprise })
    }

    /// What was expected of a team: the mean probability to place before another one, draws counting half.
    pub(crate) fn expected(&self, team: u16) -> Option<f64> {
        self.shares.get(usize::from(team)).copied()
    }

    pub(crate) fn write(&self, connection: &Connection, generation: GenerationId, seq: JournalSeq) -> Result<(), StoreError> {
        let kept = if self.shares.len() <= TEAMS_PAIRED_MAX { &self.pairs } else { &self.shares };
        let bytes: Vec<u8> = kept.iter().flat_map(|p| p.to_le_bytes()).collect();
        let mut write =
            connection.prepare_cached("INSERT INTO predictions (generation, seq, surprise, predicted) VALUES (?1, ?2, ?3, ?4)")?;
        write.execute(params![column::sql(generation.0), column::sql(seq.0), self.surprise, bytes])?;
        Ok(())
    }
}

/// What was predicted of a report that was rated.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPrediction {
    /// One probability per pair of teams i < j, in the order (0,1), (0,2), .. (1,2), ..: that i places before j, a draw counting half. Empty
    /// for contests of more than [`TEAMS_PAIRED_MAX`] teams.
    pub pairs: Vec<f64>,
    /// How far the result was from it: the log loss of the contest in nats, 0 for a certainty that came about. A coin is 0.693.
    pub surprise: f64,
    /// Contests of the same generation before this one that the surprise is compared with, at most [`SURPRISES_COMPARED_MAX`].
    pub compared: u32,
    /// Those of them that surprised less.
    pub less_surprising: u32,
}

/// The prediction of one report in one generation, beside the surprises of the contests before it.
pub(crate) fn find_prediction(
    connection: &Connection,
    generation: GenerationId,
    seq: JournalSeq,
    teams: usize,
) -> Result<Option<StoredPrediction>, StoreError> {
    let key = (column::sql(generation.0), column::sql(seq.0));
    let mut find = connection.prepare_cached("SELECT surprise, predicted FROM predictions WHERE generation = ?1 AND seq = ?2")?;
    let found = find.query_row(params![key.0, key.1], |row| Ok((row.get::<_, f64>(0)?, row.get::<_, Vec<u8>>(1)?))).optional()?;
    let Some((surprise, bytes)) = found else { return Ok(None) };
    let (numbers, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(StoreError::corrupt(format!("the prediction of journal entry {seq} is cut off")));
    }
    let pairs = if teams <= TEAMS_PAIRED_MAX { numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect() } else { Vec::new() };
    let mut compare = connection.prepare_cached(
        "SELECT count(*), count(*) FILTER (WHERE surprise < ?3) FROM
             (SELECT surprise FROM predictions WHERE generation = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?4)",
    )?;
    let (compared, less_surprising) =
        compare.query_row(params![key.0, key.1, surprise, SURPRISES_COMPARED_MAX], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Some(StoredPrediction { pairs, surprise, compared, less_surprising }))
}

/// Remembers what an engine calls itself.
pub(crate) fn note_engine_name(connection: &Connection, engine: &dyn RatingEngine) -> Result<(), StoreError> {
    let Some((name, version)) = engine.described() else { return Ok(()) };
    if find_engine_name(connection, engine.digest())?.is_some_and(|known| known.0 == name && known.1 == version) {
        return Ok(());
    }
    let mut note = connection.prepare_cached("INSERT OR REPLACE INTO engine_names (digest, name, version) VALUES (?1, ?2, ?3)")?;
    note.execute(params![engine.digest().0, name, version])?;
    Ok(())
}

/// Name and version of an engine, as it said them; `None`: it never did.
pub(crate) fn find_engine_name(connection: &Connection, digest: Digest) -> Result<Option<(String, String)>, StoreError> {
    let mut find = connection.prepare_cached("SELECT name, version FROM engine_names WHERE digest = ?1")?;
    Ok(find.query_row([digest.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_fits_a_contest_is_its_prediction() {
        assert_eq!(Prediction::of(&[0, 1], vec![0.5, 0.5]), None);
        assert_eq!(Prediction::of(&[0, 1], vec![f64::NAN]), None);
        assert_eq!(Prediction::of(&[0, 1], vec![1.01]), None);
        assert_eq!(Prediction::of(&[0], vec![]), None);
        let prediction = Prediction::of(&[1, 0], vec![0.75]).expect("it fits");
        assert_eq!((prediction.expected(0), prediction.expected(1), prediction.expected(2)), (Some(0.75), Some(0.25), None));
        assert!((prediction.surprise - 4.0_f64.ln()).abs() < 1e-12);
    }
}
