//! The assignment that an image gives one replica of this node: its role, its epochs, and for a leader its group.
//!
//! Everything comes from one image, so that a leader never meets an in-sync set of one index with the minimum of another
//! (R7). The functions compare nothing; the node machine does.

use crate::ids::{BrokerEpoch, BrokerId, Peer};
use crate::metadata::configs::{Layers, min_insync_replicas};
use crate::metadata::{Image, Partition, Topic};
use crate::partition::{Assigned, AssignedRole, Group, Member};

/// The image's assignment for this node's replica of a partition.
pub(super) fn assigned(
    image: &Image,
    layers: &Layers<'_>,
    topic: &Topic,
    partition: &Partition,
    me: BrokerId,
) -> Assigned {
    let role = match partition.leader {
        leader if leader == me => AssignedRole::Leader(group(image, layers, topic, partition)),
        leader if leader < 0 => AssignedRole::Idle,
        leader => AssignedRole::Follower { leader },
    };
    Assigned { role, leader_epoch: partition.leader_epoch, unclean_epoch: partition.unclean_epoch }
}

fn group(image: &Image, layers: &Layers<'_>, topic: &Topic, partition: &Partition) -> Group {
    let member = |broker: &BrokerId| {
        let known = image.brokers.get(broker);
        Member {
            peer: Peer { broker: *broker, epoch: known.map_or(0, |known| known.epoch) },
            live: known.is_some_and(|known| !known.fenced && !known.shutting_down),
            in_sync: partition.isr.contains(broker),
        }
    };
    Group {
        partition_epoch: partition.partition_epoch,
        min_isr: min_insync_replicas(&topic.configs, layers, partition.settled()),
        members: partition.replicas.iter().map(member).collect(),
    }
}

/// What leaders go by of all nodes: their lives, and whether they may be in sync.
pub(super) fn lives(image: &Image) -> Vec<(BrokerId, BrokerEpoch, bool, bool)> {
    image.brokers.values().map(|node| (node.id, node.epoch, node.fenced, node.shutting_down)).collect()
}
