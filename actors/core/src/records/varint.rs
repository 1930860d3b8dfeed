//! Zig-zag varints of records: at most 5 bytes for 32 bits, 10 for 64.

use super::RecordsError;

const CUT: RecordsError = RecordsError::Invalid("a record ends inside a number");

/// Takes an unsigned varint of at most 64 bits off the front.
fn unsigned(bytes: &mut &[u8], max_bytes: usize) -> Result<u64, RecordsError> {
    let mut value = 0u64;
    for i in 0..max_bytes {
        let byte = *bytes.get(i).ok_or(CUT)?;
        value |= u64::from(byte & 0x7f).wrapping_shl(7 * i as u32);
        if byte & 0x80 == 0 {
            *bytes = &bytes[i + 1..];
            return Ok(value);
        }
    }
    Err(RecordsError::Invalid("a number is longer than its type"))
}

/// Takes a zig-zag `i64` off the front.
pub fn long(bytes: &mut &[u8]) -> Result<i64, RecordsError> {
    let raw = unsigned(bytes, 10)?;
    Ok(((raw >> 1) as i64) ^ -((raw & 1) as i64))
}

/// Takes a zig-zag `i32` off the front.
pub fn int(bytes: &mut &[u8]) -> Result<i32, RecordsError> {
    let raw = unsigned(bytes, 5)?;
    let raw = u32::try_from(raw).map_err(|_| RecordsError::Invalid("a number is larger than its type"))?;
    Ok(((raw >> 1) as i32) ^ -((raw & 1) as i32))
}

/// Appends a zig-zag varint.
pub fn put(out: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}
