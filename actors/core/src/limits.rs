//! Every bound of the broker, in one place: a commented sum, asserted against the machine's memory at start ([`fit`]),
//! exported as metrics, term by term.
//!
//! ```text
//!   produce requests 128 + other requests 32 + small frames 16 + largest request 100 + responses 128 + their reserve 32
//!   + tail 96 + tickets 64 Ki · 256 B + fetch sessions 32 + connections 10,000 · 24 KiB + look-ups cores · 34
//!   + small batches that are opened cores · 3
//!   + readers 2 · cores · 1 + shards · (redb's cache 32 + run index 32 + settling 16)                       MiB
//! ```
//!
//! From 2 GiB on these are the defaults. Below, what nobody has set is halved until the sum fits; if it never does, the
//! node does not start and says which terms are too large. What the sum leaves out, because it is no bound but what the
//! node serves: topics, groups and their offsets, idempotent producers. Of those a partition keeps
//! [`PRODUCERS_PER_PARTITION`] at most; partitions are not bounded here, so their product is no term. The process itself
//! is [`PROCESS_BASE`].

/// One mebibyte.
pub const MIB: usize = 1024 * 1024;

/// Largest request frame (Kafka: `socket.request.max.bytes`).
pub const SOCKET_REQUEST_MAX_BYTES: usize = 100 * MIB;
/// What the system buffers of answers for a connection. Less than a consumer's window, so that nothing waits in the socket
/// for acknowledgements: those are taken on the client's processor, what they let go overtakes what this side sends, and
/// TCP mends that by sending again. Larger than Kafka's 100 KiB (`socket.send.buffer.bytes`), which costs a wake-up each.
pub const SOCKET_SEND_BUFFER_BYTES: i32 = 1 << 20;
/// Largest batch (Kafka: `message.max.bytes` may be raised up to this): a group never crosses a segment.
pub const MESSAGE_MAX_BYTES_CEILING: usize = 32 * MIB;
/// Kafka's default of `message.max.bytes`.
pub const MESSAGE_MAX_BYTES_DEFAULT: usize = 1_048_588;
/// Answers that wait in order on one connection.
pub const REPLIES_IN_FLIGHT: usize = 64;
/// Produce answers that wait on one partition at most.
pub const TICKETS_PER_PARTITION: usize = 64 * 1024;
/// Batches per producer and partition whose retry is recognised.
pub const PRODUCER_BATCHES_KEPT: usize = 5;
/// Idempotent producers that a partition remembers; beyond, the one whose last batch lies lowest is forgotten. A producer
/// takes some 400 bytes with five batches: 6.5 MiB in the leader, as much in the store, a snapshot row of 2.8 MiB.
/// Fewer would forget producers of a large fleet between two batches of theirs. A constant, because replicas must agree.
pub const PRODUCERS_PER_PARTITION: usize = 16 * 1024;
/// Payload that one journal group takes at most.
pub const GROUP_BYTES_MAX: usize = 4 * MIB;
/// A reader's job at most.
pub const READ_JOB_BYTES: usize = MIB;
/// Bytes that one batch may decompress to where the broker looks into it.
pub const DECOMPRESSED_MAX: usize = 128 * MIB;
/// Compressed batches of one request up to so many bytes are opened where the request is read: a hand-over costs more.
pub const OPENED_AT_ONCE: usize = 16 * 1024;
/// A batch that unpacks to more is opened by a thread of its own.
pub const UNPACKED_AT_ONCE: usize = 256 * 1024;
/// The same of all batches of a request together.
pub const UNPACKED_AT_ONCE_SUM: usize = MIB;
/// All batches of a request may unpack to [`DECOMPRESSED_MAX`] and so many times their own bytes: some seconds of a thread.
pub const UNPACKED_TIMES_MAX: usize = 32;
/// What opening small batches holds, a core: the window that a decoder keeps, and buffers.
pub const OPENING_BYTES: usize = 3 * MIB;
/// Refused records that the answer to one request names one by one; Kafka names them all.
pub const BAD_RECORDS_NAMED: usize = 1000;
/// Jobs that wait for a reader thread at most.
pub const READ_QUEUE: usize = 256;
/// Runs in a shard's run index at most (32 bytes each).
pub const RUN_INDEX_MAX: usize = 1 << 20;

/// Longest value of a config: a string of Kafka's wire, in which DescribeConfigs tells it.
pub const CONFIG_VALUE_MAX: usize = 32_767;
/// Longest name of a group or a subscription that has configs: a string of Kafka's older versions.
pub const CONFIG_RESOURCE_NAME_MAX: usize = 32_767;
/// Partitions in one answer to DescribeTopicPartitions (Kafka: `max.request.partition.size.limit`).
pub const DESCRIBED_PARTITIONS_MAX: usize = 2000;

/// Memory of all fetch sessions: some 120,000 partitions.
pub const FETCH_SESSION_BYTES: usize = 32 * MIB;

/// First piece of a frame that is made room for, while less than half of its pool is taken.
pub const FRAME_FIRST: usize = 64 * 1024;
/// The same from then on: a frame that stalls shall hold about as much as it sent.
pub const FRAME_FIRST_LEAN: usize = 1024;
/// A frame of which no more is missing goes on out of a reserve of its own when its pool is dry: large ones that stall
/// hold up none of these.
pub const FRAME_SMALL: usize = MIB;
/// What moves fewer bytes a second, for [`PATIENCE_MS`], is ended while others wait.
pub const LEAST_BYTES_A_SECOND: u64 = 64 * 1024;
/// See [`LEAST_BYTES_A_SECOND`].
pub const PATIENCE_MS: u64 = 10_000;
/// Longest `throttle_time_ms` that an answer carries (Kafka: the request quota's, one window).
pub const THROTTLE_MS_MAX: u64 = 1_000;
/// Answers up to this size are not charged to the responses' pool: they are in a connection's own share.
pub const ANSWER_SMALL: usize = 8 * 1024;
/// A waiting produce answer.
pub const TICKET_BYTES: usize = 256;
/// A connection: two tasks, their queue, its socket (9 KiB at rest, 15 with a fetch that waits), and a small answer.
pub const CONNECTION_BYTES: usize = 24 * 1024;
/// Connections where nobody says (Kafka: `max.connections`), if there are descriptors for them.
pub const CONNECTIONS_DEFAULT: usize = 10_000;
/// Descriptors that connections leave to everything else, beside those of the journal.
pub const FILES_KEPT: usize = 256;
/// The window of the largest decoder and the buffers round it: one look into a compressed batch.
pub const LOOK_UP_BYTES: usize = 34 * MIB;
/// What settling holds of a shard's journal at once.
pub const SETTLE_BYTES: usize = 16 * MIB;
/// A run in the run index.
pub const RUN_BYTES: usize = 32;
/// The process without load: code, threads, allocator, redb's own, a few thousand partitions.
pub const PROCESS_BASE: usize = 96 * MIB;

/// The byte budgets of one process: what can be set, and what is scaled with the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Bodies of produce requests that are not yet written.
    pub produce: usize,
    /// Bodies of all other requests.
    pub requests: usize,
    /// Out of which small frames go on when their pool is dry.
    pub small: usize,
    /// Responses that are not yet sent.
    pub responses: usize,
    /// Out of which the oldest fetch goes on when there is no room for responses.
    pub response_reserve: usize,
    /// Newest records kept in memory, of all shards.
    pub tail: usize,
    /// redb's cache, a shard.
    pub redb_cache: usize,
    /// Journaled and not yet settled, a shard; at the limit producers slow down. On disk: no term of the sum.
    pub unsettled: usize,
    /// Waiting produce answers ([`TICKET_BYTES`] each).
    pub tickets: usize,
    /// Connections ([`CONNECTION_BYTES`] each).
    pub connections: usize,
}

impl Default for Budgets {
    fn default() -> Self {
        Budgets {
            produce: 128 * MIB,
            requests: 32 * MIB,
            small: 16 * MIB,
            responses: 128 * MIB,
            response_reserve: 32 * MIB,
            tail: 96 * MIB,
            redb_cache: 32 * MIB,
            unsettled: 256 * MIB,
            tickets: 64 * 1024,
            connections: CONNECTIONS_DEFAULT,
        }
    }
}

/// Of what there are how many, where the sum multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Shards of the store.
    pub shards: usize,
    /// Threads that read.
    pub readers: usize,
    /// Looks into compressed batches at once, for consumers by time and for producers; and openings of small ones.
    pub look_ups: usize,
    /// `socket.request.max.bytes`: the reserve that one frame always fits.
    pub request_max: usize,
}

/// One term of the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Its name, as it is exported.
    pub what: &'static str,
    /// Its bytes.
    pub bytes: usize,
}

impl Budgets {
    /// Every bound on memory.
    #[must_use]
    pub fn terms(&self, of: &Extent) -> Vec<Term> {
        let terms = [
            ("produce", self.produce),
            ("requests", self.requests),
            ("small", self.small),
            ("reserve", of.request_max),
            ("responses", self.responses),
            ("response_reserve", self.response_reserve),
            ("tail", self.tail),
            ("tickets", self.tickets.saturating_mul(TICKET_BYTES)),
            ("fetch_sessions", FETCH_SESSION_BYTES),
            ("connections", self.connections.saturating_mul(CONNECTION_BYTES)),
            ("look_ups", of.look_ups.saturating_mul(LOOK_UP_BYTES)),
            ("openings", of.look_ups.saturating_mul(OPENING_BYTES)),
            ("readers", of.readers.saturating_mul(READ_JOB_BYTES)),
            ("store_cache", of.shards.saturating_mul(self.redb_cache)),
            ("run_index", of.shards.saturating_mul(RUN_INDEX_MAX * RUN_BYTES)),
            ("settling", of.shards.saturating_mul(SETTLE_BYTES)),
        ];
        terms.into_iter().map(|(what, bytes)| Term { what, bytes }).collect()
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self, of: &Extent) -> usize {
        self.terms(of).iter().fold(0, |sum, term| sum.saturating_add(term.bytes))
    }

    /// Half of everything that is still `before` and more than its least; what somebody has set stays.
    fn halved(self, before: &Budgets) -> Budgets {
        let half = |now: usize, before: usize, least: usize| {
            if now == before { (now / 2).max(least.min(now)) } else { now }
        };
        Budgets {
            produce: half(self.produce, before.produce, 4 * MIB),
            requests: half(self.requests, before.requests, 4 * MIB),
            small: half(self.small, before.small, 2 * MIB),
            responses: half(self.responses, before.responses, 4 * MIB),
            response_reserve: half(self.response_reserve, before.response_reserve, 2 * MIB),
            tail: half(self.tail, before.tail, 4 * MIB),
            redb_cache: half(self.redb_cache, before.redb_cache, 2 * MIB),
            tickets: half(self.tickets, before.tickets, 4096),
            connections: half(self.connections, before.connections, 256),
            unsettled: self.unsettled,
        }
    }
}

/// A sum of bounds that the machine's memory cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the bounds on memory add up to {sum} bytes and the process takes {base}; three quarters of the {memory} that there \
     are cannot hold them: {terms}; lower the largest in the configuration, or give the node more memory",
    base = PROCESS_BASE
)]
pub struct TooLittle {
    /// Of the smallest bounds that were tried.
    pub sum: usize,
    /// What there is.
    pub memory: usize,
    /// The terms, in words, the largest first.
    pub terms: String,
}

/// The largest budgets that fit into three quarters of so much memory (the rest is the page cache's and the sockets'):
/// those that are as by default are halved, as often as need be.
pub fn fit(set: Budgets, of: &Extent, memory: usize) -> Result<Budgets, TooLittle> {
    let (mut now, mut before, most) = (set, Budgets::default(), memory / 4 * 3);
    loop {
        if now.sum(of).saturating_add(PROCESS_BASE) <= most {
            return Ok(now);
        }
        let less = now.halved(&before);
        if less == now {
            let mut terms = now.terms(of);
            terms.sort_by_key(|term| std::cmp::Reverse(term.bytes));
            let terms: Vec<_> = terms.iter().map(|term| format!("{} {}", term.what, term.bytes)).collect();
            return Err(TooLittle { sum: now.sum(of), memory, terms: terms.join(", ") });
        }
        before = before.halved(&before);
        now = less;
    }
}

/// Descriptors that the journal of a shard may need: its segments, one being made, redb, a few to spare.
#[must_use]
pub fn files_of_shard(unsettled: usize, segment: usize) -> usize {
    (unsettled / segment.max(1)).saturating_add(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_CORES: Extent =
        Extent { shards: 1, readers: 4, look_ups: 2, request_max: SOCKET_REQUEST_MAX_BYTES };

    #[test]
    fn from_two_gib_on_the_defaults_hold_and_below_they_are_scaled() {
        let default = Budgets::default();
        assert_eq!(fit(default, &TWO_CORES, 2048 * MIB), Ok(default));
        let four_cores = Extent { shards: 2, readers: 8, look_ups: 4, ..TWO_CORES };
        assert_eq!(fit(default, &four_cores, 2048 * MIB), Ok(default));
        for memory in [512 * MIB, 768 * MIB, 1024 * MIB] {
            let scaled = fit(default, &TWO_CORES, memory).unwrap();
            assert!(scaled.produce < default.produce && scaled.produce >= 4 * MIB, "{memory}: {scaled:?}");
            assert!(scaled.sum(&TWO_CORES) + PROCESS_BASE <= memory / 4 * 3);
            assert_eq!(scaled.unsettled, default.unsettled, "that is on disk");
        }
    }

    #[test]
    fn what_is_set_is_kept_or_refused_in_words() {
        let set = Budgets { produce: 300 * MIB, ..Budgets::default() };
        assert_eq!(fit(set, &TWO_CORES, 1000 * MIB).unwrap().produce, 300 * MIB);
        let refused = fit(set, &TWO_CORES, 400 * MIB).unwrap_err();
        assert!(refused.sum > 300 * MIB && refused.memory == 400 * MIB);
        assert!(refused.terms.starts_with("produce 314572800, reserve 104857600, "), "{refused}");
        assert!(refused.to_string().contains("lower the largest"));
        let all = Budgets { produce: usize::MAX, ..set };
        assert!(fit(all, &TWO_CORES, usize::MAX / 2).is_err(), "a sum beyond all numbers");
    }

    #[test]
    fn every_budget_is_in_the_sum() {
        let one = |change: fn(&mut Budgets)| {
            let mut budgets = Budgets::default();
            change(&mut budgets);
            budgets.sum(&TWO_CORES) - Budgets::default().sum(&TWO_CORES)
        };
        assert_eq!(one(|b| b.produce += 1), 1);
        assert_eq!(one(|b| b.requests += 1), 1);
        assert_eq!(one(|b| b.small += 1), 1);
        assert_eq!(one(|b| b.responses += 1), 1);
        assert_eq!(one(|b| b.response_reserve += 1), 1);
        assert_eq!(one(|b| b.tail += 1), 1);
        assert_eq!(one(|b| b.redb_cache += 1), 1);
        assert_eq!(one(|b| b.tickets += 1), TICKET_BYTES);
        assert_eq!(one(|b| b.connections += 1), CONNECTION_BYTES);
        assert_eq!(one(|b| b.unsettled += 1), 0);
    }
}
