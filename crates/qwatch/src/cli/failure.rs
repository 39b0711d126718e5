//! How a command ends.

use std::fmt;
use std::process::ExitCode;

use crate::filter::FilterError;
use crate::output::{WriteError, escape};
use crate::time::TimeError;

/// The exit codes of every command; `qwatch --help` explains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Success = 0,
    /// The command could not do what was asked, or its answer is no.
    Failure = 1,
    /// An option, an expression or a file from the user is malformed.
    Usage = 2,
    /// It was done, and the recorder cannot write its journal.
    Unwell = 3,
    /// The time-out passed first; the number is that of timeout(1).
    TimedOut = 124,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command gives up: what is wrong, what to do, how to exit.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hints: Vec<String>,
    exit: Exit,
}

impl Failure {
    /// A failure with exit code 1. The message is made safe to print.
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self {
            message: printable(&message.to_string()),
            hints: Vec::new(),
            exit: Exit::Failure,
        }
    }

    /// A failure of the user's input, exit code 2.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(message).with_exit(Exit::Usage)
    }

    /// The reader of our output has left: nothing to say, nothing failed.
    fn quiet() -> Self {
        Self::new("").with_exit(Exit::Success)
    }

    /// Adds what the user can do about it.
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hints.push(printable(&hint.to_string()));
        self
    }

    /// Changes the exit code.
    pub(crate) fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn hints(&self) -> &[String] {
        &self.hints
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.exit == Exit::Success
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        if error.is_broken_pipe() {
            return Self::quiet();
        }
        Self::new(error)
    }
}

impl From<FilterError> for Failure {
    fn from(error: FilterError) -> Self {
        Self::usage(error)
    }
}

impl From<TimeError> for Failure {
    fn from(error: TimeError) -> Self {
        Self::usage(error)
    }
}

/// Escapes each line on its own: messages of ours may have several.
fn printable(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(escape::visible).collect();
    lines.join("\n")
}
