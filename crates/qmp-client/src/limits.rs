//! Every limit of this crate, in one place.

use std::time::Duration;

/// Bytes of events that wait for a slow consumer before the socket is no longer read, by default.
pub const EVENT_QUEUE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of events that may wait while the socket is read for the sake of a command under way, by
/// default. Events beyond it are dropped, counted and reported.
pub const EVENT_QUEUE_HARD_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Different event names counted one by one when events are dropped. QEMU 11.1 has 60.
pub const DROPPED_NAMES_MAX_COUNT: usize = 256;

/// Bytes that one waiting item costs beyond its text.
pub const ITEM_OVERHEAD_BYTES: usize = 64;

/// Requests between the clients and the driver that the driver has not seen yet.
pub const REQUESTS_MAX_COUNT: usize = 64;

/// Bytes asked of the socket at once.
pub const READ_CHUNK_MAX_BYTES: usize = 16 * 1024;

/// Longest path that fits into the address of a UNIX socket, in bytes (Linux). Longer ones go through
/// an open directory.
pub const UNIX_PATH_MAX_BYTES: usize = 107;

/// Connections that wait to be accepted.
pub const LISTEN_BACKLOG_MAX_COUNT: i32 = 128;

/// How long to wait for a greeting and the negotiation, by default: a person who asks for a monitor
/// that is held by another client is told so within 5 seconds.
pub const GREETING_TIMEOUT: Duration = Duration::from_secs(4);

/// How long to wait for the answer to a command, by default.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// First pause before trying again, by default.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(100);

/// Longest pause before trying again, by default.
pub const BACKOFF_MAX: Duration = Duration::from_secs(5);

const _: () = assert!(EVENT_QUEUE_MAX_BYTES < EVENT_QUEUE_HARD_MAX_BYTES);
const _: () = assert!(READ_CHUNK_MAX_BYTES < EVENT_QUEUE_MAX_BYTES);
