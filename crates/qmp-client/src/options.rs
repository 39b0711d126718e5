//! How a connection behaves.

use std::time::Duration;

use crate::limits::{
    COMMAND_TIMEOUT, EVENT_QUEUE_HARD_MAX_BYTES, EVENT_QUEUE_MAX_BYTES, GREETING_TIMEOUT,
};

/// How a connection behaves. Start from the default:
///
/// ```
/// use std::time::Duration;
/// use qmp_client::Options;
///
/// let options = Options {
///     command_timeout: Duration::from_secs(120),
///     ..Options::default()
/// };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long to connect, be greeted and negotiate. 4 seconds.
    pub greeting_timeout: Duration,
    /// How long to wait for the answer to a command. 30 seconds.
    pub command_timeout: Duration,
    /// Enable out-of-band commands if QEMU offers them (since 4.0, on sockets). No.
    pub oob: bool,
    /// Bytes of events that may wait in [`Events`](crate::Events). When they are reached the socket
    /// is no longer read, and further events wait in the kernel and in QEMU. 4 MiB.
    pub event_queue_max_bytes: usize,
    /// Bytes of events that may wait while the socket must be read because a command waits for its
    /// answer. Beyond it events are dropped and counted, see [`Item::Dropped`](crate::Item::Dropped).
    /// 16 MiB.
    pub event_queue_hard_max_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            greeting_timeout: GREETING_TIMEOUT,
            command_timeout: COMMAND_TIMEOUT,
            oob: false,
            event_queue_max_bytes: EVENT_QUEUE_MAX_BYTES,
            event_queue_hard_max_bytes: EVENT_QUEUE_HARD_MAX_BYTES,
        }
    }
}
