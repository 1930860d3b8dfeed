//! Fetch sessions (KIP-227): a consumer names its partitions once, then only what changes; the answer leaves out what
//! has not changed.
//!
//! ```text
//!   request ─> begin ─┬ Sessionless, Full ─────────> the request's own partitions ─┐
//!                     ├ Incremental ─> partitions of the session, in its order ────┤  the caller fetches them
//!                     └ an error code                                              v
//!   response <── which partitions stay in it, the session's id <──────────────── finish
//! ```
//!
//! A session is its partitions (what was asked of each, what was said of each) and an epoch that both sides count. A
//! partition that brought records goes to the end of the order, so that a response limit starves none. The cache is
//! bounded by slots and by bytes (`cache.rs`). It does not fetch, and never looks at a clock: `now` and a number for new
//! ids come with the calls.

mod cache;
mod messages;
mod session;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

pub use cache::{FetchSessions, Limits};
pub use messages::{Key, Kind, Known, Part, Request, Said, TopicKey, Verdict, Wanted};
