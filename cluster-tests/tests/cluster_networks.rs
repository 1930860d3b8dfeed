//! Three nodes on the networks that users have: IPv6, names that lead to other addresses, clients behind a NAT.
//!
//! ```text
//!   cluster_networks/ipv6.rs      every address of every node is ::1
//!   cluster_networks/names.rs     seeds are names; nodes return with other addresses behind them
//!   cluster_networks/nat.rs       a client sees only a router's address, with a port for each node
//!   cluster_networks/networks.sh  makes these networks in namespaces, without privilege
//!   cluster_networks/records.rs   records of acks=all, looked for at the end
//! ```
//! Membership holds ids, and each dial looks its name up again. A client is told each node's address for the listener by
//! which it came. Kills under load are in `cluster_kills.rs`, listeners of one node in `listeners.rs`.

#![allow(clippy::unwrap_used)] // helpers of tests, too

#[path = "cluster_networks/ipv6.rs"]
mod ipv6;
#[path = "cluster_networks/names.rs"]
mod names;
#[path = "cluster_networks/nat.rs"]
mod nat;
#[path = "cluster_networks/records.rs"]
mod records;
#[allow(dead_code)]
#[path = "http/web.rs"]
mod web;
