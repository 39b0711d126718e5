//! Passing over values without looking at what they say.

use super::{DEPTH_MAX_LEVELS, Kind, Reader, read::Read};

impl Reader<'_> {
    pub(super) fn skip_flat(&mut self, kind: Kind) -> Read<()> {
        match kind {
            Kind::String => self.string_literal().map(|_| ()),
            Kind::Number => self.skip_number().map(|_| ()),
            Kind::Bool => self.bool().map(|_| ()),
            Kind::Null => self.word("null"),
            Kind::Object | Kind::Array => unreachable!("nested values have their own way"),
        }
    }

    /// Passes an object or array with all that is in it; no recursion, so that no input can
    /// overflow the stack.
    pub(super) fn skip_nested(&mut self, outermost: Kind) -> Read<()> {
        let floor = self.depth;
        let mut open = OpenKinds::default();
        self.enter()?;
        open.set(self.depth, outermost);
        let mut first = true;
        while self.depth > floor {
            let in_object = open.is_object(self.depth);
            match self.peek_byte() {
                Some(b'}') if in_object => {
                    self.leave();
                    first = false;
                    continue;
                }
                Some(b']') if !in_object => {
                    self.leave();
                    first = false;
                    continue;
                }
                Some(b',') if !first => self.at += 1,
                _ if first => {}
                _ if in_object => return Err(self.syntax("`,` or `}`")),
                _ => return Err(self.syntax("`,` or `]`")),
            }
            if in_object {
                if self.peek_byte() != Some(b'"') {
                    return Err(self.syntax("a member name"));
                }
                self.string_literal()?;
                self.expect(b':', "`:`")?;
            }
            let kind = self.kind()?;
            first = matches!(kind, Kind::Object | Kind::Array);
            if first {
                self.enter()?;
                open.set(self.depth, kind);
            } else {
                self.skip_flat(kind)?;
            }
        }
        Ok(())
    }

    /// Passes a number of JSON's grammar, fraction and exponent included; true if it has neither.
    pub(super) fn skip_number(&mut self) -> Read<bool> {
        let bytes = self.text.as_bytes();
        if bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        if bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut whole = true;
        if bytes.get(self.at) == Some(&b'.') {
            whole = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = bytes.get(self.at) {
            whole = false;
            self.at += 1;
            if let Some(b'+' | b'-') = bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(whole)
    }

    fn digits(&mut self) -> Read<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.syntax("a digit"));
        }
        Ok(())
    }
}

/// Which of the open values are objects, by depth from 1.
#[derive(Default)]
struct OpenKinds([u64; DEPTH_MAX_LEVELS as usize / 64]);

impl OpenKinds {
    fn set(&mut self, depth: u32, kind: Kind) {
        let (word, bit) = Self::place(depth);
        self.0[word] = self.0[word] & !bit | if kind == Kind::Object { bit } else { 0 };
    }

    fn is_object(&self, depth: u32) -> bool {
        let (word, bit) = Self::place(depth);
        self.0[word] & bit != 0
    }

    /// `depth` is 1 to `DEPTH_MAX_LEVELS`: [`Reader::enter`] lets nothing deeper in.
    fn place(depth: u32) -> (usize, u64) {
        let index = (depth - 1) as usize;
        (index / 64, 1 << (index % 64))
    }
}
