//! Text from guests and peers, made safe to look at.
//!
//! A guest chooses the message of its panic, a file its name, a peer its machine's name. Written to
//! a terminal as they are, they could move the cursor, change colours, hide or reorder what is
//! beside them.

use std::borrow::Cow;
use std::fmt::Write;

/// The text with every character that a terminal would obey or not show written out:
/// `\n`, `\x1b`, `\u{202e}`. Everything else stays as it is.
pub fn visible(text: &str) -> Cow<'_, str> {
    replace(text, |out, c| match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if u32::from(c) < 0x100 => hex(out, "\\x", u32::from(c), 2),
        c => {
            hex(out, "\\u{", u32::from(c), 4);
            out.push('}');
        }
    })
}

/// JSON text with the same characters as `\uXXXX`, so that it means the same and is safe to look
/// at. The text must be JSON without line ends between its tokens: there, such characters are only
/// in strings.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    replace(json, |out, c| {
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            hex(out, "\\u", u32::from(*unit), 4);
        }
    })
}

fn replace(text: &str, mut escape: impl FnMut(&mut String, char)) -> Cow<'_, str> {
    let Some(first) = text.find(is_hidden) else {
        return Cow::Borrowed(text);
    };
    let (clean, rest) = text.split_at(first);
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(clean);
    for c in rest.chars() {
        if is_hidden(c) {
            escape(&mut out, c);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn hex(out: &mut String, prefix: &str, value: u32, width: usize) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{prefix}{value:0width$x}");
}

/// Control characters (C0, DEL, C1), characters that reorder text (bidi), that take no room, or
/// that end a line in some viewers.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_terminal_obeys_gets_through() {
        for (text, expected) in [
            ("plain ä 日本", "plain ä 日本"),
            ("a\x1b[31mb", "a\\x1b[31mb"),
            ("one\r\ntwo\t", "one\\r\\ntwo\\t"),
            ("\u{9b}31m", "\\x9b31m"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("\u{e0041}", "\\u{e0041}"),
        ] {
            assert_eq!(visible(text), expected);
        }
    }

    #[test]
    fn json_keeps_its_meaning() {
        let raw = "{\"a\": \"x\u{7f}\u{85}\u{202e}\u{e0041}ä\"}";
        let safe = visible_json(raw);
        assert_eq!(safe, r#"{"a": "x\u007f\u0085\u202e\udb40\udc41ä"}"#);
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(value(&safe), value(raw));
    }
}
