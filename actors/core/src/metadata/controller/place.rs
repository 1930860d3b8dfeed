//! Places replicas: which nodes get the partitions of a topic, and in which order they are preferred to lead.
//!
//! Leaders go round first: each partition is led by the node that leads fewest of the topic. Then followers, each on the
//! rack that has fewest replicas of the partition, and there on the node that has fewest of the topic. Ties go by an order
//! drawn from the topic's id, so the first partitions of many topics do not all meet on one node.
//!
//! This is what Kafka's `StripedReplicaPlacer` aims at. Like there, unfenced nodes go before fenced ones of their rack, and
//! no fenced node is meant to lead. Nothing here is drawn at random: the id is, and the asker drew it.

use super::basis::Basis;
use crate::ids::{BrokerId, TopicId};
use crate::metadata::broker::Broker;
use crate::metadata::partition::Partition;
use std::collections::BTreeMap;

/// Why replicas cannot be placed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unplaced {
    TooFewBrokers,
    AllFenced,
}

/// A node's share of the topic so far.
#[derive(Clone, Copy, Default)]
struct Load {
    leads: usize,
    replicas: usize,
}

struct Node<'a> {
    broker: &'a Broker,
    /// Its place in the topic's own order.
    rank: usize,
    load: Load,
}

impl Basis<'_> {
    /// Replicas for `additional` partitions of a topic that has these already.
    pub(super) fn spread(
        &self,
        topic: TopicId,
        has: &[Partition],
        additional: usize,
        factor: usize,
    ) -> Result<Vec<Vec<BrokerId>>, Unplaced> {
        if factor == 0 || factor > self.image.brokers.len() {
            return Err(Unplaced::TooFewBrokers);
        }
        let mut nodes = self.nodes(topic, has);
        (0..additional).map(|_| one(&mut nodes, factor).ok_or(Unplaced::AllFenced)).collect()
    }

    /// All nodes in the topic's own order, with what they have of it.
    fn nodes(&self, topic: TopicId, has: &[Partition]) -> Vec<Node<'_>> {
        let mut brokers: Vec<&Broker> = self.image.brokers.values().collect();
        brokers.sort_by_key(|broker| (drawn(topic, broker.id), broker.id));
        let mut loads: BTreeMap<BrokerId, Load> = BTreeMap::new();
        for p in has {
            for (n, id) in p.replicas.iter().enumerate() {
                let load = loads.entry(*id).or_default();
                load.replicas += 1;
                load.leads += usize::from(n == 0);
            }
        }
        let load = |id| loads.get(&id).copied().unwrap_or_default();
        let ranked = brokers.into_iter().enumerate();
        ranked.map(|(rank, broker)| Node { broker, rank, load: load(broker.id) }).collect()
    }

    /// The replicas that are in sync from the start: those of nodes that may join ISRs (R43).
    pub(super) fn first_isr(&self, replicas: &[BrokerId]) -> Vec<BrokerId> {
        replicas.iter().copied().filter(|id| self.active(*id).is_some()).collect()
    }
}

/// Places one partition; none if no node may lead it.
fn one(nodes: &mut [Node<'_>], factor: usize) -> Option<Vec<BrokerId>> {
    let n = nodes.len();
    let may_lead = |node: &&Node<'_>| node.broker.is_active();
    let first = nodes
        .iter()
        .filter(may_lead)
        .min_by_key(|node| (node.load.leads, node.load.replicas, node.rank))?
        .rank;
    // Each time that a node leads, its followers begin with another one, so that a fail-over spreads its leaderships.
    let turn = nodes[first].load.leads % n.saturating_sub(1).max(1);
    let mut chosen = vec![first];
    while chosen.len() < factor {
        let same_rack = |node: &Node<'_>| {
            chosen.iter().filter(|other| nodes[**other].broker.rack == node.broker.rack).count()
        };
        let after = |node: &Node<'_>| {
            let distance = (node.rank + n - first - 1) % n;
            (distance + n.saturating_sub(1) - turn) % n.saturating_sub(1).max(1)
        };
        let free = nodes.iter().filter(|node| !chosen.contains(&node.rank));
        let next = free.min_by_key(|node| {
            (same_rack(node), !node.broker.is_active(), node.load.replicas, after(node), node.rank)
        });
        chosen.push(next?.rank);
    }
    nodes[first].load.leads += 1;
    chosen.iter().for_each(|rank| nodes[*rank].load.replicas += 1);
    Some(chosen.into_iter().map(|rank| nodes[rank].broker.id).collect())
}

/// A number that looks random and depends on topic and node alone (splitmix64 over the id).
fn drawn(topic: TopicId, broker: BrokerId) -> u64 {
    let mix = |mut z: u64| {
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let seed = topic.0.iter().fold(0, |sum, byte| mix(sum ^ u64::from(*byte)));
    mix(seed ^ u64::from(broker.unsigned_abs()))
}
