//! One replica of a partition on this node, from its opening to its end: a log, and the role that the image gives it.
//!
//! ```text
//!             Assign
//!   Idle <──────────────> Leader
//!     └───────────┬──────────┘  ShardFailed ─> Offline(why)      Delete ─> Deleted      Leave ─> Left
//!                 └ each change first ends every waiting request (R31), then takes the new role and shows it
//! ```
//!
//! An offline replica still takes Delete and Leave. A deleted one, and one that has left, change no more.
//!
//! The log outlives roles. A higher leader epoch is a change of role too, even where the leader stays the same. A
//! request that waited in the former epoch is told NOT_LEADER_OR_FOLLOWER and asks again.
//!
//! The replica asks about retention only while it leads, and forgets idle producers in every role. Followers, their
//! progress and the ISR come with replication: until then a replica of another node's partition is Idle.

use super::config::ReplicaConfig;
use super::leader::{Asked, Leader};
use super::log::{Journaled, LocalLog};
use super::messages::{Assigned, AssignedRole, Effect, Event, Input, TrimTo};
use super::producers::{ActiveProducer, Forgotten};
use super::retention::Checks;
use super::view::{Role, View};
use crate::Reject;
use crate::ids::{LeaderEpoch, Offset, Ticket};
use crate::machine::{Effects, Machine};
use crate::storage::Entry;
use crate::time::{Millis, Now};
use std::sync::Arc;

/// Milliseconds between two looks for idle producers (Kafka: `producer.id.expiration.check.interval.ms`).
pub(super) const EXPIRY_EVERY_MS: u64 = 600_000;

#[derive(Debug)]
enum State {
    Idle,
    Leader(Leader),
    Offline(String),
    Deleted,
    Left,
}

/// One replica: its log, its role, its settings and its timers.
#[derive(Debug)]
pub struct ReplicaMachine {
    log: LocalLog,
    state: State,
    /// None before the first assignment.
    epoch: Option<LeaderEpoch>,
    config: ReplicaConfig,
    checks: Checks,
    /// None before the first step.
    next_expiry: Option<Millis>,
    /// Whether `Opened` or `Unopened` was said.
    told: bool,
    published: Option<View>,
}

impl ReplicaMachine {
    /// An idle replica over this log.
    #[must_use]
    pub fn new(log: LocalLog, config: ReplicaConfig) -> ReplicaMachine {
        ReplicaMachine {
            log,
            state: State::Idle,
            epoch: None,
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

    fn role(&self) -> Role {
        match &self.state {
            State::Leader(_) => Role::Leader,
            State::Idle | State::Left => Role::Idle,
            State::Offline(why) => Role::Offline(why.clone()),
            State::Deleted => Role::Deleted,
        }
    }

    /// The boundaries and the role, as everyone outside may see them now.
    #[must_use]
    pub fn view(&self) -> View {
        let last = || self.log.epochs().last().map_or(0, |(epoch, _)| *epoch);
        View {
            role: self.role(),
            leader_epoch: self.epoch.unwrap_or_else(last),
            log_start: self.log.log_start(),
            end: self.log.end(),
            high_watermark: self.log.high_watermark(),
            last_stable_offset: self.log.high_watermark(),
            log_id: 0,
            rules: self.config.rules(),
            epochs: Arc::clone(self.log.epochs()),
        }
    }

    fn publish(&mut self, out: &mut Effects<Effect>) {
        let view = self.view();
        if self.published.as_ref() != Some(&view) {
            self.published = Some(view.clone());
            out.push(Effect::Publish(view));
        }
    }

    /// Starts the clocks of retention and of the producers with the first step.
    fn begin(&mut self, now: Millis) {
        self.checks.begin(now, &self.config);
        if self.next_expiry.is_none() {
            self.next_expiry = Some(now.plus(EXPIRY_EVERY_MS));
            self.log.begin(now);
        }
    }

    /// Takes the role that the image gives. An older epoch comes from an older image and changes nothing.
    fn assign(&mut self, now: Millis, assigned: Assigned, out: &mut Effects<Effect>) {
        let Assigned { role, leader_epoch } = assigned;
        if self.epoch.is_some_and(|epoch| leader_epoch < epoch) {
            return;
        }
        let same = match (&self.state, role) {
            (State::Idle, AssignedRole::Idle) | (State::Leader(_), AssignedRole::Leader) => true,
            (State::Idle | State::Leader(_), _) => false,
            (State::Offline(_), _) => {
                self.epoch = Some(leader_epoch);
                return self.publish(out);
            }
            (State::Deleted | State::Left, _) => return,
        };
        if same && self.epoch == Some(leader_epoch) {
            return;
        }
        self.end_role(State::Idle, &Reject::Unavailable, out);
        self.epoch = Some(leader_epoch);
        let last = self.log.epochs().last().map_or(leader_epoch, |(last, _)| *last);
        if leader_epoch < last {
            self.state = State::Offline(format!(
                "its log ends in leader epoch {last} and the metadata give epoch {leader_epoch}: they are older than the log"
            ));
            return self.publish(out);
        }
        self.log.begin(now);
        if role == AssignedRole::Leader {
            let leader = Leader::new(leader_epoch);
            leader.advance(&mut self.log);
            self.state = State::Leader(leader);
        }
        self.publish(out);
    }

    /// Ends the role and all its waiting requests. The caller shows the next state.
    fn end_role(&mut self, next: State, reject: &Reject, out: &mut Effects<Effect>) {
        if let State::Leader(leader) = std::mem::replace(&mut self.state, next) {
            leader.end(reject, out);
        }
    }

    /// Shows the newly committed records, then answers the requests that wait for them.
    fn advance(&mut self, out: &mut Effects<Effect>) {
        let State::Leader(leader) = &self.state else { return };
        if leader.advance(&mut self.log) {
            self.publish(out);
        }
        if let State::Leader(leader) = &mut self.state {
            leader.answer(&self.log, out);
        }
    }

    fn configure(&mut self, now: Now, config: ReplicaConfig, out: &mut Effects<Effect>) {
        self.log.set_durability(config.durability);
        self.config = config;
        self.checks.configured(now.mono, &self.config);
        self.publish(out);
        self.advance(out);
    }

    fn trim(&mut self, ticket: Ticket, to: TrimTo, own: bool, out: &mut Effects<Effect>) {
        let judged = match &self.state {
            State::Leader(leader) => leader.judge_trim(&self.log, &self.config, to, own),
            _ => self.role().serves().and(Err(Reject::Unavailable)),
        };
        match judged {
            Err(reject) => out.push(Effect::Answer { ticket, result: Err(reject) }),
            Ok(to) => {
                self.move_log_start(to, out);
                if let State::Leader(leader) = &mut self.state {
                    leader.wait_for_trim(&self.log, ticket, to);
                    leader.answer(&self.log, out);
                }
            }
        }
    }

    fn move_log_start(&mut self, to: Offset, out: &mut Effects<Effect>) {
        if let Some(entry) = self.log.move_log_start(to) {
            out.push(journal(entry, Entry::LogStart { to }));
            self.publish(out);
        }
    }

    /// Takes the store's answer on retention; none if no record has expired or the store could not look.
    fn expired(&mut self, now: Now, to: Option<Offset>, out: &mut Effects<Effect>) {
        let valid = self.checks.answered(now.mono, &self.config);
        let to = to.map(|to| to.min(self.log.high_watermark())).filter(|to| *to > self.log.log_start());
        if let Some(to) = to.filter(|_| valid && matches!(self.state, State::Leader(_))) {
            self.move_log_start(to, out);
            out.push(Effect::Note(Event::Expired));
        }
    }

    fn shard_failed(&mut self, why: String, out: &mut Effects<Effect>) {
        if matches!(self.state, State::Deleted | State::Left) {
            return;
        }
        self.end_role(State::Offline(why.clone()), &Reject::Storage(why), out);
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
        out.push(journal(self.log.numbered(), Entry::Drop));
    }

    /// Ends a replica that the image no longer gives to this node. Its bytes stay and are marked stray (R20).
    fn leave(&mut self, now: Now, out: &mut Effects<Effect>) {
        if matches!(self.state, State::Deleted | State::Left) {
            return;
        }
        self.end_role(State::Left, &Reject::Unavailable, out);
        self.publish(out);
        out.push(journal(self.log.numbered(), Entry::Stray { at: now.wall }));
    }

    fn tick(&mut self, now: Now, out: &mut Effects<Effect>) {
        if let State::Leader(leader) = &mut self.state {
            leader.expire(now.mono, out);
        }
        if self.next_expiry.is_some_and(|due| now.mono >= due) {
            self.next_expiry = Some(now.mono.plus(EXPIRY_EVERY_MS));
            let idle = self.log.expire_producers(now.mono, self.config.producer_expiration_ms);
            out.extend(idle.map(|below| Effect::Forget(Forgotten { below, seq: self.log.seq() })));
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
        self.begin(now.mono);
        match input {
            Input::Assign(assigned) => self.assign(now.mono, assigned, out),
            Input::Append { ticket, leader_epoch, head, acks, deadline } => match &mut self.state {
                State::Leader(leader) => {
                    let asked = Asked { ticket, leader_epoch, acks, deadline };
                    leader.append((&mut self.log, &self.config), now, asked, head, out);
                }
                _ => {
                    let reject = self.role().serves().err().unwrap_or(Reject::Unavailable);
                    out.push(Effect::Note(Event::Refused));
                    out.push(Effect::Answer { ticket, result: Err(reject) });
                }
            },
            Input::Persisted { written, synced } => {
                self.log.persisted(written, synced);
                self.advance(out);
            }
            Input::Configure(config) => self.configure(now, config, out),
            Input::Trim { ticket, to, own } => self.trim(ticket, to, own, out),
            Input::Expired { to } => self.expired(now, to, out),
            Input::ShardFailed(why) => self.shard_failed(why, out),
            Input::Delete => self.delete(out),
            Input::Leave => self.leave(now, out),
            Input::Tick => self.tick(now, out),
        }
        if !self.told {
            let effect = match &self.state {
                _ if self.log.is_open() => Some(Effect::Opened),
                State::Offline(_) => Some(Effect::Unopened),
                _ => None,
            };
            self.told = effect.is_some();
            out.extend(effect);
        }
    }

    fn next_deadline(&self) -> Option<Millis> {
        let expiry = self.next_expiry.filter(|_| !self.log.producers().is_empty());
        let waits = match &self.state {
            State::Leader(leader) => leader.next_deadline(),
            _ => None,
        };
        waits.into_iter().chain(expiry).chain(self.checks.next()).min()
    }

    fn check(&self) {
        self.log.check();
        if let State::Leader(leader) = &self.state {
            leader.check(&self.log);
        }
    }
}

/// The effect that journals an entry without a batch.
fn journal(entry: Journaled, change: Entry) -> Effect {
    let Journaled { seq, durability } = entry;
    Effect::Journal { seq, entry: change, durability, ticket: None, log_append_time: None }
}
