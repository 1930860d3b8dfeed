//! Bytes as hex digits, for hashes, proofs and the key file.
//!
//! Two lower-case digits a byte, no separator. Reading takes both cases and nothing else.

/// Writes bytes as lower-case digits.
pub(super) fn write(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
        text
    })
}

/// Reads digits, if all of the text is such.
pub(super) fn read(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| (byte << 4) | digit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_all_else_is_not() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(read(&write(&bytes)), Some(bytes));
        assert_eq!(write(&[0, 0xfe]), "00fe");
        assert_eq!(read("FE"), Some(vec![0xfe]));
        for text in ["f", "0x", "zz", "0é"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
