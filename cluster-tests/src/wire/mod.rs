//! A network whose every packet this process sees: each node lives in a network namespace, and the wire carries the packets.
//!
//! ```text
//!   namespace of node 1       this process                              namespace of node 2
//!   callboard ── TUN ──> read ── judge(1 → 2): cut, loss, delay, … ──> write ──> TUN ── callboard
//!
//!   rule    what the wire does to packets of one direction between two ends
//!   judge   a seeded decision for each packet; pure
//!   table   the rules and counts of all directions, which change while packets flow
//!   switch  the thread that reads, asks and writes
//!   tun     namespaces and TUN devices; the small C program of `faults/kernel.c`
//!   lan     all of it: ends with addresses, and the wire between them
//!   enter   runs this program again within namespaces of its own, so that nothing outlives it
//! ```
//! End 0 is the drill with its clients, so clients reach nodes whose links to each other are cut. The wire carries IPv4 and
//! drops all else. It knows nothing of brokers.

mod enter;
mod judge;
mod lan;
mod rule;
mod switch;
mod table;
mod tun;

pub use enter::{again, cleanup, scratch, way, within};
pub use lan::{CLIENTS, Lan};
pub use rule::Rule;
pub use table::Count;
pub use tun::Tool;
