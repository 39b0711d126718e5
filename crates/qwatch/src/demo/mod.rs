//! The demo: a scripted day of a few emulated machines, recorded by the real recorder.
//!
//! Nothing in it is staged but the machines. They speak QMP over UNIX sockets, the recorder hears them as
//! it hears any QEMU, and what is shown is read back from the journal, after it was committed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use qmp_client::{Address, Options};
use qmp_monitor::BuildError;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::attach::{Monitor, RecordError, Recorder, RecorderSettings};
use crate::journal::{Note, OpenError, Query, ReadError, Reader, Retention};
use crate::output::WriteError;
use crate::record::Record;

mod cast;
mod process;
mod script;

use process::Actor;

pub use cast::machine_names;
pub use process::play_role;
pub use script::{Step, What, day};

/// How the demo is played.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many times faster than written in the script.
    pub speed: f64,
    /// The journal to be made.
    pub journal: PathBuf,
    /// An existing folder for the sockets; its path must be short, as all paths of sockets.
    pub sockets: PathBuf,
}

/// Which machine a process of the demo is.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// The folder for the sockets.
    pub sockets: PathBuf,
}

/// Who watches the demo.
pub trait Audience {
    /// A part of the day begins.
    ///
    /// # Errors
    /// The output cannot be written.
    fn chapter(&mut self, title: &str) -> Result<(), WriteError>;

    /// The journal has a new record.
    ///
    /// # Errors
    /// The output cannot be written.
    fn record(&mut self, record: &Record) -> Result<(), WriteError>;

    /// What was shown so far should be seen now.
    ///
    /// # Errors
    /// The output cannot be written.
    fn pause(&mut self) -> Result<(), WriteError>;
}

/// Why the demo could not be played to its end.
#[derive(Debug, Error)]
pub enum DemoError {
    /// A machine could not be started.
    #[error(transparent)]
    Machine(#[from] BuildError),
    /// A machine that is not in the cast.
    #[error("no machine of the demo is called `{0}`")]
    NoSuchRole(String),
    /// A machine's process could not be started.
    #[error("cannot start the machine `{machine}`: {source}")]
    Process {
        /// The machine.
        machine: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The recorder failed.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The recorder panicked.
    #[error("the recorder ended unexpectedly: {0}")]
    Panicked(#[from] tokio::task::JoinError),
    /// The journal cannot be opened to read from it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The operator's command could not be sent.
    #[error("the operator cannot reach `{machine}`: {reason}")]
    Operator {
        /// The machine.
        machine: &'static str,
        /// What went wrong.
        reason: String,
    },
    /// What the script waits for did not come.
    #[error("the recorder did not hear in time of the coming or going of {0}")]
    Unheard(String),
    /// The output cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Plays the day.
///
/// # Errors
/// Something in the surroundings failed: files, sockets, the output.
pub async fn play(settings: &Settings, audience: &mut dyn Audience) -> Result<(), DemoError> {
    let mut stage = Stage::set_up(settings)?;
    stage.recorder_comes(audience).await?;
    let mut start = Instant::now();
    for (number, step) in day().into_iter().enumerate() {
        let at = start + Duration::from_secs_f64(f64::from(step.at_ms) / 1000.0 / settings.speed);
        stage.show_until(at, audience).await?;
        match step.what {
            What::Chapter(title) => audience.chapter(title)?,
            What::Happens(machine, _) => stage.happens(machine, number),
            What::Operator(machine, command, arguments) => {
                stage.operate(machine, command, arguments).await?;
            }
            What::RecorderLeaves => stage.recorder_leaves(audience).await?,
            What::RecorderReturns => {
                stage.recorder_comes(audience).await?;
                // The story goes on once it is heard again, however long that took.
                start += Instant::now().saturating_duration_since(at);
            }
        }
    }
    stage.wait_for(Wanted::Nobody, audience).await?;
    stage.recorder_leaves(audience).await
}

/// The longest wait for the recorder to hear what it must hear.
const PATIENCE: Duration = Duration::from_secs(10);

/// The machines, the recorder, and what has been shown.
struct Stage {
    journal: PathBuf,
    sockets: PathBuf,
    machines: BTreeMap<&'static str, Actor>,
    recorder: Option<Running>,
    /// Opened with the first recorder, which makes the journal.
    reader: Option<Reader>,
    /// The last record shown.
    shown: u64,
    /// The machines that are attached, as far as was shown.
    attached: BTreeSet<String>,
}

/// Who should be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// Every machine whose process runs.
    AllThatLive,
    /// No machine any more.
    Nobody,
}

/// A recorder at work.
struct Running {
    stop: watch::Sender<bool>,
    position: watch::Receiver<u64>,
    task: JoinHandle<Result<(), RecordError>>,
}

impl Stage {
    fn set_up(settings: &Settings) -> Result<Self, DemoError> {
        let mut machines = BTreeMap::new();
        for machine in machine_names() {
            let actor = Actor::start(machine, &settings.sockets);
            let actor = actor.map_err(|source| DemoError::Process { machine, source })?;
            machines.insert(machine, actor);
        }
        Ok(Self {
            journal: settings.journal.clone(),
            sockets: settings.sockets.clone(),
            machines,
            recorder: None,
            reader: None,
            shown: 0,
            attached: BTreeSet::new(),
        })
    }

    /// Starts a recorder on the journal, and waits until it hears every machine that lives: most machines
    /// dial it, it dials the others.
    async fn recorder_comes(&mut self, audience: &mut dyn Audience) -> Result<(), DemoError> {
        let dialled =
            cast::dialled(&self.sockets).map(|path| Monitor::Address(Address::unix(path)));
        let recorder = Recorder::new(RecorderSettings {
            journal: self.journal.clone(),
            listen: vec![Address::unix(cast::recorder_socket(&self.sockets))],
            monitors: dialled.collect(),
            patience: crate::limits::PATIENCE,
            retention: Retention::default(),
        });
        let recorder = recorder.await?;
        let position = recorder.journal().position();
        let (stop, stopped) = watch::channel(false);
        self.recorder = Some(Running {
            stop,
            position,
            task: tokio::spawn(recorder.run(stopped)),
        });
        if self.reader.is_none() {
            self.reader = Some(Reader::open(&self.journal)?);
        }
        self.wait_for(Wanted::AllThatLive, audience).await
    }

    async fn recorder_leaves(&mut self, audience: &mut dyn Audience) -> Result<(), DemoError> {
        if let Some(recorder) = self.recorder.take() {
            // One that is gone already says why itself.
            let _ = recorder.stop.send(true);
            recorder.task.await??;
        }
        self.show_new(audience)
    }

    /// A machine plays its line of the script.
    fn happens(&mut self, machine: &str, number: usize) {
        if let Some(actor) = self.machines.get_mut(machine) {
            actor.tell(number);
        }
    }

    /// The operator sends a command through a monitor of his own.
    async fn operate(
        &self,
        machine: &'static str,
        command: &str,
        arguments: &str,
    ) -> Result<(), DemoError> {
        let failed = |reason: String| DemoError::Operator { machine, reason };
        let address = Address::unix(cast::operator_socket(&self.sockets, machine));
        let connection = qmp_client::connect(&address, &Options::default()).await;
        let client = connection
            .map_err(|error| failed(error.to_string()))?
            .client;
        let arguments: serde_json::Value =
            serde_json::from_str(arguments).map_err(|error| failed(error.to_string()))?;
        let answer = client.execute(command, arguments).await;
        answer.map_err(|error| failed(error.to_string()))?;
        Ok(())
    }

    /// Shows what is recorded until the time has come for what is next.
    async fn show_until(
        &mut self,
        at: Instant,
        audience: &mut dyn Audience,
    ) -> Result<(), DemoError> {
        loop {
            self.show_new(audience)?;
            tokio::select! {
                biased;
                () = sleep_until(at) => return Ok(()),
                () = self.moved() => {}
            }
        }
    }

    /// Shows what is recorded until the recorder hears those that it should.
    async fn wait_for(
        &mut self,
        wanted: Wanted,
        audience: &mut dyn Audience,
    ) -> Result<(), DemoError> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            self.show_new(audience)?;
            let expected = match wanted {
                Wanted::AllThatLive => self.living(),
                Wanted::Nobody => BTreeSet::new(),
            };
            if self.attached == expected {
                return Ok(());
            }
            if timeout_at(give_up, self.moved()).await.is_err() {
                let unheard = self.attached.symmetric_difference(&expected);
                let unheard: Vec<&str> = unheard.map(String::as_str).collect();
                return Err(DemoError::Unheard(unheard.join(", ")));
            }
        }
    }

    /// The machines whose process runs.
    fn living(&mut self) -> BTreeSet<String> {
        let actors = self.machines.iter_mut();
        let living = actors.filter_map(|(name, actor)| actor.lives().then_some(*name));
        living.map(str::to_owned).collect()
    }

    /// Resolves when there is more in the journal than was shown.
    async fn moved(&mut self) {
        let shown = self.shown;
        match &mut self.recorder {
            Some(recorder) => {
                let moved = recorder
                    .position
                    .wait_for(|last| *last > shown)
                    .await
                    .is_ok();
                if moved {
                    return;
                }
                // The journal is closed: nothing more will come.
                std::future::pending::<()>().await;
            }
            None => std::future::pending::<()>().await,
        }
    }

    /// Shows what the journal has beyond what was shown.
    fn show_new(&mut self, audience: &mut dyn Audience) -> Result<(), DemoError> {
        let Some(reader) = &self.reader else {
            return Ok(());
        };
        for record in reader.records(&Query::default().after(self.shown))? {
            let record = record?;
            self.shown = record.seq.unwrap_or(self.shown);
            if record.name == Note::Attached.name() {
                self.attached.insert(record.machine.clone());
            } else if record.name == Note::Detached.name() {
                self.attached.remove(&record.machine);
            }
            audience.record(&record)?;
        }
        Ok(audience.pause()?)
    }
}
