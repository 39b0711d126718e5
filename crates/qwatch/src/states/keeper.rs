//! Keeps snapshots: in the recorder, behind the writer, so that opening a long journal is quick.
//!
//! It follows the journal as any reader does. It holds a number a run and no states: when a run has enough
//! new records, they are folded on from its last snapshot. Falling behind costs nobody anything.

use std::collections::HashMap;

use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::start;
use crate::journal::{Query, ReadError, Reader, Snapshot, Writer};
use crate::limits::{READ_SPAN_RECORDS, SNAPSHOT_RECORDS, SNAPSHOTS_AT_ONCE};

/// Writes snapshots as the journal grows, until it is closed.
///
/// # Errors
/// When the journal cannot be read.
pub async fn keep(
    reader: Reader,
    writer: Writer,
    mut position: watch::Receiver<u64>,
) -> Result<(), ReadError> {
    let mut keeper = Keeper {
        looked: reader.last_seq()?,
        reader,
        fresh: HashMap::new(),
    };
    loop {
        let next = keeper.looked.saturating_add(SNAPSHOT_RECORDS / 2);
        let Ok(seq) = position.wait_for(|seq| *seq >= next).await.map(|seq| *seq) else {
            return Ok(());
        };
        loop {
            // A panic of the fold must not be the recorder's.
            let looked = spawn_blocking(move || {
                let snapshots = keeper.look(seq);
                (keeper, snapshots)
            });
            let Ok((back, snapshots)) = looked.await else {
                tracing::error!("no more snapshots are made: folding a state failed");
                return Ok(());
            };
            keeper = back;
            let snapshots = snapshots?;
            let done = snapshots.len() < SNAPSHOTS_AT_ONCE;
            for snapshot in snapshots {
                if writer.keep(snapshot).await.is_err() {
                    return Ok(());
                }
            }
            if done && keeper.looked >= seq {
                break;
            }
        }
    }
}

struct Keeper {
    reader: Reader,
    /// Number of the last record that was counted.
    looked: u64,
    /// Records of each run since its last snapshot, at least.
    fresh: HashMap<u64, u64>,
}

impl Keeper {
    /// Counts on, and folds what has grown enough; at most [`SNAPSHOTS_AT_ONCE`] snapshots.
    fn look(&mut self, seq: u64) -> Result<Vec<Snapshot>, ReadError> {
        let until = seq.min(self.looked.saturating_add(READ_SPAN_RECORDS.unsigned_abs()));
        for (run, count) in self.reader.counts_by_run(self.looked, until)? {
            if let Some(fresh) = self.fresh.get_mut(&run) {
                *fresh += count;
                continue;
            }
            // First seen by this recorder: an earlier one may have left some.
            let left = self.reader.count_since_snapshot(run, SNAPSHOT_RECORDS)?;
            self.fresh.insert(run, count + left);
        }
        self.looked = until.max(self.looked);
        let due = self
            .fresh
            .iter()
            .filter(|(_, fresh)| **fresh >= SNAPSHOT_RECORDS);
        let mut due: Vec<u64> = due.map(|(run, _)| *run).collect();
        due.sort_unstable();
        let mut snapshots = Vec::new();
        for run in due {
            if snapshots.len() >= SNAPSHOTS_AT_ONCE {
                break;
            }
            self.fold(run, &mut snapshots)?;
        }
        Ok(snapshots)
    }

    fn fold(&mut self, run: u64, snapshots: &mut Vec<Snapshot>) -> Result<(), ReadError> {
        let (mut state, seq) = start(&self.reader, run, None)?;
        let mut fresh = 0;
        for record in self.reader.records(&Query::default().run(run).after(seq))? {
            let record = record?;
            state.apply(&record);
            fresh += 1;
            if fresh == SNAPSHOT_RECORDS
                && let Some(seq) = record.seq
            {
                fresh = 0;
                snapshots.push(Snapshot {
                    run,
                    seq,
                    received_us: record.received_us,
                    state: state.to_snapshot(),
                });
                if snapshots.len() >= SNAPSHOTS_AT_ONCE {
                    // The rest is still due.
                    return Ok(());
                }
            }
        }
        self.fresh.insert(run, fresh);
        Ok(())
    }
}
