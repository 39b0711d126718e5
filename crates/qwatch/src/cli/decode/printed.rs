//! The three forms in which a decoded event is printed.

use qmp_events::{DecodeError, Envelope, Message, Timestamp, json};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::output::escape::visible_json;
use crate::output::{Lines, Shown};
use crate::record::Origin;
use crate::time;

/// How events are printed.
pub(super) enum Form {
    /// For people.
    Human(Lines),
    /// For programs.
    Json,
    /// As QEMU prints them.
    Qmp,
}

/// `--json`: exactly these members, always all of them.
#[derive(Serialize)]
struct Line<'a> {
    time: Option<String>,
    event: &'a str,
    data: Option<&'a RawValue>,
    known: bool,
    unknown_members: Vec<String>,
}

/// One event as a line with its line end.
pub(super) fn line(form: &mut Form, text: &str) -> Result<String, DecodeError> {
    let mut line = match form {
        Form::Human(lines) => {
            let envelope = Envelope::read(text)?;
            lines.line(&Shown {
                time_us: time_of(envelope.timestamp),
                machine: "",
                name: &envelope.name,
                data: envelope.data,
                origin: Origin::Qemu,
            })
        }
        Form::Json => json_line(&Message::decode(text)?, Envelope::read(text)?.data),
        Form::Qmp => Message::decode(text)?.encode() + "\r",
    };
    line.push('\n');
    Ok(line)
}

fn time_of(timestamp: Option<Timestamp>) -> Option<i64> {
    timestamp.and_then(Timestamp::unix_micros)
}

fn json_line(message: &Message<'_>, data: Option<&str>) -> String {
    let data = data.map(json::compact);
    let line = Line {
        time: time_of(message.timestamp).map(time::rfc3339),
        event: message.event.name(),
        data: data
            .as_deref()
            .and_then(|data| serde_json::from_str(data).ok()),
        known: message.event.kind().is_some(),
        unknown_members: message.unknown_members(),
    };
    let text = serde_json::to_string(&line).expect("strings and raw JSON always serialize");
    visible_json(&text).into_owned()
}
