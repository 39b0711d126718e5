//! Who is at the other end.

use tokio::net::UnixStream;

/// The process at the other end of a UNIX socket, as the kernel knows it.
///
/// If QEMU dialled us, that is QEMU. If QEMU listens, it is who called `listen`: mostly QEMU too,
/// but a manager that opened the socket and passed it on (as libvirt does) is named in its stead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Process id; `None` if the kernel does not say or the process is in a foreign namespace.
    pub pid: Option<u32>,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

impl Peer {
    pub(crate) fn of(stream: &UnixStream) -> Option<Self> {
        let credentials = stream.peer_cred().ok()?;
        let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok());
        Some(Self {
            pid: pid.filter(|pid| *pid > 0),
            uid: credentials.uid(),
            gid: credentials.gid(),
        })
    }
}
