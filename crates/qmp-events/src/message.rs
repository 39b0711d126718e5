//! A whole event message, typed.

use std::fmt::{self, Write as _};

use crate::{
    Event, EventKind, Extra, RawJson, Str, Timestamp, UnknownEvent,
    envelope::{DecodeError, read_top},
    json::{self, Key, ReadError, Reader},
    unknown::merge_top_level,
};

/// An event as it stands on the wire: stamp, name, data.
///
/// ```
/// use qmp_events::{Event, Message};
///
/// let line = r#"{"timestamp": {"seconds": 1401385907, "microseconds": 422329}, "event": "WATCHDOG", "data": {"action": "pause"}}"#;
/// let message = Message::decode(line)?;
/// if let Event::Watchdog(watchdog) = &message.event {
///     assert_eq!(watchdog.action.as_str(), "pause");
/// }
/// assert_eq!(message.encode(), line);
/// # Ok::<(), qmp_events::DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Message<'a> {
    /// QEMU's stamp; `None` only if the sender is no QEMU and left it out.
    pub timestamp: Option<Timestamp>,
    /// What happened.
    pub event: Event<'a>,
    /// Members of the message outside the protocol.
    pub extra: Extra,
}

/// Something in a message that the vocabulary does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outside {
    /// An event of this name.
    Event(Box<str>),
    /// A member; its path in dots, from `data` down (`info.new-member`), or from the top of the
    /// message, then with a leading dot (`.new-member`).
    Member(String),
    /// A value of an enum or a shape of a union.
    Value {
        /// The member that has it, its path in dots from `data` down.
        member: String,
        /// The value.
        value: Box<str>,
    },
    /// The data of a known event is not in the shape the vocabulary knows.
    Shape(ReadError),
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(name) => write!(f, "unknown event `{name}`"),
            Self::Member(path) => write!(f, "unknown member `{path}`"),
            Self::Value { member, value } => write!(f, "unknown value `{value}` of `{member}`"),
            Self::Shape(mismatch) => mismatch.fmt(f),
        }
    }
}

impl<'a> Message<'a> {
    /// An event that happened at `timestamp`.
    pub fn new(timestamp: Timestamp, event: impl Into<Event<'a>>) -> Self {
        Self {
            timestamp: Some(timestamp),
            event: event.into(),
            extra: Extra::default(),
        }
    }

    /// Reads one event message. Strings without escapes are borrowed from `text`.
    ///
    /// Members may come in any order, members of any release may be absent, and whatever the
    /// vocabulary does not know is kept: this fails on nothing a QEMU sends.
    ///
    /// # Errors
    /// The text is not JSON, or not an event.
    pub fn decode(text: &'a str) -> Result<Self, DecodeError> {
        let mut typed = None;
        let mut data = None;
        let mut top = read_top(text, |name, r| {
            let start = r.clone();
            typed = name
                .and_then(EventKind::from_name)
                .and_then(|kind| Event::read(kind, r).ok());
            if typed.is_none() {
                // The name is unknown or yet to come, or the shape is another one.
                *r = start.clone();
                r.skip()?;
            }
            data = Some(r.between(start.offset()).trim_start());
            Ok(())
        })?;
        let event = match typed {
            Some(event) => event,
            None => Event::from_parts(top.name, data),
        };
        if let (Some(data), Some(_)) = (data, event.kind())
            && is_empty_object(data)
        {
            // QEMU leaves an empty `data` out; whoever wrote it gets it back.
            top.extra.push(Key::from_literal("data"), "{}");
        }
        Ok(Self {
            timestamp: top.timestamp,
            event,
            extra: top.extra,
        })
    }

    /// The message as QEMU prints it, without the line end (CR LF).
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(192);
        self.encode_into(&mut out);
        out
    }

    /// Appends the message as QEMU prints it, without the line end (CR LF).
    pub fn encode_into(&self, out: &mut String) {
        if let (Some(timestamp), true) = (self.timestamp, self.extra.is_empty()) {
            out.push_str("{\"timestamp\": ");
            write_timestamp(timestamp, out);
            out.push_str(", \"event\": ");
            json::write_string(out, self.event.name());
            if self.event.has_data() {
                out.push_str(", \"data\": ");
                self.event.write(out);
            }
            out.push('}');
        } else {
            merge_top_level(&self.extra, self.known_members(), out);
        }
    }

    /// What in the message is outside the vocabulary; empty for everything a known QEMU sends.
    pub fn outside(&self) -> Vec<Outside> {
        let mut found = Vec::new();
        for (name, _) in self.extra.iter() {
            found.push(Outside::Member(format!(".{name}")));
        }
        self.event.outside(&mut found);
        found
    }

    /// Paths of the members outside the vocabulary, as in [`Outside::Member`].
    pub fn unknown_members(&self) -> Vec<String> {
        let member = |outside| match outside {
            Outside::Member(path) => Some(path),
            _ => None,
        };
        self.outside().into_iter().filter_map(member).collect()
    }

    /// The same with nothing borrowed.
    pub fn into_owned(self) -> Message<'static> {
        Message {
            timestamp: self.timestamp,
            event: self.event.into_owned(),
            extra: self.extra,
        }
    }

    fn known_members(&self) -> Vec<(&str, String)> {
        let mut known = Vec::new();
        if let Some(timestamp) = self.timestamp {
            let mut value = String::new();
            write_timestamp(timestamp, &mut value);
            known.push(("timestamp", value));
        }
        let mut name = String::new();
        json::write_string(&mut name, self.event.name());
        known.push(("event", name));
        if let Some(data) = self.event.data_json() {
            known.push(("data", data));
        }
        known
    }
}

impl<'a> Event<'a> {
    /// An event by its name and its data as JSON text. Known names with data of another shape
    /// become [`Event::Unknown`], as when decoding.
    ///
    /// # Errors
    /// `data` is not JSON.
    pub fn from_json(name: impl Into<Str<'a>>, data: Option<&'a str>) -> Result<Self, ReadError> {
        if let Some(data) = data {
            let mut r = Reader::new(data);
            r.skip()?;
            r.end()?;
        }
        Ok(Self::from_parts(name.into(), data))
    }

    /// The data as QEMU prints it; `None` when there is none.
    pub fn data_json(&self) -> Option<String> {
        self.has_data().then(|| {
            let mut out = String::new();
            self.write(&mut out);
            out
        })
    }

    /// `data` must be JSON.
    fn from_parts(name: Str<'a>, data: Option<&'a str>) -> Self {
        let mut mismatch = None;
        if let Some(kind) = EventKind::from_name(&name) {
            match Event::read(kind, &mut Reader::new(data.unwrap_or("{}"))) {
                Ok(event) => return event,
                Err(error) => mismatch = Some(error),
            }
        }
        Self::Unknown(UnknownEvent {
            name,
            data: data.map(RawJson::checked),
            mismatch,
        })
    }
}

fn is_empty_object(data: &str) -> bool {
    data.bytes()
        .all(|b| matches!(b, b'{' | b'}' | b' ' | b'\t' | b'\r' | b'\n'))
}

fn write_timestamp(timestamp: Timestamp, out: &mut String) {
    let Timestamp {
        seconds,
        microseconds,
    } = timestamp;
    write!(
        out,
        "{{\"seconds\": {seconds}, \"microseconds\": {microseconds}}}"
    )
    .expect("a String takes everything");
}
