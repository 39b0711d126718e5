//! A JSON value with its members in order, and two ways to print it: as QEMU does, and as nobody
//! would. Written after QEMU's behaviour, not after the crate, to check the crate against.

use std::fmt::Write as _;

/// A JSON value.
#[derive(Clone, Debug)]
pub(crate) enum Json {
    /// A number, `true`, `false` or `null`, as it is to stand in the text.
    Scalar(String),
    /// A string.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// An object; members in the order in which QEMU would have added them.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The value of a member; panics if it is not there.
    pub(crate) fn member(&self, name: &str) -> Option<&Json> {
        self.members()
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value)
    }

    /// The members of an object, none for other values.
    pub(crate) fn members(&self) -> &[(String, Json)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    /// The text of a string; panics for other values.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            other => panic!("no string: {other:?}"),
        }
    }

    /// As QEMU prints it: an object's members by bucket, in a bucket the last one added first.
    pub(crate) fn as_qemu(&self) -> String {
        let mut out = String::new();
        self.print_as_qemu(&mut out);
        out
    }

    fn print_as_qemu(&self, out: &mut String) {
        match self {
            Self::Scalar(literal) => out.push_str(literal),
            Self::Text(text) => out.push_str(&ascii_string(text)),
            Self::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { ", " });
                    item.print_as_qemu(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                let mut members: Vec<_> = members.iter().rev().collect();
                members.sort_by_key(|(name, _)| bucket(name));
                out.push('{');
                for (i, (name, value)) in members.into_iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { ", " });
                    write!(out, "{}: ", ascii_string(name)).expect("a String takes everything");
                    value.print_as_qemu(out);
                }
                out.push('}');
            }
        }
    }

    /// Valid JSON, but as no QEMU prints it: members in any order, any white space, any escapes.
    pub(crate) fn as_stranger(&self, seed: u64) -> String {
        let mut stranger = Stranger {
            state: seed | 1,
            out: String::new(),
        };
        stranger.print(self);
        stranger.out
    }
}

/// The bucket of QEMU's dictionary that a name falls into.
pub(crate) fn bucket(name: &str) -> u32 {
    let mut bytes = Vec::new();
    for byte in name.bytes() {
        // A zero byte ends a text in C: QEMU writes that character in two others.
        bytes.extend_from_slice(if byte == 0 {
            &[0xC0, 0x80]
        } else {
            std::slice::from_ref(&byte)
        });
    }
    let length = u32::try_from(bytes.len()).expect("names are short");
    let mut value = 0x238F_13AF_u32.wrapping_mul(length);
    for (i, byte) in bytes.into_iter().enumerate() {
        value = value.wrapping_add(u32::from(byte) << (i * 5 % 24));
    }
    value.wrapping_mul(1_103_515_243).wrapping_add(12_345) % 512
}

/// A string as QEMU prints it.
fn ascii_string(text: &str) -> String {
    let mut out = String::from("\"");
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(b'"') => out.push_str("\\\""),
            Ok(b'\\') => out.push_str("\\\\"),
            Ok(8) => out.push_str("\\b"),
            Ok(9) => out.push_str("\\t"),
            Ok(10) => out.push_str("\\n"),
            Ok(12) => out.push_str("\\f"),
            Ok(13) => out.push_str("\\r"),
            Ok(byte @ 0x20..=0x7E) => out.push(char::from(byte)),
            _ => write!(out, "\\u{unit:04X}").expect("a String takes everything"),
        }
    }
    out.push('"');
    out
}

/// Prints in a way that depends on nothing but its seed.
struct Stranger {
    state: u64,
    out: String,
}

impl Stranger {
    fn print(&mut self, value: &Json) {
        self.blank();
        match value {
            Json::Scalar(literal) => self.out.push_str(literal),
            Json::Text(text) => self.string(text),
            Json::Array(items) => {
                self.out.push('[');
                for (i, item) in items.iter().enumerate() {
                    self.out.push_str(if i == 0 { "" } else { "," });
                    self.print(item);
                }
                self.blank();
                self.out.push(']');
            }
            Json::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                for last in (1..members.len()).rev() {
                    members.swap(last, self.below(last + 1));
                }
                self.out.push('{');
                for (i, (name, value)) in members.into_iter().enumerate() {
                    self.out.push_str(if i == 0 { "" } else { "," });
                    self.blank();
                    self.string(name);
                    self.blank();
                    self.out.push(':');
                    self.print(value);
                }
                self.blank();
                self.out.push('}');
            }
        }
        self.blank();
    }

    fn blank(&mut self) {
        let blanks = ["", "", "", " ", "  ", "\t", "\n", "\r\n"];
        let chosen = self.below(blanks.len());
        self.out.push_str(blanks[chosen]);
    }

    fn string(&mut self, text: &str) {
        match self.below(3) {
            0 => self.out.push_str(&ascii_string(text)),
            1 => self
                .out
                .push_str(&serde_json::to_string(text).expect("a string is JSON")),
            _ => {
                self.out.push('"');
                for unit in text.encode_utf16() {
                    write!(self.out, "\\u{unit:04x}").expect("a String takes everything");
                }
                self.out.push('"');
            }
        }
    }

    /// A number from 0 up to, but not including, `end` (xorshift).
    fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let end = u64::try_from(end).expect("64 bits at most");
        usize::try_from(self.state % end).expect("less than a usize")
    }
}
