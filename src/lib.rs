//! Callboard: a self-forming, Kafka-compatible message broker built of actors.
//!
//! This package is the process: adapters (`kafka`, `storage`, `transport`, `controller`, `console`) round the actors of `callboard-actors`,
//! and the composition root (`node`) that knows them all. See `ARCHITECTURE.md`.

pub mod cli;
pub mod config;
pub mod console;
pub mod controller;
pub mod dev;
pub mod kafka;
pub mod node;
pub mod storage;
pub mod transport;

/// Tells the metrics exporter what every metric means.
pub fn describe_metrics() {
    kafka::metrics::describe();
    storage::metrics::describe();
    console::metrics::describe();
    transport::metrics::describe();
    transport::replication::metrics::describe();
    callboard_actors::metrics::describe();
}
