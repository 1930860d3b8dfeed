//! Batches that look sound from outside, lengths and checksum right, and cannot be opened, or hold what the header denies.

use std::io::Write;

use anyhow::{Context, Result, bail};
use bytes::Bytes;

/// A codec of Kafka's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Codec {
    Gzip = 1,
    Snappy,
    Lz4,
    Zstd,
}

/// The records in the payload of a poison.
const INSIDE: &[&str] = &["one", "two", "three"];

/// The kinds of poison, and the codecs with which Kafka takes them: bytes behind the frame stop aiokafka with both, librdkafka
/// with lz4.
pub const KINDS: [(&str, &[Codec]); 8] = [
    ("garbage", &[]),
    ("cut", &[]),
    ("garbage-inside", &[]),
    ("count-high", &[]),
    ("count-low", &[]),
    ("empty", &[]),
    ("trailing", &[Codec::Gzip, Codec::Lz4]),
    ("deltas-0-1-1", &[]),
];

impl Codec {
    pub const ALL: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    fn compress(self, plain: &[u8]) -> Result<Vec<u8>> {
        Ok(match self {
            Codec::Gzip => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                out.write_all(plain)?;
                out.finish()?
            }
            Codec::Snappy => {
                // As Java frames it: a header, then blocks behind their lengths.
                let block = snap::raw::Encoder::new().compress_vec(plain)?;
                let length = u32::try_from(block.len())?.to_be_bytes();
                [b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01", &length[..], &block].concat()
            }
            Codec::Lz4 => {
                let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
                out.write_all(plain)?;
                out.finish()?
            }
            Codec::Zstd => zstd::encode_all(plain, 0)?,
        })
    }

    /// A batch of one record.
    pub fn good(self, value: &str) -> Result<Bytes> {
        batch(self, 1, &self.compress(&records(&[0], &[value]))?)
    }

    /// A batch of one of the kinds.
    pub fn poison(self, kind: &str) -> Result<Bytes> {
        let garbage = b"no codec has ever written this, and no record begins like that";
        let sound = self.compress(&records(&[0, 1, 2], INSIDE))?;
        let cut = sound.len().checked_sub(9).context("a payload that can be cut")?;
        match kind {
            "garbage" => batch(self, 3, garbage),
            "cut" => batch(self, 3, &sound[..cut]),
            "garbage-inside" => batch(self, 3, &self.compress(garbage)?),
            "count-high" => batch(self, 5, &sound),
            "count-low" => batch(self, 2, &sound),
            "empty" => batch(self, 3, &[]),
            "trailing" => batch(self, 3, &[&sound[..], garbage].concat()),
            "deltas-0-1-1" => batch(self, 3, &self.compress(&records(&[0, 1, 1], INSIDE))?),
            other => bail!("no poison is called {other}"),
        }
    }
}

/// Kafka's signed numbers: zigzag, seven bits a byte.
fn put(out: &mut Vec<u8>, value: i64) {
    let mut left = ((value << 1) ^ (value >> 63)) as u64;
    while left > 0x7f {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

fn records(deltas: &[i64], values: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for (delta, value) in deltas.iter().zip(values) {
        // Attributes and timestamp 0, no key, no headers.
        let mut record = vec![0, 0];
        put(&mut record, *delta);
        put(&mut record, -1);
        put(&mut record, value.len() as i64);
        record.extend_from_slice(value.as_bytes());
        put(&mut record, 0);
        put(&mut out, record.len() as i64);
        out.extend_from_slice(&record);
    }
    out
}

/// Made now: brokers forget records by the age of their timestamps.
fn batch(codec: Codec, count: i32, payload: &[u8]) -> Result<Bytes> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis() as i64;
    let mut checked = Vec::new();
    checked.extend_from_slice(&(codec as i16).to_be_bytes());
    checked.extend_from_slice(&(count - 1).to_be_bytes());
    checked.extend_from_slice(&now.to_be_bytes());
    checked.extend_from_slice(&now.to_be_bytes());
    // No producer: id, epoch and sequence are -1.
    checked.extend_from_slice(&[0xff; 14]);
    checked.extend_from_slice(&count.to_be_bytes());
    checked.extend_from_slice(payload);
    let mut out = vec![0; 8];
    // Leader epoch, magic and checksum come before what is checked.
    out.extend_from_slice(&i32::try_from(9 + checked.len())?.to_be_bytes());
    out.extend_from_slice(&(-1i32).to_be_bytes());
    out.push(2);
    out.extend_from_slice(&crc32c::crc32c(&checked).to_be_bytes());
    out.extend_from_slice(&checked);
    Ok(Bytes::from(out))
}
