//! Kafka's four codecs: their bits in a batch, and compression of the batches that the broker builds. `unpack.rs`
//! decompresses.

use super::RecordsError;
use std::io::{self, Write};

/// The codec of a batch's records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Compression {
    /// The records are not compressed.
    #[default]
    None,
    Gzip,
    /// Snappy, raw or with xerial framing.
    Snappy,
    Lz4,
    Zstd,
}

/// Java's framing of snappy: magic, version 1, compatible from version 1.
pub(super) const XERIAL_HEAD: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";

impl Compression {
    /// The codec of these attribute bits, if it exists.
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

    /// The bits that stand for it in a batch's attributes.
    #[must_use]
    pub fn bits(self) -> i16 {
        self as i16
    }

    /// Compresses records for tests, tools and coordinators.
    pub(super) fn compress(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Compression::None => Ok(bytes.to_vec()),
            Compression::Gzip => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                out.write_all(bytes)?;
                out.finish()
            }
            Compression::Snappy => {
                let mut out = XERIAL_HEAD.to_vec();
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
