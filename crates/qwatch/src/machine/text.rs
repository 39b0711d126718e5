//! Text from outside, held to a length.

use crate::limits::STATE_TEXT_MAX_BYTES;

/// The text, cut at a character if it is too long to be kept.
pub(super) fn clipped(text: &str) -> String {
    if text.len() <= STATE_TEXT_MAX_BYTES {
        return text.to_owned();
    }
    let mut end = STATE_TEXT_MAX_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

/// The same for a text that may be missing; an empty one counts as missing.
pub(super) fn named(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| clipped(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_at_a_character() {
        let long = "ä".repeat(STATE_TEXT_MAX_BYTES);
        let cut = clipped(&long);
        assert!(cut.len() <= STATE_TEXT_MAX_BYTES + '…'.len_utf8());
        assert!(cut.ends_with("ä…"));
        assert_eq!(clipped("short"), "short");
        assert_eq!(named(""), None);
    }
}
