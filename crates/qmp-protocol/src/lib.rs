//! The QEMU Machine Protocol as pure state machines: framing, client session, monitor session.
//!
//! Bytes and the time go in, messages and deadlines come out; no socket, no clock, no thread. The
//! crates around this one add those: `qmp-client` for tokio, `qmp-monitor` for the other side.
//!
//! * [`Framer`] cuts a stream into messages by the structure of JSON and recovers after garbage;
//!   [`Scanner`] is its core, for those who keep the bytes themselves.
//! * [`ServerMessage::classify`] tells greeting, event and reply apart.
//! * [`ClientSession`] greets, negotiates, sends commands, matches replies and hands out events.
//! * [`monitor`] is the other side: sessions of a monitor and its rate limits.

pub mod fuzz;
pub mod limits;
pub mod monitor;

mod client;
mod error;
mod framer;
mod garbage;
mod greeting;
mod message;
mod scanner;

pub use client::{
    ClientSession, CloseReason, CommandId, Output, RefusedCommand, SessionOptions, State,
};
pub use error::{CommandError, ErrorClass};
pub use framer::{Frame, Framer};
pub use garbage::{Garbage, GarbageKind};
pub use greeting::{Greeting, QemuVersion};
pub use message::{Reply, ServerMessage};
pub use scanner::{Scanner, Step};
