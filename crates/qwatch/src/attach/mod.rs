//! The recorder: one task a machine, each of which owns its connection.
//!
//! QEMU dials us ([`RecorderSettings::listen`]) or we dial it ([`RecorderSettings::monitors`]). Once it has
//! greeted, it is asked who it is, a run is opened in the journal, and from then on everything it says is
//! handed to the journal's writer in batches.
//!
//! Commit, then consume: what QEMU sends is looked at and left in the socket until it is committed (`tail`
//! has the rules, pure; `line` the socket, `session` the waiting). While the journal takes nothing, events
//! wait in the socket, and behind that in QEMU, until [`RecorderSettings::patience`] is over. Where a service manager
//! keeps the sockets, the next recorder goes on with them (`kept`) and nobody notices.
//!
//! A [`Control`] adds and removes sources of machines while the others are recorded on.
//!
//! # Names
//!
//! A machine is called what `query-name` says, else (dialled) its socket file's name without the ending,
//! else its uuid, else `qemu-PID`. Machines that are attached at the same time and have the same name are
//! told apart: the second is `web#PID`. A QEMU that is reached through two of its monitors is recorded
//! through the first only.

mod attention;
mod autopsy;
mod beginning;
mod cause;
mod dial;
mod door;
mod glob;
mod hash;
mod interview;
mod kept;
mod line;
mod listen;
mod loss;
mod names;
mod notes;
mod process;
mod session;
#[cfg(test)]
mod simulation;
mod sources;
mod tail;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use qmp_client::{Address, ListenError};
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use crate::journal::{Journal, OpenError, Reader, Retention, Settings, WriteError, Writer};
use crate::service::{Inherited, Manager};
use crate::{states, time};

use door::Door;
use kept::Kept;
use sources::{OwnSockets, Request, Sources};

pub use glob::{GlobError, SocketGlob};
pub(crate) use process::Process;
pub use sources::{Changes, Control};

/// What to record, and where.
#[derive(Clone, Debug)]
pub struct RecorderSettings {
    /// The journal file.
    pub journal: PathBuf,
    /// Addresses at which QEMUs dial in.
    pub listen: Vec<Address>,
    /// Monitors to dial.
    pub monitors: Vec<Monitor>,
    /// How long the journal may take nothing before a machine whose QEMU is held up by that is no longer
    /// waited for: then its events are counted and let go, and a gap says so.
    pub patience: Duration,
    /// What the journal keeps.
    pub retention: Retention,
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
    /// It has been stopped, or was never started.
    #[error("the recorder is not running")]
    Stopped,
}

/// A recorder that is set up: its journal is open, its listeners listen.
#[derive(Debug)]
pub struct Recorder {
    journal: Journal,
    journal_path: PathBuf,
    doors: Vec<Door>,
    monitors: Vec<Monitor>,
    kept: Vec<Kept>,
    names: names::Names,
    manager: Manager,
    control: Control,
    requests: mpsc::Receiver<Request>,
    since_us: i64,
    patience: Duration,
}

impl Recorder {
    /// Opens the journal and listens.
    ///
    /// # Errors
    /// When the journal cannot be opened or an address cannot be listened at.
    pub async fn new(settings: RecorderSettings) -> Result<Self, RecordError> {
        Self::under(Manager::default(), vec![], settings).await
    }

    /// As [`Recorder::new`], under a service manager and with the descriptors it hands over.
    ///
    /// # Errors
    /// When the journal cannot be opened or an address cannot be listened at.
    pub async fn under(
        manager: Manager,
        inherited: Vec<Inherited>,
        settings: RecorderSettings,
    ) -> Result<Self, RecordError> {
        let since_us = time::now_us();
        let (listening, connected): (Vec<_>, Vec<_>) =
            inherited.into_iter().partition(Inherited::is_listening);
        let mut kept = kept::connections(connected, &manager);
        let handed_over = kept.iter().map(|kept| kept.id).collect();
        let how = Settings::default()
            .handed_over(handed_over)
            .retention(settings.retention);
        let mut journal = Journal::open(&settings.journal, &how)?;
        let names = names::Names::default();
        kept::recognize(&mut kept, journal.take_kept(), &names);
        let mut doors = Door::open_all(&settings.listen, listening, &manager).await?;
        // Before anybody is told that we are ready.
        doors.iter_mut().for_each(Door::keep);
        let (control, requests) = Control::new();
        Ok(Self {
            journal,
            journal_path: settings.journal,
            doors,
            monitors: settings.monitors,
            kept,
            names,
            manager,
            control,
            requests,
            since_us,
            patience: settings.patience,
        })
    }

    /// The journal that is written.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// How many machines are attached, as it changes.
    pub fn machines(&self) -> watch::Receiver<usize> {
        self.names.count()
    }

    /// Changes the sources once it runs.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Without snapshots everything works, only slower.
    fn keep_snapshots(&self) {
        let journal = self.journal_path.clone();
        let (writer, position) = (self.journal.writer(), self.journal.position());
        tokio::spawn(async move {
            let kept = match Reader::open(&journal) {
                Ok(reader) => states::keep(reader, writer, position)
                    .await
                    .map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = kept {
                tracing::warn!("no more snapshots are made, so `why` takes longer: {error}");
            }
        });
    }

    /// Records until `stop` becomes true, says goodbye to every machine, and closes the journal.
    ///
    /// # Errors
    /// When what was recorded last could not be written.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), RecordError> {
        self.keep_snapshots();
        let shared = Shared {
            writer: self.journal.writer(),
            names: self.names,
            stop: stop.clone(),
            all_stop: stop.clone(),
            since_us: self.since_us,
            own_sockets: OwnSockets::default(),
            manager: self.manager,
            patience: self.patience,
        };
        let mut sources = Sources::start(shared, self.doors, self.monitors, self.kept);
        loop {
            let request = tokio::select! {
                biased;
                // A sender that is gone can stop us no more than one that says so.
                _ = stop.wait_for(|stop| *stop) => break,
                Some(request) = self.requests.recv() => request,
            };
            sources.serve(request).await;
        }
        sources.stop().await;
        Ok(self.journal.close().await?)
    }
}

/// What all attachments share. Cheap to clone.
#[derive(Clone, Debug)]
struct Shared {
    writer: Writer,
    names: names::Names,
    /// True when this source is to end: with the recorder, or because it is taken out of the settings.
    stop: watch::Receiver<bool>,
    /// True when the recorder is to end.
    all_stop: watch::Receiver<bool>,
    /// Since when this recorder runs, microseconds since 1970.
    since_us: i64,
    own_sockets: OwnSockets,
    manager: Manager,
    /// How long the journal may take nothing before events are let go.
    patience: Duration,
}

impl Shared {
    /// Whether it is the recorder that ends, not only a source.
    fn is_recorder_stopped(&self) -> bool {
        *self.all_stop.borrow()
    }

    /// Whether the next recorder goes on with the connections as they are.
    fn hands_over(&self) -> bool {
        self.is_recorder_stopped() && self.manager.keeps_descriptors()
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
