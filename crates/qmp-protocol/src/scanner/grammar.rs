//! The grammar of JSON, for one object, resumable at any byte.

use qmp_events::layout;

use super::bytes::{is_json_scalar, is_scalar, plain_len};
use crate::garbage::GarbageKind;
use crate::limits::NESTING_DEPTH_MAX_LEVELS;

/// Where in a message reading stands. Places are counted from the message's first byte.
#[derive(Clone, Debug)]
pub(super) struct Grammar {
    token: Token,
    expect: Expect,
    open: Vec<Open>,
    last_object: usize,
    sound: bool,
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
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) why: GarbageKind,
}

impl Grammar {
    pub(super) fn new() -> Self {
        Self {
            token: Token::None,
            expect: Expect::KeyOrEnd,
            open: Vec::new(),
            last_object: 0,
            sound: true,
        }
    }

    /// Starts a message whose first byte is a `{`; gives the place to read on at.
    pub(super) fn begin(&mut self, message: &[u8]) -> usize {
        self.token = Token::None;
        self.expect = Expect::KeyOrEnd;
        self.open.clear();
        self.open.push(Open {
            at: 0,
            object: true,
        });
        self.last_object = 0;
        self.sound = true;
        // The short way over the first half of most messages, to where the long way would lead (but
        // for `last_object`: a stamp is never taken for a message).
        let Some((_, at)) = layout::stamp(message) else {
            return 1;
        };
        self.expect = Expect::Value;
        at
    }

    /// Reads on from a place to the end of the message or of the view, whichever comes first; gives
    /// the place behind what was read.
    pub(super) fn read(&mut self, view: &[u8], from: usize) -> Result<usize, Fault> {
        let mut at = from;
        while at < view.len() && !self.is_complete() {
            at = match self.token {
                Token::String(Escape::None) => self.string(view, at)?,
                Token::String(escape) => self.escape(view[at], at, escape)?,
                Token::Scalar(start) => self.scalar(view, start, at),
                Token::None => self.structure(view, at)?,
            };
        }
        Ok(at)
    }

    /// True when the message's last bracket is closed.
    pub(super) fn is_complete(&self) -> bool {
        self.open.is_empty()
    }

    /// True if there was no number, word or escape so far that JSON does not know.
    pub(super) fn is_sound(&self) -> bool {
        self.sound
    }

    /// Start of the object inside the message that was closed last.
    pub(super) fn last_object(&self) -> usize {
        self.last_object
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
