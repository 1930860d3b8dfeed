//! The actor that forms the cluster, or joins it: the shell round `BootstrapMachine`.
//!
//! ```text
//!   other nodes ── Probed · GrantAsked ──> machine (core/bootstrap) ──> Forming: store · probe · grant · Raft · listeners
//!                                             └──> FormingView: what the transport, /ready and the operator see
//! ```
//! The machine repeats its words to the operator each round; the actor logs a word when it is new, and every ten seconds
//! while it stays. It decides nothing about clusters.

use crate::clock::Clock;
use crate::metrics;
use crate::reply::{Reply, Unavailable};
use crate::shell::{Perform, Shell};
use crate::tickets::Tickets;
use arc_swap::ArcSwap;
use callboard_core::bootstrap::{
    BootstrapMachine, ClusterId, Effect, Grant, GrantAnswer, Identity, Input, JoinOutcome, ProbeReply, Seat,
    Word,
};
use callboard_core::{BrokerId, NodeUuid};
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Time between two log lines of the same word.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// The outside that a forming node needs. The composition root implements it over store, transport and Raft.
pub trait Forming: Send + Sync + 'static {
    /// Writes the identity and syncs it.
    fn store(&self, identity: Identity) -> BoxFuture<'static, Result<(), String>>;
    /// Asks the node at this address who it is.
    fn probe(&self, seed: String) -> BoxFuture<'static, Option<ProbeReply>>;
    /// Asks the node at this address, which must prove this uuid, for its promise.
    fn ask_grant(
        &self,
        seed: String,
        uuid: NodeUuid,
        grant: Grant,
    ) -> BoxFuture<'static, Option<GrantAnswer>>;
    /// Opens Raft under this id. The same call again changes nothing.
    fn run_raft(&self, cluster: ClusterId, node: BrokerId);
    /// Begins the Raft group with these nodes, unless the log holds something.
    fn initialise(&self, cluster: ClusterId, voters: Vec<Seat>, learners: Vec<Seat>);
    /// Asks a member of the cluster to take this node.
    fn join(&self, cluster: ClusterId, seeds: Vec<String>) -> BoxFuture<'static, JoinOutcome>;
    /// Takes Kafka clients from now on: the node is a member and unfenced.
    fn open_listeners(&self);
    /// Ends the process with these words.
    fn stop(&self, why: String);
}

/// A message to the actor.
#[derive(Debug)]
pub enum FormingMsg {
    Stored(Result<(), String>),
    ProbeAnswered(String, Box<ProbeReply>),
    /// Another node asks who this one is.
    Probed(Reply<Option<Box<ProbeReply>>>),
    /// A founder asks for this node's promise. The connection proved its uuid.
    GrantAsked(NodeUuid, Box<Grant>, Reply<Option<GrantAnswer>>),
    GrantAnswered {
        from: NodeUuid,
        round: u64,
        answer: GrantAnswer,
    },
    /// A member of this cluster dialled this node.
    Contacted(ClusterId),
    /// The first entry is in this node's Raft log.
    RaftHolds,
    /// This node applied the record `Cluster`.
    Committed(ClusterId),
    JoinAnswered(ClusterId, JoinOutcome),
    /// The image shows this life of the node unfenced.
    Unfenced,
    /// A deadline may have passed.
    Tick,
}

impl Unavailable for Option<Box<ProbeReply>> {
    fn unavailable() -> Self {
        None
    }
}

impl Unavailable for Option<GrantAnswer> {
    fn unavailable() -> Self {
        None
    }
}

/// A forming node's state, which others read without asking the actor.
#[derive(Clone, Debug)]
pub struct FormingView {
    /// As it is on disk.
    pub identity: Identity,
    /// The start is on disk, so packets may leave (R16).
    pub begun: bool,
    /// The reasons why the node does not serve yet.
    pub words: Vec<Word>,
    /// Kafka clients are taken; `/ready` no longer waits for other nodes.
    pub serving: bool,
}

impl FormingView {
    /// The view of a node that has stored nothing of this start yet.
    #[must_use]
    pub fn of(identity: Identity) -> FormingView {
        FormingView { identity, begun: false, words: Vec::new(), serving: false }
    }
}

/// Everything that the actor starts with.
pub struct FormingArgs {
    pub machine: BootstrapMachine,
    pub outside: Arc<dyn Forming>,
    pub clock: Arc<dyn Clock>,
    pub view: Arc<ArcSwap<FormingView>>,
    /// Becomes true when the start is on disk.
    pub begun: watch::Sender<bool>,
}

enum Asked {
    Probe(Reply<Option<Box<ProbeReply>>>),
    Grant(Reply<Option<GrantAnswer>>),
}

/// Performs the machine's effects.
pub struct FormingIo {
    me: ActorRef<FormingMsg>,
    outside: Arc<dyn Forming>,
    asked: Tickets<Asked>,
    /// Words of the present round, each with the time of its last line.
    said: BTreeMap<Word, Instant>,
    words: Vec<Word>,
    serving: bool,
    begun: bool,
}

impl FormingIo {
    fn say(&mut self, word: Word, alarm: bool) {
        let now = Instant::now();
        let due = self.said.get(&word).is_none_or(|last| now.duration_since(*last) >= SAY_AGAIN);
        if due {
            metrics::waits();
            if alarm {
                tracing::error!("{word}");
            } else {
                tracing::warn!("waiting: {word}");
            }
            self.said.insert(word.clone(), now);
        }
        if !alarm {
            self.words.push(word);
        }
    }

    /// Sends the answer of a question to this actor.
    fn later<T: Send + 'static>(
        &self,
        answer: BoxFuture<'static, T>,
        message: impl FnOnce(T) -> Option<FormingMsg> + Send + 'static,
    ) {
        let me = self.me.clone();
        tokio::spawn(async move {
            if let Some(message) = message(answer.await) {
                let _ = me.cast(message);
            }
        });
    }
}

impl Perform<Effect> for FormingIo {
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Store(identity) => {
                self.later(self.outside.store(identity), |stored| Some(FormingMsg::Stored(stored)));
            }
            Effect::Probe(seed) => {
                let answer = self.outside.probe(seed.clone());
                self.later(answer, |reply| Some(FormingMsg::ProbeAnswered(seed, Box::new(reply?))));
            }
            Effect::AnswerProbe(ticket, reply) => {
                if let Some(Asked::Probe(to)) = self.asked.take(ticket) {
                    to.send(Some(reply));
                }
            }
            Effect::AskGrant { seed, uuid, grant } => {
                let round = grant.round;
                self.later(self.outside.ask_grant(seed, uuid, grant), move |answer| {
                    Some(FormingMsg::GrantAnswered { from: uuid, round, answer: answer? })
                });
            }
            Effect::AnswerGrant { ticket, answer, .. } => {
                if let Some(Asked::Grant(to)) = self.asked.take(ticket) {
                    to.send(Some(answer));
                }
            }
            Effect::RunRaft { cluster, node } => self.outside.run_raft(cluster, node),
            Effect::InitialiseRaft { cluster, voters, learners } => {
                self.outside.initialise(cluster, voters, learners);
            }
            Effect::Join { cluster, seeds } => {
                let answer = self.outside.join(cluster.clone(), seeds);
                self.later(answer, |outcome| Some(FormingMsg::JoinAnswered(cluster, outcome)));
            }
            Effect::OpenListeners => {
                self.serving = true;
                self.outside.open_listeners();
            }
            Effect::Say(word) => self.say(word, false),
            Effect::Alarm(word) => self.say(word, true),
            Effect::Stop(word) => self.outside.stop(word.to_string()),
        }
    }
}

/// The actor that forms the cluster. Its state is [`FormingState`].
pub struct FormingActor;

/// The machine in its shell, and its view.
pub struct FormingState {
    shell: Shell<BootstrapMachine, FormingIo>,
    view: Arc<ArcSwap<FormingView>>,
    begun: watch::Sender<bool>,
}

impl Actor for FormingActor {
    type Msg = FormingMsg;
    type State = FormingState;
    type Arguments = FormingArgs;

    async fn pre_start(
        &self,
        me: ActorRef<FormingMsg>,
        args: FormingArgs,
    ) -> Result<FormingState, ActorProcessingErr> {
        let io = FormingIo {
            me: me.clone(),
            outside: args.outside,
            asked: Tickets::default(),
            said: BTreeMap::new(),
            words: Vec::new(),
            serving: false,
            begun: false,
        };
        let shell = Shell::new(args.machine, io, args.clock);
        let mut state = FormingState { shell, view: args.view, begun: args.begun };
        state.shell.step(Input::Started);
        state.shell.rearm(&me, || FormingMsg::Tick);
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<FormingMsg>,
        message: FormingMsg,
        state: &mut FormingState,
    ) -> Result<(), ActorProcessingErr> {
        let writes = state.shell.machine().is_writing();
        let io = &mut state.shell.io;
        let input = match message {
            // The founder asks again; a dropped reply says so at once.
            FormingMsg::GrantAsked(..) if writes => return Ok(()),
            FormingMsg::Stored(Ok(())) => {
                io.begun = true;
                Input::Stored
            }
            FormingMsg::Stored(Err(why)) => {
                return Err(format!("the identity could not be stored: {why}").into());
            }
            FormingMsg::ProbeAnswered(seed, reply) => Input::ProbeAnswered { seed, reply },
            FormingMsg::Probed(reply) => Input::Probed(io.asked.keep(Asked::Probe(reply))),
            FormingMsg::GrantAsked(from, grant, reply) => {
                Input::GrantAsked { ticket: io.asked.keep(Asked::Grant(reply)), from, grant: *grant }
            }
            FormingMsg::GrantAnswered { from, round, answer } => Input::GrantAnswered { from, round, answer },
            FormingMsg::Contacted(cluster) => Input::Contacted(cluster),
            FormingMsg::RaftHolds => Input::RaftHolds,
            FormingMsg::Committed(cluster) => Input::Committed(cluster),
            FormingMsg::JoinAnswered(cluster, outcome) => Input::JoinAnswered { cluster, outcome },
            FormingMsg::Unfenced => Input::Unfenced,
            FormingMsg::Tick => {
                io.words.clear();
                Input::Tick
            }
        };
        state.shell.step(input);
        state.show();
        state.shell.rearm(&me, || FormingMsg::Tick);
        Ok(())
    }
}

impl FormingState {
    fn show(&self) {
        let io = &self.shell.io;
        let identity = self.shell.machine().identity();
        let now = self.view.load();
        if now.identity != *identity
            || now.begun != io.begun
            || now.serving != io.serving
            || now.words != io.words
        {
            self.view.store(Arc::new(FormingView {
                identity: identity.clone(),
                begun: io.begun,
                words: io.words.clone(),
                serving: io.serving,
            }));
        }
        self.begun.send_if_modified(|begun| !std::mem::replace(begun, io.begun) && io.begun);
    }
}
