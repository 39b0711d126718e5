//! JSON Lines: each record is the line `qwatch history --json` prints, with a member `raw` where the bytes
//! QEMU sent are not all in it. A run is a line of its own before its first record, with the member
//! `"qwatch": "run"`. What `history --json` prints can be imported as well; only the facts of runs are
//! missing then.

use std::io::{BufRead, Write};

use qmp_events::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ExchangeError, Exported, Importer, Item, Sink};
use crate::journal::{Loaded, Loader, Run};
use crate::limits::IMPORT_LINE_MAX_BYTES;
use crate::output::{escape, json_line};
use crate::record::{Origin, Record};
use crate::time;

/// Writes lines.
pub struct Lines<W>(W);

impl<W: Write> Lines<W> {
    /// Writes to this.
    pub fn new(out: W) -> Self {
        Self(out)
    }
}

impl<W: Write> Sink for Lines<W> {
    fn put(&mut self, item: &Item) -> Result<(), ExchangeError> {
        let line = match item {
            Item::Run(machine, run) => run_line(machine, run),
            Item::Record(Exported { record, raw }) => {
                let mut line = json_line(record);
                if let Some(raw) = raw {
                    let raw = serde_json::Value::from(raw.as_str()).to_string();
                    line.pop();
                    line.push_str(",\"raw\":");
                    line.push_str(&escape::visible_json(&raw));
                    line.push('}');
                }
                line
            }
        };
        writeln!(self.0, "{line}")?;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ExchangeError> {
        self.0.flush()?;
        Ok(())
    }
}

/// A run as a line; also how Parquet keeps it.
#[derive(Serialize, Deserialize)]
pub(super) struct RunLine {
    qwatch: String,
    run: u64,
    machine: String,
    uuid: Option<String>,
    pid: Option<u32>,
    started: Option<String>,
    version: String,
    package: String,
    address: String,
    attached: String,
    detached: Option<String>,
    ended: Option<String>,
}

pub(super) fn run_line(machine: &str, run: &Run) -> String {
    let line = RunLine {
        qwatch: "run".to_owned(),
        run: run.run,
        machine: machine.to_owned(),
        uuid: run.uuid.clone(),
        pid: run.pid,
        started: run.started_us.map(time::rfc3339),
        version: run.version.clone(),
        package: run.package.clone(),
        address: run.address.clone(),
        attached: time::rfc3339(run.attached_us),
        detached: run.detached_us.map(time::rfc3339),
        ended: run.ended.clone(),
    };
    let text = serde_json::to_string(&line).expect("strings and numbers always serialize");
    escape::visible_json(&text).into_owned()
}

/// Reads a run back.
pub(super) fn read_run(line: &str) -> Result<Item, String> {
    let line: RunLine = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let optional = |text: Option<String>| text.map(|text| moment(&text)).transpose();
    let run = Run {
        run: line.run,
        uuid: line.uuid,
        pid: line.pid,
        started_us: optional(line.started)?,
        version: line.version,
        package: line.package,
        address: line.address,
        attached_us: moment(&line.attached)?,
        detached_us: optional(line.detached)?,
        ended: line.ended,
        ..Run::default()
    };
    Ok(Item::Run(line.machine, run))
}

#[derive(Deserialize)]
struct RecordLine<'l> {
    seq: Option<u64>,
    machine: String,
    timestamp: Option<Stamp>,
    received: String,
    event: String,
    #[serde(borrow)]
    data: Option<&'l RawValue>,
    origin: String,
    run: Option<u64>,
    raw: Option<String>,
}

#[derive(Deserialize)]
struct Stamp {
    seconds: i64,
    microseconds: i64,
}

fn read_record(line: &str) -> Result<Item, String> {
    let line: RecordLine<'_> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let record = Record {
        seq: line.seq,
        machine: line.machine,
        run: line.run,
        origin: match line.origin.as_str() {
            "qemu" => Origin::Qemu,
            "qwatch" => Origin::Qwatch,
            other => return Err(format!("the origin is `{other}`, not qemu or qwatch")),
        },
        name: line.event,
        timestamp: line.timestamp.map(|stamp| Timestamp {
            seconds: stamp.seconds,
            microseconds: stamp.microseconds,
        }),
        received_us: moment(&line.received)?,
        data: line.data.map(|data| data.get().to_owned()),
    };
    Ok(Item::Record(Exported {
        record,
        raw: line.raw,
    }))
}

fn moment(text: &str) -> Result<i64, String> {
    let moment: Result<jiff::Timestamp, _> = text.parse();
    moment
        .map(jiff::Timestamp::as_microsecond)
        .map_err(|_| format!("`{text}` is no moment as RFC 3339 writes it"))
}

/// Takes lines into a journal. `progress` is told of bytes.
///
/// # Errors
/// When a line is no record or no run, or the journal cannot be written; what came before it is kept.
pub fn import(
    mut input: impl BufRead,
    loader: Loader,
    progress: &mut dyn FnMut(u64),
) -> Result<Loaded, ExchangeError> {
    let mut importer = Importer::new(loader, "line");
    let mut line = Vec::new();
    let (mut number, mut bytes) = (0, 0);
    loop {
        line.clear();
        let most = IMPORT_LINE_MAX_BYTES as u64 + 1;
        let length = std::io::Read::take(&mut input, most).read_until(b'\n', &mut line)?;
        if length == 0 {
            return importer.finish();
        }
        number += 1;
        bytes += length as u64;
        let malformed = |message: String| ExchangeError::Malformed {
            place: "line",
            number,
            message,
        };
        if length > IMPORT_LINE_MAX_BYTES {
            return Err(malformed(format!(
                "longer than {IMPORT_LINE_MAX_BYTES} bytes"
            )));
        }
        let text = str::from_utf8(&line).map_err(|error| malformed(error.to_string()))?;
        if text.trim().is_empty() {
            continue;
        }
        let is_run = text.starts_with("{\"qwatch\":");
        let item = if is_run {
            read_run(text)
        } else {
            read_record(text)
        };
        importer.take(number, &item.map_err(malformed)?)?;
        if number % 1024 == 0 {
            progress(bytes);
        }
    }
}
