//! Histories of many producers and consumers, and the checker that says whether a log kept its promises in them.
//!
//! ```text
//!   op       what each client did, when, and what it was told
//!   text     a history as lines of JSON
//!   index    who sent what, what became of it, the logs that all observations show
//!   logs     lost, inconsistent, duplicate, truncated
//!   order    polls and sends of one process
//!   cycles   transactions that depend on each other in a circle
//!   facts    ends, leaders, cluster ids, places of groups
//!   figures  unseen values, lag
//!   verdict  the anomalies by name
//!   check    all of it
//! ```
//! Definitions follow `jepsen.tests.kafka`; a lost write is a stronger rule here. The checker knows nothing of a broker
//! and of no clock: it sees broken promises, not their cause. Its own test plants each anomaly.

mod check;
mod cycles;
mod facts;
mod figures;
mod index;
mod logs;
mod op;
mod order;
mod text;
mod verdict;

#[cfg(test)]
mod tests;

pub use check::check;
pub use figures::Limits;
pub use op::{Ends, History, Kind, Op, Outcome, Part, Span, Time, UNTOLD, Word};
pub use text::{read, write};
pub use verdict::{Anomaly, Figures, Finding, Verdict};
