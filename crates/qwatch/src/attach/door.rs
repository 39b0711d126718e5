//! Where QEMUs dial in: opened by us, or taken over from a service manager.

use std::mem;
use std::os::fd::AsFd;

use qmp_client::{Address, ConnectError, Incoming, ListenError, Listener};

use crate::service::{Inherited, Manager};

/// How the names begin under which the manager keeps our listening sockets.
const NAME_PREFIX: &str = "listen-";

/// A listening socket that a service manager may keep, so that nobody who dials is refused while there is
/// no recorder.
#[derive(Debug)]
pub(super) struct Door {
    listener: Listener,
    manager: Manager,
    /// It was bound by this process; the manager does not have it yet.
    is_new: bool,
}

impl Door {
    /// Opens all of them: takes over those of the sockets that are bound to one of the addresses, closes the
    /// others, binds what is not there.
    pub(super) async fn open_all(
        addresses: &[Address],
        mut inherited: Vec<Inherited>,
        manager: &Manager,
    ) -> Result<Vec<Self>, ListenError> {
        let mut doors = Vec::with_capacity(addresses.len());
        let mut absent = vec![];
        for address in addresses {
            match take(address, &mut inherited).await {
                Some(socket) => doors.push(Self {
                    listener: Listener::adopt(address, socket.fd)?,
                    manager: manager.clone(),
                    is_new: false,
                }),
                None => absent.push(address),
            }
        }
        // Before anything is bound: one of these may hold the place of another.
        close_unwanted(inherited, manager);
        for address in absent {
            doors.push(Self {
                listener: Listener::bind(address).await?,
                manager: manager.clone(),
                is_new: true,
            });
        }
        Ok(doors)
    }

    /// Has the manager keep the socket.
    pub(super) fn keep(&mut self) {
        if !mem::take(&mut self.is_new) {
            return;
        }
        let address = self.listener.address();
        let kept = self.manager.keep(&name_of(address), self.listener.as_fd());
        if let Err(error) = kept {
            tracing::warn!(%address, "QEMUs that dial during a restart will be refused, as the service manager does not keep the socket: {error}");
        }
    }

    pub(super) fn address(&self) -> &Address {
        self.listener.address()
    }

    pub(super) async fn incoming(&self) -> Result<Incoming, ConnectError> {
        self.listener.incoming().await
    }

    /// Nobody is to dial here any more.
    pub(super) fn close(self) {
        self.manager.forget(&name_of(self.listener.address()));
    }

    /// The next recorder listens on, if there is a manager that keeps the socket.
    pub(super) fn leave(mut self) {
        if self.manager.keeps_descriptors() {
            self.listener.leave_file();
        }
    }
}

/// The one of the sockets at which whoever dials this address arrives.
async fn take(address: &Address, inherited: &mut Vec<Inherited>) -> Option<Inherited> {
    for (place, socket) in inherited.iter().enumerate() {
        if Listener::is_bound_to(socket.as_fd(), address).await {
            return Some(inherited.swap_remove(place));
        }
    }
    None
}

fn close_unwanted(inherited: Vec<Inherited>, manager: &Manager) {
    for socket in inherited {
        let name = &socket.name;
        tracing::info!(
            name,
            "closed a listening socket that is not in the settings"
        );
        if name.starts_with(NAME_PREFIX) {
            manager.forget(name);
        }
    }
}

/// The same for the same address, in every version of the program (FNV-1a): a manager gets no second
/// descriptor under a name.
fn name_of(address: &Address) -> String {
    let hash = address
        .to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    format!("{NAME_PREFIX}{hash:016x}")
}
