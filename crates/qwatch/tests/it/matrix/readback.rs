//! What `qwatch history --json` says about the journal.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Stored;
use crate::command::run;

/// An event as it is printed.
#[derive(Deserialize)]
pub(super) struct Shown {
    seq: u64,
    machine: String,
    timestamp: Option<Stamp>,
    event: String,
    data: Option<Box<RawValue>>,
    origin: String,
}

#[derive(Deserialize)]
struct Stamp {
    seconds: i64,
    microseconds: i64,
}

/// All that `qwatch history` prints.
pub(super) fn history(journal: &Path) -> String {
    let journal = journal.display().to_string();
    let said = run(&["history", "--json", "--journal", &journal]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    said.out
}

/// The events among the lines it prints, by machine.
pub(super) fn by_machine(lines: &[&str]) -> HashMap<String, Vec<Shown>> {
    let mut shown: HashMap<String, Vec<Shown>> = HashMap::new();
    for line in lines {
        let event: Shown = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        if event.origin == "qemu" {
            shown.entry(event.machine.clone()).or_default().push(event);
        }
    }
    shown
}

/// Each line made anew from the members printed is the one QEMU sent.
pub(super) fn same_as_stored(stored: &[Stored], shown: &[Shown]) -> Result<(), String> {
    let expected: Vec<(Option<u64>, String)> = stored
        .iter()
        .map(|event| (event.record.seq, event.line.clone()))
        .collect();
    let shown: Vec<(Option<u64>, String)> = shown
        .iter()
        .map(|event| (Some(event.seq), event.line()))
        .collect();
    match shown == expected {
        true => Ok(()),
        false => Err(format!(
            "the journal has\n{expected:#?}\nqwatch history says\n{shown:#?}"
        )),
    }
}

impl Shown {
    /// The event as QEMU prints it.
    fn line(&self) -> String {
        let stamp = self.timestamp.as_ref().map(|stamp| {
            let (seconds, microseconds) = (stamp.seconds, stamp.microseconds);
            format!("{{\"seconds\": {seconds}, \"microseconds\": {microseconds}}}")
        });
        let stamp = stamp.unwrap_or_default();
        let name = &self.event;
        let data = self.data.as_ref().map(|data| format!(", \"data\": {data}"));
        let data = data.unwrap_or_default();
        format!("{{\"timestamp\": {stamp}, \"event\": \"{name}\"{data}}}")
    }
}
