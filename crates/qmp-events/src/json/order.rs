//! The order in which QEMU prints the members of an object.
//!
//! QEMU keeps an object in a hash table of 512 buckets and prints it bucket by bucket; inside one
//! bucket, what was added last comes first. Measured on every object captured from QEMU 7.2 and
//! 10.0; unchanged in 11.1.

/// Buckets in the table QEMU keeps an object in.
const BUCKETS: u32 = 512;

/// The bucket in which QEMU keeps a member of this name, 0 to 511. Members are printed by ascending
/// bucket.
pub const fn bucket(name: &str) -> u16 {
    let bytes = name.as_bytes();
    let (mut sum, mut length, mut i) = (0_u32, 0_usize, 0);
    while i < bytes.len() {
        // QEMU keeps U+0000 as the two bytes C0 80.
        if bytes[i] == 0 {
            sum = sum.wrapping_add(0xC0 << ((length * 5) % 24));
            length += 1;
        }
        let byte = if bytes[i] == 0 { 0x80 } else { bytes[i] };
        sum = sum.wrapping_add((byte as u32) << ((length * 5) % 24));
        length += 1;
        i += 1;
    }
    #[expect(clippy::cast_possible_truncation, reason = "QEMU computes in 32 bits")]
    let value = 0x238F_13AF_u32
        .wrapping_mul(length as u32)
        .wrapping_add(sum);
    let hash = 1_103_515_243_u32.wrapping_mul(value).wrapping_add(12345);
    (hash % BUCKETS) as u16
}

/// Indices of `names`, given in the order QEMU adds them, in the order QEMU prints them.
pub const fn order<const N: usize>(names: &[&str; N]) -> [usize; N] {
    let mut order = [0; N];
    let mut filled = 0;
    while filled < N {
        // Insertion sort; equal buckets: the newcomer goes in front.
        let mut at = filled;
        while at > 0 && bucket(names[order[at - 1]]) >= bucket(names[filled]) {
            order[at] = order[at - 1];
            at -= 1;
        }
        order[at] = filled;
        filled += 1;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As QEMU 7.2 and 10.0 print `{"\u0000": 2, "\u00e9": 3}`.
    #[test]
    fn a_nul_counts_as_two_bytes() {
        assert_eq!(order(&["\0", "é"]), [1, 0]);
        assert_eq!(order(&["é", "\0", "😀"]), [0, 1, 2]);
    }

    #[test]
    fn envelope_and_version_print_as_captured() {
        assert_eq!(order(&["event", "data", "timestamp"]), [2, 0, 1]);
        assert_eq!(order(&["major", "minor", "micro"]), [2, 1, 0]);
        assert_eq!(order(&["class", "desc"]), [0, 1]);
        assert_eq!(order(&["guest", "reason"]), [0, 1]);
    }
}
