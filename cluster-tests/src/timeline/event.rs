//! What a run did to its nodes, and when: the faults of a timeline.
//!
//! A fault begins and ends at one node, or at none in particular. The pair is found by node and name. Other events are
//! notes, such as the start of a killed process. Times are those of the wall clock, because the nodes' logs have no other.

use std::time::{SystemTime, UNIX_EPOCH};

/// The name of the fault that takes a node's process away. The page shows such a node as down.
pub const KILL: &str = "kill -9";

/// The part of a fault that an event is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    Begins,
    /// The node, or the network, is as before; what follows from the fault may last longer.
    Ends,
    /// Something between the two that a reader wants to see.
    Notes,
}

/// One event of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// In milliseconds since 1970, on the clock that the nodes' logs use too.
    pub wall_ms: u64,
    pub phase: Phase,
    /// −1 if it is about no single node.
    pub node: i32,
    /// The fault, the same at its begin and its end: [`KILL`], `F09`.
    pub name: String,
    /// A few words for people.
    pub words: String,
}

/// The events of a run in their order.
#[derive(Clone, Default, Debug)]
pub struct Events(pub Vec<Event>);

impl Events {
    /// Notes an event that happens now.
    pub fn note(&mut self, phase: Phase, node: i32, name: &str, words: &str) {
        let (name, words) = (name.to_owned(), words.to_owned());
        self.0.push(Event { wall_ms: wall_ms(), phase, node, name, words });
    }

    /// Says more about the newest event.
    pub fn explain(&mut self, words: &str) {
        if let Some(event) = self.0.last_mut() {
            words.clone_into(&mut event.words);
        }
    }
}

/// The wall clock in milliseconds since 1970.
#[must_use]
pub fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
