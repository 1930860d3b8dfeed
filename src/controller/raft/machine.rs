//! The state machine: it turns what is committed into the ordered stream of the port.
//!
//! ```text
//!   start:    Snapshot (the stored image or an empty one), Lead of its last entry
//!   apply:    Blank ─> Lead    Normal ─> Batch    Membership ─> nothing
//!   install:  Snapshot, Lead of its last entry
//! ```
//! The image lives in memory, built by the same `Image::apply_batch` as everywhere. A start replays the log from the
//! snapshot, so nothing is stored when an entry is applied.
//!
//! **Leaderships (R35).** A leader's first entry is its own empty one, and its log id names (term, node). Every node
//! announces each of them as `Lead` when it is applied, in the order of the log. All that earlier leaderships committed
//! stands before it. A snapshot hides the empty entries that it covers. But its last entry belongs to some leadership, whose
//! empty entry it covers too; so that leadership follows the snapshot.
//!
//! A `Lead` that names this node makes its controller decide, so it must not come from a former life: a restart replays
//! old empty entries, and nothing orders openraft's metrics with `apply`. The log's own vote decides instead. openraft
//! saves the committed vote (term, me), awaits it, and appends the empty entry of that term only then; with leader
//! restore off, it saves one only after winning. Any later vote is saved before this node obeys it.
//!
//! So an empty entry of mine leads exactly if the newest vote that *this process* saved is the committed vote of that
//! very leadership (`Leading`). Entries of a former life never match, because a new life wins only with a higher term.
//! Where this node lost the leadership before its empty entry was applied, its announcement is left out; the next
//! leader's follows.
//!
//! A leadership that ends later is not announced by itself. Proposals then end as refused or unknown, and the next
//! leader's empty entry ends them all.

use super::store::{Leading, SnapshotStore, Stored};
use super::types::{Batch, Lead, LogId, Membership, Snapshot, SnapshotMeta, TypeConfig, leadership};
use callboard_core::BrokerId;
use callboard_core::metadata::{Committed, Image};
use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

/// openraft over this state machine.
pub type Raft = openraft::Raft<TypeConfig, Machine>;

/// The image of all that was applied, and the stream that tells it.
pub struct Machine {
    me: BrokerId,
    applied: Option<LogId>,
    membership: Membership,
    image: Arc<Image>,
    snapshots: SnapshotStore,
    leading: Leading,
    stream: UnboundedSender<Committed>,
}

impl Machine {
    /// The state of a node's snapshot, with which the stream begins.
    pub fn new(
        me: BrokerId,
        snapshot: Option<Stored>,
        snapshots: SnapshotStore,
        leading: Leading,
        stream: UnboundedSender<Committed>,
    ) -> Machine {
        let (meta, image) = snapshot.map(|stored| (stored.meta, stored.image)).unwrap_or_default();
        let mut machine = Machine {
            me,
            applied: None,
            membership: Membership::default(),
            image: Arc::default(),
            snapshots,
            leading,
            stream,
        };
        machine.begin(&meta, image);
        machine
    }

    /// Takes a snapshot in place of everything.
    fn begin(&mut self, meta: &SnapshotMeta, image: Arc<Image>) {
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.image = Arc::clone(&image);
        let index = meta.last_log_id.map_or(0, |id| id.index);
        self.say(Committed::Snapshot { image, index });
        if let Some(id) = meta.last_log_id {
            self.announce(id.leader_id);
        }
    }

    fn announce(&self, lead: Lead) {
        let named = leadership(lead);
        // Term 0 is that of the founding entry, which no leader wrote.
        if lead.term > 0 && (named.node != self.me || self.leading.is(lead)) {
            self.say(Committed::Lead(named));
        }
    }

    fn add(&mut self, index: u64, Batch { id, records }: Batch) {
        Arc::make_mut(&mut self.image).apply_batch(index, &records);
        // The id tells whose it is. No other life of a node has the same numbers.
        self.say(Committed::Batch { index, proposal: Some(id), records });
    }

    fn say(&self, event: Committed) {
        // No receiver is left at the end of the process.
        let _ = self.stream.send(event);
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = Arc<Image>;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let id = entry.log_id;
            self.applied = Some(id);
            match entry.payload {
                EntryPayload::Blank => self.announce(id.leader_id),
                EntryPayload::Normal(batch) => self.add(id.index, batch),
                EntryPayload::Membership(voters) => self.membership = Membership::new(Some(id), voters),
            }
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let meta = SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() };
        Builder { meta, image: Arc::clone(&self.image), snapshots: self.snapshots.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, image: Arc<Image>) -> Result<(), io::Error> {
        self.snapshots.install(meta, &image).await?;
        self.begin(meta, image);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let stored = self.snapshots.read().await?;
        Ok(stored.map(|Stored { meta, image }| Snapshot { meta, snapshot: image }))
    }
}

/// The image of one moment, to be stored while `apply` goes on.
pub struct Builder {
    meta: SnapshotMeta,
    image: Arc<Image>,
    snapshots: SnapshotStore,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Arc<Image>;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        self.snapshots.built(&self.meta, &self.image).await?;
        Ok(Snapshot { meta: self.meta.clone(), snapshot: Arc::clone(&self.image) })
    }
}
