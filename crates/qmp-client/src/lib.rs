//! The hearing side of QMP: an asynchronous client that never goes silently quiet.

pub mod limits;

mod address;
mod client;
mod connection;
mod driver;
mod error;
mod events;
mod listener;
mod options;
mod peer;
mod queue;
mod reconnecting;
mod socket;

pub use address::{Address, AddressError};
pub use client::Client;
pub use connection::{Connection, connect};
pub use error::{
    CloseReason, Closed, ConnectError, ConnectErrorKind, ExecuteError, ListenError, ListenErrorKind,
};
pub use events::Events;
pub use listener::{Incoming, Listener};
pub use options::Options;
pub use peer::Peer;
pub use queue::{Dropped, Item, RawEvent};
pub use reconnecting::{Attached, Backoff, Detached, Failed, FollowItem, Gap, Reconnecting};

pub use qmp_protocol::{CommandError, ErrorClass, Garbage, Greeting, QemuVersion, RefusedCommand};
