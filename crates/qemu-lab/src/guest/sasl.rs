//! How a client shows who it is by SASL, as both VNC and SPICE frame it.

use std::{
    fs,
    io::{self, Read, Write},
    path::Path,
    process::{Command, Stdio},
};

use super::stream::{Stream, read};
use crate::{LabError, Machine};

/// The user that [`add_user`] makes.
pub(crate) const USER: &str = "luiz";
const PASSWORD: &str = "sesame";
const DATABASE: &str = "users.db";

/// What the client says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sasl {
    /// A name and the password.
    Plain,
    /// A name and another password.
    PlainWrong,
    /// Nothing but that it is somebody.
    Anonymous,
}

/// How numbers are written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Numbers {
    /// As VNC does.
    BigEndian,
    /// As SPICE does.
    LittleEndian,
}

/// Writes the server's configuration into a machine's folder, where it looks for it.
pub(crate) fn write_configuration(folder: &Path) -> io::Result<()> {
    let lines = [
        "mech_list: plain anonymous",
        "pwcheck_method: auxprop",
        "auxprop_plugin: sasldb",
        &format!("sasldb_path: {}", folder.join(DATABASE).display()),
    ];
    fs::write(
        folder.join("qemu.conf"),
        lines.map(|line| format!("{line}\n")).concat(),
    )
}

/// Makes the user known to the machine's servers.
pub(crate) fn add_user(machine: &Machine) -> Result<(), LabError> {
    let beside = machine.binary.path.with_file_name("saslpasswd2");
    // A QEMU of the system's own has it in the PATH.
    let program = match beside.exists() {
        true => beside,
        false => "saslpasswd2".into(),
    };
    let add = || -> io::Result<bool> {
        let mut child = Command::new(&program)
            .args(["-p", "-c", "-f", DATABASE, "-a", "qemu", USER])
            .current_dir(machine.folder())
            .stdin(Stdio::piped())
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(PASSWORD.as_bytes())?;
        }
        Ok(child.wait()?.success())
    };
    let added = add().map_err(LabError::io("run saslpasswd2"))?;
    match added {
        true => Ok(()),
        false => Err(LabError::Unexpected("saslpasswd2 failed".to_owned())),
    }
}

/// Goes through the exchange, which for these mechanisms is one step; `false` if that was refused.
/// What the server says afterwards depends on the protocol.
pub(crate) fn exchange(stream: &mut dyn Stream, sasl: Sasl, numbers: Numbers) -> io::Result<bool> {
    let (mechanism, data) = match sasl {
        Sasl::Plain => ("PLAIN", format!("\0{USER}\0{PASSWORD}")),
        Sasl::PlainWrong => ("PLAIN", format!("\0{USER}\0open")),
        Sasl::Anonymous => ("ANONYMOUS", "lab".to_owned()),
    };
    let offered = numbers.read_text(stream)?;
    if !offered
        .split([',', ' '])
        .any(|offered| offered == mechanism)
    {
        return Err(io::Error::other(format!(
            "{mechanism} is not among {offered}"
        )));
    }
    numbers.write_text(stream, mechanism)?;
    numbers.write_text(stream, &format!("{data}\0"))?;
    let mut length = [0; 4];
    // A server that refuses may also just hang up.
    if stream.read_exact(&mut length).is_err() {
        return Ok(false);
    }
    let length = numbers.number(length);
    io::copy(&mut stream.take(length.into()), &mut io::sink())?;
    Ok(matches!(read(stream), Ok([1])))
}

impl Numbers {
    /// The number that these bytes are.
    pub(crate) fn number(self, bytes: [u8; 4]) -> u32 {
        match self {
            Numbers::BigEndian => u32::from_be_bytes(bytes),
            Numbers::LittleEndian => u32::from_le_bytes(bytes),
        }
    }

    fn read_text(self, stream: &mut dyn Stream) -> io::Result<String> {
        let length = self.number(read(stream)?);
        let mut text = String::new();
        stream.take(length.into()).read_to_string(&mut text)?;
        Ok(text)
    }

    fn write_text(self, stream: &mut dyn Stream, text: &str) -> io::Result<()> {
        let length = u32::try_from(text.len()).map_err(io::Error::other)?;
        let length = match self {
            Numbers::BigEndian => length.to_be_bytes(),
            Numbers::LittleEndian => length.to_le_bytes(),
        };
        stream.write_all(&[&length, text.as_bytes()].concat())
    }
}
