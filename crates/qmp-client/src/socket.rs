//! Sockets by address: dialled, with errors told apart.

use std::fs::{self, FileType};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::address::Address;
use crate::error::ConnectErrorKind;
use crate::limits::UNIX_PATH_MAX_BYTES;
use crate::peer::Peer;

/// Something that QMP can be spoken over.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A socket that is connected, and to whom.
pub(crate) struct Socket {
    pub(crate) stream: Box<dyn Transport>,
    pub(crate) peer: Option<Peer>,
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        let peer = Peer::of(&stream);
        Self {
            stream: Box::new(stream),
            peer,
        }
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        // A failure costs latency only.
        let _ = stream.set_nodelay(true);
        Self {
            stream: Box::new(stream),
            peer: None,
        }
    }
}

/// Connects to whoever listens at the address.
pub(crate) async fn dial(address: &Address) -> Result<Socket, ConnectErrorKind> {
    match address {
        Address::Unix { path, .. } => match dial_unix(path).await {
            Ok(stream) => Ok(stream.into()),
            Err(error) => Err(explain_unix(path, error)),
        },
        Address::Abstract { name, .. } => match UnixStream::connect(format!("\0{name}")).await {
            Ok(stream) => Ok(stream.into()),
            Err(error) => Err(explain_abstract(error)),
        },
        Address::Tcp { host, port, .. } => {
            let found = tokio::net::lookup_host((host.as_str(), *port)).await;
            let addresses: Vec<_> = found
                .map_err(|error| ConnectErrorKind::Host(error.to_string()))?
                .collect();
            match TcpStream::connect(addresses.as_slice()).await {
                Ok(stream) => Ok(stream.into()),
                Err(error) => Err(explain_tcp(error)),
            }
        }
    }
}

async fn dial_unix(path: &Path) -> io::Result<UnixStream> {
    let short = ShortPath::of(path)?;
    UnixStream::connect(short.as_path()).await
}

/// A path that fits into a socket address: itself, or by way of its directory's descriptor.
pub(crate) struct ShortPath {
    path: PathBuf,
    /// Open for as long as the path is used.
    _directory: Option<OwnedFd>,
}

impl ShortPath {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= UNIX_PATH_MAX_BYTES {
            return Ok(Self {
                path: path.to_owned(),
                _directory: None,
            });
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        let directory = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory, flags, Mode::empty())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
        if path.as_os_str().as_bytes().len() > UNIX_PATH_MAX_BYTES {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        Ok(Self {
            path,
            _directory: Some(directory),
        })
    }

    pub(crate) fn as_path(&self) -> &Path {
        &self.path
    }
}

/// What a file is, if it is no socket.
pub(crate) fn other_than_socket(kind: FileType) -> Option<&'static str> {
    if kind.is_socket() {
        None
    } else if kind.is_dir() {
        Some("a directory")
    } else if kind.is_fifo() {
        Some("a named pipe")
    } else if kind.is_file() {
        Some("a regular file")
    } else {
        Some("a device")
    }
}

fn explain_unix(path: &Path, error: io::Error) -> ConnectErrorKind {
    let metadata = fs::metadata(path).ok();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ConnectErrorKind::NoSuchFile,
        // The kernel refuses what is no socket with the same error as a socket nobody listens on.
        io::ErrorKind::ConnectionRefused => {
            let other = metadata.and_then(|found| other_than_socket(found.file_type()));
            other.map_or(ConnectErrorKind::DeadSocket, ConnectErrorKind::NotASocket)
        }
        io::ErrorKind::PermissionDenied => ConnectErrorKind::PermissionDenied {
            owner: metadata.map(|found| found.uid()),
        },
        io::ErrorKind::InvalidFilename => ConnectErrorKind::NameTooLong,
        // QEMU's queue takes one or two that wait behind the client it serves.
        io::ErrorKind::WouldBlock => ConnectErrorKind::Crowded,
        _ if is_other_socket_type(&error) => ConnectErrorKind::NotASocket("a datagram socket"),
        _ => ConnectErrorKind::Io(error),
    }
}

fn explain_abstract(error: io::Error) -> ConnectErrorKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectErrorKind::Refused,
        io::ErrorKind::InvalidInput => ConnectErrorKind::NameTooLong,
        // QEMU's queue takes one or two that wait behind the client it serves.
        io::ErrorKind::WouldBlock => ConnectErrorKind::Crowded,
        _ if is_other_socket_type(&error) => ConnectErrorKind::NotASocket("a datagram socket"),
        _ => ConnectErrorKind::Io(error),
    }
}

fn explain_tcp(error: io::Error) -> ConnectErrorKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectErrorKind::Refused,
        _ => ConnectErrorKind::Io(error),
    }
}

fn is_other_socket_type(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::PROTOTYPE.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Told from outside only where tests do not run as root, who may connect to anything.
    #[test]
    fn no_permission_names_the_owner_of_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let error = || io::Error::from(rustix::io::Errno::ACCESS);
        let own = rustix::process::getuid().as_raw();
        let message = explain_unix(folder.path(), error()).to_string();
        assert!(
            message.contains(&format!("it belongs to user id {own}")),
            "{message}"
        );
        let message = explain_unix(&folder.path().join("hidden"), error()).to_string();
        assert!(
            message.starts_with("permission denied: run as"),
            "{message}"
        );
    }
}
