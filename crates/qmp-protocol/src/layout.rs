//! QEMU's own layout of an event, for the short way through.

/// If the bytes begin exactly as QEMU (2.x to 11.1) prints every event, up to the quote that opens
/// the event's name: the place of that quote. Nothing else can begin like this.
#[inline]
pub(crate) fn event_name_at(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.strip_prefix(b"{\"timestamp\": {\"seconds\": ")?;
    let rest = behind_integer(rest)?.strip_prefix(b", \"microseconds\": ")?;
    let rest = behind_integer(rest)?.strip_prefix(b"}, \"event\": ")?;
    (rest.first() == Some(&b'"')).then(|| bytes.len() - rest.len())
}

/// What follows an integer as JSON has it.
#[inline]
fn behind_integer(bytes: &[u8]) -> Option<&[u8]> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let count = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let leading_zero = count > 1 && digits.first() == Some(&b'0');
    (count > 0 && !leading_zero).then(|| &digits[count..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_qemus_own_layout_takes_the_short_way() {
        let event = |stamp: &str| format!("{{\"timestamp\": {stamp}, \"event\": \"STOP\"}}");
        let known = [
            "{\"seconds\": 1267020223, \"microseconds\": 435656}",
            "{\"seconds\": 0, \"microseconds\": 0}",
            "{\"seconds\": -1, \"microseconds\": -1}",
        ];
        for stamp in known {
            let text = event(stamp);
            assert_eq!(event_name_at(text.as_bytes()), text.find("\"STOP"));
            for cut in 0..text.find("\"STOP").unwrap() {
                assert_eq!(event_name_at(&text.as_bytes()[..cut]), None);
            }
        }
        let other = [
            "{\"seconds\": 01, \"microseconds\": 2}",
            "{\"seconds\": 1, \"microseconds\": }",
            "{\"seconds\": 1, \"microseconds\": 2.0}",
            "{\"seconds\":1, \"microseconds\": 2}",
            "{\"microseconds\": 2, \"seconds\": 1}",
        ];
        for stamp in other {
            assert_eq!(event_name_at(event(stamp).as_bytes()), None, "{stamp}");
        }
    }
}
