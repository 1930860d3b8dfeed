//! The actor that gathers what this node's leaders want of their ISRs: the shell round `IsrProposer` (R40).
//!
//! ```text
//!   ReplicaActor ── Wish ──> machine ── Ask ──> Router ──> controller
//!        ^──── IsrSaid ──────── Told <── Answered ──┘
//! ```
//! The actor finds the leader that wished through the directory. It decides nothing.

use crate::clock::Clock;
use crate::directory::Directory;
use crate::partition::ReplicaMsg;
use crate::reply::Answer;
use crate::shell::{Perform, Shell};
use callboard_core::metadata::controller::{Ask, Reply as Said};
use callboard_core::metadata::{IsrWish, Leadership};
use callboard_core::node::proposer::{Effect, Input, IsrProposer};
use callboard_core::{BrokerEpoch, BrokerId};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;

/// A message to the proposer.
#[derive(Debug)]
pub enum ProposerMsg {
    Wish(IsrWish),
    /// The leadership of the metadata log has changed, in the order of the log.
    Lead(Leadership),
    /// This process is registered under this broker epoch.
    Registered(BrokerEpoch),
    Answered(u64, Said),
    /// A deadline may have passed.
    Tick,
}

/// Sends one ask to the node of its leadership, once.
pub type AskOnce = Box<dyn Fn(Ask) -> Answer<Said> + Send + Sync>;

/// Everything that the proposer starts with.
pub struct ProposerArgs {
    pub me: BrokerId,
    pub ask: AskOnce,
    pub directory: Arc<Directory>,
    pub clock: Arc<dyn Clock>,
}

/// The proposer's actor: one for a node, so that one batch is in flight (R7).
pub struct ProposerActor;

/// Performs the proposer's effects.
pub struct ProposerIo {
    me: ActorRef<ProposerMsg>,
    ask: AskOnce,
    directory: Arc<Directory>,
}

impl Perform<Effect> for ProposerIo {
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Ask { number, ask } => {
                let (answer, me) = ((self.ask)(ask), self.me.clone());
                tokio::spawn(async move {
                    let _ = me.cast(ProposerMsg::Answered(number, answer.get().await));
                });
            }
            Effect::Told { id, partition_epoch, outcome } => {
                if let Some(handle) = self.directory.get(id) {
                    handle.tell(ReplicaMsg::IsrSaid { partition_epoch, outcome });
                }
            }
        }
    }
}

impl Actor for ProposerActor {
    type Msg = ProposerMsg;
    type State = Shell<IsrProposer, ProposerIo>;
    type Arguments = ProposerArgs;

    async fn pre_start(
        &self,
        me: ActorRef<ProposerMsg>,
        args: ProposerArgs,
    ) -> Result<Self::State, ActorProcessingErr> {
        let ProposerArgs { me: broker, ask, directory, clock } = args;
        Ok(Shell::new(IsrProposer::new(broker), ProposerIo { me, ask, directory }, clock))
    }

    async fn handle(
        &self,
        me: ActorRef<ProposerMsg>,
        message: ProposerMsg,
        shell: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        shell.step(match message {
            ProposerMsg::Wish(wish) => Input::Wish { wish },
            ProposerMsg::Lead(leadership) => Input::Leadership(Some(leadership)),
            ProposerMsg::Registered(epoch) => Input::Registered(epoch),
            ProposerMsg::Answered(number, reply) => Input::Answered { number, reply },
            ProposerMsg::Tick => Input::Tick,
        });
        shell.rearm(&me, || ProposerMsg::Tick);
        Ok(())
    }
}
