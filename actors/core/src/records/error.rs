//! Why bytes are no record batch that this broker takes. `crate::error` says what a producer is told.

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
