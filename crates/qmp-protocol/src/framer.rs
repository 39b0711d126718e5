//! A stream that is kept here: bytes in, messages out.

use std::str;

use crate::garbage::{Garbage, GarbageKind};
use crate::limits::FRAMER_IDLE_MAX_BYTES;
use crate::scanner::{Scanner, Step};

/// Cuts a stream of bytes into messages.
///
/// However the stream is split into pushes, the frames are the same. Messages, garbage and white
/// space between them cover the stream without a hole.
///
/// ```
/// use qmp_protocol::{Frame, Framer};
///
/// let mut framer = Framer::new();
/// framer.push(b"noise\n{\"event\"");
/// framer.push(b": \"STOP\"}\r\n{\"ret");
/// let Some(Frame::Garbage(garbage)) = framer.next_frame() else { panic!() };
/// assert_eq!((garbage.offset, garbage.len), (0, 6));
/// let message = Frame::Message { text: "{\"event\": \"STOP\"}", offset: 6 };
/// assert_eq!(framer.next_frame(), Some(message));
/// assert_eq!(framer.next_frame(), None);
/// let half = framer.finish().unwrap();
/// assert_eq!(half.to_string(), "bytes 25 to 29: a message that never ended: {\"ret");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Framer {
    scanner: Scanner,
    buffer: Vec<u8>,
    /// Bytes at the start of the buffer that are done with.
    head: usize,
    /// Place of `head` in the stream.
    offset: u64,
    /// The piece of garbage that is being read.
    garbage: Option<Box<Garbage>>,
}

/// One piece of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A JSON object.
    Message {
        /// From `{` to `}`.
        text: &'a str,
        /// Where it begins: bytes from the start of the stream.
        offset: u64,
    },
    /// Something else.
    Garbage(Garbage),
}

/// A frame whose text is still in the buffer.
#[derive(Debug)]
pub(crate) enum Cut {
    Message(Span),
    Garbage(Garbage),
}

/// A message in the buffer, until the next push or cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    start: usize,
    end: usize,
    offset: u64,
}

impl Framer {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the bytes that follow in the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.make_room();
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message or piece of garbage; `None` when more bytes are needed.
    ///
    /// Garbage is given out when the next message begins or the stream ends.
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        Some(match self.cut()? {
            Cut::Message(span) => Frame::Message {
                text: self.text(span),
                offset: span.offset,
            },
            Cut::Garbage(garbage) => Frame::Garbage(garbage),
        })
    }

    /// The stream has ended: gives what was left over, if anything. To be called when
    /// [`Framer::next_frame`] has given `None`.
    ///
    /// Call `next_frame` once more afterwards: half a message may hide a whole one.
    pub fn finish(&mut self) -> Option<Garbage> {
        let window = &self.buffer[self.head..];
        match self.scanner.finish(window) {
            Some(Step::Garbage { len, why, .. }) => {
                self.take_garbage(len, why);
                self.settle_garbage()
            }
            _ => None,
        }
    }

    /// The garbage read so far whose end has not been seen yet.
    pub fn unsettled(&self) -> Option<&Garbage> {
        self.garbage.as_deref()
    }

    /// Where the first byte that is in no frame yet stands in the stream.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes are held that are in no frame yet.
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len() - self.head
    }

    /// The bytes that are in no frame yet.
    pub fn pending(&self) -> &[u8] {
        &self.buffer[self.head..]
    }

    /// Gives memory back that is not needed until the next push.
    pub fn release_memory(&mut self) {
        self.buffer.drain(..self.head);
        self.head = 0;
        self.buffer.shrink_to_fit();
    }

    pub(crate) fn cut(&mut self) -> Option<Cut> {
        loop {
            match self.scanner.step(&self.buffer[self.head..]) {
                Step::More => return None,
                Step::Blank(len) => self.skip(len),
                Step::Message(len) => return Some(self.take_message(len)),
                Step::Garbage { len, why, open } => {
                    self.take_garbage(len, why);
                    if !open {
                        return self.settle_garbage().map(Cut::Garbage);
                    }
                }
            }
        }
    }

    /// The text of a message that has just been cut.
    pub(crate) fn text(&self, span: Span) -> &str {
        str::from_utf8(&self.buffer[span.start..span.end])
            .expect("take_message cuts no span that is not UTF-8")
    }

    fn take_message(&mut self, len: usize) -> Cut {
        let start = self.head;
        let end = start + len;
        if str::from_utf8(&self.buffer[start..end]).is_err() {
            let mut garbage = Garbage::new(self.offset, GarbageKind::NotUtf8);
            garbage.extend(&self.buffer[start..end]);
            self.skip(len);
            return Cut::Garbage(garbage);
        }
        let offset = self.offset;
        self.skip(len);
        Cut::Message(Span { start, end, offset })
    }

    fn take_garbage(&mut self, len: usize, why: GarbageKind) {
        let offset = self.offset;
        self.garbage
            .get_or_insert_with(|| Box::new(Garbage::new(offset, why)))
            .extend(&self.buffer[self.head..self.head + len]);
        self.skip(len);
    }

    fn settle_garbage(&mut self) -> Option<Garbage> {
        self.garbage.take().map(|garbage| *garbage)
    }

    fn skip(&mut self, len: usize) {
        self.head += len;
        self.offset += len as u64;
    }

    /// Drops what is done with. Moves the rest only when it is not longer than what is dropped, so
    /// that every byte is moved at most once for every byte that arrives.
    fn make_room(&mut self) {
        if self.head == self.buffer.len() {
            self.buffer.clear();
            self.buffer.shrink_to(FRAMER_IDLE_MAX_BYTES);
            self.head = 0;
        } else if self.head >= self.buffer.len() - self.head {
            self.buffer.drain(..self.head);
            self.head = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_message_costs_no_memory_once_it_is_gone() {
        let mut framer = Framer::new();
        let large = format!(
            "{{\"return\": \"{}\"}}",
            "x".repeat(4 * FRAMER_IDLE_MAX_BYTES)
        );
        framer.push(large.as_bytes());
        assert!(matches!(framer.next_frame(), Some(Frame::Message { .. })));
        framer.push(b"\r\n");
        assert!(framer.buffer.capacity() <= FRAMER_IDLE_MAX_BYTES);
    }

    #[test]
    fn a_buffer_never_holds_more_than_twice_what_is_not_done() {
        let mut framer = Framer::new();
        let line = b"{\"event\": \"RESUME\", \"data\": {}}\r\n";
        // Pushes that never end with a message, so that the buffer never runs empty.
        for chunk in line.repeat(10_000).chunks(line.len() + 1) {
            framer.push(chunk);
            while framer.next_frame().is_some() {}
            assert!(
                framer.buffer.len() <= 4 * line.len(),
                "{}",
                framer.buffer.len()
            );
        }
    }
}
