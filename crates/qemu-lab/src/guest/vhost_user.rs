//! The other process of a vhost-user network card, as far as QEMU talks to it before a guest's
//! driver does. All numbers are in the host's own order.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    thread::{self, JoinHandle},
};

use super::stream::read;
use crate::{LabError, limits::REPLY_TIMEOUT};

/// The device's process; it hangs up when dropped.
pub(crate) struct Backend {
    stream: UnixStream,
    server: Option<JoinHandle<()>>,
}

impl Backend {
    /// Answers the QEMU that has connected to this socket.
    pub(crate) fn serve(socket: &UnixListener) -> Result<Backend, LabError> {
        let accept = || -> io::Result<Backend> {
            let (stream, _) = socket.accept()?;
            stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
            let served = stream.try_clone()?;
            // It ends when either side hangs up, which is how it is meant to.
            let server = thread::spawn(move || drop(answer_all(served)));
            Ok(Backend {
                stream,
                server: Some(server),
            })
        };
        accept().map_err(LabError::io("serve a vhost-user network card"))
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // QEMU may have hung up before.
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

fn answer_all(mut stream: UnixStream) -> io::Result<()> {
    const VERSION: u32 = 1;
    const IS_REPLY: u32 = 1 << 2;
    loop {
        let request = u32::from_ne_bytes(read(&mut stream)?);
        let _flags: [u8; 4] = read(&mut stream)?;
        let size = u32::from_ne_bytes(read(&mut stream)?);
        // File descriptors that come along are dropped by the kernel, as nobody asks for them.
        io::copy(&mut (&mut stream).take(size.into()), &mut io::sink())?;
        if let Some(reply) = reply(request) {
            let size = u32::try_from(size_of_val(&reply)).map_err(io::Error::other)?;
            let header = [request, VERSION | IS_REPLY, size].map(u32::to_ne_bytes);
            stream.write_all(&[&header.concat()[..], &reply.to_ne_bytes()].concat())?;
        }
    }
}

/// What the device says to a request; most are orders.
fn reply(request: u32) -> Option<u64> {
    const GET_FEATURES: u32 = 1;
    const VIRTIO_1: u64 = 1 << 32;
    (request == GET_FEATURES).then_some(VIRTIO_1)
}
