//! What a new image means for this node: which replicas to start, to give a new epoch or config, to let go.

use super::image::{Image, Topic};
use crate::ids::{BrokerId, LeaderEpoch, TopicPartition};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A change for one local replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// It is this node's to lead.
    Start {
        /// Which.
        id: TopicPartition,
        /// In this epoch.
        leader_epoch: LeaderEpoch,
        /// Whether it was opened before: then it may not be created empty.
        opened: bool,
        /// The topic's configs.
        configs: BTreeMap<String, String>,
    },
    /// Its topic's configs changed, or what stands below them.
    Configure {
        /// Which.
        id: TopicPartition,
        /// The topic's configs.
        configs: BTreeMap<String, String>,
    },
    /// Its topic was deleted.
    Delete {
        /// Which.
        id: TopicPartition,
    },
}

/// Compares two images from this node's point of view. Topics that are the same object are not looked
/// at, unless what stands below the configs of all topics changed.
#[must_use]
pub fn assignments(old: &Image, new: &Image, me: BrokerId) -> Vec<Assignment> {
    let mut out = Vec::new();
    let below = old.cluster_configs != new.cluster_configs
        || old.broker_configs.get(&me) != new.broker_configs.get(&me);
    for (id, topic) in &new.topics {
        match old.topics.get(id) {
            Some(before) if !below && Arc::ptr_eq(before, topic) => {}
            before => started(before, topic, (me, below), &mut out),
        }
    }
    for (id, topic) in &old.topics {
        if !new.topics.contains_key(id) {
            let mine = (0i32..).zip(&topic.partitions).filter(|(_, p)| p.replicas.contains(&me));
            out.extend(
                mine.map(|(partition, _)| Assignment::Delete {
                    id: TopicPartition { topic: *id, partition },
                }),
            );
        }
    }
    out
}

fn started(
    before: Option<&Arc<Topic>>,
    topic: &Topic,
    (me, below): (BrokerId, bool),
    out: &mut Vec<Assignment>,
) {
    for (n, p) in topic.partitions.iter().enumerate() {
        if p.leader != me {
            continue;
        }
        let id = TopicPartition { topic: topic.id, partition: n as i32 };
        let old = before.and_then(|t| Some((t, t.partitions.get(n)?)));
        match old {
            Some((t, o)) if o.leader == me && o.leader_epoch == p.leader_epoch => {
                if below || t.configs != topic.configs {
                    out.push(Assignment::Configure { id, configs: topic.configs.clone() });
                }
            }
            _ => out.push(Assignment::Start {
                id,
                leader_epoch: p.leader_epoch,
                opened: p.opened.contains(&me),
                configs: topic.configs.clone(),
            }),
        }
    }
}
