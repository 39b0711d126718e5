//! From bytes to tokens: QEMU's input dialect.
//!
//! A state machine that takes one byte at a time, so a message may arrive split anywhere. What it takes
//! beyond JSON: strings in single quotes. What it is stricter about: no raw control characters in
//! strings, no leading zeros, lower-case keywords only.
//!
//! **Recovery.** A byte that fits nowhere makes a [`Token::Stray`] of everything since the token began,
//! that byte included. Then everything is skipped up to the next bracket, comma or colon, control
//! character other than TAB, or one of the bytes 0xFE and 0xFF, which no UTF-8 has. So a client that lost
//! its place sends a control character or 0xFF and knows where it is.

use std::fmt;

/// One token of a client's input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// `{`.
    ObjectStart,
    /// `}`.
    ObjectEnd,
    /// `[`.
    ArrayStart,
    /// `]`.
    ArrayEnd,
    /// `,`.
    Comma,
    /// `:`.
    Colon,
    /// A number without point and exponent, as spelled.
    Integer(Vec<u8>),
    /// Any other number, as spelled.
    Float(Vec<u8>),
    /// A string with its quotes, as spelled.
    String(Vec<u8>),
    /// A word in lower case.
    Keyword(Vec<u8>),
    /// What fits nowhere.
    Stray(Vec<u8>),
    /// A token longer than the lexer's limit; its bytes are gone.
    TooLong,
}

impl Token {
    /// Bytes the token took, for the limit on a whole message.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Integer(text)
            | Self::Float(text)
            | Self::String(text)
            | Self::Keyword(text)
            | Self::Stray(text) => text.len(),
            // More than any message may have.
            Self::TooLong => usize::MAX,
            _ => 1,
        }
    }
}

/// A place in what a client sent, as QEMU from 11.1 on tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Lines from 1, counted from the start of the connection.
    pub line: u64,
    /// Bytes of the line from 1. One too many for what directly follows a number or a word, as the `]` of
    /// `[%]` or `{"a": 1]`, or directly follows what was skipped behind a stray byte: so does QEMU 11.1.
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.line, self.column)
    }
}

impl Position {
    const START: Self = Self { line: 1, column: 1 };

    /// The place behind `byte`.
    fn behind(self, byte: u8) -> Self {
        match byte {
            b'\n' => Self {
                line: self.line + 1,
                column: 1,
            },
            _ => self.right(1),
        }
    }

    fn right(self, bytes: usize) -> Self {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        Self {
            column: self.column.saturating_add(bytes),
            ..self
        }
    }
}

/// The lexer: give it bytes, it gives tokens.
#[derive(Debug)]
pub(crate) struct Lexer {
    state: State,
    /// The place of the next byte.
    next: Position,
    /// The place from which the token being read, or the next one, counts.
    start: Position,
    /// The bytes of the token being read.
    token: Vec<u8>,
    /// How many they may be.
    token_max_bytes: usize,
}

/// Inside what the next byte is expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Between tokens.
    #[default]
    Start,
    /// A word.
    Keyword,
    /// A minus sign was read, a digit must follow.
    Minus,
    /// The single digit 0, which no digit may follow.
    Zero,
    /// A number that does not start with 0.
    Digits,
    /// The point was read, a digit must follow.
    Point,
    /// Digits after the point.
    Fraction,
    /// The `e` was read, a sign or a digit must follow.
    Exponent,
    /// The sign of the exponent was read, a digit must follow.
    ExponentSign,
    /// Digits of the exponent.
    ExponentDigits,
    /// A string that ends with this quote.
    Text(u8),
    /// A backslash was read in such a string.
    Escape(u8),
    /// Skipping after an error.
    Recovery,
}

/// What a byte does to a state.
enum Step {
    /// The byte belongs to the token, which goes on.
    Take(State),
    /// The byte belongs to the token and ends it.
    TakeLast(fn(Vec<u8>) -> Token),
    /// The token ended before this byte, which is to be looked at again.
    EndBefore(fn(Vec<u8>) -> Token),
    /// The byte is skipped.
    Skip,
    /// Nothing more to skip; the byte is to be looked at again.
    Restart,
    /// The byte fits nowhere.
    Stray,
}

impl Lexer {
    /// A lexer at the beginning, for tokens of at most so many bytes.
    pub(crate) fn new(token_max_bytes: usize) -> Self {
        Self {
            state: State::default(),
            next: Position::START,
            start: Position::START,
            token: Vec::new(),
            token_max_bytes,
        }
    }

    /// Takes bytes from the front of `input` until a token is complete, and tells where it began; `None` if
    /// `input` ran out first.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Option<(Token, Position)> {
        while let Some((&byte, rest)) = input.split_first() {
            let step = step(self.state, byte);
            let behind = self.next.behind(byte);
            if !matches!(step, Step::EndBefore(_) | Step::Restart) {
                *input = rest;
                self.next = behind;
            }
            let start = self.start;
            let token = self.handle_step(step, byte, input);
            if self.state == State::Start {
                // Even if the byte is to be looked at again: a column too many, as with QEMU.
                self.start = behind;
            }
            if let Some(token) = token {
                return Some((token, start));
            }
        }
        None
    }

    /// Does what a byte does to the state; the token, if it ends one.
    fn handle_step(&mut self, step: Step, byte: u8, input: &mut &[u8]) -> Option<Token> {
        match step {
            Step::Take(state) => {
                self.state = state;
                self.token.push(byte);
                self.take_plain(input);
                (self.token.len() > self.token_max_bytes).then(|| {
                    self.reset(State::Start);
                    Token::TooLong
                })
            }
            Step::TakeLast(token) => {
                self.token.push(byte);
                Some(token(self.reset(State::Start)))
            }
            Step::EndBefore(token) => Some(token(self.reset(State::Start))),
            Step::Skip => None,
            Step::Restart => {
                self.state = State::Start;
                None
            }
            Step::Stray => {
                self.token.push(byte);
                Some(Token::Stray(self.reset(State::Recovery)))
            }
        }
    }

    /// Inside a string: takes all that is neither its end nor an escape at once, up to the one byte that is
    /// too many.
    fn take_plain(&mut self, input: &mut &[u8]) {
        let State::Text(quote) = self.state else {
            return;
        };
        let plain = |byte: &u8| matches!(byte, 0x20..=0xFD) && *byte != b'\\' && *byte != quote;
        let room = (self.token_max_bytes + 1).saturating_sub(self.token.len());
        let length = input
            .iter()
            .take(room)
            .take_while(|byte| plain(byte))
            .count();
        let (taken, rest) = input.split_at(length);
        self.token.extend_from_slice(taken);
        self.next = self.next.right(length);
        *input = rest;
    }

    /// Goes to `state` and hands out the bytes read so far.
    fn reset(&mut self, state: State) -> Vec<u8> {
        self.state = state;
        std::mem::take(&mut self.token)
    }
}

fn step(state: State, byte: u8) -> Step {
    match state {
        State::Start => step_start(byte),
        State::Keyword => match byte {
            b'a'..=b'z' => Step::Take(State::Keyword),
            _ => Step::EndBefore(Token::Keyword),
        },
        State::Text(quote) => match byte {
            b'\\' => Step::Take(State::Escape(quote)),
            _ if byte == quote => Step::TakeLast(Token::String),
            0x20..=0xFD => Step::Take(State::Text(quote)),
            _ => Step::Stray,
        },
        State::Escape(quote) => match byte {
            0x20..=0xFD => Step::Take(State::Text(quote)),
            _ => Step::Stray,
        },
        State::Recovery => match byte {
            b'\t' => Step::Skip,
            0..=0x1F | 0xFE | 0xFF => Step::Restart,
            b'{' | b'}' | b'[' | b']' | b',' | b':' => Step::Restart,
            _ => Step::Skip,
        },
        _ => step_number(state, byte),
    }
}

fn step_start(byte: u8) -> Step {
    match byte {
        b' ' | b'\t' | b'\r' | b'\n' => Step::Skip,
        b'{' => Step::TakeLast(|_| Token::ObjectStart),
        b'}' => Step::TakeLast(|_| Token::ObjectEnd),
        b'[' => Step::TakeLast(|_| Token::ArrayStart),
        b']' => Step::TakeLast(|_| Token::ArrayEnd),
        b',' => Step::TakeLast(|_| Token::Comma),
        b':' => Step::TakeLast(|_| Token::Colon),
        b'"' | b'\'' => Step::Take(State::Text(byte)),
        b'-' => Step::Take(State::Minus),
        b'0' => Step::Take(State::Zero),
        b'1'..=b'9' => Step::Take(State::Digits),
        b'a'..=b'z' => Step::Take(State::Keyword),
        _ => Step::Stray,
    }
}

fn step_number(state: State, byte: u8) -> Step {
    match (state, byte) {
        (State::Minus, b'0') => Step::Take(State::Zero),
        (State::Minus, b'1'..=b'9') | (State::Digits, b'0'..=b'9') => Step::Take(State::Digits),
        (State::Zero, b'0'..=b'9') => Step::Stray,
        (State::Zero | State::Digits, b'.') => Step::Take(State::Point),
        // QEMU takes no exponent directly behind a single 0.
        (State::Digits | State::Fraction, b'e' | b'E') => Step::Take(State::Exponent),
        (State::Zero | State::Digits, _) => Step::EndBefore(Token::Integer),
        (State::Point | State::Fraction, b'0'..=b'9') => Step::Take(State::Fraction),
        (State::Exponent, b'+' | b'-') => Step::Take(State::ExponentSign),
        (State::Exponent | State::ExponentSign | State::ExponentDigits, b'0'..=b'9') => {
            Step::Take(State::ExponentDigits)
        }
        (State::Fraction | State::ExponentDigits, _) => Step::EndBefore(Token::Float),
        _ => Step::Stray,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(mut input: &[u8]) -> Vec<Token> {
        let mut lexer = Lexer::new(1000);
        std::iter::from_fn(|| lexer.next(&mut input))
            .map(|(token, _)| token)
            .collect()
    }

    fn stray(text: &str) -> Token {
        Token::Stray(text.into())
    }

    #[test]
    fn a_split_anywhere_makes_no_difference() {
        let text = br#"{"a\"b": -0.5e+3, 'c': [true,18 ]} "#;
        let mut lexer = Lexer::new(1000);
        let mut input = &text[..];
        let whole: Vec<_> = std::iter::from_fn(|| lexer.next(&mut input)).collect();
        assert_eq!(whole.len(), 13);
        for cut in 0..text.len() {
            let (mut head, mut tail) = text.split_at(cut);
            let mut lexer = Lexer::new(1000);
            let mut split: Vec<_> = std::iter::from_fn(|| lexer.next(&mut head)).collect();
            split.extend(std::iter::from_fn(|| lexer.next(&mut tail)));
            assert_eq!(split, whole, "cut at {cut}");
        }
    }

    #[test]
    fn the_stray_byte_belongs_to_the_error() {
        assert_eq!(tokens(b"01 "), [stray("01")]);
        assert_eq!(tokens(b"1.\n"), [stray("1.\n")]);
        assert_eq!(tokens(b"--1"), [stray("--")]);
        assert_eq!(tokens(b"\"a\tb\""), [stray("\"a\t")]);
        assert_eq!(tokens(b"NaN,"), [stray("N"), Token::Comma]);
    }

    #[test]
    fn recovery_ends_at_structure_control_or_no_utf8() {
        assert_eq!(
            tokens(b"\x1b[A"),
            [stray("\x1b"), Token::ArrayStart, stray("A")]
        );
        assert_eq!(tokens(b"\x01\x02"), [stray("\x01"), stray("\x02")]);
        let strays = tokens(b"\xfe\xff");
        assert_eq!(strays.len(), 2);
        assert_eq!(
            tokens(b"%d \t 'x' \n true "),
            [stray("%"), Token::Keyword(b"true".to_vec())]
        );
    }

    #[test]
    fn words_and_numbers_end_where_they_stop_fitting() {
        assert_eq!(
            tokens(b"0x10 "),
            [
                Token::Integer(b"0".to_vec()),
                Token::Keyword(b"x".to_vec()),
                Token::Integer(b"10".to_vec()),
            ]
        );
        assert_eq!(
            tokens(b"0e1 10e1 0.0e1 "),
            [
                Token::Integer(b"0".to_vec()),
                Token::Keyword(b"e".to_vec()),
                Token::Integer(b"1".to_vec()),
                Token::Float(b"10e1".to_vec()),
                Token::Float(b"0.0e1".to_vec()),
            ]
        );
    }
}
