//! Sockets that clients connect to.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, getsockname, listen,
    socket_with, sockopt,
};

use crate::limits::BACKLOG_MAX_CLIENTS;

/// A listening socket, not blocking, with the backlog QEMU gives it.
#[derive(Debug)]
pub(crate) struct Listener {
    fd: OwnedFd,
    /// Kept for its end.
    _file: Option<SocketFile>,
}

/// The file of a UNIX socket; removed with it.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode: somebody else's file of the same name stays.
    identity: (u64, u64),
}

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

impl Listener {
    /// Listens on a path. A socket that lies there is replaced, as QEMU does; any other file is an error.
    pub(crate) fn unix(path: &Path) -> io::Result<Self> {
        if let Ok(metadata) = path.symlink_metadata()
            && metadata.file_type().is_socket()
        {
            std::fs::remove_file(path)?;
        }
        let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
        bind(&fd, &SocketAddrUnix::new(path)?)?;
        listen(&fd, BACKLOG_MAX_CLIENTS)?;
        let metadata = path.symlink_metadata()?;
        let file = SocketFile {
            path: path.to_owned(),
            identity: (metadata.dev(), metadata.ino()),
        };
        Ok(Self {
            fd,
            _file: Some(file),
        })
    }

    /// Listens on an address and port; port 0 lets the kernel choose.
    pub(crate) fn tcp(address: SocketAddr) -> io::Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let fd = socket_with(family, SocketType::STREAM, FLAGS, None)?;
        sockopt::set_socket_reuseaddr(&fd, true)?;
        bind(&fd, &address)?;
        listen(&fd, BACKLOG_MAX_CLIENTS)?;
        Ok(Self { fd, _file: None })
    }

    /// The next client, not blocking; `None` if there is none after all.
    pub(crate) fn accept(&self) -> io::Result<Option<OwnedFd>> {
        match accept_with(&self.fd, FLAGS) {
            Ok(client) => Ok(Some(client)),
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The address and port of a TCP socket.
    pub(crate) fn tcp_address(&self) -> Option<SocketAddr> {
        SocketAddr::try_from(getsockname(&self.fd).ok()?).ok()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let identity = self.path.symlink_metadata();
        let identity = identity.map(|metadata| (metadata.dev(), metadata.ino()));
        if identity.is_ok_and(|identity| identity == self.identity) {
            // Gone already is as good.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
