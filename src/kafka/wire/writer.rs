//! Bytes out: small fields are gathered in one buffer, and record bytes pass through as they are.

use super::error::WireError;
use bytes::{BufMut, Bytes, BytesMut};
use callboard_actors::ports::Part;

/// The pieces of one message, in order.
#[derive(Debug, Default)]
pub struct Writer {
    done: Vec<Part>,
    done_bytes: usize,
    buffer: BytesMut,
}

impl Writer {
    /// Begins without a byte.
    #[must_use]
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Bytes that are written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.done_bytes + self.buffer.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies small fields into the buffer.
    pub fn put(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    /// Passes record bytes through, wherever they are.
    pub fn splice(&mut self, part: Part) {
        if part.is_empty() {
            return;
        }
        self.flush();
        self.done_bytes += part.len();
        self.done.push(part);
    }

    fn flush(&mut self) {
        if !self.buffer.is_empty() {
            let piece = self.buffer.split().freeze();
            self.done_bytes += piece.len();
            self.done.push(Part::Bytes(piece));
        }
    }

    /// Writes an unsigned varint of at most five bytes.
    pub fn uvarint(&mut self, mut n: u32) {
        while n >= 0x80 {
            self.buffer.put_u8((n as u8 & 0x7f) | 0x80);
            n >>= 7;
        }
        self.buffer.put_u8(n as u8);
    }

    /// Writes a length or count in either encoding; none is null.
    pub fn length(&mut self, length: Option<usize>, compact: bool, short: bool) {
        match (compact, short) {
            (true, _) => self.uvarint(length.map_or(0, |n| n as u32 + 1)),
            (false, true) => self.buffer.put_i16(length.map_or(-1, |n| n as i16)),
            (false, false) => self.buffer.put_i32(length.map_or(-1, |n| n as i32)),
        }
    }

    /// The pieces, ready to be sent.
    #[must_use]
    pub fn finish(mut self) -> Vec<Part> {
        self.flush();
        self.done
    }

    /// All pieces behind a four-byte length: a frame.
    #[must_use]
    pub fn frame(self) -> Vec<Part> {
        let length = (self.len() as i32).to_be_bytes();
        let mut pieces = self.finish();
        pieces.insert(0, Part::Bytes(Bytes::copy_from_slice(&length)));
        pieces
    }
}

/// All pieces as one piece of memory; pieces in files are read.
pub fn flat(pieces: &[Part]) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::with_capacity(pieces.iter().map(Part::len).sum());
    for piece in pieces {
        match piece {
            Part::Bytes(bytes) => out.extend_from_slice(bytes),
            Part::File(range) => {
                out.extend_from_slice(&range.read().map_err(|_| "its records cannot be read")?)
            }
        }
    }
    Ok(out)
}
