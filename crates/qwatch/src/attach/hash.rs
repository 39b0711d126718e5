//! XXH64, the 64-bit hash of the xxHash family, from its published specification.
//!
//! A chunk's hash is written by one version of this program and compared by a later one, so it must be one
//! whose values are fixed; that rules out the standard library's. It costs a fraction of a nanosecond a byte.

const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

/// Bytes that are taken at once, a quarter in each of four lanes.
const STRIPE_BYTES: usize = 32;

/// The hash of the bytes.
pub(super) fn xxh64(bytes: &[u8], seed: u64) -> u64 {
    let stripes = bytes.chunks_exact(STRIPE_BYTES);
    let rest = stripes.remainder();
    let start = if bytes.len() >= STRIPE_BYTES {
        let mut lanes = [
            seed.wrapping_add(P1).wrapping_add(P2),
            seed.wrapping_add(P2),
            seed,
            seed.wrapping_sub(P1),
        ];
        for stripe in stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe.chunks_exact(8)) {
                *lane = round(*lane, word64(word));
            }
        }
        join(lanes)
    } else {
        seed.wrapping_add(P5)
    };
    finish(start.wrapping_add(bytes.len() as u64), rest)
}

fn join(lanes: [u64; 4]) -> u64 {
    let [a, b, c, d] = lanes;
    let sum = a
        .rotate_left(1)
        .wrapping_add(b.rotate_left(7))
        .wrapping_add(c.rotate_left(12))
        .wrapping_add(d.rotate_left(18));
    lanes.into_iter().fold(sum, |hash, lane| {
        (hash ^ round(0, lane)).wrapping_mul(P1).wrapping_add(P4)
    })
}

/// Takes in what is less than a stripe, and spreads every bit over all.
fn finish(mut hash: u64, rest: &[u8]) -> u64 {
    let words = rest.chunks_exact(8);
    let tail = words.remainder();
    for word in words {
        hash = (hash ^ round(0, word64(word)))
            .rotate_left(27)
            .wrapping_mul(P1)
            .wrapping_add(P4);
    }
    let halves = tail.chunks_exact(4);
    let last = halves.remainder();
    for half in halves {
        let half = half
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        hash = (hash ^ half.wrapping_mul(P1))
            .rotate_left(23)
            .wrapping_mul(P2)
            .wrapping_add(P3);
    }
    for byte in last {
        hash = (hash ^ u64::from(*byte).wrapping_mul(P5))
            .rotate_left(11)
            .wrapping_mul(P1);
    }
    hash = (hash ^ hash >> 33).wrapping_mul(P2);
    hash = (hash ^ hash >> 29).wrapping_mul(P3);
    hash ^ hash >> 32
}

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(P2))
        .rotate_left(31)
        .wrapping_mul(P1)
}

fn word64(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_xxh64() {
        // From the reference implementation's own command, xxhsum -H64, and its documents.
        let cases: [(&[u8], u64, u64); 5] = [
            (b"", 0, 0xEF46_DB37_51D8_E999),
            (b"a", 0, 0xD24E_C4F1_A98C_6E5B),
            (b"abc", 0, 0x44BC_2CF5_AD77_0999),
            (
                b"Nobody inspects the spammish repetition",
                0,
                0xFBCE_A83C_8A37_8BF1,
            ),
            (b"xxhash", 20_141_025, 0xB559_B98D_844E_0635),
        ];
        for (bytes, seed, expected) in cases {
            assert_eq!(xxh64(bytes, seed), expected, "{bytes:?}");
        }
    }

    #[test]
    fn every_bit_and_the_length_count() {
        let bytes = [0_u8; 100];
        for length in 0..bytes.len() {
            let hash = xxh64(&bytes[..length], 7);
            assert_ne!(hash, xxh64(&bytes[..length + 1], 7));
            for at in 0..length {
                let mut other = bytes;
                other[at] = 1;
                assert_ne!(hash, xxh64(&other[..length], 7));
            }
        }
    }
}
