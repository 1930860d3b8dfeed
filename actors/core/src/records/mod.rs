//! Record batches, format v2: opaque bytes with a head that can be proved.
//!
//! A batch is stored, replicated and served as the client sent it; only base offset and leader epoch (outside the
//! CRC) are written in place.

mod head;

pub use head::BatchHead;
