//! A recording, made into a timeline.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use qmp_events::{Envelope, Timestamp};
use qmp_protocol::{Frame, Framer, ServerMessage};
use serde_json::Value as Json;
use thiserror::Error;

use super::deed::Deed;
use super::timeline::{Sequence, Timeline};
use crate::journal::{OpenError, Query, ReadError, Reader};
use crate::limits::REPLAY_MAX_BYTES;
use crate::record::{Origin, Record};

/// Why a recording cannot be played.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is a journal that cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It is a journal that cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no event in it.
    #[error("{0} has no event of a QEMU{1}")]
    Empty(String, String),
    /// Events of several machines, and none was chosen.
    #[error("the journal has several machines: choose one with --machine: {0}")]
    Machines(String),
    /// It has too many events to be held in memory.
    #[error("the recording has more than {REPLAY_MAX_BYTES} bytes of events: cut it")]
    TooLarge,
}

/// Reads a recording: raw QMP text, of which the events count, or a journal, of which those of `machine`
/// do (it may be `None` if there is only one).
///
/// The time between events is that of their stamps; one without a stamp or with an older one than the
/// event before comes together with that. Unless `keep_stamps`, events get the time at which they are
/// emitted as their stamp.
///
/// # Errors
/// The file cannot be read, or has no event.
pub fn recording(
    path: &Path,
    machine: Option<&str>,
    keep_stamps: bool,
) -> Result<Timeline, ReplayError> {
    let io_error = |source| ReplayError::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(io_error)?;
    let mut head = Vec::new();
    let magic = u64::try_from(JOURNAL_MAGIC.len()).unwrap_or(u64::MAX);
    (&mut file)
        .take(magic)
        .read_to_end(&mut head)
        .map_err(io_error)?;
    let mut events = Events::default();
    if head == JOURNAL_MAGIC {
        from_journal(&Reader::open(path)?, machine, &mut events)?;
    } else {
        from_text(head.as_slice().chain(file), &mut events).map_err(io_error)?;
    }
    if events.too_large {
        return Err(ReplayError::TooLarge);
    }
    if events.lines.is_empty() {
        let of = machine.map(|name| format!(" of the machine {name}"));
        return Err(ReplayError::Empty(
            path.display().to_string(),
            of.unwrap_or_default(),
        ));
    }
    Ok(events.timeline(keep_stamps))
}

/// How every SQLite file begins.
const JOURNAL_MAGIC: &[u8] = b"SQLite format 3\0";

/// The events of a recording.
#[derive(Debug, Default)]
struct Events {
    lines: Vec<(Option<i64>, String)>,
    bytes: usize,
    too_large: bool,
}

impl Events {
    /// Takes an event; false once there are too many.
    fn push(&mut self, at_us: Option<i64>, line: String) -> bool {
        self.bytes += line.len();
        self.too_large |= self.bytes > REPLAY_MAX_BYTES;
        if !self.too_large {
            self.lines.push((at_us, line));
        }
        !self.too_large
    }

    fn timeline(self, keep_stamps: bool) -> Timeline {
        let mut timeline = Timeline::default();
        let mut times = self.lines.iter().filter_map(|(at, _)| *at);
        let first = times.next().unwrap_or(0);
        let mut at = Duration::ZERO;
        for (stamp, line) in self.lines {
            let since = stamp.and_then(|stamp| u64::try_from(stamp - first).ok());
            at = at.max(since.map_or(at, Duration::from_micros));
            let deed = match keep_stamps {
                true => Deed::Recorded(line),
                false => Deed::Recorded(without_stamp(&line)),
            };
            let sequence = Sequence {
                deeds: vec![(Duration::ZERO, deed)],
                repeat: None,
            };
            timeline.add(at, Arc::new(sequence));
        }
        timeline
    }
}

/// The message without its stamp, which says that it gets one when it is emitted.
fn without_stamp(line: &str) -> String {
    match Envelope::read(line) {
        Ok(event) => {
            let name = Json::from(&*event.name);
            let data = event.data.map(|data| format!(", \"data\": {data}"));
            format!("{{\"event\": {name}{}}}", data.unwrap_or_default())
        }
        Err(_) => line.to_owned(),
    }
}

fn from_text(mut input: impl Read, events: &mut Events) -> io::Result<()> {
    let mut framer = Framer::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let length = input.read(&mut chunk)?;
        framer.push(chunk.get(..length).unwrap_or(&[]));
        while let Some(frame) = framer.next_frame() {
            let Frame::Message { text, .. } = frame else {
                continue;
            };
            if let ServerMessage::Event(text) = ServerMessage::classify(text)
                && let Ok(event) = Envelope::read(text)
            {
                let at = event.timestamp.and_then(Timestamp::unix_micros);
                if !events.push(at, text.to_owned()) {
                    return Ok(());
                }
            }
        }
        if length == 0 {
            return Ok(());
        }
    }
}

fn from_journal(
    reader: &Reader,
    machine: Option<&str>,
    events: &mut Events,
) -> Result<(), ReplayError> {
    if machine.is_none() {
        let machines = reader.machines()?;
        if machines.len() > 1 {
            let names: Vec<String> = machines.into_iter().map(|it| it.name).collect();
            return Err(ReplayError::Machines(names.join(", ")));
        }
    }
    let wanted = |name: &str| machine.is_none_or(|machine| machine == name);
    for record in reader.records(&Query::default().machines(&wanted))? {
        let record = record?;
        if record.origin == Origin::Qemu && !events.push(Some(record.time_us()), line(&record)) {
            break;
        }
    }
    Ok(())
}

/// The message of a record.
fn line(record: &Record) -> String {
    let name = Json::from(record.name.as_str());
    let stamp = record.timestamp.map(|at| {
        format!(
            "\"timestamp\": {{\"seconds\": {}, \"microseconds\": {}}}, ",
            at.seconds, at.microseconds
        )
    });
    let data = record
        .data
        .as_ref()
        .map(|data| format!(", \"data\": {data}"));
    format!(
        "{{{}\"event\": {name}{}}}",
        stamp.unwrap_or_default(),
        data.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(text: &str, keep_stamps: bool) -> Vec<(u128, String)> {
        let mut events = Events::default();
        from_text(text.as_bytes(), &mut events).expect("read");
        let mut timeline = events.timeline(keep_stamps);
        let mut all = Vec::new();
        while let Some(at) = timeline.next_at() {
            match timeline.pop_due(at) {
                Some(Deed::Recorded(line)) => all.push((at.as_millis(), line)),
                other => panic!("{other:?}"),
            }
        }
        all
    }

    #[test]
    fn the_time_between_events_is_that_of_their_stamps() {
        let text = r#"{"QMP": {"version": {}, "capabilities": []}}
            {"return": {}} {"event": "A", "timestamp": {"seconds": 10, "microseconds": 0}}
            {"event": "B", "timestamp": {"seconds": -1, "microseconds": -1}}
            {"event": "C", "timestamp": {"seconds": 11, "microseconds": 500000}, "data": {"x": 1e2}}
            {"event": "D", "timestamp": {"seconds": 9, "microseconds": 0}}"#;
        let event = |name: &str| format!("{{\"event\": \"{name}\"}}");
        let c = r#"{"event": "C", "data": {"x": 1e2}}"#.to_owned();
        let expected = [
            (0, event("A")),
            (0, event("B")),
            (1500, c),
            (1500, event("D")),
        ];
        assert_eq!(played(text, false), expected);
        assert!(played(text, true)[0].1.contains("\"seconds\": 10"));
    }
}
