//! Where the messages are in a stream: by the structure of JSON, not by lines.
//!
//! # The stream
//!
//! QEMU writes one JSON object a message and ends it with CR LF; with `pretty=on` an object spans
//! many lines. We rely on neither: messages may follow each other with any white space or none. A
//! message is an object at the top level, checked against the grammar of JSON while it is read, so
//! that a fault is found where it is and not where the brackets happen to balance.
//!
//! # Recovery
//!
//! What is no message is garbage. The recordings that make garbage are concatenated captures of
//! QEMUs that died in the middle of a line, so the rule is: *half a message costs that half, never
//! the message after it*. Reading is taken up again
//!
//! * at the very `{` that JSON cannot have where it stands;
//! * at a `{` that ended a string which then turned out to be no string (`"event": "ST{"QMP": …`);
//! * at a nested object that begins as only whole messages do, if the object around it broke off
//!   (`{"timestamp": {"QMP": …}` and then `{`);
//! * else at the next `{` that starts a line, or follows a `}`, or begins as QEMU's messages do.

mod bytes;
mod grammar;
mod resync;

use self::grammar::{Fault, Grammar};
use self::resync::{Search, begins_like_a_message, brace_that_ended_a_string, swallowed_message};
use crate::garbage::GarbageKind;
use crate::limits::MESSAGE_SIZE_MAX_BYTES;

/// Finds messages in a window onto a stream, without copying; remembers how far it has looked.
///
/// The caller keeps the bytes. Every call of [`Scanner::step`] gets the bytes from the first one
/// that no step has taken yet, and at least as many as the call before: a buffer that grows at its
/// end, or what `MSG_PEEK` shows. Each byte is looked at once, however often the window grows.
///
/// ```
/// use qmp_protocol::{Scanner, Step};
///
/// let mut scanner = Scanner::new();
/// let window = b"{\"event\": \"STOP\"}\r\n{\"even";
/// assert_eq!(scanner.step(window), Step::Message(17));
/// assert_eq!(scanner.step(&window[17..]), Step::Blank(2));
/// assert_eq!(scanner.step(&window[19..]), Step::More);
/// ```
#[derive(Clone, Debug)]
pub struct Scanner {
    state: State,
    /// Bytes at the start of the window that need no second look.
    looked: usize,
    /// Where in the message that is.
    grammar: Grammar,
}

/// What stands at the start of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing can be said before more bytes are there.
    More,
    /// So many bytes of white space between messages.
    Blank(usize),
    /// A message of so many bytes: a JSON object, but for its UTF-8, which is not checked.
    Message(usize),
    /// So many bytes (possibly none) that are no message.
    Garbage {
        /// How many bytes.
        len: usize,
        /// Why they are no message; the same for all parts of one piece of garbage.
        why: GarbageKind,
        /// True if the next step goes on with the same piece.
        open: bool,
    },
}

/// Where in the stream the window starts.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Between two messages.
    Between,
    /// At the first byte of a message.
    Message,
    /// In garbage.
    Lost {
        why: GarbageKind,
        /// The last byte that was taken.
        before: u8,
    },
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self {
            state: State::Between,
            looked: 0,
            grammar: Grammar::new(),
        }
    }

    /// Says what the window starts with. Unless it is [`Step::More`], the next window starts behind
    /// the bytes named in the answer.
    pub fn step(&mut self, window: &[u8]) -> Step {
        match self.state {
            State::Between => self.between(window),
            State::Message => self.message(window),
            State::Lost { why, before } => self.lost(window, 0, why, before),
        }
    }

    /// Says what the rest of a stream is that ends with this window, after [`Scanner::step`] asked
    /// for more: garbage, or nothing (`None`). The window must be the one of that call.
    ///
    /// If the garbage is shorter than the window, go on stepping behind it: a whole message was
    /// found inside half of another.
    pub fn finish(&mut self, window: &[u8]) -> Option<Step> {
        let (len, why) = match self.state {
            State::Between => return None,
            State::Lost { why, .. } => (window.len(), why),
            State::Message => {
                match swallowed_message(window, window.len(), self.grammar.last_object()) {
                    Some(at) => (at, GarbageKind::CutShort),
                    None => (window.len(), GarbageKind::Unfinished),
                }
            }
        };
        self.state = State::Between;
        Some(Step::Garbage {
            len,
            why,
            open: false,
        })
    }

    /// True while the window starts inside a piece of garbage.
    pub fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost { .. })
    }

    fn between(&mut self, window: &[u8]) -> Step {
        let blank = window.iter().take_while(|byte| is_blank(**byte)).count();
        match window.get(blank) {
            _ if blank > 0 => Step::Blank(blank),
            None => Step::More,
            Some(b'{') => {
                self.state = State::Message;
                self.looked = self.grammar.begin(window);
                self.message(window)
            }
            Some(_) => self.lost(window, 1, GarbageKind::OutsideMessage, b' '),
        }
    }

    fn message(&mut self, window: &[u8]) -> Step {
        // Never looks past the limit, so that the verdict does not depend on how much came at once.
        let view = window.get(..MESSAGE_SIZE_MAX_BYTES).unwrap_or(window);
        match self.grammar.read(view, self.looked) {
            Ok(at) if self.grammar.is_complete() => return self.complete(at),
            Ok(at) => self.looked = at,
            Err(fault) => return self.fault(window, &fault),
        }
        if view.len() == MESSAGE_SIZE_MAX_BYTES {
            return self.lost(window, view.len(), GarbageKind::TooLarge, b' ');
        }
        Step::More
    }

    fn complete(&mut self, len: usize) -> Step {
        self.state = State::Between;
        if self.grammar.is_sound() {
            return Step::Message(len);
        }
        Step::Garbage {
            len,
            why: GarbageKind::NotJson,
            open: false,
        }
    }

    /// The message is none. Finds where to go on.
    fn fault(&mut self, window: &[u8], fault: &Fault) -> Step {
        let Fault { at, why } = *fault;
        let restart = match (why, window.get(at)) {
            (GarbageKind::UnexpectedByte, Some(b'{')) => {
                Some(swallowed_message(window, at, self.grammar.last_object()).unwrap_or(at))
            }
            (GarbageKind::UnexpectedByte, _) => brace_that_ended_a_string(window, at),
            // Perhaps a pretty message began inside the string: `{`, then the line ends.
            (GarbageKind::ControlCharacter, _) if window[..at].ends_with(b"{") => {
                match begins_like_a_message(&window[at - 1..]) {
                    Some(begins) => begins.then_some(at - 1),
                    None => {
                        // Comes here again when the bytes that decide are there.
                        self.looked = at;
                        return Step::More;
                    }
                }
            }
            _ => None,
        };
        match restart {
            Some(len) => {
                self.state = State::Between;
                Step::Garbage {
                    len,
                    why: GarbageKind::CutShort,
                    open: false,
                }
            }
            None => self.lost(window, at, why, b' '),
        }
    }

    /// Takes garbage up to the next place that may start a message, searched from `from` on.
    fn lost(&mut self, window: &[u8], from: usize, why: GarbageKind, before: u8) -> Step {
        let (len, open) = match resync::search(window, from, before) {
            Search::Found(at) => (at, false),
            Search::Hold(at) => (at, true),
            Search::Nothing => (window.len(), true),
        };
        if !open {
            self.state = State::Between;
        } else if len == 0 {
            return Step::More;
        } else {
            let before = window.get(len - 1).copied().unwrap_or(before);
            self.state = State::Lost { why, before };
        }
        Step::Garbage { len, why, open }
    }
}

/// JSON's white space.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
