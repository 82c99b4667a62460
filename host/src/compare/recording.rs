//! A pool as bytes, and back: version, then deflated columns. What comes back is checked as if a stranger had written it.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use ladder::pool::Pool;
use ladder::queue::QueueShape;

/// Of the format.
const VERSION: u8 = 1;
/// A pool of a million queue tickets takes less.
const BYTES_MAX: u64 = 256 << 20;

/// A recorded tick that cannot be used. Nobody's fault, if the queue had another shape; else the file is damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRecording {
    /// A later program wrote it.
    #[error("it was recorded in format {0}, which this program does not know")]
    Version(u8),
    /// The bytes end too early, go on too long, or are not deflated.
    #[error("its columns cannot be read")]
    Columns,
    /// Columns that contradict each other.
    #[error("its column {0} does not fit the others")]
    Contradiction(&'static str),
    /// The queue had other regions or teams.
    #[error("it was recorded while the queue had another shape")]
    Shape,
}

/// The pool as bytes.
#[must_use]
pub fn encode(pool: &Pool) -> Vec<u8> {
    let mut columns = Vec::new();
    columns.extend(pool.now_ms.to_le_bytes());
    columns.extend(pool.seed.to_le_bytes());
    put(&mut columns, &pool.waited_ms, u32::to_le_bytes);
    put(&mut columns, &pool.member_end, u32::to_le_bytes);
    put(&mut columns, &pool.regions, u64::to_le_bytes);
    put(&mut columns, &pool.mean, f64::to_le_bytes);
    put(&mut columns, &pool.uncertainty, f64::to_le_bytes);
    put(&mut columns, &pool.contests, u32::to_le_bytes);
    put(&mut columns, &pool.roles, u32::to_le_bytes);
    put(&mut columns, &pool.latency_ms, u16::to_le_bytes);
    put(&mut columns, &pool.apart, u32::to_le_bytes);
    put(&mut columns, &pool.apart_weight, u8::to_le_bytes);
    put(&mut columns, &pool.reach, f64::to_le_bytes);
    put(&mut columns, &pool.latency_max_ms, u16::to_le_bytes);
    put(&mut columns, &pool.slots, u32::to_le_bytes);
    put(&mut columns, &pool.backfill_missing, u16::to_le_bytes);
    put(&mut columns, &pool.backfill_region, u16::to_le_bytes);
    put(&mut columns, &pool.backfill_mean, f64::to_le_bytes);
    let mut deflated = DeflateEncoder::new(vec![VERSION], Compression::fast());
    deflated.write_all(&columns).and_then(|()| deflated.finish()).expect("writing to memory cannot fail")
}

fn put<T: Copy, const N: usize>(columns: &mut Vec<u8>, values: &[T], bytes: fn(T) -> [u8; N]) {
    columns.extend((values.len() as u64).to_le_bytes());
    columns.extend(values.iter().flat_map(|&value| bytes(value)));
}

/// The pool in these bytes, as a queue of this shape can have it.
///
/// # Errors
/// [`BadRecording`].
pub fn decode(bytes: &[u8], shape: &QueueShape) -> Result<Pool, BadRecording> {
    let deflated = match bytes.split_first() {
        Some((&VERSION, deflated)) => deflated,
        Some((&version, _)) => return Err(BadRecording::Version(version)),
        None => return Err(BadRecording::Columns),
    };
    let mut columns = Vec::new();
    // What is left when the limit is reached is cut off, and then missed.
    DeflateDecoder::new(deflated).take(BYTES_MAX).read_to_end(&mut columns).map_err(|_damage| BadRecording::Columns)?;
    let mut rest = Rest(&columns);
    let pool = Pool {
        now_ms: u64::from_le_bytes(rest.take()?),
        seed: u64::from_le_bytes(rest.take()?),
        waited_ms: rest.column(u32::from_le_bytes)?,
        member_end: rest.column(u32::from_le_bytes)?,
        regions: rest.column(u64::from_le_bytes)?,
        mean: rest.column(f64::from_le_bytes)?,
        uncertainty: rest.column(f64::from_le_bytes)?,
        contests: rest.column(u32::from_le_bytes)?,
        roles: rest.column(u32::from_le_bytes)?,
        latency_ms: rest.column(u16::from_le_bytes)?,
        apart: rest.column(u32::from_le_bytes)?,
        apart_weight: rest.column(u8::from_le_bytes)?,
        reach: rest.column(f64::from_le_bytes)?,
        latency_max_ms: rest.column(u16::from_le_bytes)?,
        slots: rest.column(u32::from_le_bytes)?,
        backfill_missing: rest.column(u16::from_le_bytes)?,
        backfill_region: rest.column(u16::from_le_bytes)?,
        backfill_mean: rest.column(f64::from_le_bytes)?,
    };
    if rest.0.is_empty() { agree(&pool, shape).map(|()| pool) } else { Err(BadRecording::Columns) }
}

/// Columns that were not read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], BadRecording> {
        let (value, rest) = self.0.split_first_chunk().ok_or(BadRecording::Columns)?;
        self.0 = rest;
        Ok(*value)
    }

    fn column<T, const N: usize>(&mut self, value: fn([u8; N]) -> T) -> Result<Vec<T>, BadRecording> {
        let len = usize::try_from(u64::from_le_bytes(self.take()?)).ok().and_then(|len| len.checked_mul(N));
        let (column, rest) = len.and_then(|len| self.0.split_at_checked(len)).ok_or(BadRecording::Columns)?;
        self.0 = rest;
        let (values, _nothing) = column.as_chunks();
        Ok(values.iter().map(|bytes| value(*bytes)).collect())
    }
}

/// Everything that policies and the check of their answers rely on.
fn agree(pool: &Pool, shape: &QueueShape) -> Result<(), BadRecording> {
    let (tickets, players, regions) = (pool.member_end.len(), pool.mean.len(), shape.regions.len());
    let backfills = pool.backfill_region.len();
    if pool.slots.len() != regions || pool.backfill_missing.len() != backfills * usize::from(shape.teams) {
        return Err(BadRecording::Shape);
    }
    let ends_cover = pool.member_end.is_sorted() && pool.member_end.last().map_or(0, |&end| end as usize) == players;
    let rules = [
        ("member_end", ends_cover),
        ("waited_ms", pool.waited_ms.len() == tickets),
        ("regions", pool.regions.len() == tickets),
        ("reach", pool.reach.len() == tickets && pool.reach.iter().all(|reach| !reach.is_nan())),
        ("latency_max_ms", pool.latency_max_ms.len() == tickets),
        ("mean", pool.mean.iter().all(|mean| mean.is_finite())),
        ("uncertainty", pool.uncertainty.len() == players && pool.uncertainty.iter().all(|uncertainty| uncertainty.is_finite())),
        ("contests", pool.contests.len() == players),
        ("roles", pool.roles.len() == players),
        ("latency_ms", pool.latency_ms.len() == players * regions),
        ("apart", pool.apart.len() == pool.apart_weight.len() * 2 && pool.apart.iter().all(|&index| (index as usize) < tickets)),
        ("backfill_region", pool.backfill_region.iter().all(|&region| usize::from(region) < regions)),
        ("backfill_mean", pool.backfill_mean.len() == backfills && pool.backfill_mean.iter().all(|mean| mean.is_finite())),
    ];
    rules.iter().find(|(_, keeps)| !keeps).map_or(Ok(()), |(column, _)| Err(BadRecording::Contradiction(column)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> QueueShape {
        let regions = vec!["eu".to_owned(), "us".to_owned()];
        QueueShape { queue: "duel".to_owned(), teams: 2, team_sizes: vec![1], regions, ..QueueShape::default() }
    }

    fn pool() -> Pool {
        Pool {
            now_ms: u64::MAX,
            seed: 7,
            waited_ms: vec![1, 2],
            member_end: vec![1, 3],
            regions: vec![3, 1 << 63],
            mean: vec![-0.0, 25.1, f64::MIN_POSITIVE],
            uncertainty: vec![8.0; 3],
            contests: vec![0, 1, u32::MAX],
            roles: vec![0; 3],
            latency_ms: vec![20, u16::MAX, 1, 2, 3, 4],
            apart: vec![0, 1],
            apart_weight: vec![255],
            reach: vec![f64::MAX; 2],
            latency_max_ms: vec![250; 2],
            slots: vec![4, 0],
            backfill_missing: vec![1, 0],
            backfill_region: vec![1],
            backfill_mean: vec![30.0],
        }
    }

    #[test]
    fn a_pool_comes_back_bit_for_bit() {
        for pool in [pool(), Pool { slots: vec![0; 2], ..Pool::default() }] {
            let back = decode(&encode(&pool), &shape()).expect("what was written");
            assert_eq!(back, pool);
            assert_eq!(
                back.mean.iter().map(|mean| mean.to_bits()).collect::<Vec<_>>(),
                pool.mean.iter().map(|mean| mean.to_bits()).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn columns_that_contradict_each_other_are_named() {
        let table = [
            (Pool { member_end: vec![2, 1], ..pool() }, BadRecording::Contradiction("member_end")),
            (Pool { member_end: vec![1, 4], ..pool() }, BadRecording::Contradiction("member_end")),
            (Pool { waited_ms: vec![1], ..pool() }, BadRecording::Contradiction("waited_ms")),
            (Pool { latency_ms: vec![1], ..pool() }, BadRecording::Contradiction("latency_ms")),
            (Pool { mean: vec![1.0, f64::NAN, 1.0], ..pool() }, BadRecording::Contradiction("mean")),
            (Pool { apart: vec![0, 2], ..pool() }, BadRecording::Contradiction("apart")),
            (Pool { backfill_region: vec![2], ..pool() }, BadRecording::Contradiction("backfill_region")),
            (Pool { slots: vec![1], ..pool() }, BadRecording::Shape),
            (Pool { backfill_missing: vec![1], ..pool() }, BadRecording::Shape),
        ];
        for (pool, problem) in table {
            assert_eq!(decode(&encode(&pool), &shape()), Err(problem));
        }
    }

    #[test]
    fn bytes_that_nobody_wrote_are_refused() {
        let sound = encode(&pool());
        assert_eq!(decode(&[], &shape()), Err(BadRecording::Columns));
        assert_eq!(decode(&[9, 1], &shape()), Err(BadRecording::Version(9)));
        assert_eq!(decode(&sound[..sound.len() / 2], &shape()), Err(BadRecording::Columns));
        for len in 1..sound.len() {
            // The last byte may only say that nothing comes any more.
            if let Ok(back) = decode(&sound[..len], &shape()) {
                assert_eq!(back, pool(), "{len} bytes");
            }
        }
        for position in 1..sound.len() {
            let mut damaged = sound.clone();
            damaged[position] ^= 0x55;
            // Whatever comes of it keeps the rules, or is an error: no panic, no endless allocation.
            if let Ok(pool) = decode(&damaged, &shape()) {
                assert_eq!(agree(&pool, &shape()), Ok(()));
            }
        }
        let mut longer = DeflateEncoder::new(vec![VERSION], Compression::fast());
        longer.write_all(&[0; 8 * 18 + 1]).expect("memory");
        assert_eq!(decode(&longer.finish().expect("memory"), &shape()), Err(BadRecording::Columns));
    }
}
