//! From tokens to messages, as QEMU up to 10.2 does it.
//!
//! A message is complete when as many braces and brackets were closed as opened, or one too many of
//! either; an error is told only then, and only the first one. Errors of the lexer and exceeded limits
//! are told at once, and what was read of the message is forgotten.

use thiserror::Error;

use super::builder::Builder;
use super::lexer::{Lexer, Token};
use super::modified_utf8;
use super::value::Value;
use crate::limits::{
    CLIENT_KEYWORD_ERROR_MAX_BYTES, CLIENT_NESTING_MAX_LEVELS, CLIENT_TOKENS_MAX,
    CLIENT_TOKENS_SIZE_MAX_BYTES,
};

/// Why a client's message is none. Displayed it is the `desc` of QEMU's answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Something else where a value should stand.
    #[error("JSON parse error, expecting value")]
    ExpectingValue,
    /// A name of a member that is no string.
    #[error("JSON parse error, key is not a string in object")]
    KeyNotString,
    /// No colon behind the name of a member.
    #[error("JSON parse error, missing : in object pair")]
    MissingColon,
    /// Neither comma nor end behind a member.
    #[error("JSON parse error, expected separator in dict")]
    SeparatorInDict,
    /// Neither comma nor end behind an element.
    #[error("JSON parse error, expected separator in list")]
    SeparatorInList,
    /// The same name twice.
    #[error("JSON parse error, duplicate key")]
    DuplicateKey,
    /// A word that is neither `true` nor `false` nor `null`.
    #[error("JSON parse error, {}", keyword_message(.0))]
    Keyword(String),
    /// A backslash before a character that has no escape.
    #[error("JSON parse error, invalid escape sequence in string")]
    Escape,
    /// An escape that names no character.
    #[error("JSON parse error, {0} is not a valid Unicode character")]
    CodePoint(String),
    /// A string that is not UTF-8.
    #[error("JSON parse error, invalid UTF-8 sequence in string")]
    Utf8,
    /// Bytes that fit nowhere, up to the first NUL.
    #[error("JSON parse error, stray '{0}'")]
    Stray(String),
    /// More text than [`CLIENT_TOKENS_SIZE_MAX_BYTES`] in one message.
    #[error("JSON token size limit exceeded")]
    TooLarge,
    /// More tokens than [`CLIENT_TOKENS_MAX`] in one message.
    #[error("JSON token count limit exceeded")]
    TooManyTokens,
    /// More levels than [`CLIENT_NESTING_MAX_LEVELS`].
    #[error("JSON nesting depth limit exceeded")]
    TooDeep,
}

/// Reads the messages of a client, in whatever pieces they come.
///
/// ```
/// use qmp_protocol::monitor::{ParseError, Parser};
///
/// let mut parser = Parser::default();
/// let mut input = &b"{'execute': 'stop'}]"[..];
/// let message = parser.next(&mut input).unwrap().unwrap();
/// assert_eq!(message.as_object().unwrap().get("execute").unwrap().as_str(), Some("stop"));
/// assert_eq!(parser.next(&mut input), Some(Err(ParseError::ExpectingValue)));
/// assert_eq!(parser.next(&mut input), None);
/// ```
#[derive(Debug)]
pub struct Parser {
    lexer: Lexer,
    limits: Limits,
    /// Braces opened and not closed in this message.
    braces: i64,
    /// Brackets opened and not closed in this message.
    brackets: i64,
    /// Tokens of this message so far.
    tokens: usize,
    /// Bytes of those tokens.
    size: usize,
    builder: Builder,
}

/// What one message may have.
#[derive(Clone, Copy, Debug)]
struct Limits {
    tokens_size_bytes: usize,
    tokens: usize,
    nesting_levels: i64,
}

/// QEMU's limits.
const LIMITS: Limits = Limits {
    tokens_size_bytes: CLIENT_TOKENS_SIZE_MAX_BYTES,
    tokens: CLIENT_TOKENS_MAX,
    nesting_levels: CLIENT_NESTING_MAX_LEVELS,
};

impl Default for Parser {
    fn default() -> Self {
        Self::new(LIMITS)
    }
}

impl Parser {
    fn new(limits: Limits) -> Self {
        Self {
            lexer: Lexer::new(limits.tokens_size_bytes),
            limits,
            braces: 0,
            brackets: 0,
            tokens: 0,
            size: 0,
            builder: Builder::default(),
        }
    }

    /// Takes bytes from the front of `input` until a message is complete or in error; `None` if `input`
    /// ran out first.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Result<Value, ParseError>> {
        loop {
            let token = self.lexer.next(input)?;
            match self.handle_token(token) {
                Ok(false) => {}
                Ok(true) => return Some(self.start_over().finish()),
                Err(error) => {
                    self.start_over();
                    return Some(Err(error));
                }
            }
        }
    }

    /// Forgets the message being read, except what the lexer holds; hands out what was built.
    fn start_over(&mut self) -> Builder {
        self.braces = 0;
        self.brackets = 0;
        self.tokens = 0;
        self.size = 0;
        std::mem::take(&mut self.builder)
    }

    /// Counts a token and builds with it; true when it was the message's last.
    fn handle_token(&mut self, token: Token) -> Result<bool, ParseError> {
        match &token {
            Token::ObjectStart => self.braces += 1,
            Token::ObjectEnd => self.braces -= 1,
            Token::ArrayStart => self.brackets += 1,
            Token::ArrayEnd => self.brackets -= 1,
            Token::Stray(text) => return Err(ParseError::Stray(shown(text))),
            _ => {}
        }
        if self.size.saturating_add(token.len()) >= self.limits.tokens_size_bytes {
            return Err(ParseError::TooLarge);
        }
        if self.tokens >= self.limits.tokens {
            return Err(ParseError::TooManyTokens);
        }
        if self.braces + self.brackets > self.limits.nesting_levels {
            return Err(ParseError::TooDeep);
        }
        self.size += token.len();
        self.tokens += 1;
        self.builder.handle_token(token);
        let open = self.braces > 0 || self.brackets > 0;
        let overclosed = self.braces < 0 || self.brackets < 0;
        Ok(!open || overclosed)
    }
}

/// QEMU cuts this message, the only one whose length is up to the client and not that of a stray token.
fn keyword_message(word: &str) -> String {
    let mut message = format!("invalid keyword '{word}'");
    // A word is ASCII, so nothing is cut in two.
    message.truncate(CLIENT_KEYWORD_ERROR_MAX_BYTES);
    message
}

/// A stray token as QEMU shows it: what no UTF-8 is as U+FFFD, and nothing behind a NUL.
fn shown(stray: &[u8]) -> String {
    let text = stray.split(|&byte| byte == 0).next().unwrap_or(&[]);
    modified_utf8::lossy(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::print::compact;

    /// Every message or error in `text`, as one string each.
    fn read(text: &[u8]) -> Vec<String> {
        read_within(LIMITS, text)
    }

    fn read_within(limits: Limits, text: &[u8]) -> Vec<String> {
        let mut parser = Parser::new(limits);
        let mut input = text;
        let mut out = Vec::new();
        while let Some(message) = parser.next(&mut input) {
            out.push(match message {
                Ok(value) => compact(&value),
                Err(error) => error.to_string(),
            });
        }
        out
    }

    const VALUE: &str = "JSON parse error, expecting value";

    /// Answers of QEMU 7.2 and 10.0 to malformed input.
    #[test]
    fn errors_are_those_of_qemu() {
        let cases: &[(&str, &[&str])] = &[
            (
                "{\"execute\": \"query-status\"]\n",
                &["JSON parse error, expected separator in dict"],
            ),
            ("}", &[VALUE]),
            ("{]", &[VALUE]),
            (
                "{\"execute\" \"x\"}",
                &["JSON parse error, missing : in object pair"],
            ),
            ("{\"execute\": }", &[VALUE]),
            (
                "{execute: \"x\"}",
                &["JSON parse error, invalid keyword 'execute'"],
            ),
            ("{\"execute\": \"x\",}", &[VALUE]),
            ("[1 2]", &["JSON parse error, expected separator in list"]),
            ("[1,]", &[VALUE]),
            (
                "{1: 2}",
                &["JSON parse error, key is not a string in object"],
            ),
            (
                "{{}: 2}",
                &["JSON parse error, key is not a string in object"],
            ),
            ("{\"a\": 1, \"a\": 2}", &["JSON parse error, duplicate key"]),
            (
                "\"\\u12\"",
                &["JSON parse error, \\u12\" is not a valid Unicode character"],
            ),
            ("/* c */ {}", &["JSON parse error, stray '/'", "{}"]),
            ("{\"id\": %s}", &["JSON parse error, stray '%'", VALUE]),
            ("{}}", &["{}", VALUE]),
            (
                "0x10\n",
                &["0", "JSON parse error, invalid keyword 'x'", "10"],
            ),
            (
                "{\"id\": \"a\tb\"}",
                &["JSON parse error, stray '\"a\t'", VALUE],
            ),
        ];
        for (input, expected) in cases {
            assert_eq!(read(input.as_bytes()), *expected, "{input}");
        }
    }

    #[test]
    fn a_nul_shows_nothing_and_0xff_the_replacement() {
        assert_eq!(read(b"\0"), ["JSON parse error, stray ''"]);
        assert_eq!(
            read(b"[[{\xff{}"),
            ["JSON parse error, stray '\u{FFFD}'", "{}"]
        );
        assert_eq!(read(b"\"a\0b\"}"), ["JSON parse error, stray '\"a'", VALUE]);
    }

    /// Seen with QEMU 7.2 and 10.0, which show 1006 letters and no closing quote.
    #[test]
    fn a_long_keyword_is_shown_in_part_a_long_stray_text_is_not() {
        let shown =
            |letters: usize| format!("JSON parse error, invalid keyword '{}", "x".repeat(letters));
        assert_eq!(read(&[b'x'; 1005]), Vec::<String>::new());
        assert_eq!(
            read(format!("{} ", "x".repeat(1005)).as_bytes()),
            [shown(1005) + "'"]
        );
        assert_eq!(
            read(format!("{} ", "x".repeat(1006)).as_bytes()),
            [shown(1006)]
        );
        assert_eq!(
            read(format!("{} ", "x".repeat(5000)).as_bytes()),
            [shown(1006)]
        );
        let stray = format!("\"{}", "x".repeat(5000));
        let expected = format!("JSON parse error, stray '{stray}\u{1}'");
        assert_eq!(read(format!("{stray}\u{1}").as_bytes()), [expected]);
    }

    #[test]
    fn a_bare_number_waits_for_a_delimiter() {
        assert_eq!(read(b"7"), Vec::<String>::new());
        assert_eq!(read(b"7 "), ["7"]);
        assert_eq!(read(b"7{}"), ["7", "{}"]);
    }

    /// QEMU 7.2 and 10.0 answer a command with 1,024 nested arrays 1,026 times.
    #[test]
    fn beyond_the_depth_every_leftover_bracket_is_an_error() {
        let id =
            |levels: usize| format!("{{\"id\": {}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(read(id(1023).as_bytes()), [id(1023)]);
        let answers = read(id(1024).as_bytes());
        assert_eq!(answers.len(), 1026);
        assert_eq!(answers[0], "JSON nesting depth limit exceeded");
        assert!(answers[1..].iter().all(|answer| answer == VALUE));
    }

    /// With QEMU's limit of 2 Mi, an array of 1,048,579 ones is answered like this.
    #[test]
    fn beyond_the_count_of_tokens_reading_starts_over() {
        let limits = Limits {
            tokens: 1000,
            ..LIMITS
        };
        let text = format!("[{}1]", "1,".repeat(502));
        let mut expected = vec!["JSON token count limit exceeded"];
        for _ in 0..3 {
            expected.extend(["1", VALUE]);
        }
        assert_eq!(read_within(limits, text.as_bytes()), expected);
        assert_eq!(LIMITS.tokens, 2 << 20);
    }

    #[test]
    fn beyond_the_size_reading_starts_over() {
        let limits = Limits {
            tokens_size_bytes: 1000,
            ..LIMITS
        };
        let half = "x".repeat(500);
        let answers = read_within(limits, format!("[\"{half}\",\"{half}\"]").as_bytes());
        assert_eq!(answers, ["JSON token size limit exceeded", VALUE]);
        let long = format!("\"{half}{half}");
        let answers = read_within(limits, format!("[{long}, 1]").as_bytes());
        assert_eq!(
            answers,
            ["JSON token size limit exceeded", VALUE, "1", VALUE]
        );
        assert_eq!(LIMITS.tokens_size_bytes, 64 << 20);
    }
}
