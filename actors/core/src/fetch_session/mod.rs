//! Fetch sessions (KIP-227): a consumer names its partitions once, and then only changes; the answer leaves out
//! partitions without news.
//!
//! ```text
//!   request ─> begin ─┬ Sessionless, Full ─────────> the request's own partitions ─┐
//!                     ├ Incremental ─> partitions of the session, in its order ────┤  the caller fetches them
//!                     └ an error code                                              v
//!   response <── which partitions stay in it, the session's id <──────────────── finish
//! ```
//!
//! A session is a list of partitions, with the last wish and the last answer for each, and an epoch that both sides
//! count. A partition that brought records goes to the end of the list, so that a limit on responses starves none.
//! The cache has bounds on slots and bytes (`cache.rs`). It does not fetch and reads no clock: `now` and a number
//! for new ids come with the calls.

mod cache;
mod messages;
mod session;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

pub use cache::{FetchSessions, Limits};
pub use messages::{Key, Kind, Known, Part, Request, Said, TopicKey, Verdict, Wanted};
