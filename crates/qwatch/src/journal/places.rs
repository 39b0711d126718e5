//! Which records a run has: an index that is written behind.
//!
//! An ordinary index over the run of each record would be touched in as many places as machines speak in
//! one transaction, and each place is a page of the file that goes through the log. So the places of the
//! last records are kept in memory and written in one go, sorted by run, when there are enough of them.
//! Readers look through the records that are not placed yet; there are never many.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::schema::retention::RECORD_BYTES;
use crate::limits::{PLACES_MIN, PLACES_PER_RUN};

/// The records after the last placed one, by run.
#[derive(Debug, Default)]
pub(super) struct Places {
    by_run: HashMap<i64, Vec<Place>>,
    count: usize,
}

/// One record and about how many bytes it takes in the file.
#[derive(Clone, Copy, Debug)]
struct Place {
    seq: i64,
    bytes: i64,
}

impl Places {
    /// Reads the records that are not placed yet.
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let mut places = Self::default();
        let mut statement = conn.prepare(&format!(
            "SELECT e.run, e.seq, {RECORD_BYTES} FROM event e \
             WHERE e.seq > (SELECT placed FROM journal) ORDER BY e.seq"
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            places.add(row.get(0)?, row.get(1)?, row.get(2)?);
        }
        Ok(places)
    }

    /// Takes note of a record; they come in order.
    pub(super) fn add(&mut self, run: i64, seq: i64, bytes: i64) {
        let place = Place { seq, bytes };
        self.by_run.entry(run).or_default().push(place);
        self.count += 1;
    }

    /// Forgets the records after `seq`: their transaction failed.
    pub(super) fn forget_after(&mut self, seq: i64) {
        for seqs in self.by_run.values_mut() {
            let keep = seqs.partition_point(|known| known.seq <= seq);
            self.count -= seqs.len() - keep;
            seqs.truncate(keep);
        }
        self.by_run.retain(|_, seqs| !seqs.is_empty());
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether it is worth writing them.
    pub(super) fn are_due(&self) -> bool {
        self.count >= PLACES_MIN.max(self.by_run.len() * PLACES_PER_RUN)
    }

    /// Number of the last record of a run, if it is among these.
    pub(super) fn last_of(&self, run: i64) -> Option<i64> {
        Some(self.by_run.get(&run)?.last()?.seq)
    }

    /// Writes all of them, up to `last`; to be cleared when the transaction is committed.
    pub(super) fn write(&self, conn: &Connection, last: i64) -> rusqlite::Result<()> {
        let mut runs: Vec<_> = self.by_run.iter().collect();
        runs.sort_unstable_by_key(|(run, _)| **run);
        let mut insert = conn.prepare_cached("INSERT INTO place(run, seq) VALUES (?1, ?2)")?;
        let mut tally = conn.prepare_cached(
            "INSERT INTO tally(run, records, bytes, removed) VALUES (?1, ?2, ?3, 0) ON CONFLICT(run) \
             DO UPDATE SET records = records + excluded.records, bytes = bytes + excluded.bytes",
        )?;
        for (run, places) in runs {
            for place in places {
                insert.execute(params![run, place.seq])?;
            }
            let bytes: i64 = places.iter().map(|place| place.bytes).sum();
            tally.execute(params![run, places.len() as i64, bytes])?;
        }
        conn.prepare_cached("UPDATE journal SET placed = ?1")?
            .execute([last])?;
        Ok(())
    }

    /// They are on disk.
    pub(super) fn clear(&mut self) {
        self.by_run.clear();
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_transaction_leaves_no_trace() {
        let mut places = Places::default();
        for (run, seq) in [(1, 1), (2, 2), (1, 3), (3, 4), (1, 5)] {
            places.add(run, seq, 100);
        }
        places.forget_after(3);
        assert_eq!(places.len(), 3);
        assert_eq!(
            [1, 2, 3].map(|run| places.last_of(run)),
            [Some(3), Some(2), None]
        );
        places.forget_after(0);
        assert_eq!((places.len(), places.last_of(1)), (0, None));
    }

    #[test]
    fn more_runs_wait_for_more_records() {
        let mut places = Places::default();
        let runs = i64::try_from(PLACES_MIN).expect("small");
        for seq in 0..runs {
            places.add(seq, seq, 100);
        }
        assert!(
            !places.are_due(),
            "one record a run is not worth a page each"
        );
        let mut few = Places::default();
        for seq in 0..runs {
            few.add(seq % 10, seq, 100);
        }
        assert!(few.are_due());
    }
}
