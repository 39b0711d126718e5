//! Finding the next message after a fault.

use memchr::memchr;

use super::is_blank;
use crate::limits::RESYNC_BLANK_MAX_BYTES;

/// What a search for the next message gave.
pub(super) enum Search {
    /// It may start here.
    Found(usize),
    /// Here is a `{`, but the bytes that decide are not there yet.
    Hold(usize),
    /// Not in these bytes.
    Nothing,
}

/// Searches from `from` on for a `{` that starts a line, follows a `}` (inside one JSON value it
/// never does), or begins as QEMU's messages do. `before` is the byte before the window.
pub(super) fn search(window: &[u8], from: usize, before: u8) -> Search {
    let mut at = from;
    while let Some(distance) = window.get(at..).and_then(|rest| memchr(b'{', rest)) {
        at += distance;
        let previous = at.checked_sub(1).map_or(before, |index| window[index]);
        if matches!(previous, b'\n' | b'}') {
            return Search::Found(at);
        }
        match begins_like_a_message(&window[at..]) {
            Some(true) => return Search::Found(at),
            Some(false) => at += 1,
            None => return Search::Hold(at),
        }
    }
    Search::Nothing
}

/// If the message that breaks off at `end` has swallowed a whole one as its last nested object:
/// where that starts. `last_object` is the start of the object closed last.
pub(super) fn swallowed_message(window: &[u8], end: usize, last_object: usize) -> Option<usize> {
    let closed = last_significant(window, end).is_some_and(|at| window[at] == b'}');
    let swallowed = closed
        && last_object > 0
        && begins_like_a_message(window.get(last_object..)?) == Some(true);
    swallowed.then_some(last_object)
}

/// A `{` directly before the closing quote of the string that the fault at `end` follows: then the
/// quote opened the first key of a new message.
pub(super) fn brace_that_ended_a_string(window: &[u8], end: usize) -> Option<usize> {
    let quote = last_significant(window, end)?;
    let brace = quote.checked_sub(1).filter(|at| *at > 0)?;
    (window[quote] == b'"' && window[brace] == b'{').then_some(brace)
}

/// Place of the last byte before `end` that is not white space.
fn last_significant(window: &[u8], end: usize) -> Option<usize> {
    window.get(..end)?.iter().rposition(|byte| !is_blank(*byte))
}

/// Whether the first key of the object is one that only whole messages begin with: the greeting's,
/// an event's, a reply's. `None`: the bytes end before that can be said.
pub(super) fn begins_like_a_message(object: &[u8]) -> Option<bool> {
    const KEYS: [&[u8]; 4] = [b"\"QMP\"", b"\"timestamp\"", b"\"event\"", b"\"return\""];
    let body = object.get(1..)?;
    let blank = body.iter().take_while(|byte| is_blank(**byte)).count();
    if blank > RESYNC_BLANK_MAX_BYTES {
        return Some(false);
    }
    let key = &body[blank..];
    if KEYS.iter().any(|wanted| key.starts_with(wanted)) {
        return Some(true);
    }
    let may_become = KEYS.iter().any(|wanted| wanted.starts_with(key));
    (!may_become).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_decides_as_soon_as_it_can() {
        assert_eq!(begins_like_a_message(b"{"), None);
        assert_eq!(begins_like_a_message(b"{\r\n    "), None);
        assert_eq!(begins_like_a_message(b"{\"Q"), None);
        assert_eq!(begins_like_a_message(b"{\"QMP\""), Some(true));
        assert_eq!(
            begins_like_a_message(b"{\r\n    \"timestamp\": {"),
            Some(true)
        );
        assert_eq!(begins_like_a_message(b"{\"seconds\""), Some(false));
        assert_eq!(begins_like_a_message(b"{}"), Some(false));
        assert_eq!(
            begins_like_a_message(&[b"{".as_slice(), &[b' '; 17]].concat()),
            Some(false)
        );
    }
}
