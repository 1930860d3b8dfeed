//! A list of what was done to the cluster and when, so that a timeline can be drawn of a run.
//!
//! Times are those of the wall clock, because logs of nodes have it too. The list draws nothing.

use std::time::{SystemTime, UNIX_EPOCH};

/// The kind of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// A fault has begun.
    Injected,
    /// A fault is over, or a part of it.
    Healed,
    /// The check of a fault is through.
    Checked,
}

/// One act of the fault suite.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Milliseconds of the wall clock since 1970.
    pub ms: u64,
    pub what: What,
    /// The id of the node that it concerns, if it is one.
    pub node: Option<i32>,
    pub words: String,
}

/// All events of a run, in their order.
#[derive(Clone, Default, Debug)]
pub struct Events(Vec<Event>);

impl Events {
    /// Notes what has just happened.
    pub fn note(&mut self, what: What, node: Option<i32>, words: impl Into<String>) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let ms = since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        self.0.push(Event { ms, what, node, words: words.into() });
    }

    /// The events so far.
    #[must_use]
    pub fn all(&self) -> &[Event] {
        &self.0
    }

    /// Adds the events of another list behind those of this one.
    pub fn append(&mut self, mut other: Events) {
        self.0.append(&mut other.0);
    }
}
