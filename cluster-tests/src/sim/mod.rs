//! The simulator: the machines of a whole cluster in one thread, with time, chance and misfortune in our hand.
//!
//! ```text
//!   seed ─> options + faults ─> World ─┬─ an event: one machine steps, its effects are performed ─┐
//!                                      └── the next one, in order of (time, number) <─────────────┴─ checks
//! ```
//!
//! It drives ReplicaMachine, ControllerMachine with its judge of sessions, IsrProposer, NodeMachine, `plan::trust` and
//! `ReplicaFold`, and nothing else. What lies between them is modelled:
//!
//! | in | as |
//! |---|---|
//! | metadata log (`metalog.rs`, `raft.rs`) | one list of batches; a cursor per node that lags or stands still; leadership that moves; proposals that end late, NotLeader or Unknown; questions that come late and twice |
//! | network (`network.rs`, `links.rs`) | a FIFO per connection and direction, with delay, stall, one-way cuts, and ends that each side sees in its own time |
//! | disk (`disk.rs`, `journal.rs`) | one order of entries per node, with written and synced marks |
//! | time (`clock.rs`) | rates within 5 %, pauses, wall clocks a day apart |
//! | feed (`feed.rs`) | two rings, 256 KiB a turn, slow reads |
//! | load (`clients.rs`, `load.rs`) | two idempotent producers that retry, one consumer, DeleteRecords, settings that change |
//!
//! Out: Raft itself, QUIC, redb, gossip, groups, the Kafka codec, speed. Disks that are lost, and power cuts under `os`, come
//! with restarts.
//!
//! A run has two phases (`run.rs`): *safety* with faults, then everything heals and the machines have to come to rest by
//! themselves. Every run is a function of its seed: two runs have the same hash. A failing one is shortened by leaving
//! faults out (`shrink.rs`).

pub mod batch;
pub mod checks;
pub mod clients;
pub mod clock;
pub mod control;
pub mod disk;
pub mod event;
pub mod faults;
pub mod feed;
pub mod inject;
pub mod journal;
pub mod links;
pub mod load;
pub mod machines;
pub mod messages;
pub mod metalog;
pub mod network;
pub mod node;
pub mod options;
pub mod oracle;
pub mod peace;
pub mod plan;
pub mod raft;
pub mod records;
pub mod replica;
pub mod rng;
pub mod run;
pub mod shrink;
pub mod stories;
pub mod world;
