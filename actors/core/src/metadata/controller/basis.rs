//! The ground of a decision: an image, the defaults, and what heartbeats have said about nodes.
//!
//! A method of [`Basis`] decides each kind of question, in a file of its own. It turns the question into outcomes and
//! records and changes nothing. The machine hands it the image with all pending proposals applied, so that two
//! decisions of one moment know each other (R43).

use crate::ids::{BrokerId, LeaderEpoch, Peer, TopicPartition};
use crate::metadata::broker::{Broker, SyncedPositions};
use crate::metadata::configs::Statics;
use crate::metadata::configs::{flag, min_insync_replicas};
use crate::metadata::image::{Image, Topic};
use crate::metadata::partition::Partition;
use crate::metadata::record::MetadataRecord;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Defaults of new topics, and of every config that nothing overrides.
#[derive(Clone, Debug)]
pub struct TopicDefaults {
    /// Partitions of a new topic (`num.partitions`).
    pub partitions: i32,
    /// The settings of the configuration file.
    pub statics: Arc<Statics>,
}

/// The config by which a topic has leaders that may lack committed records.
pub(super) const UNCLEAN_ELECTIONS: &str = "unclean.leader.election.enable";

/// The last leader epoch of each log that a node has recovered.
pub(super) type LogEpochs = BTreeMap<TopicPartition, LeaderEpoch>;

/// What the judge of sessions has said about nodes beyond what is committed. Each leadership begins without it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Unfenced nodes whose session is over, with the positions that they were last heard to have synced.
    pub silent: BTreeMap<Peer, SyncedPositions>,
    /// Nodes with a sync that takes too long.
    pub stalled: BTreeSet<Peer>,
    /// Nodes with a full disk.
    pub full: BTreeSet<Peer>,
    /// Replicas that cannot serve now.
    pub unable: BTreeMap<Peer, BTreeSet<TopicPartition>>,
    /// Replicas that cannot serve what they acknowledged, with the last leader epoch in which anybody may count on each.
    pub damaged: BTreeMap<Peer, BTreeMap<TopicPartition, LeaderEpoch>>,
}

/// The ground of one decision; it lives no longer than that.
pub(super) struct Basis<'a> {
    pub image: &'a Image,
    pub defaults: &'a TopicDefaults,
    pub standing: &'a Standing,
}

impl Basis<'_> {
    /// The image once these records are committed as one batch.
    pub fn image_after(&self, records: &[MetadataRecord]) -> Image {
        let mut image = self.image.clone();
        image.apply_batch(self.image.applied.saturating_add(1), records);
        image
    }

    /// Brokers that may have replicas: all that are registered.
    pub fn brokers(&self) -> BTreeSet<BrokerId> {
        self.image.brokers.keys().copied().collect()
    }

    /// A node that is registered and unfenced.
    pub fn unfenced(&self, id: BrokerId) -> Option<&Broker> {
        self.image.brokers.get(&id).filter(|broker| !broker.fenced)
    }

    /// A node that may lead and join ISRs.
    pub fn active(&self, id: BrokerId) -> Option<&Broker> {
        self.image.brokers.get(&id).filter(|broker| broker.is_active())
    }

    /// In-sync replicas without which nothing is committed.
    pub fn min_isr(&self, topic: &Topic, p: &Partition) -> usize {
        let layers = self.image.layers(-1, &self.defaults.statics);
        min_insync_replicas(&topic.configs, &layers, p.settled())
    }

    /// Whether a replica that may lack committed records may lead a partition of this topic without being asked for.
    pub fn elects_unclean(&self, topic: &Topic) -> bool {
        let layers = self.image.layers(-1, &self.defaults.statics);
        flag(UNCLEAN_ELECTIONS, &topic.configs, &layers)
    }

    /// Whether a node has said that its replica cannot serve.
    pub fn unable(&self, broker: &Broker, id: TopicPartition) -> bool {
        let unable = self.standing.unable.get(&broker.peer());
        unable.is_some_and(|replicas| replicas.contains(&id)) || self.damaged(broker, id)
    }

    /// Whether a node has said that its replica cannot serve what it acknowledged.
    pub fn damaged(&self, broker: &Broker, id: TopicPartition) -> bool {
        let damaged = self.standing.damaged.get(&broker.peer());
        damaged.is_some_and(|replicas| replicas.contains_key(&id))
    }
}
