//! The emitting side of QMP, for embedding: a monitor no client can tell from QEMU's.
//!
//! A virtual machine monitor says what it is, which commands it has and where clients connect; then it
//! emits events. Greeting, negotiation, rate limits by release of QEMU, malformed input, slow clients and
//! the printed form are taken care of.
//!
//! ```
//! use std::io::{BufRead, BufReader, Write};
//! use std::os::unix::net::UnixStream;
//!
//! use qmp_events::vocabulary::{Resume, Stop};
//! use qmp_monitor::{CommandTable, Monitor, Object};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let commands = CommandTable::new().with("stop", |call| {
//!     call.arguments().finish()?; // it takes none
//!     call.emit(Stop::default());
//!     Ok(Object::new().into())
//! });
//! let (ours, theirs) = UnixStream::pair()?;
//! let monitor = Monitor::builder()
//!     .version("7.2")
//!     .name("vm1")
//!     .commands(commands)
//!     .stream(ours) // or .listen_unix("/run/vm1.qmp")
//!     .build()?;
//! monitor.emit(Resume::default()); // lost: nobody has negotiated
//!
//! // A client.
//! let mut lines = BufReader::new(theirs.try_clone()?).lines();
//! assert!(lines.next().unwrap()?.starts_with(r#"{"QMP": {"version""#));
//! writeln!(&theirs, "{{'execute': 'qmp_capabilities'}} {{'execute': 'stop', 'id': 7}}")?;
//! assert_eq!(lines.next().unwrap()?, r#"{"return": {}}"#);
//! assert!(lines.next().unwrap()?.contains(r#""event": "STOP""#));
//! assert_eq!(lines.next().unwrap()?, r#"{"return": {}, "id": 7}"#);
//! # Ok(())
//! # }
//! ```
//!
//! # Parts
//!
//! * [`Monitor`] runs on a thread of its own; [`Builder::build_driver`] gives a [`Driver`] for an event
//!   loop instead, as `examples/epoll.rs` shows.
//! * [`Emitter`] is the handle other threads emit through.
//! * [`Commands`] is what the machine answers; [`CommandTable`] makes one of closures.
//! * [`Hub`] is the pure core, without sockets and clock.
//!
//! # What an embedder must know
//!
//! * QMP has no authentication: whoever can connect controls the machine. Protect the socket's directory.
//! * A client that does not read is disconnected once too much waits for it; the machine is not held up.
//! * Emitting never waits for a client. A [`Commands`] that blocks holds up other commands, not events.

mod builtin;
mod commands;
mod dialer;
mod driver;
mod emitter;
mod hub;
pub mod limits;
mod line;
mod listener;
mod monitor;
mod observer;
mod schema;
mod waker;

pub use commands::{
    Answer, ArgumentInfo, ArgumentKind, Call, CommandInfo, CommandResult, CommandTable, Commands,
    Reply, generic_error,
};
pub use driver::Driver;
pub use emitter::Emitter;
pub use hub::{Hub, Outgoing, SessionId, Stats};
pub use monitor::{BuildError, Builder, Monitor};
pub use observer::{NoObserver, Observer};
pub use qmp_protocol::monitor::{Arguments, Closed, Object, Personality, Value, compact};
pub use qmp_protocol::{CommandError, ErrorClass};
