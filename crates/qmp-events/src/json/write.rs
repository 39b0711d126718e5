//! Printing as QEMU prints.

use std::fmt::Write as _;

/// Appends `text` as a JSON string in QEMU's way: everything outside printable ASCII escaped,
/// upper-case hexadecimal, surrogate pairs beyond U+FFFF.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut plain_from = 0;
    for (at, c) in text.char_indices() {
        if matches!(c, ' '..='~') && c != '"' && c != '\\' {
            continue;
        }
        out.push_str(&text[plain_from..at]);
        plain_from = at + c.len_utf8();
        write_escape(out, c);
    }
    out.push_str(&text[plain_from..]);
    out.push('"');
}

fn write_escape(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04X}").expect("a String takes everything");
            }
        }
    }
}

/// The same JSON with white space as QEMU prints it; `raw` must be valid JSON.
///
/// Numbers, strings and the order of members stay as they are.
pub fn compact(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut in_string = false;
    let mut escape = false;
    for c in raw.chars() {
        if in_string {
            out.push(c);
            in_string = escape || c != '"';
            escape = !escape && c == '\\';
            continue;
        }
        match c {
            ' ' | '\t' | '\r' | '\n' => {}
            ',' | ':' => {
                out.push(c);
                out.push(' ');
            }
            _ => {
                in_string = c == '"';
                out.push(c);
            }
        }
    }
    out
}

/// Prints one object, member by member.
#[derive(Debug)]
pub struct ObjectWriter<'o> {
    out: &'o mut String,
    empty: bool,
}

impl<'o> ObjectWriter<'o> {
    /// Opens the object.
    pub fn new(out: &'o mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    /// Starts a member; its value is to be appended to what this gives.
    pub fn member(&mut self, name: &str) -> &mut String {
        self.separate();
        write_string(self.out, name);
        self.out.push_str(": ");
        self.out
    }

    /// Starts a member whose name stands in JSON already, escapes and all.
    pub fn literal_member(&mut self, literal: &str) -> &mut String {
        self.separate();
        self.out.push('"');
        self.out.push_str(literal);
        self.out.push_str("\": ");
        self.out
    }

    /// Closes the object.
    pub fn end(self) {
        self.out.push('}');
    }

    fn separate(&mut self) {
        if !std::mem::take(&mut self.empty) {
            self.out.push_str(", ");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_ascii_with_upper_case_hex() {
        let mut out = String::new();
        write_string(&mut out, "a\"\\\u{7f}é😀\u{1}\n/");
        assert_eq!(out, r#""a\"\\\u007F\u00E9\uD83D\uDE00\u0001\n/""#);
    }

    #[test]
    fn compact_keeps_strings() {
        assert_eq!(
            compact("{\r\n    \"a b\" : [1,2 ],\"c\\\"d\":{ }\r\n}"),
            r#"{"a b": [1, 2], "c\"d": {}}"#
        );
    }
}
