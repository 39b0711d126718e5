//! How clients reach the machine: straight, or through relays that make faults and tell what is said.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use super::Failure;
use super::endpoint::{Endpoint, REDIAL};
use crate::emulate::{Door, Fault, Listening, Relays, Said, What};
use crate::output::WriteError;
use crate::time;

/// The ways to a machine that is not there yet.
pub(super) struct Reach {
    /// Where the user wants it.
    asked: Vec<Endpoint>,
    /// Where its monitor is.
    inner: Vec<Endpoint>,
    relays: Option<Between>,
    json: bool,
}

/// Relays before they are opened.
struct Between {
    relays: Relays,
    /// Doors, and where the monitor is behind each.
    doors: Vec<(Door, PathBuf)>,
    folder: TempDir,
}

/// The ways to a machine that is there.
pub(super) struct Open {
    relays: Option<(Relays, TempDir)>,
    /// Sockets of relays.
    sockets: Vec<PathBuf>,
}

impl Reach {
    /// Prepares the ways; relays stand in them only if they have something to do.
    pub(super) fn open(asked: &[Endpoint], faults: &[Fault], json: bool) -> Result<Self, Failure> {
        let mut reach = Self {
            asked: asked.to_vec(),
            inner: asked.to_vec(),
            relays: None,
            json,
        };
        if faults.is_empty() && !json {
            return Ok(reach);
        }
        let folder = tempfile::Builder::new().prefix("qwatch-").tempdir();
        let folder = folder.map_err(Failure::new)?;
        let mut doors = Vec::new();
        reach.inner.clear();
        for (number, endpoint) in asked.iter().enumerate() {
            let door = match endpoint {
                Endpoint::Unix(path) => Door::unix(path),
                Endpoint::Tcp(address) => Door::tcp(*address),
                Endpoint::Dial(path) => Ok(Door::Dial(path.clone(), REDIAL)),
            };
            let shown = endpoint.shown(None);
            let door =
                door.map_err(|error| Failure::new(format!("cannot listen on {shown}: {error}")))?;
            let inner = folder.path().join(format!("{number}.sock"));
            reach.inner.push(Endpoint::Unix(inner.clone()));
            doors.push((door, inner));
        }
        let listening: Option<Listening> =
            json.then(|| Arc::new(log as fn(&Said<'_>)) as Listening);
        reach.relays = Some(Between {
            relays: Relays::new(faults, listening),
            doors,
            folder,
        });
        Ok(reach)
    }

    /// Where the monitor is to be.
    pub(super) fn endpoints(&self) -> &[Endpoint] {
        &self.inner
    }

    /// The machine is there: says where, one line each, and lets clients in.
    pub(super) fn ready(self, tcp: &[SocketAddr]) -> Result<Open, Failure> {
        let mut ports = match &self.relays {
            None => tcp.iter().map(SocketAddr::port).collect::<Vec<_>>(),
            Some(between) => between
                .doors
                .iter()
                .filter_map(|(door, _)| door.port())
                .collect(),
        }
        .into_iter();
        let mut stdout = io::stdout().lock();
        for endpoint in &self.asked {
            let port = match endpoint {
                Endpoint::Tcp(_) => ports.next(),
                _ => None,
            };
            let address = endpoint.shown(port);
            let line = match self.json {
                true => json!({"time": now(), "what": "listening", "address": address}).to_string(),
                false => address,
            };
            writeln!(stdout, "{line}").map_err(WriteError)?;
        }
        stdout.flush().map_err(WriteError)?;
        drop(stdout);
        let Some(between) = self.relays else {
            return Ok(Open {
                relays: None,
                sockets: Vec::new(),
            });
        };
        for (door, inner) in between.doors {
            let opened = between.relays.open(door, inner);
            opened.map_err(super::cannot_start)?;
        }
        let sockets = self
            .asked
            .into_iter()
            .filter_map(|endpoint| match endpoint {
                Endpoint::Unix(path) => Some(path),
                _ => None,
            });
        Ok(Open {
            sockets: sockets.collect(),
            relays: Some((between.relays, between.folder)),
        })
    }
}

impl Open {
    /// The machine has ended: waits until its clients have the rest.
    pub(super) fn drain(self) {
        if let Some((relays, _folder)) = self.relays {
            relays.drain();
        }
        for socket in self.sockets {
            // Gone already, if somebody tidied up.
            let _ = fs::remove_file(socket);
        }
    }
}

fn now() -> String {
    time::rfc3339(time::now_us())
}

/// Prints what is said as one JSON object.
fn log(said: &Said<'_>) {
    let (what, rest) = match &said.what {
        What::Connected => ("connected", String::new()),
        What::Gone => ("gone", String::new()),
        What::Received(message) => ("received", format!(", \"message\": {message}")),
        What::Malformed(error) => ("malformed", format!(", \"error\": {}", json!(error))),
        What::Sent(message) => ("sent", format!(", \"message\": {message}")),
    };
    let (time, client) = (now(), said.client);
    let mut stdout = io::stdout().lock();
    // Whoever read this may have left; the machine goes on.
    let _ = writeln!(
        stdout,
        "{{\"time\": \"{time}\", \"client\": {client}, \"what\": \"{what}\"{rest}}}"
    );
    let _ = stdout.flush();
}
