//! Where machines come from, each source with its task. Sources are added and removed while the others
//! go on undisturbed.

use std::collections::HashMap;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qmp_client::Address;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::door::Door;
use super::kept::Kept;
use super::{Monitor, RecordError, Shared, dial, listen, session};
use crate::limits::STOP_WAIT;

/// Changes the sources of a running recorder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    requests: mpsc::Sender<Request>,
}

/// What a change came to, in the words of the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Sources that were not there before.
    pub added: Vec<String>,
    /// Sources that are no more.
    pub removed: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Request {
    listen: Vec<Address>,
    monitors: Vec<Monitor>,
    reply: oneshot::Sender<Result<Changes, RecordError>>,
}

impl Control {
    pub(super) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(1);
        (Self { requests }, receiver)
    }

    /// Records from these sources from now on. Those that were there before are not touched: no machine
    /// that stays is detached. Machines of a source that is gone are said goodbye to.
    ///
    /// # Errors
    /// When an address cannot be listened at: then nothing has changed. When the recorder has stopped.
    pub async fn change(
        &self,
        listen: Vec<Address>,
        monitors: Vec<Monitor>,
    ) -> Result<Changes, RecordError> {
        let (reply, changed) = oneshot::channel();
        let request = Request {
            listen,
            monitors,
            reply,
        };
        if self.requests.send(request).await.is_err() {
            return Err(RecordError::Stopped);
        }
        changed.await.unwrap_or(Err(RecordError::Stopped))
    }
}

/// The sources there are.
#[derive(Debug)]
pub(super) struct Sources {
    shared: Shared,
    running: HashMap<String, Running>,
}

/// One source.
#[derive(Debug)]
struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Sources {
    /// Connections of an earlier recorder go to the sources they came from. One whose source is no more is
    /// said goodbye to.
    pub(super) fn start(
        shared: Shared,
        doors: Vec<Door>,
        monitors: Vec<Monitor>,
        mut kept: Vec<Kept>,
    ) -> Self {
        let mut sources = Self {
            shared,
            running: HashMap::new(),
        };
        for door in doors {
            let own = kept.extract_if(.., |kept| kept.came_in_at(door.address()));
            let own = own.collect();
            sources.add_door(door, own);
        }
        for monitor in monitors {
            let (mut own, mut others) = (vec![], vec![]);
            for kept in kept {
                match kept.was_dialled_for(&monitor) {
                    Some(address) => own.push((address, Box::new(kept))),
                    None => others.push(kept),
                }
            }
            kept = others;
            sources.add_monitor(monitor, own);
        }
        for kept in kept {
            let shared = sources.shared.clone();
            tokio::spawn(async move { session::give_up(kept, &shared).await });
        }
        sources
    }

    pub(super) async fn serve(&mut self, request: Request) {
        let Request {
            listen,
            monitors,
            reply,
        } = request;
        // Whoever asked may have gone.
        let _ = reply.send(self.change(listen, monitors).await);
    }

    async fn change(
        &mut self,
        listen: Vec<Address>,
        monitors: Vec<Monitor>,
    ) -> Result<Changes, RecordError> {
        let new_addresses: Vec<Address> = listen
            .iter()
            .filter(|address| !self.running.contains_key(&key_of_door(address)))
            .cloned()
            .collect();
        // What may fail comes first.
        let doors = Door::open_all(&new_addresses, vec![], &self.shared.manager).await?;
        let wanted: Vec<String> = (listen.iter().map(key_of_door))
            .chain(monitors.iter().map(key_of_monitor))
            .collect();
        let mut changes = Changes {
            added: vec![],
            removed: self.remove_all_but(&wanted).await,
        };
        for door in doors {
            changes.added.extend(self.add_door(door, vec![]));
        }
        for monitor in monitors {
            changes.added.extend(self.add_monitor(monitor, vec![]));
        }
        Ok(changes)
    }

    /// Ends them all.
    pub(super) async fn stop(mut self) {
        self.remove_all_but(&[]).await;
    }

    async fn remove_all_but(&mut self, wanted: &[String]) -> Vec<String> {
        let (stay, leave): (HashMap<_, _>, HashMap<_, _>) = mem::take(&mut self.running)
            .into_iter()
            .partition(|(key, _)| wanted.contains(key));
        self.running = stay;
        for running in leave.values() {
            running.stop.send_replace(true);
        }
        let mut removed = Vec::with_capacity(leave.len());
        let until = Instant::now() + STOP_WAIT;
        for (key, running) in leave {
            // Whether it ended well is not asked: one that panicked has ended, too.
            if timeout_at(until, running.task).await.is_err() {
                tracing::warn!("{key}: not all machines could be said goodbye to in time");
            }
            self.shared.own_sockets.remove(&key);
            removed.push(key);
        }
        removed.sort();
        removed
    }

    fn add_door(&mut self, mut door: Door, kept: Vec<Kept>) -> Option<String> {
        door.keep();
        let key = key_of_door(door.address());
        if let Some(path) = door.address().path() {
            self.shared.own_sockets.add(&key, path);
        }
        self.add(key, |shared| tokio::spawn(listen::keep(door, kept, shared)))
    }

    fn add_monitor(&mut self, monitor: Monitor, kept: Vec<(Address, Box<Kept>)>) -> Option<String> {
        self.add(key_of_monitor(&monitor), |shared| match monitor {
            Monitor::Address(address) => {
                // A monitor serves one client: there are no two.
                let kept = kept.into_iter().next().map(|(_, kept)| kept);
                tokio::spawn(dial::keep(address, kept, shared))
            }
            Monitor::Glob(glob) => tokio::spawn(dial::keep_glob(glob, kept, shared)),
        })
    }

    /// `None` if it is there already.
    fn add(&mut self, key: String, start: impl FnOnce(Shared) -> JoinHandle<()>) -> Option<String> {
        if self.running.contains_key(&key) {
            return None;
        }
        let (stop, stopped) = watch::channel(false);
        let shared = Shared {
            stop: stopped,
            ..self.shared.clone()
        };
        let task = start(shared);
        self.running.insert(key.clone(), Running { stop, task });
        Some(key)
    }
}

/// The files of our own listeners, so that no glob makes us dial ourselves. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnSockets {
    by_source: Arc<Mutex<HashMap<String, PathBuf>>>,
}

impl OwnSockets {
    pub(super) fn contains(&self, path: &Path) -> bool {
        let own = self.lock();
        !own.is_empty()
            && path
                .canonicalize()
                .is_ok_and(|path| own.values().any(|own| *own == path))
    }

    fn add(&self, source: &str, path: &Path) {
        if let Ok(path) = path.canonicalize() {
            self.lock().insert(source.to_owned(), path);
        }
    }

    fn remove(&self, source: &str) {
        self.lock().remove(source);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, PathBuf>> {
        // Nothing is left half done under this lock.
        self.by_source
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of_door(address: &Address) -> String {
    format!("listening at {address}")
}

fn key_of_monitor(monitor: &Monitor) -> String {
    match monitor {
        Monitor::Address(address) => format!("dialling {address}"),
        Monitor::Glob(glob) => format!("dialling {}", glob.as_str()),
    }
}
