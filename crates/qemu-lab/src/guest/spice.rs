//! A SPICE client that opens channels and shows nothing. All numbers are little endian.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use super::oaep;
use crate::{LabError, limits::REPLY_TIMEOUT};

const MAGIC: &[u8; 4] = b"REDQ";
const VERSION: [u32; 2] = [2, 2];
/// The kinds of channel.
pub(crate) const MAIN: u8 = 1;
/// Keyboard and mouse.
pub(crate) const INPUTS: u8 = 3;

/// An open channel; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Channel {
    stream: UnixStream,
}

impl Channel {
    /// Connects; the server's events start here.
    pub(crate) fn connect(socket: &Path) -> Result<Channel, LabError> {
        let connect = || {
            let stream = UnixStream::connect(socket)?;
            stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
            Ok(stream)
        };
        let stream = connect().map_err(LabError::io("connect to the SPICE server"))?;
        Ok(Channel { stream })
    }

    /// Opens the channel with a password, which without ticketing is empty but still sent. Gives
    /// the server's verdict, 0 for welcome. `session` is 0 for the first channel.
    pub(crate) fn link(&mut self, session: u32, kind: u8, password: &str) -> Result<u32, LabError> {
        self.try_link(session, kind, password)
            .map_err(LabError::io("open a SPICE channel"))
    }

    /// Reads the main channel's first message, for the number of the session.
    pub(crate) fn session(&mut self) -> Result<u32, LabError> {
        const MAIN_INIT: u16 = 103;
        let mut read = || -> io::Result<u32> {
            loop {
                let mut header = [0; 6];
                self.stream.read_exact(&mut header)?;
                let [a, b, size @ ..] = header;
                let size = u64::from(u32::from_le_bytes(size));
                let mut body = Vec::new();
                (&mut self.stream).take(size).read_to_end(&mut body)?;
                if u16::from_le_bytes([a, b]) == MAIN_INIT {
                    let session = body.first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
                    return Ok(u32::from_le_bytes(*session));
                }
            }
        };
        read().map_err(LabError::io("read the first SPICE message"))
    }

    fn try_link(&mut self, session: u32, kind: u8, password: &str) -> io::Result<u32> {
        // One word of common and one of channel capabilities, 18 bytes after the message's start.
        const AUTH_SELECTION: u32 = 1;
        const SPICE_AUTH: u32 = 1 << 1;
        const MINI_HEADER: u32 = 1 << 3;
        let common = AUTH_SELECTION | SPICE_AUTH | MINI_HEADER;
        let mut message = session.to_le_bytes().to_vec();
        message.extend([kind, 0]);
        message.extend(words(&[1, 1, 18, common, 0]));
        let size = u32::try_from(message.len()).map_err(io::Error::other)?;
        let header = [VERSION[0], VERSION[1], size];
        self.stream
            .write_all(&[MAGIC, words(&header).as_slice(), &message].concat())?;
        let modulus = self.read_reply()?;
        let ticket = oaep::encrypt(&modulus, format!("{password}\0").as_bytes())
            .ok_or_else(|| io::Error::other("the password is too long"))?;
        const METHOD_SPICE: u32 = 1;
        self.stream
            .write_all(&[METHOD_SPICE.to_le_bytes().as_slice(), &ticket].concat())?;
        let mut verdict = [0; 4];
        self.stream.read_exact(&mut verdict)?;
        Ok(u32::from_le_bytes(verdict))
    }

    /// Reads the server's side of the link; gives the modulus of its key.
    fn read_reply(&mut self) -> io::Result<[u8; oaep::KEY_BYTES]> {
        // What stands around the modulus in a 1024 bit RSA key's DER form.
        const BEFORE_BYTES: usize = 29;
        const EXPONENT: &[u8] = &[2, 3, 1, 0, 1];
        let mut header = [0; 16];
        self.stream.read_exact(&mut header)?;
        let (magic, rest) = header.split_at(12);
        let size = rest
            .first_chunk()
            .map_or(0, |size| u32::from_le_bytes(*size));
        if !magic.starts_with(MAGIC) {
            return Err(io::Error::other("no SPICE server"));
        }
        let mut reply = Vec::new();
        (&mut self.stream)
            .take(size.into())
            .read_to_end(&mut reply)?;
        let (error, key) = reply.split_at_checked(4).unwrap_or_default();
        if error != [0; 4] {
            return Err(io::Error::other(format!("link error {error:?}")));
        }
        let modulus = key
            .get(BEFORE_BYTES..)
            .and_then(|key| key.split_first_chunk());
        match modulus {
            Some((modulus, rest)) if rest.starts_with(EXPONENT) => Ok(*modulus),
            _ => Err(io::Error::other("an unexpected kind of key")),
        }
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
