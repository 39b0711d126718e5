//! What matters of a record's data, in a few words.

use super::Members;
use super::escape::visible;
use super::words::typed;

/// A value in a summary is cut here, in characters; `--json` has the whole.
const VALUE_MAX_CHARS: usize = 160;
/// Objects nested deeper than this are shown as JSON; no event of QEMU's is deeper.
const NESTING_MAX_LEVELS: usize = 3;

/// The data of an event or a note in a few words, empty if it has none; safe to print.
///
/// Where the data is not as the vocabulary knows it, all of it is shown as `name=value`.
pub fn summary(name: &str, data: Option<&str>) -> String {
    let Some(raw) = data else {
        return String::new();
    };
    match Members::read(raw) {
        Some(members) => {
            typed(name, &members).unwrap_or_else(|| generic(&members, "", NESTING_MAX_LEVELS))
        }
        None => shortened(raw),
    }
}

/// `name=value` of every member; members of a nested object are written `outer.inner=value`.
fn generic(members: &Members<'_>, prefix: &str, levels: usize) -> String {
    let shown = members.0.iter().map(|(name, value)| {
        let name = format!("{prefix}{}", visible(name));
        match Members::read(value.get()) {
            Some(inner) if !inner.0.is_empty() && levels > 0 => {
                generic(&inner, &format!("{name}."), levels - 1)
            }
            _ => format!("{name}={}", shown_value(value.get())),
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// A string without its quotes where that cannot mislead, anything else as JSON.
fn shown_value(raw: &str) -> String {
    match serde_json::from_str::<String>(raw) {
        Ok(text) if text.is_empty() || text.contains([' ', '=', '"']) => {
            format!("\"{}\"", shortened(&text))
        }
        Ok(text) => shortened(&text),
        Err(_) => shortened(raw),
    }
}

/// The text, escaped, and cut if it is long.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(VALUE_MAX_CHARS) {
        Some((cut, _)) => format!("{}…", visible(&text[..cut])),
        None => visible(text).into_owned(),
    }
}
