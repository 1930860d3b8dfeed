//! The supervisor of this node's coordinators: one for each partition of `__consumer_offsets` that it leads.
//!
//! It looks whenever directory or image change. A partition whose handle is another one has another leader: its former
//! coordinator is let go and a new one replays the log. One that failed is started again a moment later.

use super::coordinator::{CoordinatorActor, CoordinatorArgs, CoordinatorMsg};
use super::table::{Coordinators, Entry};
use crate::clock::Clock;
use crate::directory::Directory;
use crate::images::Images;
use crate::metrics;
use crate::partition::PartitionHandle;
use callboard_core::coordinator::machine::CoordinatorConfig;
use callboard_core::group::GroupConfig;
use callboard_core::metadata::{Image, OFFSETS_TOPIC, Topic};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// A coordinator that failed is started again after this.
const RESTART_WAIT: Duration = Duration::from_secs(1);

/// What it starts with.
pub struct CoordinatorsArgs {
    /// Where partitions are found.
    pub directory: Arc<Directory>,
    /// Where the topic is found, and which topics are gone.
    pub images: Arc<Images>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where requests find coordinators.
    pub coordinators: Arc<Coordinators>,
    /// Bounds and times of groups.
    pub groups: GroupConfig,
    /// Bounds and times of coordinators.
    pub config: CoordinatorConfig,
}

/// What it is told.
#[derive(Debug)]
pub enum CoordinatorsMsg {
    /// Directory or image changed, or a restart is due.
    Look,
}

struct Running {
    handle: Arc<PartitionHandle>,
    entry: Entry,
}

/// Its state.
pub struct CoordinatorsState {
    args: CoordinatorsArgs,
    image: Arc<Image>,
    running: BTreeMap<i32, Running>,
}

/// The actor.
pub struct CoordinatorsActor;

impl Actor for CoordinatorsActor {
    type Msg = CoordinatorsMsg;
    type State = CoordinatorsState;
    type Arguments = CoordinatorsArgs;

    async fn pre_start(
        &self,
        me: ActorRef<CoordinatorsMsg>,
        args: CoordinatorsArgs,
    ) -> Result<CoordinatorsState, ActorProcessingErr> {
        let (mut images, mut directory) = (args.images.watch(), args.directory.watch());
        tokio::spawn(async move {
            loop {
                let changed = tokio::select! {
                    changed = images.changed() => changed,
                    changed = directory.changed() => changed,
                };
                if changed.is_err() || me.cast(CoordinatorsMsg::Look).is_err() {
                    return;
                }
            }
        });
        Ok(CoordinatorsState { args, image: Arc::default(), running: BTreeMap::new() })
    }

    async fn handle(
        &self,
        me: ActorRef<CoordinatorsMsg>,
        message: CoordinatorsMsg,
        state: &mut CoordinatorsState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            CoordinatorsMsg::Look => state.look(&me).await,
        }
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<CoordinatorsMsg>,
        event: SupervisionEvent,
        state: &mut CoordinatorsState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                state.failed(&me, cell.get_id(), &error.to_string())
            }
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ActorTerminated(..)
            | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        me: ActorRef<CoordinatorsMsg>,
        _state: &mut CoordinatorsState,
    ) -> Result<(), ActorProcessingErr> {
        me.drain_children_and_wait(Some(Duration::from_secs(10))).await;
        Ok(())
    }
}

impl CoordinatorsState {
    async fn look(&mut self, me: &ActorRef<CoordinatorsMsg>) -> Result<(), ActorProcessingErr> {
        let image = self.args.images.current();
        let gone: Vec<String> = match Arc::ptr_eq(&image, &self.image) {
            true => Vec::new(),
            false => {
                let deleted = |t: &&Arc<Topic>| !image.topics.contains_key(&t.id);
                self.image.topics.values().filter(deleted).map(|t| t.name.clone()).collect()
            }
        };
        for running in self.running.values() {
            for topic in &gone {
                let _ = running.entry.actor.cast(CoordinatorMsg::TopicDeleted(topic.clone()));
            }
        }
        let handles = match image.topic(OFFSETS_TOPIC) {
            Some(topic) => self.args.directory.partitions(topic.id),
            None => Vec::new(),
        };
        let handles: BTreeMap<i32, _> = handles.into_iter().map(|h| (h.id.partition, h)).collect();
        self.running.retain(|partition, running| {
            let same = handles.get(partition).is_some_and(|now| Arc::ptr_eq(now, &running.handle));
            if !same {
                let _ = running.entry.actor.drain();
            }
            same
        });
        for (partition, handle) in handles {
            // One that is offline has no replica, and nothing to coordinate.
            if handle.replica().is_some() && !self.running.contains_key(&partition) {
                let entry = self.start(me, &image, &handle).await?;
                self.running.insert(partition, Running { handle, entry });
            }
        }
        self.publish(&image);
        self.image = image;
        Ok(())
    }

    fn publish(&self, image: &Image) {
        let partitions = image.topic(OFFSETS_TOPIC).map_or(0, |topic| topic.partitions.len() as i32);
        let entries = self.running.iter().map(|(partition, r)| (*partition, r.entry.clone())).collect();
        self.args.coordinators.publish(partitions, entries);
    }

    async fn start(
        &self,
        me: &ActorRef<CoordinatorsMsg>,
        image: &Image,
        handle: &Arc<PartitionHandle>,
    ) -> Result<Entry, ActorProcessingErr> {
        let (summaries, loaded) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let args = CoordinatorArgs {
            handle: Arc::clone(handle),
            clock: Arc::clone(&self.args.clock),
            groups: self.args.groups,
            config: self.args.config,
            summaries: Arc::clone(&summaries),
            loaded: Arc::clone(&loaded),
            table: Arc::clone(&self.args.coordinators),
            topics: image.by_name.keys().cloned().collect(),
        };
        let (actor, _) = Actor::spawn_linked(None, CoordinatorActor, args, me.get_cell()).await?;
        Ok(Entry { actor, summaries, loaded, handle: Arc::clone(handle) })
    }

    fn failed(&mut self, me: &ActorRef<CoordinatorsMsg>, actor: ActorId, error: &str) {
        let found = self.running.iter().find(|(_, r)| r.entry.actor.get_id() == actor);
        // A former one, let go already.
        let Some(partition) = found.map(|(partition, _)| *partition) else { return };
        tracing::error!(partition, "its group coordinator ended and is started again: {error}");
        metrics::restarted("coordinator");
        self.running.remove(&partition);
        self.publish(&Arc::clone(&self.image));
        let me = me.clone();
        tokio::spawn(async move {
            tokio::time::sleep(RESTART_WAIT).await;
            let _ = me.cast(CoordinatorsMsg::Look);
        });
    }
}
