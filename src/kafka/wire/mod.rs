//! Kafka's wire format: our own codec, with one declaration for each message.
//!
//! ```text
//!   messages/*.rs   declarations: field, type, versions, nullable from, tag, default    (message!)
//!   field.rs        how each type is read and written
//!   reader.rs       bytes in: every count and length checked against what is left before memory is taken
//!   writer.rs       bytes out: small pieces gathered, record bytes passed through uncopied
//!   api.rs          keys, versions, header versions
//! ```
//!
//! Record bytes are never copied: a request has ranges of its frame, and a response has `Bytes` among the pieces of
//! one vectored write. A tagged field with its default is not written, because old librdkafka miscounts those. The
//! codec checks shapes, and leaves the meaning of fields to the APIs.

pub mod api;
mod declare;
mod error;
mod field;
mod header;
pub mod messages;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use callboard_actors::ports::Part;
pub use error::WireError;
pub use field::RecordBytes;
pub use header::{RequestHeader, frame_request, frame_response, response_header};
pub use reader::Reader;
pub use writer::{Writer, flat};

/// A message in some version.
pub trait Message: Sized {
    /// The name in Kafka's definitions.
    const NAME: &'static str;

    /// Reads a message; bytes behind it stay in the reader.
    fn decode(reader: &mut Reader<'_>, version: i16) -> Result<Self, WireError>;
    /// Writes a message without its header; fails if a field cannot stand in this version.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), WireError>;

    /// Reads a whole body; bytes behind it are an error.
    fn decode_all(mut reader: Reader<'_>, version: i16) -> Result<Self, WireError> {
        let message = Self::decode(&mut reader, version)?;
        if reader.remaining() > 0 {
            return Err(WireError::new(Self::NAME, "bytes behind its end"));
        }
        Ok(message)
    }
}
