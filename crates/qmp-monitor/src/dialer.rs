//! Connections that the monitor opens itself, again whenever they end.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Dials a path until somebody listens there.
#[derive(Debug)]
pub(crate) struct Dialer {
    path: PathBuf,
    /// Pause between attempts.
    every: Duration,
    /// When to dial; `None` while connected.
    due: Option<Instant>,
}

impl Dialer {
    /// Dials at once, then after each pause.
    pub(crate) fn new(path: PathBuf, every: Duration, now: Instant) -> Self {
        Self {
            path,
            every,
            due: Some(now),
        }
    }

    /// When to dial next.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Dials if it is time to; `None` if it is not, or nobody listens.
    pub(crate) fn dial(&mut self, now: Instant) -> Option<OwnedFd> {
        if self.due? > now {
            return None;
        }
        let stream = self.connect();
        self.due = stream.is_err().then(|| now + self.every);
        stream.ok()
    }

    /// The connection ended.
    pub(crate) fn ended(&mut self, now: Instant) {
        self.due = Some(now + self.every);
    }

    /// Not blocking: a listener whose queue is full counts as none.
    fn connect(&self) -> io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&stream, &SocketAddrUnix::new(&self.path)?)?;
        Ok(stream)
    }
}
