//! The follower's reader: frames of a leader's node, proved batch by batch, to the replicas that follow there.
//!
//! ```text
//!   lengths ─> the shard's gate ─> permit ─> buffer ─> open ─┬─ part ─> batches, each with its CRC (R24) ─> Heard::Part
//!                                                            └─ answer ─────────────────────────────────> Heard::Told
//! ```
//!
//! The permit covers the buffer and travels with the batches, so mailboxes need no bound of their own. A part of a replica that
//! does not follow here is skipped by its length. Whether a part goes on where the log ends is the machine's question.

use super::metrics;
use super::streams::{Ended, read_body, read_lengths};
use crate::transport::frame::{ArchivedPart, Opened, open};
use crate::transport::words;
use bytes::Bytes;
use callboard_actors::partition::{Heard, PartitionHandle, Received};
use callboard_actors::permit::{Permit, Pool};
use callboard_actors::ports::Admission;
use callboard_core::partition::Answer;
use callboard_core::records::{self, RecordsError};
use callboard_core::{BrokerId, TopicPartition};
use quinn::RecvStream;
use std::sync::Arc;

/// Where frames of one subscription go.
pub struct Receiver<F> {
    pub leader: BrokerId,
    pub admission: Arc<dyn Admission>,
    pub pool: Pool,
    /// The replica of this partition, if it follows at the leader's node.
    pub followed: F,
}

impl<F: Fn(TopicPartition) -> Option<Arc<PartitionHandle>>> Receiver<F> {
    /// Reads frames until the connection ends. It is not cancel-safe: who gives it up closes the connection.
    pub async fn run(&self, mut from: RecvStream) -> Ended {
        loop {
            if let Err(ended) = self.frame(&mut from).await {
                return ended;
            }
        }
    }

    async fn frame(&self, from: &mut RecvStream) -> Result<(), Ended> {
        let lengths = read_lengths(from).await?;
        if lengths.payload() > 0 {
            self.admission.admitted().await;
        }
        let mut permit = self.pool.acquire(lengths.body()).await;
        let body = read_body(from, lengths).await?;
        let items = match open(lengths, &body)? {
            Opened::Parts(parts) => {
                let mut count = 0;
                for (part, bytes) in parts {
                    self.part(part, &bytes, &mut permit, lengths.body())?;
                    count += 1;
                }
                count
            }
            Opened::Diverge(all) => {
                all.iter().try_for_each(|item| self.told(words::read_diverge(item)?))?;
                all.len()
            }
            Opened::Refused(all) => {
                all.iter().try_for_each(|item| self.told(words::read_refused(item)?))?;
                all.len()
            }
            Opened::Positions(_) => return Err(Ended::Kind("a Position for a follower")),
            Opened::Acks(_) => return Err(Ended::Kind("an acknowledgement for a follower")),
        };
        metrics::received(items, lengths.body());
        Ok(())
    }

    fn told(&self, (id, answer): (TopicPartition, Answer)) -> Result<(), Ended> {
        if let Some(replica) = (self.followed)(id) {
            replica.hear(Heard::Told { from: self.leader, answer });
        }
        Ok(())
    }

    fn part(
        &self,
        item: &ArchivedPart,
        bytes: &Bytes,
        permit: &mut Permit,
        pinned: usize,
    ) -> Result<(), Ended> {
        let (id, part) = words::read_part(item)?;
        let Some(replica) = (self.followed)(id) else { return Ok(()) };
        let batches = proved(bytes, permit, pinned).map_err(|error| Ended::Batch { id, error })?;
        // Without an actor the batches go, with their permits.
        replica.hear(Heard::Part { from: self.leader, part, batches });
        Ok(())
    }
}

/// The batches of a part, each proved by its checksum and with its share of the permit.
fn proved(bytes: &Bytes, permit: &mut Permit, pinned: usize) -> Result<Vec<Received>, RecordsError> {
    let mut all = Vec::new();
    for batch in records::batches(bytes) {
        let bytes = bytes.slice_ref(batch?.0);
        let head = records::verify(&bytes)?;
        let permit = permit.split(bytes.len());
        all.push(Received { head, bytes, pinned, permit });
    }
    Ok(all)
}
