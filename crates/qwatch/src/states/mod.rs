//! The states of machines, out of a journal: as they are now, or as they were.

mod keeper;

pub use keeper::keep;

use crate::journal::{Machine, Query, ReadError, Reader, Run};
use crate::limits::EVIDENCE_WINDOW_US;
use crate::machine::State;
use crate::record::{Origin, Record};

/// A state, and up to where it was folded.
#[derive(Clone, Debug)]
pub struct Known {
    /// The state.
    pub state: State,
    /// The run it is of.
    pub run: u64,
    /// Number of the last record in it; 0 if there is none.
    pub seq: u64,
}

/// The state of a machine: the last known, or that at a moment; `None` if it was not known of then.
///
/// A snapshot and the records after it are read, so it takes no longer the longer the journal is.
///
/// # Errors
/// When the journal cannot be read.
pub fn load(
    reader: &Reader,
    machine: &Machine,
    at_us: Option<i64>,
) -> Result<Option<Known>, ReadError> {
    let until_us = at_us.unwrap_or(i64::MAX);
    let mut runs = machine
        .runs
        .iter()
        .filter(|run| run.attached_us <= until_us);
    let Some(run) = runs.next_back() else {
        return Ok(None);
    };
    let mut known = load_run(reader, run, at_us)?;
    if let Some(before) = runs.next_back() {
        let before = load_run(reader, before, None)?;
        known.state.succeed(&before.state);
    }
    Ok(Some(known))
}

fn load_run(reader: &Reader, run: &Run, at_us: Option<i64>) -> Result<Known, ReadError> {
    let (mut state, mut seq) = start(reader, run.run, at_us)?;
    let query = Query::default().run(run.run).after(seq);
    let mut past = false;
    for record in reader.records(&query)? {
        let record = record?;
        if let Some(at_us) = at_us {
            past |= record.received_us > at_us;
            if record.received_us > at_us.saturating_add(EVIDENCE_WINDOW_US)
                || (past && turns(&record))
            {
                break;
            }
            if past && !is_evidence(&record, at_us) {
                continue;
            }
        }
        state.apply(&record);
        seq = record.seq.unwrap_or(seq);
    }
    Ok(Known {
        state,
        run: run.run,
        seq,
    })
}

/// The newest snapshot that does not reach beyond the moment.
fn start(reader: &Reader, run: u64, at_us: Option<i64>) -> Result<(State, u64), ReadError> {
    let snapshot = reader.snapshot(run, at_us)?;
    let restored = snapshot.and_then(|(seq, text)| Some((State::from_snapshot(&text)?, seq)));
    Ok(restored.unwrap_or_default())
}

/// What was received a little later and tells of the moment: an event that was held back, an answer to a
/// question about it, the event that completes a story.
fn is_evidence(record: &Record, at_us: i64) -> bool {
    match record.origin {
        Origin::Qwatch => record.name == "state",
        Origin::Qemu => {
            record.time_us() <= at_us
                || matches!(record.name.as_str(), "MIGRATION" | "DUMP_COMPLETED")
        }
    }
}

/// After such a record it is another story.
fn turns(record: &Record) -> bool {
    matches!(
        record.name.as_str(),
        "STOP"
            | "RESUME"
            | "RESET"
            | "SHUTDOWN"
            | "SUSPEND"
            | "WAKEUP"
            | "GUEST_PANICKED"
            | "attached"
            | "detached"
            | "gap"
    )
}
