//! What releases differ in when a client's message is none: what is told, and when.

use qmp_events::Version;
use thiserror::Error;

use super::lexer::Position;
use crate::limits::CLIENT_KEYWORD_ERROR_MAX_BYTES;

/// How a release tells of errors; what it accepts is the same in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Before 3.1, where every error has the same text. From documents of that time: it was not compared
    /// with a running QEMU.
    Wordless,
    /// 3.1 to 10.2: an error of the grammar is told when the message is complete. A stray token or an
    /// exceeded limit is told at once, what was read of the message is forgotten, and its rest is taken for
    /// the next one.
    #[default]
    AtEnd,
    /// From 11.1 on: any error is told at once, and with its place unless it is an exceeded limit. The rest
    /// of the message is skipped, up to its end or a stray token, which is not told then. Where nothing is
    /// skipped a stray token is told, and the message forgotten, as before.
    AtToken,
}

/// First release that tells what is wrong with a message.
const WORDS_SINCE: Version = Version::new(3, 1);

/// First release known to tell where. There is no knowing about 11.0.
const PLACES_SINCE: Version = Version::new(11, 1);

impl Dialect {
    /// The dialect of a release.
    pub fn of(version: Version) -> Self {
        if version < WORDS_SINCE {
            Self::Wordless
        } else if version < PLACES_SINCE {
            Self::AtEnd
        } else {
            Self::AtToken
        }
    }

    /// Errors are told at once and with their place.
    pub(crate) fn tells_places(self) -> bool {
        self == Self::AtToken
    }
}

/// Why a client's message is none. Displayed it is the `desc` of QEMU's answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Any of the others, where QEMU does not tell which.
    #[error("Invalid JSON syntax")]
    Syntax,
    /// Any other, with its place.
    #[error("{0}: {1}")]
    At(Position, Box<Self>),
    /// A name of a member that is no string, where places are told.
    #[error("JSON parse error, expecting key")]
    ExpectingKey,
    /// No colon behind the name of a member, where places are told.
    #[error("JSON parse error, expecting ':'")]
    ExpectingColon,
    /// Neither comma nor end behind a member, where places are told.
    #[error("JSON parse error, expected ',' or '}}'")]
    ExpectedInObject,
    /// Neither comma nor end behind an element, where places are told.
    #[error("JSON parse error, expected ',' or ']'")]
    ExpectedInArray,
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
    /// More text in one message than
    /// [`CLIENT_TOKENS_SIZE_MAX_BYTES`](crate::limits::CLIENT_TOKENS_SIZE_MAX_BYTES).
    #[error("JSON token size limit exceeded")]
    TooLarge,
    /// More tokens than [`CLIENT_TOKENS_MAX`](crate::limits::CLIENT_TOKENS_MAX) in one message.
    #[error("JSON token count limit exceeded")]
    TooManyTokens,
    /// More levels than [`CLIENT_NESTING_MAX_LEVELS`](crate::limits::CLIENT_NESTING_MAX_LEVELS).
    #[error("JSON nesting depth limit exceeded")]
    TooDeep,
}

/// QEMU cuts this message, the only one whose length is up to the client and not that of a stray token.
fn keyword_message(word: &str) -> String {
    let mut message = format!("invalid keyword '{word}'");
    // A word is ASCII, so nothing is cut in two.
    message.truncate(CLIENT_KEYWORD_ERROR_MAX_BYTES);
    message
}
