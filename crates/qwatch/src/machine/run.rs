//! Whether the machine runs, and the turn that made it so.

use serde::{Deserialize, Serialize};

use super::fact::{Fact, Mark, Unheard};
use crate::limits::TURN_LEADS_MAX;

/// What a machine is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// No record tells.
    #[default]
    Unknown,
    /// The guest runs.
    Running,
    /// The guest does not run.
    Paused,
    /// The guest sleeps (ACPI S3).
    Suspended,
    /// The guest has reported that it cannot go on, and is stopped.
    Panicked,
    /// The guest is off and QEMU is still there, or about to exit.
    ShutDown,
    /// QEMU waits with the guest not yet started, or for a migration to come in.
    Waiting,
    /// The QEMU process is no more.
    Gone,
}

impl RunState {
    /// One word for tables and programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Suspended => "suspended",
            Self::Panicked => "panicked",
            Self::ShutDown => "shutdown",
            Self::Waiting => "waiting",
            Self::Gone => "gone",
        }
    }

    /// From the `status` of `query-status`.
    pub(super) fn of_status(status: &str) -> Self {
        match status {
            "running" => Self::Running,
            "suspended" => Self::Suspended,
            "guest-panicked" => Self::Panicked,
            "shutdown" => Self::ShutDown,
            "prelaunch" | "preconfig" | "inmigrate" => Self::Waiting,
            "" => Self::Unknown,
            _ => Self::Paused,
        }
    }
}

/// What a turn did to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The guest stopped.
    Stop,
    /// The guest runs (on).
    Run,
    /// The guest fell asleep.
    Sleep,
    /// QEMU waits for something before the guest starts.
    Wait,
    /// The machine was reset.
    Reset,
    /// The machine was switched off.
    Shutdown,
    /// The process ended.
    End,
}

/// A record after which the machine does something else, with all that may say why.
///
/// Facts only; the rules are applied when somebody asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Turn {
    pub(super) effect: Effect,
    /// The record itself: an event, or the note by which it was found out.
    pub(super) what: Fact,
    /// Events that may have led to it, in the order they came; some come late.
    pub(super) leads: Vec<Fact>,
    /// Notes that show what it is, the first and the last.
    pub(super) shown: Vec<Fact>,
    /// The time not heard in which it happened.
    pub(super) unheard: Option<Unheard>,
}

impl Turn {
    pub(super) fn new(effect: Effect, what: Fact, leads: Vec<Fact>) -> Self {
        Self {
            effect,
            what,
            leads,
            shown: Vec::new(),
            unheard: None,
        }
    }

    /// Adds an event that may have led to it.
    pub(super) fn lead(&mut self, lead: Fact) {
        push_bounded(&mut self.leads, lead, TURN_LEADS_MAX);
    }

    /// Adds a note that shows what it is.
    pub(super) fn show(&mut self, note: Fact) {
        self.shown.truncate(1);
        self.shown.push(note);
    }

    /// When it happened, microseconds since 1970.
    pub(super) fn time_us(&self) -> i64 {
        self.what.mark.time_us
    }
}

/// A stop that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pause {
    pub(super) stop: Turn,
    /// The event after which it ran again.
    pub(super) end: Mark,
}

/// Adds to a list that forgets its oldest.
pub(super) fn push_bounded<T>(list: &mut Vec<T>, item: T, max: usize) {
    if list.len() >= max {
        list.remove(0);
    }
    list.push(item);
}
