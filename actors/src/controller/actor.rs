//! The controller's actor: `callboard_core::metadata::ControllerMachine` over the `MetadataLog` port.

use crate::clock::Clock;
use crate::images::Images;
use crate::ports::{Committed, MetadataLog, MetadataRole, ProposeResult};
use crate::reply::{Answer, Reply, Unavailable};
use crate::shell::{Perform, Shell};
use callboard_core::metadata::controller::{Effect, Input, Reply as Said};
use callboard_core::metadata::{
    Alteration, ControllerMachine, MorePartitions, NewTopic, Refusal, TopicDefaults, TopicRef,
};
use callboard_core::{BrokerId, ErrorCode, Ticket, TopicId};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::HashMap;
use std::sync::Arc;

impl Unavailable for Said {
    fn unavailable() -> Said {
        let message = "the controller is not available: ask again".to_owned();
        Said::Failed(Refusal { code: ErrorCode::NotController, message })
    }
}

/// What is asked of the controller.
#[derive(Debug)]
pub enum Ask {
    /// This node's process starts.
    Register {
        /// Its id.
        broker_id: BrokerId,
        /// A cluster id, if there is none yet.
        cluster_id: String,
        /// Host that clients are told.
        host: String,
        /// Port that clients are told.
        port: u16,
        /// Its rack.
        rack: Option<String>,
    },
    /// Topics are to be made.
    CreateTopics {
        /// Which.
        topics: Vec<NewTopic>,
        /// Only check.
        validate_only: bool,
    },
    /// Topics are to go.
    DeleteTopics(Vec<TopicRef>),
    /// Topics are to have more partitions.
    CreatePartitions {
        /// Which.
        topics: Vec<MorePartitions>,
        /// Only check.
        validate_only: bool,
    },
    /// Configs are to change.
    AlterConfigs {
        /// The broker that was asked.
        broker_id: BrokerId,
        /// Whose, and how.
        alterations: Vec<Alteration>,
        /// Only check.
        validate_only: bool,
    },
    /// A block of producer ids.
    ProducerIds,
    /// Replicas were opened.
    Opened(BrokerId, Vec<(TopicId, i32)>),
}

/// What the controller is told.
#[derive(Debug)]
pub enum ControllerMsg {
    /// Somebody asks.
    Ask(Ask, Reply<Said>),
    /// The log has committed.
    Committed(Committed),
    /// The log's leadership.
    Role(MetadataRole),
    /// A proposal was not committed.
    Failed(Ticket, String),
}

/// Where to ask.
#[derive(Clone)]
pub struct ControllerHandle {
    actor: ActorRef<ControllerMsg>,
}

impl ControllerHandle {
    /// To this actor.
    #[must_use]
    pub fn new(actor: ActorRef<ControllerMsg>) -> ControllerHandle {
        ControllerHandle { actor }
    }

    /// Asks.
    #[must_use]
    pub fn ask(&self, ask: Ask) -> Answer<Said> {
        let (reply, answer) = Reply::new();
        let _ = self.actor.cast(ControllerMsg::Ask(ask, reply));
        answer
    }
}

/// What a controller starts with.
pub struct ControllerArgs {
    /// The log.
    pub log: Arc<dyn MetadataLog>,
    /// Where to show images.
    pub images: Arc<Images>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Defaults of new topics.
    pub defaults: TopicDefaults,
}

/// The actor.
pub struct ControllerActor;

/// Its state.
pub struct ControllerState {
    shell: Shell<ControllerMachine, ControllerIo>,
    next_ticket: u64,
}

struct ControllerIo {
    me: ActorRef<ControllerMsg>,
    log: Arc<dyn MetadataLog>,
    images: Arc<Images>,
    replies: HashMap<Ticket, Reply<Said>>,
}

impl Perform<Effect> for ControllerIo {
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Propose { ticket, term, records } => {
                let (proposed, me) = (self.log.propose(term, records), self.me.clone());
                tokio::spawn(async move {
                    let why = match proposed.await {
                        ProposeResult::Committed(_) => return,
                        ProposeResult::NotLeader => "this node is not the controller any more".to_owned(),
                        ProposeResult::Unknown(why) => why,
                    };
                    let _ = me.cast(ControllerMsg::Failed(ticket, why));
                });
            }
            Effect::Publish(image) => self.images.publish(image),
            Effect::Answer(ticket, said) => {
                if let Some(reply) = self.replies.remove(&ticket) {
                    reply.send(said);
                }
            }
        }
    }
}

impl Actor for ControllerActor {
    type Msg = ControllerMsg;
    type State = ControllerState;
    type Arguments = ControllerArgs;

    async fn pre_start(
        &self,
        me: ActorRef<ControllerMsg>,
        args: ControllerArgs,
    ) -> Result<ControllerState, ActorProcessingErr> {
        let mut committed = args.log.committed();
        let mut role = args.log.role();
        let to = me.clone();
        let said = *role.borrow_and_update();
        to.cast(ControllerMsg::Role(said))?;
        tokio::spawn(async move {
            // Ends when the log or the actor does.
            loop {
                let message = tokio::select! {
                    next = committed.recv() => match next {
                        Some(next) => ControllerMsg::Committed(next),
                        None => return,
                    },
                    changed = role.changed() => match changed {
                        Ok(()) => ControllerMsg::Role(*role.borrow_and_update()),
                        Err(_) => return,
                    },
                };
                if to.cast(message).is_err() {
                    return;
                }
            }
        });
        let io = ControllerIo { me, log: args.log, images: args.images, replies: HashMap::new() };
        let machine = ControllerMachine::new(args.defaults);
        Ok(ControllerState { shell: Shell::new(machine, io, args.clock), next_ticket: 0 })
    }

    async fn handle(
        &self,
        _me: ActorRef<ControllerMsg>,
        message: ControllerMsg,
        state: &mut ControllerState,
    ) -> Result<(), ActorProcessingErr> {
        let input = match message {
            ControllerMsg::Ask(ask, reply) => state.input_of(ask, reply),
            ControllerMsg::Committed(Committed::Snapshot { image, .. }) => Input::Snapshot(image),
            ControllerMsg::Committed(Committed::Batch { index, records }) => {
                Input::Committed { index, records }
            }
            ControllerMsg::Role(MetadataRole::Leader { term }) => Input::Role(Some(term)),
            ControllerMsg::Role(MetadataRole::Follower { .. }) => Input::Role(None),
            ControllerMsg::Failed(ticket, why) => Input::ProposalFailed { ticket, why },
        };
        state.shell.step(input);
        Ok(())
    }
}

impl ControllerState {
    fn input_of(&mut self, ask: Ask, reply: Reply<Said>) -> Input {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.shell.io.replies.insert(ticket, reply);
        match ask {
            Ask::Register { broker_id, cluster_id, host, port, rack } => {
                Input::Register { ticket, broker_id, cluster_id, host, port, rack }
            }
            Ask::CreateTopics { topics, validate_only } => {
                Input::CreateTopics { ticket, topics, validate_only }
            }
            Ask::DeleteTopics(topics) => Input::DeleteTopics { ticket, topics },
            Ask::CreatePartitions { topics, validate_only } => {
                Input::CreatePartitions { ticket, topics, validate_only }
            }
            Ask::AlterConfigs { broker_id, alterations, validate_only } => {
                Input::AlterConfigs { ticket, broker_id, alterations, validate_only }
            }
            Ask::ProducerIds => Input::ProducerIds { ticket },
            Ask::Opened(broker_id, replicas) => Input::Opened { ticket, broker_id, replicas },
        }
    }
}
