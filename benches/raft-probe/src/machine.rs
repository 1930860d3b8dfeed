//! The state machine: in memory, rebuilt at start from the snapshot row and a replay of the log.
//!
//! It remembers which number was applied at which index, and every empty entry, so the driver can compare
//! all nodes entry by entry. A leadership is announced when its empty entry is applied (R35).

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{Stream, StreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    storage::{EntryResponder, RaftStateMachine},
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    store::SnapshotStore,
    types::{Lead, LogId, Membership, Reply, Snapshot, SnapshotMeta, TypeConfig},
};

/// Everything that was applied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub applied: Option<LogId>,
    pub membership: Membership,
    /// (index, number)
    pub entries: Vec<(u64, u64)>,
    /// (index, term, node) of the empty entries
    pub leads: Vec<(u64, u64, u64)>,
}

/// Shared with the process, which reads it for the driver.
#[derive(Clone, Default)]
pub struct Applied(Arc<Mutex<State>>);

impl Applied {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct Machine {
    state: Applied,
    snapshots: SnapshotStore,
    leads: UnboundedSender<Lead>,
}

impl Machine {
    /// `leads` hears of every empty entry, replayed ones too.
    pub fn new(snapshots: SnapshotStore, leads: UnboundedSender<Lead>) -> Self {
        Self { state: Applied::default(), snapshots, leads }
    }

    pub fn applied(&self) -> Applied {
        self.state.clone()
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = String;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), io::Error> {
        let state = self.state.lock();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let id = entry.log_id;
            {
                let mut state = self.state.lock();
                state.applied = Some(id);
                match entry.payload {
                    EntryPayload::Blank => {
                        state.leads.push((id.index, id.leader_id.term, id.leader_id.node_id))
                    }
                    EntryPayload::Normal(cmd) => state.entries.push((id.index, cmd.seq)),
                    EntryPayload::Membership(config) => state.membership = Membership::new(Some(id), config),
                }
                if state.leads.last().is_some_and(|lead| lead.0 == id.index) {
                    // No receiver is left at the end of the process.
                    _ = self.leads.send(id.leader_id);
                }
            }
            if let Some(responder) = responder {
                responder.send(Reply { index: id.index });
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { state: self.state.lock().clone(), snapshots: self.snapshots.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, data: String) -> Result<(), io::Error> {
        let state: State = serde_json::from_str(&data).map_err(io::Error::other)?;
        self.snapshots.replace(meta, &data).await?;
        *self.state.lock() = state;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        self.snapshots.read()
    }
}

/// A copy of the state, to be written while `apply` goes on.
pub struct Builder {
    state: State,
    snapshots: SnapshotStore,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = String;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let meta =
            SnapshotMeta { last_log_id: self.state.applied, last_membership: self.state.membership.clone() };
        let data = serde_json::to_string(&self.state).map_err(io::Error::other)?;
        self.snapshots.replace(&meta, &data).await?;
        Ok(Snapshot { meta, snapshot: data })
    }
}
