//! Every limit of the program, in one place, with its unit.

use std::time::Duration;

/// Rows in one transaction of the journal: enough to make the sync cheap per row, few enough that the
/// transaction ends within about a tenth of a second.
pub const COMMIT_MAX_ROWS: usize = 16_384;

/// Rows one transaction of the journal may have in any case.
pub const COMMIT_MIN_ROWS: usize = 512;

/// How long a transaction may last while others wait for the next one.
pub const COMMIT_SHORT: Duration = Duration::from_millis(2);

/// Runs whose records did not fit into a transaction, up to which that is no reason to make it longer.
pub const WAITING_RUNS_FEW: usize = 16;

/// How long a transaction may last when more comes than goes in short ones.
pub const COMMIT_LONG: Duration = Duration::from_millis(100);

/// Bytes of a page of the journal file.
pub const PAGE_BYTES: usize = 8192;

/// Bytes of records in one transaction of the journal.
pub const COMMIT_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of records handed to the journal and not committed yet, over all machines. Attachments wait for
/// room; meanwhile QEMU's events stay in the socket. One record larger than this takes the whole of it.
pub const QUEUE_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Of these, bytes of records of one run: the rest is for the others.
pub const RUN_QUEUE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of the file in which the recorder says how it is.
pub const STATUS_BYTES: usize = 4096;

/// Bytes of the reason in it why the journal cannot be written.
pub const STATUS_ERROR_MAX_BYTES: usize = 512;

/// How often it is written while all is well.
pub const STATUS_FILE_PERIOD: Duration = Duration::from_secs(1);

/// What one record costs in the queue besides its text, in bytes.
pub const QUEUE_ENTRY_BYTES: usize = 128;

/// Bytes of write-ahead log that are moved into the file beside the writer while records come.
pub const WAL_LOAD_BYTES: usize = 16 * 1024 * 1024;

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

/// Records whose places by run are kept in memory before they are written, at least.
pub const PLACES_MIN: usize = 4096;

/// Of so many records for each run that has some: then a page of the index is worth its way to the disk.
pub const PLACES_PER_RUN: usize = 16;

/// Places fewer than this are not worth a transaction of their own at a quiet moment.
pub const PLACES_QUIET: usize = 1024;

/// Least size a journal can be kept at, in bytes: less than what lies about unindexed is no limit.
pub const RETENTION_MIN_BYTES: u64 = 16 * 1024 * 1024;

/// How often is looked for records that are no longer to be kept.
pub const RETENTION_PERIOD: Duration = Duration::from_secs(60);

/// Bytes of new records after which the size of the journal is looked at before that, at least.
pub const RETENTION_SIZE_LOOK_BYTES: usize = 256 * 1024;

/// How long the writer removes records before it looks at its queue; the step it is in is finished.
pub const RETENTION_SLICE: Duration = Duration::from_millis(2);

/// Records removed in one transaction, at least; more if more come in one.
pub const RETENTION_STEP_ROWS: usize = 1024;

/// Blocks of the time map looked at in one step of a removal.
pub const RETENTION_ZONES_PER_STEP: usize = 4096;

/// Blocks whose records are looked at in one step of a removal.
pub const RETENTION_BLOCKS_PER_STEP: usize = 4;

/// Runs that lose records in one transaction: each is a page of the index.
pub const RETENTION_RUNS_PER_STEP: usize = 64;

/// Records of one machine removed in one transaction, where they lie among those of others.
pub const RETENTION_SCATTERED_ROWS: usize = 128;

/// When a record that was needed is looked at again, microseconds.
pub const RETENTION_RECHECK_US: i64 = 600_000_000;

/// Records behind the last state of a machine that are kept with it although they are due. A machine
/// that has more is asked for its state anew.
pub const STATE_TAIL_MAX_RECORDS: usize = 256;

/// Damages of one kind that a check tells one by one.
pub const CHECK_FINDINGS_MAX: usize = 20;

/// Numbers leapt over in search of the next one that can be read in a damaged journal.
pub const SALVAGE_LEAP_MAX: i64 = 1 << 40;

/// Longest line of a file that is imported, in bytes.
pub const IMPORT_LINE_MAX_BYTES: usize = 256 * 1024 * 1024;

/// Records of a group of rows in a Parquet file.
pub const PARQUET_GROUP_ROWS: usize = 65_536;

/// Records taken in from elsewhere in one transaction.
pub const LOAD_ROWS: usize = 4096;

/// Records a reader fetches at a time.
pub const READ_CHUNK_RECORDS: usize = 512;

/// Records a reader looks through in one statement before it lets the writer's log go.
pub const READ_SPAN_RECORDS: i64 = 65_536;

/// Runs whose index entries a reader merges; for more it looks through all records.
pub const READ_MERGE_MAX_RUNS: usize = 1024;

/// How long a follower in another process waits for word of the file system before it looks by itself.
pub const FOLLOW_POLL: Duration = Duration::from_secs(1);

const _: () = assert!(COMMIT_MAX_BYTES <= QUEUE_MAX_BYTES);
const _: () = assert!(RUN_QUEUE_MAX_BYTES < QUEUE_MAX_BYTES);
const _: () = assert!(COMMIT_MIN_ROWS < COMMIT_MAX_ROWS);
// The reason is escaped: a character becomes six at most.
const _: () = assert!(STATUS_ERROR_MAX_BYTES * 6 + 512 < STATUS_BYTES);
const _: () = assert!(WAL_QUIET_BYTES < WAL_LOAD_BYTES && WAL_LOAD_BYTES < WAL_MAX_BYTES);

/// Most bytes of a socket that are looked at. One more than the kernel holds for a UNIX socket by default
/// (`net.core.wmem_default`, 212,992, of which bookkeeping takes a part): all that waits is seen at once.
pub const PEEK_WINDOW_MAX_BYTES: usize = 256 * 1024;

/// Bytes of an answer that is not whole from which on it is read off the socket, so that the rest of it has
/// room there.
pub const HALF_ANSWER_MAX_BYTES: usize = 64 * 1024;

/// How long half a message stands at the head of a socket before it is read off: a peer that sends it in
/// many pieces may have filled the kernel's queue with it.
pub const HALF_MESSAGE_WAIT: Duration = Duration::from_millis(250);

/// How long a QEMU that has connected may take to say who it is before what it sent is read off the socket:
/// the answers may stand behind more events than the socket holds.
pub const HANDSHAKE_HOLD: Duration = Duration::from_millis(500);

/// How long the journal may take nothing before a machine's events are let go, by default.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes that wait in a socket from which on QEMU is taken to be held up, or about to be: with less, nothing
/// is let go however long it takes. 200 short events; the kernel holds about 278.
pub const PATIENCE_MIN_BYTES: u64 = 16 * 1024;

/// How often that is looked at once patience is over.
pub const PATIENCE_LOOK: Duration = Duration::from_secs(1);

/// Different names counted one by one when events are let go. QEMU 11.1 has 60.
pub const LOSS_NAMES_MAX_COUNT: usize = 256;

/// Shortest time from one round of questions because of a STOP to the next, for one machine.
pub const STOP_QUESTIONS_PAUSE: Duration = Duration::from_secs(1);

/// Attachments at the same time.
pub const ATTACHMENTS_MAX: usize = 16_384;

/// How long QEMU has for each question of who it is.
pub const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long QEMU has for each question about its state.
pub const STATE_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest answer kept in a `state` record, in bytes; of a longer one only the length.
pub const STATE_ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// Longest text of something that is no QMP kept in a `garbage` record, in bytes.
pub const GARBAGE_TEXT_MAX_BYTES: usize = 64 * 1024;

/// Longest name of a machine, in bytes; the rest is cut off.
pub const MACHINE_NAME_MAX_BYTES: usize = 255;

/// A QEMU that dials in so soon after its start is taken to be heard from its beginning, microseconds.
pub const START_GRACE_US: i64 = 1_000_000;

/// Two times of start of one process number that differ by less are the same process, microseconds.
/// The time is computed from the clock, which may be adjusted in between.
pub const SAME_START_US: i64 = 2_000_000;

/// How long after the end of a connection the process is given to exit.
pub const EXIT_WAIT: Duration = Duration::from_secs(1);

/// How often it is looked at meanwhile.
pub const EXIT_LOOK: Duration = Duration::from_millis(10);

/// How long a newcomer waits for the name of an attachment that is just ending.
pub const NAME_WAIT: Duration = Duration::from_secs(3);

/// First pause before a monitor is dialled again; doubled each time.
pub const REDIAL_MIN: Duration = Duration::from_millis(250);

/// Longest pause before a monitor is dialled again.
pub const REDIAL_MAX: Duration = Duration::from_secs(5);

/// Pause before a monitor is dialled again that another client holds: whoever waits in its queue
/// would be served before that client's next connection.
pub const REDIAL_HELD: Duration = Duration::from_secs(30);

/// How often globs over socket files are expanded again.
pub const GLOB_PERIOD: Duration = Duration::from_secs(2);

/// Socket files a glob may give.
pub const GLOB_MAX_FILES: usize = ATTACHMENTS_MAX;

/// Disks of an emulated machine; errors on further ones, told by raw events, are not answered for.
pub const EMULATED_DISKS_MAX: usize = 64;

/// Jobs of an emulated machine; further ones, told by raw events, are not answered for.
pub const EMULATED_JOBS_MAX: usize = 1024;

/// Longest scenario, in bytes.
pub const SCENARIO_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Bytes of events in a recording that is played; it is held in memory.
pub const REPLAY_MAX_BYTES: usize = 256 * 1024 * 1024;

/// Shortest time from one beginning of a loop in a scenario to the next.
pub const LOOP_MIN: Duration = Duration::from_millis(1);

/// Longest reply a fault may make, in bytes.
pub const BIG_REPLY_MAX_BYTES: usize = 60 * 1024 * 1024;

/// How long clients of an emulated machine have to read the rest after its end.
pub const RELAY_DRAIN: Duration = Duration::from_secs(5);

/// Descriptors a service manager may hand over: connections, and some listeners.
pub const INHERITED_MAX: usize = ATTACHMENTS_MAX + 1024;

/// How long a service manager that does not read what it is told is waited for.
pub const NOTIFY_WAIT: Duration = Duration::from_secs(1);

/// Shortest pause between two status texts for a service manager.
pub const STATUS_PAUSE: Duration = Duration::from_secs(1);

/// How often the status text is looked at again when nothing is known to have changed.
pub const STATUS_PERIOD: Duration = Duration::from_secs(60);

/// How long attachments have to say goodbye when the recorder is stopped.
pub const STOP_WAIT: Duration = Duration::from_secs(5);

/// How long a QEMU that was told to dial a recorder is given to reach it.
pub const ADOPT_ANSWER_WAIT: Duration = Duration::from_secs(5);

/// How often it is asked meanwhile whether it has.
pub const ADOPT_LOOK: Duration = Duration::from_millis(100);

/// How often an adopted QEMU dials a recorder that is away; whole seconds, which all releases know.
pub const ADOPT_REDIAL: Duration = Duration::from_secs(1);

/// Events `qwatch top` holds to be looked at; older ones are in `qwatch history`.
pub const TOP_EVENTS_MAX: usize = 5_000;

/// Shortest time from one picture of `qwatch top` to the next.
pub const TOP_FRAME_MIN: Duration = Duration::from_millis(100);

/// Longest time from one picture of `qwatch top` to the next: ages grow.
pub const TOP_FRAME_MAX: Duration = Duration::from_secs(1);

/// Records `qwatch top` takes in between two pictures.
pub const TOP_BATCH_RECORDS: usize = 20_000;

/// Updates that wait for the next picture of `qwatch top`; whoever has more waits.
pub const TOP_UPDATES_MAX: usize = 16;

/// Longest text a machine's state keeps of a record, in bytes; the journal has the whole.
pub const STATE_TEXT_MAX_BYTES: usize = 240;

/// Members a state keeps of a record that is part of an explanation.
pub const FACT_MEMBERS_MAX: usize = 16;

/// Events kept that may have led to a stop, a reset or an end.
pub const TURN_LEADS_MAX: usize = 12;

/// Records in an explanation.
pub const CHAIN_MAX: usize = 12;

/// How long an event that may have led to something is held against it, microseconds: QEMU holds a
/// rate-limited one back for a second, and acts at once.
pub const LEAD_WINDOW_US: i64 = 10_000_000;

/// How long before something unexplained a time unheard may hide its cause, microseconds.
pub const HIDING_WINDOW_US: i64 = 2_000_000;

/// How long after a disk error another one may be held back and merged away, microseconds: for a second
/// after it was sent, which may be a second after it happened.
pub const MERGE_WINDOW_US: i64 = 2_000_000;

/// A stop that was over so soon is called a moment, microseconds.
pub const MOMENT_US: i64 = 50_000;

/// Stops that are over, kept with their causes.
pub const STATE_PAUSES_MAX: usize = 4;

/// Times unheard that a state keeps.
pub const STATE_GAPS_MAX: usize = 8;

/// Jobs of a machine that are kept, those that ended too.
pub const STATE_JOBS_MAX: usize = 256;

/// Records kept of a job.
pub const JOB_CHAIN_MAX: usize = 6;

/// Disks of a machine that are kept.
pub const STATE_DISKS_MAX: usize = 256;

/// Sessions at a machine's screens that are kept.
pub const STATE_SESSIONS_MAX: usize = 256;

/// Sessions that ended and are kept.
pub const STATE_PAST_SESSIONS_MAX: usize = 8;

/// Side channels of SPICE sessions that are kept.
pub const STATE_CHANNELS_MAX: usize = 1024;

/// Ports, network back ends and memory devices that are kept, of each kind.
pub const STATE_PORTS_MAX: usize = 256;

/// Removed devices that are kept, and as many that would not go.
pub const STATE_REMOVED_MAX: usize = 64;

/// How long after a moment something may still be told about it, microseconds: QEMU holds events back for
/// a second, and the recorder's questions take some time.
pub const EVIDENCE_WINDOW_US: i64 = 3_000_000;

/// Records of a run from one snapshot of its state to the next: folding them takes about ten milliseconds.
pub const SNAPSHOT_RECORDS: u64 = 2048;

/// Records of the kernel's log that are looked through for a process that ended.
pub const KERNEL_LOG_MAX_RECORDS: usize = 65_536;

/// How old such a record may be, in seconds.
pub const KERNEL_LOG_SPAN_S: u64 = 30;

/// Lines of it that are kept.
pub const KERNEL_LINES_MAX: usize = 4;

/// Snapshots made before they are written.
pub const SNAPSHOTS_AT_ONCE: usize = 16;
