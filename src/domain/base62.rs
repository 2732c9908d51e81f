//! Fixed-width base-62 numbers, big-endian, with the digits `0-9A-Za-z`: one alphabet that survives a double click, a
//! URL and a shell.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The digits of a 256-bit number: 62^43 is the first power above 2^256.
pub const DIGITS_256: usize = 43;
/// The digits of a 32-bit number.
pub const DIGITS_32: usize = 6;
const DIGITS_128: usize = 22;
/// The most digits of which every number is below 2^64, and one more than the largest such number.
const CHUNK: usize = 10;
const CHUNK_BASE: u64 = 62_u64.pow(CHUNK as u32);

/// Writes 32 bytes as 43 digits.
pub fn encode32(bytes: &[u8; 32]) -> [u8; DIGITS_256] {
    encode(*bytes)
}

/// Writes 16 bytes as 22 digits.
pub fn encode16(bytes: [u8; 16]) -> String {
    let digits: [u8; DIGITS_128] = encode(bytes);
    digits.iter().map(|&digit| char::from(digit)).collect()
}

/// Writes a 32-bit number as 6 digits.
pub fn encode_u32(number: u32) -> [u8; DIGITS_32] {
    encode(number.to_be_bytes())
}

/// Reads 43 digits as 32 bytes. Nothing else is a number here: another length, a character outside the alphabet, or a
/// value of 2^256 and above.
pub fn decode32(digits: &[u8]) -> Option<[u8; 32]> {
    if digits.len() != DIGITS_256 {
        return None;
    }
    let mut limbs = [0_u64; 4];
    // Ten digits at a time: that many always fit into 64 bits, so the long number is multiplied five times and not 43 times.
    for chunk in digits.rchunks(CHUNK).rev() {
        let mut carry = 0_u64;
        for &digit in chunk {
            carry = carry * 62 + u64::from(value_of(digit)?);
        }
        let mut carry = u128::from(carry);
        for limb in &mut limbs {
            let wide = u128::from(*limb) * u128::from(CHUNK_BASE) + carry;
            *limb = wide as u64;
            carry = wide >> 64;
        }
        if carry != 0 {
            return None;
        }
    }
    let mut bytes = [0; 32];
    for (chunk, limb) in bytes.rchunks_exact_mut(8).zip(limbs) {
        chunk.copy_from_slice(&limb.to_be_bytes());
    }
    Some(bytes)
}

fn value_of(digit: u8) -> Option<u8> {
    let value = VALUES[usize::from(digit)];
    (value < 62).then_some(value)
}

/// The place of each byte in the alphabet; 62 where it has none.
const VALUES: [u8; 256] = {
    let mut values = [62; 256];
    let mut place = 0;
    while place < ALPHABET.len() {
        values[ALPHABET[place] as usize] = place as u8;
        place += 1;
    }
    values
};

/// Repeated division by 62; what remains each time is the next digit from the right.
fn encode<const BYTES: usize, const DIGITS: usize>(mut number: [u8; BYTES]) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_u16;
        for byte in &mut number {
            let wide = remainder << 8 | u16::from(*byte);
            *byte = (wide / 62) as u8;
            remainder = wide % 62;
        }
        *digit = ALPHABET[usize::from(remainder)];
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_decodes_to_its_place_in_the_alphabet() {
        for byte in 0..=u8::MAX {
            let place = ALPHABET.iter().position(|&digit| digit == byte);
            assert_eq!(value_of(byte).map(usize::from), place, "byte {byte}");
        }
    }

    #[test]
    fn the_largest_number_decodes_and_the_next_is_refused() {
        let mut largest = encode32(&[0xff; 32]);
        assert_eq!(decode32(&largest), Some([0xff; 32]));
        // The last digit of 2^256 - 1 is not the alphabet's last, so one more is the same number plus one.
        let last = usize::from(value_of(largest[42]).unwrap_or_default());
        assert!(last < 61);
        largest[42] = ALPHABET[last + 1];
        assert_eq!(decode32(&largest), None);
        assert_eq!(decode32(&[b'z'; DIGITS_256]), None);
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(bytes: [u8; 32]) {
            proptest::prop_assert_eq!(decode32(&encode32(&bytes)), Some(bytes));
        }
    }
}
