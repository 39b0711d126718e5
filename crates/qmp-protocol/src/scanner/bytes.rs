//! The two loops over single bytes: plain string content, and numbers and words.

/// Length of what needs no attention at the start of a string's rest: everything up to a quote, a
/// backslash or a control character.
///
/// Eight bytes at a time in one register. `memchr` looks for at most three different bytes, not for
/// a range, and its start-up costs more than most strings of an event are long.
#[inline]
pub(super) fn plain_len(bytes: &[u8]) -> usize {
    let (chunks, tail) = bytes.as_chunks::<8>();
    for (index, chunk) in chunks.iter().enumerate() {
        let marks = attention(u64::from_le_bytes(*chunk));
        if marks != 0 {
            // The lowest mark is exact; only marks above it may be the carry of it.
            return index * 8 + (marks.trailing_zeros() / 8) as usize;
        }
    }
    let done = chunks.len() * 8;
    let plain = |byte: &&u8| !matches!(**byte, b'"' | b'\\' | 0..0x20);
    done + tail.iter().take_while(plain).count()
}

/// Sets the high bit of each byte that is a quote, a backslash or below 0x20 (and perhaps of bytes
/// above the lowest such one).
#[inline]
fn attention(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero(word ^ (ONES * b'"' as u64));
    let backslash = zero(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGHS
}

/// A byte that numbers and words are made of.
pub(super) fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

/// True if JSON knows this number or word.
pub(super) fn is_json_scalar(text: &[u8]) -> bool {
    match text {
        b"true" | b"false" | b"null" => true,
        [b'-', number @ ..] => is_json_number(number),
        number => is_json_number(number),
    }
}

/// A number without its sign: an integer without leading zeros, then perhaps a fraction and an
/// exponent.
fn is_json_number(text: &[u8]) -> bool {
    let (integer, rest) = digits(text);
    if integer == 0 || (integer > 1 && text.first() == Some(&b'0')) {
        return false;
    }
    let rest = match rest {
        [b'.', fraction @ ..] => match digits(fraction) {
            (0, _) => return false,
            (_, rest) => rest,
        },
        rest => rest,
    };
    match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
            matches!(digits(exponent), (1.., []))
        }
        _ => false,
    }
}

/// How many digits there are at the start, and what follows.
fn digits(text: &[u8]) -> (usize, &[u8]) {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count, &text[count..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_content_ends_at_each_byte_that_matters_wherever_it_stands() {
        for special in [b'"', b'\\', b'\n', 0, 0x1f] {
            for at in 0..40 {
                let mut bytes = vec![0xC3; 41];
                bytes[at] = special;
                assert_eq!(plain_len(&bytes), at, "{special:#x} at {at}");
            }
        }
        assert_eq!(plain_len(&[0x7f; 23]), 23);
        assert_eq!(plain_len(b""), 0);
    }

    #[test]
    fn every_byte_value_is_judged_alike_in_a_chunk_and_in_a_tail() {
        for value in 0..=u8::MAX {
            let plain = !matches!(value, b'"' | b'\\' | 0..0x20);
            let mut bytes = [b'a'; 15];
            bytes[3] = value;
            assert_eq!(plain_len(&bytes), if plain { 15 } else { 3 });
            assert_eq!(plain_len(&bytes[..7]), if plain { 7 } else { 3 });
        }
    }

    #[test]
    fn scalars_as_json_has_them() {
        let known = [
            "0",
            "-0",
            "10",
            "1.5",
            "-0.25",
            "1e9",
            "1E+9",
            "2.0e-3",
            "true",
            "false",
            "null",
            "18446744073709551615",
        ];
        let unknown = [
            "", "-", "01", "+1", ".5", "1.", "1e", "1e+", "--1", "1-", "tru", "nulls", "0x10",
            "NaN", "1.5.5",
        ];
        for text in known {
            assert!(is_json_scalar(text.as_bytes()), "{text}");
        }
        for text in unknown {
            assert!(!is_json_scalar(text.as_bytes()), "{text}");
        }
    }
}
