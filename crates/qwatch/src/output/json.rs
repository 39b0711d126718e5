//! One record as one line of JSON: the form that programs read, and a promise to them.

use serde::Serialize;
use serde_json::value::RawValue;

use super::escape;
use crate::record::Record;
use crate::time;

/// The members in the order they are printed.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    machine: &'a str,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Stamp>,
    received: String,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    origin: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<u64>,
}

#[derive(Serialize)]
struct Stamp {
    seconds: i64,
    microseconds: i64,
}

/// The record as one line, without the line end.
pub(crate) fn line(record: &Record) -> String {
    let line = Line {
        seq: record.seq,
        machine: &record.machine,
        time: time::rfc3339(record.time_us()),
        timestamp: record.timestamp.map(|stamp| Stamp {
            seconds: stamp.seconds,
            microseconds: stamp.microseconds,
        }),
        received: time::rfc3339(record.received_us),
        event: &record.name,
        data: record.data.as_deref().map(one_line),
        origin: record.origin.as_str(),
        run: record.run,
    };
    let text =
        serde_json::to_string(&line).expect("strings, numbers and raw JSON always serialize");
    escape::visible_json(&text).into_owned()
}

/// JSON spread over lines, 4 columns a level, numbers and order as they are. `raw` must be JSON.
pub(crate) fn pretty(raw: &str) -> String {
    const INDENT: &str = "    ";
    let compact = qmp_events::json::compact(raw);
    let mut out = String::with_capacity(compact.len() * 2);
    let (mut level, mut in_string, mut escape) = (0_usize, false, false);
    let mut chars = compact.chars().peekable();
    while let Some(c) = chars.next() {
        if in_string {
            out.push(c);
            in_string = escape || c != '"';
            escape = !escape && c == '\\';
            continue;
        }
        in_string = c == '"';
        match c {
            '{' | '[' if matches!(chars.peek(), Some('}' | ']')) => out.push(c),
            '{' | '[' => {
                level += 1;
                out.push(c);
                new_line(&mut out, INDENT, level);
            }
            '}' | ']' if out.ends_with(['{', '[']) => out.push(c),
            '}' | ']' => {
                level = level.saturating_sub(1);
                new_line(&mut out, INDENT, level);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, INDENT, level);
                chars.next_if_eq(&' ');
            }
            _ => out.push(c),
        }
    }
    out
}

fn new_line(out: &mut String, indent: &str, level: usize) {
    out.push('\n');
    (0..level).for_each(|_| out.push_str(indent));
}

/// The data as sent; a monitor with `pretty=on` spreads it over lines, which are joined.
fn one_line(data: &str) -> Box<RawValue> {
    let joined = if data.contains(['\n', '\r']) {
        qmp_events::json::compact(data)
    } else {
        data.to_owned()
    };
    // What was read as JSON is JSON; a journal written by another hand may hold anything.
    RawValue::from_string(joined).unwrap_or_else(|_| {
        serde_json::value::to_raw_value(data).expect("a string always serializes")
    })
}

#[cfg(test)]
mod tests {
    use qmp_events::Timestamp;

    use super::*;
    use crate::record::Origin;

    fn record() -> Record {
        Record {
            seq: Some(5),
            machine: "web1".to_owned(),
            run: Some(2),
            origin: Origin::Qemu,
            name: "BLOCK_IO_ERROR".to_owned(),
            timestamp: Some(Timestamp {
                seconds: 1_700_000_000,
                microseconds: 42,
            }),
            received_us: 1_700_000_000_000_100,
            data: Some(r#"{"device": "", "n": 18446744073709551615}"#.to_owned()),
        }
    }

    #[test]
    fn every_member_in_its_place() {
        insta::assert_snapshot!(line(&record()), @r#"{"seq":5,"machine":"web1","time":"2023-11-14T22:13:20.000042Z","timestamp":{"seconds":1700000000,"microseconds":42},"received":"2023-11-14T22:13:20.000100Z","event":"BLOCK_IO_ERROR","data":{"device": "", "n": 18446744073709551615},"origin":"qemu","run":2}"#);
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        let note = Record {
            seq: None,
            run: None,
            origin: Origin::Qwatch,
            name: "gap".to_owned(),
            timestamp: None,
            data: None,
            ..record()
        };
        insta::assert_snapshot!(line(&note), @r#"{"machine":"web1","time":"2023-11-14T22:13:20.000100Z","received":"2023-11-14T22:13:20.000100Z","event":"gap","origin":"qwatch"}"#);
    }

    #[test]
    fn an_unknown_clock_is_shown_as_sent_and_the_time_is_that_of_receipt() {
        let record = Record {
            timestamp: Some(Timestamp::UNKNOWN),
            data: None,
            ..record()
        };
        insta::assert_snapshot!(line(&record), @r#"{"seq":5,"machine":"web1","time":"2023-11-14T22:13:20.000100Z","timestamp":{"seconds":-1,"microseconds":-1},"received":"2023-11-14T22:13:20.000100Z","event":"BLOCK_IO_ERROR","origin":"qemu","run":2}"#);
    }

    #[test]
    fn an_answer_on_lines() {
        let raw = r#"{"a": [1, {"b": "x, {\"y\": 1}"}], "none": {}, "empty": [], "big": 18446744073709551615}"#;
        insta::assert_snapshot!(pretty(raw), @r#"
        {
            "a": [
                1,
                {
                    "b": "x, {\"y\": 1}"
                }
            ],
            "none": {},
            "empty": [],
            "big": 18446744073709551615
        }
        "#);
        assert_eq!(qmp_events::json::compact(&pretty(raw)), raw);
        assert_eq!(pretty("{}"), "{}");
    }

    #[test]
    fn pretty_data_becomes_one_line_and_escapes_stay() {
        let record = Record {
            machine: "a\u{202e}\u{9b}b\n".to_owned(),
            data: Some(
                "{\r\n    \"a\": [\r\n        1,\r\n        \"\\u001b[31m\"\r\n    ]\r\n}"
                    .to_owned(),
            ),
            ..record()
        };
        insta::assert_snapshot!(line(&record), @r#"{"seq":5,"machine":"a\u202e\u009bb\n","time":"2023-11-14T22:13:20.000042Z","timestamp":{"seconds":1700000000,"microseconds":42},"received":"2023-11-14T22:13:20.000100Z","event":"BLOCK_IO_ERROR","data":{"a": [1, "\u001b[31m"]},"origin":"qemu","run":2}"#);
    }
}
