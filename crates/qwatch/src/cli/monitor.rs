//! Talking to one monitor: connecting, and what its machine is called.

use std::time::Duration;

use qmp_client::{Address, Client, Connection, Listener, Options, RawEvent};
use qmp_events::{DecodeError, EventKind};

use super::{Failure, Ui, events};
use crate::output::Members;
use crate::record::{Origin, Record};
use crate::time;

/// How long QEMU has to say its machine's name before the socket's name is taken.
const NAME_TIMEOUT: Duration = Duration::from_secs(1);

/// Help text of every `MONITOR` argument.
pub(crate) const MONITOR_HELP: &str =
    "The monitor: a socket's path, unix:PATH, @NAME (abstract) or tcp:HOST:PORT";

/// The same for `--help` and the manual.
pub(crate) const MONITOR_LONG_HELP: &str = "\
The monitor: a socket's path, unix:PATH, @NAME (abstract) or tcp:HOST:PORT, as spelled for QEMU's -qmp

With server=off or reconnect-ms, as in unix:PATH,server=off, qwatch listens there and QEMU dials in.";

/// Connects, or waits for QEMU to dial in where the address says so.
pub(crate) async fn connect(
    address: &Address,
    options: &Options,
    ui: Ui,
) -> Result<Connection, Failure> {
    if !address.is_listen() {
        return qmp_client::connect(address, options)
            .await
            .map_err(Failure::new);
    }
    let listener = Listener::bind(address).await.map_err(Failure::new)?;
    ui.note(&format!(
        "listening on {address}, waiting for QEMU to dial in"
    ));
    listener.accept(options).await.map_err(Failure::new)
}

/// What the machine is called: its `-name`, else the socket's file name without its ending.
pub(crate) async fn machine_name(client: &Client, address: &Address) -> String {
    let client = client.with_timeout(NAME_TIMEOUT);
    if let Ok(answer) = client.execute("query-name", ()).await
        && let Some(name) = Members::read(answer.get()).and_then(|name| name.text("name"))
        && !name.is_empty()
    {
        return name;
    }
    fallback_name(address)
}

/// What to call a machine that has no name of its own.
pub(crate) fn fallback_name(address: &Address) -> String {
    match address {
        Address::Unix { path, .. } => path.file_stem().map_or_else(
            || path.display().to_string(),
            |stem| stem.to_string_lossy().into_owned(),
        ),
        Address::Abstract { name, .. } => name.clone(),
        Address::Tcp { host, port, .. } => format!("{host}:{port}"),
    }
}

/// An event of a machine as a record.
pub(crate) fn record(machine: &str, event: &RawEvent) -> Result<Record, DecodeError> {
    let envelope = event.envelope()?;
    Ok(Record {
        seq: None,
        machine: machine.to_owned(),
        run: None,
        origin: Origin::Qemu,
        name: envelope.name.into_owned(),
        timestamp: envelope.timestamp,
        received_us: time::system_time_us(event.received),
        data: envelope.data.map(str::to_owned),
    })
}

/// Warns of names that no QEMU has: waiting for one would take for ever.
pub(crate) fn warn_of_slips(names: &[String], ui: Ui) {
    let exact = names
        .iter()
        .flat_map(|names| crate::filter::split_list(names))
        .map(|name| name.trim_start_matches('!'))
        .filter(|name| !name.contains(['*', '?', '[', '{', '\\']));
    for name in exact {
        let upper = name.to_ascii_uppercase();
        let is_note = ["attached", "detached", "gap", "state", "garbage"].contains(&name);
        if is_note || upper.starts_with("__") || EventKind::from_name(&upper).is_some() {
            continue;
        }
        let meant = match events::closest(&upper) {
            Some(close) => format!(", did you mean {close}?"),
            None => String::new(),
        };
        ui.note(&format!("note: no QEMU is known to send {name}{meant}"));
    }
}
