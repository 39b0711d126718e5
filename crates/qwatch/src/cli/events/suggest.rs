//! What a mistyped event name may have meant.

use qmp_events::EventKind;

/// More slips than this are another word.
const SLIPS_MAX: usize = 3;

/// The known event closest to a name, if any is close.
pub(crate) fn closest(name: &str) -> Option<&'static str> {
    let all: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
    closest_of(&name.to_ascii_uppercase(), &all)
}

/// The one of some names that is closest to a name, if any is close.
pub(crate) fn closest_of<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let distances = known.iter().map(|known| (distance(name, known), *known));
    let (slips, close) = distances.min_by_key(|(slips, _)| *slips)?;
    // In a short word three slips leave nothing of it.
    (slips <= SLIPS_MAX.min(close.len() / 3)).then_some(close)
}

/// Letters to add, drop, change or swap with their neighbour to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    // Row before the last: where two swapped letters began.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let change = last[j] + usize::from(a != b);
            let mut least = change.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (from, to, slips) in [
            ("STOP", "STOP", 0),
            ("STPO", "STOP", 1),
            ("STP", "STOP", 1),
            ("SHOP", "STOP", 1),
            ("", "STOP", 4),
        ] {
            assert_eq!(distance(from, to), slips, "{from}");
        }
        assert_eq!(closest("stpo"), Some("STOP"));
        assert_eq!(closest("HELLO_WORLD"), None);
    }
}
