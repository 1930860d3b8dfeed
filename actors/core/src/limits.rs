//! Every bound of the broker, in one place. The bounds on memory are a commented sum, which the start fits to the
//! machine ([`fit`]) and metrics export term by term.
//!
//! ```text
//!   produce requests 128 + other requests 32 + small frames 16 + largest request 100 + responses 128 + their reserve 32
//!   + tail 96 + tickets 64 Ki · 256 B + fetch sessions 32 + connections 10,000 · 24 KiB + look-ups cores · 34
//!   + small batches that are opened cores · 3
//!   + readers 2 · cores · 1 + shards · (redb's cache 32 + run index 32 + settling 16)                       MiB
//!   with peers: + replication 64 + what the largest frame takes beyond a shard's share of that
//!   + peers · (QUIC's windows 8 + shards · cold reads 1 + questions 16) + large questions 64                   MiB
//! ```
//!
//! From 2 GiB on these are the defaults. Below, defaults are halved until the sum fits; if it never fits, the node
//! does not start and says which terms are too large. The sum leaves out the data that the node serves: topics,
//! groups and their offsets, idempotent producers, and changes of metadata on their way ([`CONTROLLER_BYTES`]). A
//! partition keeps [`PRODUCERS_PER_PARTITION`] producers at most, and the number of partitions has no bound here. The
//! process itself is [`PROCESS_BASE`].

/// Bytes in a mebibyte, the unit of most bounds.
pub const MIB: usize = 1024 * 1024;

/// Largest request frame (Kafka: `socket.request.max.bytes`).
pub const SOCKET_REQUEST_MAX_BYTES: usize = 100 * MIB;
/// Send buffer for each connection. It stays below a consumer's TCP window, because a larger buffer queues behind
/// delayed acknowledgements and causes spurious retransmits. It exceeds Kafka's 100 KiB
/// (`socket.send.buffer.bytes`), because a smaller one costs a wake-up each time.
pub const SOCKET_SEND_BUFFER_BYTES: i32 = 1 << 20;
/// Largest batch that `message.max.bytes` may allow, because a journal group never crosses a segment.
pub const MESSAGE_MAX_BYTES_CEILING: usize = 32 * MIB;
/// Kafka's default of `message.max.bytes`.
pub const MESSAGE_MAX_BYTES_DEFAULT: usize = 1_048_588;
/// Answers that wait in order on one connection at most.
pub const REPLIES_IN_FLIGHT: usize = 64;
/// Produce answers that wait on one partition at most.
pub const TICKETS_PER_PARTITION: usize = 64 * 1024;
/// Batches of a producer in a partition whose retry is recognised.
pub const PRODUCER_BATCHES_KEPT: usize = 5;
/// Idempotent producers that a partition remembers; beyond, it forgets the one whose last batch lies lowest. A
/// producer with five batches takes some 400 bytes: 6.5 MiB in the leader, as much in the store, and a snapshot row
/// of 2.8 MiB. A smaller number would forget producers of a large fleet between two of their batches. The number is
/// a constant, because replicas must agree.
pub const PRODUCERS_PER_PARTITION: usize = 16 * 1024;
/// Payload of one journal group at most.
pub const GROUP_BYTES_MAX: usize = 4 * MIB;
/// Bytes of one read job at most.
pub const READ_JOB_BYTES: usize = MIB;
/// Bytes that one batch may decompress to when the broker opens it.
pub const DECOMPRESSED_MAX: usize = 128 * MIB;
/// Compressed bytes of one request up to which its batches are opened where it is read, because a hand-over would
/// cost more.
pub const OPENED_AT_ONCE: usize = 16 * 1024;
/// Unpacked bytes of a batch up to which it is opened where the request is read.
pub const UNPACKED_AT_ONCE: usize = 256 * 1024;
/// Unpacked bytes of all such batches of a request together.
pub const UNPACKED_AT_ONCE_SUM: usize = MIB;
/// All batches of a request may unpack to [`DECOMPRESSED_MAX`] and so many times their own bytes, which takes a
/// thread some seconds.
pub const UNPACKED_TIMES_MAX: usize = 32;
/// Memory for opening small batches, for each core: the window that a decoder keeps, and buffers.
pub const OPENING_BYTES: usize = 3 * MIB;
/// Refused records that the answer to one request names one by one; Kafka names them all.
pub const BAD_RECORDS_NAMED: usize = 1000;
/// Jobs that wait for a reader thread at most.
pub const READ_QUEUE: usize = 256;
/// Runs in a shard's run index at most (32 bytes each).
pub const RUN_INDEX_MAX: usize = 1 << 20;

/// Longest value of a config: DescribeConfigs tells it in a string of Kafka's wire.
pub const CONFIG_VALUE_MAX: usize = 32_767;
/// Longest name of a group or subscription with configs, as a string of Kafka's older versions.
pub const CONFIG_RESOURCE_NAME_MAX: usize = 32_767;
/// Partitions in one answer to DescribeTopicPartitions at most (Kafka: `max.request.partition.size.limit`).
pub const DESCRIBED_PARTITIONS_MAX: usize = 2000;

/// Asks and proposals that the controller keeps at most; clients may take half of the number.
pub const CONTROLLER_KEPT: usize = 4096;
/// About the memory of all of them; clients may take half. A creation of 10,000 partitions takes 5 MiB. Requests hold the
/// permits of their pool besides, until they are answered.
pub const CONTROLLER_BYTES: usize = 32 * MIB;

/// Memory of all fetch sessions, enough for some 120,000 partitions.
pub const FETCH_SESSION_BYTES: usize = 32 * MIB;

/// First room of a frame while less than half of its pool is taken.
pub const FRAME_FIRST: usize = 64 * 1024;
/// First room of a frame once half of its pool is taken, because a stalled frame shall hold about as much as it
/// sent.
pub const FRAME_FIRST_LEAN: usize = 1024;
/// A frame that misses no more than this has a reserve of its own, so that large stalled frames do not hold it up.
pub const FRAME_SMALL: usize = MIB;
/// Least bytes a second: a transfer below it for [`PATIENCE_MS`] ends while others wait.
pub const LEAST_BYTES_A_SECOND: u64 = 64 * 1024;
/// Milliseconds that a transfer may stay below [`LEAST_BYTES_A_SECOND`].
pub const PATIENCE_MS: u64 = 10_000;
/// Longest `throttle_time_ms` that an answer carries (Kafka: the request quota's, one window).
pub const THROTTLE_MS_MAX: u64 = 1_000;
/// Answers up to this size are free, because they are part of [`CONNECTION_BYTES`].
pub const ANSWER_SMALL: usize = 8 * 1024;
/// Memory of a produce answer that waits.
pub const TICKET_BYTES: usize = 256;
/// Memory of a connection: its task, its queue, its socket (9 KiB at rest, 15 with a waiting fetch), and a small
/// answer.
pub const CONNECTION_BYTES: usize = 24 * 1024;
/// Connections if the configuration sets no number, and descriptors and memory allow them.
pub const CONNECTIONS_DEFAULT: usize = 10_000;
/// Descriptors kept for everything but connections and journals.
pub const FILES_KEPT: usize = 256;
/// Memory of one look into a compressed batch: the window of the largest decoder, and its buffers.
pub const LOOK_UP_BYTES: usize = 34 * MIB;
/// Bytes of a shard's journal that settling holds at once.
pub const SETTLE_BYTES: usize = 16 * MIB;
/// Memory of a run in the run index.
pub const RUN_BYTES: usize = 32;
/// Bytes that a feed to a follower reads from the store at once. One larger batch is read alone.
pub const FEED_READ_BYTES: usize = MIB;
/// Questions of one peer that are being read or answered: sixteen large ones of a MiB each.
pub const QUESTION_BYTES: usize = 16 * MIB;
/// Snapshots of the metadata log and other questions above a MiB, of all peers together.
pub const LARGE_QUESTION_BYTES: usize = 64 * MIB;
/// Memory of the windows of QUIC towards one other node.
pub const PEER_WINDOW_BYTES: usize = 8 * MIB;
/// Least memory of a shard for frames from leaders: a usual frame with its head.
pub const REPLICATION_SHARE_LEAST: usize = 384 * 1024;
/// Memory of the process without load: code, threads, allocator, redb's own, a few thousand partitions.
pub const PROCESS_BASE: usize = 96 * MIB;

/// The byte budgets of one process, which can be set or are scaled with the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Produce requests that are not written yet.
    pub produce: usize,
    pub requests: usize,
    /// Reserve for small frames when their pool is dry.
    pub small: usize,
    /// Answers that are not sent yet.
    pub responses: usize,
    /// Reserve for the oldest fetch when there is no room for responses.
    pub response_reserve: usize,
    /// The newest records of all partitions.
    pub tail: usize,
    /// Of each shard by itself.
    pub redb_cache: usize,
    /// Journaled and not yet settled bytes of a shard; at the limit producers slow down. They lie on disk, so they
    /// are no term of the sum.
    pub unsettled: usize,
    /// Waiting produce answers ([`TICKET_BYTES`] each).
    pub tickets: usize,
    pub connections: usize,
    /// Frames of leaders that are not written yet, divided by shard. A single node takes none.
    pub replication: usize,
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
            replication: 64 * MIB,
        }
    }
}

/// Numbers that the sum multiplies by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub shards: usize,
    pub readers: usize,
    /// Compressed batches that may be opened at once, for consumers by time and for producers.
    pub look_ups: usize,
    /// `socket.request.max.bytes`, the size of the reserve that every frame fits.
    pub request_max: usize,
    /// Other nodes of the cluster; 0 on a single node.
    pub peers: usize,
}

/// One bound on memory, with the name that metrics show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// The name that metrics show.
    pub what: &'static str,
    pub bytes: usize,
}

impl Budgets {
    /// All bounds on memory, as terms of the sum.
    #[must_use]
    pub fn terms(&self, of: &Extent) -> Vec<Term> {
        let share = self.replication_share(of.shards);
        let (replication, larger) = match of.peers {
            0 => (0, 0),
            _ => (share, MESSAGE_MAX_BYTES_CEILING.saturating_sub(share)),
        };
        let peer = PEER_WINDOW_BYTES
            .saturating_add(of.shards.saturating_mul(FEED_READ_BYTES))
            .saturating_add(QUESTION_BYTES);
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
            ("replication", of.shards.saturating_mul(replication)),
            ("largest_frame", of.shards.saturating_mul(larger)),
            ("peers", of.peers.saturating_mul(peer)),
            ("large_questions", if of.peers > 0 { LARGE_QUESTION_BYTES } else { 0 }),
        ];
        terms.into_iter().map(|(what, bytes)| Term { what, bytes }).collect()
    }

    /// Memory of each shard for frames from leaders. A larger frame takes all of it, and goes alone.
    #[must_use]
    pub fn replication_share(&self, shards: usize) -> usize {
        (self.replication / shards.max(1)).max(REPLICATION_SHARE_LEAST)
    }

    /// The sum of all terms, in bytes.
    #[must_use]
    pub fn sum(&self, of: &Extent) -> usize {
        self.terms(of).iter().fold(0, |sum, term| sum.saturating_add(term.bytes))
    }

    /// Halves every default that is above its least; values that were set stay.
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
            replication: half(self.replication, before.replication, 4 * MIB),
            unsettled: self.unsettled,
        }
    }
}

/// The bounds on memory are larger than the memory allows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the bounds on memory add up to {sum} bytes and the process takes {base}; three quarters of the {memory} that there \
     are cannot hold them: {terms}; lower the largest in the configuration, or give the node more memory",
    base = PROCESS_BASE
)]
pub struct TooLittle {
    /// The sum of the smallest bounds that were tried.
    pub sum: usize,
    pub memory: usize,
    /// The terms, in words, the largest first.
    pub terms: String,
}

/// The largest budgets that fit into three quarters of the memory; page cache and sockets have the rest. Defaults
/// are halved as often as needed.
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

/// Descriptors that a shard may need: its segments, one in the making, redb, and a few to spare.
#[must_use]
pub fn files_of_shard(unsettled: usize, segment: usize) -> usize {
    (unsettled / segment.max(1)).saturating_add(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_CORES: Extent =
        Extent { shards: 1, readers: 4, look_ups: 2, request_max: SOCKET_REQUEST_MAX_BYTES, peers: 0 };

    #[test]
    fn from_two_gib_on_the_defaults_hold_and_below_they_are_scaled() {
        let default = Budgets::default();
        assert_eq!(fit(default, &TWO_CORES, 2048 * MIB), Ok(default));
        let four_cores = Extent { shards: 2, readers: 8, look_ups: 4, ..TWO_CORES };
        assert_eq!(fit(default, &four_cores, 2048 * MIB), Ok(default));
        let three_nodes = Extent { peers: 2, ..four_cores };
        assert_eq!(fit(default, &three_nodes, 2048 * MIB), Ok(default));
        assert!(fit(default, &Extent { peers: 2, ..TWO_CORES }, 768 * MIB).unwrap().replication < 64 * MIB);
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
        assert_eq!(one(|b| b.replication += 1), 0, "a single node follows nobody");
        let sum = |peers, replication| {
            let budgets = Budgets { replication, ..Budgets::default() };
            budgets.sum(&Extent { peers, shards: 4, ..TWO_CORES })
        };
        assert_eq!(sum(1, 256 * MIB) - sum(0, 0), (256 + 8 + 4 + 16 + 64) * MIB);
        assert_eq!(sum(2, 64 * MIB) - sum(1, 64 * MIB), (8 + 4 + 16) * MIB);
        // A share of 16 MiB, and a frame of 32 that takes it.
        assert_eq!(sum(1, 64 * MIB) - sum(0, 0), (4 * 32 + 8 + 4 + 16 + 64) * MIB);
    }
}
