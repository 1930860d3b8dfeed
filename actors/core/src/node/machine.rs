//! The node machine: it compares each image with the last one and follows every replica from its start to the
//! directory.
//!
//! The machine keeps one entry per replica that the image gives to this node. `replicas.rs` finds the log of a new
//! one, and `served.rs` counts the work that an image causes. The shell performs the effects.

use super::assign::{assigned, lives};
use super::damage::Damage;
use super::messages::{Effect, Found, Input, Life, Origin};
use super::replicas::{Disks, Startable};
use super::served::Served;
use crate::ids::{BrokerId, DirectoryId, Peer, TopicPartition};
use crate::machine::{Effects, Machine};
use crate::metadata::configs::{Statics, replica_config};
use crate::metadata::{Image, Opened, Partition, Topic};
use crate::mutant::{Mutant, planted};
use crate::partition::{Assigned, ReplicaConfig};
use crate::time::{Millis, Now, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Milliseconds until openings that could not be recorded are asked for again.
const RECORD_AGAIN_MS: u64 = 500;

/// The shard in which a replica runs, or the reason why none does.
#[derive(Debug)]
pub(super) enum Place {
    In(usize),
    Offline(String),
}

/// How far a replica has come on its way to the directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Starting,
    /// The replica is up, and its opening is being recorded.
    Recording,
    /// The replica is in the next swap of the directory.
    Gathered,
    Served,
}

#[derive(Debug)]
pub(super) struct Replica {
    pub(super) life: u64,
    pub(super) place: Place,
    pub(super) assigned: Assigned,
    stage: Stage,
    pub(super) damage: Option<Damage>,
    /// The lowest index of the metadata log whose image may have caused the start.
    since: u64,
}

/// One node and its replicas.
#[derive(Debug)]
pub struct NodeMachine {
    pub(super) me: BrokerId,
    /// The data directory of this node.
    directory: Option<DirectoryId>,
    statics: Arc<Statics>,
    pub(super) disks: Disks,
    /// The wall clock at the newest image.
    pub(super) wall: UnixMillis,
    image: Arc<Image>,
    /// The broker epoch; none before the registration.
    epoch: Option<u64>,
    ready: bool,
    pub(super) replicas: BTreeMap<TopicPartition, Replica>,
    lives: u64,
    /// Replicas that are up and that the image does not know as opened yet.
    to_record: Vec<Life>,
    recording: Vec<Life>,
    record_again: Option<Millis>,
    gathered: Vec<Life>,
    served: Served,
}

impl NodeMachine {
    /// A node that has recovered its shards and has seen no image yet. A lost shard comes with the reason.
    #[must_use]
    pub fn new(
        (me, directory): (BrokerId, Option<DirectoryId>),
        statics: Arc<Statics>,
        shards: Vec<Result<(), String>>,
        found: Vec<Found>,
    ) -> NodeMachine {
        NodeMachine {
            me,
            directory,
            statics,
            disks: Disks::new(shards, found),
            wall: UnixMillis(0),
            image: Arc::default(),
            epoch: None,
            ready: false,
            replicas: BTreeMap::new(),
            lives: 0,
            to_record: Vec::new(),
            recording: Vec::new(),
            record_again: None,
            gathered: Vec::new(),
            served: Served::default(),
        }
    }

    /// Takes a newer image. An image from before this node's own registration says nothing of this process (R20).
    fn look(&mut self, now: Now, image: Arc<Image>, out: &mut Effects<Effect>) {
        if self.epoch.is_none_or(|epoch| image.applied < epoch) || image.applied < self.image.applied {
            return;
        }
        self.wall = now.wall;
        let first = self.image.applied == 0;
        let old = std::mem::replace(&mut self.image, Arc::clone(&image));
        let below = old.cluster_configs != image.cluster_configs
            || old.broker_configs.get(&self.me) != image.broker_configs.get(&self.me);
        // A leader's group names the epochs of all its nodes.
        let nodes = lives(&old) != lives(&image);
        let mut told = BTreeSet::new();
        for (id, topic) in &image.topics {
            match old.topics.get(id) {
                Some(before) if !below && !nodes && Arc::ptr_eq(before, topic) => {}
                before => {
                    let configured = below || before.is_some_and(|before| before.configs != topic.configs);
                    self.compare(topic, old.applied + 1, configured, &mut told, out);
                }
            }
        }
        let gone = old.topics.iter().filter(|(id, _)| !image.topics.contains_key(id));
        gone.for_each(|(_, topic)| self.deleted(topic, out));
        for shard in told {
            self.served.begin(image.applied);
            out.push(Effect::Mark { shard, index: image.applied });
        }
        if first {
            let strays = self.disks.strays(now.wall);
            out.extend(strays.into_iter().map(|(found, at)| Effect::Stray { found, at }));
            out.push(Effect::Claimed);
        }
    }

    /// Compares one topic that is new or has changed. Its records have an index of at least `since`.
    fn compare(
        &mut self,
        topic: &Topic,
        since: u64,
        configured: bool,
        told: &mut BTreeSet<usize>,
        out: &mut Effects<Effect>,
    ) {
        let mut withdrawn = Vec::new();
        for (partition, p) in (0i32..).zip(&topic.partitions) {
            let id = TopicPartition { topic: topic.id, partition };
            if self.mend(id, topic, p, since, out) {
                continue;
            }
            match (self.replicas.get_mut(&id), p.replicas.contains(&self.me)) {
                (None, false) => {}
                // A mutant takes the log of a replica that follows for one that nobody knows (R20).
                (None, true) if planted(Mutant::FollowersStray) && since == 1 && p.leader != self.me => {}
                (None, true) => self.start(id, topic, p, since, out),
                (Some(_), false) => {
                    self.leave(id, out);
                    withdrawn.push(id);
                }
                (Some(replica), true) => {
                    let layers = self.image.layers(self.me, &self.statics);
                    let assigned = assigned(&self.image, &layers, topic, p, self.me);
                    let life = Life { id, number: replica.life };
                    let changed = std::mem::replace(&mut replica.assigned, assigned.clone()) != assigned;
                    match &replica.place {
                        Place::In(shard) => {
                            let shard = *shard;
                            if configured {
                                let config = self.config(topic);
                                out.push(Effect::Configure { id, shard, config });
                            }
                            if changed {
                                out.push(Effect::Assign { id, shard, assigned });
                            }
                            if configured || changed {
                                told.insert(shard);
                            }
                        }
                        Place::Offline(why) if changed => {
                            let (leader_epoch, why) = (p.leader_epoch, why.clone());
                            out.push(Effect::Offline { life, leader_epoch, why });
                        }
                        Place::Offline(_) => {}
                    }
                }
            }
        }
        if !withdrawn.is_empty() {
            out.push(Effect::Withdraw(withdrawn));
        }
    }

    fn assigned(&self, topic: &Topic, p: &Partition) -> Assigned {
        assigned(&self.image, &self.image.layers(self.me, &self.statics), topic, p, self.me)
    }

    fn config(&self, topic: &Topic) -> ReplicaConfig {
        replica_config(&topic.configs, &self.image.layers(self.me, &self.statics))
    }

    fn start(
        &mut self,
        id: TopicPartition,
        topic: &Topic,
        p: &Partition,
        since: u64,
        out: &mut Effects<Effect>,
    ) {
        match self.disks.claim(id, p.opened_by(self.me)) {
            Ok(Startable { shard, origin, unclean }) => {
                out.extend(unclean.map(|why| Effect::Unclean { id, why }));
                self.start_in((shard, origin), id, (topic, p), since, out);
            }
            Err(why) => {
                let life = self.next_life(id);
                out.push(Effect::Offline { life, leader_epoch: p.leader_epoch, why: why.clone() });
                let damage = Damage::at_start(why.clone());
                out.push(Effect::Damaged { life, epoch: damage.epoch });
                self.keep(life, Place::Offline(why), self.assigned(topic, p), Some(damage), since);
                self.gather(life, out);
                self.mend(id, topic, p, since, out);
            }
        }
    }

    fn next_life(&mut self, id: TopicPartition) -> Life {
        self.lives += 1;
        Life { id, number: self.lives }
    }

    /// Starts a new life of a replica in a shard.
    pub(super) fn start_in(
        &mut self,
        (shard, origin): (usize, Origin),
        id: TopicPartition,
        (topic, p): (&Topic, &Partition),
        since: u64,
        out: &mut Effects<Effect>,
    ) {
        let life = self.next_life(id);
        let (assigned, config) = (self.assigned(topic, p), self.config(topic));
        out.push(Effect::Start { life, shard, origin, assigned: assigned.clone(), config });
        self.keep(life, Place::In(shard), assigned, None, since);
    }

    /// Follows a life from here on.
    fn keep(&mut self, life: Life, place: Place, assigned: Assigned, damage: Option<Damage>, since: u64) {
        self.served.begin(since);
        let stage = Stage::Starting;
        self.replicas.insert(life.id, Replica { life: life.number, place, assigned, stage, damage, since });
    }

    fn deleted(&mut self, topic: &Topic, out: &mut Effects<Effect>) {
        let mut withdrawn = Vec::new();
        for (partition, _) in (0i32..).zip(&topic.partitions) {
            let id = TopicPartition { topic: topic.id, partition };
            let left = self.disks.forget(id);
            out.extend(left.map(|shard| Effect::Drop { id, shard }));
            if let Some(replica) = self.remove(id) {
                if let Place::In(shard) = replica.place {
                    out.push(Effect::Drop { id, shard });
                }
                withdrawn.push(id);
            }
        }
        if !withdrawn.is_empty() {
            out.push(Effect::Withdraw(withdrawn));
        }
    }

    fn leave(&mut self, id: TopicPartition, out: &mut Effects<Effect>) {
        if let Some(Replica { place: Place::In(shard), .. }) = self.remove(id) {
            self.disks.leaves(id, shard);
            out.push(Effect::Leave { id, shard });
        }
    }

    pub(super) fn remove(&mut self, id: TopicPartition) -> Option<Replica> {
        let replica = self.replicas.remove(&id)?;
        if replica.stage != Stage::Served {
            self.served.done(replica.since);
        }
        Some(replica)
    }

    /// The replica in this life, or none if the life is over.
    pub(super) fn living(&mut self, life: Life) -> Option<&mut Replica> {
        self.replicas.get_mut(&life.id).filter(|replica| replica.life == life.number)
    }

    /// Whether the image has this replica where it lies now.
    fn is_recorded(&self, id: TopicPartition) -> bool {
        let shard = match self.replicas.get(&id).map(|replica| &replica.place) {
            Some(Place::In(shard)) => u16::try_from(*shard).ok(),
            _ => None,
        };
        let at = Opened { broker: self.me, directory: self.directory, shard };
        self.image.partition(id).is_some_and(|partition| partition.opened_at(at))
    }

    fn up(&mut self, life: Life, out: &mut Effects<Effect>) {
        let recorded = self.is_recorded(life.id);
        let Some(replica) = self.living(life).filter(|r| r.stage == Stage::Starting) else { return };
        if recorded {
            return self.gather(life, out);
        }
        replica.stage = Stage::Recording;
        self.to_record.push(life);
        self.record(out);
    }

    /// Serves a broken replica as it is, because an opening that failed is not recorded.
    fn broken(&mut self, life: Life, out: &mut Effects<Effect>) {
        if self.living(life).is_some_and(|replica| replica.stage == Stage::Starting) {
            self.gather(life, out);
        }
    }

    fn gather(&mut self, life: Life, out: &mut Effects<Effect>) {
        if let Some(replica) = self.living(life) {
            replica.stage = Stage::Gathered;
            if self.gathered.is_empty() {
                out.push(Effect::Gather);
            }
            self.gathered.push(life);
        }
    }

    /// Asks the controller to record the openings that wait, one question at a time.
    fn record(&mut self, out: &mut Effects<Effect>) {
        if !self.recording.is_empty() || self.record_again.is_some() {
            return;
        }
        let mut to_record = std::mem::take(&mut self.to_record);
        to_record.retain(|life| self.living(*life).is_some());
        if !to_record.is_empty() {
            out.push(Effect::RecordOpened(to_record.iter().map(|life| life.id).collect()));
            self.recording = to_record;
        }
    }

    fn recorded(&mut self, now: Millis, committed: bool, out: &mut Effects<Effect>) {
        let asked = std::mem::take(&mut self.recording);
        if committed {
            self.serve(asked, out);
            self.record(out);
        } else {
            // The openings may still be committed. They are asked for again, together with newer ones.
            self.to_record.extend(asked);
            self.record_again = Some(now.plus(RECORD_AGAIN_MS));
        }
    }

    /// Puts replicas into the directory, except those whose life is over.
    fn serve(&mut self, lives: Vec<Life>, out: &mut Effects<Effect>) {
        let mut serve = Vec::with_capacity(lives.len());
        for life in lives {
            if let Some(replica) = self.living(life).filter(|replica| replica.stage != Stage::Served) {
                replica.stage = Stage::Served;
                let since = replica.since;
                self.served.done(since);
                serve.push(life);
            }
        }
        if !serve.is_empty() {
            out.push(Effect::Serve(serve));
        }
    }

    /// Says up to which index the image is served. The node is ready when this first covers its registration.
    fn progress(&mut self, out: &mut Effects<Effect>) {
        let Some(epoch) = self.epoch else { return };
        let applied = self.image.applied;
        out.extend(self.served.news(applied).map(Effect::Served));
        if !self.ready && self.served.index(applied) >= epoch {
            self.ready = true;
            out.push(Effect::Ready { epoch });
        }
    }
}

impl Machine for NodeMachine {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Now, input: Input, out: &mut Effects<Effect>) {
        match input {
            Input::Registered { epoch } => self.epoch = Some(epoch),
            Input::Image(image) => self.look(now, image, out),
            Input::Ready(life) => self.up(life, out),
            Input::Broken(life) => self.broken(life, out),
            Input::Damaged { life, why, mendable } => self.damaged(life, why, mendable, out),
            Input::Spent { life, leader_epoch } => {
                if let Some(epoch) = self.epoch.filter(|_| self.living(life).is_some()) {
                    let from = Peer { broker: self.me, epoch };
                    out.push(Effect::Renew { from, id: life.id, leader_epoch });
                }
            }
            Input::Told { index } => self.served.done(index),
            Input::Recorded(committed) => self.recorded(now.mono, committed, out),
            Input::Gathered => {
                let gathered = std::mem::take(&mut self.gathered);
                self.serve(gathered, out);
            }
            Input::Tick => {
                if self.record_again.is_some_and(|due| due <= now.mono) {
                    self.record_again = None;
                    self.record(out);
                }
            }
        }
        self.progress(out);
    }

    fn next_deadline(&self) -> Option<Millis> {
        self.record_again
    }

    fn check(&self) {
        let waits = |life: &Life, stage| {
            self.replicas.get(&life.id).is_none_or(|r| r.life != life.number || r.stage == stage)
        };
        assert!(self.to_record.iter().chain(&self.recording).all(|life| waits(life, Stage::Recording)));
        assert!(self.gathered.iter().all(|life| waits(life, Stage::Gathered)));
    }
}
