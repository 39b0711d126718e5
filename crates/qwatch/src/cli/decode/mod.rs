//! `qwatch decode`: reads raw QMP text, as captured from a monitor.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use qmp_events::Message;
use qmp_protocol::{Frame, Framer, Garbage, ServerMessage};

use super::{Exit, Failure, Ui};
use crate::output::{Lines, Palette, WriteError};
use crate::time;

mod printed;
mod strict;

use printed::Form;
use strict::Outsiders;

/// Read this much at once, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// Read raw QMP text and print the events in it, one a line
///
/// The text may hold greetings, replies and commands, which are passed over; messages may be spread
/// over lines (pretty=on) or stand side by side, with any line ends. What is no message is reported
/// on standard error with its place in bytes, and skipped. A pipe that never ends is decoded as it
/// comes.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The text; `-` or nothing is standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// Print JSON Lines with time, event, data, known and unknown_members
    ///
    /// time is RFC 3339 in UTC, null if the host had no clock; data is as sent, null if there is
    /// none; known tells whether the vocabulary has the event in this shape; unknown_members are
    /// the paths of members that it lacks.
    #[arg(long, conflicts_with = "qmp")]
    json: bool,

    /// Print each event again as QEMU prints it: compact, ASCII, with QEMU's CR LF line ends
    ///
    /// For events of a QEMU this gives the same bytes, also from a pretty=on monitor.
    #[arg(long)]
    qmp: bool,

    /// Exit with 1 if an event, a member or a value is outside the vocabulary, and say which
    #[arg(long)]
    strict: bool,

    /// Print times in UTC instead of the local zone
    #[arg(long)]
    utc: bool,
}

pub(crate) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    let (mut input, source) = open(args.file.as_deref())?;
    let form = if args.json {
        Form::Json
    } else if args.qmp {
        Form::Qmp
    } else {
        let palette = Palette::new(ui.is_stdout_colored());
        Form::Human(Lines::new(time::zone(args.utc), palette))
    };
    let mut decoder = Decoder {
        out: BufWriter::new(io::stdout().lock()),
        form,
        outsiders: args.strict.then(Outsiders::default),
        ui,
    };
    decoder.decode(&mut input, &source)?;
    Ok(match decoder.outsiders {
        Some(outsiders) if outsiders.report(ui) => Exit::Failure,
        _ => Exit::Success,
    })
}

/// The input, and how to call it in messages.
fn open(file: Option<&Path>) -> Result<(Box<dyn Read>, String), Failure> {
    match file.filter(|file| file.as_os_str() != "-") {
        None => {
            let stdin = io::stdin();
            if stdin.is_terminal() {
                let _ = writeln!(io::stderr(), "qwatch: reading QMP from the terminal");
            }
            Ok((Box::new(stdin), "standard input".to_owned()))
        }
        Some(path) => {
            let name = path.display().to_string();
            let file = File::open(path)
                .map_err(|error| Failure::new(format!("cannot open {name}: {error}")))?;
            Ok((Box::new(file), name))
        }
    }
}

struct Decoder<W: Write> {
    out: BufWriter<W>,
    form: Form,
    outsiders: Option<Outsiders>,
    ui: Ui,
}

impl<W: Write> Decoder<W> {
    fn decode(&mut self, input: &mut dyn Read, source: &str) -> Result<(), Failure> {
        let mut framer = Framer::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = match input.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::new(format!("cannot read {source}: {error}"))),
            };
            framer.push(&chunk[..read]);
            self.frames(&mut framer)?;
            // The next read may wait for an hour.
            self.out.flush().map_err(WriteError)?;
        }
        while let Some(garbage) = framer.finish() {
            self.garbage(&garbage);
            self.frames(&mut framer)?;
        }
        self.frames(&mut framer)?;
        self.out.flush().map_err(WriteError)?;
        Ok(())
    }

    fn frames(&mut self, framer: &mut Framer) -> Result<(), WriteError> {
        while let Some(frame) = framer.next_frame() {
            match frame {
                Frame::Message { text, offset } => {
                    if let ServerMessage::Event(text) = ServerMessage::classify(text) {
                        self.event(text, offset)?;
                    }
                }
                Frame::Garbage(garbage) => self.garbage(&garbage),
            }
        }
        Ok(())
    }

    fn event(&mut self, text: &str, offset: u64) -> Result<(), WriteError> {
        match printed::line(&mut self.form, text) {
            Ok(line) => self.out.write_all(line.as_bytes())?,
            Err(error) => self.ui.note(&format!("byte {offset}: skipped: {error}")),
        }
        if let (Some(outsiders), Ok(message)) = (&mut self.outsiders, Message::decode(text)) {
            outsiders.look(&message, offset);
        }
        Ok(())
    }

    fn garbage(&self, garbage: &Garbage) {
        self.ui.note(&format!("skipped: {garbage}"));
    }
}
