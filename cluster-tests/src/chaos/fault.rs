//! A fault by its id: what it does in words, what it needs, what is expected, and the function that plays it.
//!
//! A play injects, lets the fault last, and heals what it heals by itself; the suite heals the rest. It returns words about
//! its choices. Whatever it does, no acknowledged record may be lost: the suite checks that after each one.

use anyhow::Result;

use super::bench::Bench;
use super::machine::{Machine, Need};
use super::options::Options;

/// The promise of the topic that a play writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// As strong as `--durability` makes it.
    Node,
    /// The topic has durability `os`, whatever the nodes have.
    Os,
    /// Only `fsync` outlives this fault, so the nodes must have it.
    Fsync,
}

/// One fault of the table.
pub struct Fault {
    pub id: &'static str,
    pub words: &'static str,
    pub needs: &'static [Need],
    /// The fewest nodes that it needs.
    pub nodes: usize,
    pub promise: Promise,
    /// The expectation, beside that nothing is lost.
    pub expected: &'static str,
    pub play: fn(&mut Bench<'_>) -> Result<String>,
}

impl Fault {
    /// Why this machine cannot play it; `None` if it can.
    #[must_use]
    pub fn lacks(&self, machine: &Machine) -> Option<String> {
        self.needs.iter().find_map(|need| machine.lacks(*need))
    }

    /// Why it says nothing on nodes with these options; `None` if it does.
    #[must_use]
    pub fn means_nothing(&self, options: &Options) -> Option<String> {
        let os = self.promise == Promise::Fsync && options.durability == "os";
        os.then(|| {
            "durability os promises nothing here; F19 and F20 play topics of that durability".to_owned()
        })
    }
}
