//! Snapshots: what a machine's state was at a record, so that nobody need fold the journal from its
//! beginning. A cache: without it everything is as before, only slower.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{ReadError, Reader};

/// A folded state, on its way into the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Whose.
    pub run: u64,
    /// Number of the last record in it.
    pub seq: u64,
    /// When that was received, microseconds since 1970.
    pub received_us: i64,
    /// The state; only who folds knows its form.
    pub state: String,
}

/// SQL of the layout.
pub(super) const LAYOUT: &str = "
CREATE TABLE snapshot (
    run INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    received INTEGER NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
";

impl Snapshot {
    /// Writes it, over an older one of the same record.
    pub(super) fn write(&self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        tx.prepare_cached(
            "INSERT OR REPLACE INTO snapshot(run, seq, received, state) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            self.run.cast_signed(),
            self.seq.cast_signed(),
            self.received_us,
            self.state
        ])?;
        Ok(())
    }

    /// Bytes this takes in the queue.
    pub(super) fn cost_bytes(&self) -> usize {
        crate::limits::QUEUE_ENTRY_BYTES + self.state.len()
    }
}

impl Reader {
    /// The newest snapshot of a run, or the newest that holds nothing received after a moment: the number
    /// of the last record in it, and the state.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn snapshot(
        &self,
        run: u64,
        at_us: Option<i64>,
    ) -> Result<Option<(u64, String)>, ReadError> {
        let found = self
            .conn
            .prepare_cached(
                "SELECT seq, state FROM snapshot WHERE run = ?1 AND received <= ?2 ORDER BY seq DESC LIMIT 1",
            )?
            .query_row(params![run.cast_signed(), at_us.unwrap_or(i64::MAX)], |row| {
                Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?))
            })
            .optional()?;
        Ok(found)
    }

    /// How many records each run has among those with the numbers `after + 1 ..= last`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn counts_by_run(&self, after: u64, last: u64) -> Result<Vec<(u64, u64)>, ReadError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT run, count(*) FROM event WHERE seq > ?1 AND seq <= ?2 GROUP BY run",
        )?;
        let counts =
            statement.query_map(params![after.cast_signed(), last.cast_signed()], |row| {
                let (run, count): (i64, i64) = (row.get(0)?, row.get(1)?);
                Ok((run.unsigned_abs(), count.unsigned_abs()))
            })?;
        Ok(counts.collect::<rusqlite::Result<_>>()?)
    }

    /// How many records of a run, up to `limit`, come after its newest snapshot. Those that are not placed
    /// yet do not count.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn count_since_snapshot(&self, run: u64, limit: u64) -> Result<u64, ReadError> {
        let count: i64 = self
            .conn
            .prepare_cached(
                "SELECT count(*) FROM (SELECT 1 FROM place WHERE run = ?1 AND seq > \
                    coalesce((SELECT max(seq) FROM snapshot WHERE run = ?1), 0) LIMIT ?2)",
            )?
            .query_row(params![run.cast_signed(), limit.cast_signed()], |row| {
                row.get(0)
            })?;
        Ok(count.unsigned_abs())
    }
}
