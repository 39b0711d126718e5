//! What may happen to an emulated machine, as people write it.

use std::collections::BTreeMap;

use qmp_events::vocabulary::{
    BlockErrorAction, GuestPanicAction, IoOperationType, JobType, WatchdogAction,
};
use qmp_events::{EventKind, Timestamp};
use qmp_monitor::{Object, Value, compact};
use serde_json::Value as Json;
use thiserror::Error;

use super::action::{Action, MigrationPhase};

/// One thing to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// Something happens to the machine; the events follow from its state.
    Act(Action),
    /// This event, whatever the state; what it says is taken over into the state.
    Event {
        /// Its name.
        name: String,
        /// Its data, a JSON object.
        data: Option<Json>,
        /// Its stamp; `None`: the time at which it is emitted.
        timestamp: Option<Timestamp>,
    },
    /// An event of a recording, as the JSON text of its message. It passed its rate limit when it was
    /// recorded.
    Recorded(String),
}

/// Why something written is no deed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct DeedError {
    /// The key that is wrong, if one is.
    pub key: Option<String>,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Keys and values of a deed; what is understood is taken out.
#[derive(Clone, Debug, Default)]
pub struct Parameters(pub BTreeMap<String, Json>);

/// The actions there are, with their keys, for `help` and messages.
pub const ACTIONS: [(&str, &str); 29] = [
    ("power-on", ""),
    ("stop", ""),
    ("continue", ""),
    ("reset", "[guest=true]"),
    ("press-power", ""),
    ("switch-off", ""),
    ("quit", ""),
    ("signal", ""),
    ("die", ""),
    ("suspend", ""),
    ("wake-up", ""),
    (
        "disk-error",
        "disk= [operation=read|write] [policy=report|ignore|stop] [reason=]",
    ),
    ("job-start", "job= [kind=] [length=]"),
    ("job-progress", "job= offset="),
    ("job-ready", "job="),
    ("job-complete", "job="),
    ("job-fail", "job= [error=]"),
    ("job-cancel", "job="),
    ("panic", "[policy=pause|poweroff|run]"),
    (
        "watchdog",
        "[policy=reset|shutdown|poweroff|pause|debug|none|inject-nmi]",
    ),
    (
        "migrate",
        "phase=setup|active|pass|complete|fail|cancel [pass=]",
    ),
    ("vnc-connect", "client="),
    ("vnc-login", "client="),
    ("vnc-leave", "client="),
    ("spice-connect", "client= [channel=]"),
    ("balloon", "memory="),
    ("port", "port= open="),
    ("spice-leave", "client="),
    ("set-clock", "seconds="),
];

impl Deed {
    /// Understands one line: an event as JSON (`{"event": "STOP"}`), or an action with its keys
    /// (`disk-error disk=root`). A value that is JSON is taken as such, anything else as a string; one
    /// with spaces stands in double quotes.
    ///
    /// # Errors
    /// The line is neither.
    pub fn from_line(line: &str) -> Result<Self, DeedError> {
        let line = line.trim();
        if line.starts_with('{') {
            let object: BTreeMap<String, Json> =
                serde_json::from_str(line).map_err(|error| plain(format!("no JSON: {error}")))?;
            return Self::read(Parameters(object));
        }
        let mut words = words(line)?.into_iter();
        let mut parameters = BTreeMap::new();
        let action = words.next().unwrap_or_default();
        parameters.insert("action".to_owned(), Json::String(action));
        for word in words {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| plain(format!("`{word}` is no KEY=VALUE")))?;
            let value =
                serde_json::from_str(value).unwrap_or_else(|_| Json::String(value.to_owned()));
            if parameters.insert(key.to_owned(), value).is_some() {
                return Err(wrong(key, format!("`{key}` is there twice")));
            }
        }
        Self::read(Parameters(parameters))
    }

    /// Understands keys and values: `action` and what belongs to it, or `event` and `data`.
    ///
    /// # Errors
    /// A key is missing, unknown, or has a value it cannot have.
    pub fn read(mut keys: Parameters) -> Result<Self, DeedError> {
        let deed = match (keys.text("action")?, keys.text("event")?) {
            (Some(action), None) => Self::Act(keys.action(&action)?),
            (None, Some(name)) => Self::Event {
                name,
                data: keys.data()?,
                timestamp: keys.timestamp()?,
            },
            _ => return Err(plain("write either `action` or `event`".to_owned())),
        };
        match keys.0.into_keys().next() {
            Some(key) => Err(wrong(&key, format!("`{key}` means nothing here"))),
            None => Ok(deed),
        }
    }
}

/// The message of an event on one line, as QEMU prints it.
pub(super) fn message(name: &str, data: Option<&Json>, stamp: Timestamp) -> String {
    let timestamp = Object::new()
        .with("seconds", stamp.seconds)
        .with("microseconds", stamp.microseconds);
    let message = Object::new()
        .with("timestamp", timestamp)
        .with("event", name)
        .with_some("data", data.cloned().map(Value::from));
    compact(&message.into())
}

impl Parameters {
    fn action(&mut self, action: &str) -> Result<Action, DeedError> {
        Ok(match action {
            "power-on" => Action::PowerOn,
            "stop" => Action::Stop,
            "continue" => Action::Continue,
            "reset" => Action::Reset {
                guest: self.truth("guest")?.unwrap_or(false),
            },
            "press-power" => Action::PressPower,
            "switch-off" => Action::SwitchOff,
            "quit" => Action::Quit,
            "signal" => Action::Signal,
            "die" => Action::Die,
            "suspend" => Action::Suspend,
            "wake-up" => Action::WakeUp,
            "disk-error" => Action::DiskError {
                disk: self.needed("disk")?.into(),
                operation: IoOperationType::from(&*self.word("operation", "write")?),
                action: BlockErrorAction::from(&*self.word("policy", "stop")?),
                reason: self.word("reason", "Input/output error")?.into(),
            },
            "panic" => Action::Panic {
                action: GuestPanicAction::from(&*self.word("policy", "pause")?),
            },
            "watchdog" => Action::Watchdog {
                action: WatchdogAction::from(&*self.word("policy", "reset")?),
            },
            "migrate" => Action::Migrate(self.phase()?),
            "balloon" => Action::Balloon {
                actual: self.needed_number("memory")?,
            },
            "port" => Action::Port {
                port: self.needed("port")?.into(),
                open: self.truth("open")?.ok_or_else(|| missing("open"))?,
            },
            "set-clock" => Action::SetClock {
                offset: self.needed_number("seconds")?,
            },
            job if job.starts_with("job-") => self.job(job)?,
            _ => self.visit(action)?,
        })
    }

    fn job(&mut self, action: &str) -> Result<Action, DeedError> {
        let job = self.needed("job")?.into();
        Ok(match action {
            "job-start" => Action::JobStart {
                job,
                kind: JobType::from(&*self.word("kind", "backup")?),
                length: self.number("length")?.unwrap_or(0),
            },
            "job-progress" => Action::JobProgress {
                job,
                offset: self.needed_number("offset")?,
            },
            "job-ready" => Action::JobReady { job },
            "job-complete" => Action::JobComplete { job },
            "job-fail" => Action::JobFail {
                job,
                error: self.word("error", "Input/output error")?.into(),
            },
            "job-cancel" => Action::JobCancel { job },
            other => return Err(no_action(other)),
        })
    }

    fn visit(&mut self, action: &str) -> Result<Action, DeedError> {
        if !action.starts_with("vnc-") && !action.starts_with("spice-") {
            return Err(no_action(action));
        }
        let client = self.needed("client")?.into();
        Ok(match action {
            "vnc-connect" => Action::VncConnect { client },
            "vnc-login" => Action::VncLogin { client },
            "vnc-leave" => Action::VncLeave { client },
            "spice-connect" => Action::SpiceConnect {
                client,
                channel: self.number("channel")?.unwrap_or(1),
            },
            "spice-leave" => Action::SpiceLeave { client },
            other => return Err(no_action(other)),
        })
    }

    fn phase(&mut self) -> Result<MigrationPhase, DeedError> {
        Ok(match self.needed("phase")?.as_str() {
            "setup" => MigrationPhase::Setup,
            "active" => MigrationPhase::Active,
            "pass" => MigrationPhase::Pass(self.needed_number("pass")?),
            "complete" => MigrationPhase::Complete,
            "fail" => MigrationPhase::Fail,
            "cancel" => MigrationPhase::Cancel,
            other => {
                let known = "setup, active, pass, complete, fail, cancel";
                let message = format!("no phase of a migration is `{other}`: write {known}");
                return Err(wrong("phase", message));
            }
        })
    }

    /// The data of an event: an object, or an object as JSON in a string.
    fn data(&mut self) -> Result<Option<Json>, DeedError> {
        let data = match self.0.remove("data") {
            Some(Json::String(text)) => serde_json::from_str(&text)
                .map_err(|error| wrong("data", format!("the data is no JSON: {error}")))?,
            None => return Ok(None),
            Some(other) => other,
        };
        match data {
            Json::Object(_) => Ok(Some(data)),
            other => Err(wrong(
                "data",
                format!("the data of an event is an object, not {other}"),
            )),
        }
    }

    fn timestamp(&mut self) -> Result<Option<Timestamp>, DeedError> {
        let Some(stamp) = self.0.remove("timestamp") else {
            return Ok(None);
        };
        let part = |name| stamp.get(name).and_then(Json::as_i64);
        match (part("seconds"), part("microseconds")) {
            (Some(seconds), Some(microseconds)) => Ok(Some(Timestamp {
                seconds,
                microseconds,
            })),
            _ => Err(wrong(
                "timestamp",
                "a timestamp has the integers `seconds` and `microseconds`".to_owned(),
            )),
        }
    }

    /// The text under a key.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, DeedError> {
        match self.0.remove(key) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(key, format!("`{key}` is a string, not {other}"))),
        }
    }

    fn word(&mut self, key: &str, default: &str) -> Result<String, DeedError> {
        Ok(self.text(key)?.unwrap_or_else(|| default.to_owned()))
    }

    fn needed(&mut self, key: &str) -> Result<String, DeedError> {
        self.text(key)?.ok_or_else(|| missing(key))
    }

    /// The number under a key.
    pub(super) fn number(&mut self, key: &str) -> Result<Option<i64>, DeedError> {
        let Some(value) = self.0.remove(key) else {
            return Ok(None);
        };
        let bad = || wrong(key, format!("`{key}` is a whole number, not {value}"));
        value.as_i64().map(Some).ok_or_else(bad)
    }

    fn needed_number(&mut self, key: &str) -> Result<i64, DeedError> {
        self.number(key)?.ok_or_else(|| missing(key))
    }

    fn truth(&mut self, key: &str) -> Result<Option<bool>, DeedError> {
        let Some(value) = self.0.remove(key) else {
            return Ok(None);
        };
        let bad = || wrong(key, format!("`{key}` is true or false, not {value}"));
        value.as_bool().map(Some).ok_or_else(bad)
    }
}

/// Words divided by spaces; in double quotes, spaces count.
fn words(line: &str) -> Result<Vec<String>, DeedError> {
    let mut words = Vec::new();
    let (mut word, mut quoted) = (String::new(), false);
    for character in line.chars() {
        match character {
            '"' => quoted = !quoted,
            space if space.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            other => word.push(other),
        }
    }
    if quoted {
        return Err(plain("a double quote is not closed".to_owned()));
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

fn no_action(action: &str) -> DeedError {
    let hint = match EventKind::from_name(action) {
        Some(_) => format!("; for the event write {{\"event\": \"{action}\"}}"),
        None => {
            let names: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
            format!(": write one of {}", names.join(", "))
        }
    };
    wrong("action", format!("there is no action `{action}`{hint}"))
}

fn missing(key: &str) -> DeedError {
    plain(format!("`{key}` is missing"))
}

pub(super) fn wrong(key: &str, message: String) -> DeedError {
    DeedError {
        key: Some(key.to_owned()),
        message,
    }
}

pub(super) fn plain(message: String) -> DeedError {
    DeedError { key: None, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_and_events_in_a_line() {
        assert_eq!(Deed::from_line("stop"), Ok(Deed::Act(Action::Stop)));
        let full = Action::DiskError {
            disk: "root".into(),
            operation: IoOperationType::Read,
            action: BlockErrorAction::Report,
            reason: "No space left on device".into(),
        };
        let line =
            r#"disk-error disk=root operation=read policy=report reason="No space left on device""#;
        assert_eq!(Deed::from_line(line), Ok(Deed::Act(full)));
        let Ok(Deed::Event { name, data, .. }) =
            Deed::from_line(r#"{"event": "X", "data": {"n": 18446744073709551615}}"#)
        else {
            panic!("no event");
        };
        let stamp = Timestamp::UNKNOWN;
        assert_eq!(
            message(&name, data.as_ref(), stamp),
            r#"{"timestamp": {"seconds": -1, "microseconds": -1}, "event": "X", "data": {"n": 18446744073709551615}}"#
        );
    }

    #[test]
    fn slips_are_told() {
        for (line, expected) in [
            ("stop disk=root", "`disk` means nothing here"),
            ("disk-error", "`disk` is missing"),
            (
                "balloon memory=much",
                "`memory` is a whole number, not \"much\"",
            ),
            ("stop now", "`now` is no KEY=VALUE"),
            ("migrate phase=x", "no phase of a migration is `x`"),
            ("STOP", "for the event write {\"event\": \"STOP\"}"),
            ("dance", "write one of power-on, stop"),
            ("job-dance job=j", "there is no action `job-dance`"),
            ("{\"event\": \"X\", \"data\": 5}", "is an object, not 5"),
            (
                "{\"event\": \"X\", \"action\": \"stop\"}",
                "either `action` or `event`",
            ),
            ("stop \"", "not closed"),
        ] {
            let error = Deed::from_line(line).expect_err(line).to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn every_action_listed_is_understood() {
        for (name, keys) in ACTIONS {
            let keys = keys.replace("[", "").replace("]", "");
            let words = keys.split_whitespace().map(|key| {
                let (key, values) = key.split_once('=').expect("a key");
                let value = match (key, values.split('|').next()) {
                    ("memory" | "seconds" | "offset" | "length" | "pass" | "channel", _) => "1",
                    ("open", _) => "true",
                    (_, Some("") | None) => "x",
                    (_, Some(first)) => first,
                };
                format!("{key}={value}")
            });
            let pass = |word: &String| name != "migrate" || !word.starts_with("pass=");
            let line = words
                .filter(pass)
                .fold(name.to_owned(), |line, word| line + " " + &word);
            Deed::from_line(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
