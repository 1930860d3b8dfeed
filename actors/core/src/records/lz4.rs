//! LZ4 frames, as the clients of Kafka read them: version 1, independent blocks, an end mark.
//!
//! ```text
//!   magic 4 | flags | block size | (content size 8) | header sum |   block …   | 0 0 0 0 | (content sum 4)
//!                                     length 4, its top bit: not compressed | bytes | (block sum 4)
//! ```
//!
//! Decoders differ in the faults they let pass: a missing end mark, an empty block, a match that reaches the last
//! bytes of a block. A batch that one decoder refuses stops its consumers, so this reader refuses whatever `liblz4`
//! or Java's reader would.
//!
//! The tokens of a block are walked first, which gives its exact length. Memory is taken for that length, not for
//! the block size that the frame announces. The caller bounds the bytes that all blocks open to.

use super::block::Block;
use super::error::RecordsError;
use std::hash::Hasher;
use std::io::{self, Read};
use twox_hash::XxHash32;

const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
/// Least literals at the end of a block; no match reaches them (`LASTLITERALS`).
const LAST_LITERALS: usize = 5;
/// Least distance of a match from the end of a full block (`MFLIMIT`).
const MATCH_LIMIT: usize = 12;

/// A reader of one frame.
pub(super) struct Lz4<'a> {
    rest: &'a [u8],
    head: Head,
    cap: usize,
    block: Block,
    sum: XxHash32,
    length: u64,
    ended: bool,
}

struct Head {
    block_max: usize,
    block_sums: bool,
    content_sum: bool,
    content_size: Option<u64>,
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> io::Result<&'a [u8]> {
    let taken = rest.get(..bytes).ok_or_else(|| bad("an lz4 frame is cut short"))?;
    *rest = &rest[bytes..];
    Ok(taken)
}

fn number(rest: &mut &[u8]) -> io::Result<u32> {
    let bytes = take(rest, 4)?;
    Ok(u32::from_le_bytes(bytes.try_into().map_err(io::Error::other)?))
}

fn sum_of(bytes: &[u8]) -> u32 {
    XxHash32::oneshot(0, bytes)
}

impl Head {
    fn read(rest: &mut &[u8]) -> io::Result<Head> {
        if take(rest, 4)? != MAGIC {
            return Err(bad("no lz4 frame"));
        }
        let described = *rest;
        let [flags, sizes] = *take(rest, 2)? else { return Err(bad("an lz4 frame is cut short")) };
        // Flags: version 01, no dictionary, the reserved bit 0.
        if flags & 0xc3 != 0x40 {
            return Err(bad("an lz4 frame of another version, or with a dictionary"));
        }
        if flags & 0x20 == 0 {
            return Err(bad("blocks of an lz4 frame that depend on each other"));
        }
        let block_max = match sizes {
            0x40 => 64 << 10,
            0x50 => 256 << 10,
            0x60 => 1 << 20,
            0x70 => 4 << 20,
            _ => return Err(bad("an lz4 frame without a known block size")),
        };
        let content_size = match flags & 0x08 {
            0 => None,
            _ => Some(u64::from_le_bytes(take(rest, 8)?.try_into().map_err(io::Error::other)?)),
        };
        let described = &described[..described.len() - rest.len()];
        if take(rest, 1)? != [(sum_of(described) >> 8) as u8] {
            return Err(bad("the header of an lz4 frame does not match its checksum"));
        }
        Ok(Head { block_max, block_sums: flags & 0x10 != 0, content_sum: flags & 0x04 != 0, content_size })
    }
}

impl<'a> Lz4<'a> {
    /// Opens a frame; none of its blocks may be longer than `cap`.
    pub fn new(packed: &'a [u8], cap: usize) -> Result<Lz4<'a>, RecordsError> {
        let mut rest = packed;
        let head = Head::read(&mut rest).map_err(|e| RecordsError::Decompress(e.to_string()))?;
        let sum = XxHash32::with_seed(0);
        Ok(Lz4 { rest, head, cap, block: Block::default(), sum, length: 0, ended: false })
    }

    /// Whether the end mark has come.
    pub fn is_whole(&self) -> bool {
        self.ended
    }

    /// Bytes that are not read yet.
    pub fn unread(&self) -> usize {
        self.rest.len()
    }

    fn next_block(&mut self) -> io::Result<()> {
        let word = number(&mut self.rest)?;
        if word == 0 {
            return self.end_mark();
        }
        let (open, size) = (word >> 31 == 1, (word & 0x7fff_ffff) as usize);
        if size == 0 || size > self.head.block_max {
            return Err(bad("an lz4 block of nothing, or larger than its frame says"));
        }
        let bytes = take(&mut self.rest, size)?;
        if self.head.block_sums && number(&mut self.rest)? != sum_of(bytes) {
            return Err(bad("an lz4 block does not match its checksum"));
        }
        let length = if open { size } else { length_of(bytes, self.head.block_max)? };
        if length == 0 {
            return Err(bad("an lz4 block that opens to nothing"));
        }
        if length > self.cap {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "an lz4 block beyond the cap"));
        }
        let room = self.block.room(length);
        if open {
            room.copy_from_slice(bytes);
        } else if lz4_flex::block::decompress_into(bytes, room).map_err(io::Error::other)? != length {
            return Err(bad("an lz4 block that opens to less than its tokens say"));
        }
        self.length += length as u64;
        if self.head.content_sum {
            self.sum.write(self.block.bytes());
        }
        Ok(())
    }

    fn end_mark(&mut self) -> io::Result<()> {
        self.block.room(0);
        if self.head.content_sum && number(&mut self.rest)? != self.sum.finish_32() {
            return Err(bad("the content of an lz4 frame does not match its checksum"));
        }
        if self.head.content_size.is_some_and(|size| size != self.length) {
            return Err(bad("an lz4 frame holds another number of bytes than it says"));
        }
        self.ended = true;
        Ok(())
    }
}

impl Read for Lz4<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.block.is_read() {
            if self.ended {
                return Ok(0);
            }
            self.next_block()?;
        }
        Ok(self.block.read(buf))
    }
}

/// The length that the tokens of a block give, or an error where `LZ4_decompress_safe` refuses them.
fn length_of(block: &[u8], block_max: usize) -> io::Result<usize> {
    let malformed = || bad("an lz4 block whose sequences do not end as they must");
    let (mut at, mut length) = (0, 0);
    loop {
        let token = *block.get(at).ok_or_else(malformed)?;
        at += 1;
        let literals = extended(block, &mut at, usize::from(token >> 4))?;
        at += literals;
        length += literals;
        if length > block_max || at > block.len() {
            return Err(malformed());
        }
        if at == block.len() {
            return Ok(length);
        }
        // An offset, a token and the last literals must follow.
        if block.len() - at < 3 + LAST_LITERALS || length > block_max - MATCH_LIMIT {
            return Err(malformed());
        }
        let offset = usize::from(block[at]) | usize::from(block[at + 1]) << 8;
        at += 2;
        if offset == 0 || offset > length {
            return Err(malformed());
        }
        length += extended(block, &mut at, usize::from(token & 15))? + 4;
        if length > block_max - LAST_LITERALS {
            return Err(malformed());
        }
    }
}

/// A length of four bits, and of the bytes behind it if all four are set.
fn extended(block: &[u8], at: &mut usize, nibble: usize) -> io::Result<usize> {
    let mut length = nibble;
    if nibble == 15 {
        loop {
            let byte = *block.get(*at).ok_or_else(|| bad("an lz4 block is cut short"))?;
            *at += 1;
            length += usize::from(byte);
            if byte != 255 {
                break;
            }
        }
    }
    Ok(length)
}
