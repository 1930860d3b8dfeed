//! What clients remember: batches that have no answer yet, requests that were sent, and how far the consumer has read.
//!
//! A producer is idempotent: a batch keeps its sequence through every retry. It is sent again when it was refused, and
//! when no answer came in time, so two copies of it may be on their way to two leaders.

use std::collections::VecDeque;

use callboard_core::records::BatchHead;
use callboard_core::{Offset, Seq};

use crate::sim::batch::Batch;
use crate::sim::faults::{NodeIx, PartIx};
use crate::sim::messages::Request;
use crate::sim::options::{NODES_MAX, PARTITIONS_MAX, Time};

/// Producer id of the first producer.
pub const FIRST_PRODUCER: i64 = 1_000;

/// Producers of a run.
pub const PRODUCERS: usize = 2;

/// A batch without an answer.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    pub sequence: i32,
    /// Batches of this lane before it.
    pub number: u64,
    pub records: i32,
    pub value: u32,
    pub size: u32,
    /// The request that carries it now.
    pub request: Option<u32>,
}

/// One producer in one partition.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    pub next_sequence: i32,
    pub batches: u64,
    /// A batch was acknowledged. Before that a producer sends one at a time, because a leader that does not know it takes
    /// any first sequence, as Kafka does.
    pub known: bool,
    pub pending: VecDeque<Pending>,
}

/// One idempotent producer, which retries under the same sequence.
#[derive(Clone, Debug, Default)]
pub struct Producer {
    pub lanes: [Lane; PARTITIONS_MAX],
    /// When the last request to a node arrives: a connection keeps its order.
    pub last: [Time; NODES_MAX],
}

/// All clients of a run.
#[derive(Debug, Default)]
pub struct Clients {
    pub producers: [Producer; PRODUCERS],
    pub requests: Vec<Request>,
    pub values: u32,
    /// The consumer's next offset in each partition.
    pub read: [Offset; PARTITIONS_MAX],
    pub turn: PartIx,
}

impl Clients {
    /// Draws the next batch of a producer for a partition.
    pub fn new_batch(&mut self, producer: usize, part: PartIx, records: i32, size: u32) -> i32 {
        self.values += 1;
        let value = self.values;
        let lane = &mut self.producers[producer].lanes[part];
        let sequence = lane.next_sequence;
        lane.next_sequence += records;
        let number = lane.batches;
        lane.batches += 1;
        lane.pending.push_back(Pending { sequence, number, records, value, size, request: None });
        sequence
    }

    /// The batch of this sequence that waits for an answer.
    pub fn pending(&mut self, producer: usize, part: PartIx, sequence: i32) -> Option<&mut Pending> {
        let lane = &mut self.producers[producer].lanes[part];
        lane.pending.iter_mut().find(|pending| pending.sequence == sequence)
    }

    /// The batch as it travels.
    pub fn batch(&mut self, producer: usize, part: PartIx, sequence: i32) -> Option<Batch> {
        let Pending { records, value, size, .. } = *self.pending(producer, part, sequence)?;
        let head = BatchHead {
            size,
            last_offset_delta: records - 1,
            records,
            producer_epoch: 0,
            producer_id: FIRST_PRODUCER + producer as i64,
            base_sequence: sequence,
            max_timestamp: 1_700_000_000_000,
            base_timestamp: 1_700_000_000_000,
            ..BatchHead::default()
        };
        Some(Batch { head, value, seq: Seq(0) })
    }

    /// Whether a request waits at this replica for its answer.
    #[must_use]
    pub fn waits_at(&self, request: usize, process: (NodeIx, u64), part: PartIx) -> bool {
        let Request { node, life, part: of, answered, arrived, .. } = self.requests[request];
        (node, life) == process && of == part && arrived && !answered
    }
}
