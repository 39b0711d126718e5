//! The record: one thing that happened to one machine, as everything in qwatch passes it on.

use qmp_events::Timestamp;

/// Who said it: QEMU itself, or the recorder about its own hearing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// An event as QEMU sent it; names are QEMU's, in capitals.
    Qemu,
    /// A note of the recorder (`attached`, `detached`, `gap`, `state`); names are in lower case.
    Qwatch,
}

impl Origin {
    /// The word used in the journal and in `--json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Qwatch => "qwatch",
        }
    }
}

/// One event of a machine, or one note of the recorder about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Place in the journal, counted from 1 without a hole; `None` for what came straight from a monitor.
    pub seq: Option<u64>,
    /// The machine's name.
    pub machine: String,
    /// Which QEMU process of that machine: the journal's number of it.
    pub run: Option<u64>,
    /// Who said it.
    pub origin: Origin,
    /// Name of the event (`STOP`) or of the note (`gap`).
    pub name: String,
    /// QEMU's own stamp. `None` for our notes.
    pub timestamp: Option<Timestamp>,
    /// When it was read off the socket: microseconds since 1970, UTC.
    pub received_us: i64,
    /// The event's `data` as sent, one JSON object; `None` when the event has none.
    pub data: Option<String>,
}

impl Record {
    /// When it happened, microseconds since 1970: QEMU's stamp, or the time of receipt if QEMU had no clock.
    pub fn time_us(&self) -> i64 {
        self.timestamp
            .and_then(Timestamp::unix_micros)
            .unwrap_or(self.received_us)
    }
}
