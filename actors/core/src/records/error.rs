//! Why bytes are no record batch that this broker takes. `crate::error` maps each reason to the code that a
//! producer gets.

/// A record that makes its batch refused (KIP-467).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadRecord {
    /// Place in the batch, from 0.
    pub index: i32,
    /// The reason, in Kafka's words.
    pub why: String,
}

/// Why bytes are not an acceptable record batch.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordsError {
    /// Fewer bytes than the batch, or a field of it, says.
    #[error("the batch is cut short: {have} bytes of {need}")]
    Truncated { need: usize, have: usize },
    #[error("message format v{0} is not supported: only record batches of format v2 are")]
    Magic(i8),
    /// A length that no batch of any format has.
    #[error("a batch of length {0} cannot be")]
    Length(i32),
    /// The CRC32C over the batch does not match.
    #[error("the batch's CRC32C is {stored:08x}, its bytes give {computed:08x}")]
    Crc { stored: u32, computed: u32 },
    /// More bytes than the topic takes in one batch.
    #[error("a batch of {size} bytes is over {max}")]
    TooLarge {
        size: usize,
        /// `max.message.bytes` of the topic.
        max: usize,
    },
    /// The topic refuses timestamps; the first records that have them are named.
    #[error("records have timestamps that the topic does not take")]
    Timestamps(Vec<BadRecord>),
    /// Fields contradict each other or the protocol.
    #[error("the batch is invalid: {0}")]
    Invalid(&'static str),
    /// The bits of no known codec.
    #[error("compression type {0} is unknown")]
    Codec(u8),
    /// The compressed records do not decompress.
    #[error("the records do not decompress: {0}")]
    Decompress(String),
    /// The records decompress to more than the cap.
    #[error("the records decompress to more than {0} bytes")]
    Bomb(usize),
}
