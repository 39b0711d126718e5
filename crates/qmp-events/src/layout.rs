//! QEMU's own layout of an event, for the short way through.

use crate::Timestamp;

/// Digits of a number that cannot overflow 64 bits.
const DIGITS_MAX: usize = 18;

/// If the bytes begin exactly as QEMU (2.x to 11.1) prints every event, up to the quote that opens the
/// event's name: the stamp, and the place of that quote. Nothing but an event begins like this.
///
/// `None` says only that the short way is not open: members may stand in another order.
#[inline]
pub fn stamp(bytes: &[u8]) -> Option<(Timestamp, usize)> {
    let rest = bytes.strip_prefix(b"{\"timestamp\": {\"seconds\": ")?;
    let (seconds, rest) = integer(rest)?;
    let rest = rest.strip_prefix(b", \"microseconds\": ")?;
    let (microseconds, rest) = integer(rest)?;
    let rest = rest.strip_prefix(b"}, \"event\": ")?;
    let stamp = Timestamp {
        seconds,
        microseconds,
    };
    (rest.first() == Some(&b'"')).then(|| (stamp, bytes.len() - rest.len()))
}

/// An integer as JSON has it, and what follows.
#[inline]
fn integer(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (sign, digits) = match bytes.strip_prefix(b"-") {
        Some(digits) => (-1, digits),
        None => (1, bytes),
    };
    let mut value = 0_i64;
    let mut count = 0;
    while let Some(digit @ b'0'..=b'9') = digits.get(count) {
        if count == DIGITS_MAX {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
        count += 1;
    }
    let leading_zero = count > 1 && digits.first() == Some(&b'0');
    let minus_zero = value == 0 && sign < 0;
    (count > 0 && !leading_zero && !minus_zero).then(|| (sign * value, &digits[count..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_qemus_own_layout_takes_the_short_way() {
        let event = |stamp: &str| format!("{{\"timestamp\": {stamp}, \"event\": \"STOP\"}}");
        let known = [
            (
                "{\"seconds\": 1267020223, \"microseconds\": 435656}",
                1_267_020_223,
                435_656,
            ),
            ("{\"seconds\": 0, \"microseconds\": 0}", 0, 0),
            ("{\"seconds\": -1, \"microseconds\": -1}", -1, -1),
        ];
        for (text, seconds, microseconds) in known {
            let text = event(text);
            let name_at = text.find("\"STOP").unwrap();
            let expected = Timestamp {
                seconds,
                microseconds,
            };
            assert_eq!(stamp(text.as_bytes()), Some((expected, name_at)));
            for cut in 0..name_at {
                assert_eq!(stamp(&text.as_bytes()[..cut]), None);
            }
        }
        let other = [
            "{\"seconds\": 01, \"microseconds\": 2}",
            "{\"seconds\": -0, \"microseconds\": 2}",
            "{\"seconds\": 1, \"microseconds\": }",
            "{\"seconds\": 1, \"microseconds\": 2.0}",
            "{\"seconds\":1, \"microseconds\": 2}",
            "{\"microseconds\": 2, \"seconds\": 1}",
            "{\"seconds\": 9999999999999999999, \"microseconds\": 2}",
        ];
        for text in other {
            assert_eq!(stamp(event(text).as_bytes()), None, "{text}");
        }
    }
}
