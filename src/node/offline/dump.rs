//! `callboard metadata dump`: topics, configs, members and group offsets of a stopped node as one JSON document.
//!
//! README describes the fields, and `FORMAT` counts their changes. The document holds what this node knows: entries of the
//! metadata log that are not known to be committed count too, and are counted. It is for people and scripts; no command
//! reads it back.

use super::directory::{identity, real};
use super::groups;
use crate::controller::{Kept, kept};
use crate::storage::disk::{Disk, Overlay};
use crate::storage::{Identity, hold};
use callboard_core::metadata::{Broker, Image, Partition, Topic};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Version of the document.
const FORMAT: u32 = 1;

/// The document of a directory whose node does not run.
pub fn dump(dir: &Path) -> anyhow::Result<Value> {
    let real = real(dir)?;
    let identity = identity(&*real, dir)?;
    // Held until the document is whole. The store takes the same lock while it is read.
    let lock = hold(&*real, dir)?;
    let overlay: Arc<dyn Disk> = Arc::new(Overlay::new(real));
    let kept = kept(&overlay, dir, identity.node_id)?;
    drop(lock);
    let groups = groups::read(&overlay, dir, &identity, &kept.image)?;
    Ok(document(&identity, &kept, groups))
}

fn document(identity: &Identity, kept: &Kept, groups: Value) -> Value {
    let image = &kept.image;
    let behind = kept.committed.map_or(kept.last, |committed| kept.last.saturating_sub(committed));
    let topics: Vec<Value> =
        image.by_name.values().filter_map(|id| image.topics.get(id)).map(|topic| of_topic(topic)).collect();
    json!({
        "format": FORMAT,
        "cluster": {
            "id": image.cluster_id,
            "epoch": image.cluster_epoch,
            "feature_level": image.feature_level,
            "voters": kept.voters,
        },
        "node": {
            "id": identity.node_id,
            "uuid": identity.node_uuid,
            "directory_id": identity.directory_id,
            "broker_epoch": identity.last_broker_epoch,
        },
        "log": {
            "last": kept.last,
            "committed": kept.committed,
            "not_known_committed": behind,
            "term": kept.term,
        },
        "members": image.brokers.values().map(of_member).collect::<Vec<_>>(),
        "topics": topics,
        "configs": configs(image),
        "next_producer_id": image.next_producer_id,
        "groups": groups,
    })
}

fn of_member(broker: &Broker) -> Value {
    let listeners = broker
        .listeners
        .iter()
        .map(|listener| json!({ "name": listener.name, "host": listener.host, "port": listener.port }));
    json!({
        "id": broker.id,
        "uuid": broker.uuid.map(|uuid| uuid.to_string()),
        "broker_epoch": broker.epoch,
        "fenced": broker.fenced,
        "rack": broker.rack,
        "cluster_address": broker.cluster_address,
        "listeners": listeners.collect::<Vec<_>>(),
    })
}

fn of_topic(topic: &Topic) -> Value {
    let partitions = (0i32..).zip(&topic.partitions).map(|(partition, p)| of_partition(partition, p));
    json!({
        "name": topic.name,
        "id": topic.id.to_string(),
        "configs": topic.configs,
        "partitions": partitions.collect::<Vec<_>>(),
    })
}

fn of_partition(partition: i32, p: &Partition) -> Value {
    json!({
        "partition": partition,
        "leader": p.leader,
        "leader_epoch": p.leader_epoch,
        "replicas": p.replicas,
        "isr": p.isr,
        "elr": p.elr,
        "last_known_elr": p.last_known_elr,
        "recovering": p.recovering,
    })
}

/// Settings made at run time, by what they are of. Those of topics stand with the topics.
fn configs(image: &Image) -> Value {
    json!({
        "cluster": image.cluster_configs,
        "brokers": image.broker_configs,
        "groups": image.group_configs,
        "client_metrics": image.metrics_configs,
    })
}
