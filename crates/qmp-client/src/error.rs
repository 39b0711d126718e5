//! What can go wrong, each in words that say what to do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use qmp_protocol::{CloseReason as SessionEnd, CommandError, Garbage, RefusedCommand, State};

use crate::address::Address;

/// Why there is no connection to a monitor.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {kind}")]
pub struct ConnectError {
    /// The monitor.
    pub address: Address,
    /// What happened.
    pub kind: ConnectErrorKind,
}

/// What happened to an attempt to connect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectErrorKind {
    /// The socket file does not exist.
    #[error(
        "no such file: QEMU has not started, or not with `-qmp` for this path, or has removed it \
         on its way out"
    )]
    NoSuchFile,
    /// The socket file exists, but nobody listens.
    #[error(
        "nobody listens on this socket any more: QEMU is gone and has left the file behind; \
         start QEMU again or delete the file"
    )]
    DeadSocket,
    /// The path leads to something else.
    #[error("this is {0}, not a stream socket: give the path that QEMU's `-qmp unix:` has")]
    NotASocket(&'static str),
    /// No right to connect, or to search a directory on the way.
    #[error("permission denied{}: run as the user that QEMU runs as, or as root", belongs_to(*.owner))]
    PermissionDenied {
        /// User id that owns the socket, if we may know it.
        owner: Option<u32>,
    },
    /// Nobody listens on the TCP port.
    #[error("connection refused: no QEMU listens there; check host and port of its `-qmp tcp:`")]
    Refused,
    /// The name of the host has no address.
    #[error("cannot find the host: {0}")]
    Host(String),
    /// A file name too long even for the way through its directory.
    #[error("the file name is too long for a socket; at most about 80 bytes after the last `/`")]
    NameTooLong,
    /// Not even room to wait for a turn.
    #[error(
        "another client holds this monitor, which serves one client at a time, and the queue of \
         those who wait for it is full; end them, or give QEMU a second monitor with one more `-qmp`"
    )]
    Crowded,
    /// Connected, but no greeting came in time.
    #[error(
        "connected, but no greeting within {}: most probably another client (libvirt, a manager, a \
         second qwatch) holds this monitor{}, which serves one client at a time; end that client, \
         or give QEMU a second monitor with one more `-qmp`",
        seconds(.waited), of_process(*.pid)
    )]
    Held {
        /// How long we waited.
        waited: Duration,
        /// The process that listens.
        pid: Option<u32>,
    },
    /// Somebody dialled in and said nothing in time.
    #[error(
        "dialled in{}, but no greeting within {}: this is no QMP monitor, or QEMU is stopped",
        from_process(*.pid), seconds(.waited)
    )]
    Silent {
        /// How long we waited.
        waited: Duration,
        /// The process that dialled.
        pid: Option<u32>,
    },
    /// Not even the connection came about in time.
    #[error("no connection within {}: the host does not answer", seconds(.0))]
    Unreachable(Duration),
    /// What came first is no greeting.
    #[error("whoever answers there does not speak QMP{}: it said `{}`", hint(.sample), show(.sample))]
    NotQmp {
        /// Its first bytes.
        sample: Vec<u8>,
    },
    /// The connection ended before the greeting was complete.
    #[error(
        "the connection ended in the middle of the greeting, after `{}`: QEMU died just then; try \
         again", show(&.0.sample)
    )]
    HalfGreeting(Garbage),
    /// The connection ended before anything was said.
    #[error("the connection ended without a greeting: QEMU is just exiting, or this is no monitor")]
    NoGreeting,
    /// The connection ended between the greeting and the answer to the negotiation.
    #[error("QEMU greeted and then went away: it died or was stopped just then; try again")]
    GoneInNegotiation,
    /// Greeted, but the negotiation was not answered in time.
    #[error(
        "QEMU greeted, but did not answer within {}: its main loop is stuck or the process is stopped",
        seconds(.0)
    )]
    Stuck(Duration),
    /// QEMU would not have the negotiation.
    #[error("QEMU refused to talk: {0}")]
    Negotiation(CommandError),
    /// Two greetings.
    #[error("QEMU greeted twice: something between us and QEMU mixes connections up")]
    GreetedTwice,
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl ConnectErrorKind {
    /// How the end of a session that never became ready is told, after so long, of the process at the
    /// other end.
    pub fn of_session(end: SessionEnd, waited: Duration, pid: Option<u32>) -> Self {
        match end {
            SessionEnd::GreetingTimeout => Self::Held { waited, pid },
            SessionEnd::NegotiationTimeout => Self::Stuck(waited),
            SessionEnd::NotQmp { sample } => Self::NotQmp { sample },
            SessionEnd::Refused(error) => Self::Negotiation(error),
            SessionEnd::StartedOver => Self::GreetedTwice,
            SessionEnd::Eof { during, half } => match (during, half) {
                (State::AwaitingGreeting, Some(half)) => Self::HalfGreeting(half),
                (State::AwaitingGreeting, None) => Self::NoGreeting,
                _ => Self::GoneInNegotiation,
            },
            // Nobody closes a session in its handshake but by dropping it.
            SessionEnd::ByUs => Self::NoGreeting,
        }
    }

    /// The same, told of somebody who dialled in and so is held by nobody.
    #[must_use]
    pub fn of_incoming(self) -> Self {
        match self {
            Self::Held { waited, pid } => Self::Silent { waited, pid },
            kind => kind,
        }
    }
}

/// Why one cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {kind}")]
pub struct ListenError {
    /// Where we would have listened.
    pub address: Address,
    /// What happened.
    pub kind: ListenErrorKind,
}

/// What happened to an attempt to listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenErrorKind {
    /// Somebody else listens already.
    #[error("another program listens there already{}", with_id(*.pid))]
    InUse {
        /// The process that listens.
        pid: Option<u32>,
    },
    /// The path is taken by something that is not ours to remove.
    #[error("this is {0}, not a socket: move it away or choose another path")]
    NotASocket(&'static str),
    /// The directory is not there.
    #[error("there is no directory `{}`: create it first", .0.display())]
    NoDirectory(PathBuf),
    /// No right to create the socket.
    #[error("permission denied: choose a directory that you may write to")]
    PermissionDenied,
    /// A file name too long even for the way through its directory.
    #[error("the file name is too long for a socket; at most about 80 bytes after the last `/`")]
    NameTooLong,
    /// The name of the host has no address.
    #[error("cannot find the host: {0}")]
    Host(String),
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A connection is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Closed {
    /// Why.
    pub reason: CloseReason,
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// QEMU closed it, between two messages: it exited, crashed or was killed.
    #[error("QEMU closed the connection")]
    Eof,
    /// QEMU closed it in the middle of a message: it crashed or was killed.
    #[error("QEMU closed the connection in the middle of a message ({0})")]
    HalfMessage(Garbage),
    /// The operating system reported an error.
    #[error("the connection broke: {message}")]
    Io {
        /// What sort of error.
        kind: io::ErrorKind,
        /// The operating system's text.
        message: String,
    },
    /// A second greeting came: something between us and QEMU kept the connection while QEMU was
    /// replaced.
    #[error("QEMU started over on the same connection: connect again")]
    StartedOver,
    /// We closed it: every handle was dropped, or the runtime ended.
    #[error("the connection was closed from our side")]
    ByUs,
}

impl CloseReason {
    /// How the end of a session that was ready is told.
    pub fn of_session(end: SessionEnd) -> Self {
        match end {
            SessionEnd::Eof {
                half: Some(half), ..
            } => Self::HalfMessage(half),
            SessionEnd::StartedOver => Self::StartedOver,
            SessionEnd::ByUs => Self::ByUs,
            SessionEnd::Eof { half: None, .. }
            | SessionEnd::GreetingTimeout
            | SessionEnd::NegotiationTimeout
            | SessionEnd::NotQmp { .. }
            | SessionEnd::Refused(_) => Self::Eof,
        }
    }

    /// How an error of the socket is told. `None` if it only says that the other side has gone: QEMU went
    /// away before it read all that we sent, and the end of the stream tells it.
    pub fn of_io(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => None,
            kind => Some(Self::Io {
                kind,
                message: error.to_string(),
            }),
        }
    }
}

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// QEMU answered with an error.
    #[error("{0}")]
    Command(#[from] CommandError),
    /// No answer in time. The command may still be carried out; its answer will be dropped.
    #[error("no answer within {}: QEMU's main loop is busy or stuck", seconds(.0))]
    TimedOut(Duration),
    /// The connection ended before the answer came. The command may have been carried out.
    #[error("no answer: {0}")]
    Closed(#[from] Closed),
    /// The arguments are no JSON object, or cannot be turned into JSON.
    #[error("the arguments must be one JSON object: {0}")]
    Arguments(String),
    /// The command was not sent.
    #[error("not sent: {0}")]
    Refused(RefusedCommand),
    /// The answer is not of the type that was asked for.
    #[error("QEMU's answer is not as expected: {0}")]
    Result(#[from] serde_json::Error),
}

/// `5 s` or `1.5 s`.
fn seconds(duration: &Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

fn of_process(pid: Option<u32>) -> String {
    optional(" of process ", pid)
}

fn from_process(pid: Option<u32>) -> String {
    optional(" from process ", pid)
}

fn with_id(pid: Option<u32>) -> String {
    optional(": process ", pid)
}

fn optional(words: &str, number: Option<u32>) -> String {
    number
        .map(|number| format!("{words}{number}"))
        .unwrap_or_default()
}

fn belongs_to(uid: Option<u32>) -> String {
    uid.map(|uid| format!(" (it belongs to user id {uid})"))
        .unwrap_or_default()
}

/// Bytes from outside, printable.
fn show(sample: &[u8]) -> String {
    let text = String::from_utf8_lossy(sample.trim_ascii());
    let mut shown = String::new();
    for letter in text.chars() {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// What it probably is instead.
fn hint(sample: &[u8]) -> &'static str {
    let text = sample.trim_ascii_start();
    if text.starts_with(b"QEMU ") {
        " (this is QEMU's monitor for people; QMP is the one given with `-qmp`)"
    } else if text.starts_with(b"RFB ") {
        " (this is a VNC server)"
    } else if text.starts_with(&[0xFF]) {
        " (this is a telnet server: start QEMU without `telnet=on`)"
    } else if text.starts_with(b"{\"return\"") || text.starts_with(b"{\"error\"") {
        " (this looks like a guest agent, which has no events)"
    } else {
        ""
    }
}
