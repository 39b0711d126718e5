//! The descriptors of one connection: a socket, or a pair of pipes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// What bytes of a connection come and go through.
#[derive(Debug)]
pub(crate) enum Line {
    /// Both ways through one socket.
    Socket(OwnedFd),
    /// One way each.
    Pipes {
        /// What the client writes.
        input: OwnedFd,
        /// What the client reads.
        output: OwnedFd,
    },
}

impl Line {
    /// Watches for input, and for the end of whoever reads the output. From here on nothing blocks.
    pub(crate) fn watch(&self, set: &OwnedFd, data: EventData) -> io::Result<()> {
        rustix::io::ioctl_fionbio(self.input(), true)?;
        epoll::add(set, self.input(), data, EventFlags::IN)?;
        if let Self::Pipes { output, .. } = self {
            rustix::io::ioctl_fionbio(output, true)?;
            match epoll::add(set, output, data, EventFlags::empty()) {
                // A regular file, which takes everything at once.
                Ok(()) | Err(Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Watches for something else than before.
    pub(crate) fn rewatch(
        &self,
        set: &OwnedFd,
        data: EventData,
        now: EventFlags,
    ) -> io::Result<()> {
        match self {
            Self::Socket(socket) => epoll::modify(set, socket, data, now)?,
            Self::Pipes { input, output } => {
                epoll::modify(set, input, data, now & EventFlags::IN)?;
                match epoll::modify(set, output, data, now & EventFlags::OUT) {
                    // A regular file is not in the set.
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Whether these flags say that nobody reads the output any more, while input may go on.
    pub(crate) fn is_cut(&self, flags: EventFlags) -> bool {
        matches!(self, Self::Pipes { .. }) && flags.contains(EventFlags::ERR)
    }

    /// Reads what is there; 0 at the end.
    pub(crate) fn receive(&self, bytes: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Socket(socket) => {
                recv(socket, bytes, RecvFlags::empty()).map(|(length, _)| length)
            }
            Self::Pipes { input, .. } => rustix::io::read(input, bytes),
        }
    }

    /// Writes what is taken at once.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match self {
            Self::Socket(socket) => send(socket, bytes, SendFlags::NOSIGNAL),
            Self::Pipes { output, .. } => rustix::io::write(output, bytes),
        }
    }

    fn input(&self) -> BorrowedFd<'_> {
        match self {
            Self::Socket(socket) => socket.as_fd(),
            Self::Pipes { input, .. } => input.as_fd(),
        }
    }
}
