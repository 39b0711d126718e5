//! `qwatch status`: what every machine is doing, as far as the journal tells.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};

use jiff::tz::TimeZone;
use serde::Serialize;

use super::journal_arg::JournalArg;
use super::{Exit, Failure, Ui, recorder_word};
use crate::filter::{Case, Globs};
use crate::journal::{Machine, Reader, is_being_written};
use crate::machine::{Certainty, Job, RunState, State};
use crate::output::{OutputArgs, Palette, WriteError, escape, paint};
use crate::{states, time};

/// Print what every machine is doing, as far as the journal tells
///
/// A question mark behind the state means that nobody listens to the machine now: the state is the last one
/// known. One behind the cause means that it is likely and not certain; `qwatch why MACHINE` has the whole
/// story. With --json, one object a machine. Exit code 3 if the recorder cannot write its
/// journal; why and since when is told on standard error.
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
    let rows = survey(
        &reader,
        &|name| globs.matches(name),
        recorded,
        args.output.json,
    )?;
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
    Ok(recorder_word::tell(&args.journal.path(), ui))
}

/// One machine; the names are those of `--json`, a promise to programs.
#[derive(Debug, Serialize)]
struct Row {
    machine: String,
    state: &'static str,
    detail: Option<String>,
    since: Option<String>,
    cause: Option<RowCause>,
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
    records: Option<u64>,
    gaps: u64,
    jobs: Vec<RowJob>,
    findings: Vec<RowCause>,
    last_event: Option<LastEvent>,
    #[serde(skip)]
    since_us: Option<i64>,
}

/// Why, in short; `qwatch why` has the rest.
#[derive(Debug, Serialize)]
struct RowCause {
    cause: &'static str,
    title: &'static str,
    certainty: &'static str,
    subject: Option<String>,
}

/// A job that goes on, or that did not end well.
#[derive(Debug, Serialize)]
struct RowJob {
    id: String,
    kind: Option<String>,
    status: String,
    percent: Option<u64>,
    outcome: Option<&'static str>,
    error: Option<String>,
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
    with_records: bool,
) -> Result<Vec<Row>, Failure> {
    let mut machines = reader.machines()?;
    machines.retain(|machine| wanted(&machine.name));
    let mut gaps: HashMap<String, u64> = HashMap::new();
    for gap in reader.gaps()? {
        *gaps.entry(gap.record.machine).or_default() += 1;
    }
    let mut rows = Vec::with_capacity(machines.len());
    for machine in &machines {
        let Some(known) = states::load(reader, machine, None)? else {
            continue;
        };
        let Some(mut row) = row(machine, &known.state, recorded) else {
            continue;
        };
        row.gaps = gaps.get(&machine.name).copied().unwrap_or(0);
        if with_records {
            let mut records = 0;
            for run in &machine.runs {
                records += reader.count(run.run)?;
            }
            row.records = Some(records);
        }
        rows.push(row);
    }
    Ok(rows)
}

fn row(machine: &Machine, state: &State, recorded: bool) -> Option<Row> {
    let run = machine.runs.last()?;
    let cause = |cause: &crate::machine::Cause| RowCause {
        cause: cause.id.name(),
        title: cause.rule().title,
        certainty: cause.certainty.word(),
        subject: cause.subject.clone(),
    };
    Some(Row {
        machine: machine.name.clone(),
        state: state.run_state().word(),
        detail: state.detail().map(str::to_owned),
        since: state.since_us().map(time::rfc3339),
        cause: state.cause().as_ref().map(cause),
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
        records: None,
        gaps: 0,
        jobs: state
            .jobs()
            .filter(|job| is_worth_showing(job))
            .map(row_job)
            .collect(),
        findings: state.findings().iter().map(cause).collect(),
        last_event: state.last_event().map(|last| LastEvent {
            seq: last.seq,
            time: time::rfc3339(last.time_us),
            event: last.name.clone(),
        }),
        since_us: state.since_us(),
    })
}

fn is_worth_showing(job: &Job) -> bool {
    use crate::machine::Outcome;
    !matches!(job.outcome, Some(Outcome::Completed | Outcome::Cancelled))
}

fn row_job(job: &Job) -> RowJob {
    RowJob {
        id: job.id.clone(),
        kind: job.kind.clone(),
        status: job.status.clone(),
        percent: job.percent(),
        outcome: job.outcome.map(crate::machine::Outcome::word),
        error: job.error.clone(),
    }
}

const HEAD: [&str; 8] = [
    "MACHINE",
    "STATE",
    "SINCE",
    "CAUSE",
    "JOBS",
    "GAPS",
    "LAST EVENT",
    "QEMU",
];

fn table(rows: &[Row], zone: &TimeZone, palette: &Palette) -> Vec<String> {
    let mut cells: Vec<[String; 8]> = vec![HEAD.map(str::to_owned)];
    cells.extend(rows.iter().map(|row| columns(row, zone)));
    let mut widths = [0; 8];
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

fn columns(row: &Row, zone: &TimeZone) -> [String; 8] {
    let mark = if row.heard || row.state == RunState::Gone.word() {
        ""
    } else {
        "?"
    };
    let cause = row.cause.as_ref().filter(|_| row.detail.is_some());
    let cause = cause.map_or("-".to_owned(), |cause| {
        let unsure = cause.certainty == Certainty::Likely.word();
        format!("{}{}", cause.title, if unsure { "?" } else { "" })
    });
    [
        escape::visible(&row.machine).into_owned(),
        format!("{}{mark}", row.state),
        row.since_us
            .map_or("-".to_owned(), |us| time::human(us, zone)),
        cause,
        jobs(&row.jobs),
        row.gaps.to_string(),
        row.last_event.as_ref().map_or("-".to_owned(), |last| {
            escape::visible(&last.event).into_owned()
        }),
        escape::visible(&row.qemu).into_owned(),
    ]
}

/// One job by name, several by number: `backup0 42%`, `2 jobs, 1 failed`.
fn jobs(jobs: &[RowJob]) -> String {
    match jobs {
        [] => "-".to_owned(),
        [job] => {
            let how = job.outcome.map_or_else(
                || match job.percent {
                    Some(percent) if job.status == "running" => format!("{percent}%"),
                    _ => escape::visible(&job.status).into_owned(),
                },
                str::to_owned,
            );
            format!("{} {how}", escape::visible(&job.id))
        }
        many => {
            let ended = many.iter().filter(|job| job.outcome.is_some()).count();
            match ended {
                0 => format!("{} jobs", many.len()),
                ended => format!("{} jobs, {ended} not well", many.len()),
            }
        }
    }
}
