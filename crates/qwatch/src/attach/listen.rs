//! QEMUs that dial us, any number on one address.

use std::sync::Arc;

use qmp_client::Incoming;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Shared;
use super::door::Door;
use super::kept::Kept;
use super::session::{self, Ended, Origin};
use crate::limits::{ATTACHMENTS_MAX, REDIAL_MIN};

/// Takes in whoever dials, for as long as the recorder runs.
///
/// Those of an earlier recorder go on first.
pub(super) async fn keep(door: Door, kept: Vec<Kept>, shared: Shared) {
    let room = Arc::new(Semaphore::new(ATTACHMENTS_MAX));
    let mut attachments = JoinSet::new();
    let mut stop = shared.stop.clone();
    for kept in kept {
        let (origin, shared) = (origin(door.address().to_string()), shared.clone());
        let place = Arc::clone(&room).try_acquire_owned();
        attachments.spawn(async move {
            let ended = session::go_on(kept, origin.clone(), &shared).await;
            tell(ended, &origin.address, None);
            drop(place);
        });
    }
    loop {
        let incoming = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = attachments.join_next(), if !attachments.is_empty() => continue,
            incoming = door.incoming() => incoming,
        };
        match incoming {
            Ok(incoming) => {
                let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                    tracing::warn!(address = %door.address(), "turned away: {ATTACHMENTS_MAX} QEMUs are attached");
                    continue;
                };
                let address = door.address().to_string();
                let shared = shared.clone();
                attachments.spawn(async move {
                    take_in(incoming, address, shared).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!("cannot take in a QEMU that dials: {error}");
                sleep(REDIAL_MIN).await;
            }
        }
    }
    if shared.is_recorder_stopped() {
        door.leave();
    } else {
        door.close();
    }
    attachments.join_all().await;
}

async fn take_in(incoming: Incoming, address: String, shared: Shared) {
    let pid = incoming.peer().and_then(|peer| peer.pid);
    let origin = origin(address);
    let ended = session::attend(incoming.into_socket(), origin.clone(), &shared).await;
    tell(ended, &origin.address, pid);
}

fn origin(address: String) -> Origin {
    Origin {
        address,
        fallback: None,
        dialled_in: true,
    }
}

/// Says why somebody is not recorded.
fn tell(ended: Ended, address: &str, pid: Option<u32>) {
    match ended {
        Ended::Duplicate => {
            tracing::warn!(%address, pid, "turned away: this QEMU is recorded already, through another of its monitors");
        }
        Ended::Failed(kind) => {
            tracing::warn!(%address, pid, "turned away: {}", kind.of_incoming());
        }
        Ended::Closed | Ended::Stopped | Ended::Journal => {}
    }
}
