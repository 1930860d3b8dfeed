//! The outside of a forming node: its identity file, its questions to seeds, and the steps that the start performs for it.
//!
//! Steps that need the rest of the node (Raft, listeners, the end) go to the start as [`Step`]s, in order. The machine
//! decides; this file writes and asks.

use super::gate::PROTOCOL;
use crate::storage::{Forming as Stored, Store};
use crate::transport::Transport;
use arc_swap::ArcSwap;
use bytes::Bytes;
use callboard_actors::cluster::Forming;
use callboard_actors::ports::{Caller, Service};
use callboard_core::bootstrap::{
    ClusterId, Grant, GrantAnswer, Identity, JoinOutcome, ProbeReply, Promises, Seat, Standing,
};
use callboard_core::{BrokerId, NodeUuid};
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Time for a probe. The next one follows after half a second.
const PROBE: Duration = Duration::from_secs(1);
/// Time for a grant, which waits for a disk.
const GRANT: Duration = Duration::from_secs(3);

/// A step that the start performs.
#[derive(Debug)]
pub(super) enum Step {
    RunRaft { node: BrokerId },
    Initialise { voters: Vec<BrokerId>, learners: Vec<BrokerId> },
    OpenListeners,
    Stop(String),
}

/// See the head of this file.
pub(super) struct Outside {
    pub store: Arc<Store>,
    /// None until the transport has started.
    pub transport: watch::Receiver<Option<Arc<Transport>>>,
    pub seats: Arc<ArcSwap<Vec<Seat>>>,
    pub steps: mpsc::UnboundedSender<Step>,
}

impl Outside {
    fn step(&self, step: Step) {
        let _ = self.steps.send(step);
    }
}

/// The seats of the grant that an identity holds.
fn granted(identity: &Identity) -> Option<&Vec<Seat>> {
    match &identity.standing {
        Standing::Virgin(Promises { grant: Some(grant), .. }) => Some(&grant.seats),
        _ => None,
    }
}

async fn ask<T: DeserializeOwned>(
    mut transport: watch::Receiver<Option<Arc<Transport>>>,
    (seed, uuid): (String, Option<NodeUuid>),
    (service, question, within): (Service, Bytes, Duration),
) -> Option<(Caller, T)> {
    let transport = transport.wait_for(Option::is_some).await.ok()?.clone()?;
    match transport.call_at(&seed, uuid, service, question, within).await {
        Ok((from, answer)) => Some((from, serde_json::from_slice(&answer).ok()?)),
        Err(error) => {
            tracing::debug!(seed, ?service, "{error}");
            None
        }
    }
}

impl Forming for Outside {
    fn store(&self, identity: Identity) -> BoxFuture<'static, Result<(), String>> {
        let (store, seats) = (Arc::clone(&self.store), Arc::clone(&self.seats));
        Box::pin(async move {
            let new = granted(&identity).cloned();
            let written = tokio::task::spawn_blocking(move || {
                store.update_identity(|stored| {
                    let before = stored.forming.take();
                    let (seats, granted) = before.map_or_else(Default::default, |b| (b.seats, b.granted));
                    if let Standing::Member { cluster, node } = &identity.standing {
                        (stored.cluster_id, stored.node_id) = (Some(cluster.0.clone()), *node);
                    }
                    let seats = self::granted(&identity).cloned().unwrap_or(seats);
                    stored.forming = Some(Stored { identity, seats, granted });
                })
            });
            match written.await {
                Ok(Ok(())) => {
                    if let Some(new) = new {
                        seats.store(Arc::new(new));
                    }
                    Ok(())
                }
                Ok(Err(error)) => Err(error.to_string()),
                Err(error) => Err(error.to_string()),
            }
        })
    }

    fn probe(&self, seed: String) -> BoxFuture<'static, Option<ProbeReply>> {
        let transport = self.transport.clone();
        Box::pin(async move {
            let asked = (Service::Probe, Bytes::new(), PROBE);
            let (from, reply): (Caller, ProbeReply) = ask(transport, (seed, None), asked).await?;
            // The connection proved uuid and key, so a reply that names others is no node's own word.
            (reply.uuid == from.uuid && reply.key_hash == from.key_hash && reply.version == PROTOCOL)
                .then_some(reply)
        })
    }

    fn ask_grant(
        &self,
        seed: String,
        uuid: NodeUuid,
        grant: Grant,
    ) -> BoxFuture<'static, Option<GrantAnswer>> {
        let transport = self.transport.clone();
        Box::pin(async move {
            let question = Bytes::from(serde_json::to_vec(&grant).ok()?);
            let asked = (Service::Grant, question, GRANT);
            ask(transport, (seed, Some(uuid)), asked).await.map(|(_, answer)| answer)
        })
    }

    fn run_raft(&self, _cluster: ClusterId, node: BrokerId) {
        self.step(Step::RunRaft { node });
    }

    fn initialise(&self, _cluster: ClusterId, voters: Vec<Seat>, learners: Vec<Seat>) {
        let places = |seats: Vec<Seat>| seats.into_iter().map(|seat| seat.place).collect();
        self.step(Step::Initialise { voters: places(voters), learners: places(learners) });
    }

    fn join(&self, _cluster: ClusterId, _seeds: Vec<String>) -> BoxFuture<'static, JoinOutcome> {
        // A node beyond the founding seeds joins with a later release; until then it waits and says so.
        Box::pin(std::future::ready(JoinOutcome::Later))
    }

    fn open_listeners(&self) {
        self.step(Step::OpenListeners);
    }

    fn stop(&self, why: String) {
        self.step(Step::Stop(why));
    }
}
