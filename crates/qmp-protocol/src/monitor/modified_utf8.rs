//! UTF-8 as QEMU reads it: U+0000 may be the two bytes C0 80, and the code points that Unicode reserves
//! for no character are as wrong as bytes that encode nothing.

/// The first character and the bytes it takes; of what is no character, `None` and how many bytes count
/// as one mistake. Nothing of nothing.
pub(crate) fn first(bytes: &[u8]) -> (Option<char>, usize) {
    let Some(&lead) = bytes.first() else {
        return (None, 0);
    };
    let (bits, length) = match lead {
        0..=0x7F => return (Some(char::from(lead)), 1),
        0xC0..=0xDF => (lead & 0x1F, 2),
        0xE0..=0xEF => (lead & 0x0F, 3),
        0xF0..=0xF7 => (lead & 0x07, 4),
        0xF8..=0xFB => (lead & 0x03, 5),
        0xFC..=0xFD => (lead & 0x01, 6),
        _ => return (None, 1),
    };
    let mut code = u32::from(bits);
    for at in 1..length {
        match bytes.get(at) {
            Some(&byte @ 0x80..=0xBF) => code = code << 6 | u32::from(byte & 0x3F),
            _ => return (None, at),
        }
    }
    let character = char::from_u32(code).filter(|character| {
        let shortest = character.len_utf8() == length;
        is_character(*character) && (shortest || (code == 0 && length == 2))
    });
    (character, length)
}

/// The text with U+FFFD for each mistake.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (character, used) = first(rest);
        text.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = rest.get(used..).unwrap_or(&[]);
    }
    text
}

/// False for the code points that Unicode reserves for no character at all (U+FFFE, U+FDD0, ...).
pub(crate) fn is_character(character: char) -> bool {
    let code = u32::from(character);
    !(0xFDD0..=0xFDEF).contains(&code) && code & 0xFFFE != 0xFFFE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_read_back() {
        for character in (0..=0x10_FFFF).filter_map(char::from_u32) {
            let mut bytes = [0; 4];
            let bytes = character.encode_utf8(&mut bytes).as_bytes();
            let expected = Some(character).filter(|character| is_character(*character));
            assert_eq!(first(bytes), (expected, bytes.len()));
        }
    }

    /// What QEMU 7.2 and 10.0 showed.
    #[test]
    fn mistakes_count_by_what_their_first_byte_announces() {
        assert_eq!(lossy(b"\xED\xA0\x80\x01"), "\u{FFFD}\u{1}");
        assert_eq!(lossy(b"\xF8\x88\x80\x80\x80"), "\u{FFFD}");
        assert_eq!(lossy(b"\xEF\xBF\xBF\xF4\x90\x80\x80"), "\u{FFFD}\u{FFFD}");
        assert_eq!(lossy(b"\xE2\x82\x01"), "\u{FFFD}\u{1}");
        assert_eq!(lossy(b"\xC3\xC3\xA9"), "\u{FFFD}é");
        assert_eq!(lossy(b"\x80\xFE\xFF"), "\u{FFFD}\u{FFFD}\u{FFFD}");
        assert_eq!(lossy(b"\xC0\x80\xC0\x81"), "\0\u{FFFD}");
    }
}
