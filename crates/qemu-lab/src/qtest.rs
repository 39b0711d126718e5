//! The guest's side of the machine: QEMU's qtest protocol, one line a request, `OK [value]` back.
//!
//! Distribution builds have no `-accel qtest`, but the socket works beside TCG: port and memory
//! accesses go through the machine as if the processor had made them, also while it is stopped.
//! Addresses are physical, values little endian where they are wider than a byte.

use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    os::unix::net::UnixStream,
};

use crate::{LabError, limits::REPLY_TIMEOUT};

/// A connection to the qtest socket of a machine.
///
/// Every request fails with [`LabError::Gone`] once QEMU has ended, and with
/// [`LabError::Unexpected`] if QEMU does not accept it.
#[derive(Debug)]
pub struct Qtest {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Qtest {
    pub(crate) fn new(stream: UnixStream) -> Result<Qtest, LabError> {
        stream
            .set_read_timeout(Some(REPLY_TIMEOUT))
            .and_then(|()| stream.set_write_timeout(Some(REPLY_TIMEOUT)))
            .map_err(LabError::io("set a time limit"))?;
        let reader = stream
            .try_clone()
            .map_err(LabError::io("clone the qtest socket"))?;
        Ok(Qtest {
            stream,
            reader: BufReader::new(reader),
        })
    }

    /// Writes a byte to a port.
    pub fn outb(&mut self, port: u16, value: u8) -> Result<(), LabError> {
        self.request(&format!("outb {port:#x} {value:#x}"))
            .map(drop)
    }

    /// Writes 16 bits to a port.
    pub fn outw(&mut self, port: u16, value: u16) -> Result<(), LabError> {
        self.request(&format!("outw {port:#x} {value:#x}"))
            .map(drop)
    }

    /// Writes 32 bits to a port.
    pub fn outl(&mut self, port: u16, value: u32) -> Result<(), LabError> {
        self.request(&format!("outl {port:#x} {value:#x}"))
            .map(drop)
    }

    /// Reads a byte from a port.
    pub fn inb(&mut self, port: u16) -> Result<u8, LabError> {
        self.number(&format!("inb {port:#x}"))
    }

    /// Reads 16 bits from a port.
    pub fn inw(&mut self, port: u16) -> Result<u16, LabError> {
        self.number(&format!("inw {port:#x}"))
    }

    /// Reads 32 bits from a port.
    pub fn inl(&mut self, port: u16) -> Result<u32, LabError> {
        self.number(&format!("inl {port:#x}"))
    }

    /// Writes a byte to memory.
    pub fn writeb(&mut self, address: u64, value: u8) -> Result<(), LabError> {
        self.request(&format!("writeb {address:#x} {value:#x}"))
            .map(drop)
    }

    /// Writes 16 bits to memory.
    pub fn writew(&mut self, address: u64, value: u16) -> Result<(), LabError> {
        self.request(&format!("writew {address:#x} {value:#x}"))
            .map(drop)
    }

    /// Writes 32 bits to memory.
    pub fn writel(&mut self, address: u64, value: u32) -> Result<(), LabError> {
        self.request(&format!("writel {address:#x} {value:#x}"))
            .map(drop)
    }

    /// Writes 64 bits to memory.
    pub fn writeq(&mut self, address: u64, value: u64) -> Result<(), LabError> {
        self.request(&format!("writeq {address:#x} {value:#x}"))
            .map(drop)
    }

    /// Reads a byte from memory.
    pub fn readb(&mut self, address: u64) -> Result<u8, LabError> {
        self.number(&format!("readb {address:#x}"))
    }

    /// Reads 16 bits from memory.
    pub fn readw(&mut self, address: u64) -> Result<u16, LabError> {
        self.number(&format!("readw {address:#x}"))
    }

    /// Reads 32 bits from memory.
    pub fn readl(&mut self, address: u64) -> Result<u32, LabError> {
        self.number(&format!("readl {address:#x}"))
    }

    /// Writes bytes to memory.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), LabError> {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.request(&format!("write {address:#x} {:#x} 0x{hex}", bytes.len()))
            .map(drop)
    }

    /// Reads `size` bytes of memory.
    pub fn read(&mut self, address: u64, size: usize) -> Result<Vec<u8>, LabError> {
        let reply = self.request(&format!("read {address:#x} {size:#x}"))?;
        let digits = reply.strip_prefix("0x").unwrap_or(&reply).as_bytes();
        let bytes: Option<Vec<u8>> = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        bytes
            .filter(|bytes| bytes.len() == size)
            .ok_or_else(|| LabError::Unexpected(format!("qtest read {size} bytes as {reply}")))
    }

    /// Calls a service of a pSeries machine's firmware. Arguments and results are so many 32-bit
    /// numbers, big endian, at an address each.
    pub fn rtas(
        &mut self,
        service: &str,
        (arguments, arguments_at): (u32, u64),
        (results, results_at): (u32, u64),
    ) -> Result<(), LabError> {
        self.request(&format!(
            "rtas {service} {arguments} {arguments_at:#x} {results} {results_at:#x}"
        ))
        .map(drop)
    }

    /// Fills memory with a byte.
    pub fn memset(&mut self, address: u64, size: u64, value: u8) -> Result<(), LabError> {
        self.request(&format!("memset {address:#x} {size:#x} {value:#x}"))
            .map(drop)
    }

    fn number<T: TryFrom<u64>>(&mut self, request: &str) -> Result<T, LabError> {
        let reply = self.request(request)?;
        reply
            .strip_prefix("0x")
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| LabError::Unexpected(format!("qtest answered {request} with {reply}")))
    }

    /// Sends one line and returns what follows `OK`.
    fn request(&mut self, request: &str) -> Result<String, LabError> {
        self.stream
            .write_all(format!("{request}\n").as_bytes())
            .map_err(|error| lost(request, error))?;
        let mut reply = String::new();
        let got = self
            .reader
            .read_line(&mut reply)
            .map_err(|error| lost(request, error))?;
        if got == 0 {
            return Err(LabError::Gone(format!("qtest's reply to {request}")));
        }
        match reply.trim_end().strip_prefix("OK") {
            Some(value) => Ok(value.trim_start().to_owned()),
            None => Err(LabError::Unexpected(format!(
                "qtest answered {request} with {reply}"
            ))),
        }
    }
}

fn lost(request: &str, error: std::io::Error) -> LabError {
    let what = format!("qtest's reply to {request}");
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => LabError::TimedOut {
            what,
            within: REPLY_TIMEOUT,
        },
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => LabError::Gone(what),
        _ => LabError::io(format!("ask qtest for {request}"))(error),
    }
}
