//! The way into this node's controller and judge, for its own router and for other nodes.
//!
//! The door exists before the actors behind it, because the transport may bring questions at any time. Until they are
//! there it says so. It checks that a node speaks for itself alone, and decides nothing else.

use super::messages::SessionsMsg;
use crate::controller::ControllerMsg;
use crate::proposer::ProposerMsg;
use crate::reply::{Answer, Reply};
use bytes::Bytes;
use callboard_core::BrokerId;
use callboard_core::metadata::Leadership;
use callboard_core::metadata::controller::{Ask, Reply as Said};
use callboard_core::sessions::Heartbeat;
use ractor::ActorRef;
use std::sync::OnceLock;
use tokio::sync::watch;

/// The actors that others ask, and the leadership that this node knows.
#[derive(Debug)]
pub struct Door {
    controller: OnceLock<ActorRef<ControllerMsg>>,
    sessions: OnceLock<ActorRef<SessionsMsg>>,
    proposer: OnceLock<ActorRef<ProposerMsg>>,
    lead: watch::Sender<Option<Leadership>>,
}

impl Default for Door {
    fn default() -> Door {
        Door {
            controller: OnceLock::new(),
            sessions: OnceLock::new(),
            proposer: OnceLock::new(),
            lead: watch::Sender::new(None),
        }
    }
}

impl Door {
    /// Names the actors that hear of images and leaderships, before the controller can tell them any.
    pub(crate) fn hearers(&self, sessions: ActorRef<SessionsMsg>, proposer: ActorRef<ProposerMsg>) {
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

    /// Tells everything behind the door of a new leadership, in the order of the log.
    pub(crate) fn leads(&self, leadership: Leadership) {
        self.tell(SessionsMsg::Lead(leadership));
        if let Some(proposer) = self.proposer.get() {
            let _ = proposer.cast(ProposerMsg::Lead(leadership));
        }
        self.lead.send_replace(Some(leadership));
    }

    /// Tells the judge of sessions something.
    pub fn tell(&self, message: SessionsMsg) {
        if let Some(sessions) = self.sessions.get() {
            let _ = sessions.cast(message);
        }
    }

    pub(crate) fn controller(&self) -> Option<&ActorRef<ControllerMsg>> {
        self.controller.get()
    }

    /// Asks this node's controller.
    #[must_use]
    pub fn ask(&self, ask: Ask) -> Answer<Said> {
        let (reply, answer) = Reply::new();
        if let Some(controller) = self.controller.get() {
            let _ = controller.cast(ControllerMsg::Ask(ask, reply));
        }
        answer
    }

    /// Answers a question of another node.
    pub async fn serve_ask(&self, from: Option<BrokerId>, question: &[u8]) -> Result<Bytes, String> {
        let ask: Ask = serde_json::from_slice(question).map_err(|e| format!("no question: {e}"))?;
        if let Some(named) = speaker(&ask).into_iter().find(|named| Some(*named) != from) {
            return Err(format!("the question speaks for node {named}, and another node asks it"));
        }
        let said = self.ask(ask).get().await;
        serde_json::to_vec(&said).map(Bytes::from).map_err(|e| e.to_string())
    }

    /// Takes a heartbeat of another node.
    pub fn serve_heartbeat(&self, from: Option<BrokerId>, words: &[u8]) -> Result<Bytes, String> {
        let heartbeat: Heartbeat = serde_json::from_slice(words).map_err(|e| format!("no heartbeat: {e}"))?;
        if Some(heartbeat.from.broker) != from {
            return Err(format!("a heartbeat of {} comes from another node", heartbeat.from));
        }
        self.tell(SessionsMsg::Heartbeat(heartbeat));
        Ok(Bytes::new())
    }
}

/// The nodes in whose name a question speaks.
fn speaker(ask: &Ask) -> Vec<BrokerId> {
    match ask {
        Ask::Register { node, .. } => vec![node.broker],
        Ask::Opened(replicas) => replicas.iter().map(|(_, opened)| opened.broker).collect(),
        Ask::AlterIsr { from, .. } | Ask::RenewEpochs { from, .. } => vec![from.broker],
        Ask::CreateTopics { .. }
        | Ask::DeleteTopics(_)
        | Ask::CreatePartitions { .. }
        | Ask::AlterConfigs { .. }
        | Ask::ProducerIds => Vec::new(),
    }
}
