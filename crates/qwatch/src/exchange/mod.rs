//! Records on their way out of a journal and into another: JSON Lines for every tool there is, Parquet for
//! those that count.
//!
//! Both forms hold all that the journal holds of machines, runs and records, and come back byte for byte as
//! QEMU sent it. What they do not hold is the recorder's own: cursors of followers, connections.

pub mod jsonl;
#[cfg(feature = "parquet")]
pub mod parquet;

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;

use thiserror::Error;

use crate::journal::{LoadError, Loaded, Loader, Query, ReadError, Reader, Run};
use crate::output::escape;
use crate::record::{Origin, Record};

/// A record that can be written down again as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The record.
    pub record: Record,
    /// The line QEMU sent, or the text of a note, if it is not what `record` says byte for byte.
    pub raw: Option<String>,
}

/// What goes over, in this order: a run before its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A run of a machine.
    Run(String, Run),
    /// A record.
    Record(Exported),
}

/// Where exported records go.
pub trait Sink {
    /// Takes one.
    ///
    /// # Errors
    /// When it cannot be written.
    fn put(&mut self, item: &Item) -> Result<(), ExchangeError>;

    /// Writes what is left.
    ///
    /// # Errors
    /// When it cannot be written.
    fn finish(&mut self) -> Result<(), ExchangeError>;
}

/// Records that cannot be handed over.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file is not what it should be.
    #[error("{place} {number}: {message}")]
    Malformed {
        /// `line` or `row`.
        place: &'static str,
        /// Which, from 1 on.
        number: u64,
        /// What is wrong.
        message: String,
    },
    /// The journal cannot take it in.
    #[error("{place} {number}: {source}")]
    Load {
        /// `line` or `row`.
        place: &'static str,
        /// Which, from 1 on.
        number: u64,
        /// Why not.
        source: LoadError,
    },
    /// The journal cannot be completed.
    #[error(transparent)]
    Finish(#[from] LoadError),
    /// The Parquet library says no.
    #[cfg(feature = "parquet")]
    #[error("{0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
}

/// Hands the records of a query that pass over; gives how many. `progress` is told of numbers.
///
/// # Errors
/// When the journal cannot be read, or the sink not written.
pub fn export(
    reader: &Reader,
    query: &Query<'_>,
    passes: &dyn Fn(&Record) -> bool,
    sink: &mut dyn Sink,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, ExchangeError> {
    let mut runs: HashMap<u64, (String, Run)> = HashMap::new();
    for machine in reader.machines()? {
        for run in machine.runs {
            runs.insert(run.run, (machine.name.clone(), run));
        }
    }
    let mut count = 0;
    for record in reader.records(query)? {
        let record = record?;
        if !passes(&record) {
            continue;
        }
        // Each run once, before its first record.
        if let Some(run) = record.run
            && let Some((machine, run)) = runs.remove(&run)
        {
            sink.put(&Item::Run(machine, run))?;
        }
        let raw = raw(reader, &record)?;
        count += 1;
        if count % 1024 == 0 {
            progress(record.seq.unwrap_or(0));
        }
        sink.put(&Item::Record(Exported { record, raw }))?;
    }
    sink.finish()?;
    Ok(count)
}

/// What must be kept of a record besides its parts.
fn raw(reader: &Reader, record: &Record) -> Result<Option<String>, ReadError> {
    let seq = record.seq.unwrap_or(0);
    if let Some(raw) = reader.raw(seq)? {
        return Ok(Some(raw));
    }
    let Some(data) = record.data.as_deref() else {
        return Ok(None);
    };
    // Printed, it would not be the same bytes.
    let altered = data.contains(['\n', '\r'])
        || matches!(escape::visible_json(data), Cow::Owned(_))
        || serde_json::from_str::<serde::de::IgnoredAny>(data).is_err();
    match (altered, record.origin) {
        (false, _) => Ok(None),
        (true, Origin::Qwatch) => Ok(record.data.clone()),
        (true, Origin::Qemu) => reader.line(seq),
    }
}

/// Takes items into a journal as they come.
pub struct Importer {
    loader: Loader,
    place: &'static str,
}

impl Importer {
    /// `place` is what the parts of the file are called: `line` or `row`.
    pub fn new(loader: Loader, place: &'static str) -> Self {
        Self { loader, place }
    }

    /// Takes one in; `number` says where it was found.
    ///
    /// # Errors
    /// When it is no record, or the journal cannot be written.
    pub fn take(&mut self, number: u64, item: &Item) -> Result<(), ExchangeError> {
        let place = self.place;
        let loaded = match item {
            Item::Run(machine, run) => self.loader.run(machine, run),
            Item::Record(exported) => self
                .loader
                .record(&exported.record, exported.raw.as_deref()),
        };
        loaded.map_err(|source| ExchangeError::Load {
            place,
            number,
            source,
        })
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn finish(self) -> Result<Loaded, ExchangeError> {
        Ok(self.loader.finish()?)
    }
}
