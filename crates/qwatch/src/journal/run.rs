//! Machines and their runs, as the writer is told of them.

/// The journal's number of a run: one QEMU process of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub(super) i64);

impl RunId {
    /// The number, as it stands in the view `runs`.
    pub fn number(self) -> u64 {
        self.0.unsigned_abs()
    }

    /// A number out of thin air.
    #[cfg(test)]
    pub(crate) fn of(number: i64) -> Self {
        Self(number)
    }
}

/// What is known of a QEMU process when it is attached to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunInfo {
    /// The machine's name, unique among those attached at the same time.
    pub machine: String,
    /// From `query-uuid`; `None` if QEMU has none or the all-zero one.
    pub uuid: Option<String>,
    /// Process at the other end of the socket; `None` over TCP.
    pub pid: Option<u32>,
    /// When that process started, microseconds since 1970. With `pid` it tells processes apart.
    pub started_us: Option<i64>,
    /// From the greeting, `7.2.22`.
    pub version: String,
    /// From the greeting, the distribution's own mark; may be empty.
    pub package: String,
    /// Where QEMU was heard, spelled as QEMU spells it.
    pub address: String,
    /// When the connection was made, microseconds since 1970.
    pub attached_us: i64,
}

/// What the journal knew when a run was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedRun {
    /// The run to record under.
    pub run: RunId,
    /// The same QEMU process had been attached to before.
    pub continued: bool,
    /// Until when this machine (in this run or one before) was heard, microseconds since 1970; `None`
    /// if it never was.
    pub heard_until_us: Option<i64>,
}

/// The end of an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// Until when it was heard, microseconds since 1970.
    pub detached_us: i64,
    /// How the QEMU process ended, in words; `None` if it lives on or nobody knows.
    pub ended: Option<String>,
}
