//! Every limit of the program, in one place, with its unit.

use std::time::Duration;

/// Rows in one transaction of the journal: enough to make the sync cheap per row, few enough that the
/// transaction ends within about a tenth of a second.
pub const COMMIT_MAX_ROWS: usize = 16_384;

/// Bytes of records in one transaction of the journal.
pub const COMMIT_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of records handed to the journal and not committed yet, over all machines. Attachments wait for
/// room; meanwhile QEMU's events stay in the socket. One record larger than this takes the whole of it.
pub const QUEUE_MAX_BYTES: usize = 32 * 1024 * 1024;

/// What one record costs in the queue besides its text, in bytes.
pub const QUEUE_ENTRY_BYTES: usize = 128;

/// Bytes of write-ahead log after which the writer makes a checkpoint even under load.
pub const WAL_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of write-ahead log below which a quiet writer leaves it alone.
pub const WAL_QUIET_BYTES: usize = 256 * 1024;

/// How long the writer sees no work before it calls the moment quiet.
pub const WRITER_QUIET: Duration = Duration::from_millis(500);

/// How often the writer's lock is tried again before another recorder is blamed.
pub const LOCK_TRIES: u32 = 5;

/// Pause between two tries for the writer's lock.
pub const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// How long a statement waits for another program's lock on the journal file.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// First pause before a failed commit is tried again; doubled each time.
pub const WRITE_RETRY_MIN: Duration = Duration::from_millis(100);

/// Longest pause before a failed commit is tried again.
pub const WRITE_RETRY_MAX: Duration = Duration::from_secs(5);

/// Names of events the writer remembers the numbers of; beyond it looks them up again.
pub const NAME_CACHE_MAX_ENTRIES: usize = 4096;

/// Records covered by one row of the journal's time map.
pub const ZONE_RECORDS: u64 = 1024;

/// Records a reader fetches at a time.
pub const READ_CHUNK_RECORDS: usize = 512;

/// Records a reader looks through in one statement before it lets the writer's log go.
pub const READ_SPAN_RECORDS: i64 = 65_536;

/// Runs whose index entries a reader merges; for more it looks through all records.
pub const READ_MERGE_MAX_RUNS: usize = 1024;

/// How long a follower in another process waits for word of the file system before it looks by itself.
pub const FOLLOW_POLL: Duration = Duration::from_secs(1);

const _: () = assert!(COMMIT_MAX_BYTES <= QUEUE_MAX_BYTES);
const _: () = assert!(WAL_QUIET_BYTES < WAL_MAX_BYTES);
