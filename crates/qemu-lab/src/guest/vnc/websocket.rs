//! What a browser does: the same inside of websocket frames.

use std::io::{self, Read, Write};

use super::super::stream::{Stream, read};
use crate::LabError;

/// A connection that speaks websocket.
pub(crate) struct WebSocket {
    stream: Box<dyn Stream>,
    /// Of a frame that was not read to its end.
    left: u64,
}

impl WebSocket {
    /// Asks the server to speak websocket.
    pub(crate) fn upgrade(stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, LabError> {
        const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Key: bGFiIGxhYiBsYWIgbGFiIA==\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: binary\r\n\r\n";
        let mut socket = WebSocket { stream, left: 0 };
        let mut upgrade = || -> io::Result<()> {
            socket.stream.write_all(REQUEST.as_bytes())?;
            let mut reply = Vec::new();
            while !reply.ends_with(b"\r\n\r\n") {
                reply.extend(read::<1>(&mut socket.stream)?);
            }
            match reply.starts_with(b"HTTP/1.1 101 ") {
                true => Ok(()),
                false => Err(io::Error::other(String::from_utf8_lossy(&reply))),
            }
        };
        upgrade().map_err(LabError::io("speak websocket to the VNC console"))?;
        Ok(Box::new(socket))
    }
}

impl Read for WebSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            let [_kind, length] = read(&mut self.stream)?;
            self.left = match length {
                126 => u16::from_be_bytes(read(&mut self.stream)?).into(),
                127 => u64::from_be_bytes(read(&mut self.stream)?),
                short => short.into(),
            };
        }
        let got = (&mut self.stream).take(self.left).read(buffer)?;
        self.left -= got as u64;
        Ok(got)
    }
}

impl Write for WebSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A whole binary message, masked, with a mask that changes nothing.
        const BINARY: u8 = 0x82;
        const MASKED: u8 = 0x80;
        const SHORT_MAX_BYTES: usize = 125;
        let bytes = bytes.get(..SHORT_MAX_BYTES).unwrap_or(bytes);
        let length = u8::try_from(bytes.len()).map_err(io::Error::other)?;
        let header = [BINARY, MASKED | length, 0, 0, 0, 0];
        self.stream.write_all(&[&header, bytes].concat())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
