//! A viewer that looks at a VNC console and sees nothing: RFB 3.8. All numbers are big endian.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
};

use des::{
    Des,
    cipher::{Array, BlockCipherEncrypt, KeyInit},
};

use crate::{LabError, limits::REPLY_TIMEOUT};

/// How the viewer shows who it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Security {
    /// Not at all.
    Nobody,
    /// By a password, of which eight bytes count.
    Password(&'static str),
}

/// Connects; the server's events start here.
pub(crate) fn connect(socket: &Path) -> Result<UnixStream, LabError> {
    let connect = || {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        Ok(stream)
    };
    connect().map_err(LabError::io("connect to the VNC console"))
}

/// As [`connect`], to a port of this host.
pub(crate) fn connect_tcp(port: u16) -> Result<TcpStream, LabError> {
    let connect = || {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        Ok(stream)
    };
    connect().map_err(LabError::io("connect to the VNC console"))
}

/// Goes through the handshake until the server knows the viewer; `false` if it is not let in.
pub(crate) fn handshake(
    viewer: &mut (impl Read + Write),
    security: Security,
) -> Result<bool, LabError> {
    let mut shake = || -> io::Result<bool> {
        let version: [u8; 12] = read(viewer)?;
        viewer.write_all(&version)?;
        let [kinds] = read(viewer)?;
        io::copy(
            &mut Read::by_ref(viewer).take(kinds.into()),
            &mut io::sink(),
        )?;
        authenticate(viewer, security)?;
        let result: [u8; 4] = read(viewer)?;
        if result != [0; 4] {
            return Ok(false);
        }
        const SHARED: u8 = 1;
        viewer.write_all(&[SHARED])?;
        let _size_format_and_name_length: [u8; 24] = read(viewer)?;
        Ok(true)
    };
    shake().map_err(LabError::io("shake hands with the VNC console"))
}

fn authenticate(viewer: &mut (impl Read + Write), security: Security) -> io::Result<()> {
    const NO_SECURITY: u8 = 1;
    const PASSWORD: u8 = 2;
    match security {
        Security::Nobody => viewer.write_all(&[NO_SECURITY]),
        Security::Password(password) => {
            viewer.write_all(&[PASSWORD])?;
            let challenge: [u8; 16] = read(viewer)?;
            viewer.write_all(&answer(password, &challenge))
        }
    }
}

/// The challenge encrypted with DES; the key is the password with each byte's bits turned round.
fn answer(password: &str, challenge: &[u8; 16]) -> Vec<u8> {
    let mut key = [0; 8];
    for (to, from) in key.iter_mut().zip(password.bytes()) {
        *to = from.reverse_bits();
    }
    let cipher = Des::new(&Array(key));
    let encrypted = challenge.as_chunks::<8>().0.iter().flat_map(|block| {
        let mut block = Array(*block);
        cipher.encrypt_block(&mut block);
        block.0
    });
    encrypted.collect()
}

/// What a browser does: the same inside of websocket frames.
#[derive(Debug)]
pub(crate) struct WebSocket {
    stream: TcpStream,
    /// Of a frame that was not read to its end.
    left: u64,
}

impl WebSocket {
    /// Asks the server to speak websocket.
    pub(crate) fn upgrade(stream: TcpStream) -> Result<WebSocket, LabError> {
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
        Ok(socket)
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

fn read<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out with another implementation of DES: openssl's.
    #[test]
    fn the_answer_to_a_challenge() {
        let answer = answer("sesame", b"0123456789abcdef");
        let hex: String = answer.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "c14aa7653f8799b6cb44bef207c34bbf");
    }
}
