//! Every limit of this crate, in one place.
//!
//! What bounds memory elsewhere: a session's queues and its unread output in `qmp_protocol::limits`, the
//! rate limiter's table there as well.

use std::time::Duration;

/// How long a listener rests after a client could not be accepted, for want of descriptors or memory.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The most bytes read from one client before the others have their turn.
pub const READ_CHUNK_SIZE_BYTES: usize = 16 << 10;

/// The most file descriptors looked at in one turn; the rest is looked at in the next.
pub const READY_MAX_SOURCES: usize = 64;

/// Clients that may wait in the kernel for one listener to become free; QEMU's own number.
pub const BACKLOG_MAX_CLIENTS: i32 = 1;
