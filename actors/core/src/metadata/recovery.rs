//! A cluster whose majority of voters is gone goes on with one node, because an operator says so.
//!
//! ```text
//!   image of the survivor ── at_risk ──> what may be lost, for the operator to read
//!                         └─ survived ─> the image that it goes on with: a higher cluster epoch, all others fenced
//! ```
//! The others may have committed what the survivor never heard of. So every number that they may have given out is left
//! far behind: leader epochs and producer ids here, indexes of the metadata log where it is written. Replicas on lost nodes stay listed.

use super::image::{Image, Topic};
use super::partition::Partition;
use crate::ids::{BrokerId, LeaderEpoch};
use std::sync::Arc;

/// Leader epochs that the others may have begun unheard. A client refuses a leader whose epoch is below one that it knows.
pub const UNHEARD_EPOCHS: LeaderEpoch = 1000;

/// Producer ids that the others may have given out unheard. Two producers of one id would take each other's batches.
const UNHEARD_PRODUCER_IDS: i64 = 1 << 32;

/// A partition of which the survivor does not certainly hold every acknowledged record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AtRisk {
    pub topic: String,
    pub partition: i32,
    /// The replicas that certainly hold all.
    pub isr: Vec<BrokerId>,
    pub elr: Vec<BrokerId>,
    /// Whether the survivor has a replica at all. It can lead only then, and only if an operator asks for it.
    pub replica: bool,
}

/// The partitions that the survivor does not certainly hold in full, by name and number.
#[must_use]
pub fn at_risk(image: &Image, me: BrokerId) -> Vec<AtRisk> {
    let topics = image.by_name.values().filter_map(|id| image.topics.get(id));
    let of = |topic: &Arc<Topic>| {
        let name = topic.name.clone();
        let lacks = |p: &Partition| !p.is_eligible(me);
        let risks = (0i32..).zip(&topic.partitions).filter(|(_, p)| lacks(p)).map(|(partition, p)| AtRisk {
            topic: name.clone(),
            partition,
            isr: p.isr.clone(),
            elr: p.elr.clone(),
            replica: p.replicas.contains(&me),
        });
        risks.collect::<Vec<_>>()
    };
    topics.flat_map(of).collect()
}

/// The image with which the survivor goes on, as of an index of its metadata log.
#[must_use]
pub fn survived(image: &Image, me: BrokerId, index: u64) -> Image {
    let mut image = image.clone();
    image.cluster_epoch = image.cluster_epoch.saturating_add(1);
    image.applied = index;
    image.next_producer_id = image.next_producer_id.saturating_add(UNHEARD_PRODUCER_IDS);
    for broker in image.brokers.values_mut().filter(|broker| broker.id != me) {
        broker.fenced = true;
    }
    for topic in image.topics.values_mut() {
        for p in &mut Arc::make_mut(topic).partitions {
            p.leader_epoch = p.leader_epoch.saturating_add(UNHEARD_EPOCHS);
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TopicId;
    use crate::metadata::{Broker, MetadataRecord};

    fn image() -> Image {
        let mut image = Image { cluster_epoch: 1, applied: 8, ..Image::default() };
        for id in 1..=3 {
            image.brokers.insert(id, Broker { id, ..Broker::default() });
        }
        let topic = |n: u8, name: &str, replicas: Vec<Vec<i32>>, isr: Vec<Vec<i32>>| MetadataRecord::Topic {
            id: TopicId([n; 16]),
            name: name.into(),
            replicas,
            isr,
            default_factor: false,
            configs: Default::default(),
        };
        let all = || vec![vec![1, 2, 3]; 3];
        image.apply_batch(9, &[topic(1, "t", all(), vec![vec![1, 3], vec![1, 2], vec![2]])]);
        image.apply_batch(10, &[topic(2, "alone", vec![vec![2]], Vec::new())]);
        let topic = Arc::make_mut(image.topics.get_mut(&TopicId([1; 16])).unwrap());
        topic.partitions[1].elr = vec![3];
        image
    }

    #[test]
    fn partitions_are_at_risk_where_the_survivor_is_in_no_list() {
        let names: Vec<(String, i32, bool)> =
            at_risk(&image(), 3).into_iter().map(|risk| (risk.topic, risk.partition, risk.replica)).collect();
        assert_eq!(names, [("alone".to_owned(), 0, false), ("t".to_owned(), 2, true)]);
    }

    #[test]
    fn the_survivor_goes_on_above_all_that_the_others_may_have_given_out() {
        let (before, after) = (image(), survived(&image(), 3, 5000));
        assert_eq!((after.cluster_epoch, after.applied), (2, 5000));
        assert!(after.next_producer_id > before.next_producer_id + 1_000_000);
        let fenced: Vec<i32> = after.brokers.values().filter(|b| b.fenced).map(|b| b.id).collect();
        assert_eq!(fenced, [1, 2]);
        for (id, topic) in &after.topics {
            for (p, old) in topic.partitions.iter().zip(&before.topics[id].partitions) {
                assert_eq!(p.leader_epoch, old.leader_epoch + UNHEARD_EPOCHS);
                assert_eq!((&p.replicas, &p.isr, &p.elr), (&old.replicas, &old.isr, &old.elr));
            }
        }
    }
}
