//! What a monitor may do once a year, on demand. Pure: what is sent is passed through, the time passed
//! in; `relay` does the writing.

use std::str::FromStr;
use std::time::Duration;

use qmp_events::facts::TypeFacts;
use qmp_events::{EventKind, Message, Timestamp, Version};
use qmp_monitor::{Object, Value, compact};
use qmp_protocol::ServerMessage;
use qmp_protocol::monitor::{Parser, pretty};

use super::deed::message;
use super::shape::shaped;
use crate::limits::BIG_REPLY_MAX_BYTES;
use crate::time;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An event comes before the greeting.
    EventBeforeGreeting,
    /// An event comes before the negotiation's return.
    EventBeforeNegotiated,
    /// An event comes before each further reply.
    EventBeforeReply,
    /// So many bytes a write.
    Split(usize),
    /// What is sent within this time comes in one write.
    Batch(Duration),
    /// Messages over several lines.
    Pretty,
    /// Of the message of this number, counted from 1, only half comes, then the connection ends.
    HalfMessage(u64),
    /// After so many messages nothing comes and nothing is done any more.
    Silence(u64),
    /// After so many messages the connection ends.
    Eof(u64),
    /// No SHUTDOWN is sent.
    NoShutdown,
    /// The stamps are -1/-1.
    NoClock,
    /// Each stamp is a second older than the one before.
    Backwards,
    /// An event nobody knows follows the negotiation and each event.
    UnknownEvent,
    /// Each event has a member nobody knows, in its data.
    UnknownMember,
    /// Words have values nobody knows.
    UnknownValue,
    /// Events lack the members that came after this release.
    OldMembers(Version),
    /// Whole numbers are the smallest and the largest there are.
    Extremes,
    /// Every character of every string is written `\uXXXX`.
    Escapes,
    /// Objects that are returned have a member of so many bytes more.
    BigReply(usize),
}

/// The faults by name, with what they take; for `--help` and messages.
pub const FAULTS: [(&str, &str); 19] = [
    ("event-before-greeting", ""),
    ("event-before-negotiated", ""),
    ("event-before-reply", ""),
    ("split", "BYTES, 1"),
    ("batch", "TIME, 50ms"),
    ("pretty", ""),
    ("half-message", "N, 3"),
    ("silence", "N, 2"),
    ("eof", "N, 2"),
    ("no-shutdown", ""),
    ("no-clock", ""),
    ("backwards", ""),
    ("unknown-event", ""),
    ("unknown-member", ""),
    ("unknown-value", ""),
    ("old-members", "VERSION, 2.1"),
    ("extremes", ""),
    ("escapes", ""),
    ("big-reply", "BYTES, 10000000"),
];

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, argument) = match text.split_once('=') {
            Some((name, argument)) => (name, Some(argument)),
            None => (text, None),
        };
        let Some((_, takes)) = FAULTS.iter().find(|(known, _)| *known == name) else {
            let names: Vec<&str> = FAULTS.iter().map(|(name, _)| *name).collect();
            return Err(format!(
                "no fault is called `{name}`: write one of {}",
                names.join(", ")
            ));
        };
        if takes.is_empty() && argument.is_some() {
            return Err(format!("the fault {name} takes nothing"));
        }
        let usual = takes.split_once(", ").map_or("", |(_, usual)| usual);
        let argument = argument.unwrap_or(usual);
        let bad = || format!("the fault {name} takes {takes} if not said, not `{argument}`");
        let number = || {
            argument
                .parse::<u64>()
                .ok()
                .filter(|it| *it > 0)
                .ok_or_else(bad)
        };
        let size = || {
            let size = argument.parse::<usize>().ok();
            size.filter(|it| (1..=BIG_REPLY_MAX_BYTES).contains(it))
                .ok_or_else(bad)
        };
        Ok(match name {
            "event-before-greeting" => Self::EventBeforeGreeting,
            "event-before-negotiated" => Self::EventBeforeNegotiated,
            "event-before-reply" => Self::EventBeforeReply,
            "split" => Self::Split(size()?),
            "batch" => Self::Batch(time::parse_duration(argument).map_err(|_| bad())?),
            "pretty" => Self::Pretty,
            "half-message" => Self::HalfMessage(number()?),
            "silence" => Self::Silence(number()?),
            "eof" => Self::Eof(number()?),
            "no-shutdown" => Self::NoShutdown,
            "no-clock" => Self::NoClock,
            "backwards" => Self::Backwards,
            "unknown-event" => Self::UnknownEvent,
            "unknown-member" => Self::UnknownMember,
            "unknown-value" => Self::UnknownValue,
            "old-members" => Self::OldMembers(argument.parse().map_err(|_| bad())?),
            "extremes" => Self::Extremes,
            "escapes" => Self::Escapes,
            _ => Self::BigReply(size()?),
        })
    }
}

/// What is sent for one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The bytes, line ends included.
    pub bytes: Vec<u8>,
    /// What comes after them.
    pub then: Then,
}

/// How it goes on after a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// As usual.
    #[default]
    GoOn,
    /// With nothing, while the connection stays.
    Silence,
    /// With the end of the connection.
    Close,
}

/// The faults of one connection.
#[derive(Clone, Debug)]
pub struct Faulty {
    faults: Vec<Fault>,
    /// Messages sent, those of faults included.
    messages: u64,
    replies: u64,
    /// Events, for the stamps that go backwards.
    events: i64,
}

impl Faulty {
    /// A new connection with these faults.
    pub fn new(faults: &[Fault]) -> Self {
        Self {
            faults: faults.to_vec(),
            messages: 0,
            replies: 0,
            events: 0,
        }
    }

    /// The monitor sends a message, at `now_us` (microseconds since 1970); what goes out instead.
    pub fn send(&mut self, text: &str, now_us: i64) -> Sent {
        let mut sent = Sent::default();
        for line in self.messages(text, now_us) {
            self.messages += 1;
            let line = match self.has(&Fault::Pretty) {
                true => pretty(&line).replace('\n', "\r\n"),
                false => line,
            };
            let line = match self.has(&Fault::Escapes) {
                true => escaped(&line),
                false => line,
            };
            if self.has(&Fault::HalfMessage(self.messages)) {
                let half = line.as_bytes().get(..line.len() / 2);
                sent.bytes.extend_from_slice(half.unwrap_or(&[]));
                sent.then = Then::Close;
                return sent;
            }
            sent.bytes.extend_from_slice(line.as_bytes());
            sent.bytes.extend_from_slice(b"\r\n");
            for (fault, then) in [
                (Fault::Silence(self.messages), Then::Silence),
                (Fault::Eof(self.messages), Then::Close),
            ] {
                if self.has(&fault) {
                    sent.then = then;
                    return sent;
                }
            }
        }
        sent
    }

    fn has(&self, fault: &Fault) -> bool {
        self.faults.contains(fault)
    }

    /// The messages that go out for one.
    fn messages(&mut self, text: &str, now_us: i64) -> Vec<String> {
        let early = || {
            let port = serde_json::json!({"id": "early", "open": true});
            let stamp = Timestamp::from_unix_micros(now_us);
            message("VSERPORT_CHANGE", Some(&port), stamp)
        };
        let unknown = || {
            let data = serde_json::json!({"x": [1, {"y": null}]});
            message(
                "QWATCH_UNKNOWN",
                Some(&data),
                Timestamp::from_unix_micros(now_us),
            )
        };
        let mut lines = Vec::new();
        match ServerMessage::classify(text) {
            ServerMessage::Greeting(_) => {
                if self.has(&Fault::EventBeforeGreeting) {
                    lines.push(early());
                }
                lines.push(text.to_owned());
            }
            ServerMessage::Reply(_) => {
                self.replies += 1;
                let before = match self.replies {
                    1 => Fault::EventBeforeNegotiated,
                    _ => Fault::EventBeforeReply,
                };
                if self.has(&before) {
                    lines.push(early());
                }
                lines.push(self.reply(text));
                if self.replies == 1 && self.has(&Fault::UnknownEvent) {
                    lines.push(unknown());
                }
            }
            ServerMessage::Event(_) => {
                lines.extend(self.event(text));
                if self.has(&Fault::UnknownEvent) {
                    lines.push(unknown());
                }
            }
            ServerMessage::Other => lines.push(text.to_owned()),
        }
        lines
    }

    fn reply(&self, text: &str) -> String {
        let size = self.faults.iter().find_map(|fault| match fault {
            Fault::BigReply(size) => Some(*size),
            _ => None,
        });
        match (size.filter(|_| self.replies > 1), value(text)) {
            (Some(size), Some(Value::Object(reply))) => {
                compact(&changed(&reply, "return", |returned| match returned {
                    Value::Object(object) => object.clone().with("x-big", "x".repeat(size)).into(),
                    other => other.clone(),
                }))
            }
            _ => text.to_owned(),
        }
    }

    /// An event with its faults; `None`: it is not sent.
    fn event(&mut self, text: &str) -> Option<String> {
        let mut text = text.to_owned();
        for fault in &self.faults {
            if let Fault::OldMembers(version) = fault
                && let Ok(message) = Message::decode(&text)
            {
                text = shaped(&message, *version);
            }
        }
        let changes = [
            Fault::NoClock,
            Fault::Backwards,
            Fault::UnknownMember,
            Fault::UnknownValue,
            Fault::Extremes,
        ];
        self.events += 1;
        let Some(Value::Object(mut event)) = value(&text) else {
            return Some(text);
        };
        let name = event
            .get("event")
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned();
        if name == "SHUTDOWN" && self.has(&Fault::NoShutdown) {
            return None;
        }
        if !changes.iter().any(|fault| self.has(fault)) {
            return Some(text);
        }
        if let Some(stamp) = self.stamp(&event) {
            let stamp = Object::new()
                .with("seconds", stamp.seconds)
                .with("microseconds", stamp.microseconds);
            event.insert("timestamp".to_owned(), stamp.into());
        }
        let data = match event.get("data") {
            Some(Value::Object(data)) => Some(self.data(&name, data)),
            _ if self.has(&Fault::UnknownMember) => Some(self.data(&name, &Object::new())),
            _ => None,
        };
        if let Some(data) = data {
            event.insert("data".to_owned(), data.into());
        }
        Some(compact(&event.into()))
    }

    fn stamp(&self, event: &Object) -> Option<Timestamp> {
        if self.has(&Fault::NoClock) {
            return Some(Timestamp::UNKNOWN);
        }
        let stamp = event.get("timestamp")?.as_object()?;
        let part = |name| stamp.get(name).and_then(Value::as_i64);
        self.has(&Fault::Backwards).then_some(Timestamp {
            seconds: part("seconds")? - 2 * self.events,
            microseconds: part("microseconds")?,
        })
    }

    fn data(&self, name: &str, data: &Object) -> Object {
        let members = EventKind::from_name(name).map_or(&[][..], |kind| kind.facts().members);
        let mut result = data.clone();
        for (member, value) in data.iter() {
            let ty = members.iter().find(|facts| facts.name == member);
            let new = match (ty.map(|facts| facts.ty), value) {
                (Some(TypeFacts::Enum(_)), _) if self.has(&Fault::UnknownValue) => {
                    Value::from("x-unknown")
                }
                (Some(TypeFacts::Uint(64)), _) if self.has(&Fault::Extremes) => {
                    Value::Uint(u64::MAX)
                }
                (_, Value::Int(_)) if self.has(&Fault::Extremes) => Value::Int(i64::MIN),
                _ => continue,
            };
            result.insert(member.to_owned(), new);
        }
        if self.has(&Fault::UnknownMember) {
            let strange = Object::new()
                .with("list", vec![1_i64, 2])
                .with("none", Value::Null);
            result.insert("x-unknown".to_owned(), strange.into());
        }
        result
    }
}

fn value(text: &str) -> Option<Value> {
    Parser::default().next(&mut text.as_bytes())?.ok()
}

/// The object with one member changed.
fn changed(object: &Object, name: &str, change: impl Fn(&Value) -> Value) -> Value {
    let mut result = Object::new();
    for (member, value) in object.iter() {
        result = match member == name {
            true => result.with(member, change(value)),
            false => result.with(member, value.clone()),
        };
    }
    result.into()
}

/// JSON in which each character of a string is `\uXXXX`; its meaning is the same.
fn escaped(text: &str) -> String {
    let mut result = String::new();
    let mut quoted = false;
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '"' => {
                quoted = !quoted;
                result.push('"');
            }
            '\\' => {
                let escape = rest.next();
                result.push('\\');
                result.extend(escape);
                if escape == Some('u') {
                    result.extend(rest.by_ref().take(4));
                }
            }
            other if quoted => {
                let mut units = [0; 2];
                for unit in other.encode_utf16(&mut units) {
                    result += &format!("\\u{unit:04x}");
                }
            }
            other => result.push(other),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOP: &str = r#"{"timestamp": {"seconds": 9, "microseconds": 5}, "event": "STOP"}"#;

    fn sent(faults: &[&str], texts: &[&str]) -> (String, Then) {
        let faults: Vec<Fault> = faults.iter().map(|it| it.parse().expect(it)).collect();
        let mut faulty = Faulty::new(&faults);
        let (mut all, mut then) = (String::new(), Then::GoOn);
        for text in texts {
            let sent = faulty.send(text, 1_000_000);
            all += std::str::from_utf8(&sent.bytes).expect("ASCII");
            then = sent.then;
        }
        (all, then)
    }

    #[test]
    fn without_faults_nothing_is_changed() {
        let text = r#"{"event":"X", "data":{"b":1e2,"a":1}}"#;
        assert_eq!(sent(&[], &[text]), (format!("{text}\r\n"), Then::GoOn));
    }

    #[test]
    fn what_stands_where() {
        let greeting = r#"{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}"#;
        let reply = r#"{"return": {}}"#;
        let all = [
            "event-before-greeting",
            "event-before-negotiated",
            "event-before-reply",
        ];
        let (text, _) = sent(&all, &[greeting, reply, reply]);
        let early: Vec<bool> = text.lines().map(|line| line.contains("early")).collect();
        assert_eq!(early, [true, false, true, false, true, false]);
    }

    #[test]
    fn ends() {
        let (text, then) = sent(&["half-message=2"], &[STOP, STOP]);
        assert_eq!(
            (text.len(), then),
            (STOP.len() + 2 + STOP.len() / 2, Then::Close)
        );
        assert_eq!(sent(&["eof=1"], &[STOP]).1, Then::Close);
        assert_eq!(sent(&["silence=1"], &[STOP]).1, Then::Silence);
        let shutdown = STOP.replace("STOP", "SHUTDOWN");
        assert_eq!(sent(&["no-shutdown"], &[&shutdown]).0, "");
    }

    #[test]
    fn what_events_become() {
        let watchdog = r#"{"timestamp": {"seconds": 9, "microseconds": 5}, "event": "WATCHDOG", "data": {"action": "reset"}}"#;
        let balloon = r#"{"timestamp": {"seconds": 9, "microseconds": 5}, "event": "BALLOON_CHANGE", "data": {"actual": 5}}"#;
        assert!(
            sent(&["no-clock"], &[STOP])
                .0
                .contains(r#"{"seconds": -1, "microseconds": -1}"#)
        );
        let (text, _) = sent(&["backwards"], &[STOP, STOP]);
        assert!(
            text.contains("\"seconds\": 7") && text.contains("\"seconds\": 5"),
            "{text}"
        );
        assert!(sent(&["unknown-member"], &[STOP]).0.contains("x-unknown"));
        assert!(
            sent(&["unknown-value"], &[watchdog])
                .0
                .contains(r#"{"action": "x-unknown"}"#)
        );
        assert!(
            sent(&["extremes"], &[balloon])
                .0
                .contains("{\"actual\": -9223372036854775808}")
        );
        assert_eq!(sent(&["unknown-event"], &[STOP]).0.lines().count(), 2);
        let escaped = sent(&["escapes"], &[balloon]).0;
        assert!(escaped.contains("\\u0042") && !escaped.contains("BALLOON"));
        let same = Message::decode(escaped.trim_end()).expect("an event");
        assert_eq!(same.encode(), balloon);
        assert!(sent(&["pretty"], &[STOP]).0.contains("{\r\n    "));
    }

    #[test]
    fn names_and_arguments_are_checked() {
        for (name, takes) in FAULTS {
            name.parse::<Fault>()
                .unwrap_or_else(|error| panic!("{error}"));
            let with = format!("{name}=nonsense").parse::<Fault>();
            assert!(with.is_err(), "{name} {takes}");
        }
        assert!("nothing".parse::<Fault>().is_err() && "split=0".parse::<Fault>().is_err());
    }
}
