//! The hearing side of QMP: an asynchronous client that never goes silently quiet.
//!
//! QEMU tells what happens to a virtual machine once, on a socket that serves one client. This crate
//! connects to that socket (or lets QEMU connect to ours), hears every event, executes commands, and
//! says so when it cannot: a stream of events ends with the reason why, and where events are missing
//! there is an item in their place. It runs on [tokio](https://docs.rs/tokio), on Linux.
//!
//! # Listening
//!
//! The examples start a machine that exists only as its monitor, with `qmp-monitor`; with a real QEMU
//! the socket is the one of `-qmp unix:/run/vm.qmp,server=on,wait=off`.
//!
//! ```
//! use qmp_client::{Address, Item, Options, connect};
//! use qmp_events::Event;
//! # use qmp_events::vocabulary::Stop;
//! # use qmp_monitor::Monitor;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("vm.qmp");
//! # let machine = Monitor::builder().version("10.0").listen_unix(&path).build()?;
//! let address = Address::unix(path); // or "unix:/run/vm.qmp,server=on,wait=off".parse()?
//! let mut connection = connect(&address, &Options::default()).await?;
//! println!("QEMU {}", connection.client.greeting().version);
//!
//! # machine.emit(Stop::default());
//! # let mut machine = Some(machine);
//! let mut stopped = false;
//! let closed = loop {
//!     match connection.events.next().await {
//!         Ok(Item::Event(event)) => match event.decode()?.event {
//!             Event::Stop(_) => {
//!                 stopped = true;
//! #               machine = None; // QEMU exits
//!             }
//!             other => println!("{} happened", other.name()),
//!         },
//!         Ok(Item::Dropped(dropped)) => println!("{} events were lost", dropped.count),
//!         Ok(Item::Garbage(garbage)) => println!("{garbage}"),
//!         Ok(Item::Stray(text)) => println!("no event: {text}"),
//!         Err(closed) => break closed,
//!     }
//! };
//! assert!(stopped);
//! assert_eq!(closed.to_string(), "QEMU closed the connection");
//! # Ok(())
//! # }
//! ```
//!
//! # Commanding
//!
//! A [`Client`] can be cloned and used from many tasks while events are heard.
//!
//! ```
//! use qmp_client::{Address, ErrorClass, ExecuteError, Options, connect};
//! # use qmp_monitor::{CommandTable, Monitor, Object};
//!
//! #[derive(serde::Deserialize)]
//! struct Status {
//!     status: String,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("vm.qmp");
//! # let commands = CommandTable::new().with("query-status", |_| {
//! #     Ok(Object::new().with("running", true).with("status", "running").into())
//! # });
//! # let machine = Monitor::builder().commands(commands).listen_unix(&path).build()?;
//! let connection = connect(&Address::unix(path), &Options::default()).await?;
//! let client = connection.client;
//!
//! let status: Status = client.execute_as("query-status", ()).await?;
//! assert_eq!(status.status, "running");
//!
//! // Arguments are anything that serializes as an object; results may stay raw JSON.
//! let arguments = serde_json::json!({ "id": "disk0" });
//! match client.execute("eject-with-force", arguments).await {
//!     Ok(result) => println!("{result}"),
//!     Err(ExecuteError::Command(error)) => assert_eq!(error.class, ErrorClass::CommandNotFound),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Following
//!
//! [`Reconnecting`] stays with a machine: it connects again after the connection ended, and says from
//! when to when nobody was listening.
//!
//! ```
//! use qmp_client::{Address, Backoff, FollowItem, Options, Reconnecting};
//! # use qmp_events::vocabulary::{Resume, Stop};
//! # use qmp_monitor::Monitor;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("vm.qmp");
//! # let start = || Monitor::builder().listen_unix(&path).build();
//! # let mut machine = Some(start()?);
//! let address = Address::unix(&path);
//! let mut follower = Reconnecting::dial(address, Options::default(), Backoff::default());
//! let mut story = Vec::new();
//! while story.len() < 6 {
//!     match follower.next().await {
//!         FollowItem::Attached(attached) => {
//!             story.push("attached".to_owned());
//! #           machine.as_ref().unwrap().emit(Stop::default());
//! #           drop(attached);
//!         }
//!         FollowItem::Event(event) => {
//!             story.push(event.envelope()?.name.into_owned());
//! #           machine = None; // QEMU exits
//!         }
//!         FollowItem::Detached(detached) => {
//!             story.push(format!("detached: {}", detached.reason));
//! #           machine = Some(start()?); // and is started again
//!         }
//!         FollowItem::Gap(gap) => {
//!             assert!(gap.from <= gap.until);
//!             story.push("nobody was listening".to_owned());
//!         }
//!         FollowItem::Failed(failed) => println!("{}", failed.error),
//!         _ => {}
//!     }
//! }
//! assert_eq!(story, [
//!     "attached",
//!     "STOP",
//!     "detached: QEMU closed the connection",
//!     "nobody was listening",
//!     "attached",
//!     "STOP",
//! ]);
//! # Ok(())
//! # }
//! ```
//!
//! # QEMU dials us
//!
//! A QEMU that was given `-qmp unix:/run/qw.sock,reconnect-ms=1000` connects to a [`Listener`]. Any
//! number of machines can share one path, no other client can take the monitor away, and the first
//! event is heard.
//!
//! # What is promised
//!
//! * Every event that QEMU sent on a connection is given out once, in QEMU's order, or counted in an
//!   [`Item::Dropped`] at its place. Dropping happens only while a command waits for its answer *and*
//!   the events in front of it exceed [`Options::event_queue_hard_max_bytes`]; else a slow consumer
//!   makes the socket wait.
//! * The stream of events ends only with a [`Closed`], and gives it again and again.
//! * A command is answered, or fails within its time limit; a late answer is never taken for another.
//! * Memory is bounded: by the event queue, one message of 64 MiB, and 1024 commands.
//! * No byte from the other side makes anything panic.

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
pub use socket::Socket;

pub use qmp_protocol::{CommandError, ErrorClass, Garbage, Greeting, QemuVersion, RefusedCommand};
