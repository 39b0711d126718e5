//! A viewer that looks at a VNC console and sees nothing: RFB 3.8. All numbers are big endian.

use std::{
    io::{self, Read},
    path::Path,
};

use des::{
    Des,
    cipher::{Array, BlockCipherEncrypt, KeyInit},
};

use super::{
    sasl::{self, Numbers, Sasl},
    stream::{Stream, read},
    tls,
};
use crate::LabError;

mod websocket;

pub(crate) use websocket::WebSocket;

/// How the viewer shows who it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Security {
    /// Not at all.
    Nobody,
    /// By a password, of which eight bytes count.
    Password(&'static str),
    /// By SASL.
    Sasl(Sasl),
}

/// A viewer that has gone through the handshake.
pub(crate) struct Viewer {
    _stream: Box<dyn Stream>,
    /// Whether it was let in.
    pub(crate) let_in: bool,
}

/// Goes through the handshake until the server knows the viewer.
pub(crate) fn handshake(
    mut stream: Box<dyn Stream>,
    security: Security,
) -> Result<Viewer, LabError> {
    const NO_SECURITY: u8 = 1;
    const PASSWORD: u8 = 2;
    const SASL: u8 = 20;
    let kind = match security {
        Security::Nobody => NO_SECURITY,
        Security::Password(_) => PASSWORD,
        Security::Sasl(_) => SASL,
    };
    let mut shake = || {
        choose(&mut *stream, kind)?;
        authenticate(&mut *stream, security)
    };
    let let_in = shake().map_err(LabError::io("shake hands with the VNC console"))?;
    Ok(Viewer {
        _stream: stream,
        let_in,
    })
}

/// As [`handshake`], inside of TLS, with the certificates in a machine's folder.
pub(crate) fn handshake_in_tls(
    mut stream: Box<dyn Stream>,
    security: Security,
    folder: &Path,
) -> Result<Viewer, LabError> {
    const VENCRYPT: u8 = 19;
    let doing = "shake hands with the VNC console";
    choose(&mut *stream, VENCRYPT)
        .and_then(|()| start_tls(&mut *stream, security))
        .map_err(LabError::io(doing))?;
    let mut stream = tls::wrap(stream, folder)?;
    let let_in = authenticate(&mut *stream, security).map_err(LabError::io(doing))?;
    Ok(Viewer {
        _stream: stream,
        let_in,
    })
}

/// Agrees on the protocol's version and on a kind of security.
fn choose(stream: &mut dyn Stream, kind: u8) -> io::Result<()> {
    let version: [u8; 12] = read(stream)?;
    stream.write_all(&version)?;
    let [offered] = read(stream)?;
    let mut kinds = Vec::new();
    stream.take(offered.into()).read_to_end(&mut kinds)?;
    match kinds.contains(&kind) {
        true => stream.write_all(&[kind]),
        false => Err(io::Error::other(format!("{kind} is not among {kinds:?}"))),
    }
}

/// Agrees on TLS with X.509 certificates and on what comes inside.
fn start_tls(stream: &mut dyn Stream, security: Security) -> io::Result<()> {
    const VERSION: [u8; 2] = [0, 2];
    let inside: u32 = match security {
        Security::Nobody => 260,
        Security::Password(_) => 261,
        Security::Sasl(_) => 263,
    };
    let _highest_version: [u8; 2] = read(stream)?;
    stream.write_all(&VERSION)?;
    if read(stream)? != [0] {
        return Err(io::Error::other("VeNCrypt 0.2 is refused"));
    }
    let [offered] = read(stream)?;
    for _ in 0..offered {
        let _kind: [u8; 4] = read(stream)?;
    }
    stream.write_all(&inside.to_be_bytes())?;
    match read(stream)? {
        [1] => Ok(()),
        _ => Err(io::Error::other(format!("VeNCrypt {inside} is refused"))),
    }
}

/// Shows who the viewer is and, if that is good, begins; `false` if it is not.
fn authenticate(stream: &mut dyn Stream, security: Security) -> io::Result<bool> {
    match security {
        Security::Nobody => {}
        Security::Password(password) => {
            let challenge: [u8; 16] = read(stream)?;
            stream.write_all(&answer(password, &challenge))?;
        }
        Security::Sasl(sasl) => {
            if !sasl::exchange(stream, sasl, Numbers::BigEndian)? {
                return Ok(false);
            }
        }
    }
    let result: [u8; 4] = read(stream)?;
    if result != [0; 4] {
        return Ok(false);
    }
    const SHARED: u8 = 1;
    stream.write_all(&[SHARED])?;
    let _size_format_and_name_length: [u8; 24] = read(stream)?;
    Ok(true)
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
