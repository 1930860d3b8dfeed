//! One replica of a partition on this node, from its opening to its end: a log, and the role that the image gives it.
//!
//! ```text
//!             Assign                Diverge
//!   Idle <─────────────> Leader      ┌──────> Rereading ── Rebuilt ──> the newest role
//!     ├────────────────> Follower ───┘
//!     └───────────┬──────────┘  ShardFailed ─> Offline(why)      Delete ─> Deleted      Leave ─> Left
//!                 └ each change first ends every waiting request (R31), then takes the new role and shows it
//! ```
//!
//! An offline replica still takes Delete and Leave. A deleted one, and one that has left, change no more.
//!
//! The log outlives roles. A higher leader epoch is a change of role too, even where the leader stays the same. A
//! request that waited in the former epoch is told NOT_LEADER_OR_FOLLOWER and asks again. A newer partition epoch ends
//! no request.
//!
//! Between a truncation and the answer of the store the replica is idle, because its producers are those of bytes that
//! are gone (R38). A leader whose actor failed does not lead again in that epoch; it asks for a new one (R7).
//!
//! The replica asks about retention only while it leads, and forgets idle producers in every role. `leader.rs` and
//! `follower.rs` hold the two roles.

use super::config::ReplicaConfig;
use super::follower::Follower;
use super::followers::Followers;
use super::held::{Held, refused};
use super::leader::{Asked, Leader};
use super::log::{Journaled, LocalLog};
use super::messages::{Assigned, AssignedRole, Beginning, Effect, Event, Input};
use super::producers::ActiveProducer;
use super::replication::{PositionNumber, RefusedFor};
use super::retention::Checks;
use super::view::{Role, View};
use crate::Reject;
use crate::ids::{BrokerId, LeaderEpoch, Offset};
use crate::machine::{Effects, Machine};
use crate::mutant::{Mutant, planted};
use crate::records::BatchHead;
use crate::storage::Entry;
use crate::time::{Millis, Now};
use std::sync::Arc;

/// Milliseconds between two looks for idle producers (Kafka: `producer.id.expiration.check.interval.ms`).
pub(super) const EXPIRY_EVERY_MS: u64 = 600_000;
/// Milliseconds for which a log may be read again before the heartbeat names the replica (R38).
const UNABLE_AFTER_MS: u64 = 2_000;
/// Milliseconds between two questions for a new leader epoch.
const ASK_EPOCH_EVERY_MS: u64 = 1_000;

/// A log that is being read again after a truncation.
#[derive(Debug)]
pub(super) struct Rereading {
    pub(super) since: Millis,
    /// Whether the heartbeat was told of it.
    pub(super) told: bool,
}

#[derive(Debug)]
pub(super) enum State {
    Idle,
    Leader(Leader),
    Follower(Follower),
    Rereading(Rereading),
    Offline(String),
    Deleted,
    Left,
}

/// One replica: its log, its role, its settings and its timers.
#[derive(Debug)]
pub struct ReplicaMachine {
    pub(super) me: BrokerId,
    pub(super) log: LocalLog,
    pub(super) state: State,
    /// The newest assignment; none before the first one.
    pub(super) assigned: Option<Assigned>,
    /// A former life in this process failed, and no assignment has come since.
    pub(super) rebuilt: bool,
    /// The highest leader epoch in which this replica may not lead, because a former life or leadership ended in it.
    pub(super) spent: Option<LeaderEpoch>,
    /// The store reads the log again after a truncation, and its answer has not come.
    pub(super) rereads: bool,
    /// The node has had no contact with the controller for a session.
    pub(super) cut_off: bool,
    /// When the controller is asked again for a leader epoch above the spent one.
    pub(super) ask_epoch: Option<Millis>,
    pub(super) next_n: PositionNumber,
    pub(super) held: Held,
    /// The last leadership, for the mutants that carry something of it over. It is none otherwise.
    pub(super) former: Option<Box<Leader>>,
    pub(super) config: ReplicaConfig,
    pub(super) checks: Checks,
    /// None before the first step.
    pub(super) next_expiry: Option<Millis>,
    /// Whether `Opened` or `Unopened` was said.
    told: bool,
    published: Option<View>,
}

impl ReplicaMachine {
    /// An idle replica of this node, over this log.
    #[must_use]
    pub fn new(me: BrokerId, mut log: LocalLog, config: ReplicaConfig, life: Beginning) -> ReplicaMachine {
        log.begin_life(life.first_n);
        ReplicaMachine {
            me,
            log,
            state: State::Idle,
            assigned: None,
            rebuilt: life.rebuilt,
            spent: None,
            rereads: false,
            cut_off: false,
            ask_epoch: None,
            next_n: life.first_n,
            held: Held::default(),
            former: None,
            config,
            checks: Checks::default(),
            next_expiry: None,
            told: false,
            published: None,
        }
    }

    /// The producers that a leader knows; a refusal in any other role.
    pub fn producers(&self) -> Result<Vec<ActiveProducer>, Reject> {
        self.role().serves().map(|()| self.log.producers().active())
    }

    /// The log end and the high watermark of a leader; a refusal in any other role (R34).
    pub fn ends(&self) -> Result<(Offset, Offset), Reject> {
        self.role().serves().map(|()| (self.log.end(), self.log.high_watermark()))
    }

    pub(super) fn role(&self) -> Role {
        match &self.state {
            State::Leader(_) => Role::Leader,
            State::Follower(follower) => Role::Follower { leader: follower.leader() },
            State::Idle | State::Rereading(_) | State::Left => Role::Idle,
            State::Offline(why) => Role::Offline(why.clone()),
            State::Deleted => Role::Deleted,
        }
    }

    pub(super) fn epoch(&self) -> Option<LeaderEpoch> {
        self.assigned.as_ref().map(|assigned| assigned.leader_epoch)
    }

    /// The log as numbers, in whatever role.
    #[must_use]
    pub fn log(&self) -> &LocalLog {
        &self.log
    }

    /// The followers of a leader.
    #[must_use]
    pub fn followers(&self) -> Option<&Followers> {
        match &self.state {
            State::Leader(leader) => Some(&leader.followers),
            _ => None,
        }
    }

    /// Requests that wait for an answer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        match &self.state {
            State::Leader(leader) => leader.waiting(),
            _ => 0,
        }
    }

    /// The boundaries and the role, as everyone outside may see them now.
    #[must_use]
    pub fn view(&self) -> View {
        let last = || self.log.last_epoch().unwrap_or(0);
        let epoch_start = self.followers().map_or(0, Followers::start);
        View {
            role: self.role(),
            leader_epoch: self.epoch().unwrap_or_else(last),
            log_start: self.log.log_start(),
            end: self.log.end(),
            high_watermark: self.log.high_watermark(),
            last_stable_offset: self.log.high_watermark(),
            log_id: self.log.log_id(),
            epoch_start,
            rules: self.config.rules(),
            epochs: Arc::clone(self.log.epochs()),
        }
    }

    pub(super) fn publish(&mut self, out: &mut Effects<Effect>) {
        let view = self.view();
        if self.published.as_ref() != Some(&view) {
            self.published = Some(view.clone());
            out.push(Effect::Publish(view));
        }
    }

    /// Starts the clocks of retention and of the producers with the first step.
    fn begin(&mut self, now: Now) {
        self.checks.begin(now.mono, &self.config);
        if self.next_expiry.is_none() {
            self.next_expiry = Some(now.mono.plus(EXPIRY_EVERY_MS));
            self.log.begin(now);
        }
    }

    /// Takes the role that the image gives. An older epoch comes from an older image and changes nothing.
    fn assign(&mut self, now: Now, assigned: Assigned, out: &mut Effects<Effect>) {
        let epoch = assigned.leader_epoch;
        if self.epoch().is_some_and(|known| epoch < known)
            || matches!(self.state, State::Deleted | State::Left)
        {
            return;
        }
        if std::mem::take(&mut self.rebuilt) && matches!(assigned.role, AssignedRole::Leader(_)) {
            self.spent = Some(epoch);
        }
        let same = self.epoch() == Some(epoch);
        self.assigned = Some(assigned);
        match &self.state {
            State::Offline(_) => self.publish(out),
            State::Rereading(_) if !planted(Mutant::RoleDuringRebuild) => self.publish(out),
            _ => self.take_role(now, same, out),
        }
        self.answer_held(now, out);
    }

    /// Takes the role of the newest assignment. `same` says that the leader epoch has not changed.
    pub(super) fn take_role(&mut self, now: Now, same: bool, out: &mut Effects<Effect>) {
        let Some(Assigned { role, leader_epoch, .. }) = self.assigned.clone() else { return };
        match (&mut self.state, &role) {
            (State::Idle, AssignedRole::Idle) if same => return,
            (State::Follower(follower), AssignedRole::Follower { leader })
                if same && follower.leader() == *leader =>
            {
                return;
            }
            (State::Leader(leader), AssignedRole::Leader(group)) if same => {
                leader.followers.regroup(now.mono, group.clone(), out);
                return self.advance(now.mono, None, out);
            }
            _ => {}
        }
        self.end_role(State::Idle, &Reject::Unavailable, out);
        if let Some(last) = self.log.last_epoch().filter(|last| leader_epoch < *last) {
            self.state = State::Offline(format!(
                "its log ends in leader epoch {last} and the metadata give epoch {leader_epoch}: they are older than the log"
            ));
            return self.publish(out);
        }
        self.log.begin(now);
        match role {
            AssignedRole::Idle => {}
            AssignedRole::Leader(_) if self.spent.is_some_and(|spent| leader_epoch <= spent) => {
                self.ask_epoch = Some(now.mono.plus(ASK_EPOCH_EVERY_MS));
                out.push(Effect::AskEpoch { leader_epoch });
            }
            AssignedRole::Leader(group) => self.lead(now, leader_epoch, group, out),
            AssignedRole::Follower { leader } => {
                self.state = State::Follower(Follower::new(leader, leader_epoch));
                out.push(Effect::Follow(leader));
            }
        }
        self.publish(out);
        if let State::Leader(leader) = &mut self.state {
            leader.answer(&self.log, out);
        }
    }

    /// Ends the role and all its waiting requests. The caller shows the next state.
    pub(super) fn end_role(&mut self, next: State, reject: &Reject, out: &mut Effects<Effect>) {
        self.ask_epoch = None;
        match std::mem::replace(&mut self.state, next) {
            State::Leader(mut leader) => {
                let carries = planted(Mutant::TicketsSurvive);
                if !carries {
                    leader.end(reject, out);
                }
                if carries || planted(Mutant::JoinsByEarlierEpoch) {
                    self.former = Some(Box::new(leader));
                }
            }
            State::Follower(follower) => out.push(Effect::Unfollow(follower.leader())),
            _ => {}
        }
    }

    /// Shows the newly committed records, answers the requests that wait, and looks at the in-sync set. With `late`,
    /// members that lag for longer than these milliseconds leave it.
    pub(super) fn advance(&mut self, now: Millis, late: Option<u64>, out: &mut Effects<Effect>) {
        let State::Leader(leader) = &mut self.state else { return };
        leader.give_up_below_min_isr(out);
        if leader.advance(&mut self.log) {
            self.publish(out);
        }
        if let State::Leader(leader) = &mut self.state {
            leader.answer(&self.log, out);
            leader.give_up_cut_off(now, &self.log, out);
        }
        self.wish(now, late, out);
    }

    fn configure(&mut self, now: Now, config: ReplicaConfig, out: &mut Effects<Effect>) {
        self.log.set_durability(config.durability);
        self.config = config;
        self.checks.configured(now.mono, &self.config);
        self.publish(out);
        self.advance(now.mono, None, out);
    }

    fn append(&mut self, now: Now, asked: Asked, head: BatchHead, out: &mut Effects<Effect>) {
        if let State::Leader(leader) = &mut self.state {
            let fed = leader.followers.any();
            leader.append((&mut self.log, &self.config), now, asked, head, out);
            // The feeds read the end in the view. Without followers nobody needs it before the batch is durable.
            if fed {
                self.publish(out);
            }
            return;
        }
        let reject = self.role().serves().err().unwrap_or(Reject::Unavailable);
        out.push(Effect::Note(Event::Refused));
        out.push(Effect::Answer { ticket: asked.ticket, result: Err(reject) });
    }

    /// Says once whether the replica is open, or never will be.
    fn tell(&mut self, out: &mut Effects<Effect>) {
        if self.told {
            return;
        }
        let effect = match &self.state {
            _ if self.log.is_open() => Some(Effect::Opened),
            State::Offline(_) => Some(Effect::Unopened),
            _ => None,
        };
        self.told = effect.is_some();
        out.extend(effect);
    }

    fn shard_failed(&mut self, why: String, out: &mut Effects<Effect>) {
        if matches!(self.state, State::Deleted | State::Left) {
            return;
        }
        self.end_role(State::Offline(why.clone()), &Reject::Storage(why), out);
        // The controller takes the leadership away, because no other node sees that the replica is offline (R41).
        out.push(Effect::Unable(true));
        self.publish(out);
    }

    /// Ends a replica whose topic was deleted. The role is shown before the last entry leaves, because a read that
    /// misses the replica in the store finds the reason in the view.
    fn delete(&mut self, out: &mut Effects<Effect>) {
        if matches!(self.state, State::Deleted | State::Left) {
            return;
        }
        self.end_role(State::Deleted, &Reject::TopicDeleted, out);
        self.publish(out);
        self.last_entry(Entry::Drop, out);
    }

    /// Ends a replica that the image no longer gives to this node. Its bytes stay and are marked stray (R20).
    fn leave(&mut self, now: Now, out: &mut Effects<Effect>) {
        if matches!(self.state, State::Deleted | State::Left) {
            return;
        }
        self.end_role(State::Left, &Reject::Unavailable, out);
        self.publish(out);
        self.last_entry(Entry::Stray { at: now.wall }, out);
    }

    /// Journals the replica's last entry. While the log is read again, its number is not known here.
    fn last_entry(&mut self, entry: Entry, out: &mut Effects<Effect>) {
        if self.rereads {
            return out.push(Effect::Abandon);
        }
        out.push(journal(self.log.numbered(), entry));
    }

    fn tick(&mut self, now: Now, out: &mut Effects<Effect>) {
        for (from, position) in self.held.expired(now.mono) {
            out.push(refused(from, &position, RefusedFor::Behind));
        }
        self.expire_producers(now, out);
        match &mut self.state {
            State::Leader(leader) => {
                leader.expire(now.mono, out);
                leader.followers.tick(now.mono);
                self.advance(now.mono, Some(self.config.replica_lag_max_ms), out);
            }
            State::Follower(follower) if follower.is_due(now.mono) => self.ask_again(now.mono, out),
            State::Rereading(rereading)
                if !rereading.told && now.mono >= rereading.since.plus(UNABLE_AFTER_MS) =>
            {
                rereading.told = true;
                out.push(Effect::Unable(true));
            }
            _ => {}
        }
        if let Some(leader_epoch) = self.epoch().filter(|_| self.ask_epoch.is_some_and(|due| due <= now.mono))
        {
            self.ask_epoch = Some(now.mono.plus(ASK_EPOCH_EVERY_MS));
            out.push(Effect::AskEpoch { leader_epoch });
        }
        let (from, until) = (self.log.log_start(), self.log.high_watermark());
        let some = from < until && matches!(self.state, State::Leader(_));
        if let Some(rules) = self.checks.due(now, &self.config, some) {
            out.push(Effect::Retain { from, until, rules });
        }
    }
}

impl Machine for ReplicaMachine {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Now, input: Input, out: &mut Effects<Effect>) {
        self.begin(now);
        match input {
            Input::Assign(assigned) => self.assign(now, assigned, out),
            Input::Append { ticket, leader_epoch, head, acks, deadline } => {
                self.append(now, Asked { ticket, leader_epoch, acks, deadline }, head, out);
            }
            Input::Persisted { written, synced } => {
                self.log.persisted(written, synced);
                match &mut self.state {
                    State::Follower(follower) => follower.acknowledge(&self.log, out),
                    _ => self.advance(now.mono, None, out),
                }
            }
            Input::Configure(config) => self.configure(now, config, out),
            Input::Trim { ticket, to, own, deadline } => self.trim((ticket, deadline), to, own, out),
            Input::Expired { to } => self.expired(now, to, out),
            Input::Position { from, position } => self.position(now.mono, from, position, out),
            Input::Acked { from, ack } => {
                if let State::Leader(leader) = &mut self.state
                    && leader.followers.acked(now.mono, from, &ack, &self.log)
                {
                    self.advance(now.mono, None, out);
                }
            }
            Input::Linked(broker) => self.link(now.mono, broker, true, out),
            Input::Unlinked(broker) => self.link(now.mono, broker, false, out),
            Input::Part { from, part, batches } => self.part(now, (from, &part), batches, out),
            Input::Told { from, answer } => {
                if let State::Follower(follower) = &mut self.state {
                    let outcome = follower.told(now.mono, from, &answer, &self.log);
                    self.obey(now, outcome, out);
                }
            }
            Input::IsrSaid { partition_epoch, outcome } => {
                self.isr_said(now.mono, partition_epoch, &outcome, out);
            }
            Input::Rebuilt(start) => self.reread(now, *start, out),
            Input::CutOff(cut_off) => self.contact(now.mono, cut_off, out),
            Input::ShardFailed(why) => self.shard_failed(why, out),
            Input::Delete => self.delete(out),
            Input::Leave => self.leave(now, out),
            Input::Tick => self.tick(now, out),
        }
        if let State::Leader(leader) = &mut self.state {
            leader.followers.arm(now.mono, &self.log, self.config.replica_lag_max_ms);
        }
        self.tell(out);
    }

    fn next_deadline(&self) -> Option<Millis> {
        let expiry = self.next_expiry.filter(|_| !self.log.producers().is_empty());
        let role = match &self.state {
            State::Leader(leader) => {
                leader.next_deadline().into_iter().chain(leader.gives_up_at(&self.log)).min()
            }
            State::Follower(follower) => follower.next_deadline(),
            State::Rereading(Rereading { since, told: false }) => Some(since.plus(UNABLE_AFTER_MS)),
            _ => None,
        };
        let timers = [role, expiry, self.checks.next(), self.held.next_deadline(), self.ask_epoch];
        timers.into_iter().flatten().min()
    }

    fn check(&self) {
        self.log.check();
        if let State::Leader(leader) = &self.state {
            leader.check(&self.log);
        }
    }
}

/// The effect that journals an entry without a batch.
pub(super) fn journal(entry: Journaled, change: Entry) -> Effect {
    let Journaled { seq, durability } = entry;
    Effect::Journal { seq, entry: change, durability, ticket: None, log_append_time: None }
}
