//! How long an event waits for the disk: a hundred machines in peace, with one that floods among them, and
//! while a million old records are removed.
//!
//! ```sh
//! cargo run --release --example storm -- [SECONDS] [FLOOD_PER_SECOND] [OLD_RECORDS]
//! ```
//!
//! Prints median, 99th percentile and the longest of the time from handing a record over to its being on
//! disk, for the machines that do not flood.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use qwatch::journal::{Batch, Entry, Journal, Retention, RunId, RunInfo, Settings, Writer};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Machines besides the one that floods, and the events of all of them in a second.
const MACHINES: u32 = 100;
const EVENTS_PER_SECOND: u32 = 1000;

/// Lines in one batch of the flood: about what a socket holds.
const FLOOD_BATCH: u32 = 250;

/// Batches of the flood that wait at the same time, as if its attachment did not wait for the commit.
const FLOOD_QUEUED: usize = 64;

const LINE: &str = r#"{"timestamp": {"seconds": 1700000000, "microseconds": 0}, "event": "BLOCK_IO_ERROR", "data": {"device": "", "nospace": true, "node-name": "disk0", "reason": "No space left on device", "operation": "write", "action": "stop"}}"#;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u32| {
        arguments
            .next()
            .map_or(Ok(default), |text| text.parse::<u32>())
    };
    let (seconds, flood, old) = (number(10)?, number(100_000)?, number(1_000_000)?);
    let length = Duration::from_secs(u64::from(seconds));
    let dir = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut out = std::io::stdout().lock();
    let peace = runtime.block_on(measure(&dir.path().join("peace.db"), length, 0))?;
    writeln!(out, "in peace:                  {}", shown(peace))?;
    let storm = runtime.block_on(measure(&dir.path().join("storm.db"), length, flood))?;
    writeln!(out, "one floods at {flood:>7}/s:   {}", shown(storm))?;
    let (removal, took) = runtime.block_on(removal(&dir.path().join("old.db"), old))?;
    writeln!(
        out,
        "{old:>8} being removed:    {}, in {took:.1?}",
        shown(removal)
    )?;
    Ok(())
}

/// Latencies of the machines while one floods.
async fn measure(path: &Path, length: Duration, flood: u32) -> Result<Vec<Duration>, Failure> {
    let journal = Journal::open(path, &Settings::default())?;
    let flooding = (flood > 0).then(|| tokio::spawn(pour(journal.writer(), length, flood)));
    let mut latencies = watch_machines(&journal, length).await?;
    if let Some(flooding) = flooding {
        flooding.await??;
    }
    journal.close().await?;
    latencies.sort_unstable();
    Ok(latencies)
}

/// The machines say something now and then, each of them once in a tenth of a second.
async fn watch_machines(journal: &Journal, length: Duration) -> Result<Vec<Duration>, Failure> {
    let mut machines = tokio::task::JoinSet::new();
    for number in 0..MACHINES {
        let writer = journal.writer();
        machines.spawn(async move {
            let run = open(&writer, number + 1).await?;
            let period = Duration::from_secs(1) * MACHINES / EVENTS_PER_SECOND;
            let mut ticks = tokio::time::interval_at(
                tokio::time::Instant::now() + period * number / MACHINES,
                period,
            );
            let end = Instant::now() + length;
            let mut latencies = Vec::new();
            while Instant::now() < end {
                ticks.tick().await;
                let batch = batch(run, 1)?;
                let start = Instant::now();
                writer.append(batch).await?.committed().await?;
                latencies.push(start.elapsed());
            }
            Ok::<_, Failure>(latencies)
        });
    }
    let mut all = Vec::new();
    while let Some(latencies) = machines.join_next().await {
        all.extend(latencies??);
    }
    Ok(all)
}

/// One machine that floods.
async fn pour(writer: Writer, length: Duration, per_second: u32) -> Result<(), Failure> {
    let run = open(&writer, 0).await?;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) * FLOOD_BATCH / per_second);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let end = Instant::now() + length;
    let mut queued = std::collections::VecDeque::new();
    while Instant::now() < end {
        ticks.tick().await;
        queued.push_back(writer.append(batch(run, FLOOD_BATCH)?).await?);
        if queued.len() >= FLOOD_QUEUED
            && let Some(first) = queued.pop_front()
        {
            first.committed().await?;
        }
    }
    for receipt in queued {
        receipt.committed().await?;
    }
    Ok(())
}

/// Latencies of the machines while old records are removed, and how long that took.
async fn removal(path: &Path, old: u32) -> Result<(Vec<Duration>, Duration), Failure> {
    let journal = Journal::open(path, &Settings::default())?;
    let writer = journal.writer();
    let mut runs = Vec::new();
    for number in 1..=MACHINES {
        runs.push(open(&writer, number).await?);
    }
    let mut last = None;
    for n in 0..old / FLOOD_BATCH {
        let run = runs[n as usize % runs.len()];
        last = Some(writer.append(batch(run, FLOOD_BATCH)?).await?);
    }
    if let Some(last) = last {
        last.committed().await?;
    }
    let mut retention = Retention::default();
    retention.max_age = Some(Duration::from_secs(86_400));
    writer.set_retention(retention);
    let start = Instant::now();
    let second = Duration::from_secs(1);
    let mut latencies = Vec::new();
    loop {
        latencies.extend(watch_machines(&journal, second).await?);
        let reader = qwatch::journal::Reader::open(path)?;
        // The last one stays until others have come, and goes a minute later.
        if reader.removed()?.records + 1 >= u64::from(old - old % FLOOD_BATCH) {
            break;
        }
    }
    let took = start.elapsed();
    journal.close().await?;
    latencies.sort_unstable();
    Ok((latencies, took))
}

async fn open(writer: &Writer, number: u32) -> Result<RunId, Failure> {
    let info = RunInfo {
        machine: format!("m{number}"),
        pid: Some(number),
        started_us: Some(1),
        ..RunInfo::default()
    };
    Ok(writer.open_run(info).await?.run)
}

fn batch(run: RunId, lines: u32) -> Result<Batch, Failure> {
    let entry = Entry::event(LINE, 1_700_000_000_000_150)?;
    Ok(Batch {
        run,
        entries: vec![entry; lines as usize],
        end: None,
    })
}

/// Median, 99th percentile and longest of sorted times.
fn shown(sorted: Vec<Duration>) -> String {
    let at = |share: usize| sorted[(sorted.len() - 1) * share / 100];
    format!(
        "p50 {:.2?}, p99 {:.2?}, longest {:.2?} of {}",
        at(50),
        at(99),
        at(100),
        sorted.len()
    )
}
