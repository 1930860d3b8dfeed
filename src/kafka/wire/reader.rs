//! Bytes in. The reader trusts no number: a length must fit the bytes that are left, and a count must have bytes
//! for its elements. All arrays of one message hold at most `ELEMENTS_MAX` elements together, because an element
//! takes more memory than wire.

use super::error::WireError;
use std::ops::Range;

/// Elements of all arrays of one message at most.
const ELEMENTS_MAX: usize = 256 * 1024;

/// A position in a frame, and the elements that its arrays may still have.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
    elements: usize,
}

impl<'a> Reader<'a> {
    /// Begins at the start of a frame, behind its length.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0, end: bytes.len(), elements: ELEMENTS_MAX }
    }

    /// Bytes that are not read yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// Bytes from the start of the frame.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Takes so many bytes, as a range of the frame.
    pub fn range(&mut self, length: usize) -> Result<Range<usize>, WireError> {
        if length > self.remaining() {
            return Err("a length beyond the end of the request".into());
        }
        let range = self.at..self.at + length;
        self.at += length;
        Ok(range)
    }

    /// Takes so many bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let range = self.range(length)?;
        Ok(&self.bytes[range])
    }

    /// Takes a fixed number of bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// Takes an unsigned varint of at most 32 bits.
    pub fn uvarint(&mut self) -> Result<u32, WireError> {
        let mut out = 0u32;
        for n in 0..5 {
            let [byte] = self.array::<1>()?;
            let bits = u32::from(byte & 0x7f);
            if n == 4 && bits > 0x0f {
                return Err("a varint of more than 32 bits".into());
            }
            out |= bits << (7 * n);
            if byte & 0x80 == 0 {
                return Ok(out);
            }
        }
        Err("a varint of more than 5 bytes".into())
    }

    /// Takes a length or count in either encoding; none is null.
    pub fn length(&mut self, compact: bool, short: bool) -> Result<Option<usize>, WireError> {
        let length = match (compact, short) {
            (true, _) => i64::from(self.uvarint()?) - 1,
            (false, true) => i64::from(i16::from_be_bytes(self.array()?)),
            (false, false) => i64::from(i32::from_be_bytes(self.array()?)),
        };
        match length {
            -1 => Ok(None),
            n => usize::try_from(n).map(Some).map_err(|_| "a negative length".into()),
        }
    }

    /// Proves that so many elements can follow.
    pub fn elements(&mut self, count: usize) -> Result<(), WireError> {
        if count > self.remaining() {
            return Err("more elements than bytes for them".into());
        }
        self.elements = self.elements.checked_sub(count).ok_or("too many elements in one request")?;
        Ok(())
    }

    /// Reads the next bytes by themselves, as a tagged field; `rest` goes on behind them.
    pub fn nested<T>(
        &mut self,
        length: usize,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, WireError>,
    ) -> Result<T, WireError> {
        let range = self.range(length)?;
        let mut inner =
            Reader { bytes: self.bytes, at: range.start, end: range.end, elements: self.elements };
        let out = read(&mut inner)?;
        self.elements = inner.elements;
        if inner.remaining() > 0 {
            return Err("a tagged field is longer than its content".into());
        }
        Ok(out)
    }
}
