//! One client's conversation with a monitor, seen from the monitor.
//!
//! ```text
//! bytes ─► handle_input ─► parser ─► queue (8) ─► poll_request ─► whoever runs commands
//!                                                                      │
//! bytes ◄─ output ◄──────────────────── handle_event, reply ◄──────────┘
//! ```
//!
//! The session asks nobody and runs nothing: it hands out one in-band command at a time and waits for its
//! [`MonitorSession::reply`]; input is read on behind a running command only as far as QEMU does (8
//! messages with out-of-band execution, none without).

use std::collections::VecDeque;
use std::mem;

use thiserror::Error;

use super::arguments::{Arguments, generic, not_found};
use super::dialect::{Dialect, ParseError};
use super::parser::Parser;
use super::personality::Personality;
use super::print;
use super::request::{self, Shaped, Wording};
use super::value::{Object, Value};
use crate::CommandError;
use crate::limits::{
    MONITOR_INPUT_MAX_BYTES, MONITOR_OUTPUT_IDLE_MAX_BYTES, MONITOR_OUTPUT_MAX_BYTES,
    MONITOR_QUEUE_MAX_COMMANDS,
};

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The client was greeted and has not negotiated: it gets no events, and none are kept for it.
    Negotiating,
    /// The client gets events and may send commands.
    Ready {
        /// It asked for out-of-band execution.
        oob: bool,
    },
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Closed {
    /// The client left.
    #[error("the client left")]
    Left,
    /// The client does not read what it is sent.
    #[error(
        "the client does not read: {unread_bytes} bytes wait for it, the limit is {limit_bytes}"
    )]
    NotReading {
        /// Bytes it left unread.
        unread_bytes: usize,
        /// How many it may.
        limit_bytes: usize,
    },
    /// More input was handed in than [`MonitorSession::wants_input`] asked for.
    #[error("more than {MONITOR_INPUT_MAX_BYTES} bytes of input wait behind a running command")]
    InputOverflow,
}

/// Names a command that waits for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A command to be run and replied to.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// To be given back with the reply.
    pub ticket: Ticket,
    /// Name of the command.
    pub name: String,
    /// Its arguments; empty if none were sent.
    pub arguments: Object,
    /// The client asked for execution out of band: at once, whatever else is running.
    pub oob: bool,
}

/// The state of one conversation. Methods sort into what comes in (`handle_*`), what is to be done
/// (`poll_request`, answered by `reply`) and what goes out (`output`).
#[derive(Debug)]
pub struct MonitorSession {
    personality: Personality,
    mode: Mode,
    parser: Parser,
    /// Bytes of the client; those not yet parsed wait behind a running command.
    input: Vec<u8>,
    /// Bytes of `input` already parsed.
    input_parsed: usize,
    /// The client sends nothing more.
    eof: bool,
    /// In-band messages waiting for their turn, malformed ones included.
    queue: VecDeque<Result<Value, ParseError>>,
    /// Out-of-band messages, which do not wait.
    urgent: VecDeque<Value>,
    running: Option<Running>,
    running_oob: Option<Running>,
    tickets: u64,
    output: Vec<u8>,
    /// Bytes of `output` already taken.
    output_taken: usize,
    output_max_bytes: usize,
    closed: Option<Closed>,
}

/// A command handed out and not yet replied to.
#[derive(Debug)]
struct Running {
    ticket: Ticket,
    id: Option<Value>,
}

impl MonitorSession {
    /// A client connected: the greeting waits in [`MonitorSession::output`].
    pub fn new(personality: Personality) -> Self {
        let greeting = personality.greeting();
        let parser = Parser::new(Dialect::of(personality.version));
        let mut session = Self {
            personality,
            mode: Mode::Negotiating,
            parser,
            input: Vec::new(),
            input_parsed: 0,
            eof: false,
            queue: VecDeque::new(),
            urgent: VecDeque::new(),
            running: None,
            running_oob: None,
            tickets: 0,
            output: Vec::new(),
            output_taken: 0,
            output_max_bytes: MONITOR_OUTPUT_MAX_BYTES,
            closed: None,
        };
        session.send_value(&greeting);
        session
    }

    /// How many bytes may wait for the client before it is given up; [`MONITOR_OUTPUT_MAX_BYTES`] unless
    /// told otherwise. QEMU has no such limit and grows instead.
    #[must_use]
    pub fn with_output_limit(mut self, bytes: usize) -> Self {
        self.output_max_bytes = bytes;
        self
    }

    /// This client came where another was, whose in-band command still runs: as QEMU keeps one monitor for
    /// all who come through a socket, this one will get the answer, with the other's `id`, even before it
    /// has negotiated. To be called before any input was handed in.
    pub fn take_over(&mut self, left: Self) {
        self.running = left.running;
        self.tickets = left.tickets;
    }

    /// How far the conversation has come.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Why the session is over; `None` while it is not. A session that is over takes nothing more.
    pub fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// Whether the client's bytes should be read now; false while input is suspended behind a command.
    pub fn wants_input(&self) -> bool {
        self.closed.is_none() && !self.eof && self.input.is_empty() && !self.suspended()
    }

    /// Takes bytes of the client. Ask [`MonitorSession::poll_request`] afterwards.
    pub fn handle_input(&mut self, bytes: &[u8]) {
        if self.closed.is_some() || self.eof {
            return;
        }
        if self.input.len() + bytes.len() > MONITOR_INPUT_MAX_BYTES {
            self.close(Closed::InputOverflow);
            return;
        }
        self.input.extend_from_slice(bytes);
    }

    /// The client closed its side. What is queued or half read is dropped. The session ends, or, where input
    /// is suspended behind a command and QEMU would not have seen the end yet, with the reply to it.
    pub fn handle_eof(&mut self) {
        self.eof = true;
        self.queue.clear();
        self.urgent.clear();
        self.input.clear();
        self.input_parsed = 0;
        if !self.suspended() {
            self.close(Closed::Left);
        }
    }

    /// An event happened: `line` is its message as QEMU prints it, without line end. It is lost to a
    /// client that has not negotiated.
    ///
    /// # Returns
    /// Whether the client will get it.
    pub fn handle_event(&mut self, line: &str) -> bool {
        let ready = matches!(self.mode, Mode::Ready { .. });
        if ready {
            self.send(line);
        }
        ready && self.closed.is_none()
    }

    /// The next command to run. What the session can answer by itself (negotiation, malformed input) it
    /// has answered by then. `None` until there is more input or [`MonitorSession::reply`] was called.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.next_request(true)
    }

    /// As [`MonitorSession::poll_request`], but out-of-band commands only: while the machine is busy with
    /// the in-band command of another session.
    pub fn poll_oob_request(&mut self) -> Option<Request> {
        self.next_request(false)
    }

    /// Answers a command. A ticket that is not waited for (answered already) is passed over.
    pub fn reply(&mut self, ticket: Ticket, result: Result<Value, CommandError>) {
        let slots = [&mut self.running, &mut self.running_oob];
        let waiting = slots.into_iter().find(|slot| {
            slot.as_ref()
                .is_some_and(|running| running.ticket == ticket)
        });
        if let Some(running) = waiting.and_then(Option::take) {
            self.send_reply(result, running.id.as_ref());
        }
        self.close_if_left();
    }

    /// The bytes that wait for the client.
    pub fn output(&self) -> &[u8] {
        self.output.get(self.output_taken..).unwrap_or(&[])
    }

    /// This many bytes of [`MonitorSession::output`] were written.
    pub fn consume_output(&mut self, bytes: usize) {
        self.output_taken = self.output.len().min(self.output_taken + bytes);
        if self.output_taken == self.output.len() {
            self.output.clear();
            self.output.shrink_to(MONITOR_OUTPUT_IDLE_MAX_BYTES);
            self.output_taken = 0;
        }
    }

    /// Ends the session; what waits for the client may still be written, except for one that does not
    /// read. The first reason stays.
    pub fn close(&mut self, reason: Closed) {
        if self.closed.is_some() {
            return;
        }
        if let Closed::NotReading { .. } = reason {
            self.output = Vec::new();
            self.output_taken = 0;
        }
        self.input = Vec::new();
        self.queue.clear();
        self.urgent.clear();
        self.closed = Some(reason);
    }

    fn next_request(&mut self, in_band: bool) -> Option<Request> {
        while self.closed.is_none() {
            if self.running_oob.is_some() {
                return None;
            }
            if let Some(message) = self.urgent.pop_front() {
                if let Some(request) = self.begin(&message, true) {
                    return Some(request);
                }
            } else if in_band && self.running.is_none() && !self.queue.is_empty() {
                let request = match self.queue.pop_front()? {
                    Ok(message) => self.begin(&message, false),
                    Err(error) => {
                        self.send_reply(Err(generic(error.to_string())), None);
                        None
                    }
                };
                if request.is_some() {
                    return request;
                }
            } else if self.suspended() || !self.parse_one() {
                return None;
            }
        }
        None
    }

    fn close_if_left(&mut self) {
        if self.eof && self.running.is_none() && self.running_oob.is_none() {
            self.close(Closed::Left);
        }
    }

    /// QEMU reads no further: a queue of eight with out-of-band execution, else one command at a time.
    fn suspended(&self) -> bool {
        if self.running_oob.is_some() {
            return true;
        }
        match self.mode {
            Mode::Ready { oob: true } => self.queue.len() >= MONITOR_QUEUE_MAX_COMMANDS,
            _ => self.running.is_some() || !self.queue.is_empty(),
        }
    }

    /// Parses one message; false if the input has none.
    fn parse_one(&mut self) -> bool {
        let mut rest = self.input.get(self.input_parsed..).unwrap_or(&[]);
        let message = self.parser.next(&mut rest);
        self.input_parsed = self.input.len() - rest.len();
        if rest.is_empty() {
            self.input.clear();
            self.input_parsed = 0;
        }
        match message {
            None => return false,
            Some(Ok(message)) if request::is_urgent(&message) => self.urgent.push_back(message),
            Some(message) => self.queue.push_back(message),
        }
        true
    }

    /// Answers a message or makes a request of it.
    fn begin(&mut self, message: &Value, urgent: bool) -> Option<Request> {
        let id = request::id(message);
        let oob_enabled = self.mode == Mode::Ready { oob: true };
        let wording = Wording::of(self.personality.version);
        match request::shape(message, oob_enabled, wording) {
            Err(error) => self.send_reply(Err(error), id.as_ref()),
            Ok(shaped) if !shaped.oob && shaped.name == NEGOTIATION => {
                let result = self.negotiate(&shaped);
                self.send_reply(result, id.as_ref());
            }
            Ok(_) if self.mode == Mode::Negotiating => {
                let error = format!("Expecting capabilities negotiation with '{NEGOTIATION}'");
                self.send_reply(Err(not_found(error)), id.as_ref());
            }
            Ok(shaped) => {
                self.tickets += 1;
                let ticket = Ticket(self.tickets);
                let slot = if urgent {
                    &mut self.running_oob
                } else {
                    &mut self.running
                };
                *slot = Some(Running { ticket, id });
                return Some(Request {
                    ticket,
                    name: shaped.name,
                    arguments: shaped.arguments,
                    oob: shaped.oob,
                });
            }
        }
        None
    }

    /// Runs `qmp_capabilities`. Events flow from here on, ahead of the reply.
    fn negotiate(&mut self, command: &Shaped) -> Result<Value, CommandError> {
        let mut arguments = Arguments::new(&command.arguments);
        let enable = arguments
            .optional_words("enable", &[OOB])?
            .unwrap_or_default();
        arguments.finish()?;
        // As with any command of QEMU's, its arguments are looked at before its sense.
        if self.mode != Mode::Negotiating {
            let desc = "Capabilities negotiation is already complete, command ignored";
            return Err(not_found(desc));
        }
        let oob = !enable.is_empty();
        if oob && !self.personality.oob {
            return Err(generic(format!("Capability {OOB} not available")));
        }
        self.mode = Mode::Ready { oob };
        Ok(Object::new().into())
    }

    fn send_reply(&mut self, result: Result<Value, CommandError>, id: Option<&Value>) {
        let reply = match result {
            Ok(value) => Object::new().with("return", value),
            Err(error) => {
                let error = Object::new()
                    .with("class", error.class.as_str())
                    .with("desc", error.desc);
                Object::new().with("error", error)
            }
        };
        self.send_value(&reply.with_some("id", id.cloned()).into());
    }

    fn send_value(&mut self, value: &Value) {
        self.send(&print::compact(value));
    }

    /// Puts one message, given on one line, into the output.
    fn send(&mut self, line: &str) {
        if self.closed.is_some() {
            return;
        }
        if self.personality.pretty {
            let lines = print::pretty(line).replace('\n', LINE_END);
            self.output.extend_from_slice(lines.as_bytes());
        } else {
            self.output.extend_from_slice(line.as_bytes());
        }
        self.output.extend_from_slice(LINE_END.as_bytes());
        let unread_bytes = self.output().len();
        if unread_bytes > self.output_max_bytes {
            let limit_bytes = self.output_max_bytes;
            self.close(Closed::NotReading {
                unread_bytes,
                limit_bytes,
            });
        } else if self.output_taken >= unread_bytes {
            // As much was written as waits: moving the rest costs no more than it saved.
            let unread = self.output.split_off(mem::take(&mut self.output_taken));
            self.output = unread;
        }
    }
}

/// The command that ends negotiation.
const NEGOTIATION: &str = "qmp_capabilities";

/// The one capability there is.
const OOB: &str = "oob";

/// How QEMU ends its lines.
const LINE_END: &str = "\r\n";
