//! Every bound of the broker, in one place: a commented sum, asserted against the configured memory.
//!
//! ```text
//!   produce requests + other requests + replication + responses + tail + readers + redb cache + run index + tickets
//! ```

/// One mebibyte.
pub const MIB: usize = 1024 * 1024;

/// Largest request frame (Kafka: `socket.request.max.bytes`).
pub const SOCKET_REQUEST_MAX_BYTES: usize = 100 * MIB;
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
/// Payload that one journal group takes at most.
pub const GROUP_BYTES_MAX: usize = 4 * MIB;
/// A reader's job at most.
pub const READ_JOB_BYTES: usize = MIB;
/// Bytes that one batch may decompress to where the broker looks into it.
pub const DECOMPRESSED_MAX: usize = 128 * MIB;
/// Jobs that wait for a reader thread at most.
pub const READ_QUEUE: usize = 256;
/// Runs in a shard's run index at most (32 bytes each).
pub const RUN_INDEX_MAX: usize = 1 << 20;

/// Partitions in one answer to DescribeTopicPartitions (Kafka: `max.request.partition.size.limit`).
pub const DESCRIBED_PARTITIONS_MAX: usize = 2000;

/// The byte budgets of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Bodies of produce requests that are not yet written.
    pub produce: usize,
    /// Bodies of all other requests.
    pub requests: usize,
    /// Responses that are not yet sent.
    pub responses: usize,
    /// Newest records kept in memory, of all shards.
    pub tail: usize,
    /// redb's cache, a shard.
    pub redb_cache: usize,
    /// Journaled and not yet settled, a shard; at the limit producers slow down.
    pub unsettled: usize,
    /// Waiting produce answers (256 bytes each).
    pub tickets: usize,
}

impl Default for Budgets {
    fn default() -> Self {
        Budgets {
            produce: 128 * MIB,
            requests: 32 * MIB,
            responses: 128 * MIB,
            tail: 96 * MIB,
            redb_cache: 32 * MIB,
            unsettled: 256 * MIB,
            tickets: 64 * 1024,
        }
    }
}
