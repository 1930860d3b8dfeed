//! The whole network: end 0 for the drill's clients, one end for each node, and the wire between them.
//!
//! ```text
//!   end      0 = CLIENTS    1           2           …
//!   address  10.66.0.1      10.66.0.2   10.66.0.3        node n has end n + 1
//! ```
//! Rules change while packets flow. The value's end ends the wire and its namespaces. The process must run within
//! namespaces of its own (`enter.rs`), because end 0 lies in the namespace of the process.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::{Context, Result};

use super::rule::Rule;
use super::switch::Switch;
use super::table::{Count, Table};
use super::tun::{End, Tool};

/// The end of the drill and its clients.
pub const CLIENTS: usize = 0;

/// Namespaces, devices and the wire, as long as the value lives.
pub struct Lan {
    // The switch ends before the devices.
    _switch: Switch,
    ends: Vec<End>,
    table: Arc<Table>,
}

impl Lan {
    /// Starts a wire between the clients and so many nodes.
    pub fn start(tool: &Tool, nodes: usize, seed: u64) -> Result<Lan> {
        let table = Arc::new(Table::new(nodes + 1));
        let (mut ends, mut tuns) = (Vec::new(), Vec::new());
        for end in 0..=nodes {
            let made = End::new(tool, &address(end).to_string(), end != CLIENTS);
            let (made, tun) = made.with_context(|| format!("end {end} of the wire"))?;
            ends.push(made);
            tuns.push(tun);
        }
        Ok(Lan { _switch: Switch::start(tuns, Arc::clone(&table), seed), ends, table })
    }

    /// The address of a node.
    #[must_use]
    pub fn node(&self, node: usize) -> IpAddr {
        address(node + 1)
    }

    /// The program and arguments that start another one where a node lives.
    #[must_use]
    pub fn wrap(&self, node: usize) -> Vec<String> {
        self.ends.get(node + 1).map_or_else(Vec::new, End::wrap)
    }

    /// Sets the rule of each direction that the function names a rule for; ends are numbered as above.
    pub fn set(&self, rule: impl Fn(usize, usize) -> Option<Rule>) {
        self.table.change(|from, to, now| {
            if let Some(rule) = rule(from, to) {
                *now = rule;
            }
        });
    }

    /// Sets one rule for both directions of every pair of nodes that the function picks, by numbers of nodes.
    pub fn between(&self, rule: Rule, pick: impl Fn(usize, usize) -> bool) {
        self.set(|from, to| {
            let (Some(a), Some(b)) = (from.checked_sub(1), to.checked_sub(1)) else { return None };
            (a != b && (pick(a, b) || pick(b, a))).then_some(rule)
        });
    }

    /// Sets a rule from some nodes to others, one way.
    pub fn one_way(&self, rule: Rule, pick: impl Fn(usize, usize) -> bool) {
        self.set(|from, to| {
            let (Some(a), Some(b)) = (from.checked_sub(1), to.checked_sub(1)) else { return None };
            (a != b && pick(a, b)).then_some(rule)
        });
    }

    /// Takes all rules away.
    pub fn heal(&self) {
        self.set(|_, _| Some(Rule::default()));
    }

    /// Packets of one direction so far.
    #[must_use]
    pub fn count(&self, from: usize, to: usize) -> Count {
        self.table.count(from, to)
    }
}

fn address(end: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 66, 0, u8::try_from(end + 1).unwrap_or(u8::MAX)))
}
