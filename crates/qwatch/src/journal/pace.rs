//! How much goes into one transaction.
//!
//! While several machines wait, a transaction is to last [`COMMIT_SHORT`], so that nobody waits long for
//! the others; how many rows that is, is measured. If more comes than goes that way, transactions get longer,
//! which costs less a row, up to [`COMMIT_LONG`]; they get shorter again when the queue is empty.

use std::time::Duration;

use crate::limits::{COMMIT_LONG, COMMIT_MAX_ROWS, COMMIT_MIN_ROWS, COMMIT_SHORT};

/// The measure of transactions.
#[derive(Debug)]
pub(super) struct Pace {
    target: Duration,
    rows_per_second: f64,
    backlog_bytes: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            target: COMMIT_SHORT,
            rows_per_second: 100_000.0,
            backlog_bytes: 0,
        }
    }
}

impl Pace {
    /// Rows the next transaction may have.
    pub(super) fn rows(&self) -> usize {
        let rows = self.rows_per_second * self.target.as_secs_f64();
        // A float that is out of range becomes the nearest bound.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rows = rows as usize;
        rows.clamp(COMMIT_MIN_ROWS, COMMIT_MAX_ROWS)
    }

    /// A transaction is done, and so many bytes wait.
    pub(super) fn committed(&mut self, rows: usize, took: Duration, backlog_bytes: usize) {
        if backlog_bytes == 0 {
            self.target = (self.target / 2).max(COMMIT_SHORT);
        } else if backlog_bytes > self.backlog_bytes {
            self.target = (self.target * 2).min(COMMIT_LONG);
        }
        self.backlog_bytes = backlog_bytes;
        if rows >= COMMIT_MIN_ROWS / 2 {
            #[expect(clippy::cast_precision_loss, reason = "rows are few")]
            let rate = rows as f64 / took.as_secs_f64().max(1e-6);
            self.rows_per_second = self.rows_per_second.mul_add(0.75, rate * 0.25);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_grow_only_while_more_comes_than_goes() {
        let mut pace = Pace::default();
        let short = pace.rows();
        let commit = |pace: &mut Pace, backlog| {
            let rows = pace.rows();
            // A tenth of a millisecond a row.
            let took = Duration::from_micros(rows as u64 * 100);
            pace.committed(rows, took, backlog);
        };
        for backlog in 1..100 {
            commit(&mut pace, backlog * 1000);
        }
        let long = pace.rows();
        assert!(long > short && Duration::from_micros(long as u64 * 100) <= COMMIT_LONG * 11 / 10);
        for _ in 0..100 {
            commit(&mut pace, 5000);
        }
        assert!(
            pace.rows() >= long * 9 / 10,
            "a backlog that shrinks is no reason"
        );
        for _ in 0..20 {
            commit(&mut pace, 0);
        }
        assert_eq!(pace.rows(), COMMIT_MIN_ROWS);
    }
}
