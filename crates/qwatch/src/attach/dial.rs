//! Monitors that we dial: tried until there is one, and again when it is gone.

use std::collections::HashMap;
use std::mem;
use std::path::{Path, PathBuf};
use std::time::Duration;

use qmp_client::limits::GREETING_TIMEOUT;
use qmp_client::{Address, ConnectErrorKind, Socket};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::Shared;
use super::glob::SocketGlob;
use super::kept::Kept;
use super::session::{self, Ended, Origin};
use crate::limits::{ATTACHMENTS_MAX, GLOB_PERIOD, REDIAL_HELD, REDIAL_MAX, REDIAL_MIN};

/// Dials one monitor for as long as the recorder runs.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn would hold what it is given twice"
)]
pub(super) fn keep(
    address: Address,
    kept: Option<Box<Kept>>,
    shared: Shared,
) -> impl Future<Output = ()> + Send {
    async move { dial(&address, kept, &shared, Absent::Wait).await }
}

/// Dials every socket file that fits a glob, also those that come later.
///
/// Those of an earlier recorder go on first, be their socket files there or not.
pub(super) async fn keep_glob(glob: SocketGlob, kept: Vec<(Address, Box<Kept>)>, shared: Shared) {
    let mut dialled: HashMap<PathBuf, JoinHandle<()>> = HashMap::new();
    for (address, kept) in kept {
        let shared = shared.clone();
        let path = address.path().map(Path::to_path_buf).unwrap_or_default();
        let task =
            tokio::spawn(async move { dial(&address, Some(kept), &shared, Absent::End).await });
        dialled.insert(path, task);
    }
    let mut tasks = JoinSet::new();
    let mut stop = shared.stop.clone();
    loop {
        let searched = {
            let glob = glob.clone();
            tokio::task::spawn_blocking(move || glob.expand())
        };
        let found = searched.await.unwrap_or_default();
        dialled.retain(|_, task| !task.is_finished());
        for path in found {
            if dialled.len() >= ATTACHMENTS_MAX
                || dialled.contains_key(&path)
                || shared.own_sockets.contains(&path)
            {
                continue;
            }
            let shared = shared.clone();
            let address = Address::unix(path.clone());
            let task =
                tokio::spawn(async move { dial(&address, None, &shared, Absent::End).await });
            dialled.insert(path, task);
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            () = sleep(GLOB_PERIOD) => {}
        }
    }
    for (_, task) in dialled {
        tasks.spawn(task);
    }
    tasks.join_all().await;
}

/// What to do when the socket file is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absent {
    /// Wait for it.
    Wait,
    /// Give up; the glob will find it when it comes back.
    End,
}

async fn dial(address: &Address, mut kept: Option<Box<Kept>>, shared: &Shared, absent: Absent) {
    let mut stop = shared.stop.clone();
    let mut backoff = Backoff::default();
    loop {
        let origin = Origin {
            address: address.to_string(),
            fallback: Some(fallback_name(address)),
            dialled_in: false,
        };
        let ended = match kept.take() {
            Some(kept) => Box::pin(session::go_on(*kept, origin, shared)).await,
            None => {
                let connected = tokio::select! {
                    biased;
                    _ = stop.wait_for(|stop| *stop) => return,
                    connected = Box::pin(Socket::connect(address, GREETING_TIMEOUT)) => connected,
                };
                match connected {
                    Ok(socket) => session::attend(socket, origin, shared).await,
                    Err(error) => Ended::Failed(error.kind),
                }
            }
        };
        let pause = match ended {
            Ended::Closed => {
                backoff = Backoff::default();
                backoff.after_end()
            }
            Ended::Duplicate => backoff.after_duplicate(address),
            Ended::Stopped | Ended::Journal => return,
            Ended::Failed(ConnectErrorKind::NoSuchFile) if absent == Absent::End => return,
            Ended::Failed(kind) => backoff.after_failure(address, &kind),
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = Box::pin(sleep(pause)) => {}
        }
    }
}

/// When to try again, and what has been said already.
#[derive(Debug, Default)]
struct Backoff {
    pause: Option<Duration>,
    /// What kept us from connecting the last time: said once, not at each try.
    said: Option<mem::Discriminant<ConnectErrorKind>>,
    said_duplicate: bool,
}

impl Backoff {
    fn after_end(&mut self) -> Duration {
        self.longer()
    }

    fn after_duplicate(&mut self, address: &Address) -> Duration {
        if !mem::replace(&mut self.said_duplicate, true) {
            tracing::warn!(%address, "this QEMU is recorded already, through another of its monitors");
        }
        REDIAL_HELD
    }

    fn after_failure(&mut self, address: &Address, failure: &ConnectErrorKind) -> Duration {
        let kind = mem::discriminant(failure);
        if self.said.replace(kind) != Some(kind) {
            tracing::warn!(%address, "not attached, will try again: {failure}");
        }
        match failure {
            ConnectErrorKind::Held { .. } | ConnectErrorKind::Crowded => REDIAL_HELD,
            _ => self.longer(),
        }
    }

    fn longer(&mut self) -> Duration {
        let pause = self
            .pause
            .map_or(REDIAL_MIN, |pause| (pause * 2).min(REDIAL_MAX));
        self.pause = Some(pause);
        pause
    }
}

/// What to call a machine that has no name: the socket file's name without its ending.
fn fallback_name(address: &Address) -> String {
    match address {
        Address::Unix { path, .. } => Path::new(path).file_stem().map_or_else(
            || path.display().to_string(),
            |stem| stem.to_string_lossy().into_owned(),
        ),
        Address::Abstract { name, .. } => name.clone(),
        Address::Tcp { host, port, .. } => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_sockets() {
        let name = |address: &str| fallback_name(&address.parse().expect("an address"));
        assert_eq!(name("/run/vm/web1.sock"), "web1");
        assert_eq!(name("@db"), "db");
        assert_eq!(name("tcp:host:4444"), "host:4444");
    }

    #[test]
    fn pauses_grow_to_a_limit_and_a_held_monitor_has_its_own() {
        let mut backoff = Backoff::default();
        let address: Address = "/run/a.sock".parse().expect("an address");
        let pauses: Vec<u128> = (0..7)
            .map(|_| {
                backoff
                    .after_failure(&address, &ConnectErrorKind::DeadSocket)
                    .as_millis()
            })
            .collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        let held = ConnectErrorKind::Held {
            waited: Duration::from_secs(5),
            pid: None,
        };
        assert_eq!(backoff.after_failure(&address, &held), REDIAL_HELD);
    }
}
