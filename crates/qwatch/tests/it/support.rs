//! What several tests need.

use std::path::Path;

use qwatch::journal::{Batch, Entry, Journal, RunId, RunInfo, Settings};

/// A moment in 2023, microseconds since 1970.
pub(crate) const NOON_US: i64 = 1_700_000_000_000_000;

/// Opens a journal for writing.
pub(crate) fn journal(path: &Path) -> Journal {
    Journal::open(path, &Settings::default()).expect("a journal")
}

/// A QEMU process, told apart by its number.
pub(crate) fn run_info(machine: &str, pid: u32) -> RunInfo {
    RunInfo {
        machine: machine.to_owned(),
        pid: Some(pid),
        started_us: Some(NOON_US - 1_000_000),
        version: "7.2.22".to_owned(),
        address: "unix:/run/qmp.sock".to_owned(),
        attached_us: NOON_US,
        ..RunInfo::default()
    }
}

/// An event as QEMU prints it.
pub(crate) fn line(at_us: i64, name: &str, data: Option<&str>) -> String {
    let (seconds, microseconds) = (at_us.div_euclid(1_000_000), at_us.rem_euclid(1_000_000));
    let data = data.map_or(String::new(), |data| format!(", \"data\": {data}"));
    format!(
        "{{\"timestamp\": {{\"seconds\": {seconds}, \"microseconds\": {microseconds}}}, \
         \"event\": \"{name}\"{data}}}"
    )
}

/// An entry for an event that took half a second to arrive.
pub(crate) fn event(at_us: i64, name: &str, data: Option<&str>) -> Entry {
    Entry::event(&line(at_us, name, data), at_us + 500_000).expect("an event")
}

/// Appends and waits until it is on disk; gives the number of the last record.
pub(crate) async fn append(journal: &Journal, run: RunId, entries: Vec<Entry>) -> u64 {
    let batch = Batch {
        run,
        entries,
        end: None,
    };
    let receipt = journal
        .writer()
        .append(batch)
        .await
        .expect("an open journal");
    *receipt.committed().await.expect("committed").end()
}
