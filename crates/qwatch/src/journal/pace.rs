//! How much goes into one transaction.
//!
//! A transaction is to last [`COMMIT_SHORT`], so that nobody waits long for the others; how many rows that
//! is, is measured. If more and more machines wait, transactions get longer, which costs less a row, up to
//! [`COMMIT_LONG`]; they get shorter again when few are left waiting ([`WAITING_RUNS_FEW`]). One machine that
//! floods is one that waits: it lengthens nothing.

use std::time::Duration;

use crate::limits::{
    COMMIT_LONG, COMMIT_MAX_ROWS, COMMIT_MIN_ROWS, COMMIT_SHORT, WAITING_RUNS_FEW,
};

/// The measure of transactions.
#[derive(Debug)]
pub(super) struct Pace {
    target: Duration,
    rows_per_second: f64,
    waiting_runs: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            target: COMMIT_SHORT,
            rows_per_second: 100_000.0,
            waiting_runs: 0,
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

    /// A transaction is done, and records of so many runs had to wait for the next.
    pub(super) fn committed(&mut self, rows: usize, took: Duration, waiting_runs: usize) {
        if waiting_runs <= WAITING_RUNS_FEW {
            self.target = (self.target / 2).max(COMMIT_SHORT);
        } else if waiting_runs > self.waiting_runs {
            self.target = (self.target * 2).min(COMMIT_LONG);
        }
        self.waiting_runs = waiting_runs;
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
        let commit = |pace: &mut Pace, waiting| {
            let rows = pace.rows();
            // A tenth of a millisecond a row.
            let took = Duration::from_micros(rows as u64 * 100);
            pace.committed(rows, took, waiting);
        };
        for _ in 0..100 {
            commit(&mut pace, WAITING_RUNS_FEW);
        }
        assert!(pace.rows() <= short, "one that floods lengthens nothing");
        for waiting in WAITING_RUNS_FEW..100 {
            commit(&mut pace, waiting);
        }
        let long = pace.rows();
        assert!(long > short && Duration::from_micros(long as u64 * 100) <= COMMIT_LONG * 11 / 10);
        for _ in 0..100 {
            commit(&mut pace, 50);
        }
        assert!(
            pace.rows() >= long * 9 / 10,
            "as many as before is no reason"
        );
        for _ in 0..20 {
            commit(&mut pace, 0);
        }
        assert_eq!(pace.rows(), COMMIT_MIN_ROWS);
    }
}
