//! JSON as QEMU writes it: a borrowing pull reader and a writer that prints the same bytes.
//!
//! Not a general JSON library. The reader takes any valid JSON text (RFC 8259) and hands out slices
//! of it; the writer prints in the one form QEMU prints: pure ASCII, `", "` and `": "` between
//! tokens, members in the order of QEMU's hash table ([`bucket`]). Why it is our own:
//! `docs/decisions/0001-own-json.md`.

mod order;
mod read;
mod skip;
mod text;
mod write;

pub use order::{bucket, order};
pub use read::{Key, Kind, Members, Problem, ReadError, Reader};
pub use write::{ObjectWriter, compact, write_string};

/// The deepest nesting of objects and arrays that [`Reader`] follows, in levels; QEMU's own limit.
pub const DEPTH_MAX_LEVELS: u32 = 1024;
