//! The option that names the journal, the same in every command that reads it.

use std::path::PathBuf;

use super::Failure;
use crate::config;
use crate::journal::{Follower, OpenError, Reader};

#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct JournalArg {
    /// The journal to read
    ///
    /// By default /var/lib/qwatch/journal.db for root, else $XDG_STATE_HOME/qwatch/journal.db
    /// (~/.local/state if that is not set), or the system's if the user has none. A copy of a journal can be
    /// read as well, from any folder; copy the file ending in -wal with it if there is one.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

impl JournalArg {
    /// Whether the user has named one.
    pub(crate) fn is_given(&self) -> bool {
        self.journal.is_some()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.journal.clone().unwrap_or_else(config::journal_to_read)
    }

    pub(crate) fn reader(&self) -> Result<Reader, Failure> {
        Ok(Reader::open(&self.path())?)
    }

    pub(crate) fn follower(&self) -> Result<Follower, Failure> {
        Ok(Follower::open(&self.path())?)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let failure = Self::new(&error);
        match error {
            _ if error.is_damage() => failure.hint(SALVAGE),
            OpenError::Foreign(_) => failure.hint(WAS_A_JOURNAL),
            _ => failure,
        }
    }
}

impl From<crate::journal::ReadError> for Failure {
    fn from(error: crate::journal::ReadError) -> Self {
        let failure = Self::new(&error);
        match error.is_damage() {
            true => failure.hint(CHECK).hint(SALVAGE),
            false => failure,
        }
    }
}

const CHECK: &str = "qwatch journal check says what else is damaged";
const SALVAGE: &str = "qwatch journal salvage OLD NEW copies what can be read into a new journal";
const WAS_A_JOURNAL: &str = "if it was one, its first page is damaged: qwatch journal salvage OLD NEW copies what can be read";
