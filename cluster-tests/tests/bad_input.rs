//! Bad input, against the built binary: Kafka's error code or a closed connection, one log line with fields, memory
//! bounded by what arrived, no panic; and a node that cannot start as told says why and what to do.
//!
//! ```text
//!   site      a broker, a client beside the bad one, and the three questions after every case:
//!             does it still serve, did one line name it, was nothing stored
//!   frames    lengths, cut and silent frames, unknown APIs and versions, absurd counts, garbage, announced memory
//!   produce   what every version answers to a bad batch        consume   the same for Fetch and ListOffsets
//!   startup   configuration and data directories that are refused        rot   a lost shard, a rotten group
//! ```
//!
//! It does not look into the broker: what cannot be seen from a socket, the log, `/proc` or the disk is not tested here.

#[path = "bad_input/consume.rs"]
mod consume;
#[path = "bad_input/frames.rs"]
mod frames;
#[path = "bad_input/produce.rs"]
mod produce;
#[path = "bad_input/rot.rs"]
mod rot;
#[path = "bad_input/site.rs"]
mod site;
#[path = "bad_input/startup.rs"]
mod startup;
