//! The tasks that follow the image for a forming node: they found the cluster, tell the forming actor what is committed,
//! and forgive replicas that are back in their ISRs.
//!
//! Each task ends with the node. `core` decides what founding writes; these tasks only notice and ask.

use crate::controller::RaftLog;
use crate::storage::Store;
use arc_swap::ArcSwap;
use callboard_actors::cluster::{Door, FormingMsg};
use callboard_actors::images::Images;
use callboard_core::bootstrap::{ClusterId, Seat};
use callboard_core::metadata::controller::Ask;
use callboard_core::metadata::{Leadership, Partition};
use callboard_core::{BrokerId, ReplicaId, TopicPartition};
use ractor::ActorRef;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch as latest;

/// Time between two questions to found the cluster. The record is committed once, whoever asks.
const FOUND_AGAIN: Duration = Duration::from_millis(300);

/// Asks this node's controller to found the cluster, while this node leads a log that holds no cluster yet.
pub(super) async fn found(
    me: BrokerId,
    cluster: ClusterId,
    seats: Arc<ArcSwap<Vec<Seat>>>,
    door: Arc<Door>,
    images: Arc<Images>,
) {
    let (mut lead, mut changed) = (door.lead(), images.watch());
    while images.current().cluster_id.is_none() {
        let leads = lead.borrow_and_update().is_some_and(|lead| lead.node == me);
        if leads {
            let ask = Ask::Found { cluster_id: cluster.0.clone(), seats: seats.load().to_vec() };
            let said = door.ask(ask).await;
            tracing::debug!("founding: {said:?}");
        }
        tokio::select! {
            gone = lead.changed() => if gone.is_err() {
                return;
            },
            gone = changed.changed() => if gone.is_err() {
                return;
            },
            () = tokio::time::sleep(FOUND_AGAIN), if leads => {}
        }
    }
}

/// Tells the forming actor when the cluster is committed, and when this life of the node is unfenced.
pub(super) async fn tell(
    me: BrokerId,
    epoch: Arc<AtomicU64>,
    forming: ActorRef<FormingMsg>,
    images: Arc<Images>,
) {
    let mut changed = images.watch();
    let (mut committed, mut unfenced) = (false, false);
    while !(committed && unfenced) {
        let image = images.current();
        if let (false, Some(cluster)) = (committed, &image.cluster_id) {
            committed = true;
            let _ = forming.cast(FormingMsg::Committed(ClusterId(cluster.clone())));
        }
        let mine = image.brokers.get(&me).filter(|broker| broker.epoch == epoch.load(Ordering::Acquire));
        if !unfenced && mine.is_some_and(|broker| !broker.fenced) {
            unfenced = true;
            let _ = forming.cast(FormingMsg::Unfenced);
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// Takes each unclean verdict off the disk, once its replica is back in the ISR.
pub(super) async fn forgive(
    me: BrokerId,
    epoch: Arc<AtomicU64>,
    mut unclean: BTreeMap<TopicPartition, (u16, ReplicaId)>,
    store: Arc<Store>,
    images: Arc<Images>,
) {
    let mut changed = images.watch();
    while !unclean.is_empty() {
        let image = images.current();
        let epoch = epoch.load(Ordering::Acquire);
        let back = |id: &TopicPartition| {
            let p = image.partition(*id);
            p.is_some_and(|p: &Partition| p.isr.contains(&me) && !p.unclean.contains(&me) && p.leader >= 0)
        };
        // An older image shows the ISRs of the former life.
        let sound: Vec<TopicPartition> = match epoch > 0 && image.applied >= epoch {
            true => unclean.keys().copied().filter(back).collect(),
            false => Vec::new(),
        };
        for (shard, replica) in sound.iter().filter_map(|id| unclean.remove(id)) {
            let store = Arc::clone(&store);
            let forgiven = tokio::task::spawn_blocking(move || store.forgive(shard, replica.0)).await;
            if let Ok(Err(error)) = forgiven {
                tracing::warn!("the verdict of a former start stays on record: {error}");
            }
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// Tells the forming actor that this node's Raft log holds something.
pub(super) async fn holds(mut first: latest::Receiver<bool>, forming: ActorRef<FormingMsg>) {
    if first.wait_for(|holds| *holds).await.is_ok() {
        let _ = forming.cast(FormingMsg::RaftHolds);
    }
}

/// Ends the node when openraft has ended by itself.
pub(super) async fn broken(
    mut broken: latest::Receiver<Option<String>>,
    over: Arc<latest::Sender<Option<String>>>,
) {
    if let Ok(why) = broken.wait_for(Option::is_some).await {
        over.send_replace(Some(format!("the metadata log has ended: {}", why.as_deref().unwrap_or("-"))));
    }
}

/// Gives the log to founding nodes that do not vote: with one or two seeds the founder alone does.
pub(super) async fn learners(
    me: BrokerId,
    raft: Arc<RaftLog>,
    seats: Vec<BrokerId>,
    (mut lead, images): (latest::Receiver<Option<Leadership>>, Arc<Images>),
) {
    loop {
        let status = raft.status();
        let known = |seat: &&BrokerId| status.voters.contains(seat) || status.learners.contains(seat);
        let missing = seats.iter().find(|seat| !known(seat)).copied();
        // An empty membership is that of a log which has not begun.
        if missing.is_none() && !status.voters.is_empty() {
            return;
        }
        let leads = lead.borrow_and_update().is_some_and(|lead| lead.node == me);
        // A recovery has given up the others that founded the cluster. The image is there before this node leads (R35).
        if leads && images.current().cluster_epoch > 0 {
            return;
        }
        if let (Some(seat), true, false) = (missing, leads, status.voters.is_empty())
            && let Err(why) = raft.add_learner(seat).await
        {
            tracing::debug!(seat, "it is not a learner yet: {why}");
        }
        tokio::select! {
            gone = lead.changed() => if gone.is_err() {
                return;
            },
            () = tokio::time::sleep(FOUND_AGAIN) => {}
        }
    }
}
