//! The metadata log: one order of records for the whole cluster.

use callboard_core::metadata::{Image, MetadataRecord};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// The one log of metadata: redb on a single node, openraft in a cluster, a model in the simulator.
pub trait MetadataLog: Send + Sync + 'static {
    /// Proposes one batch of records: one entry, all or nothing.
    fn propose(&self, term: u64, records: Vec<MetadataRecord>) -> BoxFuture<'static, ProposeResult>;
    /// Committed batches in order, beginning with a snapshot. Called once.
    fn committed(&self) -> mpsc::UnboundedReceiver<Committed>;
    /// Whether this node may propose.
    fn role(&self) -> watch::Receiver<MetadataRole>;
}

/// How a proposal ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProposeResult {
    /// Committed at this index.
    Committed(u64),
    /// This node does not lead the log.
    NotLeader,
    /// It may or may not be committed: ask the image.
    Unknown(String),
}

/// What the log hands out.
#[derive(Clone, Debug)]
pub enum Committed {
    /// Everything up to an index.
    Snapshot {
        /// All of it.
        image: Arc<Image>,
        /// Its index.
        index: u64,
    },
    /// One more batch.
    Batch {
        /// Its index.
        index: u64,
        /// Its records.
        records: Arc<Vec<MetadataRecord>>,
    },
}

/// This node's part in the metadata log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataRole {
    /// It may propose in this term.
    Leader {
        /// The term.
        term: u64,
    },
    /// Another node may.
    Follower {
        /// Which, if known.
        leader: Option<i32>,
    },
}
