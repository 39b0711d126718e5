//! Every limit of the lab. All are generous: they bound a hang, they never decide a test.

use std::time::Duration;

/// From the start of the process to the answer to its first command.
pub const START_TIMEOUT: Duration = Duration::from_secs(30);

/// From a command, to a monitor or to qtest, to its reply.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// From a request to wait for an event to that event.
pub const EVENT_TIMEOUT: Duration = Duration::from_secs(30);

/// From a request to wait for the end of the process to that end.
pub const EXIT_TIMEOUT: Duration = Duration::from_secs(30);

/// From a machine's start, or reset, to a Linux that answers. On two processors of their own it
/// takes some 3 seconds, 7 if it has to unpack itself.
pub const BOOT_TIMEOUT: Duration = Duration::from_secs(120);

/// How often a machine is started again because its TCP port was taken meanwhile.
pub(crate) const PORT_ATTEMPTS_MAX: u32 = 4;

/// How often a wait that has no other signal looks whether the process still lives.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// What a machine's own monitor may send before the lab takes it for a runaway.
pub const CAPTURE_SIZE_MAX_BYTES: usize = 64 * 1024 * 1024;

/// How much of QEMU's standard error is kept.
pub const STDERR_SIZE_MAX_BYTES: usize = 1024 * 1024;

/// How many of the last lines of the transcript a report shows.
pub const REPORT_LINES_MAX: usize = 60;
