//! The invariants of the metadata log itself, looked at when a batch is committed.
//!
//! One leader record for each (partition, leader epoch), each partition epoch once, epochs that only grow (I6); a broker
//! epoch names one process, and a node's old life is fenced before its new one begins (I13); and then I3, because the
//! ISR may have changed.

use std::sync::Arc;

use callboard_core::TopicPartition;
use callboard_core::metadata::{Image, MetadataRecord, Partition, Registration};

use crate::sim::faults::PartIx;
use crate::sim::world::World;

impl World {
    /// A batch was committed: `before` is the image without it.
    pub fn check_records(&mut self, before: &Arc<Image>, index: u64, records: &[MetadataRecord]) {
        let mut fenced = Vec::new();
        for record in records {
            match record {
                MetadataRecord::BrokerChange { broker_id, fenced: Some(true), .. } => fenced.push(*broker_id),
                MetadataRecord::Registered { node, .. } => {
                    let old = before.brokers.get(&node.broker).filter(|old| !old.fenced);
                    if old.is_some() && !fenced.contains(&node.broker) {
                        self.broken("I13", || {
                            format!("n{} registers at {index}, its old life is not fenced", node.broker)
                        });
                    }
                    let newer =
                        before.brokers.get(&node.broker).filter(|old| old.incarnation > node.incarnation);
                    if newer.is_some() {
                        self.broken("I13", || {
                            format!("an older process of n{} registers at {index}", node.broker)
                        });
                    }
                    self.check_unclean(node);
                    let clash = before.brokers.values().find(|other| other.process == node.process);
                    if let Some(clash) = clash.map(|clash| clash.id) {
                        self.broken("I13", || {
                            format!("a process registers twice: n{clash} and n{}", node.broker)
                        });
                    }
                }
                _ => {}
            }
        }
        for part in 0..self.parts.len() {
            let TopicPartition { topic, partition } = self.parts[part].id;
            let was = before.topics.get(&topic).and_then(|topic| topic.partition(partition)).cloned();
            let is = self.committed(part).cloned();
            if let Some(is) = is.filter(|is| was.as_ref() != Some(is)) {
                let changes = records.iter().filter(|record| is_about(record, self.parts[part].id)).count();
                self.check_partition(part, was.as_ref(), &is, changes);
                self.check_members(part, None);
            }
        }
    }

    /// I10: a replica that came back unclean is in neither list from the moment of its registration.
    fn check_unclean(&mut self, node: &Registration) {
        for id in &node.unclean {
            let (Some(part), Some(p)) = (self.part(*id), self.image.partition(*id)) else { continue };
            if p.is_eligible(node.broker) || p.leader == node.broker {
                let p = p.clone();
                self.broken("I10", || format!("n{} registers p{part} as unclean: {p:?}", node.broker));
            }
        }
    }

    /// I12: where ISR and ELR are empty, enough replicas are known to have had everything.
    fn check_last_known(&mut self, part: PartIx, is: &Partition) {
        let least = self.min_isr(part).min(is.replicas.len());
        let truth = &self.truths[part];
        let empty = is.isr.is_empty() && is.elr.is_empty();
        if empty && is.last_known_elr.len() < least && truth.was_whole && !truth.resized {
            self.broken("I12", || format!("p{part} has lost its lists, and of {least} knows only {is:?}"));
        }
    }

    fn check_partition(&mut self, part: PartIx, was: Option<&Partition>, is: &Partition, changes: usize) {
        if let Some(leader) = self.node_of(is.leader)
            && was.is_none_or(|was| (was.leader, was.leader_epoch) != (is.leader, is.leader_epoch))
            && let Err(why) = self.truths[part].leads(is.leader_epoch, leader)
        {
            self.broken("I6", || format!("p{part}: {why}"));
        }
        let whole = is.isr.len() == is.replicas.len();
        let told = self.truths[part].losers.iter().all(|node| self.is_sound(*node, part));
        if whole && told {
            self.truths[part].was_whole = true;
            self.truths[part].losers.clear();
        }
        self.check_last_known(part, is);
        let Some(was) = was else { return };
        if is.unclean_epoch != was.unclean_epoch {
            self.take_over(part, is);
        }
        let grown = is.partition_epoch - was.partition_epoch;
        let opened = grown == 0 && is.opened != was.opened;
        if !opened && (grown < 1 || grown as usize > changes.max(1)) || is.leader_epoch < was.leader_epoch {
            self.broken("I6", || format!("p{part} goes from {was:?} to {is:?}"));
        }
        if is.leader != was.leader && is.leader >= 0 && is.leader_epoch == was.leader_epoch {
            self.broken("I6", || {
                format!("p{part} has two leaders in epoch {}: {was:?} and {is:?}", is.leader_epoch)
            });
        }
        // An election may rest on a proposal that unfences its leader and is never taken. The next look mends it.
        let rests = self.skipped.is_some() && self.skipped == self.meta.leadership();
        let fenced = self.image.brokers.get(&is.leader).is_none_or(|broker| broker.fenced) && !rests;
        if is.leader != was.leader && is.leader >= 0 && fenced {
            self.broken("I10", || format!("p{part} is led by n{}, which is fenced", is.leader));
        }
    }
}

fn is_about(record: &MetadataRecord, id: TopicPartition) -> bool {
    matches!(record, MetadataRecord::PartitionChange(change) if change.id() == id)
}
