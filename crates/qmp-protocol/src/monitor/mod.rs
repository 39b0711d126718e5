//! The monitor's side of QMP: what QEMU does with a client, as state machines.
//!
//! * [`Limiter`]: which events are sent at once, which are held back, which are never sent. One per
//!   machine, before the fan-out.
//! * [`Latches`]: events that are sent once, until a command asks for the next.
//! * [`MonitorSession`]: one client's conversation: greeting, negotiation, commands, replies, events.
//! * [`Parser`]: QEMU's input dialect, as a session uses it.
//! * [`Value`], [`Object`], [`Arguments`]: what commands are asked and answered with.
//!
//! All of it as QEMU 4.0 to 11.1 behaves, each release with its own [`Dialect`]; what older releases
//! answered to wrong input is known from documents only.
//!
//! ```
//! use qmp_events::Version;
//! use qmp_protocol::monitor::{MonitorSession, Object, Personality};
//!
//! let mut session = MonitorSession::new(Personality::of(Version::new(7, 2)));
//! session.handle_event(r#"{"event": "STOP"}"#); // lost: nobody negotiated
//! session.handle_input(br#"{"execute": "qmp_capabilities"} {"execute": "query-name", "id": 1}"#);
//! let request = session.poll_request().unwrap();
//! assert_eq!(request.name, "query-name");
//! session.reply(request.ticket, Ok(Object::new().with("name", "vm1").into()));
//!
//! let sent = String::from_utf8_lossy(session.output());
//! let lines: Vec<&str> = sent.lines().skip(1).collect(); // the first is the greeting
//! assert_eq!(lines, [r#"{"return": {}}"#, r#"{"return": {"name": "vm1"}, "id": 1}"#]);
//! ```

mod arguments;
mod builder;
mod dialect;
mod latch;
mod leftover;
mod lexer;
mod limiter;
mod literal;
mod modified_utf8;
mod parser;
mod personality;
mod print;
mod request;
mod session;
mod value;

pub use arguments::Arguments;
pub use dialect::{Dialect, ParseError};
pub use latch::{LatchKey, Latches, Rearm};
pub use lexer::Position;
pub use limiter::{Admission, Ended, LimitKey, Limiter};
pub use parser::Parser;
pub use personality::Personality;
pub use print::{compact, pretty};
pub use session::{Closed, Mode, MonitorSession, Request, Ticket};
pub use value::{Object, Value};
