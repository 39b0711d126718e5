//! What a session tells its owner.

use std::ops::Range;

use super::CommandId;
use crate::error::CommandError;
use crate::framer::Span;
use crate::garbage::Garbage;

/// Where a conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Connected; the server has not introduced itself.
    AwaitingGreeting,
    /// Greeted; the answer to our `qmp_capabilities` is still to come.
    Negotiating,
    /// Commands are answered, events are sent.
    Ready,
    /// Over; nothing more goes in or comes out.
    Closed,
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<'a> {
    /// The negotiation is done: from here on every event is heard.
    Ready,
    /// An event, the whole object as sent.
    Event(&'a str),
    /// The answer to a command.
    Reply {
        /// Which command.
        id: CommandId,
        /// What it returned, as raw JSON, or its error.
        result: Result<&'a str, CommandError>,
    },
    /// A message that is no event and answers no command of ours: a reply without `id` (to something
    /// that QEMU could not parse), one with an unknown `id`, or no QMP at all.
    Stray(&'a str),
    /// Bytes that are no message. The session goes on behind them.
    Garbage(Garbage),
    /// The session is over. The last output.
    Closed(CloseReason),
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Nothing came in time: most probably another client holds the monitor.
    GreetingTimeout,
    /// The greeting came, the answer to the negotiation did not: QEMU's main loop is stuck.
    NegotiationTimeout,
    /// What came first is no greeting.
    NotQmp {
        /// The first bytes of it.
        sample: Vec<u8>,
    },
    /// The negotiation failed.
    Refused(CommandError),
    /// The stream ended.
    Eof {
        /// The state in which it ended.
        during: State,
        /// A message that had only begun.
        half: Option<Garbage>,
    },
    /// A second greeting: something between us and QEMU kept the connection while QEMU, or its
    /// monitor, was replaced. It hears no commands before another negotiation, so start over.
    StartedOver,
    /// [`ClientSession::close`](super::ClientSession::close) was called.
    ByUs,
}

/// An [`Output`] whose text is still in the framer.
#[derive(Debug)]
pub(super) enum Verdict {
    Ready,
    Event(Span),
    /// The value stands at this place of the message.
    Returned(CommandId, Span, Range<usize>),
    Failed(CommandId, CommandError),
    Stray(Span),
    Garbage(Garbage),
    Closed(CloseReason),
}
