//! Descriptors that the service manager hands over.

use std::env;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::sockopt::socket_acceptconn;

use super::environment::Environment;

/// A descriptor that outlived the process it was opened by, or was opened by the manager for us.
#[derive(Debug)]
pub struct Inherited {
    /// What it was stored as, or what the manager's own settings call it. Empty if nobody said.
    pub name: String,
    /// The descriptor. It is closed when a child process is started.
    pub fd: OwnedFd,
}

impl Inherited {
    /// Whether it is a socket at which others may connect.
    pub fn is_listening(&self) -> bool {
        socket_acceptconn(&self.fd).unwrap_or(false)
    }
}

impl AsFd for Inherited {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Takes over the descriptors, numbered from 3 on. A second call finds none: they have an owner.
pub(super) fn take(environment: &Environment) -> Vec<Inherited> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if environment.descriptors == 0 || TAKEN.swap(true, Ordering::Relaxed) {
        return vec![];
    }
    // The crate looks at the same variables; they were found to be sound.
    let found = match sd_listen_fds::get() {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!("no descriptor is taken over: {error}");
            return vec![];
        }
    };
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    tracing::debug!(count = found.len(), names, "descriptors are handed over");
    found
        .into_iter()
        .filter_map(|(name, fd)| own(name.unwrap_or_default(), fd.into_std()))
        .collect()
}

/// `None` if there is no such descriptor.
fn own(name: String, fd: OwnedFd) -> Option<Inherited> {
    match fcntl_setfd(&fd, FdFlags::CLOEXEC) {
        Ok(()) => Some(Inherited { name, fd }),
        Err(error) => {
            tracing::warn!(
                name,
                "a descriptor that is handed over is not there: {error}"
            );
            // Its number may be given to someone else: it is not ours to close.
            mem::forget(fd);
            None
        }
    }
}
