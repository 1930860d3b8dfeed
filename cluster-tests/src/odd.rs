//! Record batches that no good client makes: a test sets each field, and the CRC is right all the same.
//!
//! ```text
//!   record, broken     one record's bytes, sound or not      Codec::pack   any bytes, packed
//!   Odd ──bytes()──>   what is sent                          unreadable    seven kinds, of any codec
//! ```
//!
//! This file writes the format a second time, so that a mistake in `callboard_core::records` cannot hide itself.

use std::io::Write;

use anyhow::Result;
use bytes::{Bytes, BytesMut};

/// The value of each record: three of them pack well.
pub const VALUE: &[u8] = b"value value value value";
/// Bytes that are no record and open with no codec.
const GARBAGE: &[u8] = b"this is not compressed at all, neither by gzip nor by others";
/// Java's framing of snappy: magic, version, lowest version that reads it.
const XERIAL: &[u8] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";

/// The packing of a batch's records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Codec {
    Plain,
    Gzip,
    /// Snappy as one block, without a frame.
    Snappy,
    /// Snappy in Java's framing.
    Xerial,
    Lz4,
    Zstd,
}

impl Codec {
    /// Every codec, and no packing.
    pub const ALL: [Codec; 6] =
        [Codec::Plain, Codec::Gzip, Codec::Snappy, Codec::Xerial, Codec::Lz4, Codec::Zstd];

    /// The codec's bits in the attributes of a batch.
    #[must_use]
    pub fn bits(self) -> i16 {
        match self {
            Codec::Plain => 0,
            Codec::Gzip => 1,
            Codec::Snappy | Codec::Xerial => 2,
            Codec::Lz4 => 3,
            Codec::Zstd => 4,
        }
    }

    /// The codec's name in a test's case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Codec::Plain => "plain",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Xerial => "xerial",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }

    /// Packs bytes, whatever they are.
    pub fn pack(self, bytes: &[u8]) -> Result<Vec<u8>> {
        Ok(match self {
            Codec::Plain => bytes.to_vec(),
            Codec::Gzip => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                out.write_all(bytes)?;
                out.finish()?
            }
            Codec::Snappy => snap::raw::Encoder::new().compress_vec(bytes)?,
            Codec::Xerial => {
                let packed = snap::raw::Encoder::new().compress_vec(bytes)?;
                [XERIAL, &u32::try_from(packed.len())?.to_be_bytes(), &packed].concat()
            }
            Codec::Lz4 => lz4(bytes, lz4_flex::frame::FrameInfo::new())?,
            Codec::Zstd => zstd::stream::encode_all(bytes, 3)?,
        })
    }
}

/// Packs bytes into an LZ4 frame of this kind.
pub fn lz4(bytes: &[u8], info: lz4_flex::frame::FrameInfo) -> Result<Vec<u8>> {
    let mut out = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    out.write_all(bytes)?;
    Ok(out.finish()?)
}

/// A Zstandard frame of one stored block. Its window is two to the power of `log`, which a decoder may take at once.
#[must_use]
pub fn zstd_window(bytes: &[u8], log: u8) -> Vec<u8> {
    let block = (bytes.len() as u32) << 3 | 1;
    [&[0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3], &block.to_le_bytes()[..3], bytes].concat()
}

/// Encodes a signed number as records hold it.
#[must_use]
pub fn varint(number: i64) -> Vec<u8> {
    let mut left = ((number << 1) ^ (number >> 63)) as u64;
    let mut out = Vec::new();
    while left > 0x7f {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
    out
}

/// Bytes behind their length; none is null.
fn field(bytes: Option<&[u8]>) -> Vec<u8> {
    bytes.map_or_else(|| varint(-1), |bytes| [&varint(bytes.len() as i64), bytes].concat())
}

/// A record's body behind its length.
fn framed(body: &[u8]) -> Vec<u8> {
    field(Some(body))
}

/// A sound record with a key and a value.
#[must_use]
pub fn record(offset_delta: i64, time_delta: i64) -> Vec<u8> {
    let body = [varint(time_delta), varint(offset_delta), field(Some(b"key")), field(Some(VALUE)), varint(0)];
    framed(&[&[0], &body.concat()[..]].concat())
}

/// Sound records, each as late as the batch's base.
#[must_use]
pub fn records(count: i64) -> Vec<u8> {
    (0..count).flat_map(|n| record(n, 0)).collect()
}

/// Third records of a batch that cannot be read, each with the name of its fault.
#[must_use]
pub fn broken() -> Vec<(&'static str, Vec<u8>)> {
    let sound = record(2, 0);
    let length = i64::from(sound[0] >> 1);
    let of_length = |length: i64, more: &[u8]| [&varint(length), &sound[1..], more].concat();
    let after_deltas =
        |rest: &[Vec<u8>]| framed(&[&[0], &varint(0)[..], &varint(2), &rest.concat()].concat());
    let (key, value) = (field(Some(b"key")), field(Some(VALUE)));
    let headers = |headers: &[Vec<u8>]| after_deltas(&[&[key.clone(), value.clone()], headers].concat());
    vec![
        ("record of 1000 bytes in less", of_length(1000, &[])),
        ("record one byte longer than the batch", of_length(length + 1, &[])),
        ("record one byte longer than its fields", of_length(length + 1, &[0])),
        ("record one byte shorter than its fields", of_length(length - 1, &[])),
        ("record of no bytes", varint(0)),
        ("record of -1 bytes", [varint(-1), vec![0; 10]].concat()),
        ("record of 2^31-1 bytes", [varint(i64::from(i32::MAX)), vec![0; 10]].concat()),
        ("record length of eleven bytes", vec![0xff; 11]),
        ("time delta of eleven bytes", framed(&[&[0], &[0xff; 10][..], &[1], &[0; 8]].concat())),
        ("key beyond the record", after_deltas(&[varint(1000), vec![b'k'], varint(-1), varint(0)])),
        ("value beyond the record", after_deltas(&[key.clone(), varint(1000), vec![b'v'], varint(0)])),
        ("key of -2 bytes", after_deltas(&[varint(-2), value.clone(), varint(0)])),
        ("value of -2 bytes", after_deltas(&[key.clone(), varint(-2), varint(0)])),
        ("-1 headers", headers(&[varint(-1)])),
        ("2^31-1 headers", headers(&[varint(i64::from(i32::MAX))])),
        ("five headers of none", headers(&[varint(5)])),
        ("header without a key", headers(&[varint(1), varint(-1), field(Some(b"x"))])),
        ("header key beyond the record", headers(&[varint(1), varint(100), vec![b'x']])),
        ("header value of -2 bytes", headers(&[varint(1), field(Some(b"h")), varint(-2)])),
    ]
}

/// Wrong offset deltas of three records; the right ones are 0, 1, 2.
pub const DELTAS: [(&str, [i64; 3]); 7] = [
    ("deltas 0 1 1", [0, 1, 1]),
    ("deltas 0 2 1", [0, 2, 1]),
    ("deltas 0 -1 2", [0, -1, 2]),
    ("deltas 1 2 3", [1, 2, 3]),
    ("deltas -1 0 1", [-1, 0, 1]),
    ("deltas 0 1 2^31-1", [0, 1, i32::MAX as i64]),
    ("deltas 0 1 2^32+2", [0, 1, (1 << 32) + 2]),
];

/// One batch, field by field.
#[derive(Clone, Debug)]
pub struct Odd {
    /// The broker writes it.
    pub base_offset: i64,
    /// The broker writes it.
    pub leader_epoch: i32,
    /// The codec's bits are among them.
    pub attributes: i16,
    pub last_offset_delta: i32,
    /// The records' deltas are added to it.
    pub base_timestamp: i64,
    /// The latest time, as the head claims it.
    pub max_timestamp: i64,
    /// Producer's id, its epoch, and the base sequence.
    pub producer: (i64, i16, i32),
    /// The number of records, as the head claims it.
    pub count: i32,
    /// The records as they are packed.
    pub payload: Vec<u8>,
}

impl Odd {
    /// A batch whose head claims `count` records of `time` before this payload.
    #[must_use]
    pub fn holding(codec: Codec, payload: Vec<u8>, count: i32, time: i64) -> Odd {
        Odd {
            base_offset: 0,
            leader_epoch: -1,
            attributes: codec.bits(),
            last_offset_delta: count - 1,
            base_timestamp: time,
            max_timestamp: time,
            producer: (-1, -1, -1),
            count,
            payload,
        }
    }

    /// A batch that is sound in every field, with records of these times.
    pub fn of_times(codec: Codec, times: &[i64]) -> Result<Odd> {
        let base = times.first().copied().unwrap_or(-1);
        let each = (0i64..).zip(times).flat_map(|(n, time)| record(n, time.wrapping_sub(base)));
        let payload = codec.pack(&each.collect::<Vec<u8>>())?;
        let max_timestamp = times.iter().max().copied().unwrap_or(-1);
        Ok(Odd { max_timestamp, ..Odd::holding(codec, payload, i32::try_from(times.len())?, base) })
    }

    /// The batch as it is sent, with its CRC.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.extend_from_slice(&self.base_offset.to_be_bytes());
        out.extend_from_slice(&(49 + self.payload.len() as i32).to_be_bytes());
        out.extend_from_slice(&self.leader_epoch.to_be_bytes());
        out.extend_from_slice(&[2, 0, 0, 0, 0]);
        out.extend_from_slice(&self.attributes.to_be_bytes());
        out.extend_from_slice(&self.last_offset_delta.to_be_bytes());
        out.extend_from_slice(&self.base_timestamp.to_be_bytes());
        out.extend_from_slice(&self.max_timestamp.to_be_bytes());
        out.extend_from_slice(&self.producer.0.to_be_bytes());
        out.extend_from_slice(&self.producer.1.to_be_bytes());
        out.extend_from_slice(&self.producer.2.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(&self.payload);
        let crc = crc32c::crc32c(&out[21..]);
        out[17..21].copy_from_slice(&crc.to_be_bytes());
        out.freeze()
    }
}

/// Seven kinds of batches with a sound head that cannot be read; those that open hold three records of this time.
pub fn unreadable(codec: Codec, time: i64) -> Result<Vec<(&'static str, Odd)>> {
    let three = codec.pack(&records(3))?;
    let mut cut = three.clone();
    cut.truncate(three.len() - 9);
    let of = |payload: &[u8], count| Odd::holding(codec, payload.to_vec(), count, time);
    Ok(vec![
        ("garbage payload", of(GARBAGE, 3)),
        ("payload cut short", of(&cut, 3)),
        ("payload that opens to garbage", of(&codec.pack(GARBAGE)?, 3)),
        ("count too high", of(&three, 5)),
        ("count too low", of(&three, 2)),
        ("empty payload", of(&[], 3)),
        ("bytes behind the frame", of(&[&three, &b"junk junk junk"[..]].concat(), 3)),
    ])
}
