//! Between the ladder's types and SQLite's columns.
//!
//! SQLite's integers are signed. Numbers of ours are stored bit for bit, so that a 64-bit mask keeps every bit and an identifier that a
//! stranger made up beyond the signed range becomes a negative number, which no row has.

use ladder::id::{Digest, ServerId};
use ladder::reason::Reason;
use ladder::time::UnixMillis;
use rusqlite::Row;

use crate::error::StoreError;

/// A number as SQLite stores it.
pub(crate) fn sql(number: u64) -> i64 {
    number.cast_signed()
}

/// A time as SQLite stores it.
pub(crate) fn sql_time(time: UnixMillis) -> i64 {
    sql(time.0)
}

/// A number from a row.
pub(crate) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

/// A number from a row, or its absence.
pub(crate) fn number_option(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(i64::cast_unsigned))
}

/// A time from a row.
pub(crate) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<UnixMillis> {
    number(row, column).map(UnixMillis)
}

/// A time from a row, or its absence.
pub(crate) fn time_option(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<UnixMillis>> {
    Ok(number_option(row, column)?.map(UnixMillis))
}

/// A game server from a row.
pub(crate) fn server(row: &Row<'_>, column: usize) -> rusqlite::Result<ServerId> {
    row.get(column).map(ServerId)
}

/// A digest from a row.
pub(crate) fn digest(row: &Row<'_>, column: usize) -> rusqlite::Result<Digest> {
    row.get(column).map(Digest)
}

/// A reason from two columns, code and detail.
pub(crate) fn reason(row: &Row<'_>, code: usize, detail: usize) -> rusqlite::Result<Option<Reason>> {
    let code: Option<String> = row.get(code)?;
    let detail: Option<String> = row.get(detail)?;
    Ok(code.map(|code| Reason { code, detail: detail.unwrap_or_default() }))
}

/// Turns a stored number into the state it stands for; any other number is damage.
pub(crate) fn known<T>(state: Option<T>, place: &str) -> Result<T, StoreError> {
    state.ok_or_else(|| StoreError::corrupt(format!("unknown number in {place}")))
}

/// Round trips per region as one blob, big-endian.
pub(crate) fn latency_to_blob(latency_ms: &[u16]) -> Vec<u8> {
    latency_ms.iter().flat_map(|latency| latency.to_be_bytes()).collect()
}

/// The round trips of such a blob.
pub(crate) fn latency_from_blob(blob: &[u8]) -> Vec<u16> {
    blob.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}
