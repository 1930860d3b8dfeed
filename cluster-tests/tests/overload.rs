//! Attacks on memory, sockets and readers, against the built binary, each with a good client beside it.
//!
//! ```text
//!   site      a broker with small pools; a producer at acks=all and a consumer beside the attack; what has to hold
//!             while it lasts, and after
//!   frames    oversized, cut and silent ones; 300 half-sent ones of 90 MB
//!   bombs     batches of some KB that open to gigabytes, in every codec, and whoever asks for the latest timestamp
//!   readers   clients that ask for much and read nothing, or 1 KB/s
//!   crowds    5,000 connections; 5,000 waiting fetches; more than `max.connections`; no descriptor left
//! ```
//!
//! In each: the good client goes on while the attack lasts, and everything acknowledged to it is read back; the process
//! never held more memory than the sum of its bounds and its base; when the attackers are gone no pool holds anything
//! and a new client is served.

#[path = "overload/bombs.rs"]
mod bombs;
#[path = "overload/crowds.rs"]
mod crowds;
#[path = "overload/frames.rs"]
mod frames;
#[path = "overload/readers.rs"]
mod readers;
#[path = "overload/site.rs"]
mod site;
