//! From tokens to messages, as QEMU does it.
//!
//! A message is complete when as many braces and brackets were closed as opened, or one too many of
//! either. Of its errors only the first is told: when the message is complete, or at once; see
//! [`Dialect`].

use std::mem;

use super::builder::Builder;
use super::dialect::{Dialect, ParseError};
use super::lexer::{Lexer, Position, Token};
use super::modified_utf8;
use super::value::Value;
use crate::limits::{CLIENT_NESTING_MAX_LEVELS, CLIENT_TOKENS_MAX, CLIENT_TOKENS_SIZE_MAX_BYTES};

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
    dialect: Dialect,
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
    progress: Progress,
}

/// How far a message has come.
#[derive(Debug)]
enum Progress {
    /// Nothing is wrong with it so far.
    Good(Builder),
    /// What is to be told once it is complete.
    Bad(ParseError),
    /// An error was told, the rest is skipped.
    Told,
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
        Self::new(Dialect::default())
    }
}

impl Parser {
    /// A parser at the beginning of a connection.
    pub fn new(dialect: Dialect) -> Self {
        Self::with_limits(dialect, LIMITS)
    }

    fn with_limits(dialect: Dialect, limits: Limits) -> Self {
        Self {
            dialect,
            lexer: Lexer::new(limits.tokens_size_bytes),
            limits,
            braces: 0,
            brackets: 0,
            tokens: 0,
            size: 0,
            progress: Progress::Good(Builder::new(dialect)),
        }
    }

    /// Takes bytes from the front of `input` until a message is complete or in error; `None` if `input`
    /// ran out first.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Result<Value, ParseError>> {
        loop {
            let (token, position) = self.lexer.next(input)?;
            if let Some(message) = self.handle_token(token, position) {
                return Some(message.map_err(|error| match self.dialect {
                    Dialect::Wordless => ParseError::Syntax,
                    _ => error,
                }));
            }
        }
    }

    /// Takes a token of the message; hands out the message, or an error, if there is one to tell.
    fn handle_token(
        &mut self,
        token: Token,
        position: Position,
    ) -> Option<Result<Value, ParseError>> {
        if let Token::Stray(text) = &token {
            let error = self.placed(ParseError::Stray(shown(text)), position);
            return match self.start_over() {
                Progress::Told => None,
                _ => Some(Err(error)),
            };
        }
        self.count_brackets(&token);
        if let Err(error) = self.count_token(&token) {
            return Some(Err(self.give_up(error)));
        }
        if let Progress::Good(builder) = &mut self.progress
            && let Err(error) = builder.handle_token(token)
        {
            let error = self.placed(error, position);
            if self.dialect.tells_places() {
                return Some(Err(self.give_up(error)));
            }
            self.progress = Progress::Bad(error);
        }
        if !self.is_complete() {
            return None;
        }
        match self.start_over() {
            Progress::Good(builder) => Some(builder.finish().ok_or(ParseError::ExpectingValue)),
            Progress::Bad(error) => Some(Err(error)),
            Progress::Told => None,
        }
    }

    /// An error is told before the message is complete.
    fn give_up(&mut self, error: ParseError) -> ParseError {
        if self.dialect.tells_places() && !self.is_complete() {
            self.progress = Progress::Told;
        } else {
            self.start_over();
        }
        error
    }

    fn placed(&self, error: ParseError, position: Position) -> ParseError {
        match self.dialect.tells_places() {
            true => ParseError::At(position, Box::new(error)),
            false => error,
        }
    }

    /// Forgets the message being read, except what the lexer holds; hands out how far it came.
    fn start_over(&mut self) -> Progress {
        self.braces = 0;
        self.brackets = 0;
        self.tokens = 0;
        self.size = 0;
        mem::replace(
            &mut self.progress,
            Progress::Good(Builder::new(self.dialect)),
        )
    }

    fn is_complete(&self) -> bool {
        let open = self.braces > 0 || self.brackets > 0;
        let overclosed = self.braces < 0 || self.brackets < 0;
        !open || overclosed
    }

    fn count_brackets(&mut self, token: &Token) {
        match token {
            Token::ObjectStart => self.braces += 1,
            Token::ObjectEnd => self.braces -= 1,
            Token::ArrayStart => self.brackets += 1,
            Token::ArrayEnd => self.brackets -= 1,
            _ => {}
        }
    }

    /// Counts towards the limits, which a message that is skipped has no more.
    fn count_token(&mut self, token: &Token) -> Result<(), ParseError> {
        if matches!(self.progress, Progress::Told) {
            return Ok(());
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
        Ok(())
    }
}

/// A stray token as QEMU shows it: what no UTF-8 is as U+FFFD, and nothing behind a NUL.
fn shown(stray: &[u8]) -> String {
    let text = stray.split(|&byte| byte == 0).next().unwrap_or(&[]);
    modified_utf8::lossy(text)
}

#[cfg(test)]
mod tests {
    use qmp_events::Version;

    use super::*;
    use crate::monitor::print::compact;

    /// Every message or error in `text`, as one string each.
    fn read(text: &[u8]) -> Vec<String> {
        read_within(LIMITS, text)
    }

    fn read_within(limits: Limits, text: &[u8]) -> Vec<String> {
        read_as(Dialect::AtEnd, limits, text)
    }

    fn read_as(dialect: Dialect, limits: Limits, text: &[u8]) -> Vec<String> {
        let mut parser = Parser::with_limits(dialect, limits);
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

    fn read_with_places(text: &[u8]) -> Vec<String> {
        let answers = read_as(Dialect::AtToken, LIMITS, text);
        let short = |answer: String| answer.replace(": JSON parse error, ", " ");
        answers.into_iter().map(short).collect()
    }

    /// Answers of QEMU 11.1.
    #[test]
    fn places_are_those_of_qemu() {
        let cases: &[(&str, &[&str])] = &[
            ("\n\n  }", &["3:3 expecting value"]),
            ("{]", &["1:2 expecting key"]),
            ("{a: 1}", &["1:2 expecting key"]),
            ("{\"a\": 1,}", &["1:9 expecting key"]),
            ("{\"\\q\": 1}", &["1:2 invalid escape sequence in string"]),
            ("{\"a\" \"x\"}", &["1:6 expecting ':'"]),
            ("{\"a\": }", &["1:7 expecting value"]),
            ("[1 2]", &["1:4 expected ',' or ']'"]),
            ("{\"a\": 1 \"b\": 2}", &["1:9 expected ',' or '}'"]),
            ("{\"a\": 1, \"a\": 2}", &["1:15 duplicate key"]),
            ("{\"a\":1,\"a\":[1,2]} ", &["1:17 duplicate key"]),
            (
                "[1,\n2,\n\"\\z\", {} ] ",
                &["3:1 invalid escape sequence in string"],
            ),
            ("::", &["1:1 expecting value", "1:2 expecting value"]),
            // Directly behind a number, a word or what was skipped: a column too many.
            ("{\"a\":1]", &["1:8 expected ',' or '}'"]),
            ("0x10\n", &["0", "1:3 invalid keyword 'x'", "10"]),
            ("[%] {} ", &["1:2 stray '%'", "1:4 expecting value", "{}"]),
            ("1.\n}", &["1:1 stray '1.\n'", "2:2 expecting value"]),
            ("%a\r }", &["1:1 stray '%'", "1:5 expecting value"]),
        ];
        for (input, expected) in cases {
            assert_eq!(read_with_places(input.as_bytes()), *expected, "{input}");
        }
    }

    /// Answers of QEMU 11.1.
    #[test]
    fn what_follows_an_error_that_was_told_is_skipped() {
        let separator = "1:4 expected ',' or ']'";
        for rest in ["]", "] ", "{1 x : , [[] ]}]", "\u{1}", "[{[ x \0"] {
            let text = format!("[1 2 {rest}{{}}");
            assert_eq!(
                read_with_places(text.as_bytes()),
                [separator, "{}"],
                "{text}"
            );
        }
        let answers = read_with_places(b"[1 2 \xff\xff {}");
        assert_eq!(answers, [separator, "1:8 stray '\u{FFFD}'", "{}"]);
        assert_eq!(read_with_places(b"[1 2 {} {} "), [separator]);
        assert_eq!(
            read_with_places(b"[1 2 } ]{}"),
            [separator, "1:8 expecting value", "{}"]
        );
    }

    #[test]
    fn an_exceeded_limit_is_told_once_where_places_are() {
        let deep = format!("{}{}{{}}", "[".repeat(2000), "]".repeat(2000));
        let expected = ["JSON nesting depth limit exceeded", "{}"];
        assert_eq!(read_with_places(deep.as_bytes()), expected);
        let open = "[".repeat(1025) + "{}\u{1}{}";
        assert_eq!(read_with_places(open.as_bytes()), expected);
        let limits = Limits {
            tokens: 1000,
            tokens_size_bytes: 2000,
            ..LIMITS
        };
        let many = format!("[{}1] 2 ", "1,".repeat(2000));
        let expected = ["JSON token count limit exceeded", "2"];
        assert_eq!(read_as(Dialect::AtToken, limits, many.as_bytes()), expected);
        let long = format!("[{0}, {0}, 1] 2 ", "1".repeat(1500));
        let expected = ["JSON token size limit exceeded", "2"];
        assert_eq!(read_as(Dialect::AtToken, limits, long.as_bytes()), expected);
    }

    #[test]
    fn early_releases_have_one_text_for_all() {
        let answers = read_as(Dialect::of(Version::new(2, 6)), LIMITS, b"[1 2] % {} {]");
        let syntax = "Invalid JSON syntax";
        assert_eq!(answers, [syntax, syntax, "{}", syntax]);
        assert_eq!(Dialect::of(Version::new(3, 0)), Dialect::Wordless);
        assert_eq!(Dialect::of(Version::new(3, 1)), Dialect::AtEnd);
        assert_eq!(Dialect::of(Version::new(10, 2)), Dialect::AtEnd);
        assert_eq!(Dialect::of(Version::new(11, 1)), Dialect::AtToken);
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
