//! The leader machine of one partition.
//!
//! ```text
//!   Append ──> judged, numbered ──> Journal(entry) ─ ─ ─> Persisted{written, synced}
//!      │                                                        │
//!      └── ticket, sorted by offset <── high watermark <── durable end
//!                     └──> Answer
//! ```
//!
//! It gives offsets and leader epochs, judges producers, counts its own journal entries (so that what is durable is
//! told as an entry number, never as an offset), moves the high watermark to the durable end and answers what waits
//! below it. The in-sync set is this node alone: followers, their progress and the ISR come with replication, and
//! nothing here stands in for them.
//!
//! The log start moves up by DeleteRecords and by retention, through the journal like everything else: DeleteRecords
//! is answered when its entry is durable. Retention is a question to the store (`Retain`) and its answer (`Expired`).
//!
//! Durable end: the end of the last entry that is synced (`fsync` topics) or written (`os`). After a change from `os`
//! to `fsync` it stays `written` until `synced` has passed the high watermark of that moment.

use super::epochs::trim_epochs;
use super::messages::{Acks, Appended, Effect, Event, Input, LeaderConfig, LeaderStart};
use super::producers::{Forgotten, Judgement, ProducerTable};
use super::retention::Checks;
use super::view::{Role, View};
use super::waits::{Waiting, Waits};
use crate::Reject;
use crate::ids::{LeaderEpoch, Offset, Seq, Ticket};
use crate::limits;
use crate::machine::{Effects, Machine};
use crate::records::BatchHead;
use crate::storage::{Durability, Entry};
use crate::time::{Millis, Now};
use std::collections::VecDeque;
use std::sync::Arc;

/// An entry on its way to the disk.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    seq: Seq,
    /// The log's end after it.
    end: Offset,
}

/// A DeleteRecords that waits for its entry.
#[derive(Clone, Copy, Debug)]
struct Trimming {
    ticket: Ticket,
    /// What it asked for, −1 replaced.
    to: Offset,
    /// Answered when this is durable.
    entry: LogStartEntry,
}

/// The entry that moved the log start last; number 0: none since the start.
#[derive(Clone, Copy, Debug, Default)]
struct LogStartEntry {
    seq: Seq,
    durability: Durability,
}

/// The leader of one partition.
#[derive(Debug)]
pub struct LeaderMachine {
    epoch: LeaderEpoch,
    epochs: Arc<Vec<(LeaderEpoch, Offset)>>,
    seq: Seq,
    log_start: Offset,
    end: Offset,
    written_end: Offset,
    synced_end: Offset,
    high_watermark: Offset,
    /// While `synced` is below this, an `fsync` topic that was `os` still counts what is written.
    fsync_from: Offset,
    producers: ProducerTable,
    config: LeaderConfig,
    role: Role,
    in_flight: VecDeque<InFlight>,
    persisted: (Seq, Seq),
    waits: Waits,
    log_start_entry: LogStartEntry,
    trims: VecDeque<Trimming>,
    checks: Checks,
    /// None before the first step.
    next_expiry: Option<Millis>,
    published: Option<View>,
}

/// Producers are looked through this often for those that are idle (Kafka: `producer.id.expiration.check.interval.ms`).
pub(super) const EXPIRY_EVERY_MS: u64 = 600_000;

impl LeaderMachine {
    /// A leader over a log whose every byte is durable.
    #[must_use]
    pub fn new(start: LeaderStart) -> LeaderMachine {
        LeaderMachine {
            epoch: start.leader_epoch,
            epochs: Arc::new(start.epochs),
            seq: start.seq,
            log_start: start.log_start,
            end: start.next,
            written_end: start.next,
            synced_end: start.next,
            high_watermark: start.next,
            fsync_from: start.log_start,
            producers: start.producers,
            config: start.config,
            role: start.offline.map_or(Role::Leader, Role::Offline),
            in_flight: VecDeque::new(),
            persisted: (start.seq, start.seq),
            waits: Waits::default(),
            log_start_entry: LogStartEntry::default(),
            trims: VecDeque::new(),
            checks: Checks::default(),
            next_expiry: None,
            published: None,
        }
    }

    /// The producers it knows.
    #[must_use]
    pub fn producers(&self) -> &ProducerTable {
        &self.producers
    }

    /// Why it serves nobody, if so.
    pub fn serves(&self) -> Result<(), Reject> {
        self.role.serves()
    }

    /// The boundaries as they are.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            role: self.role.clone(),
            leader_epoch: self.epoch,
            log_start: self.log_start,
            end: self.end,
            high_watermark: self.high_watermark,
            last_stable_offset: self.high_watermark,
            log_id: 0,
            rules: self.config.rules(),
            epochs: Arc::clone(&self.epochs),
        }
    }

    /// Called with every step: the first one starts the clock, for every producer known too.
    fn begin(&mut self, now: Millis) {
        self.checks.begin(now, &self.config);
        if self.next_expiry.is_none() {
            self.next_expiry = Some(now.plus(EXPIRY_EVERY_MS));
            self.producers.begin(now);
        }
    }

    fn append(&mut self, now: Now, new: Waiting, head: BatchHead, out: &mut Effects<Effect>) {
        if let Err(reject) = self.admit(&head) {
            out.push(Effect::Note(Event::Refused));
            out.push(Effect::Answer { ticket: new.ticket, result: Err(reject) });
            return;
        }
        match self.producers.judge(&head) {
            Judgement::Refused(reject) => {
                out.push(Effect::Note(Event::Refused));
                out.push(Effect::Answer { ticket: new.ticket, result: Err(reject) });
            }
            Judgement::Duplicate(stored) => {
                out.push(Effect::Note(Event::Duplicate));
                // Joins the stored batch: answered when that one may be, never before.
                let appended = self.appended(stored.base_offset, stored.timestamp);
                self.wait(Waiting { last_offset: stored.last_offset, appended, ..new }, out);
            }
            Judgement::Fresh => self.store(now, new, head, out),
        }
    }

    fn admit(&self, head: &BatchHead) -> Result<(), Reject> {
        self.serves()?;
        if self.waits.len() >= limits::TICKETS_PER_PARTITION {
            return Err(Reject::Busy);
        }
        let size = head.size as usize;
        if size > self.config.max_message_bytes {
            return Err(Reject::TooLarge { size, max: self.config.max_message_bytes });
        }
        if head.is_transactional() {
            return Err(Reject::InvalidTxnState);
        }
        if self.end.checked_add(i64::from(head.last_offset_delta) + 1).is_none() {
            return Err(Reject::InvalidRecord("the partition's offsets are used up".into()));
        }
        Ok(())
    }

    fn store(&mut self, now: Now, new: Waiting, head: BatchHead, out: &mut Effects<Effect>) {
        let base = self.end;
        let log_append_time = self.config.log_append_time.then_some(now.wall.0);
        let head = log_append_time.map_or(head, |time| head.at_log_append_time(time));
        let placed = BatchHead { base_offset: base, leader_epoch: self.epoch, ..head };
        if self.epochs.last().is_none_or(|(epoch, _)| *epoch < self.epoch) {
            Arc::make_mut(&mut self.epochs).push((self.epoch, base));
        }
        self.producers.apply_at(&placed, now.mono);
        self.end = placed.next_offset();
        self.seq = self.seq.next();
        self.in_flight.push_back(InFlight { seq: self.seq, end: self.end });
        out.push(Effect::Journal {
            seq: self.seq,
            entry: Entry::Append { base, epoch: self.epoch },
            durability: self.config.durability,
            ticket: Some(new.ticket),
            log_append_time,
        });
        let appended = self.appended(base, log_append_time.unwrap_or(-1));
        self.wait(Waiting { last_offset: self.end - 1, appended, ..new }, out);
    }

    fn appended(&self, base_offset: Offset, log_append_time: i64) -> Appended {
        Appended { base_offset, log_append_time, log_start: self.log_start }
    }

    /// Answers now if it may, else queues the wait in offset order.
    fn wait(&mut self, new: Waiting, out: &mut Effects<Effect>) {
        if new.acks == Acks::None || new.last_offset < self.high_watermark {
            out.push(Effect::Answer { ticket: new.ticket, result: Ok(new.appended) });
            return;
        }
        self.waits.push(new);
    }

    fn persisted(&mut self, written: Seq, synced: Seq, out: &mut Effects<Effect>) {
        self.persisted.0 = self.persisted.0.max(written);
        self.persisted.1 = self.persisted.1.max(synced);
        let (written, synced) = self.persisted;
        self.written_end = self.written_end.max(self.end_of(written));
        self.synced_end = self.synced_end.max(self.end_of(synced));
        while self.in_flight.front().is_some_and(|e| e.seq <= written && e.seq <= synced) {
            self.in_flight.pop_front();
        }
        self.advance(out);
        self.answer_trims(out);
    }

    /// The log's end after the last entry in flight up to this number; 0 if it is none of those.
    fn end_of(&self, seq: Seq) -> Offset {
        let at = self.in_flight.partition_point(|entry| entry.seq <= seq);
        at.checked_sub(1).and_then(|at| self.in_flight.get(at)).map_or(0, |entry| entry.end)
    }

    /// The durable end of this replica: what an acknowledgement may rest on.
    fn durable_end(&self) -> Offset {
        match self.config.durability {
            Durability::Os => self.written_end,
            Durability::Fsync if self.synced_end < self.fsync_from => self.written_end.min(self.fsync_from),
            Durability::Fsync => self.synced_end,
        }
    }

    /// Moves the high watermark (the in-sync set is this node) and answers what lies below it.
    fn advance(&mut self, out: &mut Effects<Effect>) {
        let durable = self.durable_end();
        if durable <= self.high_watermark {
            return;
        }
        self.high_watermark = durable;
        self.publish(out);
        while let Some(first) = self.waits.pop_below(self.high_watermark) {
            out.push(Effect::Answer { ticket: first.ticket, result: Ok(first.appended) });
        }
    }

    fn publish(&mut self, out: &mut Effects<Effect>) {
        let view = self.view();
        if self.published.as_ref() != Some(&view) {
            self.published = Some(view.clone());
            out.push(Effect::Publish(view));
        }
    }

    fn configure(&mut self, now: Now, config: LeaderConfig, out: &mut Effects<Effect>) {
        if self.config.durability == Durability::Os && config.durability == Durability::Fsync {
            self.fsync_from = self.high_watermark;
        }
        self.config = config;
        self.checks.configured(now.mono, &self.config);
        self.publish(out);
        self.advance(out);
    }

    fn trim(&mut self, ticket: Ticket, to: Offset, own: bool, out: &mut Effects<Effect>) {
        let to = if to == -1 { self.high_watermark } else { to };
        let reject = match self.serves() {
            Err(reject) => Some(reject),
            Ok(()) if self.config.compact && !self.config.delete && !own => Some(Reject::NotDeletable),
            Ok(()) if to < 0 || to > self.high_watermark => Some(Reject::OffsetOutOfRange(to)),
            Ok(()) if self.trims.len() >= limits::TICKETS_PER_PARTITION => Some(Reject::Busy),
            Ok(()) => None,
        };
        if let Some(reject) = reject {
            out.push(Effect::Answer { ticket, result: Err(reject) });
            return;
        }
        self.move_log_start(to, out);
        // Also where the log start is there already: the entry that moved it may still be on its way.
        self.trims.push_back(Trimming { ticket, to, entry: self.log_start_entry });
        self.answer_trims(out);
    }

    /// Moves the log start up, never down.
    fn move_log_start(&mut self, to: Offset, out: &mut Effects<Effect>) {
        if to <= self.log_start {
            return;
        }
        self.log_start = to;
        trim_epochs(Arc::make_mut(&mut self.epochs), to);
        self.seq = self.seq.next();
        self.in_flight.push_back(InFlight { seq: self.seq, end: self.end });
        let durability = self.config.durability;
        self.log_start_entry = LogStartEntry { seq: self.seq, durability };
        self.journal(Entry::LogStart { to }, out);
        self.publish(out);
    }

    fn answer_trims(&mut self, out: &mut Effects<Effect>) {
        let (written, synced) = self.persisted;
        let durable = |entry: LogStartEntry| match entry.durability {
            Durability::Os => entry.seq <= written,
            Durability::Fsync => entry.seq <= synced,
        };
        while let Some(first) = self.trims.front().copied().filter(|trim| durable(trim.entry)) {
            self.trims.pop_front();
            out.push(Effect::Answer { ticket: first.ticket, result: Ok(self.appended(first.to, -1)) });
        }
    }

    /// What the store says of retention, or that it does not know.
    fn expired(&mut self, now: Now, to: Option<Offset>, out: &mut Effects<Effect>) {
        let valid = self.checks.answered(now.mono, &self.config);
        let to = to.map(|to| to.min(self.high_watermark)).filter(|to| *to > self.log_start);
        if let Some(to) = to.filter(|_| valid && self.role == Role::Leader) {
            self.move_log_start(to, out);
            out.push(Effect::Note(Event::Expired));
        }
    }

    /// Journals the entry that `seq` counts already, one without a batch.
    fn journal(&self, entry: Entry, out: &mut Effects<Effect>) {
        let durability = self.config.durability;
        out.push(Effect::Journal { seq: self.seq, entry, durability, ticket: None, log_append_time: None });
    }

    fn shard_failed(&mut self, why: String, out: &mut Effects<Effect>) {
        if self.role == Role::Deleted {
            return;
        }
        self.end_waits(&Reject::Storage(why.clone()), out);
        self.role = Role::Offline(why);
        self.publish(out);
    }

    /// Ends all waits, then journals the replica's last entry. The new role is shown before that entry: a read that
    /// misses the replica in the store finds the reason in the view.
    fn delete(&mut self, out: &mut Effects<Effect>) {
        if self.role == Role::Deleted {
            return;
        }
        self.role = Role::Deleted;
        self.publish(out);
        self.end_waits(&Reject::TopicDeleted, out);
        self.seq = self.seq.next();
        self.journal(Entry::Drop, out);
    }

    fn end_waits(&mut self, reject: &Reject, out: &mut Effects<Effect>) {
        let waiting = self.waits.take().into_iter().map(|waiting| waiting.ticket);
        for ticket in waiting.chain(self.trims.drain(..).map(|trim| trim.ticket)) {
            out.push(Effect::Answer { ticket, result: Err(reject.clone()) });
        }
    }

    fn tick(&mut self, now: Now, out: &mut Effects<Effect>) {
        for waiting in self.waits.expire(now.mono) {
            out.push(Effect::Note(Event::TimedOut));
            out.push(Effect::Answer { ticket: waiting.ticket, result: Err(Reject::TimedOut) });
        }
        if self.next_expiry.is_some_and(|due| now.mono >= due) {
            self.next_expiry = Some(now.mono.plus(EXPIRY_EVERY_MS));
            let idle = self.producers.expire(now.mono, self.config.producer_expiration_ms);
            out.extend(idle.map(|below| Effect::Forget(Forgotten { below, seq: self.seq })));
        }
        let (from, until) = (self.log_start, self.high_watermark);
        let some = from < until && self.role == Role::Leader;
        if let Some(rules) = self.checks.due(now, &self.config, some) {
            out.push(Effect::Retain { from, until, rules });
        }
    }
}

impl Machine for LeaderMachine {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Now, input: Input, out: &mut Effects<Effect>) {
        self.begin(now.mono);
        match input {
            Input::Append { ticket, head, acks, deadline } => {
                let appended = self.appended(-1, -1);
                let new = Waiting { ticket, last_offset: -1, acks, deadline, appended };
                self.append(now, new, head, out);
            }
            Input::Persisted { written, synced } => self.persisted(written, synced, out),
            Input::Configure(config) => self.configure(now, config, out),
            Input::Trim { ticket, to, own } => self.trim(ticket, to, own, out),
            Input::Expired { to } => self.expired(now, to, out),
            Input::ShardFailed(why) => self.shard_failed(why, out),
            Input::Delete => self.delete(out),
            Input::Tick => self.tick(now, out),
        }
    }

    fn next_deadline(&self) -> Option<Millis> {
        let expiry = self.next_expiry.filter(|_| !self.producers.is_empty());
        self.waits.next_deadline().into_iter().chain(expiry).chain(self.checks.next()).min()
    }

    fn check(&self) {
        assert!(self.log_start <= self.high_watermark, "log start {} above hw", self.log_start);
        assert!(self.high_watermark <= self.end, "high watermark above the end");
        assert!(self.synced_end <= self.end && self.written_end <= self.end);
        self.waits.check(self.high_watermark);
        self.producers.check();
        assert!(self.epochs.is_sorted_by(|a, b| a.0 < b.0), "leader epochs strictly grow");
    }
}
