//! `qwatch record`: the recorder.

use std::io;
use std::path::PathBuf;

use qmp_client::Address;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use super::{Exit, Failure, Ui};
use crate::attach::{Monitor, RecordError, Recorder, RecorderSettings, SocketGlob};
use crate::config::{self, Config};

/// Record every event of every machine into a journal, until stopped
///
/// Machines come by two ways, which may be mixed. QEMU dials in where it is told to with
/// -chardev socket,id=qw,path=/run/qwatch/qmp.sock,reconnect=1 -mon chardev=qw,mode=control
/// (reconnect-ms=1000 since QEMU 9.2): --listen unix:/run/qwatch/qmp.sock takes in any number. Or qwatch dials
/// the monitors given with --monitor; a monitor serves one client at a time, so give QEMU one of its own for
/// this with a second -qmp.
///
/// SIGTERM and SIGINT end it: what is known is written, each machine gets its `detached` record.
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

    /// Read settings from this file, TOML; its keys are journal, listen and monitor
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    runtime.block_on(record(settings))?;
    Ok(Exit::Success)
}

async fn record(settings: RecorderSettings) -> Result<(), Failure> {
    let summary = summary(&settings);
    let (stop, stopped) = watch::channel(false);
    let signals = || -> io::Result<_> {
        Ok((
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        ))
    };
    let (mut terminate, mut interrupt) =
        signals().map_err(|error| Failure::new(format!("cannot hear signals: {error}")))?;
    let recorder = Recorder::new(settings).await?;
    tracing::info!("{summary}");
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.send_replace(true);
    });
    recorder.run(stopped).await?;
    Ok(())
}

/// What the file and the options say together.
fn settings(args: &Args) -> Result<RecorderSettings, Failure> {
    let file = match &args.config {
        Some(path) => Config::read(path).map_err(Failure::usage)?,
        None => Config::default(),
    };
    let mut listen = Vec::new();
    for text in file.listen.iter().chain(&args.listen) {
        listen.push(address(text)?);
    }
    let mut monitors = Vec::new();
    for text in file.monitor.iter().chain(&args.monitor) {
        if SocketGlob::is_glob(text) {
            monitors.push(Monitor::Glob(
                SocketGlob::new(text).map_err(Failure::usage)?,
            ));
            continue;
        }
        let address = address(text)?;
        if address.is_listen() {
            listen.push(address);
        } else {
            monitors.push(Monitor::Address(address));
        }
    }
    if listen.is_empty() && monitors.is_empty() {
        return Err(Failure::usage("there is nothing to record")
            .hint("--monitor PATH dials a QEMU that was started with -qmp unix:PATH,server=on,wait=off")
            .hint("--listen unix:PATH waits for QEMUs to dial in; see qwatch record --help"));
    }
    Ok(RecorderSettings {
        journal: args
            .journal
            .clone()
            .or(file.journal)
            .unwrap_or_else(config::default_journal),
        listen,
        monitors,
    })
}

fn address(text: &str) -> Result<Address, Failure> {
    text.parse()
        .map_err(|error| Failure::usage(format!("`{text}`: {error}")))
}

fn summary(settings: &RecorderSettings) -> String {
    let mut text = format!("recording to {}", settings.journal.display());
    let mut list = |what: &str, items: Vec<String>| {
        if !items.is_empty() {
            text.push_str(&format!(", {what} {}", items.join(" ")));
        }
    };
    list(
        "listening at",
        settings.listen.iter().map(Address::to_string).collect(),
    );
    let monitors = settings.monitors.iter().map(|monitor| match monitor {
        Monitor::Address(address) => address.to_string(),
        Monitor::Glob(glob) => glob.as_str().to_owned(),
    });
    list("dialling", monitors.collect());
    text
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
