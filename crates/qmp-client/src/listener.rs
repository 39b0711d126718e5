//! QEMU dials us.

use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::{TcpListener, UnixListener};

use crate::address::Address;
use crate::connection::{Connection, greet};
use crate::error::{ConnectError, ListenError, ListenErrorKind};
use crate::limits::LISTEN_BACKLOG_MAX_COUNT;
use crate::options::Options;
use crate::peer::Peer;
use crate::socket::{ShortPath, Socket, other_than_socket};

/// Waits for QEMUs to dial in, any number of them.
///
/// A UNIX socket file is created with mode 0600 and removed when the listener is dropped. A file left
/// behind by a program that is gone is replaced; one on which somebody listens is not.
#[derive(Debug)]
pub struct Listener {
    address: Address,
    socket: Listening,
    /// Removed at the end.
    file: Option<SocketFile>,
}

/// A QEMU that has dialled in and has not been heard yet.
pub struct Incoming {
    address: Address,
    socket: Socket,
}

#[derive(Debug)]
enum Listening {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// Listens at an address, whatever [`Address::is_listen`] says.
    ///
    /// # Errors
    ///
    /// See [`ListenErrorKind`].
    pub async fn bind(address: &Address) -> Result<Self, ListenError> {
        let bound = match address {
            Address::Unix { path, .. } => {
                bind_path(path).map(|(socket, file)| (socket, Some(file)))
            }
            Address::Abstract { name, .. } => bind_abstract(name).map(|socket| (socket, None)),
            Address::Tcp { host, port, .. } => {
                bind_tcp(host, *port).await.map(|socket| (socket, None))
            }
        };
        match bound {
            Ok((socket, file)) => Ok(Self {
                address: address.clone(),
                socket,
                file,
            }),
            Err(kind) => Err(ListenError {
                address: address.clone(),
                kind,
            }),
        }
    }

    /// Takes over a socket that listens already: a service manager opened it, or kept it when the process
    /// that had bound it ended. Its file is left alone at the end. Must be called within a tokio runtime.
    ///
    /// See [`Listener::is_bound_to`].
    ///
    /// # Errors
    ///
    /// When the socket is none that could listen there.
    pub fn adopt(address: &Address, socket: OwnedFd) -> Result<Self, ListenError> {
        let adopted = match address {
            Address::Unix { .. } | Address::Abstract { .. } => adopt_unix(socket),
            Address::Tcp { .. } => adopt_tcp(socket),
        };
        match adopted {
            Ok(socket) => Ok(Self {
                address: address.clone(),
                socket,
                file: None,
            }),
            Err(error) => Err(ListenError {
                address: address.clone(),
                kind: ListenErrorKind::Io(error),
            }),
        }
    }

    /// Whether whoever dials this address reaches this socket. One whose file is gone reaches nobody.
    ///
    /// A path that was too long for a socket's name cannot be told from the socket: then it is not.
    pub async fn is_bound_to(socket: BorrowedFd<'_>, address: &Address) -> bool {
        let Ok(bound) = rustix::net::getsockname(socket) else {
            return false;
        };
        match address {
            Address::Unix { path, .. } => {
                SocketAddrUnix::try_from(bound).is_ok_and(|bound| is_path(&bound, path))
            }
            Address::Abstract { name, .. } => SocketAddrUnix::try_from(bound)
                .is_ok_and(|bound| bound.abstract_name() == Some(name.as_bytes())),
            Address::Tcp { host, port, .. } => {
                let Ok(bound) = SocketAddr::try_from(bound) else {
                    return false;
                };
                tokio::net::lookup_host((host.as_str(), *port))
                    .await
                    .is_ok_and(|mut wanted| wanted.any(|wanted| wanted == bound))
            }
        }
    }

    /// Leaves the socket's file where it is when the listener is dropped: another process listens on.
    pub fn leave_file(&mut self) {
        if let Some(file) = &mut self.file {
            file.is_left = true;
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Waits for the next QEMU, its greeting and the negotiation. While it greets, others wait; use
    /// [`Listener::incoming`] to serve many. Cancel safe until a QEMU dials in.
    ///
    /// # Errors
    ///
    /// As for [`connect`](crate::connect). The listener goes on.
    pub async fn accept(&self, options: &Options) -> Result<Connection, ConnectError> {
        self.incoming().await?.greet(options).await
    }

    /// Waits for the next QEMU to dial in. Cancel safe.
    ///
    /// # Errors
    ///
    /// If the operating system fails, for want of descriptors mostly: pause before the next call.
    pub async fn incoming(&self) -> Result<Incoming, ConnectError> {
        let accepted = match &self.socket {
            Listening::Unix(socket) => socket.accept().await.map(|(stream, _)| stream.into()),
            Listening::Tcp(socket) => socket.accept().await.map(|(stream, _)| stream.into()),
        };
        let address = self.address.clone();
        match accepted {
            Ok(socket) => Ok(Incoming { address, socket }),
            Err(error) => Err(ConnectError {
                address,
                kind: error.into(),
            }),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Listening::Unix(socket) => socket.as_fd(),
            Listening::Tcp(socket) => socket.as_fd(),
        }
    }
}

impl Incoming {
    /// The process that dialled; `None` over TCP.
    pub fn peer(&self) -> Option<Peer> {
        self.socket.peer()
    }

    /// Waits for the greeting and negotiates.
    ///
    /// # Errors
    ///
    /// As for [`connect`](crate::connect).
    pub async fn greet(self, options: &Options) -> Result<Connection, ConnectError> {
        let Self { address, socket } = self;
        match greet(socket.into_transport(), options, Duration::ZERO).await {
            Ok(connection) => Ok(connection),
            Err(kind) => Err(ConnectError {
                address,
                kind: kind.of_incoming(),
            }),
        }
    }

    /// The socket as it is, nothing read and nothing written.
    pub fn into_socket(self) -> Socket {
        self.socket
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Incoming")
            .field("address", &self.address)
            .field("peer", &self.socket.peer())
            .finish_non_exhaustive()
    }
}

/// The file of a socket that we bound. Removed when dropped, if it is still the same.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    is_left: bool,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_left {
            return;
        }
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| identity(&found) == self.identity) {
            // Nobody can be told; the next listener replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn bind_path(path: &Path) -> Result<(Listening, SocketFile), ListenErrorKind> {
    remove_dead(path)?;
    let short = ShortPath::of(path).map_err(|error| explain(path, error))?;
    let name = SocketAddrUnix::new(short.as_path()).map_err(|error| explain(path, error.into()))?;
    let socket = listen(&name).map_err(|error| explain(path, error))?;
    let metadata = fs::symlink_metadata(path)?;
    let file = SocketFile {
        // Absolute: the working directory may change before it is removed.
        path: std::path::absolute(path)?,
        identity: identity(&metadata),
        is_left: false,
    };
    Ok((Listening::Unix(socket), file))
}

fn bind_abstract(name: &str) -> Result<Listening, ListenErrorKind> {
    let name = SocketAddrUnix::new_abstract_name(name.as_bytes()).map_err(io::Error::from)?;
    match listen(&name) {
        Ok(socket) => Ok(Listening::Unix(socket)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(ListenErrorKind::InUse { pid: None })
        }
        Err(error) => Err(error.into()),
    }
}

async fn bind_tcp(host: &str, port: u16) -> Result<Listening, ListenErrorKind> {
    let found = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<_> = found
        .map_err(|error| ListenErrorKind::Host(error.to_string()))?
        .collect();
    match TcpListener::bind(addresses.as_slice()).await {
        Ok(socket) => Ok(Listening::Tcp(socket)),
        Err(error) => Err(explain(Path::new(""), error)),
    }
}

fn adopt_unix(socket: OwnedFd) -> io::Result<Listening> {
    let socket = StdUnixListener::from(socket);
    // A stream, or there is nothing to accept; and of this family.
    socket.local_addr()?;
    socket.set_nonblocking(true)?;
    Ok(Listening::Unix(UnixListener::from_std(socket)?))
}

fn adopt_tcp(socket: OwnedFd) -> io::Result<Listening> {
    let socket = StdTcpListener::from(socket);
    socket.local_addr()?;
    socket.set_nonblocking(true)?;
    Ok(Listening::Tcp(TcpListener::from_std(socket)?))
}

fn is_path(bound: &SocketAddrUnix, path: &Path) -> bool {
    let Some(bound) = bound.path_bytes() else {
        return false;
    };
    let bound = Path::new(std::ffi::OsStr::from_bytes(bound));
    let is_same = match (std::path::absolute(bound), std::path::absolute(path)) {
        (Ok(bound), Ok(path)) => bound == path,
        _ => false,
    };
    is_same && fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

/// A listening socket whose file only its owner may use, from its first moment on: the kernel takes
/// the mode of the descriptor for the file it creates.
fn listen(name: &SocketAddrUnix) -> io::Result<UnixListener> {
    let socket = stream_socket()?;
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, name)?;
    rustix::net::listen(&socket, LISTEN_BACKLOG_MAX_COUNT)?;
    UnixListener::from_std(socket.into())
}

fn stream_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    Ok(socket)
}

/// Removes a socket file if nobody listens on it any more, which a refused connection proves.
fn remove_dead(path: &Path) -> Result<(), ListenErrorKind> {
    let Ok(before) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !before.file_type().is_socket() {
        let what = other_than_socket(before.file_type()).unwrap_or("a link");
        return Err(ListenErrorKind::NotASocket(what));
    }
    let short = ShortPath::of(path).map_err(|error| explain(path, error))?;
    let name = SocketAddrUnix::new(short.as_path()).map_err(io::Error::from)?;
    let socket = stream_socket()?;
    match rustix::net::connect(&socket, &name) {
        Err(Errno::CONNREFUSED) => {}
        // Gone in the meantime.
        Err(Errno::NOENT) => return Ok(()),
        Ok(()) => {
            let credentials = rustix::net::sockopt::socket_peercred(&socket).ok();
            let pid =
                credentials.and_then(|who| u32::try_from(who.pid.as_raw_nonzero().get()).ok());
            return Err(ListenErrorKind::InUse { pid });
        }
        // Somebody listens and is busy.
        Err(Errno::AGAIN | Errno::PROTOTYPE) => return Err(ListenErrorKind::InUse { pid: None }),
        Err(error) => return Err(explain(path, error.into())),
    }
    // The same file as the one that was proved dead, not one that replaced it just now.
    let now = fs::symlink_metadata(path).map(|found| identity(&found));
    if now.is_ok_and(|now| now == identity(&before)) {
        fs::remove_file(path).map_err(|error| explain(path, error))?;
    }
    Ok(())
}

fn explain(path: &Path, error: io::Error) -> ListenErrorKind {
    match error.kind() {
        io::ErrorKind::AddrInUse => ListenErrorKind::InUse { pid: None },
        io::ErrorKind::PermissionDenied => ListenErrorKind::PermissionDenied,
        io::ErrorKind::InvalidFilename => ListenErrorKind::NameTooLong,
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            ListenErrorKind::NoDirectory(path.parent().unwrap_or(path).to_owned())
        }
        _ => ListenErrorKind::Io(error),
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
