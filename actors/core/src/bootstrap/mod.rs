//! How a cluster forms. Seeds find each other, each promises itself once, and the one with all promises founds.
//!
//! ```text
//!   seeds.rs     the seed list in one spelling          identity.rs  what a directory has promised, durably
//!   view.rs      what the seeds answered, stale or not  founding.rs  asking, granting, founding
//!   machine.rs   the machine; joining and serving       words.rs     what a stuck node says
//!   hello.rs     whom a connection refuses (R47)
//! ```
//! Voters beyond the first, swaps and `recover` belong to others.

mod founding;
pub mod hello;
pub mod identity;
pub mod machine;
pub mod messages;
pub mod seeds;
mod view;
pub mod words;

#[cfg(test)]
mod tests;

pub use identity::{ClusterId, Grant, Identity, Promises, Seat, Stage, Standing};
pub use machine::{BootstrapMachine, Settings};
pub use messages::{Effect, Fresh, GrantAnswer, Input, JoinOutcome, ProbeReply};
pub use seeds::SeedList;
pub use words::{Refusal, Word};
