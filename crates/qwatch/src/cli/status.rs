//! `qwatch status`: what every machine is doing, as far as the journal tells.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};

use jiff::tz::TimeZone;
use serde::Serialize;

use super::journal_arg::JournalArg;
use super::{Exit, Failure, Ui};
use crate::filter::{Case, Globs};
use crate::journal::{Direction, Machine, Query, Reader, Run, is_being_written};
use crate::machine::{RunState, State};
use crate::output::{OutputArgs, Palette, WriteError, escape, paint};
use crate::record::{Origin, Record};
use crate::time;

/// Print what every machine is doing, as far as the journal tells
///
/// A question mark behind the state means that nobody listens to the machine now: the state is the last one
/// known. With --json, one object a machine.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Only these machines: names or globs, comma-separated or repeated; `!GLOB` leaves out
    #[arg(long, short = 'm', value_name = "GLOB")]
    machine: Vec<String>,

    #[command(flatten)]
    journal: JournalArg,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &Args, ui: Ui) -> Result<Exit, Failure> {
    let globs = Globs::new(&args.machine, Case::Matters)?;
    let reader = args.journal.reader()?;
    let recorded = is_being_written(&args.journal.path());
    let rows = survey(&reader, &|name| globs.matches(name), recorded)?;
    let mut out = BufWriter::new(io::stdout().lock());
    if args.output.json {
        for row in &rows {
            let line = serde_json::to_string(row).expect("strings and numbers always serialize");
            writeln!(out, "{}", escape::visible_json(&line)).map_err(WriteError)?;
        }
    } else {
        let palette = Palette::new(ui.is_stdout_colored());
        for line in table(&rows, &time::zone(args.output.utc), &palette) {
            writeln!(out, "{line}").map_err(WriteError)?;
        }
    }
    out.flush().map_err(WriteError)?;
    if !recorded {
        ui.note("no recorder is writing this journal now; this is what was known last");
    }
    Ok(Exit::Success)
}

/// One machine; the names are those of `--json`, a promise to programs.
#[derive(Debug, Serialize)]
struct Row {
    machine: String,
    state: &'static str,
    detail: Option<String>,
    since: Option<String>,
    heard: bool,
    qemu: String,
    package: String,
    uuid: Option<String>,
    pid: Option<u32>,
    address: String,
    attached: String,
    detached: Option<String>,
    ended: Option<String>,
    runs: usize,
    records: u64,
    gaps: u64,
    last_event: Option<LastEvent>,
    #[serde(skip)]
    since_us: Option<i64>,
}

#[derive(Debug, Serialize)]
struct LastEvent {
    seq: Option<u64>,
    event: String,
    time: String,
}

fn survey(
    reader: &Reader,
    wanted: &dyn Fn(&str) -> bool,
    recorded: bool,
) -> Result<Vec<Row>, Failure> {
    let mut machines = reader.machines()?;
    machines.retain(|machine| wanted(&machine.name));
    let decisive = decisive_records(reader, wanted)?;
    let mut gaps: HashMap<String, u64> = HashMap::new();
    for gap in reader.gaps()? {
        *gaps.entry(gap.record.machine).or_default() += 1;
    }
    let mut rows = Vec::with_capacity(machines.len());
    for machine in machines {
        let Some(last) = machine.runs.last() else {
            continue;
        };
        let name = machine.name.as_str();
        let from = decisive.get(name).copied().unwrap_or(1);
        let state = fold(reader, name, from)?;
        let mut records = 0;
        for run in &machine.runs {
            records += reader.count(run.run)?;
        }
        rows.push(Row {
            records,
            gaps: gaps.get(name).copied().unwrap_or(0),
            last_event: last_event(reader, name)?,
            ..row(&machine, last, &state, recorded)
        });
    }
    Ok(rows)
}

fn row(machine: &Machine, run: &Run, state: &State, recorded: bool) -> Row {
    let run_state = match &run.ended {
        Some(_) => RunState::Gone,
        None => state.run_state(),
    };
    let since_us = state.since_us();
    Row {
        machine: machine.name.clone(),
        state: run_state.word(),
        detail: state.detail().map(str::to_owned),
        since: since_us.map(time::rfc3339),
        heard: recorded && run.detached_us.is_none(),
        qemu: run.version.clone(),
        package: run.package.clone(),
        uuid: run.uuid.clone(),
        pid: run.pid,
        address: run.address.clone(),
        attached: time::rfc3339(run.attached_us),
        detached: run.detached_us.map(time::rfc3339),
        ended: run.ended.clone(),
        runs: machine.runs.len(),
        records: 0,
        gaps: 0,
        last_event: None,
        since_us,
    }
}

/// For each machine the number of the first record of its last run.
fn decisive_records(
    reader: &Reader,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<HashMap<String, u64>, Failure> {
    let mut found = HashMap::new();
    let mut last_runs: HashMap<String, Option<u64>> = HashMap::new();
    let notes = |name: &str| name == "attached";
    let query = Query::default()
        .machines(wanted)
        .events(&notes)
        .direction(Direction::NewestFirst);
    for record in reader.records(&query)? {
        let record = record?;
        let last = last_runs
            .entry(record.machine.clone())
            .or_insert(record.run);
        if *last == record.run {
            found.insert(record.machine, record.seq.unwrap_or(1));
        }
    }
    Ok(found)
}

fn fold(reader: &Reader, machine: &str, from: u64) -> Result<State, Failure> {
    let this = |name: &str| name == machine;
    let mut state = State::default();
    let query = Query::default()
        .after(from.saturating_sub(1))
        .machines(&this);
    for record in reader.records(&query)? {
        state.apply(&record?);
    }
    Ok(state)
}

fn last_event(reader: &Reader, machine: &str) -> Result<Option<LastEvent>, Failure> {
    let this = |name: &str| name == machine;
    let query = Query::default()
        .machines(&this)
        .direction(Direction::NewestFirst);
    for record in reader.records(&query)? {
        let record: Record = record?;
        if record.origin == Origin::Qemu {
            return Ok(Some(LastEvent {
                seq: record.seq,
                time: time::rfc3339(record.time_us()),
                event: record.name,
            }));
        }
    }
    Ok(None)
}

const HEAD: [&str; 7] = [
    "MACHINE",
    "STATE",
    "SINCE",
    "QEMU",
    "LAST EVENT",
    "RECORDS",
    "GAPS",
];

fn table(rows: &[Row], zone: &TimeZone, palette: &Palette) -> Vec<String> {
    let mut cells: Vec<[String; 7]> = vec![HEAD.map(str::to_owned)];
    cells.extend(rows.iter().map(|row| columns(row, zone)));
    let mut widths = [0; 7];
    for line in &cells {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut lines = Vec::with_capacity(cells.len());
    for (number, line) in cells.iter().enumerate() {
        let padded: Vec<String> = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count())))
            .collect();
        let text = padded.join("  ").trim_end().to_owned();
        lines.push(if number == 0 {
            paint(palette.dim, &text)
        } else {
            text
        });
    }
    lines
}

fn columns(row: &Row, zone: &TimeZone) -> [String; 7] {
    let mark = if row.heard || row.state == RunState::Gone.word() {
        ""
    } else {
        "?"
    };
    let detail = row.detail.as_deref().map_or(String::new(), |detail| {
        format!(" ({})", escape::visible(detail))
    });
    [
        escape::visible(&row.machine).into_owned(),
        format!("{}{mark}{detail}", row.state),
        row.since_us
            .map_or("-".to_owned(), |us| time::human(us, zone)),
        escape::visible(&row.qemu).into_owned(),
        row.last_event.as_ref().map_or("-".to_owned(), |last| {
            escape::visible(&last.event).into_owned()
        }),
        row.records.to_string(),
        row.gaps.to_string(),
    ]
}
