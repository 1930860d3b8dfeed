//! Record batches, format v2: opaque bytes with a head that can be proved.
//!
//! ```text
//!   0        8      12     16    17   21    23     27       35      43     51     53       57      61
//!   | base   | len  | lead | mag | crc | att | last | base   | max   | prod | prod | base   | count | records …
//!   | offset |      | epoch| ic  | 32c |     | delta| time   | time  | id   | epoch| seq    |       |
//!                                       └────────────── covered by the CRC32C ─────────────────────────────
//! ```
//!
//! A batch is stored, replicated and served as the client sent it. In place the broker writes only base offset and
//! leader epoch, which the CRC does not cover, and the largest timestamp if its producer got it wrong.
//!
//! `head` parses, and `verify` adds the CRC. `prove_head` and `prove_records` open a producer's batch once, at the
//! edge. `Records` reads records through a decompressor with a cap. Message formats v0 and v1 are not read.

mod block;
mod build;
mod compress;
mod error;
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
pub use error::{BadRecord, RecordsError};
pub use head::{
    BatchHead, CRC_FROM, HEAD_BYTES, batches, head, patch, peek, set_create_time, set_log_append_time, verify,
};
pub use iter::{Header, Record, Records};
pub use prove::{Budget, Rules, TimestampBounds, prove_head, prove_records};
pub use times::Times;
