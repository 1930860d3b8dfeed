//! The metadata log, as an adapter behind the port `MetadataLog`.
//!
//! A single node keeps the log in redb (`single.rs`). A replicated log will stand beside it behind the same port. An
//! adapter stores and orders records; the controller decides them.

mod rows;
mod single;
mod worker;

pub use single::{OpenError, SINGLE_TERM, SingleLog};
