//! What was removed on purpose, as a reader sees it.

use rusqlite::{Connection, OptionalExtension, params};

use crate::limits::ZONE_RECORDS;

const BLOCK: i64 = ZONE_RECORDS.cast_signed();

/// What is not in the journal any more because it was not to be kept longer (or could not be).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many records.
    pub records: u64,
    /// No record above this number was removed.
    pub through: u64,
    /// The latest time among them, microseconds since 1970.
    pub until_us: Option<i64>,
}

/// All that was removed.
pub(super) fn total(conn: &Connection) -> rusqlite::Result<Removed> {
    conn.prepare_cached(
        "SELECT coalesce(sum(records), 0), coalesce(max(last), 0), max(until) FROM removal",
    )?
    .query_row([], |row| {
        Ok(Removed {
            records: row.get::<_, i64>(0)?.unsigned_abs(),
            through: row.get::<_, i64>(1)?.unsigned_abs(),
            until_us: row.get(2)?,
        })
    })
}

/// The first of these missing numbers that nobody removed; `None` if all of them were.
///
/// Each block says how many of its numbers were removed, not which. So a block that has lost both may hide
/// the one behind the other here; `qwatch journal check` counts, and finds it.
pub(super) fn unexplained(
    conn: &Connection,
    first: i64,
    last: i64,
) -> rusqlite::Result<Option<i64>> {
    let thinned: i64 = conn
        .prepare_cached("SELECT thinned FROM journal")?
        .query_row([], |row| row.get(0))?;
    if last > thinned {
        return Ok(Some(first.max(thinned + 1)));
    }
    let (from, to) = (first / BLOCK, last / BLOCK);
    for block in [from, to] {
        let (low, high) = (first.max(block * BLOCK), last.min((block + 1) * BLOCK - 1));
        // A block without a row has lost everything.
        let removed = removed_of(conn, block)?.unwrap_or(BLOCK);
        if high - low + 1 > removed {
            return Ok(Some(low));
        }
    }
    let within: Option<i64> = conn
        .prepare_cached(
            "SELECT block FROM zone WHERE block > ?1 AND block < ?2 AND removed < ?3 - iif(block = 0, 1, 0) \
             ORDER BY block LIMIT 1",
        )?
        .query_row(params![from, to, BLOCK], |row| row.get(0))
        .optional()?;
    Ok(within.map(|block| block * BLOCK))
}

fn removed_of(conn: &Connection, block: i64) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT removed FROM zone WHERE block = ?1")?
        .query_row([block], |row| row.get(0))
        .optional()
}
