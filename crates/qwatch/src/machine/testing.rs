//! Records for tests.

use super::State;
use crate::record::{Origin, Record};

/// A record of `NAME` or `NAME {json}`, stamped and received at `at` seconds; names in lower case are
/// the recorder's.
pub(crate) fn record(at_s: i64, line: &str) -> Record {
    record_us(at_s * 1_000_000, at_s * 1_000_000, line)
}

/// The same, with QEMU's stamp and the time of receipt in microseconds.
pub(crate) fn record_us(stamp_us: i64, received_us: i64, line: &str) -> Record {
    let (name, data) = line.split_once(' ').unwrap_or((line, ""));
    let ours = name.starts_with(|c: char| c.is_ascii_lowercase());
    Record {
        seq: None,
        machine: "web".to_owned(),
        run: Some(1),
        origin: if ours { Origin::Qwatch } else { Origin::Qemu },
        name: name.to_owned(),
        timestamp: (!ours).then(|| qmp_events::Timestamp::from_unix_micros(stamp_us)),
        received_us,
        data: (!data.is_empty()).then(|| data.to_owned()),
    }
}

/// Folds lines, one a second from 1 on, numbered from 1.
pub(crate) fn fold(lines: &[&str]) -> State {
    let mut state = State::default();
    for (line, at) in lines.iter().zip(1..) {
        let mut record = record(at, line);
        record.seq = Some(at.unsigned_abs());
        state.apply(&record);
    }
    state
}
