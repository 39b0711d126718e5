//! RSA encryption with OAEP padding, as SPICE wants a password to be sent.
//!
//! By hand, as this is all the cryptography the lab needs, and nothing here is a secret: the
//! padding is not random and no care is taken of timing.

/// The size of the key a SPICE server makes for each connection, in bytes.
pub(crate) const KEY_BYTES: usize = 128;

const HASH_BYTES: usize = 20;
const PUBLIC_EXPONENT_BITS: u32 = 16;
/// Any would do.
const SEED: [u8; HASH_BYTES] = [0x5A; HASH_BYTES];

/// Encrypts `message` for the key with this modulus and the exponent 65537.
///
/// `None` if the message is too long: more than 86 bytes.
pub(crate) fn encrypt(modulus: &[u8; KEY_BYTES], message: &[u8]) -> Option<[u8; KEY_BYTES]> {
    let padded = pad(message)?;
    let (modulus, base) = (Number::from_bytes(modulus), Number::from_bytes(&padded));
    // 65537 is binary 1 0000 0000 0000 0001: square sixteen times, multiply once.
    let squared = (0..PUBLIC_EXPONENT_BITS).fold(base, |n, _| n.times(&n, &modulus));
    Some(squared.times(&base, &modulus).to_bytes())
}

fn pad(message: &[u8]) -> Option<[u8; KEY_BYTES]> {
    const BLOCK_BYTES: usize = KEY_BYTES - HASH_BYTES - 1;
    let zeros = BLOCK_BYTES.checked_sub(HASH_BYTES + 1 + message.len())?;
    let label = sha1(b"");
    let block = [&label[..], &vec![0; zeros], &[1], message].concat();
    let block = masked(&block, &SEED);
    let seed = masked(&SEED, &block);
    let mut padded = [0; KEY_BYTES];
    for (to, from) in padded.iter_mut().skip(1).zip(seed.iter().chain(&block)) {
        *to = *from;
    }
    Some(padded)
}

/// `bytes`, each combined with one of a stream made of hashes of `key`.
fn masked(bytes: &[u8], key: &[u8]) -> Vec<u8> {
    let stream = (0_u32..).flat_map(|count| sha1(&[key, &count.to_be_bytes()].concat()));
    bytes.iter().zip(stream).map(|(a, b)| a ^ b).collect()
}

fn sha1(message: &[u8]) -> [u8; HASH_BYTES] {
    const BLOCK_BYTES: usize = 64;
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % BLOCK_BYTES != BLOCK_BYTES - 8 {
        padded.push(0);
    }
    padded.extend((message.len() as u64 * 8).to_be_bytes());
    let mut state: [u32; 5] = [
        0x6745_2301,
        0xEFCD_AB89,
        0x98BA_DCFE,
        0x1032_5476,
        0xC3D2_E1F0,
    ];
    for block in padded.as_chunks::<BLOCK_BYTES>().0 {
        let mut words: Vec<u32> = block
            .as_chunks()
            .0
            .iter()
            .map(|word| u32::from_be_bytes(*word))
            .collect();
        for i in 16..80 {
            words
                .push((words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16]).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (round, word) in words.iter().enumerate() {
            let (f, k) = match round {
                0..20 => ((b & c) | (!b & d), 0x5A82_7999),
                20..40 => (b ^ c ^ d, 0x6ED9_EBA1),
                40..60 => ((b & c) | (b & d) | (c & d), 0x8F1B_BCDC),
                _ => (b ^ c ^ d, 0xCA62_C1D6_u32),
            };
            let sum = [a.rotate_left(5), f, e, k, *word];
            let next = sum.into_iter().fold(0, u32::wrapping_add);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (total, part) in state.iter_mut().zip([a, b, c, d, e]) {
            *total = total.wrapping_add(part);
        }
    }
    let mut hash = [0; HASH_BYTES];
    for (to, from) in hash.as_chunks_mut().0.iter_mut().zip(state) {
        *to = from.to_be_bytes();
    }
    hash
}

const LIMBS: usize = KEY_BYTES / 4;

/// A number of up to 1024 bits, and room for one bit more; the lowest 32 bits first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Number([u32; LIMBS + 1]);

impl Number {
    fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Number {
        let mut limbs = [0; LIMBS + 1];
        for (limb, bytes) in limbs.iter_mut().zip(bytes.as_chunks().0.iter().rev()) {
            *limb = u32::from_be_bytes(*bytes);
        }
        Number(limbs)
    }

    fn to_bytes(self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        for (bytes, limb) in bytes.as_chunks_mut().0.iter_mut().rev().zip(self.0) {
            *bytes = limb.to_be_bytes();
        }
        bytes
    }

    /// The product, less the modulus as often as it goes: bit by bit, doubling and adding.
    fn times(&self, other: &Number, modulus: &Number) -> Number {
        let mut product = Number([0; LIMBS + 1]);
        for limb in other.0.iter().rev() {
            for bit in (0..u32::BITS).rev() {
                product = product.plus(&product, modulus);
                if limb >> bit & 1 == 1 {
                    product = product.plus(self, modulus);
                }
            }
        }
        product
    }

    /// The sum of two numbers below the modulus, below it too.
    fn plus(&self, other: &Number, modulus: &Number) -> Number {
        let mut sum = *self;
        let mut carry = 0;
        for (limb, more) in sum.0.iter_mut().zip(other.0) {
            let total = u64::from(*limb) + u64::from(more) + carry;
            (*limb, carry) = (low(total), total >> 32);
        }
        if sum.0.iter().rev().ge(modulus.0.iter().rev()) {
            let mut borrow = false;
            for (limb, less) in sum.0.iter_mut().zip(modulus.0) {
                let (once, under) = limb.overflowing_sub(less);
                let (twice, again) = once.overflowing_sub(borrow.into());
                (*limb, borrow) = (twice, under || again);
            }
        }
        sum
    }
}

/// The lower half.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the upper half is the carry"
)]
fn low(total: u64) -> u32 {
    total as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn sha1_of_the_standards_examples() {
        assert_eq!(hex(&sha1(b"")), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(
            hex(&sha1(b"abc")),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        let long = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(hex(&sha1(long)), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    }

    #[test]
    fn products_stay_below_the_modulus() {
        let number = |low: u32| {
            let mut limbs = [0; LIMBS + 1];
            limbs[0] = low;
            Number(limbs)
        };
        assert_eq!(number(7).times(&number(9), &number(10)), number(3));
        let mut modulus = [0xFF; KEY_BYTES];
        // 2 to the 1024th less 1: one less squared is 1.
        let minus_one = {
            modulus[KEY_BYTES - 1] = 0xFE;
            Number::from_bytes(&modulus)
        };
        modulus[KEY_BYTES - 1] = 0xFF;
        let modulus = Number::from_bytes(&modulus);
        assert_eq!(minus_one.times(&minus_one, &modulus), number(1));
        assert_eq!(Number::from_bytes(&minus_one.to_bytes()), minus_one);
    }

    #[test]
    fn padding_can_be_taken_off_again() {
        let padded = pad(b"sesame\0").expect("short enough");
        let (seed, block) = padded[1..].split_at(HASH_BYTES);
        let block_again = masked(block, &masked(seed, block));
        assert!(block_again.starts_with(&sha1(b"")));
        assert!(
            block_again.ends_with(b"\0\0\x01sesame\0"),
            "{block_again:?}"
        );
        assert_eq!(pad(&[1; 87]), None);
        assert!(pad(&[1; 86]).is_some());
    }
}
