//! How long it takes to say why a machine stands still, by the length of its journal.
//!
//! ```sh
//! cargo run --release --example why -- [EVENTS]...
//! ```
//!
//! For each number of events: a journal of one machine, with the recorder's snapshots; prints how long the
//! state takes to load with them, how long without them, and what the snapshots take on disk.

use std::io::Write;
use std::time::Instant;

use qwatch::journal::{Batch, Entry, Journal, Query, Reader, RunInfo, Settings};
use qwatch::machine::State;
use qwatch::states;

/// Records in one transaction.
const BATCH: u64 = 1000;
const START_US: i64 = 1_700_000_000_000_000;
const ERROR: &str = r#", "data": {"device": "", "nospace": true, "node-name": "disk0", "reason": "No space left on device", "operation": "write", "action": "stop"}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let counts: Vec<u64> = std::env::args()
        .skip(1)
        .map(|arg| arg.parse())
        .collect::<Result<_, _>>()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut out = std::io::stdout().lock();
    for events in counts {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("j.db");
        runtime.block_on(write(&path, events))?;
        let reader = Reader::open(&path)?;
        let machines = reader.machines()?;
        let started = Instant::now();
        let known = states::load(&reader, &machines[0], None)?.ok_or("no machine")?;
        let cause = known.state.cause().ok_or("no cause")?;
        let with = started.elapsed();
        let started = Instant::now();
        let mut whole = State::default();
        for record in reader.records(&Query::default().run(known.run))? {
            whole.apply(&record?);
        }
        let without = started.elapsed();
        assert_eq!(whole, known.state, "with snapshots as without");
        writeln!(
            out,
            "{events} events: {} in {with:.1?}, {without:.1?} without snapshots ({:.2} us a record); a snapshot has {} bytes",
            cause.id.name(),
            without.as_secs_f64() * 1e6 / f64::from(u32::try_from(events)?),
            whole.to_snapshot().len()
        )?;
    }
    Ok(())
}

async fn write(path: &std::path::Path, events: u64) -> Result<(), Box<dyn std::error::Error>> {
    let journal = Journal::open(path, &Settings::default())?;
    let keeper = tokio::spawn(states::keep(
        Reader::open(path)?,
        journal.writer(),
        journal.position(),
    ));
    let info = RunInfo {
        machine: "web".to_owned(),
        ..RunInfo::default()
    };
    let run = journal.writer().open_run(info).await?.run;
    for batch in 0..events / BATCH {
        let entries = (0..BATCH).map(|number| {
            let number = batch * BATCH + number;
            let at_us = START_US + i64::try_from(number).unwrap_or(0) * 1000;
            let (name, data) = match number % 4 {
                0 => ("BLOCK_IO_ERROR", ERROR),
                1 => ("STOP", ""),
                2 if number + 2 < events => ("RESUME", ""),
                _ => ("RTC_CHANGE", r#", "data": {"offset": 3, "qom-path": "/machine/rtc"}"#),
            };
            let line = format!(
                "{{\"timestamp\": {{\"seconds\": {}, \"microseconds\": {}}}, \"event\": \"{name}\"{data}}}",
                at_us / 1_000_000,
                at_us % 1_000_000
            );
            Entry::event(&line, at_us)
        });
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let receipt = journal
            .writer()
            .append(Batch {
                run,
                entries,
                end: None,
            })
            .await?;
        receipt.committed().await?;
    }
    // What the keeper has not reached yet is folded by whoever asks.
    let reader = Reader::open(path)?;
    let last = reader.last_seq()?;
    while reader
        .snapshot(run.number(), None)?
        .is_none_or(|(seq, _)| seq + 4096 < last)
    {
        tokio::task::yield_now().await;
    }
    journal.close().await?;
    keeper.await??;
    Ok(())
}
