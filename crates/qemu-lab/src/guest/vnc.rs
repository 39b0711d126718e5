//! A viewer that looks at a VNC console and sees nothing: RFB 3.8 without security.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use crate::{LabError, limits::REPLY_TIMEOUT};

/// Connects; the server's events start here.
pub(crate) fn connect(socket: &Path) -> Result<UnixStream, LabError> {
    let connect = || {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        Ok(stream)
    };
    connect().map_err(LabError::io("connect to the VNC console"))
}

/// Goes through the handshake until the server knows the viewer.
pub(crate) fn handshake(viewer: &mut UnixStream) -> Result<(), LabError> {
    let mut shake = || -> io::Result<()> {
        let version: [u8; 12] = read(viewer)?;
        viewer.write_all(&version)?;
        let [kinds] = read(viewer)?;
        io::copy(&mut viewer.take(kinds.into()), &mut io::sink())?;
        const NO_SECURITY: u8 = 1;
        viewer.write_all(&[NO_SECURITY])?;
        let result: [u8; 4] = read(viewer)?;
        if result != [0; 4] {
            return Err(io::Error::other("the console refused"));
        }
        const SHARED: u8 = 1;
        viewer.write_all(&[SHARED])?;
        let _size_format_and_name_length: [u8; 24] = read(viewer)?;
        Ok(())
    };
    shake().map_err(LabError::io("shake hands with the VNC console"))
}

fn read<const N: usize>(stream: &mut UnixStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
