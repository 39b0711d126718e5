//! `qwatch record`: the recorder.

mod settings;
mod vitals;

use std::io;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use super::{Exit, Failure, Ui};
use crate::attach::{Control, RecordError, Recorder, RecorderSettings};
use crate::journal::Writer;
use crate::service::{Inherited, Manager};

use settings::{settings, summary};
use vitals::Vitals;

/// Record every event of every machine into a journal, until stopped
///
/// Machines come by two ways, which may be mixed. QEMU dials in where it is told to with
/// -chardev socket,id=qw,path=/run/qwatch/qmp.sock,reconnect=1 -mon chardev=qw,mode=control
/// (reconnect-ms=1000 since QEMU 9.2): --listen unix:/run/qwatch/qmp.sock takes in any number. Or qwatch dials
/// the monitors given with --monitor; a monitor serves one client at a time, so give QEMU one of its own for
/// this with a second -qmp.
///
/// SIGTERM and SIGINT end it: what is known is written, each machine gets its `detached` record. SIGHUP has
/// it read its configuration file again: machines are added and removed, the others are not disturbed; a
/// file with a mistake is reported and changes nothing. The journal stays the same until the next start.
///
/// Under systemd it says when it is ready and how it is (Type=notify), answers its watchdog, takes over
/// listening sockets (socket activation), and has its connections kept over a restart or a crash where the
/// unit allows it (FileDescriptorStoreMax=): then no event is missed.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The journal to write; it is made if it is not there
    ///
    /// By default /var/lib/qwatch/journal.db for root, else $XDG_STATE_HOME/qwatch/journal.db
    /// (~/.local/state if that is not set). A journal has one recorder.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,

    /// Take in QEMUs that dial this address: unix:PATH, @NAME (abstract) or tcp:HOST:PORT
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,

    /// Dial this monitor: a path, unix:PATH, @NAME, tcp:HOST:PORT, or a glob of socket files
    ///
    /// A monitor that is not there, or is held by another client, is tried again and again. A glob
    /// ('/run/vm/*.sock', in quotes) is looked through every two seconds for sockets that come later.
    #[arg(long, value_name = "ADDRESS|GLOB")]
    monitor: Vec<String>,

    /// Read settings from this file, TOML; its keys are journal, listen, monitor, patience and retention
    ///
    /// Options add to the lists in the file; --journal goes before its journal. A relative journal in the
    /// file is relative to the file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Check the settings, print them, and record nothing
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    let settings = settings(args)?;
    if args.check {
        ui.note(&format!("the settings are good: {}", summary(&settings)));
        return Ok(Exit::Success);
    }
    start_logging(ui);
    // Before anything is opened that stays open: what is handed over is told by its number.
    let (manager, inherited) = Manager::from_env();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    runtime.block_on(record(args, settings, manager, inherited))?;
    Ok(Exit::Success)
}

async fn record(
    args: &Args,
    settings: RecorderSettings,
    manager: Manager,
    inherited: Vec<Inherited>,
) -> Result<(), Failure> {
    let mut signals =
        Signals::new().map_err(|error| Failure::new(format!("cannot hear signals: {error}")))?;
    let summary = summary(&settings);
    let journal = settings.journal.clone();
    let recorder = Recorder::under(manager.clone(), inherited, settings).await?;
    let vitals = Vitals::of(&recorder, &journal);
    let control = recorder.control();
    let writer = recorder.journal().writer();
    let (stop, stopped) = watch::channel(false);
    tracing::info!("{summary}");
    let mut recording = tokio::spawn(recorder.run(stopped));
    manager.ready(&vitals.text());
    tokio::spawn(vitals.clone().report(manager.clone()));
    if let Some(limit) = manager.watchdog() {
        tokio::spawn(vitals.clone().ping(manager.clone(), limit));
    }
    let ended = loop {
        let heard = tokio::select! {
            // It ends by itself only if it fails.
            ended = &mut recording => break ended,
            heard = signals.next() => heard,
        };
        match heard {
            Heard::Reload => {
                manager.reloading();
                reload(args, &journal, &control, &writer).await;
                manager.ready(&vitals.text());
            }
            Heard::Stop => {
                tracing::info!("stopping");
                manager.stopping();
                stop.send_replace(true);
                break recording.await;
            }
        }
    };
    ended.map_err(|error| Failure::new(format!("the recorder failed: {error}")))??;
    Ok(())
}

/// Reads the settings again. Whatever is wrong with them is said, and the old ones stay.
async fn reload(args: &Args, journal: &Path, control: &Control, writer: &Writer) {
    let settings = match settings(args) {
        Ok(settings) => settings,
        Err(failure) => {
            tracing::error!("the settings stay as they are: {}", failure.message());
            return;
        }
    };
    if settings.journal != journal {
        let journal = settings.journal.display();
        tracing::warn!("the journal {journal} is written from the next start on");
    }
    writer.set_retention(settings.retention);
    match control.change(settings.listen, settings.monitors).await {
        Ok(changes) => {
            for source in &changes.removed {
                tracing::info!("no longer {source}");
            }
            for source in &changes.added {
                tracing::info!("now {source}");
            }
            tracing::info!("the settings were read again");
        }
        Err(error) => tracing::error!("the settings stay as they are: {error}"),
    }
}

/// The signals that mean something to a recorder.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Stop,
    Reload,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Heard {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Heard::Stop,
            _ = self.interrupt.recv() => Heard::Stop,
            _ = self.hang_up.recv() => Heard::Reload,
        }
    }
}

/// Log lines go to standard error; `QWATCH_LOG` chooses them (`debug`, `qwatch=trace`).
fn start_logging(ui: Ui) {
    let filter = EnvFilter::builder()
        .with_env_var("QWATCH_LOG")
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .from_env_lossy();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(ui.is_stderr_colored())
        .with_target(false)
        .finish();
    // A second call in one process, as in a test, keeps the first.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        Self::new(error)
    }
}
