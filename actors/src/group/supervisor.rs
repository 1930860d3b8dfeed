//! The supervisor of this node's coordinators: one for each partition of `__consumer_offsets` that it leads.
//!
//! It looks whenever the directory, a partition's role, or the image changes. Which coordinators have to go, and which to be started, is decided in
//! `callboard_core::coordinator::roster`; the supervisor lets them go, starts them, and shows requests where they are.
//!
//! ```text
//!   Directory, Images ── changed ──> look ──> Roster ──> drain | spawn ──> Coordinators (the table)
//!   a coordinator failed ──> Roster ──> look again, a little later
//! ```

use super::coordinator::{CoordinatorActor, CoordinatorArgs};
use super::messages::{CoordinatorMsg, CoordinatorsMsg};
use super::table::{Coordinators, Entry, Running};
use crate::clock::Clock;
use crate::directory::Directory;
use crate::images::Images;
use crate::metrics;
use crate::partition::PartitionHandle;
use callboard_core::coordinator::CoordinatorConfig;
use callboard_core::coordinator::epoch::Tenure;
use callboard_core::coordinator::roster::{Move, Roster};
use callboard_core::group::{GroupConfig, topics};
use callboard_core::metadata::{Image, OFFSETS_TOPIC};
use callboard_core::restarts::Verdict;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the supervisor of coordinators starts with.
pub struct CoordinatorsArgs {
    pub directory: Arc<Directory>,
    pub images: Arc<Images>,
    pub clock: Arc<dyn Clock>,
    /// Where requests find coordinators.
    pub coordinators: Arc<Coordinators>,
    pub groups: GroupConfig,
    pub config: CoordinatorConfig,
}

/// The partitions as they were seen last, and the coordinators that run.
pub struct CoordinatorsState {
    args: CoordinatorsArgs,
    /// A look is in the mailbox.
    look_comes: Arc<AtomicBool>,
    image: Arc<Image>,
    handles: BTreeMap<i32, Arc<PartitionHandle>>,
    roster: Roster,
    running: BTreeMap<i32, Running>,
}

/// The actor that supervises coordinators.
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
        let (mut images, mut directory) = (args.images.watch(), args.directory.changes().watch());
        let look_comes = Arc::new(AtomicBool::new(false));
        let coming = Arc::clone(&look_comes);
        tokio::spawn(async move {
            loop {
                let changed = tokio::select! {
                    changed = images.changed() => changed,
                    changed = directory.changed() => changed,
                };
                // One look sees all changes before it, and a start changes the role of every partition.
                let cast = !coming.swap(true, Ordering::AcqRel);
                if changed.is_err() || cast && me.cast(CoordinatorsMsg::Look).is_err() {
                    return;
                }
            }
        });
        Ok(CoordinatorsState {
            args,
            look_comes,
            image: Arc::default(),
            handles: BTreeMap::new(),
            roster: Roster::default(),
            running: BTreeMap::new(),
        })
    }

    async fn handle(
        &self,
        me: ActorRef<CoordinatorsMsg>,
        message: CoordinatorsMsg,
        state: &mut CoordinatorsState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            CoordinatorsMsg::Look => {
                state.look_comes.swap(false, Ordering::AcqRel);
                state.look(&me).await
            }
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

/// The leadership that a handle shows. A replica whose actor is started again keeps its epoch and begins another life.
fn tenure(handle: &PartitionHandle) -> Option<Tenure> {
    let life = handle.life();
    let view = handle.view();
    Tenure::of(&view.role, view.leader_epoch, life)
}

impl CoordinatorsState {
    async fn look(&mut self, me: &ActorRef<CoordinatorsMsg>) -> Result<(), ActorProcessingErr> {
        let image = self.args.images.current();
        if !Arc::ptr_eq(&image, &self.image) {
            let deleted = topics::deleted(&self.image, &image);
            for (running, topic) in self.running.values().flat_map(|r| deleted.iter().map(move |t| (r, t))) {
                let _ = running.actor.cast(CoordinatorMsg::TopicDeleted(topic.clone()));
            }
        }
        let handles = image.topic(OFFSETS_TOPIC).map(|topic| self.args.directory.partitions(topic.id));
        let handles: BTreeMap<i32, _> =
            handles.into_iter().flatten().map(|handle| (handle.id.partition, handle)).collect();
        let led = handles.iter().filter_map(|(partition, handle)| Some((*partition, tenure(handle)?)));
        let led: BTreeMap<i32, Tenure> = led.collect();
        let moves = self.roster.look(&led);
        for next in moves {
            match next {
                Move::LetGo(partition) => {
                    if let Some(running) = self.running.remove(&partition) {
                        let _ = running.actor.drain();
                    }
                }
                Move::Start(partition) => {
                    if let (Some(handle), Some(tenure)) = (handles.get(&partition), led.get(&partition)) {
                        let running = self.start(me, &image, handle, *tenure).await?;
                        self.running.insert(partition, running);
                    }
                }
            }
        }
        (self.image, self.handles) = (image, handles);
        self.publish();
        Ok(())
    }

    fn publish(&self) {
        let partitions = self.image.topic(OFFSETS_TOPIC).map_or(0, |topic| topic.partitions.len() as i32);
        let entry = |partition: &i32, handle: &Arc<PartitionHandle>| Entry {
            running: self.running.get(partition).cloned(),
            handle: Arc::clone(handle),
        };
        let entries = self.handles.iter().map(|(partition, handle)| (*partition, entry(partition, handle)));
        self.args.coordinators.publish(partitions, entries.collect());
    }

    async fn start(
        &self,
        me: &ActorRef<CoordinatorsMsg>,
        image: &Image,
        handle: &Arc<PartitionHandle>,
        tenure: Tenure,
    ) -> Result<Running, ActorProcessingErr> {
        let (summaries, loaded) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let args = CoordinatorArgs {
            handle: Arc::clone(handle),
            tenure,
            clock: Arc::clone(&self.args.clock),
            groups: self.args.groups,
            config: self.args.config,
            summaries: Arc::clone(&summaries),
            loaded: Arc::clone(&loaded),
            table: Arc::clone(&self.args.coordinators),
            topics: image.by_name.keys().cloned().collect(),
        };
        let (actor, _) = Actor::spawn_linked(None, CoordinatorActor, args, me.get_cell()).await?;
        Ok(Running { actor, summaries, loaded })
    }

    fn failed(&mut self, me: &ActorRef<CoordinatorsMsg>, actor: ActorId, error: &str) {
        // One that was let go before may fail too, and nothing follows from it.
        let found = self.running.iter().find(|(_, running)| running.actor.get_id() == actor);
        let Some(partition) = found.map(|(partition, _)| *partition) else { return };
        self.running.remove(&partition);
        self.publish();
        match self.roster.failed(partition, self.args.clock.now().mono) {
            Verdict::Again { after_ms } => {
                tracing::error!(partition, "its group coordinator ended and is started again: {error}");
                metrics::restarted("coordinator");
                let me = me.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(after_ms)).await;
                    let _ = me.cast(CoordinatorsMsg::Look);
                });
            }
            Verdict::GiveUp => tracing::error!(partition, "its group coordinator keeps failing: {error}"),
        }
    }
}
