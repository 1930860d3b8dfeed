//! Record batches, format v2: opaque bytes with a head that can be proved.
//!
//! ```text
//!   0        8      12     16    17   21    23     27       35      43     51     53       57      61
//!   | base   | len  | lead | mag | crc | att | last | base   | max   | prod | prod | base   | count | records …
//!   | offset |      | epoch| ic  | 32c |     | delta| time   | time  | id   | epoch| seq    |       |
//!                                       └────────────── covered by the CRC32C ─────────────────────────────
//! ```
//!
//! A batch is stored, replicated and served as the client sent it: only base offset and leader epoch, which the CRC
//! does not cover, are written in place, and the largest timestamp where its producer got it wrong. `head` parses, `verify`
//! adds the CRC. `prove_head` and `prove_records` open a producer's batch once, at the edge. `Records` reads records,
//! through a decompressor with a byte cap. Message formats v0 and v1 are not read.

mod build;
mod compress;
mod head;
mod iter;
mod lz4;
mod prove;
mod times;
mod unpack;
mod varint;
mod walk;

#[cfg(test)]
mod prove_tests;
#[cfg(test)]
mod tests;

pub use build::{BatchBuilder, NewRecord};
pub use compress::Compression;
pub use head::{
    BatchHead, CRC_FROM, HEAD_BYTES, batches, head, patch, peek, set_create_time, set_log_append_time, verify,
};
pub use iter::{Header, Record, Records};
pub use prove::{Budget, Rules, TimestampBounds, prove_head, prove_records};
pub use times::Times;

/// A record that is refused, and with it its batch (KIP-467).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadRecord {
    /// Its place in the batch, from 0.
    pub index: i32,
    /// Why, in Kafka's words.
    pub why: String,
}

/// Why bytes are not an acceptable record batch.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordsError {
    /// Fewer bytes than the batch, or a field of it, says.
    #[error("the batch is cut short: {have} bytes of {need}")]
    Truncated {
        /// Bytes it would take.
        need: usize,
        /// Bytes there are.
        have: usize,
    },
    /// Not format v2.
    #[error("message format v{0} is not supported: only record batches of format v2 are")]
    Magic(i8),
    /// A length that no batch of any format has.
    #[error("a batch of length {0} cannot be")]
    Length(i32),
    /// The CRC32C over the batch does not match.
    #[error("the batch's CRC32C is {stored:08x}, its bytes give {computed:08x}")]
    Crc {
        /// As written in the batch.
        stored: u32,
        /// As computed.
        computed: u32,
    },
    /// More bytes than the topic takes in one batch.
    #[error("a batch of {size} bytes is over {max}")]
    TooLarge {
        /// Bytes of the batch.
        size: usize,
        /// `max.message.bytes` of the topic.
        max: usize,
    },
    /// Timestamps that the topic does not take; the first of these records are named.
    #[error("records have timestamps that the topic does not take")]
    Timestamps(Vec<BadRecord>),
    /// Fields that contradict each other or the protocol.
    #[error("the batch is invalid: {0}")]
    Invalid(&'static str),
    /// Compression of a kind nobody defined.
    #[error("compression type {0} is unknown")]
    Codec(u8),
    /// The compressed records do not decompress.
    #[error("the records do not decompress: {0}")]
    Decompress(String),
    /// The records decompress to more than the cap.
    #[error("the records decompress to more than {0} bytes")]
    Bomb(usize),
}

impl From<RecordsError> for crate::Reject {
    fn from(error: RecordsError) -> crate::Reject {
        match error {
            RecordsError::Crc { .. } => crate::Reject::BadCrc,
            // As in Kafka: bytes that are a batch of no format may come right when they are sent again.
            RecordsError::Magic(magic) if !(0..=1).contains(&magic) => {
                crate::Reject::Corrupt(error.to_string())
            }
            RecordsError::Length(_) => crate::Reject::Corrupt(error.to_string()),
            RecordsError::TooLarge { size, max } => crate::Reject::TooLarge { size, max },
            RecordsError::Timestamps(bad) => crate::Reject::InvalidTimestamp(bad),
            RecordsError::Codec(_) => crate::Reject::UnsupportedCompression,
            other => crate::Reject::InvalidRecord(other.to_string()),
        }
    }
}
