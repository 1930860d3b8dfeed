//! The metadata log as a port: one order of records for the whole cluster.
//!
//! A log takes batches from the controller and hands out one stream: a snapshot, leaderships, and each committed
//! batch (`callboard_core::metadata::Committed`). Leadership travels only in that stream, because a controller that
//! learns it early decides on an old image (R35).
//!
//! redb is the log of a single node (`src/controller/single.rs`). A replicated log takes the same place in a cluster.
//! The port does not read: requests read the image that the stream adds up to.

use callboard_core::metadata::{Committed, Leadership, MetadataRecord, ProposalId, ProposeResult};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The one log of the cluster's metadata.
pub trait MetadataLog: Send + Sync + 'static {
    /// Proposes one batch of records, which is committed as a whole or not at all.
    ///
    /// A log appends the batch only while `leadership` holds. It repeats `id` in the stream when the batch is
    /// committed.
    fn propose(
        &self,
        leadership: Leadership,
        id: ProposalId,
        records: Vec<MetadataRecord>,
    ) -> BoxFuture<'static, ProposeResult>;

    /// Ends the log behind all proposals made so far. It blocks until the files are closed, and may be called twice.
    fn close(&self);
}

/// A log that was just opened: the port, and the parts for its one controller.
pub struct OpenLog {
    pub log: Arc<dyn MetadataLog>,
    /// The stream. Its first event is a snapshot.
    pub committed: mpsc::UnboundedReceiver<Committed>,
    /// The id of this process's first proposal.
    pub first: ProposalId,
}
