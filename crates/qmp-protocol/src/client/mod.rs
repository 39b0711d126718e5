//! The client's side of a conversation, without sockets and without a clock.
//!
//! # How to drive it
//!
//! Bytes that were read go in by [`ClientSession::handle_input`], the end of the stream by
//! [`ClientSession::handle_eof`], the time by [`ClientSession::handle_timeout`]. After any of these,
//! and after [`ClientSession::execute`], ask in this order until each has nothing more to give:
//! [`ClientSession::poll_output`] for what has happened, [`ClientSession::poll_transmit`] for bytes
//! to write, [`ClientSession::poll_timeout`] for the time to call `handle_timeout` at.
//!
//! # What can happen
//!
//! ```text
//! AwaitingGreeting ──greeting──► Negotiating ──its return──► Ready
//!        │                            │                        │
//!        └── no greeting in time,     └── refused, no answer   └── end of stream,
//!            no QMP, end of stream        in time, end             a second greeting
//!                        └────────────────────┴────────────────────────┴──► Closed
//! ```
//!
//! A session can be given up and gone on with by another, over the same connection and with nothing lost,
//! as long as somebody keeps the connection: [`ClientSession::resume`] begins in `Ready`,
//! [`ClientSession::take_over`] in `AwaitingGreeting`. [`ClientSession::offset`] says how far the stream
//! is done with.
//!
//! An event may come in any state but the last: QEMU up to 10.2 can send one before its greeting,
//! and any QEMU one before the return of the negotiation.

mod commands;
mod output;

use std::mem;
use std::time::{Duration, Instant};

pub use self::commands::{CommandId, RefusedCommand};
pub use self::output::{CloseReason, Output, State};

use self::commands::Commands;
use self::output::Verdict;
use crate::error::ErrorClass;
use crate::framer::{Cut, Framer, Span};
use crate::garbage::Garbage;
use crate::greeting::Greeting;
use crate::limits::GARBAGE_SAMPLE_MAX_BYTES;
use crate::message::{Reply, ServerMessage};

/// How a [`ClientSession`] behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// Enable out-of-band commands if they are offered.
    pub oob: bool,
    /// Until when, counted from the start, the session must be ready: greeted and negotiated.
    pub greeting_timeout: Duration,
}

impl Default for SessionOptions {
    /// No out-of-band commands, 4 seconds.
    fn default() -> Self {
        Self {
            oob: false,
            greeting_timeout: Duration::from_secs(4),
        }
    }
}

/// A client's conversation with one QMP server, from the first byte to the last.
///
/// ```
/// use std::time::Instant;
/// use qmp_protocol::{ClientSession, Output, SessionOptions};
///
/// let mut session = ClientSession::new(SessionOptions::default(), Instant::now());
/// session.handle_input(br#"{"QMP": {"version": {}, "capabilities": []}}"#);
/// assert_eq!(session.poll_output(), None);
/// assert_eq!(session.poll_transmit().unwrap(), b"{\"execute\":\"qmp_capabilities\",\"id\":0}\n");
/// session.handle_input(b"\r\n{\"return\": {}, \"id\": 0}\r\n");
/// assert_eq!(session.poll_output(), Some(Output::Ready));
///
/// let stop = session.execute("stop", None, false).unwrap();
/// assert_eq!(session.poll_transmit().unwrap(), b"{\"execute\":\"stop\",\"id\":1}\n");
/// session.handle_input(b"{\"event\": \"STOP\"}\r\n{\"return\": {}, \"id\": 1}\r\n");
/// assert_eq!(session.poll_output(), Some(Output::Event(r#"{"event": "STOP"}"#)));
/// assert_eq!(session.poll_output(), Some(Output::Reply { id: stop, result: Ok("{}") }));
/// ```
#[derive(Debug)]
pub struct ClientSession {
    options: SessionOptions,
    /// `None` if it is too far away to be a time.
    deadline: Option<Instant>,
    state: State,
    framer: Framer,
    greeting: Option<Greeting>,
    commands: Commands,
    /// The negotiation is to be sent.
    negotiation_due: bool,
    /// There may have been another session over this connection.
    second: bool,
    /// The stream has ended; what the framer still holds is to be given out.
    ended: bool,
    /// Why it was closed, until it is polled.
    closed: Option<Box<CloseReason>>,
}

impl ClientSession {
    /// A session over a connection that was made at `now`.
    pub fn new(options: SessionOptions, now: Instant) -> Self {
        Self {
            options,
            deadline: now.checked_add(options.greeting_timeout),
            state: State::AwaitingGreeting,
            framer: Framer::new(),
            greeting: None,
            commands: Commands::from(0),
            negotiation_due: false,
            second: false,
            ended: false,
            closed: None,
        }
    }

    /// A session over a connection whose first byte is still to be read, though another session may have
    /// looked at what came and negotiated. Taken over at `now`.
    ///
    /// Ids begin with `first_id`, which must be above all that the other session used; answers to those
    /// below it are dropped. A server that says it has negotiated already (`CommandNotFound`) is ready.
    pub fn take_over(options: SessionOptions, now: Instant, first_id: u64) -> Self {
        Self {
            commands: Commands::from(first_id),
            second: true,
            ..Self::new(options, now)
        }
    }

    /// Goes on with a session that was ready, from where in the stream that one stopped; see
    /// [`ClientSession::take_over`] for `first_id`.
    ///
    /// If it stopped within a message, the rest of that message comes out as garbage, and perhaps as
    /// [`Output::Stray`].
    pub fn resume(greeting: Greeting, oob: bool, first_id: u64) -> Self {
        let options = SessionOptions {
            oob,
            ..SessionOptions::default()
        };
        Self {
            options,
            deadline: None,
            state: State::Ready,
            framer: Framer::new(),
            greeting: Some(greeting),
            commands: Commands::from(first_id),
            negotiation_due: false,
            second: true,
            ended: false,
            closed: None,
        }
    }

    /// Where the conversation stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// What the server said first; `None` before it did.
    pub fn greeting(&self) -> Option<&Greeting> {
        self.greeting.as_ref()
    }

    /// True if out-of-band commands have been enabled (or are being negotiated).
    pub fn oob(&self) -> bool {
        self.options.oob && self.greeting.as_ref().is_some_and(Greeting::offers_oob)
    }

    /// True if some command waits to be sent or for its answer.
    pub fn awaits_reply(&self) -> bool {
        self.commands.awaits_reply()
    }

    /// How many in-band commands were sent and are not answered, cancelled ones included.
    pub fn in_flight(&self) -> usize {
        self.commands.in_band_in_flight()
    }

    /// Where in the stream the first byte stands that is in no output yet, counted from where the session
    /// began. To be asked when [`ClientSession::poll_output`] has given `None`.
    pub fn offset(&self) -> u64 {
        self.framer.offset()
    }

    /// What is held of a message that is not whole yet.
    pub fn unfinished(&self) -> &[u8] {
        self.framer.pending()
    }

    /// Gives memory back that is not needed until more bytes come.
    pub fn release_memory(&mut self) {
        self.framer.release_memory();
    }

    /// Takes bytes that were read. Needs a state other than [`State::Closed`]; then they are dropped.
    pub fn handle_input(&mut self, bytes: &[u8]) {
        if self.state != State::Closed {
            self.framer.push(bytes);
        }
    }

    /// The server will send no more.
    pub fn handle_eof(&mut self) {
        self.ended = true;
    }

    /// Tells the time. Closes the session if it should be ready by now and is not.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::AwaitingGreeting => self.shut(CloseReason::GreetingTimeout),
            State::Negotiating => self.shut(CloseReason::NegotiationTimeout),
            State::Ready | State::Closed => {}
        }
    }

    /// Queues a command. In [`State::AwaitingGreeting`] and [`State::Negotiating`] it waits until the
    /// session is ready; an out-of-band one needs the greeting. `arguments` is one JSON object.
    ///
    /// # Errors
    ///
    /// If the arguments are no JSON object, `oob` is asked for and not enabled, too many commands
    /// wait already, or the session is closed.
    pub fn execute(
        &mut self,
        command: &str,
        arguments: Option<&str>,
        oob: bool,
    ) -> Result<CommandId, RefusedCommand> {
        match self.state {
            State::Closed => Err(RefusedCommand::Closed),
            _ if oob && !self.oob() => Err(RefusedCommand::NoOob),
            _ => self.commands.add(command, arguments, oob),
        }
    }

    /// Gives up on a command. If it was not sent yet, it never will be; if it was, its reply is
    /// dropped when it comes.
    pub fn cancel(&mut self, id: CommandId) {
        self.commands.cancel(id);
    }

    /// Ends the session from our side; idempotent. The owner closes the socket.
    pub fn close(&mut self) {
        self.shut(CloseReason::ByUs);
    }

    /// What has happened next; `None` when more input is needed.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        let verdict = self.next_verdict()?;
        Some(match verdict {
            Verdict::Ready => Output::Ready,
            Verdict::Event(span) => Output::Event(self.framer.text(span)),
            Verdict::Returned(id, span, range) => Output::Reply {
                id,
                result: Ok(self.framer.text(span).get(range).unwrap_or_default()),
            },
            Verdict::Failed(id, error) => Output::Reply {
                id,
                result: Err(error),
            },
            Verdict::Stray(span) => Output::Stray(self.framer.text(span)),
            Verdict::Garbage(garbage) => Output::Garbage(garbage),
            Verdict::Closed(reason) => Output::Closed(reason),
        })
    }

    /// Bytes to write, whole commands; `None` when there is nothing to send now.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        match self.state {
            State::Negotiating => {
                mem::take(&mut self.negotiation_due).then(|| self.commands.negotiate(self.oob()))
            }
            State::Ready => self.commands.poll_transmit(),
            State::AwaitingGreeting | State::Closed => None,
        }
    }

    /// When to call [`ClientSession::handle_timeout`]; `None` when there is nothing to wait for.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::AwaitingGreeting | State::Negotiating => self.deadline,
            State::Ready | State::Closed => None,
        }
    }

    /// Reads on until something is worth telling.
    fn next_verdict(&mut self) -> Option<Verdict> {
        loop {
            if let Some(reason) = self.closed.take() {
                return Some(Verdict::Closed(*reason));
            }
            if self.state == State::Closed {
                return None;
            }
            let verdict = match self.framer.cut() {
                Some(Cut::Message(span)) => self.judge(span),
                Some(Cut::Garbage(garbage)) => self.judge_garbage(garbage),
                None if self.ends_here() => None,
                None => return None,
            };
            if verdict.is_some() {
                return verdict;
            }
        }
    }

    /// What a message means in this state; `None` if nobody need know.
    fn judge(&mut self, span: Span) -> Option<Verdict> {
        let text = self.framer.text(span);
        match (ServerMessage::classify(text), self.state) {
            (ServerMessage::Event(_), _) => Some(Verdict::Event(span)),
            (ServerMessage::Greeting(greeting), State::AwaitingGreeting) => {
                self.negotiate(greeting);
                None
            }
            (ServerMessage::Greeting(_), _) => {
                self.shut(CloseReason::StartedOver);
                None
            }
            (_, State::AwaitingGreeting) => {
                let sample = text.bytes().take(GARBAGE_SAMPLE_MAX_BYTES).collect();
                self.shut(CloseReason::NotQmp { sample });
                None
            }
            (ServerMessage::Reply(reply), _) => {
                let verdict = match reply.id.and_then(CommandId::read) {
                    None => Some(Verdict::Stray(span)),
                    Some(id) if self.commands.is_negotiation(id) => {
                        judge_negotiation(&mut self.state, self.second, &reply, span)
                    }
                    Some(id) => judge_reply(&mut self.commands, id, &reply, text, span),
                };
                self.apply(verdict)
            }
            (ServerMessage::Other, _) => Some(Verdict::Stray(span)),
        }
    }

    /// A refused negotiation closes the session.
    fn apply(&mut self, verdict: Option<Verdict>) -> Option<Verdict> {
        match verdict {
            Some(Verdict::Closed(reason)) => {
                self.shut(reason);
                None
            }
            verdict => verdict,
        }
    }

    fn judge_garbage(&mut self, garbage: Garbage) -> Option<Verdict> {
        if self.state == State::AwaitingGreeting {
            let sample = garbage.sample;
            self.shut(CloseReason::NotQmp { sample });
            return None;
        }
        Some(Verdict::Garbage(garbage))
    }

    /// No whole message is left. Closes if that is the end, or already known to be no QMP.
    fn ends_here(&mut self) -> bool {
        if self.state == State::AwaitingGreeting
            && let Some(garbage) = self.framer.unsettled()
        {
            let sample = garbage.sample.clone();
            self.shut(CloseReason::NotQmp { sample });
        } else if self.ended {
            let half = self.framer.finish();
            let during = self.state;
            self.shut(CloseReason::Eof { during, half });
        }
        self.state == State::Closed
    }

    fn negotiate(&mut self, greeting: Greeting) {
        self.greeting = Some(greeting);
        self.state = State::Negotiating;
        self.negotiation_due = true;
    }

    fn shut(&mut self, reason: CloseReason) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.closed = Some(Box::new(reason));
        }
    }
}

/// What the reply to the negotiation means.
fn judge_negotiation(
    state: &mut State,
    second: bool,
    reply: &Reply<'_>,
    span: Span,
) -> Option<Verdict> {
    if *state != State::Negotiating {
        return Some(Verdict::Stray(span));
    }
    match &reply.result {
        Err(error) if !(second && error.class == ErrorClass::CommandNotFound) => {
            Some(Verdict::Closed(CloseReason::Refused(error.clone())))
        }
        _ => {
            *state = State::Ready;
            Some(Verdict::Ready)
        }
    }
}

/// Whose reply it is.
fn judge_reply(
    commands: &mut Commands,
    id: CommandId,
    reply: &Reply<'_>,
    text: &str,
    span: Span,
) -> Option<Verdict> {
    match commands.answered(id) {
        commands::Answered::Ours => Some(match &reply.result {
            Ok(value) => Verdict::Returned(id, span, range_in(text, value)),
            Err(error) => Verdict::Failed(id, error.clone()),
        }),
        commands::Answered::Cancelled | commands::Answered::Before => None,
        commands::Answered::Unknown => Some(Verdict::Stray(span)),
    }
}

/// Where in the text a part of it stands.
fn range_in(text: &str, part: &str) -> std::ops::Range<usize> {
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.len()
}
