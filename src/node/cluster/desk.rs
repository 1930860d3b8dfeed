//! The questions of other nodes, each passed to the part of this node that answers it.
//!
//! ```text
//!   Probe, Grant ──> FormingActor     Raft ──> RaftLog, for nodes that the promise or the cluster admits
//!   Ask, Heartbeat ──> Door ──> controller, judge of sessions     Served ──> this node's images
//! ```
//! A connection has proved uuid, key and secret before a question comes. The desk checks who may ask what, and reads no
//! more than the outer form of a question.

use super::spread;
use crate::controller::RaftLog;
use arc_swap::ArcSwap;
use bytes::Bytes;
use callboard_actors::cluster::{Door, FormingMsg, FormingView};
use callboard_actors::images::Images;
use callboard_actors::ports::{Caller, Serves, Service};
use callboard_actors::reply::Reply;
use callboard_core::bootstrap::Grant;
use futures_util::future::BoxFuture;
use ractor::ActorRef;
use std::sync::{Arc, OnceLock};

/// The desk of one node.
pub(super) struct Desk {
    pub view: Arc<ArcSwap<FormingView>>,
    pub door: Arc<Door>,
    pub forming: ActorRef<FormingMsg>,
    /// Set when this node takes part in Raft.
    pub raft: Arc<OnceLock<Arc<RaftLog>>>,
    pub images: Arc<Images>,
}

const NO_MEMBER: &str = "the node has no id in this cluster";

impl Serves for Desk {
    fn serve(
        &self,
        from: Caller,
        service: Service,
        question: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, String>> {
        let (door, forming) = (Arc::clone(&self.door), self.forming.clone());
        match service {
            Service::Raft => {
                let raft = self.raft(&from);
                Box::pin(async move {
                    let (raft, broker) = raft?;
                    raft.serve(broker, question).await
                })
            }
            Service::Ask => Box::pin(async move {
                from.broker.ok_or(NO_MEMBER)?;
                door.serve_ask(from.broker, &question).await
            }),
            Service::Heartbeat => Box::pin(async move {
                from.broker.ok_or(NO_MEMBER)?;
                door.serve_heartbeat(from.broker, &question)
            }),
            Service::Probe => Box::pin(async move {
                let (reply, answer) = Reply::new();
                let _ = forming.cast(FormingMsg::Probed(reply));
                let reply = answer.get().await.ok_or("this node ends")?;
                serde_json::to_vec(&reply).map(Bytes::from).map_err(|e| e.to_string())
            }),
            Service::Grant => Box::pin(async move {
                let grant: Grant = serde_json::from_slice(&question).map_err(|e| format!("no grant: {e}"))?;
                let (reply, answer) = Reply::new();
                let _ = forming.cast(FormingMsg::GrantAsked(from.uuid, Box::new(grant), reply));
                let answer = answer.get().await.ok_or("a write is in flight: ask again")?;
                serde_json::to_vec(&answer).map(Bytes::from).map_err(|e| e.to_string())
            }),
            Service::Quorum => {
                let status = self.raft.get().map(|raft| raft.status());
                Box::pin(async move {
                    let status = status.ok_or("this node's metadata log is not open yet")?;
                    serde_json::to_vec(&status).map(Bytes::from).map_err(|e| e.to_string())
                })
            }
            Service::Served => {
                let images = Arc::clone(&self.images);
                Box::pin(async move {
                    from.broker.ok_or(NO_MEMBER)?;
                    spread::answer(images, question).await
                })
            }
            Service::Join => Box::pin(async {
                Err("nodes beyond the seeds join with a later release: name every node in --seeds".to_owned())
            }),
        }
    }
}

impl Desk {
    /// Raft, if this caller may speak it with this node.
    fn raft(&self, from: &Caller) -> Result<(Arc<RaftLog>, i32), String> {
        let view = self.view.load();
        let cluster = view.identity.raft_cluster().ok_or("this node takes part in no cluster yet")?;
        if !view.begun || !view.identity.admits(cluster, from.uuid) {
            return Err(format!("node {} is no voter of cluster {cluster}", from.uuid));
        }
        let raft = self.raft.get().cloned().ok_or("this node's metadata log is not open yet")?;
        Ok((raft, from.broker.ok_or(NO_MEMBER)?))
    }
}
