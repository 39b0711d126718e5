//! Connections that the service manager keeps for us, and those it hands back.

use std::collections::HashMap;
use std::os::fd::AsFd;

use qmp_client::{Address, Socket};
use rustix::net::{SocketAddrAny, SocketAddrUnix, getpeername, getsockname};

use super::Monitor;
use super::names::{Claim, Lease, Names};
use crate::journal::{ConnectionId, KeptConnection};
use crate::service::{Inherited, Manager};

/// How the names begin under which connections are kept.
const NAME_PREFIX: &str = "qmp-";

/// What stands in the name of a mark behind the number, before the time from which on events were let go.
const DRAINED: &str = "-drained-";

/// A connection that an earlier recorder had.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) id: ConnectionId,
    pub(super) socket: Inherited,
    /// Events were being let go from then on, seconds since 1970.
    pub(super) drained_since_s: Option<i64>,
    /// What the journal knows of it; nothing if there was no run yet.
    pub(super) known: Option<Box<KeptConnection>>,
    pub(super) lease: Option<Lease>,
}

/// The name of a connection, or of the mark that says its events are being let go, from then on (seconds since
/// 1970).
pub(super) fn name_of(id: ConnectionId, drained_since_s: Option<i64>) -> String {
    match drained_since_s {
        Some(since) => format!("{NAME_PREFIX}{id}{DRAINED}{since}"),
        None => format!("{NAME_PREFIX}{id}"),
    }
}

fn parse(name: &str) -> Option<(ConnectionId, Option<i64>)> {
    let rest = name.strip_prefix(NAME_PREFIX)?;
    let (id, since) = match rest.split_once(DRAINED) {
        Some((id, since)) => (id, Some(since.parse().ok()?)),
        None => (rest, None),
    };
    Some((ConnectionId::parse(id)?, since))
}

/// The connections among what was handed over; the rest is closed.
pub(super) fn connections(inherited: Vec<Inherited>, manager: &Manager) -> Vec<Kept> {
    let mut found = Vec::new();
    let mut marks = HashMap::new();
    for socket in inherited {
        match parse(&socket.name) {
            Some((id, None)) => found.push(Kept {
                id,
                socket,
                drained_since_s: None,
                known: None,
                lease: None,
            }),
            Some((id, Some(since_s))) => {
                marks.insert(id, since_s);
            }
            None => tracing::info!(name = socket.name, "closed a descriptor that is not ours"),
        }
    }
    for kept in &mut found {
        kept.drained_since_s = marks.remove(&kept.id);
    }
    // Killed between the end of the connection and that of its mark.
    for (id, since_s) in marks {
        manager.forget(&name_of(id, Some(since_s)));
    }
    found
}

/// Tells each what the journal knows of it, and reserves the names of their machines.
pub(super) fn recognize(kept: &mut [Kept], known: Vec<KeptConnection>, names: &Names) {
    for known in known {
        let Some(kept) = kept.iter_mut().find(|kept| kept.id == known.connected.id) else {
            continue;
        };
        let claim = Claim {
            name: known.connected.claimed.clone(),
            pid: known.info.pid,
            uuid: known.info.uuid.clone(),
        };
        kept.lease = Some(names.reserve(known.info.machine.clone(), claim));
        kept.known = Some(Box::new(known));
    }
}

impl Kept {
    /// Whether it came in through this address.
    pub(super) fn came_in_at(&self, address: &Address) -> bool {
        match &self.known {
            Some(known) => known.connected.dialled_in && known.info.address == address.to_string(),
            None => path_of(getsockname(self.socket.as_fd()).ok()).is_some_and(|path| {
                address
                    .path()
                    .is_some_and(|address| address.as_os_str() == path.as_str())
            }),
        }
    }

    /// Whether it was dialled for this monitor; where.
    pub(super) fn was_dialled_for(&self, monitor: &Monitor) -> Option<Address> {
        let address: Address = match &self.known {
            Some(known) if known.connected.dialled_in => return None,
            Some(known) => known.info.address.parse().ok()?,
            None => Address::unix(path_of(getpeername(self.socket.as_fd()).ok().flatten())?),
        };
        let is_it = match monitor {
            Monitor::Address(monitor) => monitor.to_string() == address.to_string(),
            Monitor::Glob(glob) => address.path().is_some_and(|path| glob.matches(path)),
        };
        is_it.then_some(address)
    }

    /// The socket, to be used.
    pub(super) fn into_socket(self) -> std::io::Result<Socket> {
        Socket::from_fd(self.socket.fd)
    }
}

fn path_of(name: Option<SocketAddrAny>) -> Option<String> {
    let name = SocketAddrUnix::try_from(name?).ok()?;
    let path = name.path()?;
    Some(path.to_str().ok()?.to_owned())
}
