//! Filling a journal with records that were recorded elsewhere.

use std::collections::HashMap;
use std::path::Path;

use qmp_events::DecodeError;
use thiserror::Error;

use super::entry::qemus_line;
use super::lock::WriterLock;
use super::retention::Reason;
use super::store::{Change, Store};
use super::{Entry, Note, OpenError, Run, RunId, Settings};
use crate::limits::LOAD_ROWS;
use crate::record::{Origin, Record};
use crate::time;

/// Records that cannot be taken in.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// SQLite said no.
    #[error("cannot write the journal: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The text is no event.
    #[error("{0}")]
    NotAnEvent(#[from] DecodeError),
    /// A note nobody knows.
    #[error(
        "`{0}` is no note of the recorder; this qwatch knows attached, detached, gap, state and garbage"
    )]
    UnknownNote(String),
    /// A number that is not above the one before.
    #[error("record {found} comes after record {before}; they must be in order")]
    Disorder {
        /// The number before.
        before: i64,
        /// The number that came.
        found: i64,
    },
}

/// What was taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Records.
    pub records: u64,
    /// Numbers of the first and the last of them here.
    pub numbers: Option<(u64, u64)>,
    /// The numbers are those they had.
    pub same_numbers: bool,
}

/// Takes in runs and records. Nothing else may write the journal meanwhile.
pub struct Loader {
    store: Store,
    keep_numbers: bool,
    missing: Reason,
    runs: HashMap<u64, RunId>,
    /// Runs of which only the machine's name is known.
    nameless: HashMap<(String, Option<u64>), RunId>,
    waiting: Vec<(RunId, Option<i64>, Entry)>,
    loaded: Loaded,
    _lock: WriterLock,
}

impl Loader {
    /// Opens or makes the journal. Records that come into an empty one keep their numbers.
    ///
    /// # Errors
    /// When another process writes it, when it is no journal or a newer one, or the disk refuses.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::with_reason(path, Reason::Import)
    }

    pub(super) fn with_reason(path: &Path, missing: Reason) -> Result<Self, OpenError> {
        let lock = WriterLock::take(path)?;
        let store = Store::open(path, &Settings::default(), time::now_us())?;
        let keep_numbers = store.last_seq() == 0;
        Ok(Self {
            store,
            keep_numbers,
            missing,
            runs: HashMap::new(),
            nameless: HashMap::new(),
            waiting: Vec::new(),
            loaded: Loaded {
                same_numbers: keep_numbers,
                ..Loaded::default()
            },
            _lock: lock,
        })
    }

    /// Takes in a run; records of its number belong to it from now on.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn run(&mut self, machine: &str, run: &Run) -> Result<(), LoadError> {
        let id = self.store.load_run(machine, run)?;
        self.runs.insert(run.run, id);
        Ok(())
    }

    /// Takes in a record. `raw` is the line QEMU sent, or the text of a note, where `record` does not say it
    /// byte for byte.
    ///
    /// # Errors
    /// When it is no record, or the journal cannot be written.
    pub fn record(&mut self, record: &Record, raw: Option<&str>) -> Result<(), LoadError> {
        let received_us = record.received_us;
        let entry = match record.origin {
            Origin::Qemu => match (raw, record.timestamp) {
                (Some(raw), _) => Entry::event(raw, received_us)?,
                (None, Some(stamp)) => {
                    let line = qemus_line(stamp, &record.name, record.data.as_deref());
                    Entry::event(&line, received_us)?
                }
                (None, None) => {
                    let name = serde_json::Value::from(record.name.as_str());
                    let data = record
                        .data
                        .as_deref()
                        .map_or(String::new(), |data| format!(", \"data\": {data}"));
                    Entry::event(&format!("{{\"event\": {name}{data}}}"), received_us)?
                }
            },
            Origin::Qwatch => {
                let note = Note::ALL
                    .into_iter()
                    .find(|note| note.name() == record.name);
                let note = note.ok_or_else(|| LoadError::UnknownNote(record.name.clone()))?;
                let data = raw.or(record.data.as_deref()).unwrap_or("{}");
                Entry::note(note, data.to_owned(), received_us)
            }
        };
        let run = self.run_of(record)?;
        self.push(run, record.seq, entry)
    }

    /// Takes in an entry that is ready.
    pub(super) fn entry(&mut self, run: u64, seq: i64, entry: Entry) -> Result<(), LoadError> {
        let run = match self.runs.get(&run) {
            Some(&id) => id,
            None => self.nameless_run(&format!("lost-run-{run}"), Some(run))?,
        };
        self.push(run, Some(seq.unsigned_abs()), entry)
    }

    /// From here on missing numbers are missing for this reason.
    pub(super) fn missing(&mut self, reason: Reason) -> Result<(), LoadError> {
        if reason != self.missing {
            self.flush()?;
            self.missing = reason;
        }
        Ok(())
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn finish(mut self) -> Result<Loaded, LoadError> {
        self.flush()?;
        self.store.end_loaded_runs()?;
        self.store.settle(0)?;
        self.store.checkpoint()?;
        Ok(self.loaded)
    }

    fn push(&mut self, run: RunId, seq: Option<u64>, entry: Entry) -> Result<(), LoadError> {
        let number = seq.filter(|_| self.keep_numbers);
        self.loaded.same_numbers &= number.is_some();
        let number = number.map(|seq| i64::try_from(seq).unwrap_or(i64::MAX));
        self.waiting.push((run, number, entry));
        if self.waiting.len() >= LOAD_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LoadError> {
        let mut last = self.store.last_seq().cast_signed();
        let before = last;
        let mut changes = Vec::with_capacity(self.waiting.len());
        for (run, seq, entry) in &self.waiting {
            if let Some(seq) = *seq {
                if seq <= last || seq > LAST_NUMBER {
                    return Err(LoadError::Disorder {
                        before: last,
                        found: seq,
                    });
                }
                if seq > last + 1 {
                    changes.push(Change::Skip {
                        to: seq - 1,
                        reason: self.missing,
                    });
                }
                last = seq;
            } else {
                last += 1;
            }
            changes.push(Change::Append {
                run: *run,
                entries: std::slice::from_ref(entry),
                end: None,
                mark: None,
            });
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.store.commit(&changes)?;
        drop(changes);
        let first = self.waiting[0].1.unwrap_or(before + 1).unsigned_abs();
        let numbers = self.loaded.numbers.get_or_insert((first, first));
        numbers.1 = self.store.last_seq();
        self.loaded.records += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    fn run_of(&mut self, record: &Record) -> Result<RunId, LoadError> {
        match record.run.and_then(|run| self.runs.get(&run)) {
            Some(&id) => Ok(id),
            None => self.nameless_run(&record.machine, record.run),
        }
    }

    fn nameless_run(&mut self, machine: &str, run: Option<u64>) -> Result<RunId, LoadError> {
        let key = (machine.to_owned(), run);
        if let Some(&id) = self.nameless.get(&key) {
            return Ok(id);
        }
        let id = self.store.load_run(machine, &Run::default())?;
        self.nameless.insert(key, id);
        Ok(id)
    }
}

/// Numbers beyond it are no work of a recorder.
const LAST_NUMBER: i64 = 1 << 53;
