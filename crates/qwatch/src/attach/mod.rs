//! The recorder: one task a machine, each of which owns its connection.
//!
//! QEMU dials us ([`RecorderSettings::listen`]) or we dial it ([`RecorderSettings::monitors`]). Once it has
//! greeted, it is asked who it is, a run is opened in the journal, and from then on everything it says is
//! handed to the journal's writer in batches. The hand-over waits when the writer's queue is full; then
//! the events wait in the connection's own queue, behind that in the socket, and behind that in QEMU.
//!
//! # Names
//!
//! A machine is called what `query-name` says, else (dialled) its socket file's name without the ending,
//! else its uuid, else `qemu-PID`. Machines that are attached at the same time and have the same name are
//! told apart: the second is `web#PID`. A QEMU that is reached through two of its monitors is recorded
//! through the first only.

mod dial;
mod glob;
mod listen;
mod names;
mod notes;
mod process;
mod session;
mod state;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use qmp_client::{Address, ListenError, Listener};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::journal::{Journal, OpenError, Settings, WriteError, Writer};
use crate::limits::STOP_WAIT;
use crate::time;

pub use glob::{GlobError, SocketGlob};

/// What to record, and where.
#[derive(Clone, Debug)]
pub struct RecorderSettings {
    /// The journal file.
    pub journal: PathBuf,
    /// Addresses at which QEMUs dial in.
    pub listen: Vec<Address>,
    /// Monitors to dial.
    pub monitors: Vec<Monitor>,
}

/// A monitor to dial, or many.
#[derive(Clone, Debug)]
pub enum Monitor {
    /// This one, now or when it comes.
    Address(Address),
    /// Every socket file that fits, looked for again and again.
    Glob(SocketGlob),
}

/// A recorder that cannot work.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The journal cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// One cannot listen.
    #[error("cannot listen at {0}")]
    Listen(#[from] ListenError),
    /// What was recorded last could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A recorder that is set up: its journal is open, its listeners listen.
#[derive(Debug)]
pub struct Recorder {
    journal: Journal,
    listeners: Vec<Listener>,
    monitors: Vec<Monitor>,
    since_us: i64,
}

impl Recorder {
    /// Opens the journal and listens.
    ///
    /// # Errors
    /// When the journal cannot be opened or an address cannot be listened at.
    pub async fn new(settings: RecorderSettings) -> Result<Self, RecordError> {
        let since_us = time::now_us();
        let journal = Journal::open(&settings.journal, &Settings::default())?;
        let mut listeners = Vec::with_capacity(settings.listen.len());
        for address in &settings.listen {
            listeners.push(Listener::bind(address).await?);
        }
        Ok(Self {
            journal,
            listeners,
            monitors: settings.monitors,
            since_us,
        })
    }

    /// The journal that is written.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Records until `stop` becomes true, says goodbye to every machine, and closes the journal.
    ///
    /// # Errors
    /// When what was recorded last could not be written.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> Result<(), RecordError> {
        let shared = Shared {
            writer: self.journal.writer(),
            names: names::Names::default(),
            stop: stop.clone(),
            since_us: self.since_us,
            own_sockets: self
                .listeners
                .iter()
                .filter_map(|listener| listener.address().path()?.canonicalize().ok())
                .collect(),
        };
        let mut tasks = JoinSet::new();
        for listener in self.listeners {
            tasks.spawn(listen::keep(listener, shared.clone()));
        }
        for monitor in self.monitors {
            match monitor {
                Monitor::Address(address) => tasks.spawn(dial::keep(address, shared.clone())),
                Monitor::Glob(glob) => tasks.spawn(dial::keep_glob(glob, shared.clone())),
            };
        }
        drop(shared);
        // A sender that is gone can stop us no more than one that says so.
        let _ = stop.wait_for(|stop| *stop).await;
        if timeout(STOP_WAIT, tasks.join_all()).await.is_err() {
            tracing::warn!("some machines could not be detached from in time");
        }
        Ok(self.journal.close().await?)
    }
}

/// What all attachments share. Cheap to clone.
#[derive(Clone, Debug)]
struct Shared {
    writer: Writer,
    names: names::Names,
    stop: watch::Receiver<bool>,
    /// Since when this recorder runs, microseconds since 1970.
    since_us: i64,
    /// The files of our own listeners, so that no glob makes us dial ourselves.
    own_sockets: Arc<[PathBuf]>,
}

impl Shared {
    fn is_ours(&self, path: &Path) -> bool {
        !self.own_sockets.is_empty()
            && path
                .canonicalize()
                .is_ok_and(|path| self.own_sockets.contains(&path))
    }
}

/// The beginning of a text, at most so many bytes, between two characters.
fn cut(text: &str, max_bytes: usize) -> &str {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut(&"ä".repeat(200), 255), "ä".repeat(127));
        assert_eq!(cut("short", 255), "short");
        assert_eq!(cut("ä", 1), "");
    }
}
