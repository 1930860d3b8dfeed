//! Decompresses one batch's payload as a stream, with a window and a buffer of memory, whatever comes out.
//!
//! ```text
//!   gzip    one member          lz4     one frame, blocks independent
//!   zstd    frames              snappy  one raw block, or Java's xerial framing (a 16-byte header, then blocks behind lengths)
//! ```
//!
//! A consumer that cannot unpack a batch stops at it for ever. So `end` tells whether the payload was whole and had
//! no bytes behind it, because decoders alone overlook a missing end mark. The caller bounds how much may come out
//! (`walk.rs`, `iter.rs`).

use super::block::Block;
use super::compress::{Compression, XERIAL_HEAD};
use super::error::RecordsError;
use super::lz4::Lz4;
use std::io::{self, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};
use zstd::stream::raw::{Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// Largest block of snappy, which has no stream format of its own.
const BLOCK_MAX: usize = 32 << 20;
/// Largest zstd window (a power of two) whose decoder is kept for the next batch. Levels up to 8 use no larger one.
const WINDOW_KEPT: u32 = 21;
/// Largest zstd window (a power of two) that the memory of one look-up covers.
const WINDOW_HELD: u32 = 25;

/// The unpacked bytes of one payload, as a reader.
pub struct Unpack<'a>(Codec<'a>);

enum Codec<'a> {
    Plain(&'a [u8]),
    Gzip(Box<flate2::bufread::GzDecoder<&'a [u8]>>),
    Snappy(Snappy<'a>),
    Lz4(Box<Lz4<'a>>),
    Zstd(Zstd<'a>),
}

impl<'a> Unpack<'a> {
    /// Opens a payload that may unpack to `cap` bytes.
    pub fn open(codec: Compression, packed: &'a [u8], cap: usize) -> Result<Unpack<'a>, RecordsError> {
        Ok(Unpack(match codec {
            Compression::None => Codec::Plain(packed),
            Compression::Gzip => Codec::Gzip(Box::new(flate2::bufread::GzDecoder::new(packed))),
            Compression::Snappy => Codec::Snappy(Snappy::new(packed, cap.min(BLOCK_MAX))?),
            Compression::Lz4 => Codec::Lz4(Box::new(Lz4::new(packed, cap)?)),
            Compression::Zstd => Codec::Zstd(Zstd::new(packed)?),
        }))
    }

    /// Bytes that may come out at most. A window fills as bytes come, so a very large window is a bound too.
    pub fn bound(&self, cap: usize) -> usize {
        match &self.0 {
            Codec::Zstd(zstd) if zstd.window > WINDOW_HELD => cap.min(1 << WINDOW_HELD),
            _ => cap,
        }
    }

    /// The error of a failed read, if `cap` bytes were allowed.
    pub fn failed(error: &io::Error, cap: usize) -> RecordsError {
        match error.kind() {
            io::ErrorKind::FileTooLarge => RecordsError::Bomb(cap),
            _ => RecordsError::Decompress(error.to_string()),
        }
    }

    /// Behind the last byte, tells whether the payload was whole and all of it was used.
    pub fn end(&self) -> Result<(), RecordsError> {
        let (cut, behind) = match &self.0 {
            Codec::Plain(_) => (false, 0),
            Codec::Gzip(gzip) => (false, gzip.get_ref().len()),
            Codec::Snappy(snappy) => (false, snappy.rest.len()),
            Codec::Lz4(lz4) => (!lz4.is_whole(), lz4.unread()),
            Codec::Zstd(zstd) => (!zstd.ended, zstd.input.src.len() - zstd.input.pos()),
        };
        if cut {
            return Err(RecordsError::Decompress("the compressed records are cut short".into()));
        }
        if behind > 0 {
            return Err(RecordsError::Invalid("bytes behind the compressed records"));
        }
        Ok(())
    }
}

impl Read for Unpack<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Codec::Plain(bytes) => bytes.read(buf),
            Codec::Gzip(gzip) => gzip.read(buf),
            Codec::Snappy(snappy) => snappy.read(buf),
            Codec::Lz4(lz4) => lz4.read(buf),
            Codec::Zstd(zstd) => zstd.read(buf),
        }
    }
}

/// A reader of snappy, which opens a block at a time.
struct Snappy<'a> {
    rest: &'a [u8],
    framed: bool,
    cap: usize,
    block: Block,
}

impl<'a> Snappy<'a> {
    fn new(bytes: &'a [u8], cap: usize) -> Result<Snappy<'a>, RecordsError> {
        let (rest, framed) = match bytes.strip_prefix(XERIAL_HEAD) {
            Some(rest) => (rest, true),
            // Java and Python read only version 1.
            None if bytes.starts_with(&XERIAL_HEAD[..8]) => {
                return Err(RecordsError::Decompress("snappy framing of another version than 1".into()));
            }
            None => (bytes, false),
        };
        Ok(Snappy { rest, framed, cap, block: Block::default() })
    }

    fn next_block(&mut self) -> io::Result<()> {
        let bad = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
        let packed = if self.framed {
            let (length, rest) =
                self.rest.split_first_chunk::<4>().ok_or_else(|| bad("a snappy block is cut short"))?;
            let length = u32::from_be_bytes(*length) as usize;
            let packed = rest.get(..length).ok_or_else(|| bad("a snappy block is cut short"))?;
            self.rest = &rest[length..];
            packed
        } else {
            std::mem::take(&mut self.rest)
        };
        let length = snap::raw::decompress_len(packed).map_err(io::Error::other)?;
        // Snappy expands at most about 21-fold, so a larger length is a lie.
        if length / 32 > packed.len() {
            return Err(bad("a snappy block announces more than it may hold"));
        }
        if length > self.cap {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a snappy block beyond the cap"));
        }
        snap::raw::Decoder::new().decompress(packed, self.block.room(length)).map_err(io::Error::other)?;
        Ok(())
    }
}

impl Read for Snappy<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.block.is_read() {
            if self.rest.is_empty() {
                return Ok(0);
            }
            self.next_block()?;
        }
        Ok(self.block.read(buf))
    }
}

/// Decoders for later batches. A new one costs more than a batch, because its window is a few MiB. The callers
/// bound how many run at once, and so how many are kept.
static SPARES: Mutex<Vec<ZstdDecoder<'static>>> = Mutex::new(Vec::new());

fn spares() -> MutexGuard<'static, Vec<ZstdDecoder<'static>>> {
    SPARES.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Zstd<'a> {
    decoder: Option<ZstdDecoder<'static>>,
    input: InBuffer<'a>,
    /// Of the frame, as a power of two.
    window: u32,
    ended: bool,
}

impl<'a> Zstd<'a> {
    fn new(packed: &'a [u8]) -> Result<Zstd<'a>, RecordsError> {
        let failed = |e: io::Error| RecordsError::Decompress(e.to_string());
        let window = zstd_window(packed)?;
        let spare = if window <= WINDOW_KEPT { spares().pop() } else { None };
        let mut decoder = match spare {
            Some(spare) => spare,
            None => ZstdDecoder::new().map_err(failed)?,
        };
        decoder.reinit().map_err(failed)?;
        Ok(Zstd { decoder: Some(decoder), input: InBuffer::around(packed), window, ended: false })
    }
}

impl Zstd<'_> {
    /// Goes on with the next frame, if there is one, because consumers read frames as one stream.
    fn next_frame(&mut self) -> io::Result<()> {
        let rest = self.input.src.get(self.input.pos()..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        let window = zstd_window(rest).map_err(io::Error::other)?;
        if window > WINDOW_HELD {
            return Err(io::Error::other("a window over 32 MiB in a later zstd frame"));
        }
        self.window = self.window.max(window);
        self.ended = false;
        Ok(())
    }
}

impl Read for Zstd<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut out = OutBuffer::around(buf);
        while out.pos() == 0 && out.capacity() > 0 {
            if self.ended {
                self.next_frame()?;
            }
            let Some(decoder) = self.decoder.as_mut().filter(|_| !self.ended) else { break };
            let before = self.input.pos();
            self.ended = decoder.run(&mut self.input, &mut out)? == 0;
            if out.pos() == 0 && !self.ended && self.input.pos() == before {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a zstd frame is cut short"));
            }
        }
        Ok(out.pos())
    }
}

impl Drop for Zstd<'_> {
    fn drop(&mut self) {
        if self.window <= WINDOW_KEPT {
            spares().extend(self.decoder.take());
        }
    }
}

/// The window that a zstd frame asks for, as a power of two (RFC 8878, 3.1.1.1).
fn zstd_window(packed: &[u8]) -> Result<u32, RecordsError> {
    let bad = |what: &str| RecordsError::Decompress(what.into());
    let Some((magic, [descriptor, window, ..])) = packed.split_first_chunk::<4>() else {
        return Err(bad("a zstd frame is cut short"));
    };
    if *magic != ZSTD_MAGIC {
        return Err(bad("no zstd frame"));
    }
    if descriptor & 0x20 == 0 {
        let (exponent, mantissa) = (u32::from(window >> 3), window & 7);
        return Ok(10 + exponent + u32::from(mantissa > 0));
    }
    // A frame of one segment has its content as its window.
    match zstd::zstd_safe::get_frame_content_size(packed) {
        Ok(Some(content)) => Ok(u64::BITS - content.saturating_sub(1).leading_zeros()),
        _ => Err(bad("a zstd frame without the size of its one segment")),
    }
}
