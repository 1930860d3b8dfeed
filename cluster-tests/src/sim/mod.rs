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
//! | directory (`stored.rs`, `start.rs`) | identity, clean marker, verdicts: durable steps, between which a start may end |
//! | harm (`harm.rs`, `repair.rs`) | disks that are emptied, lost in part, rotten, or put back from an old copy; an operator |
//! | voters (`voters.rs`) | the prefix of the metadata log that each node holds; a voter that lost its disk |
//! | load (`clients.rs`, `load.rs`) | two idempotent producers that retry, one consumer, DeleteRecords, settings that change |
//!
//! Out: Raft itself, QUIC, redb, gossip, groups, the Kafka codec, speed.
//!
//! Harm to disks may exceed what the rules promise to survive. Then the loss has to be reported: the partition has no leader
//! until the operator elects one uncleanly, and the truth becomes what that leader has. A loss within the budget is a bug.
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
pub mod harm;
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
pub mod repair;
pub mod replica;
pub mod rng;
pub mod run;
pub mod shrink;
pub mod start;
pub mod step;
pub mod stored;
pub mod stories;
pub mod tales;
pub mod voter;
pub mod voters;
pub mod world;
