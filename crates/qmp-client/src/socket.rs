//! Sockets by address: dialled, with errors told apart.

use std::fs::{self, FileType};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, RecvFlags};
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::address::Address;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::limits::UNIX_PATH_MAX_BYTES;
use crate::peer::Peer;

/// Something that QMP can be spoken over.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A connected socket, for those who read and write it themselves: a
/// [`ClientSession`](qmp_protocol::ClientSession) says what the bytes mean.
///
/// What came can be looked at and left where it is ([`Socket::peek`]). It stays in the kernel until it is
/// consumed, even if this process ends, as long as another has the descriptor too.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    peer: Option<Peer>,
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Socket {
    /// Connects to a monitor. Nothing is read yet, so a monitor that another client holds is not told from
    /// a free one.
    ///
    /// # Errors
    ///
    /// If nobody can be connected to within `limit`; those of [`ConnectErrorKind`] before any greeting.
    pub async fn connect(address: &Address, limit: Duration) -> Result<Self, ConnectError> {
        let dialled = timeout(limit, dial(address)).await;
        dialled
            .unwrap_or(Err(ConnectErrorKind::Unreachable(limit)))
            .map_err(|kind| ConnectError {
                address: address.clone(),
                kind,
            })
    }

    /// A descriptor that somebody else has connected.
    ///
    /// # Errors
    ///
    /// If it is no stream socket, or cannot be waited for.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(match rustix::net::sockopt::socket_domain(&fd)? {
            AddressFamily::UNIX => UnixStream::from_std(fd.into())?.into(),
            AddressFamily::INET | AddressFamily::INET6 => TcpStream::from_std(fd.into())?.into(),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    /// The process at the other end; `None` over TCP.
    pub fn peer(&self) -> Option<Peer> {
        self.peer
    }

    /// Waits until there may be more than the last [`Socket::peek`] showed. True if the other side has
    /// closed: then the next peek shows all that will ever come. Cancel safe.
    ///
    /// # Errors
    ///
    /// If the runtime is shutting down.
    pub async fn readable(&self) -> io::Result<bool> {
        let ready = match &self.stream {
            Stream::Unix(stream) => stream.ready(Interest::READABLE).await,
            Stream::Tcp(stream) => stream.ready(Interest::READABLE).await,
        };
        Ok(ready?.is_read_closed())
    }

    /// Waits until [`Socket::send`] may take bytes. Cancel safe.
    ///
    /// # Errors
    ///
    /// If the runtime is shutting down.
    pub async fn writable(&self) -> io::Result<()> {
        match &self.stream {
            Stream::Unix(stream) => stream.writable().await,
            Stream::Tcp(stream) => stream.writable().await,
        }
    }

    /// Copies what has come into the buffer and leaves it where it is. `known` bytes of it were seen
    /// before; if there is no more than these, that is [`io::ErrorKind::WouldBlock`], and
    /// [`Socket::readable`] waits for more. 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn peek(&self, buffer: &mut [u8], known: usize) -> io::Result<usize> {
        let room = buffer.len();
        self.try_read(|fd| {
            let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            let (seen, _) = rustix::net::recv(fd, &mut *buffer, flags)?;
            // A buffer that is full says nothing of what stands behind.
            if known > 0 && seen <= known && seen < room {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(seen)
        })
    }

    /// As [`Socket::peek`] where nothing is known, but says nothing to [`Socket::readable`].
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn look(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        Ok(rustix::net::recv(self.as_fd(), buffer, flags)?.0)
    }

    /// Reads bytes that were peeked at, all in one call: whoever looks sees all of them or none. `buffer`
    /// is overwritten, its length says how many.
    ///
    /// # Errors
    ///
    /// Those of the operating system; [`io::ErrorKind::UnexpectedEof`] if there are fewer.
    pub fn consume(&self, buffer: &mut [u8]) -> io::Result<()> {
        let mut left = buffer;
        while !left.is_empty() {
            let (count, _) = rustix::net::recv(self.as_fd(), &mut *left, RecvFlags::DONTWAIT)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left = &mut left[count..];
        }
        Ok(())
    }

    /// Writes what the socket takes now; says how much that was.
    ///
    /// # Errors
    ///
    /// Those of the operating system; [`io::ErrorKind::WouldBlock`] if it takes nothing now.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.stream {
            Stream::Unix(stream) => stream.try_write(bytes),
            Stream::Tcp(stream) => stream.try_write(bytes),
        }
    }

    fn try_read(
        &self,
        read: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        match &self.stream {
            Stream::Unix(stream) => stream.try_io(Interest::READABLE, || read(stream.as_fd())),
            Stream::Tcp(stream) => stream.try_io(Interest::READABLE, || read(stream.as_fd())),
        }
    }

    pub(crate) fn into_transport(self) -> (Box<dyn Transport>, Option<Peer>) {
        let transport: Box<dyn Transport> = match self.stream {
            Stream::Unix(stream) => Box::new(stream),
            Stream::Tcp(stream) => Box::new(stream),
        };
        (transport, self.peer)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Tcp(stream) => stream.as_fd(),
        }
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self {
            peer: Peer::of(&stream),
            stream: Stream::Unix(stream),
        }
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        // A failure costs latency only.
        let _ = stream.set_nodelay(true);
        Self {
            stream: Stream::Tcp(stream),
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
    fn pair() -> (Socket, std::os::unix::net::UnixStream) {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        (Socket::from_fd(ours.into()).unwrap(), theirs)
    }

    #[tokio::test]
    async fn what_was_seen_stays_until_it_is_consumed() {
        use std::io::Write;
        let (socket, mut qemu) = pair();
        assert_eq!(
            socket.peer().and_then(|peer| peer.pid),
            Some(std::process::id())
        );
        let mut buffer = [0; 64];
        for (line, seen) in [("one\r\n", 5), ("two\r\n", 10)] {
            qemu.write_all(line.as_bytes()).unwrap();
            assert!(!socket.readable().await.unwrap());
            assert_eq!(socket.peek(&mut buffer, seen - 5).unwrap(), seen);
        }
        assert_eq!(&buffer[..10], b"one\r\ntwo\r\n");
        // Nothing new: that is waited for, not shown again. The edge of the second line may still come.
        let mut wakes = 0;
        let waiting = async {
            loop {
                socket.readable().await.unwrap();
                wakes += 1;
                let again = socket.peek(&mut buffer, 10).unwrap_err();
                assert_eq!(again.kind(), io::ErrorKind::WouldBlock);
            }
        };
        let never = timeout(Duration::from_millis(20), waiting).await;
        assert!(never.is_err() && wakes <= 2, "half a message must not spin");

        socket.consume(&mut buffer[..5]).unwrap();
        drop(qemu);
        assert!(socket.readable().await.unwrap(), "closed");
        assert_eq!(socket.peek(&mut buffer, 0).unwrap(), 5);
        assert_eq!(&buffer[..5], b"two\r\n");
        socket.consume(&mut buffer[..5]).unwrap();
        assert_eq!(socket.peek(&mut buffer, 0).unwrap(), 0);
        let error = socket.consume(&mut buffer[..1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

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
