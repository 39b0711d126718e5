//! What can go wrong in the lab. Every message is one for the person whose test just failed.

use std::{io, path::PathBuf, time::Duration};

use serde_json::Value;

use crate::Version;

/// A failure of the lab or of the QEMU it runs.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A QEMU that the tests need is not on this machine.
    #[error("QEMU {version} is not installed: run scripts/setup (looked for {})", .looked.display())]
    Missing {
        /// The version wanted.
        version: Version,
        /// Where it should be.
        looked: PathBuf,
    },
    /// An environment variable or a version number cannot be understood.
    #[error("{0}")]
    Setting(String),
    /// The operating system refused something.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What the lab was about to do.
        doing: String,
        /// Why it could not.
        source: io::Error,
    },
    /// QEMU answered a command with an error.
    #[error("{command} failed: {class}: {description}")]
    Command {
        /// The command's name.
        command: String,
        /// QEMU's error class, such as `GenericError`.
        class: String,
        /// QEMU's own words.
        description: String,
    },
    /// What was waited for did not come.
    #[error("{what} did not come within {within:?}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        within: Duration,
    },
    /// QEMU ended or closed a socket that was still needed.
    #[error("QEMU is gone while waiting for {0}")]
    Gone(String),
    /// QEMU said something the lab does not understand or expect.
    #[error("unexpected: {0}")]
    Unexpected(String),
    /// Another failure, with what the machine said until then.
    #[error("{problem}\n{report}")]
    Machine {
        /// The failure itself.
        problem: Box<LabError>,
        /// Command line, transcript and standard error of the machine.
        report: String,
    },
}

impl LabError {
    /// An error of the operating system, with what the lab was about to do.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> LabError {
        let doing = doing.into();
        move |source| LabError::Io { doing, source }
    }

    /// Adds the report of a machine, once.
    pub(crate) fn with_report(self, report: impl FnOnce() -> String) -> LabError {
        match self {
            LabError::Machine { .. } => self,
            problem => LabError::Machine {
                problem: Box::new(problem),
                report: report(),
            },
        }
    }

    /// The error of a reply such as `{"error": {"class": "GenericError", "desc": "..."}}`.
    pub(crate) fn command(command: &str, error: &Value) -> LabError {
        let text = |member: &str| error[member].as_str().unwrap_or("?").to_owned();
        LabError::Command {
            command: command.to_owned(),
            class: text("class"),
            description: text("desc"),
        }
    }
}
