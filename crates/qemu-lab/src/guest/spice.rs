//! A SPICE client that opens channels and shows nothing. All numbers are little endian.

use std::io::{self, Read, Write};

use super::{
    oaep,
    sasl::{self, Numbers, Sasl},
    stream::{Stream, read},
};
use crate::LabError;

const MAGIC: &[u8; 4] = b"REDQ";
const VERSION: [u32; 2] = [2, 2];
/// The kinds of channel.
pub(crate) const MAIN: u8 = 1;
/// Keyboard and mouse.
pub(crate) const INPUTS: u8 = 3;

/// What the main channel can do if a machine is migrated: follow it, or follow it with all that
/// was under way.
pub(crate) const FOLLOWS: u32 = 1;
/// See [`FOLLOWS`]. The server only believes it of a client that also counts the guest agent's
/// tokens anew, which is the bit between.
pub(crate) const FOLLOWS_SEAMLESSLY: u32 = FOLLOWS | 1 << 2 | 1 << 3;

/// How a client shows who it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ticket {
    /// By a password; without ticketing it is empty but still sent.
    Password(&'static str),
    /// By SASL.
    Sasl(Sasl),
}

/// An open channel; it ends when dropped.
pub(crate) struct Channel {
    stream: Box<dyn Stream>,
}

impl Channel {
    /// A channel over a connection, still to be opened.
    pub(crate) fn new(stream: Box<dyn Stream>) -> Channel {
        Channel { stream }
    }

    /// Opens the channel. Gives the server's verdict, 0 for welcome. `session` is 0 for the first
    /// channel.
    pub(crate) fn link(&mut self, session: u32, kind: u8, ticket: Ticket) -> Result<u32, LabError> {
        self.link_with(session, kind, 0, ticket)
    }

    /// As [`Channel::link`], with what this kind of channel can do beyond the usual.
    pub(crate) fn link_with(
        &mut self,
        session: u32,
        kind: u8,
        abilities: u32,
        ticket: Ticket,
    ) -> Result<u32, LabError> {
        let mut link = || -> io::Result<u32> {
            let key = self.greet(session, kind, abilities)?;
            self.show(ticket, &key)?;
            Ok(u32::from_le_bytes(read(&mut self.stream)?))
        };
        link().map_err(LabError::io("open a SPICE channel"))
    }

    /// Reads the main channel's first message, for the number of the session.
    pub(crate) fn session(&mut self) -> Result<u32, LabError> {
        const INIT: u16 = 103;
        let body = self.receive(INIT)?;
        word(&body, 0)
    }

    /// Reads messages until one of this kind comes; gives its body.
    pub(crate) fn receive(&mut self, kind: u16) -> Result<Vec<u8>, LabError> {
        let mut receive = || -> io::Result<Vec<u8>> {
            loop {
                let [a, b, size @ ..] = read::<6>(&mut self.stream)?;
                let size = u64::from(u32::from_le_bytes(size));
                let mut body = Vec::new();
                (&mut self.stream).take(size).read_to_end(&mut body)?;
                if u16::from_le_bytes([a, b]) == kind {
                    return Ok(body);
                }
            }
        };
        receive().map_err(LabError::io(format!("wait for SPICE message {kind}")))
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, kind: u16, body: &[u8]) -> Result<(), LabError> {
        let mut send = || {
            let size = u32::try_from(body.len()).map_err(io::Error::other)?;
            let message = [&kind.to_le_bytes()[..], &size.to_le_bytes(), body].concat();
            self.stream.write_all(&message)
        };
        send().map_err(LabError::io(format!("send SPICE message {kind}")))
    }

    /// Says what channel is wanted; gives the server's key, which is empty with SASL.
    fn greet(&mut self, session: u32, kind: u8, abilities: u32) -> io::Result<Vec<u8>> {
        // One word of common and one of channel capabilities, 18 bytes after the message's start.
        const AUTH_SELECTION: u32 = 1;
        const SPICE_AUTH: u32 = 1 << 1;
        const SASL_AUTH: u32 = 1 << 2;
        const MINI_HEADER: u32 = 1 << 3;
        let common = AUTH_SELECTION | SPICE_AUTH | SASL_AUTH | MINI_HEADER;
        let mut message = session.to_le_bytes().to_vec();
        message.extend([kind, 0]);
        message.extend(words(&[1, 1, 18, common, abilities]));
        let size = u32::try_from(message.len()).map_err(io::Error::other)?;
        let header = [VERSION[0], VERSION[1], size];
        self.stream
            .write_all(&[MAGIC, words(&header).as_slice(), &message].concat())?;
        self.read_reply()
    }

    fn show(&mut self, ticket: Ticket, key: &[u8]) -> io::Result<()> {
        const METHOD_SPICE: u32 = 1;
        const METHOD_SASL: u32 = 2;
        match ticket {
            Ticket::Password(password) => {
                let ticket = oaep::encrypt(&modulus(key)?, format!("{password}\0").as_bytes())
                    .ok_or_else(|| io::Error::other("the password is too long"))?;
                self.stream
                    .write_all(&[METHOD_SPICE.to_le_bytes().as_slice(), &ticket].concat())
            }
            Ticket::Sasl(sasl) => {
                self.stream.write_all(&METHOD_SASL.to_le_bytes())?;
                match sasl::exchange(&mut *self.stream, sasl, Numbers::LittleEndian)? {
                    true => Ok(()),
                    false => Err(io::Error::other("SASL is refused")),
                }
            }
        }
    }

    /// Reads the server's side of the link; gives its key and what follows it.
    fn read_reply(&mut self) -> io::Result<Vec<u8>> {
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
        Ok(key.to_vec())
    }
}

/// The modulus of a 1024 bit RSA key in DER form.
fn modulus(key: &[u8]) -> io::Result<[u8; oaep::KEY_BYTES]> {
    // What stands around it.
    const BEFORE_BYTES: usize = 29;
    const EXPONENT: &[u8] = &[2, 3, 1, 0, 1];
    let modulus = key
        .get(BEFORE_BYTES..)
        .and_then(|key| key.split_first_chunk());
    match modulus {
        Some((modulus, rest)) if rest.starts_with(EXPONENT) => Ok(*modulus),
        _ => Err(io::Error::other("an unexpected kind of key")),
    }
}

/// The number at an offset of a message's body.
pub(crate) fn word(body: &[u8], offset: usize) -> Result<u32, LabError> {
    let bytes = body.get(offset..).and_then(|rest| rest.first_chunk());
    bytes
        .map(|bytes| u32::from_le_bytes(*bytes))
        .ok_or_else(|| LabError::Unexpected(format!("a SPICE message of {} bytes", body.len())))
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
