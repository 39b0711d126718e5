//! One record on its way into the journal.

use qmp_events::{DecodeError, Envelope, Timestamp};

use crate::limits::QUEUE_ENTRY_BYTES;

/// A note of the recorder itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Note {
    /// From here on the machine is heard.
    Attached,
    /// From here on it is not.
    Detached,
    /// Between two moments something may have been missed.
    Gap,
    /// What the read-only queries said.
    State,
    /// Bytes on the monitor that are no QMP.
    Garbage,
}

impl Note {
    /// All notes.
    pub const ALL: [Self; 5] = [
        Self::Attached,
        Self::Detached,
        Self::Gap,
        Self::State,
        Self::Garbage,
    ];

    /// The name in the journal and everywhere else.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attached => "attached",
            Self::Detached => "detached",
            Self::Gap => "gap",
            Self::State => "state",
            Self::Garbage => "garbage",
        }
    }

    /// The number in the journal's table `name`; never to be changed.
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Attached => 1,
            Self::Detached => 2,
            Self::Gap => 3,
            Self::State => 4,
            Self::Garbage => 5,
        }
    }
}

/// An event or a note, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub(super) received_us: i64,
    pub(super) name: Name,
    pub(super) stamp: Stamp,
    pub(super) data: Option<String>,
    /// The whole line, if it is not what QEMU would print for stamp, name and data.
    pub(super) raw: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Qemu(String),
    Note(Note),
}

/// QEMU's stamp as the journal keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// A moment, microseconds since 1970.
    At(i64),
    /// QEMU's host had no clock.
    NoClock,
    /// No stamp, or none that is a moment.
    None,
}

impl Entry {
    /// An event as QEMU sent it: one JSON object, without the line end.
    ///
    /// # Errors
    /// When the text is no event.
    pub fn event(text: &str, received_us: i64) -> Result<Self, DecodeError> {
        let envelope = Envelope::read(text)?;
        let stamp = Stamp::of(envelope.timestamp);
        let plain = stamp != Stamp::None && is_qemus_own_form(text, &envelope);
        Ok(Self {
            received_us,
            stamp,
            data: envelope.data.map(str::to_owned),
            raw: (!plain).then(|| text.to_owned()),
            name: Name::Qemu(envelope.name.into_owned()),
        })
    }

    /// A note of the recorder; `data` is one JSON object.
    pub fn note(note: Note, data: String, received_us: i64) -> Self {
        Self {
            received_us,
            name: Name::Note(note),
            stamp: Stamp::None,
            data: Some(data),
            raw: None,
        }
    }

    /// The name of the event; `None` for a note.
    pub fn event_name(&self) -> Option<&str> {
        match &self.name {
            Name::Qemu(name) => Some(name),
            Name::Note(_) => None,
        }
    }

    /// Whether it is this note.
    #[cfg(test)]
    pub(crate) fn is_note(&self, note: Note) -> bool {
        self.name == Name::Note(note)
    }

    /// The data, one JSON object, if there is any.
    pub fn data(&self) -> Option<&str> {
        self.data.as_deref()
    }

    /// When it was heard, microseconds since 1970.
    pub fn received_us(&self) -> i64 {
        self.received_us
    }

    /// Bytes this takes in the queue.
    pub fn cost_bytes(&self) -> usize {
        let name = match &self.name {
            Name::Qemu(name) => name.len(),
            Name::Note(_) => 0,
        };
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        QUEUE_ENTRY_BYTES + name + length(&self.data) + length(&self.raw)
    }

    /// About how many bytes of the file this takes; the same sum as `RECORD_BYTES` in SQL.
    pub(super) fn file_bytes(&self) -> i64 {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        (40 + length(&self.data) + length(&self.raw)) as i64
    }

    /// The columns `stamp` and `lag`.
    pub(super) fn clock(&self) -> (Option<i64>, i64) {
        match self.stamp {
            Stamp::At(us) => (Some(us), self.received_us.wrapping_sub(us)),
            Stamp::NoClock => (Some(NO_CLOCK), self.received_us),
            Stamp::None => (None, self.received_us),
        }
    }

    /// When it happened as far as is known, microseconds since 1970.
    pub(crate) fn time_us(&self) -> i64 {
        match self.stamp {
            Stamp::At(us) => us,
            Stamp::NoClock | Stamp::None => self.received_us,
        }
    }
}

/// The column `stamp` of an event whose host had no clock.
pub(super) const NO_CLOCK: i64 = -1;

impl Stamp {
    /// Only what gives the same two numbers back is a moment here; the rest is left to `raw`.
    fn of(timestamp: Option<Timestamp>) -> Self {
        match timestamp {
            None => Self::None,
            Some(stamp) if !stamp.is_known() => Self::NoClock,
            Some(stamp) => match stamp.unix_micros() {
                Some(us) if us != NO_CLOCK && Timestamp::from_unix_micros(us) == stamp => {
                    Self::At(us)
                }
                _ => Self::None,
            },
        }
    }
}

/// The line QEMU prints for an event.
pub(super) fn qemus_line(stamp: Timestamp, name: &str, data: Option<&str>) -> String {
    let Timestamp {
        seconds,
        microseconds,
    } = stamp;
    let mut line = format!(
        "{{\"timestamp\": {{\"seconds\": {seconds}, \"microseconds\": {microseconds}}}, \"event\": \"{name}\""
    );
    if let Some(data) = data {
        line.push_str(", \"data\": ");
        line.push_str(data);
    }
    line.push('}');
    line
}

/// Whether [`qemus_line`] would give the text back, without building it.
fn is_qemus_own_form(text: &str, envelope: &Envelope<'_>) -> bool {
    let rest = || {
        let stamp = envelope.timestamp?;
        let rest = text.strip_prefix("{\"timestamp\": {\"seconds\": ")?;
        let rest = strip_number(rest, stamp.seconds)?;
        let rest = rest.strip_prefix(", \"microseconds\": ")?;
        let rest = strip_number(rest, stamp.microseconds)?;
        let rest = rest.strip_prefix("}, \"event\": \"")?;
        let rest = rest.strip_prefix(&*envelope.name)?.strip_prefix('"')?;
        match envelope.data {
            Some(data) => rest.strip_prefix(", \"data\": ")?.strip_prefix(data),
            None => Some(rest),
        }
    };
    rest() == Some("}")
}

/// Strips the number if it is written as Rust and QEMU write it (`007` and `-0` are not).
fn strip_number(text: &str, number: i64) -> Option<&str> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '-')
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let unsigned = digits.strip_prefix('-').unwrap_or(digits);
    let canonical = unsigned == "0" || !unsigned.starts_with('0');
    (canonical && digits != "-0" && digits.parse() == Ok(number)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVED: i64 = 1_700_000_000_500_000;

    fn entry(text: &str) -> Entry {
        Entry::event(text, RECEIVED).expect("an event")
    }

    #[test]
    fn qemus_own_line_is_not_kept_twice() {
        for data in [
            None,
            Some(r#"{"guest": false, "reason": "host-qmp-quit"}"#),
            Some("{}"),
        ] {
            let stamp = Timestamp::from_unix_micros(1_700_000_000_000_001);
            let line = qemus_line(stamp, "SHUTDOWN", data);
            let entry = entry(&line);
            assert_eq!(entry.raw, None, "{line}");
            assert_eq!(entry.data.as_deref(), data);
            assert_eq!(entry.clock(), (Some(1_700_000_000_000_001), 499_999));
        }
    }

    #[test]
    fn whatever_else_is_kept_whole() {
        for line in [
            r#"{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}"#,
            r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP", "more": 1}"#,
            r#"{"timestamp": {"seconds": 1, "microseconds": 2},  "event": "STOP"}"#,
            r#"{"timestamp": {"seconds": 1, "microseconds": 2000000}, "event": "STOP"}"#,
            r#"{"timestamp": {"seconds": -1, "microseconds": 999999}, "event": "STOP"}"#,
            r#"{"timestamp": {"seconds": 1, "microseconds": -0}, "event": "STOP"}"#,
            r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "ST\u004fP"}"#,
            r#"{"event": "STOP"}"#,
        ] {
            assert_eq!(entry(line).raw.as_deref(), Some(line));
        }
    }

    #[test]
    fn no_clock_counts_by_receipt() {
        let line = qemus_line(Timestamp::UNKNOWN, "STOP", None);
        let entry = entry(&line);
        assert_eq!(entry.raw, None);
        assert_eq!(entry.clock(), (Some(-1), RECEIVED));
        assert_eq!(entry.time_us(), RECEIVED);
    }

    #[test]
    fn numbers_of_notes_are_unique_and_below_qemus() {
        let mut numbers: Vec<i64> = Note::ALL.iter().map(|note| note.number()).collect();
        numbers.dedup();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
        assert!(
            numbers
                .iter()
                .all(|&n| n < super::super::schema::FIRST_QEMU_NAME)
        );
    }
}
