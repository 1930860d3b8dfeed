//! The metadata log's implementations. One node: redb (`single.rs`). In a cluster openraft takes its place behind the
//! same port.

mod single;

pub use single::{OpenError, SingleLog};
