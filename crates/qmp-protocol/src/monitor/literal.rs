//! What a token is worth: strings without their escapes, numbers as QEMU reads them.

use super::modified_utf8::{self, is_character};
use super::value::Value;

/// Why a string is none; the texts are QEMU's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadString {
    /// A backslash before a character that has no escape.
    Escape,
    /// `\u` with something that is no character; the escape as it was spelled.
    CodePoint(String),
    /// Bytes that are not UTF-8, or encode something that is no character.
    Utf8,
}

/// The text of a string, from its spelling with quotes.
pub(crate) fn string(spelled: &[u8]) -> Result<String, BadString> {
    let inner = spelled
        .get(1..spelled.len().saturating_sub(1))
        .unwrap_or(&[]);
    let mut rest = inner;
    let mut text = String::with_capacity(inner.len());
    while let Some(&byte) = rest.first() {
        if byte == b'\\' {
            // The closing quote is shown too if an escape is cut short by it.
            let at = spelled.len() - 1 - rest.len();
            let (character, used) = escape(spelled.get(at..).unwrap_or(&[]))?;
            text.push(character);
            rest = rest.get(used..).unwrap_or(&[]);
        } else {
            let plain = rest.iter().position(|&byte| byte == b'\\');
            let (run, after) = rest.split_at(plain.unwrap_or(rest.len()));
            push_plain(run, &mut text)?;
            rest = after;
        }
    }
    Ok(text)
}

/// The value of a number without point and exponent: an integer if 64 bits hold it, else a double.
pub(crate) fn integer(spelled: &[u8]) -> Value {
    let text = String::from_utf8_lossy(spelled);
    if let Ok(number) = text.parse::<i64>() {
        return Value::Int(number);
    }
    match text.parse::<u64>() {
        Ok(number) => Value::Uint(number),
        Err(_) => float(spelled),
    }
}

/// The value of any other number; too large a one is infinite.
pub(crate) fn float(spelled: &[u8]) -> Value {
    let text = String::from_utf8_lossy(spelled);
    // The lexer lets nothing through that does not read as a number.
    Value::Float(text.parse().unwrap_or(f64::NAN))
}

/// The character of an escape and the bytes it took; `spelled` begins with the backslash.
fn escape(spelled: &[u8]) -> Result<(char, usize), BadString> {
    let character = match spelled.get(1) {
        Some(b'"') => '"',
        Some(b'\'') => '\'',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode_escape(spelled),
        _ => return Err(BadString::Escape),
    };
    Ok((character, 2))
}

/// Bytes of `\uXXXX`.
const UNICODE_ESCAPE_BYTES: usize = 6;

fn unicode_escape(spelled: &[u8]) -> Result<(char, usize), BadString> {
    let bad = |bytes: usize| {
        let shown = spelled.get(..bytes).unwrap_or(spelled);
        BadString::CodePoint(modified_utf8::lossy(shown))
    };
    let bad_first = || bad(UNICODE_ESCAPE_BYTES);
    let first = hex4(spelled).ok_or_else(bad_first)?;
    let second = spelled.get(UNICODE_ESCAPE_BYTES..).unwrap_or(&[]);
    let pair = (0xD800..0xDC00).contains(&first) && second.starts_with(b"\\u");
    let (code, used) = if pair {
        let low = hex4(second).ok_or_else(bad_first)?;
        if !(0xDC00..0xE000).contains(&low) {
            return Err(bad_first());
        }
        let code = 0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00);
        (code, 2 * UNICODE_ESCAPE_BYTES)
    } else {
        (first, UNICODE_ESCAPE_BYTES)
    };
    match char::from_u32(code).filter(|character| is_character(*character)) {
        Some(character) => Ok((character, used)),
        // Of a pair that makes no character both halves are shown.
        None => Err(bad(used)),
    }
}

/// The four hexadecimal digits behind `\u`.
fn hex4(spelled: &[u8]) -> Option<u32> {
    let digits = spelled.get(2..UNICODE_ESCAPE_BYTES)?;
    digits.iter().try_fold(0, |code, &digit| {
        let value = char::from(digit).to_digit(16)?;
        Some(code * 16 + value)
    })
}

/// Appends bytes without escapes.
fn push_plain(run: &[u8], text: &mut String) -> Result<(), BadString> {
    let mut rest = run;
    while !rest.is_empty() {
        // Most text is plain UTF-8: take as much of it as there is at once.
        let valid = valid_prefix(rest);
        if !valid.chars().all(is_character) {
            return Err(BadString::Utf8);
        }
        text.push_str(valid);
        rest = rest.get(valid.len()..).unwrap_or(&[]);
        if rest.is_empty() {
            break;
        }
        let (character, used) = modified_utf8::first(rest);
        text.push(character.ok_or(BadString::Utf8)?);
        rest = rest.get(used..).unwrap_or(&[]);
    }
    Ok(())
}

/// The longest beginning that is UTF-8.
fn valid_prefix(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(valid) => valid,
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or(&[]);
            // Checked a line above.
            std::str::from_utf8(valid).unwrap_or("")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(shown: &str) -> Result<String, BadString> {
        Err(BadString::CodePoint(shown.to_owned()))
    }

    #[test]
    fn escapes() {
        assert_eq!(
            string(br#""a\"\'\\\/\b\f\n\r\t""#).as_deref(),
            Ok("a\"'\\/\u{8}\u{c}\n\r\t")
        );
        assert_eq!(
            string(br#"'\u00e9\ud83d\ude00\u0000'"#).as_deref(),
            Ok("é😀\0")
        );
        assert_eq!(string(br#""\x41""#), Err(BadString::Escape));
        assert_eq!(string(br#""\q""#), Err(BadString::Escape));
    }

    #[test]
    fn no_characters() {
        assert_eq!(string(br#""\ud83d""#), bad("\\ud83d"));
        assert_eq!(string(br#""\ude00""#), bad("\\ude00"));
        assert_eq!(string(br#""\ud83d\u0041""#), bad("\\ud83d"));
        assert_eq!(string(br#""\uffff""#), bad("\\uffff"));
        assert_eq!(string(br#""\u12""#), bad("\\u12\""));
        assert_eq!(string(br#""\ud83f\udffe""#), bad("\\ud83f\\udffe"));
        assert_eq!(string(b"\"\\u000\xC3\xA9\""), bad("\\u000\u{FFFD}"));
    }

    #[test]
    fn modified_utf8() {
        assert_eq!(string(b"\"a\xC0\x80b\"").as_deref(), Ok("a\0b"));
        assert_eq!(string(b"\"\xEF\xBB\xBF\"").as_deref(), Ok("\u{FEFF}"));
        for wrong in [
            &b"\"\xEF\xBF\xBF\""[..],
            b"\"\xC3(\"",
            b"\"\xED\xA0\x80\"",
            b"\"\xF4\x90\x80\x80\"",
            b"\"\xC0\x81\"",
        ] {
            assert_eq!(string(wrong), Err(BadString::Utf8), "{wrong:x?}");
        }
    }

    #[test]
    fn numbers_beyond_64_bits_are_doubles() {
        assert_eq!(integer(b"-0"), Value::Int(0));
        assert_eq!(integer(b"9223372036854775808"), Value::Uint(1 << 63));
        assert_eq!(
            integer(b"18446744073709551616"),
            Value::Float(18_446_744_073_709_551_616.0)
        );
        assert_eq!(float(b"1e400"), Value::Float(f64::INFINITY));
    }
}
