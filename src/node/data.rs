//! The data directory at start: the store is opened and recovered, then the threads of its shards start.
//!
//! A shard that cannot be opened is lost, and the node serves the others; the last one that fails ends the node.

use crate::config::Config;
use crate::storage::disk::Disk;
use crate::storage::{
    EngineOptions, Opened, Readers, Recovered, ShardFault, ShardHandle, Store, StoreOptions,
};
use callboard_actors::images::Images;
use callboard_actors::ports::Shard;
use callboard_core::storage::Boot;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// The id of the kernel's boot. Under the same id the page cache still holds all that was written.
fn boot() -> Boot {
    const ID: &str = "/proc/sys/kernel/random/boot_id";
    let boot = std::fs::read_to_string(ID).map_or(Boot::UNKNOWN, Boot::from);
    if !boot.is_known() {
        tracing::warn!(
            "{ID} cannot be read: a kill of this process will count as a power cut for topics of durability os; show it /proc"
        );
    }
    boot
}

/// Opens the data directory and recovers it, away from the tasks.
pub(super) async fn open_store(
    config: &Config,
    disk: Arc<dyn Disk>,
    cores: usize,
) -> anyhow::Result<(Arc<Store>, Vec<Opened>)> {
    let options = StoreOptions {
        shards: (config.storage.shards > 0).then_some(config.storage.shards),
        default_shards: (cores / 2).max(1),
        boot_id: boot(),
        journal_bytes_max: u64::try_from(config.storage.journal_bytes_max).ok(),
        engine: EngineOptions {
            segment_bytes: config.storage.segment_bytes,
            unsettled_bytes_max: config.storage.unsettled_bytes_max,
            cache_bytes: config.memory.store_cache_bytes,
            disk_reserve_bytes: config.storage.disk_reserve_bytes,
            ..EngineOptions::default()
        },
    };
    let dir = config.storage.data.clone();
    let mut store = tokio::task::spawn_blocking(move || Store::open(disk, &dir, &options)).await??;
    let opened = std::mem::take(&mut store.shards);
    say_recovered(config, &store.identity().shards.len(), &store.recovered, &opened);
    Ok((Arc::new(store), opened))
}

fn say_recovered(config: &Config, shards: &usize, recovered: &Recovered, opened: &[Opened]) {
    let data = config.storage.data.display();
    if recovered.first_start {
        tracing::info!("data directory {data}: made, {shards} shards");
        return;
    }
    let replicas: usize = opened
        .iter()
        .map(|o| match o {
            Opened::Shard { states, .. } => states.len(),
            Opened::Lost { .. } => 0,
        })
        .sum();
    let end = if recovered.clean { "the last end was clean" } else { "the last end was not clean" };
    tracing::info!("data directory {data}: {shards} shards, {replicas} replicas, {end}");
    tracing::info!(
        "recovered: {} bytes of journal read, {} written again, {} of a torn tail cut",
        recovered.replayed,
        recovered.rejournaled,
        recovered.cut
    );
}

/// The shards of a node, after the attempt to open each.
pub(super) struct Shards {
    pub handles: Vec<Arc<ShardHandle>>,
    /// One for each shard: it works, or the reason why it does not.
    pub for_actors: Vec<Result<Arc<dyn Shard>, String>>,
    /// Numbers of those that did not open.
    pub lost: Vec<u16>,
    /// Becomes true when the last shard fails.
    pub all_lost: watch::Receiver<bool>,
}

/// Starts the threads of every shard that works.
pub(super) fn start_shards(
    store: &Arc<Store>,
    opened: Vec<Opened>,
    readers: &Arc<Readers>,
) -> anyhow::Result<Shards> {
    let healthy = opened.iter().filter(|o| matches!(o, Opened::Shard { .. })).count();
    let left = Arc::new(AtomicUsize::new(healthy));
    let (lost, all_lost) = watch::channel(healthy == 0);
    let lost = Arc::new(lost);
    let (mut handles, mut for_actors, mut lost_shards) = (Vec::new(), Vec::new(), Vec::new());
    for (n, shard) in opened.into_iter().enumerate() {
        match shard {
            Opened::Lost { fault } => {
                lost_shards.push(n as u16);
                for_actors.push(Err(fault.0));
            }
            Opened::Shard { engine, states } => {
                let (left, lost, store) = (Arc::clone(&left), Arc::clone(&lost), Arc::clone(store));
                let on_fault = Box::new(move |shard: u16, fault: &ShardFault| {
                    store.record_failure(&format!("shard {shard}: {fault}"));
                    if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                        lost.send_replace(true);
                    }
                });
                let handle = Arc::new(ShardHandle::start(engine, states, Arc::clone(readers), on_fault)?);
                for_actors.push(Ok(Arc::clone(&handle) as Arc<dyn Shard>));
                handles.push(handle);
            }
        }
    }
    Ok(Shards { handles, for_actors, lost: lost_shards, all_lost })
}

/// Stores durably what the registration said, before anything is served.
pub(super) fn remember(store: &Store, images: &Images, epoch: u64) -> anyhow::Result<()> {
    let cluster_id = images.current().cluster_id.clone();
    tracing::info!("cluster {}, broker epoch {epoch}", cluster_id.as_deref().unwrap_or("-"));
    store.update_identity(|identity| {
        identity.cluster_id = cluster_id;
        identity.last_broker_epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
    })?;
    // The registration has put every replica of this node back into its ISR.
    store.forgive_unclean()?;
    Ok(())
}
