//! Builds batches, for tests, tools, and the records that the broker itself writes (offsets, markers). Batches of
//! producers are never built anew.

use super::{BatchHead, Compression, varint};
use std::io;

/// A record to put into a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// Keys and values, in order; keys may repeat.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// A batch in the making. Producer fields are −1 unless they are set.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    base_offset: i64,
    leader_epoch: i32,
    compression: Compression,
    attributes: i16,
    producer: (i64, i16, i32),
    records: Vec<NewRecord>,
}

impl BatchBuilder {
    /// An empty batch that will start at this offset.
    #[must_use]
    pub fn new(base_offset: i64) -> BatchBuilder {
        BatchBuilder {
            base_offset,
            leader_epoch: -1,
            compression: Compression::None,
            attributes: 0,
            producer: (-1, -1, -1),
            records: Vec::new(),
        }
    }

    /// Compresses the records with this codec when the batch is built.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> BatchBuilder {
        self.compression = compression;
        self
    }

    /// Sets the leader epoch.
    #[must_use]
    pub fn leader_epoch(mut self, epoch: i32) -> BatchBuilder {
        self.leader_epoch = epoch;
        self
    }

    /// Sets producer id, producer epoch and the first record's sequence number.
    #[must_use]
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> BatchBuilder {
        self.producer = (id, epoch, base_sequence);
        self
    }

    /// Sets further attribute bits (transactional 0x10, control 0x20).
    #[must_use]
    pub fn attributes(mut self, bits: i16) -> BatchBuilder {
        self.attributes |= bits;
        self
    }

    /// Appends a record behind those added before.
    #[must_use]
    pub fn record(mut self, record: NewRecord) -> BatchBuilder {
        self.records.push(record);
        self
    }

    /// The batch's bytes. Fails only if the compressor does.
    pub fn build(&self) -> io::Result<Vec<u8>> {
        let base_timestamp = self.records.first().map_or(-1, |r| r.timestamp);
        let max_timestamp = self.records.iter().map(|r| r.timestamp).max().unwrap_or(-1);
        let mut plain = Vec::new();
        for (n, record) in self.records.iter().enumerate() {
            put_record(&mut plain, n, record, base_timestamp);
        }
        let body = self.compression.compress(&plain)?;
        let count = self.records.len() as i32;
        let mut out = Vec::with_capacity(super::HEAD_BYTES + body.len());
        out.extend_from_slice(&self.base_offset.to_be_bytes());
        out.extend_from_slice(&((super::HEAD_BYTES - 12 + body.len()) as i32).to_be_bytes());
        out.extend_from_slice(&self.leader_epoch.to_be_bytes());
        out.push(2);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(self.compression.bits() | self.attributes).to_be_bytes());
        out.extend_from_slice(&(count - 1).to_be_bytes());
        out.extend_from_slice(&base_timestamp.to_be_bytes());
        out.extend_from_slice(&max_timestamp.to_be_bytes());
        out.extend_from_slice(&self.producer.0.to_be_bytes());
        out.extend_from_slice(&self.producer.1.to_be_bytes());
        out.extend_from_slice(&self.producer.2.to_be_bytes());
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(&body);
        let crc = crc32c::crc32c(&out[21..]);
        out[17..21].copy_from_slice(&crc.to_be_bytes());
        Ok(out)
    }

    /// The batch and its head.
    pub fn build_with_head(&self) -> io::Result<(Vec<u8>, BatchHead)> {
        let bytes = self.build()?;
        let head = super::head(&bytes).map_err(io::Error::other)?;
        Ok((bytes, head))
    }
}

fn put_record(out: &mut Vec<u8>, n: usize, record: &NewRecord, base_timestamp: i64) {
    let mut body = vec![0];
    varint::put(&mut body, record.timestamp - base_timestamp);
    varint::put(&mut body, n as i64);
    put_bytes(&mut body, record.key.as_deref());
    put_bytes(&mut body, record.value.as_deref());
    varint::put(&mut body, record.headers.len() as i64);
    for (key, value) in &record.headers {
        put_bytes(&mut body, Some(key));
        put_bytes(&mut body, value.as_deref());
    }
    varint::put(out, body.len() as i64);
    out.extend_from_slice(&body);
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::put(out, -1),
        Some(bytes) => {
            varint::put(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}
