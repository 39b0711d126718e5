//! The socket the service manager listens at.

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, sendmsg_addr, socket_with,
};

use crate::limits::NOTIFY_WAIT;

#[derive(Debug)]
pub(super) struct NotifySocket {
    socket: OwnedFd,
    address: SocketAddrUnix,
}

impl NotifySocket {
    /// `address` is a path, or `@` and a name without a file.
    pub(super) fn new(address: &OsStr) -> io::Result<Self> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name)?,
            path @ [b'/', ..] => SocketAddrUnix::new(path)?,
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "it is neither a path nor an abstract name",
                ));
            }
        };
        let kind = SocketType::DGRAM;
        let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        // The manager reads at its own pace; one that has stopped reading must not stop us as well.
        set_socket_timeout(&socket, Timeout::Send, Some(NOTIFY_WAIT))?;
        Ok(Self { socket, address })
    }

    pub(super) fn send(&self, message: &str, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = fd.as_slice();
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let text = [IoSlice::new(message.as_bytes())];
        loop {
            let flags = SendFlags::NOSIGNAL;
            match sendmsg_addr(&self.socket, &self.address, &text, &mut control, flags) {
                // A datagram is sent whole.
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
