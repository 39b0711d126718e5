//! A pull reader over one JSON text: nothing is copied unless a string holds an escape.

use std::borrow::Cow;

use super::{
    DEPTH_MAX_LEVELS,
    text::{plain_run, unescape},
};

/// Reads one JSON text from front to back.
///
/// Values are taken in the order they stand in. A value that was asked for as the wrong type is
/// reported ([`Problem::Type`]) and can still be [skipped](Reader::skip) from where it began with a
/// copy of the reader taken before.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    pub(super) depth: u32,
}

/// What kind of value comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// A digit or `-`.
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The text is not JSON; what was expected.
    Syntax(&'static str),
    /// Valid so far, but it ends too early.
    End,
    /// The value is of another type than this one.
    Type(&'static str),
    /// The number does not fit the type.
    Range(&'static str),
    /// The member is not there.
    Missing,
    /// The member is there twice.
    Duplicate,
}

/// A problem and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// Bytes from the start of the text.
    pub offset: usize,
    /// The innermost known member concerned.
    pub member: Option<&'static str>,
    /// What is wrong.
    pub problem: Problem,
}

impl std::error::Error for ReadError {}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(member) = self.member {
            write!(f, "member `{member}`: ")?;
        }
        match self.problem {
            Problem::Syntax(what) => write!(f, "not JSON, expected {what}"),
            Problem::End => write!(f, "the text ends inside a value"),
            Problem::Type(what) => write!(f, "expected {what}"),
            Problem::Range(what) => write!(f, "the number does not fit {what}"),
            Problem::Missing => write!(f, "missing"),
            Problem::Duplicate => write!(f, "there twice"),
        }?;
        match self.problem {
            Problem::Missing => Ok(()),
            _ => write!(f, " at byte {}", self.offset),
        }
    }
}

pub(super) type Read<T> = Result<T, ReadError>;

/// The name of a member as it stands in the text.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    literal: &'a str,
    escaped: bool,
}

impl<'a> Key<'a> {
    /// Of a literal taken from a JSON text before.
    pub(crate) fn from_literal(literal: &'a str) -> Self {
        let escaped = literal.contains('\\');
        Self { literal, escaped }
    }

    /// The characters between the quotes, escapes and all.
    pub fn literal(self) -> &'a str {
        self.literal
    }

    /// The name, escapes resolved; half a surrogate pair becomes U+FFFD.
    pub fn name(self) -> Cow<'a, str> {
        if self.escaped {
            Cow::Owned(unescape(self.literal).unwrap_or_else(|lossy| lossy))
        } else {
            Cow::Borrowed(self.literal)
        }
    }
}

/// The place inside an object: made by [`Reader::object`], moved on by [`Members::next`].
#[derive(Debug)]
pub struct Members {
    first: bool,
}

impl Members {
    /// The next member's name, the reader standing before its value; `None` after the last one.
    ///
    /// # Errors
    /// The text is not JSON here.
    pub fn next<'a>(&mut self, r: &mut Reader<'a>) -> Read<Option<Key<'a>>> {
        let more = match r.peek_byte() {
            Some(b'}') => {
                r.leave();
                return Ok(None);
            }
            Some(b',') if !self.first => {
                r.at += 1;
                r.peek_byte()
            }
            other if self.first => other,
            _ => return Err(r.syntax("`,` or `}`")),
        };
        self.first = false;
        if more != Some(b'"') {
            return Err(r.syntax("a member name"));
        }
        let (literal, escaped) = r.string_literal()?;
        r.expect(b':', "`:`")?;
        Ok(Some(Key { literal, escaped }))
    }
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `text`.
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// What comes next, white space passed over.
    ///
    /// # Errors
    /// No value can start here.
    pub fn kind(&mut self) -> Read<Kind> {
        match self.peek_byte() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            _ => Err(self.syntax("a value")),
        }
    }

    /// Enters an object.
    ///
    /// # Errors
    /// The next value is none, or it is nested too deeply.
    pub fn object(&mut self) -> Read<Members> {
        self.want(Kind::Object, "an object")?;
        self.enter()?;
        Ok(Members { first: true })
    }

    /// A string, borrowed if it holds no escape.
    ///
    /// # Errors
    /// The next value is none, or it holds half a surrogate pair, which is no text.
    pub fn string(&mut self) -> Read<Cow<'a, str>> {
        self.want(Kind::String, "a string")?;
        let start = self.at;
        let (literal, escaped) = self.string_literal()?;
        if !escaped {
            return Ok(Cow::Borrowed(literal));
        }
        unescape(literal).map(Cow::Owned).map_err(|_| ReadError {
            offset: start,
            member: None,
            problem: Problem::Type("a string of whole characters"),
        })
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// The next value is neither.
    pub fn bool(&mut self) -> Read<bool> {
        self.want(Kind::Bool, "true or false")?;
        let value = self.text.as_bytes().get(self.at) == Some(&b't');
        self.word(if value { "true" } else { "false" })?;
        Ok(value)
    }

    /// A whole number.
    ///
    /// # Errors
    /// The next value is none, or it does not fit.
    pub fn i64(&mut self) -> Read<i64> {
        let (start, literal) = self.integer()?;
        literal.parse().map_err(|_| ReadError {
            offset: start,
            member: None,
            problem: Problem::Range("64 bits with sign"),
        })
    }

    /// A whole number of at least 0.
    ///
    /// # Errors
    /// The next value is none, or it does not fit.
    pub fn u64(&mut self) -> Read<u64> {
        let (start, literal) = self.integer()?;
        literal.parse().map_err(|_| ReadError {
            offset: start,
            member: None,
            problem: Problem::Range("64 bits without sign"),
        })
    }

    /// Passes over one value of any kind, checking that it is JSON, and gives its text.
    ///
    /// # Errors
    /// The text is not JSON here, or nested too deeply.
    pub fn skip(&mut self) -> Read<&'a str> {
        let kind = self.kind()?;
        let start = self.at;
        match kind {
            Kind::Object | Kind::Array => self.skip_nested(kind)?,
            _ => self.skip_flat(kind)?,
        }
        Ok(&self.text[start..self.at])
    }

    /// Nothing but white space may follow.
    ///
    /// # Errors
    /// Something does.
    pub fn end(&mut self) -> Read<()> {
        match self.peek_byte() {
            None => Ok(()),
            Some(_) => Err(self.syntax("the end")),
        }
    }

    /// Stands inside the outermost object, at the value at `at`; what is before it was checked.
    pub(crate) fn inside_object(&mut self, at: usize) -> Members {
        self.at = at;
        self.depth = 1;
        Members { first: false }
    }

    /// What was read is of another type than `expected`.
    pub(crate) fn wrong<T>(&self, expected: &'static str) -> Read<T> {
        Err(self.error(Problem::Type(expected)))
    }

    /// The text between two places of this reader.
    pub(crate) fn between(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    pub(super) fn leave(&mut self) {
        self.at += 1;
        self.depth -= 1;
    }

    /// The text of a number that is whole as written; `-0` is none, for it would come back as `0`.
    fn integer(&mut self) -> Read<(usize, &'a str)> {
        self.want(Kind::Number, "a whole number")?;
        let start = self.at;
        let whole = self.skip_number()?;
        let literal = &self.text[start..self.at];
        if !whole || literal == "-0" {
            return Err(ReadError {
                offset: start,
                member: None,
                problem: Problem::Type("a whole number"),
            });
        }
        Ok((start, literal))
    }

    /// Passes a string, the reader standing at its quote: what is between the quotes, and whether
    /// that holds an escape.
    pub(super) fn string_literal(&mut self) -> Read<(&'a str, bool)> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            at += plain_run(&bytes[at..]);
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += self.escape_length(at)?;
                }
                Some(_) => {
                    self.at = at;
                    return Err(self.syntax("a string without control characters"));
                }
                None => {
                    self.at = bytes.len();
                    return Err(self.error(Problem::End));
                }
            }
        }
        self.at = at + 1;
        Ok((&self.text[start..at], escaped))
    }

    /// Length in bytes of the escape at `at`.
    fn escape_length(&mut self, at: usize) -> Read<usize> {
        let bytes = self.text.as_bytes();
        match bytes.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
            Some(b'u') => match bytes.get(at + 2..at + 6) {
                Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => Ok(6),
                Some(_) => {
                    self.at = at;
                    Err(self.syntax("four hexadecimal digits"))
                }
                None => Err(self.error(Problem::End)),
            },
            Some(_) => {
                self.at = at;
                Err(self.syntax("an escape"))
            }
            None => Err(self.error(Problem::End)),
        }
    }

    pub(super) fn word(&mut self, word: &'static str) -> Read<()> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.syntax(word))
        }
    }

    fn want(&mut self, kind: Kind, expected: &'static str) -> Read<()> {
        if self.kind()? == kind {
            Ok(())
        } else {
            Err(self.error(Problem::Type(expected)))
        }
    }

    pub(super) fn expect(&mut self, byte: u8, expected: &'static str) -> Read<()> {
        if self.peek_byte() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.syntax(expected))
        }
    }

    pub(super) fn enter(&mut self) -> Read<()> {
        if self.depth == DEPTH_MAX_LEVELS {
            return Err(self.error(Problem::Syntax("at most 1024 levels of nesting")));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    pub(super) fn peek_byte(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    pub(super) fn syntax(&self, expected: &'static str) -> ReadError {
        if self.at >= self.text.len() {
            return self.error(Problem::End);
        }
        self.error(Problem::Syntax(expected))
    }

    fn error(&self, problem: Problem) -> ReadError {
        ReadError {
            offset: self.at,
            member: None,
            problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skip_checks_what_it_passes() {
        for good in [
            "0",
            "-1.5e+3",
            "\"\\u00e9\"",
            "[]",
            "[1, {}]",
            "{\"a\": [null]}",
            " true ",
        ] {
            let mut r = Reader::new(good);
            assert_eq!(r.skip().expect(good), good.trim());
            r.end().expect(good);
        }
        for bad in [
            "01",
            "+1",
            "1.",
            "\"\\x\"",
            "[1,]",
            "{\"a\" 1}",
            "{a: 1}",
            "nul",
            "\"\n\"",
            "{,}",
        ] {
            let mut r = Reader::new(bad);
            assert!(r.skip().and_then(|_| r.end()).is_err(), "{bad}");
        }
        for cut in ["", "[", "\"a", "\"\\u00", "{\"a\":", "tru", "-"] {
            let problem = Reader::new(cut).skip().expect_err(cut).problem;
            assert!(
                matches!(problem, Problem::End | Problem::Syntax("true")),
                "{cut}: {problem:?}"
            );
        }
    }

    #[test]
    fn strings_borrow_until_an_escape() {
        let read = |text: &'static str| Reader::new(text).string();
        assert!(matches!(read("\"plain é\""), Ok(Cow::Borrowed("plain é"))));
        assert_eq!(read(r#""\ud83d\ude00\n\/""#).unwrap(), "😀\n/");
        assert_eq!(
            read(r#""\ud83d!""#).unwrap_err().problem,
            Problem::Type("a string of whole characters")
        );
    }

    #[test]
    fn numbers_keep_every_bit() {
        assert_eq!(Reader::new("18446744073709551615").u64(), Ok(u64::MAX));
        assert_eq!(Reader::new("-9223372036854775808").i64(), Ok(i64::MIN));
        assert_eq!(
            Reader::new("1e3").i64().unwrap_err().problem,
            Problem::Type("a whole number")
        );
        assert!(matches!(
            Reader::new("18446744073709551616")
                .u64()
                .unwrap_err()
                .problem,
            Problem::Range(_)
        ));
        assert!(matches!(
            Reader::new("-1").u64().unwrap_err().problem,
            Problem::Range(_)
        ));
    }

    #[test]
    fn depth_has_a_limit() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(Reader::new(&deep(1024)).skip().is_ok());
        assert!(Reader::new(&deep(1025)).skip().is_err());
    }
}
