//! The task that owns a connection: the only one that reads and writes its socket.
//!
//! It sleeps until one of the reasons of [`Wake`], takes in what happened, and then does all there
//! is to do. What comes goes to three places: replies to those who wait for them, events into the
//! bounded queue, the end to both.
//!
//! # Backpressure
//!
//! When the queue of events is full the socket is not read: the kernel and QEMU keep what comes
//! (QEMU without a limit, so nothing is lost). But the answer to a command may stand behind those
//! events, so while one is awaited the socket is read on, up to a hard limit past which events are
//! counted instead of kept.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use qmp_protocol::{
    ClientSession, CloseReason as SessionEnd, CommandError, CommandId, Greeting, Output,
    RefusedCommand, SessionOptions, State,
};
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::error::{CloseReason, Closed, ExecuteError};
use crate::limits::READ_CHUNK_MAX_BYTES;
use crate::options::Options;
use crate::queue::{EventQueue, Item, RawEvent};
use crate::socket::Transport;

/// A command on its way from a client to the driver.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) command: String,
    /// One JSON object.
    pub(crate) arguments: Option<String>,
    pub(crate) oob: bool,
    pub(crate) answer: Answer,
}

/// Where the result of a command goes.
pub(crate) type Answer = oneshot::Sender<Result<Box<RawValue>, ExecuteError>>;

/// Why the driver wakes up.
#[derive(Debug)]
enum Wake {
    /// Bytes were read; the session has them.
    Read,
    /// QEMU will send no more.
    Eof,
    /// Reading failed.
    ReadFailed(io::Error),
    /// So many bytes were written.
    Written(usize),
    /// Writing failed. What QEMU sent before it went away can still be read.
    WriteFailed,
    /// A client wants a command executed.
    Request(Request),
    /// The last client is gone.
    NoClients,
    /// Somebody no longer waits for an answer.
    GaveUp,
    /// The consumer has taken events, or is gone.
    Room,
    /// The session has not become ready in time.
    Deadline,
}

/// A connection with all that belongs to it.
pub(crate) struct Driver {
    stream: Box<dyn Transport>,
    session: ClientSession,
    requests: mpsc::Receiver<Request>,
    gave_up: Arc<Notify>,
    events: EventSource,
    pending: HashMap<CommandId, Answer>,
    outbox: Vec<u8>,
    /// Bytes of the outbox that are written.
    written: usize,
    /// Why reading ended, if it was an error.
    broken: Option<CloseReason>,
    writable: bool,
    /// The queue was full, and the socket is read all the same.
    forced: bool,
    clients: bool,
    /// The session became ready.
    ready: bool,
}

/// The driver's end of the queue. However the driver ends, the queue does too.
struct EventSource(Arc<EventQueue>);

impl Drop for EventSource {
    fn drop(&mut self) {
        self.0.end(CloseReason::ByUs);
    }
}

impl Driver {
    pub(crate) fn new(
        stream: Box<dyn Transport>,
        options: &Options,
        requests: mpsc::Receiver<Request>,
        gave_up: Arc<Notify>,
        events: Arc<EventQueue>,
    ) -> Self {
        let session_options = SessionOptions {
            oob: options.oob,
            greeting_timeout: options.greeting_timeout,
        };
        Self {
            stream,
            session: ClientSession::new(session_options, Instant::now().into_std()),
            requests,
            gave_up,
            events: EventSource(events),
            pending: HashMap::new(),
            outbox: Vec::new(),
            written: 0,
            broken: None,
            writable: true,
            forced: false,
            clients: true,
            ready: false,
        }
    }

    /// Until the session is ready: what QEMU said of itself, and whether out-of-band is enabled.
    pub(crate) async fn handshake(&mut self) -> Result<(Greeting, bool), HandshakeError> {
        loop {
            let end = self.settle();
            if self.ready {
                let greeting = self.session.greeting().cloned().unwrap_or_default();
                return Ok((greeting, self.session.oob()));
            }
            match (end, self.broken.take()) {
                (Some(_), Some(CloseReason::Io { kind, message })) => {
                    return Err(HandshakeError::Io(io::Error::new(kind, message)));
                }
                (Some(end), _) => return Err(HandshakeError::Session(end)),
                (None, broken) => self.broken = broken,
            }
            self.sleep().await;
        }
    }

    /// To the end of the connection.
    pub(crate) async fn run(mut self) {
        let end = loop {
            if let Some(end) = self.settle() {
                break end;
            }
            if !self.clients && self.events.0.is_abandoned() {
                break SessionEnd::ByUs;
            }
            self.sleep().await;
        };
        let reason = self
            .broken
            .take()
            .unwrap_or_else(|| CloseReason::of_session(end));
        let closed = Closed { reason };
        self.events.0.end(closed.reason.clone());
        for (_, answer) in self.pending.drain() {
            let _ = answer.send(Err(closed.clone().into()));
        }
        // Dropped without an answer, requests still on their way read the reason from the queue.
    }

    /// Does all there is to do now. Gives the end of the session when it is reached.
    fn settle(&mut self) -> Option<SessionEnd> {
        let now = SystemTime::now();
        while let Some(output) = self.session.poll_output() {
            let item = match output {
                Output::Ready => {
                    self.ready = true;
                    continue;
                }
                Output::Reply { id, result } => {
                    if let Some(answer) = self.pending.remove(&id) {
                        // Nobody waits any more: then nobody need know.
                        let _ = answer.send(own_result(result));
                    }
                    continue;
                }
                Output::Event(text) => Item::Event(RawEvent {
                    text: text.to_owned(),
                    received: now,
                }),
                Output::Stray(text) => Item::Stray(text.to_owned()),
                Output::Garbage(garbage) => Item::Garbage(garbage),
                Output::Closed(reason) => return Some(reason),
            };
            self.events.0.push(item, now, self.forced);
        }
        if self.outbox.is_empty() && self.writable {
            self.outbox = self.session.poll_transmit().unwrap_or_default();
        }
        None
    }

    /// Sleeps until something happens, and takes it in.
    async fn sleep(&mut self) {
        let wake = self.next_wake().await;
        match wake {
            Wake::Read | Wake::Room => {}
            Wake::Eof => self.session.handle_eof(),
            Wake::ReadFailed(error) => {
                self.broken = CloseReason::of_io(&error);
                self.session.handle_eof();
            }
            Wake::Written(bytes) => {
                self.written += bytes;
                if self.written == self.outbox.len() {
                    self.outbox = Vec::new();
                    self.written = 0;
                }
            }
            Wake::WriteFailed => {
                self.writable = false;
                self.outbox = Vec::new();
                self.written = 0;
            }
            Wake::Request(request) => self.take_request(request),
            Wake::NoClients => self.clients = false,
            Wake::GaveUp => self.cancel_unawaited(),
            Wake::Deadline => self.session.handle_timeout(Instant::now().into_std()),
        }
    }

    /// Waits for the first thing that happens. Cancel safe: nothing is lost if it is dropped.
    async fn next_wake(&mut self) -> Wake {
        let deadline = self.session.poll_timeout().map(Instant::from_std);
        let needed = self.session.awaits_reply() || self.session.state() != State::Ready;
        let full = self.events.0.is_full();
        let reading = needed || !full;
        self.forced = needed && full;
        let Self {
            stream,
            session,
            requests,
            gave_up,
            events,
            outbox,
            written,
            clients,
            ..
        } = self;
        let unsent = outbox.get(*written..).unwrap_or_default();
        tokio::select! {
            wake = poll_fn(|cx| poll_stream(stream, session, unsent, reading, cx)) => wake,
            request = requests.recv(), if *clients => request.map_or(Wake::NoClients, Wake::Request),
            () = gave_up.notified() => Wake::GaveUp,
            () = events.0.room.notified() => Wake::Room,
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Wake::Deadline,
        }
    }

    fn take_request(&mut self, request: Request) {
        let Request {
            command,
            arguments,
            oob,
            answer,
        } = request;
        if answer.is_closed() {
            return;
        }
        match self.session.execute(&command, arguments.as_deref(), oob) {
            Ok(id) => drop(self.pending.insert(id, answer)),
            Err(refused) => drop(answer.send(Err(refused.into()))),
        }
    }

    /// Takes back the commands whose answers nobody waits for.
    fn cancel_unawaited(&mut self) {
        let session = &mut self.session;
        self.pending.retain(|id, answer| {
            if answer.is_closed() {
                session.cancel(*id);
            }
            !answer.is_closed()
        });
    }
}

/// Why a handshake failed.
pub(crate) enum HandshakeError {
    Session(SessionEnd),
    Io(io::Error),
}

/// Writes what is to be written, else reads what there is to read.
fn poll_stream(
    stream: &mut Box<dyn Transport>,
    session: &mut ClientSession,
    unsent: &[u8],
    reading: bool,
    cx: &mut Context<'_>,
) -> Poll<Wake> {
    if !unsent.is_empty()
        && let Poll::Ready(result) = Pin::new(&mut *stream).poll_write(cx, unsent)
    {
        return Poll::Ready(match result {
            Ok(bytes) if bytes > 0 => Wake::Written(bytes),
            Ok(_) | Err(_) => Wake::WriteFailed,
        });
    }
    if !reading {
        return Poll::Pending;
    }
    // On the stack: an idle connection holds no buffer.
    let mut chunk = [const { MaybeUninit::uninit() }; READ_CHUNK_MAX_BYTES];
    let mut buffer = ReadBuf::uninit(&mut chunk);
    Poll::Ready(match ready!(Pin::new(stream).poll_read(cx, &mut buffer)) {
        Ok(()) if buffer.filled().is_empty() => Wake::Eof,
        Ok(()) => {
            session.handle_input(buffer.filled());
            Wake::Read
        }
        Err(error) => Wake::ReadFailed(error),
    })
}

/// A result of its own, out of the session's buffer.
fn own_result(result: Result<&str, CommandError>) -> Result<Box<RawValue>, ExecuteError> {
    let text = result?.to_owned();
    RawValue::from_string(text).map_err(ExecuteError::Result)
}

impl From<RefusedCommand> for ExecuteError {
    fn from(refused: RefusedCommand) -> Self {
        match refused {
            RefusedCommand::Arguments(why) => Self::Arguments(why),
            refused => Self::Refused(refused),
        }
    }
}
