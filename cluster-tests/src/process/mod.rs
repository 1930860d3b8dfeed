//! Real processes: the broker as a user starts it, the clients that users have, and tools for tests around them.
//!
//! ```text
//!   launch   finds the binary; starts every child so that it dies with the test process
//!   lines    a child's stderr: kept for failure messages, waited on instead of time
//!   broker   Broker: start, kill -9, restart on the same port and directory, stop
//!   nodes    Nodes: several brokers that form one cluster
//!   client   kcat, python, java: needed, run to their end, output kept
//!   faults   disks that are slow, hang, fail or are full, under a broker that knows nothing of it
//!   java     the Maven project: compiled once, one class path
//!   kafka    Apache Kafka, the reference, from the same project
//!   raw      a bare socket: for frames that no client would send
//!   wire     a small blocking Kafka client over the `kafka-protocol` crate (the oracle, never our own codec)
//!   answers  lines of what was answered to bad calls, against a file of what Kafka answered
//!   load     producers that write down each acknowledgement
//!   verdict  compares the records that were read with it
//! ```
//!
//! Tests wait for a line, an answer or the end of a process. The long limits here are guards against a hang, so that a
//! broken broker fails a test instead of stopping the suite. No test asserts on time.

pub mod answers;
mod broker;
mod client;
pub mod faults;
mod java;
mod kafka;
mod launch;
mod lines;
pub mod load;
mod nodes;
mod programs;
mod raw;
pub mod verdict;
pub mod wire;

pub use broker::{Broker, Options};
pub use client::{Finished, Running, find_python, need, run, say, scratch};
pub use java::{Java, find_java};
pub use kafka::Kafka;
pub use launch::binary;
pub use lines::Lines;
pub use nodes::Nodes;
pub use programs::{find_program, install_alone};
pub use raw::Raw;

use std::time::Duration;

/// A child or a connection that takes longer counts as hung.
pub const HANG: Duration = Duration::from_secs(120);
