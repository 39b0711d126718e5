//! Connections to QEMU's servers, of whatever kind.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
};

use crate::{LabError, limits::REPLY_TIMEOUT};

/// What carries bytes both ways.
pub(crate) trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// Connects to a socket in the file system.
pub(crate) fn unix(path: &Path) -> Result<Box<dyn Stream>, LabError> {
    let connect = || {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        Ok(Box::new(stream) as Box<dyn Stream>)
    };
    connect().map_err(LabError::io(format!("connect to {}", path.display())))
}

/// Connects to a port of this host.
pub(crate) fn tcp(port: u16) -> Result<Box<dyn Stream>, LabError> {
    let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).and_then(patient);
    connected.map_err(LabError::io(format!("connect to 127.0.0.1:{port}")))
}

/// Connects to a port of this host over IPv6.
pub(crate) fn tcp6(port: u16) -> Result<Box<dyn Stream>, LabError> {
    let connected = TcpStream::connect((Ipv6Addr::LOCALHOST, port)).and_then(patient);
    connected.map_err(LabError::io(format!("connect to [::1]:{port}")))
}

fn patient(stream: TcpStream) -> io::Result<Box<dyn Stream>> {
    stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
    Ok(Box::new(stream))
}

/// Reads so many bytes.
pub(crate) fn read<const N: usize>(stream: &mut (impl Read + ?Sized)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
