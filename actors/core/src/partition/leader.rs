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
//! Durable end: the end of the last entry that is synced (`fsync` topics) or written (`os`). After a change from `os`
//! to `fsync` it stays `written` until `synced` has passed the high watermark of that moment.

use super::producers::{Judgement, ProducerTable};
use super::view::{Role, View};
use crate::Reject;
use crate::ids::{LeaderEpoch, Offset, Seq, Ticket};
use crate::limits;
use crate::machine::{Effects, Machine};
use crate::records::BatchHead;
use crate::storage::{Durability, Entry};
use crate::time::{Millis, Now};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What a topic's configuration says to its leaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderConfig {
    /// What an acknowledgement means.
    pub durability: Durability,
    /// `max.message.bytes`.
    pub max_message_bytes: usize,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `producer.id.expiration.ms`.
    pub producer_expiration_ms: i64,
}

impl Default for LeaderConfig {
    fn default() -> LeaderConfig {
        LeaderConfig {
            durability: Durability::Fsync,
            max_message_bytes: limits::MESSAGE_MAX_BYTES_DEFAULT,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            producer_expiration_ms: 86_400_000,
        }
    }
}

/// Which acknowledgement a request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// None: the client does not wait.
    None,
    /// Durable at the leader.
    Leader,
    /// Durable on every in-sync replica.
    All,
}

impl Acks {
    /// From the wire.
    pub fn of(acks: i16) -> Result<Acks, Reject> {
        match acks {
            0 => Ok(Acks::None),
            1 => Ok(Acks::Leader),
            -1 => Ok(Acks::All),
            _ => Err(Reject::InvalidAcks),
        }
    }
}

/// What can happen to a leader.
#[derive(Clone, Debug)]
pub enum Input {
    /// A batch wants in.
    Append {
        /// Names its bytes and its answer.
        ticket: Ticket,
        /// What it is; its offsets and epoch are still the client's.
        head: BatchHead,
        /// When to answer.
        acks: Acks,
        /// When to give up waiting.
        deadline: Millis,
    },
    /// Entries have come this far.
    Persisted {
        /// Last entry in the page cache.
        written: Seq,
        /// Last entry on disk.
        synced: Seq,
    },
    /// The topic's configuration changed.
    Configure(LeaderConfig),
    /// The log start is to move up (DeleteRecords, retention).
    Trim {
        /// Names its answer.
        ticket: Ticket,
        /// The new log start; −1: the high watermark.
        to: Offset,
    },
    /// The storage under it has failed for good.
    ShardFailed(String),
    /// The topic was deleted.
    Delete,
    /// A deadline may have passed.
    Tick,
}

/// A batch's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// The broker's timestamp under `LogAppendTime`, else −1.
    pub log_append_time: i64,
    /// The partition's log start.
    pub log_start: Offset,
}

/// What a leader wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Journal this entry; for `Append`, the bytes kept under `ticket` go with it, base offset and epoch written in.
    Journal {
        /// Its number.
        seq: Seq,
        /// The change.
        entry: Entry,
        /// Whether it waits for a sync.
        durability: Durability,
        /// Whose bytes.
        ticket: Option<Ticket>,
    },
    /// Show the new boundaries and wake who waits for them.
    Publish(View),
    /// Answer this ticket.
    Answer {
        /// Which.
        ticket: Ticket,
        /// With what.
        result: Result<Appended, Reject>,
    },
    /// Count and log.
    Note(Event),
}

/// What is worth counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A batch was stored already.
    Duplicate,
    /// A batch was refused.
    Refused,
    /// A wait ended at its deadline.
    TimedOut,
}

/// What a leader starts from.
#[derive(Clone, Debug)]
pub struct LeaderStart {
    /// Its epoch.
    pub leader_epoch: LeaderEpoch,
    /// Number of the replica's last entry; all up to it are durable.
    pub seq: Seq,
    /// Log start offset.
    pub log_start: Offset,
    /// Log end offset; everything below it is durable.
    pub next: Offset,
    /// Leader epochs so far.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
    /// Producers at `next`.
    pub producers: ProducerTable,
    /// The topic's configuration.
    pub config: LeaderConfig,
    /// Why the replica may not serve.
    pub offline: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    ticket: Ticket,
    /// Answered once the watched end is past this.
    last_offset: Offset,
    acks: Acks,
    deadline: Millis,
    appended: Appended,
}

/// An entry on its way to the disk.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    seq: Seq,
    /// The log's end after it.
    end: Offset,
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
    offline: Option<String>,
    in_flight: VecDeque<InFlight>,
    persisted: (Seq, Seq),
    waiting: VecDeque<Waiting>,
    deadlines: BTreeMap<Millis, usize>,
    next_expiry: Millis,
    published: Option<View>,
}

/// Producers are looked through this often for those that have expired.
const EXPIRY_EVERY_MS: u64 = 600_000;

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
            offline: start.offline,
            in_flight: VecDeque::new(),
            persisted: (start.seq, start.seq),
            waiting: VecDeque::new(),
            deadlines: BTreeMap::new(),
            next_expiry: Millis(EXPIRY_EVERY_MS),
            published: None,
        }
    }

    /// The boundaries as they are.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            role: self.offline.clone().map_or(Role::Leader, Role::Offline),
            leader_epoch: self.epoch,
            log_start: self.log_start,
            end: self.end,
            high_watermark: self.high_watermark,
            last_stable_offset: self.high_watermark,
            log_id: 0,
            epochs: Arc::clone(&self.epochs),
        }
    }

    fn append(&mut self, now: Now, new: Waiting, head: BatchHead, out: &mut Effects<Effect>) {
        if let Err(reject) = self.admit(now, &head) {
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
                let appended = self.appended(stored.base_offset);
                self.wait(Waiting { last_offset: stored.last_offset, appended, ..new }, out);
            }
            Judgement::Fresh => self.store(new, head, out),
        }
    }

    fn admit(&self, now: Now, head: &BatchHead) -> Result<(), Reject> {
        if let Some(why) = &self.offline {
            return Err(Reject::Storage(why.clone()));
        }
        if self.waiting.len() >= limits::TICKETS_PER_PARTITION {
            return Err(Reject::Busy);
        }
        let size = head.size as usize;
        if size > self.config.max_message_bytes {
            return Err(Reject::TooLarge { size, max: self.config.max_message_bytes });
        }
        let ahead = head.max_timestamp.saturating_sub(now.wall.0);
        let behind = now.wall.0.saturating_sub(head.base_timestamp);
        let dated = head.max_timestamp >= 0;
        if dated
            && (ahead > self.config.timestamp_after_max_ms || behind > self.config.timestamp_before_max_ms)
        {
            return Err(Reject::InvalidTimestamp);
        }
        if head.is_transactional() {
            return Err(Reject::InvalidTxnState);
        }
        if self.end.checked_add(i64::from(head.last_offset_delta) + 1).is_none() {
            return Err(Reject::InvalidRecord("the partition's offsets are used up".into()));
        }
        Ok(())
    }

    fn store(&mut self, new: Waiting, head: BatchHead, out: &mut Effects<Effect>) {
        let base = self.end;
        let placed = BatchHead { base_offset: base, leader_epoch: self.epoch, ..head };
        if self.epochs.last().is_none_or(|(epoch, _)| *epoch < self.epoch) {
            Arc::make_mut(&mut self.epochs).push((self.epoch, base));
        }
        self.producers.apply(&placed);
        self.end = placed.next_offset();
        self.seq = self.seq.next();
        self.in_flight.push_back(InFlight { seq: self.seq, end: self.end });
        out.push(Effect::Journal {
            seq: self.seq,
            entry: Entry::Append { base, epoch: self.epoch },
            durability: self.config.durability,
            ticket: Some(new.ticket),
        });
        let appended = self.appended(base);
        self.wait(Waiting { last_offset: self.end - 1, appended, ..new }, out);
    }

    fn appended(&self, base_offset: Offset) -> Appended {
        Appended { base_offset, log_append_time: -1, log_start: self.log_start }
    }

    /// Answers now if it may, else queues the wait in offset order.
    fn wait(&mut self, new: Waiting, out: &mut Effects<Effect>) {
        if new.acks == Acks::None || new.last_offset < self.high_watermark {
            out.push(Effect::Answer { ticket: new.ticket, result: Ok(new.appended) });
            return;
        }
        let at = self.waiting.partition_point(|w| w.last_offset <= new.last_offset);
        self.waiting.insert(at, new);
        *self.deadlines.entry(new.deadline).or_default() += 1;
    }

    fn persisted(&mut self, written: Seq, synced: Seq, out: &mut Effects<Effect>) {
        self.persisted.0 = self.persisted.0.max(written);
        self.persisted.1 = self.persisted.1.max(synced);
        let (written, synced) = self.persisted;
        for entry in &self.in_flight {
            if entry.seq <= written {
                self.written_end = self.written_end.max(entry.end);
            }
            if entry.seq <= synced {
                self.synced_end = self.synced_end.max(entry.end);
            }
            if entry.seq > written && entry.seq > synced {
                break;
            }
        }
        while self.in_flight.front().is_some_and(|e| e.seq <= written && e.seq <= synced) {
            self.in_flight.pop_front();
        }
        self.advance(out);
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
        while let Some(first) = self.waiting.front()
            && first.last_offset < self.high_watermark
        {
            let first = *first;
            self.waiting.pop_front();
            self.forget_deadline(first.deadline);
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

    fn forget_deadline(&mut self, deadline: Millis) {
        if let Some(count) = self.deadlines.get_mut(&deadline) {
            *count -= 1;
            if *count == 0 {
                self.deadlines.remove(&deadline);
            }
        }
    }

    fn configure(&mut self, config: LeaderConfig, out: &mut Effects<Effect>) {
        if self.config.durability == Durability::Os && config.durability == Durability::Fsync {
            self.fsync_from = self.high_watermark;
        }
        self.config = config;
        self.advance(out);
    }

    fn trim(&mut self, ticket: Ticket, to: Offset, out: &mut Effects<Effect>) {
        let to = if to == -1 { self.high_watermark } else { to };
        let result = match &self.offline {
            Some(why) => Err(Reject::Storage(why.clone())),
            None if to < 0 || to > self.high_watermark => Err(Reject::OffsetOutOfRange(to)),
            None => Ok(()),
        };
        if let Err(reject) = result {
            out.push(Effect::Answer { ticket, result: Err(reject) });
            return;
        }
        if to > self.log_start {
            self.log_start = to;
            self.seq = self.seq.next();
            self.in_flight.push_back(InFlight { seq: self.seq, end: self.end });
            let entry = Entry::LogStart { to };
            let durability = self.config.durability;
            out.push(Effect::Journal { seq: self.seq, entry, durability, ticket: None });
            self.publish(out);
        }
        out.push(Effect::Answer { ticket, result: Ok(self.appended(to)) });
    }

    fn shard_failed(&mut self, why: String, out: &mut Effects<Effect>) {
        self.end_waits(&Reject::Storage(why.clone()), out);
        self.offline = Some(why);
        self.publish(out);
    }

    /// The replica's last entry; whoever waits is told that the partition is gone.
    fn delete(&mut self, out: &mut Effects<Effect>) {
        self.seq = self.seq.next();
        let durability = self.config.durability;
        out.push(Effect::Journal { seq: self.seq, entry: Entry::Drop, durability, ticket: None });
        self.end_waits(&Reject::UnknownPartition, out);
        self.offline = Some("the topic was deleted".into());
        self.publish(out);
    }

    fn end_waits(&mut self, reject: &Reject, out: &mut Effects<Effect>) {
        for waiting in std::mem::take(&mut self.waiting) {
            out.push(Effect::Answer { ticket: waiting.ticket, result: Err(reject.clone()) });
        }
        self.deadlines.clear();
    }

    fn tick(&mut self, now: Now, out: &mut Effects<Effect>) {
        if self.deadlines.first_key_value().is_some_and(|(first, _)| *first <= now.mono) {
            let (late, kept): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(&mut self.waiting).into_iter().partition(|w| w.deadline <= now.mono);
            self.waiting = kept;
            for waiting in late {
                self.forget_deadline(waiting.deadline);
                out.push(Effect::Note(Event::TimedOut));
                out.push(Effect::Answer { ticket: waiting.ticket, result: Err(Reject::TimedOut) });
            }
        }
        if now.mono >= self.next_expiry {
            self.next_expiry = now.mono.plus(EXPIRY_EVERY_MS);
            self.producers.expire(now.wall, self.config.producer_expiration_ms);
        }
    }
}

impl Machine for LeaderMachine {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Now, input: Input, out: &mut Effects<Effect>) {
        match input {
            Input::Append { ticket, head, acks, deadline } => {
                let appended = self.appended(-1);
                let new = Waiting { ticket, last_offset: -1, acks, deadline, appended };
                self.append(now, new, head, out);
            }
            Input::Persisted { written, synced } => self.persisted(written, synced, out),
            Input::Configure(config) => self.configure(config, out),
            Input::Trim { ticket, to } => self.trim(ticket, to, out),
            Input::ShardFailed(why) => self.shard_failed(why, out),
            Input::Delete => self.delete(out),
            Input::Tick => self.tick(now, out),
        }
    }

    fn next_deadline(&self) -> Option<Millis> {
        let waiting = self.deadlines.first_key_value().map(|(first, _)| *first);
        let expiry = (!self.producers.is_empty()).then_some(self.next_expiry);
        waiting.into_iter().chain(expiry).min()
    }

    fn check(&self) {
        assert!(self.log_start <= self.high_watermark, "log start {} above hw", self.log_start);
        assert!(self.high_watermark <= self.end, "high watermark above the end");
        assert!(self.synced_end <= self.end && self.written_end <= self.end);
        assert!(self.waiting.iter().is_sorted_by_key(|w| w.last_offset), "tickets sorted by offset");
        assert!(
            self.waiting.iter().all(|w| w.last_offset >= self.high_watermark),
            "nothing answerable waits"
        );
        assert!(self.epochs.is_sorted_by(|a, b| a.0 < b.0), "leader epochs strictly grow");
        assert_eq!(self.deadlines.values().sum::<usize>(), self.waiting.len());
    }
}
