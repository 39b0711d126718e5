//! The journal: what every machine said, on disk, in one order.
//!
//! One SQLite file in WAL mode with `synchronous=FULL`, written by one thread of one process, read by any
//! number. A record has its number (`seq`) when it is committed, and nobody sees it earlier.
//!
//! # Layout
//!
//! * `event`: one row a record. `seq` is the key and grows by exactly one. The row holds numbers where it
//!   can: the run, the name (from the table `name`), QEMU's stamp in microseconds, and how much later the
//!   record was received. `data` is the text QEMU sent. A line that cannot be printed again from stamp,
//!   name and data (further members, another order, `pretty=on`) is kept whole in `raw` as well.
//! * `name`: the dictionary of names. The recorder's own notes have the numbers below
//!   [`schema::FIRST_QEMU_NAME`], so that a partial index over them costs QEMU's events nothing.
//! * `machine`, `run`: who. A run is one QEMU process of a machine.
//! * `place`: the records of each run, written behind in larger pieces (`journal.placed` says how far): an
//!   index over `event.run` would cost a page a machine in every transaction.
//! * `zone`: for each block of [`crate::limits::ZONE_RECORDS`] records the earliest and latest time in it.
//!   Stamps are not monotonic, so times cannot be searched by halving; the blocks that may hold a time can.
//! * `connection`, `chunk`: the connections there are, and for each which bytes at the head of its socket
//!   are in the journal already; for a recorder that goes on where another was killed.
//! * `snapshot`: states of machines, folded up to some record ([`crate::states`]). A cache.
//! * `cursor`: how far each durable follower has come.
//! * the views `events`, `machines`, `runs`, `gaps` are a promise to everyone with an SQLite at hand; the
//!   tables are not.
//!
//! # Stamps
//!
//! `event.stamp` is QEMU's stamp in microseconds since 1970, -1 for "the host had no clock" (-1/-1 on the
//! wire), and NULL where there is none or it is no moment (then `raw` has it). `event.lag` is the time of
//! receipt less the stamp, or the whole time of receipt where there is no moment to subtract.
//!
//! # Failure
//!
//! A commit that fails (disk full, I/O error) is kept and tried again until it succeeds; the queue fills,
//! attachments wait, QEMU keeps its events. [`Health`] says so to whoever asks. After `kill -9` SQLite's
//! log is recovered at the next opening, runs that never ended get their `detached` note (unless their
//! connections were handed over, and the runs go on), and `seq` goes on.

mod check;
mod connection;
mod entry;
mod error;
mod follow;
mod info;
mod load;
mod lock;
mod log;
mod mover;
mod open;
mod pace;
mod places;
mod query;
mod queue;
mod reader;
mod removed;
mod retention;
mod run;
mod salvage;
pub mod schema;
mod settings;
mod snapshot;
mod status;
mod store;
mod vacuum;
mod worker;
mod writer;

pub use check::{Check, Finding};
pub use connection::{Chunk, Connected, ConnectionId, KeptConnection, Mark, Memory};
pub use entry::{Entry, Note};
pub use error::{OpenError, ReadError, WriteError};
pub use follow::Follower;
pub use info::Info;
pub use load::{LoadError, Loaded, Loader};
pub use lock::is_being_written;
pub use log::Log;
pub use query::{Direction, Names, Query, Records};
pub use reader::{Gap, Machine, Reader, Run};
pub use removed::Removed;
pub use retention::{Age, MachineRetention, Retention};
pub use run::{OpenedRun, RunEnd, RunId, RunInfo};
pub use salvage::{SalvageError, Salvaged, salvage};
pub use settings::{BeforeCommit, Health, Settings};
pub use snapshot::Snapshot;
pub use status::RecorderStatus;
pub use vacuum::vacuum;
pub use writer::{Batch, Journal, Receipt, Writer};
