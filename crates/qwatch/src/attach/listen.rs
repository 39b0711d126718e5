//! QEMUs that dial us, any number on one address.

use std::sync::Arc;

use qmp_client::{Incoming, Options};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Shared;
use super::door::Door;
use super::session::{self, Ended, Origin};
use crate::limits::{ATTACHMENTS_MAX, REDIAL_MIN};

/// Takes in whoever dials, for as long as the recorder runs.
pub(super) async fn keep(door: Door, shared: Shared) {
    let room = Arc::new(Semaphore::new(ATTACHMENTS_MAX));
    let mut attachments = JoinSet::new();
    let mut stop = shared.stop.clone();
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
    let mut stop = shared.stop.clone();
    let pid = incoming.peer().and_then(|peer| peer.pid);
    let options = Options::default();
    let greeted = tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => return,
        greeted = incoming.greet(&options) => greeted,
    };
    let connection = match greeted {
        Ok(connection) => connection,
        Err(error) => {
            tracing::warn!(%address, pid, "turned away: {}", error.kind);
            return;
        }
    };
    let origin = Origin {
        address: address.clone(),
        fallback: None,
        dialled_in: true,
    };
    if session::attend(connection, origin, &shared).await == Ended::Duplicate {
        tracing::warn!(%address, pid, "turned away: this QEMU is recorded already, through another of its monitors");
    }
}
