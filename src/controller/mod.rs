//! The metadata log, as an adapter. A single node keeps it in redb (`single.rs`); a replicated log will stand beside it
//! behind the same port.

mod single;

pub use single::{OpenError, SingleLog};
