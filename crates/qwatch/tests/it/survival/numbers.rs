//! Numbered events, as they are sent and as they are found in the journal.

use std::collections::BTreeMap;

use qwatch::record::Record;
use qwatch::time;

/// Of so many events one is a STOP, after which the recorder may have questions.
const STOP_EVERY: u64 = 97;

/// The event with this number, as QEMU would print it, stamped now; and the stamp in microseconds.
pub(crate) fn event(n: u64) -> (String, i64) {
    let now_us = time::now_us();
    let (seconds, microseconds) = (now_us / 1_000_000, now_us % 1_000_000);
    let name = if n.is_multiple_of(STOP_EVERY) {
        "STOP"
    } else {
        "NUMBER"
    };
    // Of different lengths, so that chunks begin and end anywhere.
    let length = usize::try_from(n * n % 89).expect("small");
    let padding = "x".repeat(length);
    let text = format!(
        "{{\"timestamp\": {{\"seconds\": {seconds}, \"microseconds\": {microseconds}}}, \
         \"event\": \"{name}\", \"data\": {{\"n\": {n}, \"padding\": \"{padding}\"}}}}"
    );
    (text, now_us)
}

/// The number of a record; `None` if it is none of ours.
pub(crate) fn number(data: &str) -> Option<u64> {
    let rest = data.strip_prefix("{\"n\": ")?;
    let end = rest.find(',')?;
    rest[..end].parse().ok()
}

/// The numbers of each machine, in the journal's order.
pub(crate) fn numbers(records: &[Record]) -> BTreeMap<String, Vec<u64>> {
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for record in records {
        if let Some(n) = record.data.as_deref().and_then(number) {
            found.entry(record.machine.clone()).or_default().push(n);
        }
    }
    found
}

/// How many numbers there are of one machine.
pub(crate) fn count(records: &[Record], machine: &str) -> u64 {
    let of = records.iter().filter(|record| record.machine == machine);
    let numbered = of.filter(|record| record.data.as_deref().and_then(number).is_some());
    numbered.count() as u64
}

/// Around the first number that is not where it should be; the end of the list if all are.
pub(crate) fn first_hole(found: &[u64]) -> &[u64] {
    let wrong = found.iter().zip(1..).position(|(n, wanted)| *n != wanted);
    let place = wrong.unwrap_or(found.len());
    &found[place.saturating_sub(3)..(place + 4).min(found.len())]
}

/// Each number from 1 to the last exactly once, in order.
#[track_caller]
pub(crate) fn complete(machine: &str, found: &[u64], last: u64) {
    let wrong = found.iter().zip(1..).any(|(n, expected)| *n != expected);
    assert!(!wrong, "{machine}: {:?}", first_hole(found));
    assert_eq!(found.len() as u64, last, "{machine}: the end is missing");
}
