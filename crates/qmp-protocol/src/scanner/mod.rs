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
mod resync;

use self::bytes::{is_json_scalar, plain_len};
use self::resync::{Search, begins_like_a_message, brace_that_ended_a_string, swallowed_message};
use crate::garbage::GarbageKind;
use crate::layout::{STAMP_AT, event_name_at};
use crate::limits::{MESSAGE_SIZE_MAX_BYTES, NESTING_DEPTH_MAX_LEVELS};

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
    token: Token,
    expect: Expect,
    open: Vec<Open>,
    /// Start of the object that was closed last, inside the message.
    last_object: usize,
    /// No scalar or escape so far that JSON does not know.
    sound: bool,
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

/// What is being read.
#[derive(Clone, Copy, Debug)]
enum Token {
    None,
    String(Escape),
    /// A number or word that began here.
    Scalar(usize),
}

/// Where in a string.
#[derive(Clone, Copy, Debug)]
enum Escape {
    None,
    /// After a backslash.
    Backslash,
    /// In a `\uXXXX`, with so many digits to come.
    Digits(u8),
}

/// What the grammar allows next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    KeyOrEnd,
    Key,
    Colon,
    Value,
    ValueOrEnd,
    SeparatorOrEnd,
}

/// A bracket that waits for its partner.
#[derive(Clone, Copy, Debug)]
struct Open {
    at: usize,
    object: bool,
}

/// A byte that ends the hope of a message.
struct Fault {
    at: usize,
    why: GarbageKind,
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
            token: Token::None,
            expect: Expect::KeyOrEnd,
            open: Vec::new(),
            last_object: 0,
            sound: true,
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
            State::Message => match swallowed_message(window, window.len(), self.last_object) {
                Some(at) => (at, GarbageKind::CutShort),
                None => (window.len(), GarbageKind::Unfinished),
            },
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
                self.begin();
                self.skip_stamp(window);
                self.message(window)
            }
            Some(_) => self.lost(window, 1, GarbageKind::OutsideMessage, b' '),
        }
    }

    /// The window's first byte is the `{` of a message.
    fn begin(&mut self) {
        self.state = State::Message;
        self.looked = 1;
        self.token = Token::None;
        self.expect = Expect::KeyOrEnd;
        self.open.clear();
        self.open.push(Open {
            at: 0,
            object: true,
        });
        self.last_object = 0;
        self.sound = true;
    }

    /// The short way over the first half of most messages, to where the long way would have led.
    fn skip_stamp(&mut self, window: &[u8]) {
        if let Some(at) = event_name_at(window) {
            self.looked = at;
            self.expect = Expect::Value;
            self.last_object = STAMP_AT;
        }
    }

    fn message(&mut self, window: &[u8]) -> Step {
        // Never looks past the limit, so that the verdict does not depend on how much came at once.
        let view = window.get(..MESSAGE_SIZE_MAX_BYTES).unwrap_or(window);
        let mut at = self.looked;
        while at < view.len() {
            let next = match self.token {
                Token::String(Escape::None) => self.string(view, at),
                Token::String(escape) => self.escape(view[at], at, escape),
                Token::Scalar(start) => Ok(self.scalar(view, start, at)),
                Token::None => self.structure(view, at),
            };
            match next {
                Ok(next) => at = next,
                Err(fault) => return self.fault(window, &fault),
            }
            if self.open.is_empty() {
                return self.complete(at);
            }
        }
        self.looked = at;
        if view.len() == MESSAGE_SIZE_MAX_BYTES {
            return self.lost(window, at, GarbageKind::TooLarge, b' ');
        }
        Step::More
    }

    /// From outside strings and scalars to the end of the message, of the view, or into a token that
    /// goes on behind the view.
    #[inline]
    fn structure(&mut self, view: &[u8], from: usize) -> Result<usize, Fault> {
        use Expect::{Colon, Key, KeyOrEnd, SeparatorOrEnd, Value, ValueOrEnd};
        let mut at = from;
        while let Some(&byte) = view.get(at) {
            at = match (byte, self.expect) {
                (b' ' | b'\r' | b'\n' | b'\t', _) => at + 1,
                (b'"', Key | KeyOrEnd) => {
                    self.expect = Colon;
                    self.whole_string(view, at + 1)?
                }
                (b'"', Value | ValueOrEnd) => {
                    self.expect = SeparatorOrEnd;
                    self.whole_string(view, at + 1)?
                }
                (b':', Colon) => {
                    self.expect = Value;
                    behind_one_space(view, at + 1)
                }
                (b',', SeparatorOrEnd) => {
                    let in_object = self.open.last().is_some_and(|open| open.object);
                    self.expect = if in_object { Key } else { Value };
                    behind_one_space(view, at + 1)
                }
                (b'{' | b'[', Value | ValueOrEnd) => self.open(byte == b'{', at)?,
                (b'}' | b']', _) => {
                    self.close(byte == b'}', at)?;
                    if self.open.is_empty() {
                        return Ok(at + 1);
                    }
                    at + 1
                }
                (b'-' | b'0'..=b'9' | b'a'..=b'z', Value | ValueOrEnd) => {
                    self.expect = SeparatorOrEnd;
                    self.scalar(view, at, at)
                }
                _ => return Err(unexpected(at)),
            };
            if !matches!(self.token, Token::None) {
                break;
            }
        }
        Ok(at)
    }

    /// A string behind its first quote. Mostly it is plain and ends in the view.
    #[inline]
    fn whole_string(&mut self, view: &[u8], from: usize) -> Result<usize, Fault> {
        self.token = Token::String(Escape::None);
        self.string(view, from)
    }

    fn open(&mut self, object: bool, at: usize) -> Result<usize, Fault> {
        if self.open.len() == NESTING_DEPTH_MAX_LEVELS {
            let why = GarbageKind::TooDeep;
            return Err(Fault { at, why });
        }
        self.open.push(Open { at, object });
        self.expect = if object {
            Expect::KeyOrEnd
        } else {
            Expect::ValueOrEnd
        };
        Ok(at + 1)
    }

    fn close(&mut self, object: bool, at: usize) -> Result<usize, Fault> {
        let may_be_empty = if object {
            Expect::KeyOrEnd
        } else {
            Expect::ValueOrEnd
        };
        match self.open.last() {
            Some(open) if open.object == object => {
                if self.expect != Expect::SeparatorOrEnd && self.expect != may_be_empty {
                    return Err(unexpected(at));
                }
                if object {
                    self.last_object = open.at;
                }
            }
            _ => {
                let why = GarbageKind::MismatchedBracket;
                return Err(Fault { at, why });
            }
        }
        self.open.pop();
        self.expect = Expect::SeparatorOrEnd;
        Ok(at + 1)
    }

    /// From inside a string to its end, the next escape, or the end of the view.
    #[inline]
    fn string(&mut self, view: &[u8], from: usize) -> Result<usize, Fault> {
        let at = from + plain_len(&view[from..]);
        match view.get(at) {
            None => return Ok(at),
            Some(b'"') => self.token = Token::None,
            Some(b'\\') => self.token = Token::String(Escape::Backslash),
            Some(_) => {
                let why = GarbageKind::ControlCharacter;
                return Err(Fault { at, why });
            }
        }
        Ok(at + 1)
    }

    /// One byte of an escape. A wrong one spoils the message but not its structure.
    fn escape(&mut self, byte: u8, at: usize, escape: Escape) -> Result<usize, Fault> {
        let next = match (escape, byte) {
            (_, 0..0x20) => {
                let why = GarbageKind::ControlCharacter;
                return Err(Fault { at, why });
            }
            (Escape::Backslash, b'u') => Escape::Digits(4),
            (Escape::Backslash, byte) => {
                self.sound &= b"\"\\/bfnrt".contains(&byte);
                Escape::None
            }
            (Escape::Digits(left), byte) if byte.is_ascii_hexdigit() && left > 1 => {
                Escape::Digits(left - 1)
            }
            (Escape::Digits(_), byte) if byte.is_ascii_hexdigit() => Escape::None,
            _ => {
                // Not a digit: what the byte is, the string decides.
                self.sound = false;
                self.token = Token::String(Escape::None);
                return Ok(at);
            }
        };
        self.token = Token::String(next);
        Ok(at + 1)
    }

    /// From inside a number or word to its end, or the end of the view.
    fn scalar(&mut self, view: &[u8], start: usize, from: usize) -> usize {
        let rest = &view[from..];
        let len = rest.iter().take_while(|byte| is_scalar(**byte)).count();
        if len < rest.len() {
            self.sound &= is_json_scalar(&view[start..from + len]);
            self.token = Token::None;
        } else {
            self.token = Token::Scalar(start);
        }
        from + len
    }

    fn complete(&mut self, len: usize) -> Step {
        self.state = State::Between;
        if self.sound {
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
                Some(swallowed_message(window, at, self.last_object).unwrap_or(at))
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

/// QEMU puts one space behind each separator.
#[inline]
fn behind_one_space(view: &[u8], at: usize) -> usize {
    at + usize::from(view.get(at) == Some(&b' '))
}

fn unexpected(at: usize) -> Fault {
    Fault {
        at,
        why: GarbageKind::UnexpectedByte,
    }
}

/// JSON's white space.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// A byte that numbers and words are made of.
fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}
