//! What a machine is doing, as far as its records tell.
//!
//! Pure: records in, state out; no clock, no I/O. The same records always give the same state.

use serde_json::Value;

use crate::record::{Origin, Record};

/// What a machine is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RunState {
    /// No record tells.
    #[default]
    Unknown,
    /// The guest runs.
    Running,
    /// The guest does not run; why, if that was told.
    Paused(Option<String>),
    /// The guest sleeps (ACPI S3).
    Suspended,
    /// The guest has reported that it cannot go on.
    Panicked,
    /// The guest is off and QEMU is still there, or about to exit.
    ShutDown,
    /// QEMU waits with the guest not yet started, or for a migration to come in.
    Waiting(String),
    /// The QEMU process is no more.
    Gone,
}

impl RunState {
    /// One word for tables and programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Running => "running",
            Self::Paused(_) => "paused",
            Self::Suspended => "suspended",
            Self::Panicked => "panicked",
            Self::ShutDown => "shutdown",
            Self::Waiting(_) => "waiting",
            Self::Gone => "gone",
        }
    }

    /// More about it, where there is more.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Paused(reason) => reason.as_deref(),
            Self::Waiting(what) => Some(what),
            _ => None,
        }
    }

    /// From the `status` of `query-status`.
    fn of_status(status: &str) -> Self {
        let paused = |why: &str| Self::Paused(Some(why.to_owned()));
        match status {
            "running" => Self::Running,
            "paused" => Self::Paused(None),
            "suspended" => Self::Suspended,
            "guest-panicked" => Self::Panicked,
            "shutdown" => Self::ShutDown,
            "io-error" => paused(IO_ERROR),
            "watchdog" => paused(WATCHDOG),
            "internal-error" => paused("internal error of QEMU"),
            "postmigrate" => paused("migrated away"),
            "prelaunch" | "preconfig" | "inmigrate" => Self::Waiting(status.to_owned()),
            "" => Self::Unknown,
            other => paused(other),
        }
    }
}

const IO_ERROR: &str = "I/O error";
const WATCHDOG: &str = "watchdog";

/// The state of one machine, folded from its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// What it is doing.
    pub run_state: RunState,
    /// Since when, microseconds since 1970. After a gap: when it was found so, not when it became so.
    pub since_us: Option<i64>,
    /// Whether it is being listened to, as far as the records tell.
    pub heard: bool,
    /// Why the next STOP will come.
    pending_cause: Option<&'static str>,
}

impl State {
    /// Takes the next record of the machine.
    pub fn apply(&mut self, record: &Record) {
        match record.origin {
            Origin::Qwatch => self.apply_note(record),
            Origin::Qemu => self.apply_event(record),
        }
    }

    /// Whether this record alone decides the state, so that nothing before it matters.
    pub fn is_decisive(record: &Record) -> bool {
        record.origin == Origin::Qwatch && matches!(record.name.as_str(), "state" | "attached")
    }

    fn apply_note(&mut self, record: &Record) {
        match record.name.as_str() {
            "attached" => {
                *self = Self {
                    heard: true,
                    ..Self::default()
                };
            }
            "detached" => {
                self.heard = false;
                if member(record, "ended").is_some() {
                    self.become_at(RunState::Gone, record);
                }
            }
            "state" => {
                self.heard = true;
                let status = record
                    .data
                    .as_deref()
                    .and_then(|data| serde_json::from_str::<Value>(data).ok())
                    .and_then(|data| {
                        Some(
                            data.get("query-status")?
                                .get("status")?
                                .as_str()?
                                .to_owned(),
                        )
                    });
                if let Some(status) = status {
                    self.become_at(RunState::of_status(&status), record);
                }
            }
            _ => {}
        }
    }

    fn apply_event(&mut self, record: &Record) {
        self.heard = true;
        match record.name.as_str() {
            "STOP" => {
                let cause = self.pending_cause.take();
                // A panic or a shutdown that stops the guest is followed by STOP and stays what it is.
                if !matches!(self.run_state, RunState::Panicked | RunState::ShutDown) {
                    self.become_at(RunState::Paused(cause.map(str::to_owned)), record);
                }
            }
            "RESUME" | "WAKEUP" => self.become_at(RunState::Running, record),
            "SUSPEND" => self.become_at(RunState::Suspended, record),
            "SHUTDOWN" => self.become_at(RunState::ShutDown, record),
            "GUEST_PANICKED" if member(record, "action").as_deref() != Some("run") => {
                self.become_at(RunState::Panicked, record);
            }
            "RESET" if self.run_state == RunState::Suspended => {
                self.become_at(RunState::Running, record);
            }
            "BLOCK_IO_ERROR" if member(record, "action").as_deref() == Some("stop") => {
                self.explain(IO_ERROR);
            }
            "WATCHDOG" if member(record, "action").as_deref() == Some("pause") => {
                self.explain(WATCHDOG);
            }
            _ => {}
        }
    }

    /// The cause of a STOP may be told before it or, held back by QEMU's rate limit, after it.
    fn explain(&mut self, cause: &'static str) {
        match &mut self.run_state {
            RunState::Paused(reason @ None) => *reason = Some(cause.to_owned()),
            _ => self.pending_cause = Some(cause),
        }
    }

    fn become_at(&mut self, state: RunState, record: &Record) {
        if self.run_state != state {
            self.since_us = Some(record.time_us());
            self.run_state = state;
        }
        if self.run_state == RunState::Running {
            self.pending_cause = None;
        }
    }
}

/// A member of a record's data that is a string.
fn member(record: &Record, name: &str) -> Option<String> {
    let data: Value = serde_json::from_str(record.data.as_deref()?).ok()?;
    data.get(name)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folds `NAME` or `NAME {json}` lines; lower-case names are the recorder's.
    fn fold(lines: &[&str]) -> State {
        let mut state = State::default();
        for (line, at) in lines.iter().zip(1..) {
            let (name, data) = line.split_once(' ').unwrap_or((line, ""));
            let ours = name.starts_with(|c: char| c.is_ascii_lowercase());
            state.apply(&Record {
                seq: None,
                machine: "web".to_owned(),
                run: None,
                origin: if ours { Origin::Qwatch } else { Origin::Qemu },
                name: name.to_owned(),
                timestamp: None,
                received_us: at,
                data: (!data.is_empty()).then(|| data.to_owned()),
            });
        }
        state
    }

    #[track_caller]
    fn check(lines: &[&str], word: &str, detail: Option<&str>, since_us: Option<i64>) {
        let state = fold(lines);
        let found = (
            state.run_state.word(),
            state.run_state.detail(),
            state.since_us,
        );
        assert_eq!(found, (word, detail, since_us));
    }

    #[test]
    fn events_and_state_records_tell_the_state() {
        check(&["attached"], "unknown", None, None);
        check(&["RESUME", "RESUME"], "running", None, Some(1));
        check(&["RESUME", "STOP"], "paused", None, Some(2));
        check(&["SUSPEND", "WAKEUP"], "running", None, Some(2));
        check(&["SUSPEND", "RESET"], "running", None, Some(2));
        check(&["STOP", "RESET"], "paused", None, Some(1));
        check(
            &[r#"state {"query-status": {"status": "io-error"}}"#],
            "paused",
            Some("I/O error"),
            Some(1),
        );
        check(
            &[r#"state {"query-status": {"status": "prelaunch"}}"#],
            "waiting",
            Some("prelaunch"),
            Some(1),
        );
        check(
            &["STOP", r#"state {"query-block": []}"#],
            "paused",
            None,
            Some(1),
        );
    }

    #[test]
    fn a_stop_has_its_cause_from_before_or_after() {
        let error = r#"BLOCK_IO_ERROR {"action": "stop"}"#;
        check(
            &["RESUME", error, "STOP"],
            "paused",
            Some("I/O error"),
            Some(3),
        );
        check(
            &["RESUME", "STOP", error],
            "paused",
            Some("I/O error"),
            Some(2),
        );
        check(
            &[r#"WATCHDOG {"action": "pause"}"#, "STOP"],
            "paused",
            Some("watchdog"),
            Some(2),
        );
        check(
            &[r#"BLOCK_IO_ERROR {"action": "report"}"#, "STOP"],
            "paused",
            None,
            Some(2),
        );
        check(&[error, "STOP", "RESUME", "STOP"], "paused", None, Some(4));
    }

    #[test]
    fn a_panic_stays_a_panic() {
        check(
            &[r#"GUEST_PANICKED {"action": "pause"}"#, "STOP"],
            "panicked",
            None,
            Some(1),
        );
        check(
            &["RESUME", r#"GUEST_PANICKED {"action": "run"}"#],
            "running",
            None,
            Some(1),
        );
        check(&["SHUTDOWN", "STOP"], "shutdown", None, Some(1));
    }

    #[test]
    fn the_end_is_known_or_not() {
        check(
            &["RESUME", r#"detached {"reason": "away"}"#],
            "running",
            None,
            Some(1),
        );
        assert!(!fold(&["RESUME", "detached {}"]).heard);
        check(
            &["SHUTDOWN", r#"detached {"ended": "after SHUTDOWN"}"#],
            "gone",
            None,
            Some(2),
        );
    }
}
