//! What must be true of a journal, whatever happened.

use qwatch::record::{Origin, Record};
use serde_json::Value;

use super::numbers;
use crate::recorder::{member, named};

/// The records are numbered from 1 without a hole.
#[track_caller]
pub(crate) fn no_hole_in_seq(records: &[Record]) {
    let seqs: Vec<u64> = records.iter().filter_map(|record| record.seq).collect();
    assert!(
        seqs.iter().zip(1..).all(|(seq, expected)| *seq == expected),
        "{seqs:?}"
    );
}

/// One attachment for all the time, with nothing in it that was not sent.
#[track_caller]
pub(crate) fn attached_once(records: &[Record], machine: &str) {
    let count = |name| named(records, machine, name).len();
    let counts = [
        count("attached"),
        count("detached"),
        count("garbage"),
        count("gap"),
    ];
    // The gap before it, if it was not heard from its start.
    assert!(
        counts[..3] == [1, 0, 0] && counts[3] <= 1,
        "{machine}: attached, detached, garbage, gap: {counts:?}: {:#?}",
        notes(records, machine)
    );
}

/// The recorder's own words about a machine.
fn notes<'r>(records: &'r [Record], machine: &str) -> Vec<&'r Record> {
    let of = records.iter().filter(|record| record.machine == machine);
    of.filter(|record| record.origin == Origin::Qwatch && record.name != "state")
        .collect()
}

/// Nothing twice, everything in order, and each missing number within the bounds of a gap that stands
/// where it is missing.
#[track_caller]
pub(crate) fn holes_are_told(records: &[Record], machine: &str, stamps_us: &[i64]) {
    let mut last = 0;
    let mut gaps: Vec<(String, String)> = vec![];
    for record in records.iter().filter(|record| record.machine == machine) {
        if record.name == "gap" {
            gaps.push((member(record, "from"), member(record, "until")));
        }
        let Some(n) = record.data.as_deref().and_then(numbers::number) else {
            continue;
        };
        assert!(n > last, "{machine}: {n} after {last}");
        for missing in last + 1..n {
            let place = usize::try_from(missing - 1).expect("small");
            let at = qwatch::time::rfc3339(stamps_us[place]);
            assert!(
                gaps.iter().any(|(from, until)| *from <= at && at <= *until),
                "{machine}: {missing} of {at} is missing between {last} and {n}, and the gaps there are {gaps:?}"
            );
        }
        last = n;
        gaps.clear();
    }
}

/// Name, stamp and data of each event that QEMU prints so, to compare two lists.
pub(crate) fn printed(line: &str) -> (String, i64) {
    let event: Value = serde_json::from_str(line).expect("JSON");
    let stamp = |name: &str| event["timestamp"][name].as_i64().expect("a number");
    let name = event["event"].as_str().expect("a name").to_owned();
    (name, stamp("seconds") * 1_000_000 + stamp("microseconds"))
}

/// The same of what was recorded of these events.
pub(crate) fn recorded(records: &[Record], machine: &str, names: &[&str]) -> Vec<(String, i64)> {
    let of = records
        .iter()
        .filter(|record| record.machine == machine && names.contains(&record.name.as_str()));
    of.map(|record| (record.name.clone(), record.time_us()))
        .collect()
}
