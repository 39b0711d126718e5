//! The statements of retention: what may go, and taking it away in small transactions.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::super::entry::Note;
use super::super::schema::retention::RECORD_BYTES;
use crate::limits::ZONE_RECORDS;

const BLOCK: i64 = ZONE_RECORDS.cast_signed();

/// One record, as far as its end is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) seq: i64,
    pub(super) run: i64,
    pub(super) time_us: i64,
    pub(super) bytes: i64,
}

/// What goes of one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Share {
    pub(super) seqs: Vec<i64>,
    pub(super) bytes: i64,
    pub(super) until_us: i64,
}

/// Why records are removed; the words in `removals.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Reason {
    /// They were older than is kept.
    Age,
    /// The journal, or the machine, had more than is kept.
    Size,
    /// They could not be read out of a damaged journal.
    Damage,
    /// They were not in what was imported.
    Import,
}

impl Reason {
    fn word(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Size => "size",
            Self::Damage => "damage",
            Self::Import => "import",
        }
    }
}

/// Blocks behind `after` with the earliest time in each, in order.
pub(super) fn zones(
    conn: &Connection,
    after: i64,
    limit: usize,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    conn.prepare_cached(
        "SELECT block, earliest FROM zone WHERE block > ?1 ORDER BY block LIMIT ?2",
    )?
    .query_map(params![after, limit as i64], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?
    .collect()
}

/// The records of a block that are there.
pub(super) fn records(conn: &Connection, block: i64) -> rusqlite::Result<Vec<Candidate>> {
    conn.prepare_cached(&format!(
        "SELECT e.seq, e.run, iif(e.stamp = -1, e.lag, coalesce(e.stamp, e.lag)), {RECORD_BYTES} \
         FROM event e WHERE e.seq >= ?1 AND e.seq < ?2 ORDER BY e.seq"
    ))?
    .query_map(params![block * BLOCK, (block + 1) * BLOCK], candidate)?
    .collect()
}

/// The oldest records of a run that are placed.
pub(super) fn oldest_of_run(
    conn: &Connection,
    run: i64,
    after: i64,
    limit: usize,
) -> rusqlite::Result<Vec<Candidate>> {
    conn.prepare_cached(&format!(
        "SELECT e.seq, e.run, iif(e.stamp = -1, e.lag, coalesce(e.stamp, e.lag)), {RECORD_BYTES} \
         FROM place p JOIN event e ON e.seq = p.seq WHERE p.run = ?1 AND p.seq > ?2 ORDER BY p.seq LIMIT ?3"
    ))?
    .query_map(params![run, after, limit as i64], candidate)?
    .collect()
}

fn candidate(row: &rusqlite::Row<'_>) -> rusqlite::Result<Candidate> {
    Ok(Candidate {
        seq: row.get(0)?,
        run: row.get(1)?,
        time_us: row.get(2)?,
        bytes: row.get(3)?,
    })
}

/// How far the slowest durable follower has come.
pub(super) fn slowest_cursor(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT min(seq) FROM cursor")?
        .query_row([], |row| row.get(0))
}

/// The runs that are being recorded.
pub(super) fn live_runs(conn: &Connection) -> rusqlite::Result<Vec<i64>> {
    conn.prepare_cached("SELECT id FROM run WHERE detached IS NULL")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// The last `state` record of each of these runs; those that say what was asked for hold only that.
pub(super) fn last_states(conn: &Connection, runs: &[i64]) -> rusqlite::Result<BTreeMap<i64, i64>> {
    let mut found = BTreeMap::new();
    let mut statement = conn.prepare_cached(
        "SELECT run, seq FROM event WHERE name = ?1 AND name < 64 \
            AND data NOT LIKE '{\"asked\"%' ORDER BY seq DESC",
    )?;
    let mut rows = statement.query([Note::State.number()])?;
    while found.len() < runs.len()
        && let Some(row) = rows.next()?
    {
        let run: i64 = row.get(0)?;
        if runs.binary_search(&run).is_ok() {
            found.entry(run).or_insert(row.get(1)?);
        }
    }
    Ok(found)
}

/// The newest snapshot of the state of a run: what is before it is not needed to tell the state.
pub(super) fn last_snapshot(conn: &Connection, run: i64) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT max(seq) FROM snapshot WHERE run = ?1")?
        .query_row([run], |row| row.get(0))
}

/// The name of the machine a run is of.
pub(super) fn machine_of(conn: &Connection, run: i64) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached(
        "SELECT m.name FROM run r JOIN machine m ON m.id = r.machine WHERE r.id = ?1",
    )?
    .query_row([run], |row| row.get(0))
    .optional()
}

/// Machines with their runs, oldest first, and how many bytes each run takes.
pub(super) fn sizes(conn: &Connection) -> rusqlite::Result<BTreeMap<String, Vec<(i64, i64)>>> {
    let mut machines: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
    let mut statement = conn.prepare_cached(
        "SELECT m.name, r.id, t.bytes FROM machine m JOIN run r ON r.machine = m.id \
         JOIN tally t ON t.run = r.id ORDER BY r.id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let runs = machines.entry(row.get(0)?).or_default();
        runs.push((row.get(1)?, row.get(2)?));
    }
    Ok(machines)
}

/// Bytes of the file that hold something; pages that are free for what comes do not count.
pub(super) fn used_bytes(conn: &Connection) -> rusqlite::Result<u64> {
    let ask = |pragma: &str| -> rusqlite::Result<u64> {
        conn.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
            .map(|value| value.max(0).unsigned_abs())
    };
    Ok((ask("page_count")? - ask("freelist_count")?) * ask("page_size")?)
}

/// Writes down between which numbers a removal is under way, so that a successor can mend it.
pub(super) fn intend(conn: &Connection, above: i64, last: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE journal SET removing_above = ?1, removing_last = ?2")?
        .execute(params![above, last])
        .map(drop)
}

/// The removal is complete.
pub(super) fn intend_nothing(conn: &Connection) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE journal SET removing_above = NULL, removing_last = NULL")?
        .execute([])
        .map(drop)
}

/// Takes records of a run out of the index and out of its tally.
pub(super) fn unplace(conn: &Connection, run: i64, share: &Share) -> rusqlite::Result<()> {
    let mut delete = conn.prepare_cached("DELETE FROM place WHERE run = ?1 AND seq = ?2")?;
    let mut gone = 0;
    for seq in &share.seqs {
        gone += delete.execute(params![run, seq])?;
    }
    // Snapshots go with what they are of; the newest is today's.
    conn.prepare_cached(
        "DELETE FROM snapshot WHERE run = ?1 AND seq <= ?2 \
         AND seq < (SELECT max(seq) FROM snapshot WHERE run = ?1)",
    )?
    .execute(params![run, share.seqs.last()])?;
    // Fewer only where a removal was broken off; then the bytes have been taken off before, in part.
    let bytes = share.bytes * gone as i64 / share.seqs.len().max(1) as i64;
    conn.prepare_cached(
        "UPDATE tally SET records = records - ?2, bytes = max(bytes - ?3, 0), removed = removed + ?2, \
            removed_until = max(coalesce(removed_until, ?4), ?4) WHERE run = ?1",
    )?
    .execute(params![run, gone as i64, bytes, share.until_us])
    .map(drop)
}

/// Deletes records whose numbers are in order, and takes note of what was deleted.
pub(super) fn delete(
    tx: &Transaction<'_>,
    seqs: &[i64],
    reason: Reason,
    until_us: i64,
    now_us: i64,
) -> rusqlite::Result<()> {
    let (Some(&first), Some(&last)) = (seqs.first(), seqs.last()) else {
        return Ok(());
    };
    let mut delete = tx.prepare_cached("DELETE FROM event WHERE seq >= ?1 AND seq <= ?2")?;
    for stretch in seqs.chunk_by(|a, b| a + 1 == *b) {
        delete.execute(params![stretch[0], stretch[stretch.len() - 1]])?;
    }
    for block in seqs.chunk_by(|a, b| a / BLOCK == b / BLOCK) {
        count_removed(tx, block[0] / BLOCK, block.len() as i64)?;
    }
    note_removal(
        tx,
        reason,
        seqs.len() as i64,
        (first, last),
        (Some(until_us), now_us),
    )
}

/// Takes note of numbers that have no record (any more).
pub(in super::super) fn note_removal(
    conn: &Connection,
    reason: Reason,
    records: i64,
    (first, last): (i64, i64),
    (until_us, now_us): (Option<i64>, i64),
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO removal(day, reason, records, first, last, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT(day, reason) DO UPDATE SET records = records + excluded.records, \
            first = min(first, excluded.first), last = max(last, excluded.last), \
            until = max(coalesce(until, excluded.until), coalesce(excluded.until, until))",
    )?
    .execute(params![
        now_us.div_euclid(86_400_000_000),
        reason.word(),
        records,
        first,
        last,
        until_us
    ])?;
    conn.prepare_cached("UPDATE journal SET thinned = max(thinned, ?1)")?
        .execute([last])
        .map(drop)
}

/// Counts what a block has lost; the row of a block that has lost everything goes, unless it still grows.
fn count_removed(conn: &Connection, block: i64, count: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE zone SET removed = removed + ?2 WHERE block = ?1")?
        .execute(params![block, count])?;
    // The block before the first number has one fewer: there is no record 0.
    conn.prepare_cached(
        "DELETE FROM zone WHERE block = ?1 AND removed >= ?2 - iif(block = 0, 1, 0) \
         AND block < (SELECT max(block) FROM zone)",
    )?
    .execute(params![block, BLOCK])
    .map(drop)
}

/// Takes away runs that have ended and have no place left, and machines without a run.
///
/// The caller has left out those with records that are not placed yet. The last run and the last machine stay, so that no number is given twice.
pub(super) fn forget_runs(tx: &Transaction<'_>, runs: &[i64]) -> rusqlite::Result<()> {
    for run in runs {
        let machine: Option<i64> = tx
            .prepare_cached(
                "DELETE FROM run WHERE id = ?1 AND detached IS NOT NULL \
                 AND id < (SELECT max(id) FROM run) \
                 AND NOT EXISTS (SELECT 1 FROM place p WHERE p.run = run.id) RETURNING machine",
            )?
            .query_row([run], |row| row.get(0))
            .optional()?;
        if let Some(machine) = machine {
            for table in ["tally", "snapshot"] {
                tx.prepare_cached(&format!("DELETE FROM {table} WHERE run = ?1"))?
                    .execute([run])?;
            }
            tx.prepare_cached(
                "DELETE FROM machine WHERE id = ?1 AND id < (SELECT max(id) FROM machine) \
                 AND NOT EXISTS (SELECT 1 FROM run r WHERE r.machine = machine.id)",
            )?
            .execute([machine])?;
        }
    }
    Ok(())
}

/// Puts records back into the index that a removal was about to delete when its process ended.
pub(in super::super) fn mend(conn: &mut Connection) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let bounds: (Option<i64>, Option<i64>) = tx
        .query_row(
            "SELECT removing_above, removing_last FROM journal",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?
        .unwrap_or_default();
    let (Some(above), Some(last)) = bounds else {
        return Ok(());
    };
    {
        let mut missing = tx.prepare(&format!(
            "SELECT e.run, e.seq, {RECORD_BYTES} FROM event e WHERE e.seq > ?1 AND e.seq <= ?2 \
             AND NOT EXISTS (SELECT 1 FROM place p WHERE p.run = e.run AND p.seq = e.seq) \
             ORDER BY e.run, e.seq"
        ))?;
        let mut place = tx.prepare("INSERT INTO place(run, seq) VALUES (?1, ?2)")?;
        let mut tally = tx.prepare(
            "UPDATE tally SET records = records + 1, bytes = bytes + ?2, removed = max(removed - 1, 0) \
             WHERE run = ?1",
        )?;
        let mut rows = missing.query(params![above, last])?;
        while let Some(row) = rows.next()? {
            let run: i64 = row.get(0)?;
            place.execute(params![run, row.get::<_, i64>(1)?])?;
            tally.execute(params![run, row.get::<_, i64>(2)?])?;
        }
    }
    intend_nothing(&tx)?;
    tx.commit()
}
