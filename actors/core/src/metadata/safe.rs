//! Whether a node may be restarted now, or what would stand still while it is away (R30).
//!
//! The metadata log needs a majority of its voters, and a partition a leader and `min.insync.replicas` of members. Both are
//! counted without the node. A partition that the node has alone stands still in any case, so it counts as no reason.
//!
//! The answer holds for this moment. Nothing is reserved by it, so two nodes may hear yes at once; ask one after the other.

use super::configs::{Statics, min_insync_replicas};
use super::image::Image;
use crate::ids::BrokerId;

/// Reasons that are named; more are counted.
const NAMED: usize = 10;

/// The reasons against a restart of a node; none if it may go.
#[must_use]
pub fn stops_without(image: &Image, me: BrokerId, voters: &[BrokerId], statics: &Statics) -> Vec<String> {
    let lives = |id: BrokerId| image.brokers.get(&id).is_some_and(|broker| broker.is_active());
    let mut reasons = Vec::new();
    let left = voters.iter().filter(|id| **id != me && lives(**id)).count();
    if left * 2 <= voters.len() {
        let all = voters.len();
        reasons.push(format!("the metadata log would have {left} of {all} voters, and needs a majority"));
    }
    let layers = image.layers(-1, statics);
    let mut more = 0;
    for topic in image.topics.values() {
        for (partition, p) in topic.partitions.iter().enumerate() {
            if p.replicas.len() < 2 || !p.replicas.contains(&me) {
                continue;
            }
            let least = min_insync_replicas(&topic.configs, &layers, p.settled());
            let left = p.isr.iter().filter(|id| **id != me && lives(**id)).count();
            if left >= least {
                continue;
            }
            if reasons.len() < NAMED {
                let name = &topic.name;
                reasons.push(format!(
                    "{name}-{partition} would have {left} in-sync replicas, and needs {least}"
                ));
            } else {
                more += 1;
            }
        }
    }
    if more > 0 {
        reasons.push(format!("{more} more partitions"));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Broker, Partition, Topic};
    use std::sync::Arc;

    fn image(dead: &[BrokerId], partitions: Vec<Partition>) -> Image {
        let mut image = Image::default();
        for id in 1..=3 {
            let fenced = dead.contains(&id);
            image.brokers.insert(id, Broker { id, fenced, ..Broker::default() });
        }
        image.cluster_configs.insert("min.insync.replicas".into(), "2".into());
        let topic = Topic { name: "t".into(), partitions, ..Topic::default() };
        image.topics.insert(topic.id, Arc::new(topic));
        image
    }

    fn reasons(dead: &[BrokerId], replicas: &[BrokerId], isr: &[BrokerId]) -> Vec<String> {
        let partition = Partition::new(replicas.to_vec(), isr.to_vec());
        stops_without(&image(dead, vec![partition]), 1, &[1, 2, 3], &Statics::default())
    }

    #[test]
    fn a_node_may_go_while_voters_and_in_sync_replicas_suffice_without_it() {
        assert_eq!(reasons(&[], &[1, 2, 3], &[1, 2, 3]), Vec::<String>::new());
        assert_eq!(reasons(&[], &[2, 3], &[2]), Vec::<String>::new(), "it has no replica of it");
        assert_eq!(reasons(&[], &[1], &[1]), Vec::<String>::new(), "it has the only replica");
        let needs = ["t-0 would have 1 in-sync replicas, and needs 2"];
        assert_eq!(reasons(&[], &[1, 2, 3], &[1, 2]), needs);
        assert_eq!(
            reasons(&[3], &[1, 2], &[1, 2])[0],
            "the metadata log would have 1 of 3 voters, and needs a majority"
        );
    }

    #[test]
    fn many_reasons_are_counted() {
        let partition = Partition::new(vec![1, 2, 3], vec![1, 2]);
        let said = stops_without(&image(&[], vec![partition; 15]), 1, &[1, 2, 3], &Statics::default());
        assert_eq!((said.len(), said[10].as_str()), (11, "5 more partitions"));
    }

    #[test]
    fn a_node_alone_may_not_go() {
        assert_eq!(stops_without(&image(&[], vec![]), 1, &[1], &Statics::default()).len(), 1);
    }
}
