//! Every limit of this crate, in one place.
//!
//! The sizes are those QEMU applies to what it reads (2.x to 11.1); we apply them to what it writes,
//! so that a peer that is no QEMU cannot make us grow.

/// Longest message, in bytes: 64 MiB. The longest that QEMU is known to send, the answer to
/// `query-qmp-schema`, has about 300 KiB.
pub const MESSAGE_SIZE_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Deepest nesting of `{` and `[` in a message.
pub const NESTING_DEPTH_MAX_LEVELS: usize = 1024;

/// How much of a piece of garbage is kept to show it to somebody, in bytes.
pub const GARBAGE_SAMPLE_MAX_BYTES: usize = 64;

/// White space looked through after a `{` for the first key, when searching for the next message in
/// garbage, in bytes. `pretty=on` needs CR, LF and four spaces.
pub const RESYNC_BLANK_MAX_BYTES: usize = 16;

/// Capacity that a [`Framer`](crate::Framer) keeps once its buffer has run empty, in bytes. One
/// large reply must not cost memory for the rest of a connection.
pub const FRAMER_IDLE_MAX_BYTES: usize = 64 * 1024;

/// In-band commands sent and not answered yet. QEMU queues 8 and then stops reading, which would
/// also hold up the out-of-band commands that are meant to overtake (since 2.12).
pub const IN_BAND_MAX_COMMANDS: usize = 8;

/// Commands that wait inside a [`ClientSession`](crate::ClientSession) or for their answer. One
/// more is refused.
pub const OUTSTANDING_MAX_COMMANDS: usize = 1024;

/// Longest command, in bytes as printed. The same limit as for what QEMU may send.
pub const COMMAND_SIZE_MAX_BYTES: usize = MESSAGE_SIZE_MAX_BYTES;

/// Capabilities read from a greeting. QEMU knows one, `oob`.
pub const CAPABILITIES_MAX_COUNT: usize = 64;

const _: () = assert!(FRAMER_IDLE_MAX_BYTES < MESSAGE_SIZE_MAX_BYTES);
const _: () = assert!(IN_BAND_MAX_COMMANDS < OUTSTANDING_MAX_COMMANDS);
// "too large" must be reachable before an index into a message overflows 32 bits.
const _: () = assert!(MESSAGE_SIZE_MAX_BYTES < u32::MAX as usize);

/// The most text a monitor takes in one message of a client, counted over its tokens; also the most in
/// one token. QEMU's own limit.
pub const CLIENT_TOKENS_SIZE_MAX_BYTES: usize = 64 << 20;

/// The most tokens a monitor takes in one message of a client; QEMU's own limit.
pub const CLIENT_TOKENS_MAX: usize = 2 << 20;

/// The most levels of objects and arrays, the command's own included, that a monitor takes in a message
/// of a client; QEMU's own limit.
pub const CLIENT_NESTING_MAX_LEVELS: i64 = 1024;

/// The longest complaint about a keyword, in bytes without what all parse errors begin with; QEMU's own
/// limit. A client chooses the keyword.
pub const CLIENT_KEYWORD_ERROR_MAX_BYTES: usize = 1023;

/// The most keys the rate limiter keeps apart at a time; [`crate::monitor::Limiter`] says what happens
/// beyond it.
pub const LIMITER_SLOTS_MAX: usize = 1024;

/// The most cards and nodes of which [`crate::monitor::Latches`] remembers that they were told of.
pub const LATCHES_MAX: usize = 4096;

/// The most bytes of a client that a monitor session keeps unparsed behind a running command.
pub const MONITOR_INPUT_MAX_BYTES: usize = 1 << 20;

/// In-band messages of a client that a monitor queues before it reads no further, where out-of-band
/// execution is on; QEMU's own number. Without, it is one.
pub const MONITOR_QUEUE_MAX_COMMANDS: usize = 8;

/// The most bytes that wait for a client before a monitor gives it up, unless told otherwise.
pub const MONITOR_OUTPUT_MAX_BYTES: usize = 64 << 20;

/// Memory a session keeps for its output while nothing waits.
pub const MONITOR_OUTPUT_IDLE_MAX_BYTES: usize = 4 << 10;
