//! The actor that leads a partition: `callboard_core::partition::LeaderMachine`, and the bytes and replies it names by ticket.

use super::handle::{Appending, PartitionHandle};
use super::tail::TailBudget;
use crate::clock::Clock;
use crate::metrics;
use crate::permit::Permit;
use crate::ports::{Persisted, ReadError, ReplicaSink, ReplicaState, Shard, ShardError, Submission};
use crate::reply::Reply;
use crate::shell::{Perform, Shell};
use bytes::{Bytes, BytesMut};
use callboard_core::partition::{
    ActiveProducer, Appended, Effect, Input, LeaderConfig, LeaderMachine, LeaderStart, ProducerTable,
};
use callboard_core::storage::{Durability, Entry, Retention};
use callboard_core::{LeaderEpoch, Offset, Reject, ReplicaId, Seq, Ticket, TopicPartition, records};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::HashMap;
use std::sync::Arc;

/// What a leader is told.
#[derive(Debug)]
pub enum LeaderMsg {
    /// A batch wants in.
    Append(Box<Appending>, Reply<Result<Appended, Reject>>),
    /// Entries have come this far.
    Persisted(Persisted),
    /// The shard, or this replica in it, takes no more.
    Failed(ShardError),
    /// The topic's configuration changed.
    Configure(LeaderConfig),
    /// The log start is to move up to here; −1: to the high watermark.
    Trim(Offset, bool, Reply<Result<Appended, Reject>>),
    /// The store has answered what has expired.
    Expired(Option<Offset>),
    /// Which producers does it know?
    Producers(Reply<Result<Vec<ActiveProducer>, Reject>>),
    /// The topic was deleted.
    Delete,
    /// A deadline may have passed.
    Tick,
}

/// Where a leader's log comes from.
#[derive(Debug)]
pub enum LeaderOrigin {
    /// Nowhere: the replica is opened now.
    New,
    /// From recovery, or rebuilt after a restart of the actor.
    State(Box<ReplicaState>),
}

/// Who is told that a leader is up and its replica durable.
pub type OnReady = Box<dyn Fn(Arc<PartitionHandle>) + Send + Sync>;

/// What a leader starts with.
pub struct LeaderArgs {
    /// Which partition.
    pub id: TopicPartition,
    /// In which epoch.
    pub leader_epoch: LeaderEpoch,
    /// The topic's configuration.
    pub config: LeaderConfig,
    /// Its log.
    pub origin: LeaderOrigin,
    /// Its shard.
    pub shard: Arc<dyn Shard>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The bound of all tails.
    pub tails: Arc<TailBudget>,
    /// Told once, when the replica is open and durable.
    pub on_ready: OnReady,
}

/// The actor.
pub struct LeaderActor;

/// Its state.
pub struct LeaderState {
    shell: Shell<LeaderMachine, LeaderIo>,
    next_ticket: u64,
    ready: Option<OnReady>,
}

struct Sink(ActorRef<LeaderMsg>);

impl ReplicaSink for Sink {
    fn persisted(&self, persisted: Persisted) {
        let _ = self.0.cast(LeaderMsg::Persisted(persisted));
    }

    fn failed(&self, error: ShardError) {
        let _ = self.0.cast(LeaderMsg::Failed(error));
    }
}

struct Payload {
    batch: BytesMut,
    pinned: usize,
    permit: Permit,
}

/// Performs a leader's effects.
struct LeaderIo {
    handle: Arc<PartitionHandle>,
    shard: Arc<dyn Shard>,
    replica: ReplicaId,
    me: ActorRef<LeaderMsg>,
    tails: Arc<TailBudget>,
    payloads: HashMap<Ticket, Payload>,
    replies: HashMap<Ticket, Reply<Result<Appended, Reject>>>,
}

impl LeaderIo {
    fn journal(
        &mut self,
        seq: Seq,
        entry: Entry,
        durability: Durability,
        (ticket, log_append_time): (Option<Ticket>, Option<i64>),
    ) {
        let payload = ticket.and_then(|ticket| self.payloads.remove(&ticket));
        let (bytes, permit) = match (payload, entry) {
            (Some(mut payload), Entry::Append { base, epoch }) => {
                records::patch(&mut payload.batch, base, epoch);
                if let Some(time) = log_append_time {
                    records::set_log_append_time(&mut payload.batch, time);
                }
                let bytes = payload.batch.freeze();
                let next = records::head(&bytes).map_or(base, |head| head.next_offset());
                self.tails.push(&self.handle, base, next, &bytes, payload.pinned);
                metrics::appended(bytes.len());
                (bytes, payload.permit)
            }
            _ => (Bytes::new(), Permit::free()),
        };
        let submission = Submission { replica: self.replica, seq, entry, bytes, durability, permit };
        if let Err(error) = self.shard.submit(submission) {
            // The shard tells its sinks itself; until that arrives nothing is acknowledged.
            tracing::debug!(partition = %self.handle.id, "not journaled: {error}");
        }
    }

    fn retain(&self, from: Offset, until: Offset, rules: Retention) {
        let (me, handle) = (self.me.clone(), Arc::clone(&self.handle));
        let answer = self.shard.expired(self.replica, from, until, rules);
        tokio::spawn(async move {
            let id = handle.id;
            let to = match handle.read_ended(answer.await) {
                Ok(to) => to,
                Err(ReadError::Refused(_)) => None,
                Err(error) => {
                    tracing::warn!(partition = %id, "retention could not look at the log, and will again: {error}");
                    None
                }
            };
            if let Some(to) = to {
                tracing::info!(partition = %id, ?rules, "retention: below {to} all has expired, the log started at {from}");
            }
            let _ = me.cast(LeaderMsg::Expired(to));
        });
    }
}

/// Waiters learn of the end, however the actor ended.
impl Drop for LeaderIo {
    fn drop(&mut self) {
        self.handle.leader_ended();
    }
}

impl Perform<Effect> for LeaderIo {
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Journal { seq, entry, durability, ticket, log_append_time } => {
                self.journal(seq, entry, durability, (ticket, log_append_time));
            }
            Effect::Retain { from, until, rules } => self.retain(from, until, rules),
            Effect::Publish(view) => self.handle.publish(view),
            Effect::Answer { ticket, result } => {
                self.payloads.remove(&ticket);
                if let Some(reply) = self.replies.remove(&ticket) {
                    reply.send(result);
                }
            }
            Effect::Forget(forgotten) => self.shard.forget(self.replica, forgotten),
            Effect::Note(event) => metrics::leader_event(event),
        }
    }
}

impl Actor for LeaderActor {
    type Msg = LeaderMsg;
    type State = LeaderState;
    type Arguments = LeaderArgs;

    async fn pre_start(
        &self,
        me: ActorRef<LeaderMsg>,
        args: LeaderArgs,
    ) -> Result<LeaderState, ActorProcessingErr> {
        let sink = Arc::new(Sink(me.clone()));
        let (replica, start, ready) = match args.origin {
            LeaderOrigin::New => {
                // The Open always waits for its sync: the image will say that the replica exists.
                let replica = args.shard.open(args.id, Durability::Fsync, sink)?;
                (replica, start_of_new(args.leader_epoch, args.config), false)
            }
            LeaderOrigin::State(state) => {
                args.shard.attach(state.replica, sink);
                (state.replica, start_of(*state, args.leader_epoch, args.config), true)
            }
        };
        let machine = LeaderMachine::new(start);
        let handle = Arc::new(PartitionHandle::new(
            args.id,
            machine.view(),
            Arc::clone(&args.shard),
            replica,
            me.clone(),
        ));
        if ready {
            (args.on_ready)(Arc::clone(&handle));
        }
        let io = LeaderIo {
            handle,
            shard: args.shard,
            replica,
            me,
            tails: args.tails,
            payloads: HashMap::new(),
            replies: HashMap::new(),
        };
        let ready = (!ready).then_some(args.on_ready);
        Ok(LeaderState { shell: Shell::new(machine, io, args.clock), next_ticket: 0, ready })
    }

    async fn handle(
        &self,
        me: ActorRef<LeaderMsg>,
        message: LeaderMsg,
        state: &mut LeaderState,
    ) -> Result<(), ActorProcessingErr> {
        let input = match message {
            LeaderMsg::Append(appending, reply) => state.append(*appending, reply),
            LeaderMsg::Persisted(Persisted { written, synced }) => {
                if synced >= Seq(1)
                    && let Some(ready) = state.ready.take()
                {
                    ready(Arc::clone(&state.shell.io.handle));
                }
                Input::Persisted { written, synced }
            }
            LeaderMsg::Failed(ShardError::Stopped { reason, .. }) => Input::ShardFailed(reason),
            // Ours to mend: the supervisor starts this actor again, from the log.
            LeaderMsg::Failed(refused) => return Err(refused.into()),
            LeaderMsg::Configure(config) => Input::Configure(config),
            LeaderMsg::Trim(to, own, reply) => Input::Trim { ticket: state.ticket(reply), to, own },
            LeaderMsg::Expired(to) => Input::Expired { to },
            LeaderMsg::Producers(reply) => {
                let machine = state.shell.machine();
                reply.send(machine.serves().map(|()| machine.producers().active()));
                return Ok(());
            }
            LeaderMsg::Delete => Input::Delete,
            LeaderMsg::Tick => Input::Tick,
        };
        state.shell.step(input);
        state.shell.rearm(&me, || LeaderMsg::Tick);
        Ok(())
    }

    async fn post_stop(
        &self,
        _me: ActorRef<LeaderMsg>,
        state: &mut LeaderState,
    ) -> Result<(), ActorProcessingErr> {
        state.shell.io.tails.forget(&state.shell.io.handle);
        Ok(())
    }
}

impl LeaderState {
    /// The name of an answer to come.
    fn ticket(&mut self, reply: Reply<Result<Appended, Reject>>) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.shell.io.replies.insert(ticket, reply);
        ticket
    }

    fn append(&mut self, appending: Appending, reply: Reply<Result<Appended, Reject>>) -> Input {
        let ticket = self.ticket(reply);
        let deadline = self.shell.now().mono.plus(appending.timeout_ms);
        let Appending { batch, pinned, head, acks, permit, .. } = appending;
        self.shell.io.payloads.insert(ticket, Payload { batch, pinned, permit });
        Input::Append { ticket, head, acks, deadline }
    }
}

fn start_of_new(leader_epoch: LeaderEpoch, config: LeaderConfig) -> LeaderStart {
    LeaderStart {
        leader_epoch,
        seq: Seq(1),
        log_start: 0,
        next: 0,
        epochs: Vec::new(),
        producers: ProducerTable::default(),
        config,
        offline: None,
    }
}

fn start_of(state: ReplicaState, leader_epoch: LeaderEpoch, config: LeaderConfig) -> LeaderStart {
    LeaderStart {
        leader_epoch,
        seq: state.seq,
        log_start: state.log_start,
        next: state.next,
        epochs: state.epochs,
        producers: state.producers,
        config,
        offline: None,
    }
}
