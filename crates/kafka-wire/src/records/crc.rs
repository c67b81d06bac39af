//! What a checksum becomes by the bytes that follow, without looking at them (CRC-32C; the same as zlib's
//! `crc32_combine` does for CRC-32).

/// CRC-32C's polynomial, the lowest power in the highest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// x⁰.
const ONE: u32 = 1 << 31;

/// x^(8·2^k) for each k: what 2^k bytes multiply a checksum by.
const POWERS: [u32; 48] = powers();

/// From so many bytes on, [`shifted`] (40 ns for each bit that is set in the length) is cheaper than the
/// checksum of the bytes (8 to 12 GB/s). Measured by the ignored test of `restamp`; the crate's
/// `crc32c_combine` squares matrices, and takes more than a checksum of 64 KiB.
pub(super) const SHIFT_FROM: usize = 8 * 1024;

const fn powers() -> [u32; 48] {
    let mut powers = [0; 48];
    // x⁸.
    let mut power = ONE >> 8;
    let mut k = 0;
    while k < powers.len() {
        powers[k] = power;
        power = times(power, power);
        k += 1;
    }
    powers
}

/// The product of two polynomials, modulo CRC-32C's.
const fn times(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = 0;
    while bit < 32 {
        // All ones where the power is in `a`.
        product ^= b & ((a << bit) as i32 >> 31) as u32;
        b = (b >> 1) ^ (POLYNOMIAL & (b & 1).wrapping_neg());
        bit += 1;
    }
    product
}

/// The difference between the checksums of two texts with the same last `length` bytes, from the difference
/// between those of what comes before them.
pub(super) fn shifted(difference: u32, length: usize) -> u32 {
    let mut shifted = difference;
    let mut left = length;
    while left != 0 {
        shifted = times(POWERS[left.trailing_zeros() as usize], shifted);
        left &= left - 1;
    }
    shifted
}

#[cfg(test)]
mod tests {
    use crc32c::{crc32c, crc32c_append};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_the_bytes_do(
            one in vec(any::<u8>(), 0..60),
            other in vec(any::<u8>(), 0..60),
            rest in vec(any::<u8>(), 0..5000),
        ) {
            let (one, other) = (crc32c(&one), crc32c(&other));
            let after = crc32c_append(one, &rest) ^ crc32c_append(other, &rest);
            prop_assert_eq!(shifted(one ^ other, rest.len()), after);
        }
    }
}
