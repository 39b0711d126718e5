//! What can go wrong with a journal.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A journal that cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process writes it.
    #[error(
        "{} is being written by {}; a journal has one recorder. \
         Stop that one, or give this one its own file with --journal",
        path.display(),
        owner(*pid)
    )]
    Locked {
        /// The journal.
        path: PathBuf,
        /// Who holds it, if the lock file says.
        pid: Option<u32>,
    },
    /// There is no file.
    #[error("there is no journal at {}; `qwatch record` makes one, --journal names another", .0.display())]
    Missing(PathBuf),
    /// The file is something else.
    #[error("{} is not a journal of qwatch", .0.display())]
    Foreign(PathBuf),
    /// A later qwatch made it.
    #[error(
        "{} has the layout {found} of a newer qwatch; this one knows layouts up to {known}: update qwatch",
        path.display()
    )]
    Newer {
        /// The journal.
        path: PathBuf,
        /// Its layout.
        found: i64,
        /// The latest layout known here.
        known: i64,
    },
    /// An earlier qwatch made it and it cannot be brought up to date by a reader.
    #[error(
        "{} has the layout {found} of an older qwatch; \
         `qwatch record` on it (or on a copy) brings it to layout {known}",
        path.display()
    )]
    Older {
        /// The journal.
        path: PathBuf,
        /// Its layout.
        found: i64,
        /// The layout read here.
        known: i64,
    },
    /// The file system said no.
    #[error("cannot open the journal {}: {source}", path.display())]
    Io {
        /// The journal, or the file beside it.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// SQLite said no.
    #[error("cannot open the journal {}: {source}", path.display())]
    Sqlite {
        /// The journal.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
}

/// A journal that cannot be read on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// SQLite said no.
    #[error("cannot read the journal: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A record is missing between two others.
    #[error("the journal is damaged: record {expected} is missing, {found} follows")]
    Hole {
        /// The number that should have come.
        expected: u64,
        /// The number that came.
        found: i64,
    },
    /// A row refers to something that is not there, or holds a number that cannot be.
    #[error("the journal is damaged: record {seq} has {what}")]
    Damaged {
        /// The record.
        seq: i64,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// A record that could not be handed to the journal, or was not committed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// The writer has ended.
    #[error("the journal is closed")]
    Closed,
    /// The writer ended while the disk refused; what was queued is lost.
    #[error("the journal was closed while it could not be written: {0}")]
    Lost(String),
}

impl OpenError {
    /// Whether the file is a journal that is damaged, so that salvaging it is worth a try.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Sqlite { source, .. } if is_corrupt(source))
    }
}

impl ReadError {
    /// Whether the file is damaged, so that salvaging it is worth a try.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Sqlite(source) => is_corrupt(source),
            Self::Hole { .. } | Self::Damaged { .. } => true,
        }
    }
}

fn is_corrupt(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(
        error.sqlite_error_code(),
        Some(DatabaseCorrupt | NotADatabase)
    ) || matches!(
        error,
        rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::Utf8Error(..)
    )
}

fn owner(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("another qwatch (process {pid})"),
        None => "another qwatch".to_owned(),
    }
}
