//! The offsets that groups have committed, as far as replicas of `__consumer_offsets` lie in a stopped directory.
//!
//! The store is opened on a disk in memory, and recovers there as at a start. Each replica is read to its end and folded
//! as a coordinator does. Its end may lie behind what is committed, so an offset may be newer than any that was
//! acknowledged. A replica that cannot be read is named with the reason, and the others are told.

use crate::storage::disk::Disk;
use crate::storage::{Engine, EngineOptions, Identity, Opened, Store, StoreOptions};
use callboard_actors::ports::{ReadRequest, ReplicaState};
use callboard_core::coordinator::load::Replay;
use callboard_core::group::GroupRecord;
use callboard_core::metadata::{Image, OFFSETS_TOPIC};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

const READ_BYTES: usize = 1 << 20;

/// The groups, and which partitions of the internal topic were read.
pub(super) fn read(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    identity: &Identity,
    image: &Image,
) -> anyhow::Result<Value> {
    let Some(topic) = image.topic(OFFSETS_TOPIC) else {
        return Ok(json!({ "partitions": 0, "read": [], "unread": [], "offsets": [] }));
    };
    let options = StoreOptions {
        shards: None,
        default_shards: identity.shards.len(),
        boot_id: identity.boot_id.clone(),
        // Nothing moves while it is only read.
        journal_bytes_max: None,
        engine: EngineOptions::default(),
    };
    let store = Store::open(Arc::clone(disk), dir, &options)?;
    let (mut read, mut unread, mut offsets) = (Vec::new(), Vec::new(), Vec::new());
    for opened in &store.shards {
        let (engine, states) = match opened {
            Opened::Shard { engine, states } => (engine, states),
            Opened::Lost { fault } => {
                unread.push(json!({ "why": fault.to_string() }));
                continue;
            }
        };
        for state in states.iter().filter(|state| state.id.topic == topic.id) {
            match replica(engine, state) {
                Ok(mut found) => {
                    read.push(state.id.partition);
                    offsets.append(&mut found);
                }
                Err(why) => unread.push(json!({ "partition": state.id.partition, "why": why })),
            }
        }
    }
    read.sort_unstable();
    Ok(json!({
        "partitions": topic.partitions.len(),
        "read": read,
        "unread": unread,
        "offsets": offsets,
    }))
}

fn replica(engine: &Engine, state: &ReplicaState) -> Result<Vec<Value>, String> {
    let mut replay = Replay::<GroupRecord>::new(state.log_start, state.next);
    while let Some((from, until)) = replay.wanted() {
        let request =
            ReadRequest { replica: state.replica, from, until, max_bytes: READ_BYTES, files: false };
        let slices = engine.read(request).map_err(|e| e.to_string())?;
        for bytes in slices.in_memory() {
            replay.take(bytes).map_err(|e| e.to_string())?;
        }
        replay.took(slices.next).map_err(|e| e.to_string())?;
    }
    let mut found = Vec::new();
    for (group, records) in replay.entities() {
        for record in records {
            let GroupRecord::Offset { topic, partition, value: Some(value), .. } = record else { continue };
            found.push(json!({
                "group": group,
                "topic": topic,
                "partition": partition,
                "offset": value.offset,
                "leader_epoch": value.leader_epoch,
                "metadata": value.metadata,
                "committed_ms": value.commit_timestamp,
            }));
        }
    }
    Ok(found)
}
