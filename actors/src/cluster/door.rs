//! The way into this node's controller and judge, for its own router and for other nodes.
//!
//! The door exists before the actors behind it, because the transport may bring questions at any time. Until they are
//! there it says so. It checks that a node speaks for itself alone, and decides nothing else.

use super::messages::SessionsMsg;
use crate::controller::ControllerMsg;
use crate::images::Images;
use crate::ports::Majority;
use crate::proposer::ProposerMsg;
use crate::reply::Reply;
use bytes::Bytes;
use callboard_core::BrokerId;
use callboard_core::metadata::Leadership;
use callboard_core::metadata::controller::{Ask, Reply as Said};
use callboard_core::sessions::{Heard, Heartbeat};
use ractor::ActorRef;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// Time that a config change waits for nodes that do not say that they know it.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);

/// The actors that others ask, and the leadership that this node knows.
pub struct Door {
    controller: OnceLock<ActorRef<ControllerMsg>>,
    sessions: OnceLock<ActorRef<SessionsMsg>>,
    proposer: OnceLock<ActorRef<ProposerMsg>>,
    images: OnceLock<Arc<Images>>,
    majority: OnceLock<Arc<dyn Majority>>,
    /// This life of the node is registered, so what the log brings is news and no replay.
    live: AtomicBool,
    lead: watch::Sender<Option<Leadership>>,
    /// How far each node has applied the metadata log, by its last heartbeat here.
    applied: watch::Sender<BTreeMap<BrokerId, u64>>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("lead", &*self.lead.borrow()).finish_non_exhaustive()
    }
}

impl Default for Door {
    fn default() -> Door {
        Door {
            controller: OnceLock::new(),
            sessions: OnceLock::new(),
            proposer: OnceLock::new(),
            images: OnceLock::new(),
            majority: OnceLock::new(),
            live: AtomicBool::new(false),
            lead: watch::Sender::new(None),
            applied: watch::Sender::default(),
        }
    }
}

impl Door {
    /// Names the actors that hear of images and leaderships, before the controller can tell them any.
    pub(crate) fn hearers(
        &self,
        sessions: ActorRef<SessionsMsg>,
        proposer: ActorRef<ProposerMsg>,
        images: Arc<Images>,
        majority: Arc<dyn Majority>,
    ) {
        let _ = self.images.set(images);
        let _ = self.majority.set(majority);
        let _ = self.sessions.set(sessions);
        let _ = self.proposer.set(proposer);
    }

    /// Opens the door to the controller, once.
    pub(crate) fn open(&self, controller: ActorRef<ControllerMsg>) {
        let _ = self.controller.set(controller);
    }

    /// The leadership of the metadata log, as far as this node knows.
    #[must_use]
    pub fn lead(&self) -> watch::Receiver<Option<Leadership>> {
        self.lead.subscribe()
    }

    /// This life of the node is registered.
    pub(crate) fn registered(&self) {
        self.live.store(true, Ordering::Release);
    }

    /// Whether the log brings news. A start replays what happened before it.
    pub(crate) fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }

    /// Tells everything behind the door of a new leadership, in the order of the log.
    pub(crate) fn leads(&self, leadership: Leadership) {
        if self.is_live() {
            tracing::info!(
                "controller: node {} leads the metadata log, term {}",
                leadership.node,
                leadership.term
            );
        }
        self.tell(SessionsMsg::Lead(leadership));
        if let Some(proposer) = self.proposer.get() {
            let _ = proposer.cast(ProposerMsg::Lead(leadership));
        }
        self.lead.send_replace(Some(leadership));
    }

    /// Tells the judge of sessions something.
    pub fn tell(&self, message: SessionsMsg) {
        if let SessionsMsg::Heartbeat(heartbeat) = &message {
            let (node, applied) = (heartbeat.from.broker, heartbeat.applied);
            self.applied.send_if_modified(|all| {
                let before = all.insert(node, applied);
                before != Some(applied)
            });
        }
        if let Some(sessions) = self.sessions.get() {
            let _ = sessions.cast(message);
        }
    }

    pub(crate) fn controller(&self) -> Option<&ActorRef<ControllerMsg>> {
        self.controller.get()
    }

    /// Asks this node's controller, and waits for the answer. A config change is answered when the nodes know it.
    pub async fn ask(&self, ask: Ask) -> Said {
        let configures = matches!(&ask, Ask::AlterConfigs { validate_only: false, .. });
        let (reply, answer) = Reply::new();
        if let Some(controller) = self.controller.get() {
            let _ = controller.cast(ControllerMsg::Ask(ask, reply));
        }
        let said = answer.get().await;
        if let (true, Said::Altered(_, index)) = (configures, &said) {
            let _ = timeout(KNOWN_WITHIN, self.known(*index)).await;
        }
        said
    }

    /// Waits until the heartbeats of all unfenced nodes show this index.
    async fn known(&self, index: u64) {
        let Some(images) = self.images.get() else { return };
        let mut applied = self.applied.subscribe();
        let all = |applied: &BTreeMap<BrokerId, u64>| {
            let image = images.current();
            let mut unfenced = image.brokers.values().filter(|broker| !broker.fenced);
            unfenced.all(|broker| applied.get(&broker.id).is_some_and(|at| *at >= index))
        };
        let _ = applied.wait_for(all).await;
    }

    /// Answers a question of another node.
    pub async fn serve_ask(&self, from: Option<BrokerId>, question: &[u8]) -> Result<Bytes, String> {
        let ask: Ask = serde_json::from_slice(question).map_err(|e| format!("no question: {e}"))?;
        if let Some(named) = speaker(&ask).into_iter().find(|named| Some(*named) != from) {
            return Err(format!("the question speaks for node {named}, and another node asks it"));
        }
        let said = self.ask(ask).await;
        serde_json::to_vec(&said).map(Bytes::from).map_err(|e| e.to_string())
    }

    /// Takes a heartbeat of another node.
    pub fn serve_heartbeat(&self, from: Option<BrokerId>, words: &[u8]) -> Result<Bytes, String> {
        let heartbeat: Heartbeat = serde_json::from_slice(words).map_err(|e| format!("no heartbeat: {e}"))?;
        if Some(heartbeat.from.broker) != from {
            return Err(format!("a heartbeat of {} comes from another node", heartbeat.from));
        }
        self.tell(SessionsMsg::Heartbeat(heartbeat));
        let heard = self.heard().ok_or("no majority of the voters takes this node for the controller's")?;
        serde_json::to_vec(&heard).map(Bytes::from).map_err(|e| e.to_string())
    }

    /// The answer to a heartbeat; none while this node does not lead the metadata log.
    pub(crate) fn heard(&self) -> Option<Heard> {
        let majority_ms = self.majority.get()?.answered_ms()?;
        let applied = self.images.get()?.current().applied;
        Some(Heard { majority_ms, applied })
    }
}

/// The nodes in whose name a question speaks.
fn speaker(ask: &Ask) -> Vec<BrokerId> {
    match ask {
        Ask::Register { node, .. } => vec![node.broker],
        Ask::Opened(replicas) => replicas.iter().map(|(_, opened)| opened.broker).collect(),
        Ask::AlterIsr { from, .. } | Ask::RenewEpochs { from, .. } => vec![from.broker],
        Ask::Found { .. }
        | Ask::CreateTopics { .. }
        | Ask::DeleteTopics(_)
        | Ask::CreatePartitions { .. }
        | Ask::AlterConfigs { .. }
        | Ask::ElectLeaders { .. }
        | Ask::ProducerIds => Vec::new(),
    }
}
