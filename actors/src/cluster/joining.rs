//! The registration of this process in a cluster: the shell round `Registering`, on the node's root actor.
//!
//! ```text
//!   Ask ──> Router ──> Said          image ──> Granted(epoch) ──> stored ──> NodeMsg::Granted ──> the node begins to serve
//! ```
//! The granted epoch is on disk before any replica acts under it (R17). The shell decides nothing.

use super::contact::ContactMsg;
use super::door::Door;
use super::ending::Ending;
use super::heartbeats::Heartbeats;
use crate::clock::Clock;
use crate::controller::ControllerHandle;
use crate::images::Images;
use crate::links::{Damaged, Unable};
use crate::messages::NodeMsg;
use crate::ports::{Calls, Majority, Replication, Shard};
use crate::proposer::ProposerMsg;
use crate::shell::{Perform, Shell};
use callboard_core::metadata::controller::Ask;
use callboard_core::node::registration::{Effect, Input, Registering};
use callboard_core::{BrokerEpoch, DirectoryId, Peer};
use futures_util::future::BoxFuture;
use ractor::ActorRef;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Stores the broker epoch that was granted to this process, and syncs it.
pub type OnGranted = Box<dyn Fn(BrokerEpoch) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;
/// Told why this process can never run as this node, or not any more.
pub type OnOver = Box<dyn Fn(String) + Send + Sync>;

/// The ways of a node to the other nodes of its cluster.
pub struct ClusterArgs {
    pub door: Arc<Door>,
    pub calls: Arc<dyn Calls>,
    pub replication: Arc<dyn Replication>,
    pub majority: Arc<dyn Majority>,
    pub on_granted: OnGranted,
    pub on_over: OnOver,
    /// Whether the node wants to end; heartbeats say so.
    pub ending: Arc<Ending>,
}

/// The parts that heartbeats are made of, until the epoch is granted.
pub(crate) struct Beating {
    pub calls: Arc<dyn Calls>,
    pub images: Arc<Images>,
    pub shards: Vec<Arc<dyn Shard>>,
    pub unable: Arc<Unable>,
    pub damaged: Arc<Damaged>,
    pub directory: Option<DirectoryId>,
    pub ending: Arc<Ending>,
    pub proposer: ActorRef<ProposerMsg>,
    pub contact: ActorRef<ContactMsg>,
    pub clock: Arc<dyn Clock>,
}

/// Performs the effects of the registration.
pub(crate) struct JoiningIo {
    pub node: ActorRef<NodeMsg>,
    pub controller: ControllerHandle,
    /// The words of this process about itself.
    pub register: Ask,
    pub door: Arc<Door>,
    pub on_granted: OnGranted,
    pub on_over: OnOver,
}

impl Perform<Effect> for JoiningIo {
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Ask => {
                let (answer, node) = (self.controller.ask(self.register.clone()), self.node.clone());
                tokio::spawn(async move {
                    let _ = node.cast(NodeMsg::Registered(answer.get().await));
                });
            }
            Effect::Granted(epoch) => {
                let (stored, node) = ((self.on_granted)(epoch), self.node.clone());
                tokio::spawn(async move {
                    let _ = node.cast(NodeMsg::Granted(epoch, stored.await));
                });
            }
            Effect::Waits(why) => tracing::warn!("waiting to register: {why}"),
            Effect::Over(why) => (self.on_over)(why),
        }
    }
}

/// The registration in its shell, and the heartbeats that begin with its end.
pub(crate) struct Joining {
    pub shell: Shell<Registering, JoiningIo>,
    pub beating: Option<Beating>,
    beats: Option<JoinHandle<()>>,
}

impl Joining {
    pub fn new(machine: Registering, io: JoiningIo, clock: Arc<dyn Clock>, beating: Beating) -> Joining {
        Joining { shell: Shell::new(machine, io, clock), beating: Some(beating), beats: None }
    }

    pub fn step(&mut self, me: &ActorRef<NodeMsg>, input: Input) {
        self.shell.step(input);
        self.shell.rearm(me, || NodeMsg::RegisterTick);
    }

    /// The granted epoch is on disk: heartbeats begin, and wishes of leaders carry it.
    pub fn granted(&mut self, from: Peer) {
        let Some(beating) = self.beating.take() else { return };
        let Beating { calls, images, shards, unable, damaged, directory, ending, proposer, contact, clock } =
            beating;
        let _ = proposer.cast(ProposerMsg::Registered(from.epoch));
        let _ = contact.cast(ContactMsg::Begin);
        let door = Arc::clone(&self.shell.io.door);
        door.registered();
        let beats = Heartbeats {
            from,
            door,
            calls,
            images,
            shards,
            unable,
            damaged,
            directory,
            ending,
            contact,
            clock,
        };
        self.beats = Some(tokio::spawn(beats.run()));
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        if let Some(beats) = self.beats.take() {
            beats.abort();
        }
    }
}
