//! The four codecs of Kafka, behind one reader. How much may come out is the caller's business (`iter.rs` caps it).
//!
//! gzip, lz4 (frame format) and zstd stream; snappy comes raw (one block, its length in front) or in Java's xerial
//! framing (a 16-byte header, then blocks, each behind a 4-byte length).

use super::RecordsError;
use std::io::{self, Read, Write};

/// A batch's compression type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Compression {
    /// Records as they are.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy, raw or with xerial framing.
    Snappy,
    /// LZ4 frame.
    Lz4,
    /// Zstandard.
    Zstd,
}

const XERIAL: &[u8; 8] = b"\x82SNAPPY\0";

/// Largest window of a zstd frame, as a power of two: the decoder takes it at once, whatever the frame holds. 32 MiB is
/// the largest batch there is; levels above 20 may ask for more where the sender did not know the size.
const ZSTD_WINDOW_LOG: u32 = 25;

impl Compression {
    /// From the attribute bits.
    pub fn of(codec: u8) -> Result<Compression, RecordsError> {
        match codec {
            0 => Ok(Compression::None),
            1 => Ok(Compression::Gzip),
            2 => Ok(Compression::Snappy),
            3 => Ok(Compression::Lz4),
            4 => Ok(Compression::Zstd),
            other => Err(RecordsError::Codec(other)),
        }
    }

    /// The attribute bits.
    #[must_use]
    pub fn bits(self) -> i16 {
        self as i16
    }

    /// A reader of the decompressed bytes.
    pub(super) fn reader<'a>(self, bytes: &'a [u8], cap: usize) -> Result<Box<dyn Read + 'a>, RecordsError> {
        let failed = |e: io::Error| RecordsError::Decompress(e.to_string());
        Ok(match self {
            Compression::None => Box::new(bytes),
            Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
            Compression::Snappy => Box::new(Snappy::new(bytes, cap)),
            Compression::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(bytes)),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(failed)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(failed)?;
                Box::new(decoder)
            }
        })
    }

    /// Compresses; used by the builder, so by tests, tools and coordinators.
    pub(super) fn compress(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Compression::None => Ok(bytes.to_vec()),
            Compression::Gzip => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                out.write_all(bytes)?;
                out.finish()
            }
            Compression::Snappy => {
                let mut out = XERIAL.to_vec();
                out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
                for block in bytes.chunks(32 * 1024) {
                    let packed = snap::raw::Encoder::new().compress_vec(block).map_err(io::Error::other)?;
                    out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
                    out.extend_from_slice(&packed);
                }
                Ok(out)
            }
            Compression::Lz4 => {
                let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
                out.write_all(bytes)?;
                out.finish().map_err(io::Error::other)
            }
            Compression::Zstd => zstd::stream::encode_all(bytes, 0),
        }
    }
}

/// Snappy has no stream of its own: blocks are decompressed one at a time, none larger than the cap.
struct Snappy<'a> {
    rest: &'a [u8],
    framed: bool,
    cap: usize,
    block: Vec<u8>,
    at: usize,
}

impl<'a> Snappy<'a> {
    fn new(bytes: &'a [u8], cap: usize) -> Snappy<'a> {
        let framed = bytes.len() >= 16 && &bytes[..8] == XERIAL;
        let rest = if framed { &bytes[16..] } else { bytes };
        Snappy { rest, framed, cap, block: Vec::new(), at: 0 }
    }

    fn next_block(&mut self) -> io::Result<()> {
        let bad = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
        let packed = if self.framed {
            let (length, rest) =
                self.rest.split_first_chunk::<4>().ok_or(bad("a snappy block is cut short"))?;
            let length = u32::from_be_bytes(*length) as usize;
            let packed = rest.get(..length).ok_or(bad("a snappy block is cut short"))?;
            self.rest = &rest[length..];
            packed
        } else {
            std::mem::take(&mut self.rest)
        };
        let length = snap::raw::decompress_len(packed).map_err(io::Error::other)?;
        // Snappy expands at most about 21-fold: a length beyond that, or beyond the cap, is a lie or a bomb.
        if length > self.cap || length / 32 > packed.len() {
            return Err(bad("a snappy block announces more than it may hold"));
        }
        self.block.resize(length, 0);
        self.at = 0;
        snap::raw::Decoder::new().decompress(packed, &mut self.block).map_err(io::Error::other)?;
        Ok(())
    }
}

impl Read for Snappy<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            if self.rest.is_empty() {
                return Ok(0);
            }
            self.next_block()?;
        }
        let n = buf.len().min(self.block.len() - self.at);
        buf[..n].copy_from_slice(&self.block[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}
