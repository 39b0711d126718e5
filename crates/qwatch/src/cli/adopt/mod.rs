//! `qwatch adopt`: a monitor for the recorder, given to a QEMU that runs already.

mod manager;
mod mint;

use std::io::{self, Write};
use std::path::{self, PathBuf};

use qmp_client::{Address, Client, ConnectErrorKind, Options};
use serde::Serialize;

use self::manager::Manager;
use self::mint::{Mint, Target};
use super::monitor::{self, MONITOR_HELP, MONITOR_LONG_HELP};
use super::{Exit, Failure, Ui, block_on};
use crate::output::{WriteError, escape};

/// Have a running QEMU (11.1 or newer) recorded without a restart
///
/// Through a monitor that is free for a moment, QEMU is given a second one that is the recorder's own: a
/// chardev that dials the recorder where it listens (qwatch record --listen), and dials again whenever the
/// recorder was away. The machine does not notice. The monitor used for it is free again at once. Doing it
/// twice changes nothing; --undo takes it back.
///
/// QEMUs before 11.1 cannot grow a monitor while they run: what to add to their command line is told, in the
/// words of what started them (plain QEMU, libvirt, Proxmox, Incus), and the exit code is 1.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[arg(help = MONITOR_HELP, long_help = MONITOR_LONG_HELP, required_unless_present = "commands")]
    monitor: Option<Address>,

    /// Where the recorder listens, for QEMU to dial: unix:PATH, @NAME (abstract) or tcp:HOST:PORT
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_RECORDER)]
    recorder: Address,

    /// Let QEMU listen on this new socket instead, for a recorder that dials (qwatch record --monitor)
    #[arg(long, value_name = "PATH", conflicts_with = "recorder")]
    socket: Option<PathBuf>,

    /// What QEMU calls the new chardev and monitor
    #[arg(long, value_name = "NAME", default_value = "qwatch")]
    id: String,

    /// Take the recorder's monitor away again
    #[arg(long)]
    undo: bool,

    /// Print the QMP commands instead, one JSON object a line, for whoever holds the monitor
    ///
    /// Under libvirt: qwatch adopt --commands | while read -r c; do virsh qemu-monitor-command NAME "$c"; done
    #[arg(long)]
    commands: bool,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// The socket of the service as it is shipped.
const DEFAULT_RECORDER: &str = "unix:/run/qwatch/qmp.sock";

/// What was done, for `--json`.
#[derive(Debug, Serialize)]
struct Report {
    machine: String,
    qemu: String,
    id: String,
    /// Where the machine is recorded from now on; nothing after an undo.
    address: Option<String>,
    /// Whether anything had to be changed.
    changed: bool,
    /// Whether the recorder has answered; nothing where QEMU listens, and after an undo.
    connected: Option<bool>,
}

pub(crate) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    let mint = Mint::new(&args.id, target(args)?);
    let Some(address) = args.monitor.as_ref().filter(|_| !args.commands) else {
        let commands = if args.undo {
            mint.taking()
        } else {
            mint.making()
        };
        let mut stdout = io::stdout().lock();
        for command in commands {
            writeln!(stdout, "{command}").map_err(WriteError)?;
        }
        return Ok(Exit::Success);
    };
    let report = block_on(adopt(args, &mint, address, ui))?;
    let mut stdout = io::stdout().lock();
    let text = if args.json {
        let line = serde_json::to_string(&report).expect("strings and booleans always serialize");
        escape::visible_json(&line).into_owned()
    } else {
        escape::visible(&words(&report, args)).into_owned()
    };
    writeln!(stdout, "{text}").map_err(WriteError)?;
    Ok(match report.connected {
        Some(false) => Exit::Failure,
        _ => Exit::Success,
    })
}

/// Where the new monitor is to be. QEMU has a working directory of its own: paths are made absolute.
fn target(args: &Args) -> Result<Target, Failure> {
    let absolute = |path: &PathBuf| {
        path::absolute(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
    };
    Ok(match (&args.socket, &args.recorder) {
        (Some(path), _) => Target::Listen(absolute(path)?),
        (None, Address::Unix { path, .. }) => Target::Dial(Address::unix(absolute(path)?)),
        (None, other) => Target::Dial(other.clone()),
    })
}

async fn adopt(args: &Args, mint: &Mint, address: &Address, ui: Ui) -> Result<Report, Failure> {
    let connection = qmp_client::connect(address, &Options::default())
        .await
        .map_err(|error| {
            let held = matches!(error.kind, ConnectErrorKind::Held { .. });
            let failure = Failure::new(error);
            if held {
                failure.hint("whoever holds it can be asked to do it: qwatch adopt --commands prints what to send")
            } else {
                failure
            }
        })?;
    let client = connection.client;
    let machine = monitor::machine_name(&client, address).await;
    if !mint::is_possible(&client).await? {
        return Err(cannot(&client, machine, mint));
    }
    let changed = if args.undo {
        mint.take(&client).await?
    } else {
        if let Some(path) = mint.missing_recorder() {
            ui.note(&format!(
                "note: nobody listens at {} yet; QEMU dials once a second until a recorder does",
                path.display()
            ));
        }
        mint.make(&client).await?
    };
    let connected = match args.undo {
        true => None,
        false => mint.is_connected(&client).await?,
    };
    Ok(Report {
        machine,
        qemu: client.greeting().version.to_string(),
        id: args.id.clone(),
        address: (!args.undo).then(|| mint.address().to_string()),
        changed,
        connected,
    })
}

/// This QEMU is too old: what to do instead.
fn cannot(client: &Client, machine: String, mint: &Mint) -> Failure {
    let version = &client.greeting().version;
    let dial_ms = (version.major, version.minor) >= (9, 2);
    let manager = client
        .peer()
        .and_then(|peer| Manager::of_process(peer.pid?));
    let failure = Failure::new(format!(
        "{machine}: QEMU {version} cannot be given a monitor while it runs (QEMU 11.1 can)"
    ));
    manager::advice(manager.as_ref(), &machine, &mint.options(dial_ms))
        .into_iter()
        .fold(failure, Failure::hint)
}

fn words(report: &Report, args: &Args) -> String {
    let Report { machine, id, .. } = report;
    match (&report.address, report.changed, report.connected) {
        (None, true, _) => format!("{machine}: the monitor {id} is taken away"),
        (None, false, _) => format!("{machine}: has no monitor {id}, nothing to undo"),
        (Some(address), true, None) => {
            format!("{machine}: QEMU listens at {address}; record it with qwatch record --monitor")
        }
        (Some(address), false, None) => format!("{machine}: QEMU listens at {address} already"),
        (Some(address), true, Some(true)) => format!("{machine}: dials the recorder at {address}"),
        (Some(address), false, Some(true)) => {
            format!("{machine}: dials the recorder at {address} already")
        }
        (Some(address), _, Some(false)) => format!(
            "{machine}: dials {address}, where no recorder has answered yet; \
             it goes on trying once a second (qwatch adopt{} --undo takes it back)",
            if args.id == "qwatch" {
                String::new()
            } else {
                format!(" --id {id}")
            }
        ),
    }
}
