//! What machines are called: one name for one machine among those attached at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::{cut, process};
use crate::limits::{MACHINE_NAME_MAX_BYTES, NAME_WAIT};

/// Who wants a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// The name QEMU has, or the one that stands for it.
    pub(super) name: String,
    pub(super) pid: Option<u32>,
    pub(super) uuid: Option<String>,
}

/// The names in use. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    held: Arc<Held>,
}

#[derive(Debug, Default)]
struct Held {
    by_name: Mutex<HashMap<String, Holder>>,
    released: Notify,
    count: watch::Sender<usize>,
}

#[derive(Debug)]
struct Holder {
    claim: Claim,
    ending: bool,
}

/// A name, until dropped.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) name: String,
    held: Arc<Held>,
}

/// The same QEMU process is attached already, through another of its monitors.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Duplicate;

impl Names {
    /// How many there are, as it changes.
    pub(super) fn count(&self) -> watch::Receiver<usize> {
        self.held.count.subscribe()
    }

    /// Takes the name, or tells the machine apart from another of that name: by process (`web#4242`), by
    /// uuid (`web#0c5d3f2a`), or by count (`web#2`). Waits a moment for an attachment that is just ending.
    pub(super) async fn claim(&self, claim: Claim) -> Result<Lease, Duplicate> {
        let claim = Claim {
            name: cut(&claim.name, MACHINE_NAME_MAX_BYTES).to_owned(),
            ..claim
        };
        let patient = async {
            loop {
                let released = self.held.released.notified();
                match self.try_claim(&claim, Patience::Some) {
                    Attempt::Taken(result) => return result,
                    Attempt::Ending => released.await,
                }
            }
        };
        match timeout(NAME_WAIT, patient).await {
            Ok(result) => result,
            Err(_) => match self.try_claim(&claim, Patience::None) {
                Attempt::Taken(result) => result,
                Attempt::Ending => Err(Duplicate),
            },
        }
    }

    /// Takes a name that was decided on before: nobody else has been asked yet.
    pub(super) fn reserve(&self, name: String, claim: Claim) -> Lease {
        let mut by_name = self.held.lock();
        let name = match by_name.contains_key(&name) {
            true => free_name(&by_name, &claim),
            false => name,
        };
        self.insert(&mut by_name, name, claim)
    }

    fn insert(&self, by_name: &mut HashMap<String, Holder>, name: String, claim: Claim) -> Lease {
        let holder = Holder {
            claim,
            ending: false,
        };
        by_name.insert(name.clone(), holder);
        self.held.count.send_replace(by_name.len());
        Lease {
            name,
            held: Arc::clone(&self.held),
        }
    }

    fn try_claim(&self, claim: &Claim, patience: Patience) -> Attempt {
        let mut by_name = self.held.lock();
        let same_process = by_name.values().find(|holder| {
            holder.claim.pid.is_some()
                && holder.claim.pid == claim.pid
                && holder.claim.name == claim.name
                && holder.claim.uuid == claim.uuid
        });
        match same_process {
            Some(holder) if holder.ending => return Attempt::Ending,
            Some(_) => return Attempt::Taken(Err(Duplicate)),
            None => {}
        }
        if let Some(holder) = by_name.get(&claim.name)
            && patience == Patience::Some
            && holder.is_ending()
        {
            return Attempt::Ending;
        }
        let name = free_name(&by_name, claim);
        Attempt::Taken(Ok(self.insert(&mut by_name, name, claim.clone())))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    Some,
    None,
}

enum Attempt {
    Taken(Result<Lease, Duplicate>),
    Ending,
}

impl Lease {
    /// Announces that the name will be free soon.
    pub(super) fn ending(&self) {
        if let Some(holder) = self.held.lock().get_mut(&self.name) {
            holder.ending = true;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut by_name = self.held.lock();
        by_name.remove(&self.name);
        self.held.count.send_replace(by_name.len());
        drop(by_name);
        self.held.released.notify_waiters();
    }
}

impl Holder {
    /// Its attachment is over, or will be as soon as it has looked.
    fn is_ending(&self) -> bool {
        self.ending || self.claim.pid.is_some_and(|pid| !process::is_running(pid))
    }
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Holder>> {
        // Nothing is left half done under this lock.
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn free_name(by_name: &HashMap<String, Holder>, claim: &Claim) -> String {
    let Claim { name, pid, uuid } = claim;
    let by_pid = pid.map(|pid| format!("{name}#{pid}"));
    let by_uuid = uuid
        .as_deref()
        .map(|uuid| format!("{name}#{}", uuid.chars().take(8).collect::<String>()));
    let by_count = (2_u64..).map(|count| format!("{name}#{count}"));
    std::iter::once(name.clone())
        .chain(by_pid)
        .chain(by_uuid)
        .chain(by_count)
        .find(|name| !by_name.contains_key(name))
        .expect("the counts go on for longer than any map is large")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(name: &str, pid: Option<u32>, uuid: Option<&str>) -> Claim {
        Claim {
            name: name.to_owned(),
            pid,
            uuid: uuid.map(str::to_owned),
        }
    }

    /// A process that certainly runs.
    fn me() -> Option<u32> {
        Some(std::process::id())
    }

    #[tokio::test(start_paused = true)]
    async fn machines_of_one_name_are_told_apart() {
        let names = Names::default();
        let first = names
            .claim(claim("web", me(), Some("a")))
            .await
            .expect("free");
        let by_pid = names
            .claim(claim("web", Some(1), None))
            .await
            .expect("free");
        let by_uuid = names
            .claim(claim("web", None, Some("0c5d3f2a-17")))
            .await
            .expect("free");
        let by_count = names.claim(claim("web", None, None)).await.expect("free");
        let leases = [&first, &by_pid, &by_uuid, &by_count];
        assert_eq!(
            leases.map(|lease| lease.name.as_str()),
            ["web", "web#1", "web#0c5d3f2a", "web#2"]
        );
        drop(first);
        assert_eq!(
            names
                .claim(claim("web", Some(2), None))
                .await
                .expect("free")
                .name,
            "web"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_monitor_of_one_process_is_a_duplicate() {
        let names = Names::default();
        let first = names.claim(claim("web", me(), None)).await.expect("free");
        assert_eq!(
            names.claim(claim("web", me(), None)).await.err(),
            Some(Duplicate)
        );
        let ending = first;
        ending.ending();
        let waiting = tokio::spawn({
            let names = names.clone();
            async move { names.claim(claim("web", me(), None)).await }
        });
        tokio::task::yield_now().await;
        drop(ending);
        let lease = waiting.await.expect("no panic").expect("free now");
        assert_eq!(lease.name, "web");
    }

    #[tokio::test(start_paused = true)]
    async fn a_successor_gets_the_name_of_the_one_that_ends() {
        let names = Names::default();
        let first = names.claim(claim("web", me(), None)).await.expect("free");
        first.ending();
        let waiting = tokio::spawn({
            let names = names.clone();
            async move { names.claim(claim("web", Some(1), None)).await }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert_eq!(waiting.await.expect("no panic").expect("free").name, "web");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_never_ends_is_not_waited_for_for_ever() {
        let names = Names::default();
        let first = names.claim(claim("web", me(), None)).await.expect("free");
        first.ending();
        assert_eq!(
            names
                .claim(claim("web", Some(1), None))
                .await
                .expect("free")
                .name,
            "web#1"
        );
    }
}
