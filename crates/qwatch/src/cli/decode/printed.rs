//! The three forms in which a decoded event is printed.

use qmp_events::{DecodeError, Envelope, Message, json};
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

/// One event as a line with its line end, and typed.
pub(super) fn print<'a>(
    form: &mut Form,
    text: &'a str,
) -> Result<(String, Message<'a>), DecodeError> {
    let message = Message::decode(text)?;
    let time_us = message
        .timestamp
        .and_then(qmp_events::Timestamp::unix_micros);
    let mut line = match form {
        Form::Human(lines) => {
            let envelope = Envelope::read(text)?;
            lines.line(&Shown {
                time_us,
                machine: "",
                name: message.event.name(),
                data: envelope.data,
                origin: Origin::Qemu,
            })
        }
        Form::Json => json_line(&message, Envelope::read(text)?.data, time_us),
        Form::Qmp => message.encode() + "\r",
    };
    line.push('\n');
    Ok((line, message))
}

fn json_line(message: &Message<'_>, data: Option<&str>, time_us: Option<i64>) -> String {
    let data = data.map(json::compact);
    let line = Line {
        time: time_us.map(time::rfc3339),
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
