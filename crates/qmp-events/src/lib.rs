//! The vocabulary of QEMU's QMP events: every event typed, its facts, its wire form.
//!
//! QEMU announces what happens to a virtual machine as *events*, each one a JSON object on its QMP
//! monitor. This crate knows all of them, from QEMU 2.1 to 11.1:
//!
//! * [`Message::decode`] types an event, [`Message::encode`] prints it byte for byte as QEMU does;
//! * [`Envelope::read`] takes only name, stamp and the place of the data, borrowed;
//! * [`EventKind::facts`] tells at run time what is known about each event: members, releases,
//!   rate limits, what it means.
//!
//! # What never fails
//!
//! QEMU grows: events, members and enum values are added in every release, and old releases lack
//! them. Members that some release lacks are `Option`; enums have `Unknown`; members outside the
//! vocabulary stay in `extra`; an event outside it is [`Event::Unknown`]. All of it survives
//! decoding and encoding.
//!
//! # What this crate does not do
//!
//! No sockets, no clock, no threads, no dependencies beyond the standard library.

#[macro_use]
mod macros;

mod envelope;
mod extra;
pub mod facts;
pub mod json;
pub mod layout;
mod message;
mod timestamp;
mod unknown;
mod version;
pub mod vocabulary;
mod wire;

pub use envelope::{DecodeError, Envelope};
pub use extra::{Extra, RawJson};
pub use message::{Message, Outside};
pub use timestamp::Timestamp;
pub use unknown::{UnknownBranch, UnknownEvent};
pub use version::{Version, VersionError};
pub use vocabulary::{Event, EventKind};

/// Text of an event: borrowed from the message unless it held an escape.
pub type Str<'a> = std::borrow::Cow<'a, str>;
