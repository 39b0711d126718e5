//! The inside of string literals.

/// How many bytes from the start are neither a quote, a backslash nor a control character: eight
/// at a time, as strings are most of an event.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // The lowest bit set marks the first byte that is `b`; bits above it may be set wrongly.
    let is = |word: u64, b: u8| {
        let zero = word ^ (ONES * u64::from(b));
        zero.wrapping_sub(ONES) & !zero & HIGH
    };
    let (words, tail) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let found = is(word, b'"') | is(word, b'\\') | control;
        if found != 0 {
            return at * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let in_tail = tail
        .iter()
        .take_while(|b| !matches!(b, b'"' | b'\\' | 0..=0x1F));
    words.len() * 8 + in_tail.count()
}

/// Resolves the escapes of a string literal that was checked before; `Err` holds the text with
/// U+FFFD in place of each half of a surrogate pair.
pub(super) fn unescape(literal: &str) -> Result<String, String> {
    let mut out = String::with_capacity(literal.len());
    let mut whole = true;
    let mut rest = literal;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (c, length) = unescape_one(&rest[at..]);
        whole &= c.is_some();
        out.push(c.unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = rest.get(at + length..).unwrap_or("");
    }
    out.push_str(rest);
    if whole { Ok(out) } else { Err(out) }
}

/// The character of the escape that `text` starts with, and the bytes it takes.
fn unescape_one(text: &str) -> (Option<char>, usize) {
    let simple = match text.as_bytes().get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            let unit = |at: usize| u32::from_str_radix(text.get(at..at + 4)?, 16).ok();
            let Some(high) = unit(2) else {
                return (None, text.len());
            };
            if !(0xD800..0xDC00).contains(&high) {
                return (char::from_u32(high), 6);
            }
            let low = if text.get(6..8) == Some("\\u") {
                unit(8)
            } else {
                None
            };
            return match low {
                Some(low) if (0xDC00..0xE000).contains(&low) => (
                    char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)),
                    12,
                ),
                _ => (None, 6),
            };
        }
        Some(&other) => char::from(other),
        None => return (None, 1),
    };
    (Some(simple), 2)
}
