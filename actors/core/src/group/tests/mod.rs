//! The tests of a group's machine: one rule of Kafka's a test, and random histories.
//!
//! ```text
//!   machine.rs  rules, on a group with a clock in hand (harness.rs)
//!   history.rs  random histories, with the consumers of history_client.rs; history_mutants.rs plants bugs in them
//! ```

mod harness;
mod history;
mod history_client;
#[cfg(feature = "mutants")]
mod history_mutants;
mod machine;
