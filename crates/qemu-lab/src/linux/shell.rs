//! The lab's line to the guest's first process.

use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    os::unix::net::UnixStream,
};

use crate::{
    LabError,
    limits::{BOOT_TIMEOUT, REPLY_TIMEOUT},
};

/// The guest's words for "up" and "the line has been run".
const READY: &str = "@@ready";
const DONE: &str = "@@done ";

/// A connection to the guest's second serial port.
#[derive(Debug)]
pub(crate) struct Shell {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
    booted: bool,
}

impl Shell {
    pub(crate) fn new(stream: UnixStream) -> Result<Shell, LabError> {
        stream
            .set_write_timeout(Some(REPLY_TIMEOUT))
            .map_err(LabError::io("set a time limit"))?;
        let reader = stream
            .try_clone()
            .map_err(LabError::io("clone the guest's socket"))?;
        Ok(Shell {
            stream,
            reader: BufReader::new(reader),
            booted: false,
        })
    }

    /// Waits until the guest is up: the first time, or again after it has begun anew.
    pub(crate) fn boot(&mut self) -> Result<(), LabError> {
        self.patience(BOOT_TIMEOUT)?;
        while !self.line("the guest to boot")?.ends_with(READY) {}
        self.booted = true;
        self.patience(REPLY_TIMEOUT)
    }

    /// Runs a line; gives what it printed.
    pub(crate) fn run(&mut self, line: &str) -> Result<String, LabError> {
        self.start(line)?;
        self.finish(line)
    }

    /// Types a line and does not wait for its end, which may never come.
    pub(crate) fn start(&mut self, line: &str) -> Result<(), LabError> {
        if !self.booted {
            self.boot()?;
        }
        self.stream
            .write_all(format!("{line}\n").as_bytes())
            .map_err(LabError::io("type into the guest"))
    }

    /// Waits for the end of a line that was started; gives what it printed.
    pub(crate) fn finish(&mut self, line: &str) -> Result<String, LabError> {
        let mut output = String::new();
        loop {
            let got = self.line(&format!("the guest's `{line}`"))?;
            match got.split_once(DONE) {
                Some((last, status)) => {
                    output.push_str(last);
                    if status == "0" {
                        return Ok(output);
                    }
                    let text = format!("the guest's `{line}` ended with {status}: {output}");
                    return Err(LabError::Unexpected(text));
                }
                None => {
                    output.push_str(&got);
                    output.push('\n');
                }
            }
        }
    }

    fn line(&mut self, what: &str) -> Result<String, LabError> {
        let mut line = Vec::new();
        let got = self.reader.read_until(b'\n', &mut line);
        match got {
            Ok(0) => Err(LabError::Gone(what.to_owned())),
            Ok(_) => Ok(String::from_utf8_lossy(&line).trim_end().to_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                let within = self.stream.read_timeout().ok().flatten();
                Err(LabError::TimedOut {
                    what: what.to_owned(),
                    within: within.unwrap_or_default(),
                })
            }
            Err(error) => Err(LabError::io(format!("read {what}"))(error)),
        }
    }

    fn patience(&mut self, limit: std::time::Duration) -> Result<(), LabError> {
        self.stream
            .set_read_timeout(Some(limit))
            .map_err(LabError::io("set a time limit"))
    }
}
