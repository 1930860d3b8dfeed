//! What this node does about its replicas: every decision between an image and the shards.
//!
//! A node learns what it has to do from images of the metadata, one after the other, and finds out at its start what
//! its disks still hold. This machine compares the two and says which replica to open, which role to give it, which to
//! let go, and up to which index of the metadata log the node does what the image says.
//!
//! ```text
//!   image ──> compared with the last one ──> Start · Assign · Configure · Leave · Drop ──> shards
//!   Ready(life) ──> known to the image? ── yes ──> gathered ──> Serve (the directory)
//!                                      └── no ───> RecordOpened ──> recorded ──> Serve
//! ```
//!
//! A replica is served only when the image says that it was opened: from then on it may never be created empty again.
//! The machine performs nothing, and it judges no disk: what a verdict means is decided here, the verdict itself comes
//! with what recovery found.

mod machine;
mod messages;
mod replicas;
mod served;

#[cfg(test)]
pub(crate) mod tests;

pub use machine::NodeMachine;
pub use messages::{Effect, Found, Input, Life, Origin};
