//! How fast the journal takes events, next to bare rusqlite with the same tables and the same batches.
//!
//! ```sh
//! cargo run --release --example ingest -- [EVENTS] [MACHINES]
//! ```
//!
//! Prints events per second of both, their ratio, and bytes per event on disk.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use qwatch::journal::{Batch, Direction, Entry, Journal, Query, Reader, RunInfo, Settings};
use rusqlite::{Connection, params};

/// Records in one transaction.
const BATCH: usize = 1000;

/// The lengths of data that QEMU sends, most frequent first; 144 bytes a line on average.
const MIX: [(&str, Option<&str>); 8] = [
    (
        "BLOCK_IO_ERROR",
        Some(
            r#"{"device": "", "nospace": true, "node-name": "disk0", "reason": "No space left on device", "operation": "write", "action": "stop"}"#,
        ),
    ),
    ("STOP", None),
    ("RESUME", None),
    (
        "RTC_CHANGE",
        Some(r#"{"offset": 3, "qom-path": "/machine/unattached/device[7]"}"#),
    ),
    (
        "JOB_STATUS_CHANGE",
        Some(r#"{"status": "running", "id": "backup-disk0"}"#),
    ),
    (
        "VSERPORT_CHANGE",
        Some(r#"{"open": true, "id": "channel0"}"#),
    ),
    ("RESET", Some(r#"{"guest": true, "reason": "guest-reset"}"#)),
    ("BALLOON_CHANGE", Some(r#"{"actual": 944766976}"#)),
];

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let events: usize = arguments
        .next()
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let machines: u32 = arguments.next().map_or(Ok(100), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    let lines = lines();
    let bytes: usize = lines.iter().map(String::len).sum();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{events} events of {machines} machines, {} bytes a line, {BATCH} a batch",
        bytes / lines.len()
    )?;

    let path = dir.path().join("journal.db");
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let our_rate = runtime.block_on(ours(&path, events, machines, &lines))?;
    let size = fs::metadata(&path)?.len();
    writeln!(
        out,
        "journal: {our_rate:.0} events/s, {:.1} bytes an event",
        ratio(size, events)
    )?;

    let path_bare = dir.path().join("bare.db");
    runtime.block_on(ours(&path_bare, 0, machines, &lines))?;
    let start = Instant::now();
    bare(&path_bare, events, machines)?;
    let bare_rate = rate(events, start);
    writeln!(
        out,
        "bare rusqlite: {bare_rate:.0} events/s; the journal is at {:.2} of it",
        our_rate / bare_rate
    )?;

    queries(&path, &mut out)
}

/// How long the questions take that people ask.
fn queries(path: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let reader = Reader::open(path)?;
    let one = |name: &str| name == "m7";
    let mut ask = |what: &str, query: Query<'_>, count: usize| -> Result<(), Failure> {
        let start = Instant::now();
        let mut found = 0;
        for record in reader.records(&query)?.take(count) {
            record?;
            found += 1;
        }
        writeln!(
            out,
            "{what}: {found} records in {:.2} ms",
            start.elapsed().as_secs_f64() * 1e3
        )?;
        Ok(())
    };
    ask("first look", Query::default(), 1)?;
    ask(
        "last 100 of one machine",
        Query::default()
            .machines(&one)
            .direction(Direction::NewestFirst),
        100,
    )?;
    ask("all", Query::default(), usize::MAX)?;
    Ok(())
}

async fn ours(path: &Path, events: usize, machines: u32, lines: &[String]) -> Result<f64, Failure> {
    let journal = Journal::open(path, &Settings::default())?;
    let writer = journal.writer();
    let mut opening = tokio::task::JoinSet::new();
    for number in 0..machines {
        let info = RunInfo {
            machine: format!("m{number}"),
            ..RunInfo::default()
        };
        let writer = writer.clone();
        opening.spawn(async move { writer.open_run(info).await });
    }
    let mut runs = Vec::new();
    while let Some(opened) = opening.join_next().await {
        runs.push(opened??.run);
    }
    let start = Instant::now();
    let per_machine = (BATCH / runs.len()).max(1);
    let mut sent = 0;
    let mut next = lines.iter().cycle();
    let mut last = None;
    for &run in runs.iter().cycle() {
        if sent >= events {
            break;
        }
        let entries = next
            .by_ref()
            .take(per_machine)
            .map(|line| Entry::event(line, RECEIVED_US))
            .collect::<Result<Vec<_>, _>>()?;
        sent += entries.len();
        last = Some(
            writer
                .append(Batch {
                    run,
                    entries,
                    end: None,
                })
                .await?,
        );
    }
    if let Some(last) = last {
        last.committed().await?;
    }
    let rate = rate(events, start);
    journal.close().await?;
    Ok(rate)
}

const RECEIVED_US: i64 = 1_700_000_000_000_150;

fn lines() -> Vec<String> {
    let line = |&(name, data): &(&str, Option<&str>)| {
        let stamp = r#"{"timestamp": {"seconds": 1700000000, "microseconds": 0}"#;
        let data = data.map_or(String::new(), |data| format!(r#", "data": {data}"#));
        format!(r#"{stamp}, "event": "{name}"{data}}}"#)
    };
    MIX.iter().map(line).collect()
}

/// The least that anyone who keeps these rows has to do.
fn bare(path: &Path, events: usize, machines: u32) -> Result<(), Failure> {
    let mut conn = Connection::open(path)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    let per_machine = (BATCH / machines as usize).max(1);
    let mut sent = 0_usize;
    let mut places: Vec<(i64, i64)> = Vec::new();
    while sent < events {
        let tx = conn.transaction()?;
        {
            let mut insert = tx.prepare_cached(
                "INSERT INTO event(seq, run, name, stamp, lag, data, raw) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for n in sent..(sent + BATCH).min(events) {
                let run = 1 + (n / per_machine) % machines as usize;
                let kind = n % MIX.len();
                let stamp = 1_700_000_000_000_000_i64;
                let (seq, run, kind) = (
                    i64::try_from(n + 1)?,
                    i64::try_from(run)?,
                    i64::try_from(64 + kind)?,
                );
                let data = MIX[n % MIX.len()].1;
                insert.execute(params![
                    seq,
                    run,
                    kind,
                    stamp,
                    150_i64,
                    data,
                    None::<String>
                ])?;
            }
        }
        if places.len() >= 4096.max(machines as usize * 16) {
            places.sort_unstable();
            let mut insert = tx.prepare_cached("INSERT INTO place(run, seq) VALUES (?1, ?2)")?;
            for (run, seq) in places.drain(..) {
                insert.execute(params![run, seq])?;
            }
        }
        tx.commit()?;
        sent += BATCH;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a rate to be read by people")]
fn rate(events: usize, start: Instant) -> f64 {
    events as f64 / start.elapsed().as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "a ratio to be read by people")]
fn ratio(bytes: u64, events: usize) -> f64 {
    bytes as f64 / events.max(1) as f64
}
