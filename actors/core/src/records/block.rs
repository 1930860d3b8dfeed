//! One opened block of a compressed payload, read piece by piece.
//!
//! LZ4 and snappy open a whole block at a time, and a reader takes as much of it as it has room for. `Block` keeps the
//! opened bytes and how far they are read. It knows no codec: each opens its own blocks into it.

/// The bytes of a block, and how many of them are read.
#[derive(Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    read: usize,
}

impl Block {
    /// Makes room for the next block of so many bytes, in place of the one before.
    pub fn room(&mut self, length: usize) -> &mut [u8] {
        self.bytes.resize(length, 0);
        self.read = 0;
        &mut self.bytes
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn is_read(&self) -> bool {
        self.read == self.bytes.len()
    }

    /// Copies as much of the rest as `buf` takes.
    pub fn read(&mut self, buf: &mut [u8]) -> usize {
        let rest = &self.bytes[self.read..];
        let taken = buf.len().min(rest.len());
        buf[..taken].copy_from_slice(&rest[..taken]);
        self.read += taken;
        taken
    }
}
