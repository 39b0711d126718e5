//! The handle through which a machine speaks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use qmp_events::{DecodeError, Envelope, Event, EventKind, Message, Timestamp, json};
use qmp_protocol::monitor::{LatchKey, LimitKey, Personality, Ticket};

use crate::commands::CommandResult;
use crate::hub::{Hub, Outgoing, SessionId, Stats};
use crate::waker::Waker;

/// Emits a machine's events; clones are cheap and work from any thread.
///
/// Emitting never waits for a client and runs no code of the embedder: it prints the event, takes one
/// lock, asks the rate limiter and copies the line into the output of each client that negotiated.
#[derive(Clone, Debug)]
pub struct Emitter {
    shared: Arc<Shared>,
}

/// What the emitters and the driver of one machine have in common.
#[derive(Debug)]
struct Shared {
    hub: Mutex<Hub>,
    personality: Personality,
    waker: Waker,
    closing: AtomicBool,
}

impl Emitter {
    pub(crate) fn new(hub: Hub, waker: Waker) -> Self {
        let shared = Shared {
            personality: hub.personality().clone(),
            hub: Mutex::new(hub),
            waker,
            closing: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// An event happened now.
    pub fn emit<'a>(&self, event: impl Into<Event<'a>>) {
        self.emit_message(&Message::new(now(), event));
    }

    /// An event happened at the time it says. A stamp it lacks is not added.
    pub fn emit_message(&self, message: &Message<'_>) {
        let kind = message.event.kind();
        let data = kind.and_then(|kind| self.key_data(kind, || message.event.data_json()));
        self.emit_outgoing(self.outgoing(kind, data.as_deref(), message.encode()));
    }

    /// An event given as the JSON text of its message, such as a line of a recording. Members stay as they
    /// are and in their order.
    ///
    /// # Errors
    /// The text is no event.
    pub fn emit_text(&self, text: &str) -> Result<(), DecodeError> {
        let event = Envelope::read(text)?;
        let kind = EventKind::from_name(&event.name);
        self.emit_outgoing(self.outgoing(kind, event.data, json::compact(text)));
        Ok(())
    }

    /// As [`Emitter::emit_text`], but sent at once, whatever was sent before: for what has passed a rate
    /// limit already, as a recording has.
    ///
    /// # Errors
    /// The text is no event.
    pub fn emit_unlimited(&self, text: &str) -> Result<(), DecodeError> {
        Envelope::read(text)?;
        self.emit_outgoing(Outgoing {
            line: json::compact(text),
            limit: None,
            latch: None,
        });
        Ok(())
    }

    /// What became of the events so far.
    pub fn stats(&self) -> Stats {
        self.hub().stats()
    }

    /// Ends the monitor, as QEMU's process ends: what waits for the clients is written as far as they take
    /// it at once, events held back are dropped, connections are closed.
    ///
    /// From inside a command it takes effect after the command's reply.
    pub fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.waker.wake();
    }

    pub(crate) fn reply(&self, session: SessionId, ticket: Ticket, result: CommandResult) {
        self.hub().reply(session, ticket, result);
        self.shared.waker.wake();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.shared.closing.load(Ordering::Acquire)
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.shared.waker
    }

    pub(crate) fn hub(&self) -> MutexGuard<'_, Hub> {
        // The hub is consistent between any two of its steps.
        self.shared
            .hub
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A line with what may hold it back.
    fn outgoing(&self, kind: Option<EventKind>, data: Option<&str>, line: String) -> Outgoing {
        let version = self.shared.personality.version;
        Outgoing {
            line,
            limit: kind.and_then(|kind| LimitKey::of(kind, data, version)),
            latch: kind.and_then(|kind| LatchKey::of(kind, data)),
        }
    }

    fn emit_outgoing(&self, event: Outgoing) {
        let mut hub = self.hub();
        let due = hub.poll_timeout();
        let any = hub.emit(Instant::now(), event);
        let sooner = hub.poll_timeout() != due;
        drop(hub);
        if any || sooner {
            self.shared.waker.wake();
        }
    }

    /// The event's data, but only if its limit asks for it: printing it twice is not free.
    fn key_data(&self, kind: EventKind, data: impl FnOnce() -> Option<String>) -> Option<String> {
        let facts = kind.facts();
        let limit = facts.limit_at(self.shared.personality.version);
        let keyed = limit.is_some_and(|limit| limit.key.is_some() || limit.except.is_some());
        if keyed || facts.latch.is_some() {
            return data();
        }
        None
    }
}

/// The time on the host's clock.
pub(crate) fn now() -> Timestamp {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => match i64::try_from(since.as_micros()) {
            Ok(us) => Timestamp::from_unix_micros(us),
            Err(_) => Timestamp::UNKNOWN,
        },
        // Before 1970: no clock was ever set.
        Err(_) => Timestamp::UNKNOWN,
    }
}
