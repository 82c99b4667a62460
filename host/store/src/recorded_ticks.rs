//! Recorded ticks: a ring per queue of what the matchmaker saw. The store does not look into them.

use ladder::id::QueueId;
use ladder::time::UnixMillis;
use rusqlite::{Row, params};

use crate::error::StoreError;
use crate::{Pending, Store, column};

/// Ticks that are kept of one queue.
pub const RECORDED_TICKS_MAX: u32 = 2_000;
/// Bytes of ticks that are kept of one queue.
pub const RECORDED_BYTES_MAX: u64 = 64 << 20;

/// One recorded tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedTick {
    /// Rises with time, over all queues.
    pub number: u64,
    /// When.
    pub at: UnixMillis,
    /// As they were given to [`Store::record_tick`].
    pub columns: Vec<u8>,
}

impl Store {
    /// Adds a tick to a queue's ring; the oldest beyond [`RECORDED_TICKS_MAX`] and [`RECORDED_BYTES_MAX`] go.
    pub fn record_tick(&self, queue: QueueId, at: UnixMillis, columns: Vec<u8>) -> Pending<()> {
        self.write(move |connection| {
            let queue = column::sql(queue.0);
            let mut insert = connection.prepare_cached("INSERT INTO recorded_ticks (queue, at, bytes, columns) VALUES (?1, ?2, ?3, ?4)")?;
            insert.execute(params![queue, column::sql_time(at), column::sql(columns.len() as u64), columns])?;
            let mut forget = connection.prepare_cached(
                "DELETE FROM recorded_ticks WHERE queue = ?1 AND tick <=
                     (SELECT max(tick) FROM (SELECT tick, row_number() OVER newest AS ticks, sum(bytes) OVER newest AS total
                                             FROM recorded_ticks WHERE queue = ?1 WINDOW newest AS (ORDER BY tick DESC))
                      WHERE ticks > ?2 OR total > ?3)",
            )?;
            forget.execute(params![queue, RECORDED_TICKS_MAX, column::sql(RECORDED_BYTES_MAX)])?;
            Ok(())
        })
    }

    /// Up to `max` recorded ticks of a queue after number `after`, the oldest first.
    pub fn load_recorded_ticks(&self, queue: QueueId, after: u64, max: u32) -> Pending<Vec<RecordedTick>> {
        self.read_public(move |connection| {
            let mut load = connection
                .prepare_cached("SELECT tick, at, columns FROM recorded_ticks WHERE queue = ?1 AND tick > ?2 ORDER BY tick LIMIT ?3")?;
            let tick = |row: &Row<'_>| {
                Ok::<_, StoreError>(RecordedTick { number: column::number(row, 0)?, at: column::time(row, 1)?, columns: row.get(2)? })
            };
            let ticks = load.query_and_then(params![column::sql(queue.0), column::sql(after), max], tick)?;
            ticks.collect()
        })
    }

    /// How many ticks of a queue are recorded.
    pub fn count_recorded_ticks(&self, queue: QueueId) -> Pending<u64> {
        self.read_public(move |connection| {
            let mut count = connection.prepare_cached("SELECT count(*) FROM recorded_ticks WHERE queue = ?1")?;
            Ok(count.query_row([column::sql(queue.0)], |row| column::number(row, 0))?)
        })
    }
}
