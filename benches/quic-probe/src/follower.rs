//! A follower: one connection to the leader, one subscription, frames into the journal, acks back on the same stream.
//!
//! The journal gets slices of the buffer that a frame was read into. Its thread marks a partition for each notice, and the
//! writer of acks sends all marked ones in one frame when it wakes.

use crate::leader::write_items;
use crate::net::NAME;
use crate::report::Counters;
use crate::store::{Disk, EPOCH, Log, Sink, TOPIC};
use crate::wire::read_frame;
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use callboard::storage::ShardHandle;
use callboard_actors::permit::{Permit, Pool};
use callboard_actors::ports::{Admission, Journal, Submission};
use callboard_core::storage::{Durability, Entry};
use callboard_core::{ReplicaId, limits, records};
use parking_lot::Mutex;
use callboard::transport::frame::{Ack, ArchivedPart, Items, LogEnd, Opened, Position, Subject, open};
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use tokio::sync::Notify;

/// The number of each partition's only Position.
const N: u64 = 1;

struct Copy {
    replica: OnceLock<ReplicaId>,
    log: Mutex<Log>,
}

/// All followed partitions.
pub struct Follower {
    shard: Arc<ShardHandle>,
    durability: Durability,
    copies: Vec<Copy>,
    /// Partitions with ends that the leader does not know.
    moved: Mutex<BTreeSet<usize>>,
    wake: Notify,
    replication: Pool,
    pub counters: Counters,
}

impl Follower {
    /// Opens the partitions.
    pub fn start(disk: &Disk, partitions: usize, durability: Durability) -> anyhow::Result<Arc<Follower>> {
        let opened = || Copy { replica: OnceLock::new(), log: Mutex::new(Log::opened()) };
        let follower = Arc::new(Follower {
            shard: Arc::clone(&disk.shard),
            durability,
            copies: (0..partitions).map(|_| opened()).collect(),
            moved: Mutex::default(),
            wake: Notify::new(),
            replication: Pool::new(64 * limits::MIB),
            counters: Counters::default(),
        });
        for n in 0..partitions {
            let told = Arc::clone(&follower);
            let sink = Sink(move |persisted| {
                told.copies[n].log.lock().persisted(persisted);
                told.moved.lock().insert(n);
                told.wake.notify_one();
            });
            let replica = disk.replica(n, durability, Arc::new(sink))?;
            let _ = follower.copies[n].replica.set(replica);
        }
        Ok(follower)
    }

    /// Dials the leader and subscribes. The stream comes back for [`Follower::follow`].
    pub async fn subscribe(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        leader: SocketAddr,
    ) -> anyhow::Result<(Connection, RecvStream)> {
        let connection = endpoint.connect(leader, NAME)?.await?;
        let (mut to, from) = connection.open_bi().await?;
        let positions = (0..self.copies.len()).map(|n| Position {
            subject: subject(n),
            end: LogEnd { epoch: -1, offset: 0 },
            written: 0,
            synced: 0,
            log_start: 0,
        });
        write_items(&mut to, Items::Positions(positions.collect())).await?;
        tokio::spawn(Arc::clone(self).acks(to));
        Ok((connection, from))
    }

    /// Journals what comes, until the leader ends.
    pub async fn follow(&self, mut from: RecvStream) -> anyhow::Result<()> {
        loop {
            self.shard.admitted().await;
            let Some(mut received) = read_frame(&mut from, &self.replication).await? else { return Ok(()) };
            let Opened::Parts(parts) = open(received.lengths, &received.body)? else { bail!("no parts") };
            let (mut count, mut batches) = (0, 0);
            for (part, bytes) in parts {
                batches += self.part(part, &bytes, &mut received.permit)?;
                count += 1;
            }
            self.counters.sent(count, batches);
        }
    }

    /// Journals one part, batch by batch. The permit goes with the batches.
    fn part(&self, part: &ArchivedPart, bytes: &Bytes, permit: &mut Permit) -> anyhow::Result<usize> {
        let n = part.subject.partition.to_native() as usize;
        let copy = self.copies.get(n).context("no such partition")?;
        let replica = *copy.replica.get().context("the partition is not open")?;
        if bytes.is_empty() {
            return Ok(0);
        }
        let mut batches = 0;
        let mut log = copy.log.lock();
        let previous = part.previous().context("starting anew is not in the probe")?;
        ensure!(
            previous.offset == log.end,
            "a part behind {} where the log ends at {}",
            previous.offset,
            log.end
        );
        for batch in records::batches(bytes) {
            let batch = bytes.slice_ref(batch?.0);
            let head = records::verify(&batch)?;
            ensure!(head.base_offset == log.end, "a gap");
            let (seq, durability) = (log.append(head.next_offset()), self.durability);
            let entry = Entry::Append { base: head.base_offset, epoch: head.leader_epoch };
            let permit = permit.split(batch.len());
            self.shard.submit(Submission { replica, seq, entry, bytes: batch, durability, permit })?;
            batches += 1;
        }
        Ok(batches)
    }

    async fn acks(self: Arc<Self>, mut to: SendStream) -> anyhow::Result<()> {
        loop {
            self.wake.notified().await;
            let moved = std::mem::take(&mut *self.moved.lock());
            let acks: Vec<Ack> = moved
                .into_iter()
                .map(|n| {
                    let ends = self.copies[n].log.lock().ends;
                    Ack { subject: subject(n), written: ends.written, synced: ends.synced, log_start: 0 }
                })
                .collect();
            if acks.is_empty() {
                continue;
            }
            self.counters.acked(acks.len());
            write_items(&mut to, Items::Acks(acks)).await?;
        }
    }
}

fn subject(n: usize) -> Subject {
    Subject { topic: TOPIC, partition: n as i32, leader_epoch: EPOCH, n: N }
}
