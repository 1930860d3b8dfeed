//! The node's decisions about its replicas: everything that lies between an image and the shards.
//!
//! A node learns its duties from images of the metadata, one after the other. Recovery tells it at the start which
//! replicas its disks still hold. The machine compares the two. It decides which replica to open, which role to give
//! it, and which to let go. It also says up to which index of the metadata log the node follows the image.
//!
//! ```text
//!   image ──> compared with the last one ──> Start · Assign · Configure · Leave · Drop ──> shards
//!   Ready(life) ──> known to the image? ── yes ──> gathered ──> Serve (the directory)
//!                                      └── no ───> RecordOpened ──> recorded ──> Serve
//! ```
//!
//! A replica that works is served only when the image says that it was opened. A missing log is an
//! error from then on. A replica that is broken is served too, as offline with the reason. `mend.rs` lets it
//! begin anew when the image shows that nobody counts on its bytes (R41).
//!
//! `registration.rs` asks for this process's broker epoch; `proposer.rs` gathers what leaders want of their ISRs;
//! `contact.rs` says whether the controller may have fenced this node.
//!
//! The machine performs nothing. It reads no disk either: recovery brings a verdict on each replica, and the machine
//! decides what follows from it.

mod assign;
pub mod contact;
mod damage;
mod machine;
mod mend;
mod messages;
pub mod proposer;
pub mod registration;
mod replicas;
mod served;

#[cfg(test)]
mod mend_tests;
#[cfg(test)]
mod proposer_tests;
#[cfg(test)]
pub(crate) mod tests;

pub use machine::NodeMachine;
pub use messages::{Effect, Found, Input, Life, Origin};
