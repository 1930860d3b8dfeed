//! The actor of a replica: the shell round `ReplicaMachine`, with the bytes and replies that the machine names by
//! ticket.
//!
//! ```text
//!   ReplicaMsg ──> machine (core) ──> Journal ──> shard, and a copy in the tail
//!                                 ├─> Publish ──> PartitionHandle
//!                                 └─> Answer ──> the asker
//! ```
//!
//! The actor journals, fills the tail, publishes the view and answers, as the machine says. Offsets, epochs and roles
//! are the machine's; nothing here looks at them.

use super::handle::PartitionHandle;
use super::messages::{Appending, Heard, Received, ReplicaMsg, Trimming};
use super::tails::TailBudget;
use crate::clock::Clock;
use crate::contact::ContactUntil;
use crate::metrics;
use crate::permit::Permit;
use crate::ports::{
    Hint, Persisted, ReadError, ReplicaSink, ReplicaState, Replication, Shard, ShardError, Submission,
};
use crate::reply::Reply;
use crate::shell::{Perform, Shell};
use crate::tickets::Tickets;
use bytes::{Bytes, BytesMut};
use callboard_core::metadata::IsrWish;
use callboard_core::partition::{
    Appended, Assigned, Beginning, Effect, Input, LocalLog, LogStart, ReplicaConfig, ReplicaMachine,
};
use callboard_core::storage::{Durability, Entry, Retention};
use callboard_core::{BrokerId, LeaderEpoch, Offset, Reject, ReplicaId, Seq, Ticket, records};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::time::Duration;

/// Time until a log is read again that the shard was too busy to read.
const REREAD_AGAIN: Duration = Duration::from_millis(200);

/// Told `true` when the replica is open and durable, which a restarted actor says again. Told `false` when it never will.
pub type OnOpened = Box<dyn Fn(bool) + Send + Sync>;
/// Told that the replica wants a leader epoch above this one.
pub type OnSpent = Box<dyn Fn(LeaderEpoch) + Send + Sync>;

/// Told which ISR the leader wants.
pub type OnWish = Box<dyn Fn(IsrWish) + Send + Sync>;
/// Told why the replica cannot serve what it acknowledged, and whether its shard takes a new one.
pub type OnDamaged = Box<dyn Fn(String, bool) + Send + Sync>;
/// Told whether the replica cannot serve for now. An actor that ends takes its word back.
pub type OnUnable = Box<dyn Fn(bool) + Send + Sync>;

/// Everything that a replica's actor starts with.
pub struct ReplicaArgs {
    pub handle: Arc<PartitionHandle>,
    pub node: BrokerId,
    pub assigned: Assigned,
    pub beginning: Beginning,
    pub config: ReplicaConfig,
    /// The log from recovery or from a rebuild; none if the replica is opened now.
    pub log: Option<Box<ReplicaState>>,
    pub shard: Arc<dyn Shard>,
    pub clock: Arc<dyn Clock>,
    pub tails: Arc<TailBudget>,
    pub on_opened: OnOpened,
    pub on_spent: OnSpent,
    pub on_wish: OnWish,
    pub on_unable: OnUnable,
    pub on_damaged: OnDamaged,
    pub replication: Arc<dyn Replication>,
    pub contact: Arc<ContactUntil>,
}

/// The shell's actor. Its state is [`ReplicaShell`].
pub struct ReplicaActor;

/// A replica's machine in its shell.
pub struct ReplicaShell {
    shell: Shell<ReplicaMachine, ReplicaIo>,
    contact: Arc<ContactUntil>,
    /// The machine was told that the contact is over.
    cut_off: bool,
}

struct Sink(ActorRef<ReplicaMsg>);

impl ReplicaSink for Sink {
    fn persisted(&self, persisted: Persisted) {
        let _ = self.0.cast(ReplicaMsg::Persisted(persisted));
    }

    fn failed(&self, error: ShardError) {
        let _ = self.0.cast(ReplicaMsg::Failed(error));
    }

    fn rotted(&self, why: String) {
        let _ = self.0.cast(ReplicaMsg::Rotted(why));
    }
}

struct Payload {
    batch: BytesMut,
    pinned: usize,
    permit: Permit,
}

/// A thing that the machine names by ticket.
enum Kept {
    /// A waiting answer, and its batch until that is journaled.
    Waiting { reply: Reply<Result<Appended, Reject>>, payload: Option<Payload> },
    /// A batch of the leader, until the machine has judged its part.
    Received(Received),
}

/// Performs a replica's effects on shard, handle and tail.
struct ReplicaIo {
    handle: Arc<PartitionHandle>,
    shard: Arc<dyn Shard>,
    replica: ReplicaId,
    hint: Arc<Hint>,
    me: ActorRef<ReplicaMsg>,
    tails: Arc<TailBudget>,
    kept: Tickets<Kept>,
    replication: Arc<dyn Replication>,
    on_opened: OnOpened,
    on_spent: OnSpent,
    on_wish: OnWish,
    on_unable: OnUnable,
    on_damaged: OnDamaged,
    abandoned: bool,
}

impl ReplicaIo {
    fn journal(
        &mut self,
        seq: Seq,
        entry: Entry,
        durability: Durability,
        (ticket, log_append_time): (Option<Ticket>, Option<i64>),
    ) {
        let (bytes, permit) = match (ticket, entry) {
            (Some(ticket), Entry::Append { base, epoch }) => self.batch(ticket, base, epoch, log_append_time),
            _ => {
                self.handle.cut(&entry);
                (Bytes::new(), Permit::free())
            }
        };
        let submission = Submission { replica: self.replica, seq, entry, bytes, durability, permit };
        if let Err(error) = self.shard.submit(submission) {
            // The shard tells its sinks itself. Until they hear it, no batch is acknowledged.
            tracing::debug!(partition = %self.handle.id, "not journaled: {error}");
        }
    }

    /// The bytes of a batch that gets its place in the log now, and their permit. A leader's batch goes into the tail.
    fn batch(
        &mut self,
        ticket: Ticket,
        base: Offset,
        epoch: LeaderEpoch,
        log_append_time: Option<i64>,
    ) -> (Bytes, Permit) {
        if let Some(Kept::Waiting { payload, .. }) = self.kept.get_mut(ticket) {
            let Some(mut payload) = payload.take() else { return Default::default() };
            records::patch(&mut payload.batch, base, epoch);
            if let Some(time) = log_append_time {
                records::set_log_append_time(&mut payload.batch, time);
            }
            let bytes = payload.batch.freeze();
            let next = records::head(&bytes).map_or(base, |head| head.next_offset());
            self.tails.push(&self.handle, base, next, &bytes, payload.pinned);
            metrics::appended(bytes.len());
            return (bytes, payload.permit);
        }
        match self.kept.take(ticket) {
            Some(Kept::Received(received)) => {
                metrics::replicated(received.bytes.len());
                (received.bytes, received.permit)
            }
            _ => Default::default(),
        }
    }

    fn reread(&self) {
        let (me, answer) = (self.me.clone(), self.shard.rebuild(self.replica));
        tokio::spawn(async move {
            let _ = me.cast(ReplicaMsg::Reread(answer.await.map(Box::new)));
        });
    }

    fn reread_later(&self) {
        let (me, answer) = (self.me.clone(), self.shard.rebuild(self.replica));
        tokio::spawn(async move {
            tokio::time::sleep(REREAD_AGAIN).await;
            let _ = me.cast(ReplicaMsg::Reread(answer.await.map(Box::new)));
        });
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
            let _ = me.cast(ReplicaMsg::Expired(to));
        });
    }
}

/// Tells the handle that the actor has ended, in whatever way it ended.
impl Drop for ReplicaIo {
    fn drop(&mut self) {
        (self.on_unable)(false);
        self.handle.ended(self.me.get_id());
    }
}

impl Perform<Effect> for ReplicaIo {
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Journal { seq, entry, durability, ticket, log_append_time } => {
                self.journal(seq, entry, durability, (ticket, log_append_time));
            }
            Effect::Retain { from, until, rules } => self.retain(from, until, rules),
            Effect::Publish(view) => {
                self.hint.tell(view.high_watermark);
                self.handle.publish(view);
            }
            Effect::Answer { ticket, result } => {
                if let Some(Kept::Waiting { reply, .. }) = self.kept.take(ticket) {
                    reply.send(result);
                }
            }
            Effect::Opened => (self.on_opened)(true),
            Effect::Unopened => (self.on_opened)(false),
            Effect::Forget(forgotten) => self.shard.forget(self.replica, forgotten),
            Effect::Note(event) => metrics::leader_event(event),
            Effect::Rebuild => self.reread(),
            Effect::Abandon => self.abandoned = true,
            Effect::AskEpoch { leader_epoch } => (self.on_spent)(leader_epoch),
            Effect::Alarm(what) => {
                metrics::alarmed();
                tracing::error!(partition = %self.handle.id, "{what}");
            }
            Effect::Unable(unable) => (self.on_unable)(unable),
            Effect::Follow(leader) => {
                // The leader's batches do not pass the tail, so what it holds would hide them from a later leadership.
                self.tails.forget(&self.handle);
                self.replication.follow(&self.handle, leader);
            }
            Effect::Unfollow(leader) => self.replication.unfollow(&self.handle, leader),
            Effect::Position { to, position } => self.replication.position(&self.handle, to, position),
            Effect::Ack { to, ack } => self.replication.ack(&self.handle, to, ack),
            Effect::Reply { to, answer } => self.replication.reply(self.handle.id, to, answer),
            Effect::Feed(cursor) => self.replication.feed(&self.handle, cursor),
            Effect::Unfeed(to) => self.replication.unfeed(self.handle.id, to),
            Effect::ProposeIsr { leader_epoch, partition_epoch, isr } => {
                let id = self.handle.id;
                (self.on_wish)(IsrWish { id, leader_epoch, partition_epoch, isr, recovering: false });
            }
        }
    }
}

impl Actor for ReplicaActor {
    type Msg = ReplicaMsg;
    type State = ReplicaShell;
    type Arguments = ReplicaArgs;

    async fn pre_start(
        &self,
        me: ActorRef<ReplicaMsg>,
        args: ReplicaArgs,
    ) -> Result<ReplicaShell, ActorProcessingErr> {
        let sink = Arc::new(Sink(me.clone()));
        let (replica, log) = match args.log {
            None => {
                // `Open` always waits for its sync, because the image will say that the replica exists.
                let replica = args.shard.open(args.handle.id, Durability::Fsync, sink)?;
                (replica, LocalLog::opening(args.config.durability))
            }
            Some(state) => {
                args.shard.attach(state.replica, sink);
                (state.replica, LocalLog::recovered(start_of(*state), args.config.durability))
            }
        };
        args.handle.begin(replica, me.clone());
        let io = ReplicaIo {
            hint: args.shard.hint(replica),
            handle: args.handle,
            shard: args.shard,
            replica,
            me: me.clone(),
            tails: args.tails,
            kept: Tickets::default(),
            replication: args.replication,
            on_opened: args.on_opened,
            on_spent: args.on_spent,
            on_wish: args.on_wish,
            on_unable: args.on_unable,
            on_damaged: args.on_damaged,
            abandoned: false,
        };
        let machine = ReplicaMachine::new(args.node, log, args.config, args.beginning);
        let shell = Shell::new(machine, io, args.clock);
        let mut state = ReplicaShell { shell, contact: args.contact, cut_off: false };
        state.look_at_contact();
        state.shell.step(Input::Assign(args.assigned));
        state.shell.rearm(&me, || ReplicaMsg::Tick);
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<ReplicaMsg>,
        message: ReplicaMsg,
        state: &mut ReplicaShell,
    ) -> Result<(), ActorProcessingErr> {
        let input = match message {
            ReplicaMsg::Assign(assigned) => Input::Assign(assigned),
            ReplicaMsg::Append(appending, epoch, reply) => state.append(*appending, epoch, reply),
            ReplicaMsg::Persisted(Persisted { written, synced }) => Input::Persisted { written, synced },
            ReplicaMsg::Failed(ShardError::Stopped { reason, .. }) => {
                (state.shell.io.on_damaged)(reason.clone(), false);
                Input::ShardFailed(reason)
            }
            ReplicaMsg::Rotted(why) => {
                (state.shell.io.on_damaged)(why, true);
                return Ok(());
            }
            // The log is sound, so the supervisor starts this actor again from it.
            ReplicaMsg::Failed(refused) => return Err(refused.into()),
            ReplicaMsg::Configure(config) => Input::Configure(config),
            ReplicaMsg::Trim(Trimming { to, own, timeout_ms }, reply) => {
                let deadline = state.shell.now().mono.plus(timeout_ms);
                Input::Trim { ticket: state.wait(reply, None), to, own, deadline }
            }
            ReplicaMsg::Reread(Ok(log)) => Input::Rebuilt(Box::new(start_of(*log))),
            // The shard has too much to read now. The replica stays idle meanwhile (R38).
            ReplicaMsg::Reread(Err(ShardError::Refused(_))) => {
                state.shell.io.reread_later();
                return Ok(());
            }
            // The producers of the log are not known, so no role may be taken.
            ReplicaMsg::Reread(Err(error)) => Input::ShardFailed(error.to_string()),
            ReplicaMsg::Expired(to) => Input::Expired { to },
            ReplicaMsg::Producers(reply) => {
                reply.send(state.shell.machine().producers());
                return Ok(());
            }
            ReplicaMsg::Ends(reply) => {
                reply.send(state.shell.machine().ends());
                return Ok(());
            }
            ReplicaMsg::Delete => Input::Delete,
            ReplicaMsg::Leave => Input::Leave,
            ReplicaMsg::Heard(heard) => state.heard(heard),
            ReplicaMsg::IsrSaid { partition_epoch, outcome } => Input::IsrSaid { partition_epoch, outcome },
            ReplicaMsg::Mark(mark) => {
                drop(mark);
                return Ok(());
            }
            ReplicaMsg::Tick => Input::Tick,
        };
        let received = match &input {
            Input::Part { batches, .. } => batches.iter().map(|(ticket, _)| *ticket).collect(),
            _ => Vec::new(),
        };
        state.look_at_contact();
        state.shell.step(input);
        // A batch that the machine did not take is let go, with its permit.
        received.into_iter().for_each(|ticket| drop(state.shell.io.kept.take(ticket)));
        if state.shell.io.abandoned {
            return Err("it has to go while its log is being read again".into());
        }
        state.shell.rearm(&me, || ReplicaMsg::Tick);
        Ok(())
    }

    async fn post_stop(
        &self,
        _me: ActorRef<ReplicaMsg>,
        state: &mut ReplicaShell,
    ) -> Result<(), ActorProcessingErr> {
        state.shell.io.tails.forget(&state.shell.io.handle);
        Ok(())
    }
}

impl ReplicaShell {
    /// Tells the machine of a contact that was lost or has come back, before it takes anything else in.
    fn look_at_contact(&mut self) {
        let cut_off = self.contact.is_over(|| self.shell.now().mono);
        if cut_off != self.cut_off {
            self.cut_off = cut_off;
            self.shell.step(Input::CutOff(cut_off));
        }
    }

    fn wait(&mut self, reply: Reply<Result<Appended, Reject>>, payload: Option<Payload>) -> Ticket {
        self.shell.io.kept.keep(Kept::Waiting { reply, payload })
    }

    fn heard(&mut self, heard: Heard) -> Input {
        match heard {
            Heard::Linked(broker) => Input::Linked(broker),
            Heard::Unlinked(broker) => Input::Unlinked(broker),
            Heard::Part { from, part, batches } => {
                let kept = &mut self.shell.io.kept;
                let keep = |received: Received| {
                    let head = received.head;
                    (kept.keep(Kept::Received(received)), head)
                };
                Input::Part { from, part, batches: batches.into_iter().map(keep).collect() }
            }
            Heard::Told { from, answer } => Input::Told { from, answer },
            Heard::Position { from, position } => Input::Position { from, position },
            Heard::Acked { from, ack } => Input::Acked { from, ack },
        }
    }

    fn append(
        &mut self,
        appending: Appending,
        leader_epoch: Option<LeaderEpoch>,
        reply: Reply<Result<Appended, Reject>>,
    ) -> Input {
        let deadline = self.shell.now().mono.plus(appending.timeout_ms);
        let Appending { batch, pinned, head, acks, permit, .. } = appending;
        let ticket = self.wait(reply, Some(Payload { batch, pinned, permit }));
        Input::Append { ticket, leader_epoch, head, acks, deadline }
    }
}

fn start_of(state: ReplicaState) -> LogStart {
    LogStart {
        seq: state.seq,
        log_start: state.log_start,
        next: state.next,
        high_watermark: state.high_watermark,
        epochs: state.epochs,
        producers: state.producers,
    }
}
