//! The service manager above us: systemd, or whoever speaks as it does.
//!
//! It is told how we are (ready, stopping, reloading, alive), and it keeps our descriptors: a connection
//! given to it with [`Manager::keep`] lives on when this process does not, and comes back as one of the
//! [`Inherited`] of the next. Nothing is done, and nothing kept, where nobody listens at `NOTIFY_SOCKET`.
//!
//! Messages are datagrams of `NAME=value` lines, descriptors ride along; the names and their meanings are
//! those of the manual pages `sd_notify(3)` and `sd_listen_fds(3)`.
//!
//! The variables of the environment stay as they are: taking one away is not safe in a process that may
//! have threads. Nobody is misled by them. Each but `NOTIFY_SOCKET` comes with the number of the process
//! it is meant for, and what another process says is not listened to (`NotifyAccess=main`).

mod environment;
mod inherited;
mod socket;

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use environment::Environment;
use socket::NotifySocket;

pub use inherited::Inherited;

/// The service manager, or nobody. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Manager {
    there: Option<Arc<There>>,
}

#[derive(Debug)]
struct There {
    socket: NotifySocket,
    keeps_descriptors: bool,
    watchdog: Option<Duration>,
}

impl Manager {
    /// The manager this process was started by, and the descriptors it hands over.
    ///
    /// To be called once, before anything else is opened: the descriptors are told by their numbers. They
    /// are handed out at the first call only.
    pub fn from_env() -> (Self, Vec<Inherited>) {
        let environment = Environment::of_this_process();
        (Self::of(&environment), inherited::take(&environment))
    }

    /// One that keeps descriptors and listens there.
    #[cfg(test)]
    pub(crate) fn at(path: &std::path::Path) -> Self {
        Self::of(&Environment {
            notify_socket: Some(path.into()),
            keeps_descriptors: true,
            ..Environment::default()
        })
    }

    fn of(environment: &Environment) -> Self {
        let there = environment.notify_socket.as_deref().and_then(|address| {
            let socket = NotifySocket::new(address)
                .inspect_err(|error| {
                    tracing::warn!(
                        "the service manager at NOTIFY_SOCKET={address:?} is told nothing: {error}"
                    );
                })
                .ok()?;
            Some(Arc::new(There {
                socket,
                keeps_descriptors: environment.keeps_descriptors,
                watchdog: environment.watchdog,
            }))
        });
        Self { there }
    }

    /// Whether there is a manager that may keep descriptors.
    ///
    /// systemd says so since its version 254 (`FDSTORE`, the number it keeps at most). An older one is taken
    /// to keep them, which it does if the unit has `FileDescriptorStoreMax=`.
    pub fn keeps_descriptors(&self) -> bool {
        self.there
            .as_ref()
            .is_some_and(|there| there.keeps_descriptors)
    }

    /// Gives the manager a copy of a descriptor to keep under this name, until [`Manager::forget`] or the
    /// end of the service. It is kept also after the other side has closed: what it sent last is still to be
    /// read.
    ///
    /// # Errors
    /// When the name is none (letters, digits and most marks, but no colon; at most 255), or the manager
    /// does not take messages. Without a manager there is none: then nothing is kept.
    pub fn keep(&self, name: &str, fd: BorrowedFd<'_>) -> io::Result<()> {
        let Some(there) = &self.there else {
            return Ok(());
        };
        if !is_descriptor_name(name) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("`{name}` cannot be the name of a kept descriptor"),
            ));
        }
        let message = format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0\n");
        there.socket.send(&message, Some(fd))
    }

    /// Tells the manager to close what it keeps under this name.
    pub fn forget(&self, name: &str) {
        if is_descriptor_name(name) {
            self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}\n"));
        }
    }

    /// Everything is set up, or set up again.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}\n", one_line(status)));
    }

    /// A line for whoever asks how the service is.
    pub fn status(&self, text: &str) {
        self.tell(&format!("STATUS={}\n", one_line(text)));
    }

    /// This process is about to end.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=stopping\n");
    }

    /// The settings are being read again; [`Manager::ready`] follows.
    pub fn reloading(&self) {
        // With the time, the manager knows which of its own requests this answers.
        let now = clock_gettime(ClockId::Monotonic);
        let now_us = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}\n"));
    }

    /// How long the manager waits between two pings before it takes this process for dead.
    pub fn watchdog(&self) -> Option<Duration> {
        self.there.as_ref()?.watchdog
    }

    /// This process is alive.
    pub fn ping(&self) {
        self.tell("WATCHDOG=1\n");
    }

    fn tell(&self, message: &str) {
        let Some(there) = &self.there else { return };
        if let Err(error) = there.socket.send(message, None) {
            tracing::warn!(
                "the service manager was not told {:?}: {error}",
                message.lines().next().unwrap_or_default()
            );
        }
    }
}

/// As systemd has it: it drops what is named otherwise.
fn is_descriptor_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte) && byte != b':')
}

/// A message is made of lines: a status with two would be a status and something else.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests;
