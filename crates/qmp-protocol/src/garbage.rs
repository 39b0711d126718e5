//! What a stream holds besides messages.

use std::fmt;

use crate::limits::GARBAGE_SAMPLE_MAX_BYTES;

/// A piece of the stream that is no message, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Garbage {
    /// Where it begins: bytes from the start of the stream.
    pub offset: u64,
    /// How long it is, in bytes, up to where reading was taken up again (line ends included).
    pub len: u64,
    /// Its first bytes, at most [`GARBAGE_SAMPLE_MAX_BYTES`].
    pub sample: Vec<u8>,
    /// What was wrong with it.
    pub why: GarbageKind,
}

impl Garbage {
    /// Nothing yet, to be extended.
    pub(crate) fn new(offset: u64, why: GarbageKind) -> Self {
        Self {
            offset,
            len: 0,
            sample: Vec::new(),
            why,
        }
    }

    /// Adds the bytes that follow.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        let room = GARBAGE_SAMPLE_MAX_BYTES - self.sample.len();
        self.sample.extend(bytes.iter().take(room));
        self.len += bytes.len() as u64;
    }
}

/// Prints like `bytes 10 to 25: a message that never ended: {"event": "ST`.
impl fmt::Display for Garbage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.offset + self.len.max(1) - 1;
        if self.len <= 1 {
            write!(out, "byte {}: ", self.offset)?;
        } else {
            write!(out, "bytes {} to {last}: ", self.offset)?;
        }
        write!(out, "{}: {}", self.why, Sample(&self.sample))?;
        if self.len > self.sample.len() as u64 {
            write!(out, "…")?;
        }
        Ok(())
    }
}

/// Bytes from outside, printable: no control character, no line end at the end.
pub(crate) struct Sample<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Sample<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(self.0.trim_ascii_end());
        for character in text.chars() {
            if character.is_control() {
                write!(out, "{}", character.escape_default())?;
            } else {
                write!(out, "{character}")?;
            }
        }
        Ok(())
    }
}

/// Why bytes are [`Garbage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GarbageKind {
    /// Between two messages stood something else than white space.
    OutsideMessage,
    /// A new message began before this one was complete: its sender died and another took over.
    CutShort,
    /// A raw control character inside a string, where JSON wants an escape. Mostly a line that was
    /// cut off inside a string.
    ControlCharacter,
    /// A byte where JSON cannot have it.
    UnexpectedByte,
    /// A `}` that closes a `[`, or a `]` that closes a `{`.
    MismatchedBracket,
    /// Longer than [`MESSAGE_SIZE_MAX_BYTES`](crate::limits::MESSAGE_SIZE_MAX_BYTES).
    TooLarge,
    /// Deeper than [`NESTING_DEPTH_MAX_LEVELS`](crate::limits::NESTING_DEPTH_MAX_LEVELS).
    TooDeep,
    /// Complete, but not UTF-8.
    NotUtf8,
    /// Complete by its brackets, but with a word, number or escape that JSON does not know.
    NotJson,
    /// The stream ended inside the message.
    Unfinished,
}

impl fmt::Display for GarbageKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::OutsideMessage => "no message",
            Self::CutShort => "a message cut short by the next one",
            Self::ControlCharacter => "a message with a raw control character in a string",
            Self::UnexpectedByte => "a message that is no JSON",
            Self::MismatchedBracket => "a message with brackets that do not match",
            Self::TooLarge => "a message of more than 64 MiB",
            Self::TooDeep => "a message nested more than 1024 deep",
            Self::NotUtf8 => "a message that is not UTF-8",
            Self::NotJson => "a message with a word, number or escape that JSON does not know",
            Self::Unfinished => "a message that never ended",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_where_what_and_a_sample_that_cannot_harm_a_terminal() {
        let mut garbage = Garbage::new(10, GarbageKind::Unfinished);
        garbage.extend(b"{\"event\": \"\x1b[2J");
        garbage.extend(b"\r\n");
        assert_eq!(
            garbage.to_string(),
            "bytes 10 to 26: a message that never ended: {\"event\": \"\\u{1b}[2J"
        );
    }

    #[test]
    fn keeps_a_sample_and_counts_the_rest() {
        let mut garbage = Garbage::new(0, GarbageKind::OutsideMessage);
        garbage.extend(&[b'x'; 60]);
        garbage.extend(&[b'y'; 1000]);
        assert_eq!(garbage.sample.len(), GARBAGE_SAMPLE_MAX_BYTES);
        assert_eq!(garbage.len, 1060);
        assert!(garbage.to_string().ends_with("xyyyy…"));
    }
}
