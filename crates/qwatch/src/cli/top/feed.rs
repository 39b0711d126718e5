//! What comes to `qwatch top`: records, keys, signals, each from a thread of its own.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::thread;

use ratatui::crossterm::event::{self, Event};
use tokio::signal::unix::{SignalKind, signal};

use super::app::{App, Row};
use crate::cli::Failure;
use crate::journal::{Direction, Follower, Query, Reader, is_being_written};
use crate::limits::{TOP_BATCH_RECORDS, TOP_FRAME_MAX};
use crate::record::Record;
use crate::states;

/// Something that has come.
pub(super) enum Update {
    /// New records, in their order.
    Records(Vec<Record>),
    /// Whether a recorder writes the journal.
    Recorded(bool),
    /// A key, or another size of the terminal.
    Input(Event),
    /// The journal cannot be read any more.
    Failed(Failure),
    /// A signal asks us to end.
    Quit,
}

/// Records from before the start that are shown at once.
const RECENT_RECORDS: usize = 500;

/// Puts what the journal has into the picture; gives the number of the last record taken in.
pub(super) fn load(app: &mut App, reader: &Reader) -> Result<u64, Failure> {
    let position = reader.last_seq()?;
    let mut gaps: HashMap<String, u64> = HashMap::new();
    for gap in reader.gaps()? {
        *gaps.entry(gap.record.machine).or_default() += 1;
    }
    for machine in reader.machines()? {
        let Some(known) = states::load(reader, &machine, None)? else {
            continue;
        };
        // What is newer than the position comes again, and changes nothing.
        let row = Row::of(known, gaps.get(&machine.name).copied().unwrap_or(0));
        app.add_machine(machine.name, row);
    }
    let newest = Query::default().direction(Direction::NewestFirst);
    let mut recent = Vec::new();
    for record in reader.records(&newest)?.take(RECENT_RECORDS) {
        let record = record?;
        if record.seq.is_some_and(|seq| seq <= position) {
            recent.push(record);
        }
    }
    recent
        .into_iter()
        .rev()
        .for_each(|record| app.remember(record));
    Ok(position)
}

/// Starts what brings updates. The threads end when nobody takes them any more, or with the program.
pub(super) fn start(
    follower: Follower,
    journal: PathBuf,
    position: u64,
    updates: &SyncSender<Update>,
) -> io::Result<()> {
    let to = updates.clone();
    spawn("journal", move || {
        if let Err(failure) = follow(&follower, &journal, position, &to) {
            let _ = to.send(Update::Failed(failure));
        }
    })?;
    let to = updates.clone();
    spawn("keys", move || {
        while let Ok(event) = event::read() {
            if to.send(Update::Input(event)).is_err() {
                return;
            }
        }
        // Without a terminal there is nothing to do.
        let _ = to.send(Update::Quit);
    })?;
    let to = updates.clone();
    spawn("signals", move || {
        if wait_for_signal().is_ok() {
            let _ = to.send(Update::Quit);
        }
    })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(drop)
}

/// Sends what is new for as long as somebody takes it.
fn follow(
    follower: &Follower,
    journal: &std::path::Path,
    mut position: u64,
    to: &SyncSender<Update>,
) -> Result<(), Failure> {
    loop {
        if to
            .send(Update::Recorded(is_being_written(journal)))
            .is_err()
        {
            return Ok(());
        }
        if !follower.wait_past(position, TOP_FRAME_MAX)? {
            continue;
        }
        let mut records = Vec::new();
        let query = Query::default().after(position);
        for record in follower.reader().records(&query)?.take(TOP_BATCH_RECORDS) {
            records.push(record?);
        }
        position = records
            .last()
            .and_then(|record| record.seq)
            .unwrap_or(position);
        if to.send(Update::Records(records)).is_err() {
            return Ok(());
        }
    }
}

/// Returns when the program is asked to end.
fn wait_for_signal() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        Ok(())
    })
}
