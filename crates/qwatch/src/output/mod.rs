//! What the user sees: records as lines for people or as JSON Lines for programs.

use std::io::{self, BufWriter, IsTerminal, Write};

use clap::{Args, ValueEnum};
use thiserror::Error;

use crate::record::Record;
use crate::time;

pub mod escape;
mod gone;
mod human;
mod json;
mod members;
mod summary;
mod words;

pub(crate) use gone::{is_reader_gone, reader_gone};
pub use human::Palette;
pub(crate) use human::{Lines, Shown, paint};
pub(crate) use json::{line as json_line, pretty};
pub use members::Members;
pub use summary::summary;
pub(crate) use words::bytes;

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Always, into files and pipes too.
    Always,
    /// Never.
    Never,
}

impl ColorWhen {
    /// Decides for one stream.
    pub fn is_on(self, is_terminal: bool) -> bool {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                is_terminal
                    && set("NO_COLOR").is_none()
                    && set("TERM").is_none_or(|term| term != "dumb")
            }
        }
    }
}

/// The options of every command that prints records.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Print JSON Lines: one object a record
    #[arg(long)]
    pub json: bool,

    /// Print times in UTC instead of the local zone
    #[arg(long)]
    pub utc: bool,
}

/// Standard output could not be written.
#[derive(Debug, Error)]
#[error("cannot write the output: {0}")]
pub struct WriteError(#[from] pub io::Error);

impl WriteError {
    /// Whether the reader of our output has left (`qwatch … | head`): no fault of anyone.
    pub fn is_broken_pipe(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Prints records, buffered: call [`Printer::flush`] when the user should see them.
pub struct Printer {
    out: Box<dyn Write + Send>,
    style: Style,
}

enum Style {
    Json,
    Human(Lines),
}

impl Printer {
    /// A printer on standard output.
    pub fn stdout(args: &OutputArgs, color: ColorWhen) -> Self {
        let stdout = io::stdout();
        let colored = color.is_on(stdout.is_terminal());
        Self::new(Box::new(BufWriter::new(stdout)), args, colored)
    }

    /// A printer on anything.
    pub fn new(out: Box<dyn Write + Send>, args: &OutputArgs, colored: bool) -> Self {
        let style = if args.json {
            Style::Json
        } else {
            Style::Human(Lines::new(time::zone(args.utc), Palette::new(colored)))
        };
        Self { out, style }
    }

    /// Makes room for these machine names, so that the columns stand still from the first line on.
    pub fn expect_machines<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        if let Style::Human(lines) = &mut self.style {
            names.into_iter().for_each(|name| lines.widen(name));
        }
    }

    /// Prints one record as one line.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn print(&mut self, record: &Record) -> Result<(), WriteError> {
        let mut line = match &mut self.style {
            Style::Json => json::line(record),
            Style::Human(lines) => lines.line(&record.into()),
        };
        line.push('\n');
        Ok(self.out.write_all(line.as_bytes())?)
    }

    /// Hands everything printed so far to the reader.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        Ok(self.out.flush()?)
    }
}
