//! A segment that was sent from is never overwritten: a socket goes on referring to its pages when the call has returned.
//!
//! ```text
//!   a run in the journal ─ sendfile ─> a socket whose peer does not read
//!   its records are deleted, its segment is of no more use, other records go into the journal …
//!   … and then the peer reads: what it gets are the bytes that were sent
//! ```
//!
//! The real store on a real disk, over loopback. The planted bug shows that the test can fail.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use callboard::storage::{Engine, EngineOptions, Opened, RealDisk, Store, StoreOptions};
use callboard_actors::permit::Permit;
use callboard_actors::ports::{Part, Persisted, ReadRequest, ReplicaSink, ShardError, Submission};
use callboard_core::mutant::{Mutant, plant};
use callboard_core::records::{BatchBuilder, NewRecord};
use callboard_core::storage::{Durability, Entry, LARGE_RUN, Residence};
use callboard_core::{ReplicaId, Seq, TopicId, TopicPartition};

const SEGMENT: u64 = 1 << 20;
const RECORD: usize = 300 << 10;

struct Nobody;

impl ReplicaSink for Nobody {
    fn persisted(&self, _: Persisted) {}
    fn failed(&self, _: ShardError) {}
    fn rotted(&self, _: String) {}
}

fn open(dir: &Path) -> Result<(Store, Arc<Engine>)> {
    let options = StoreOptions {
        shards: Some(1),
        default_shards: 1,
        boot_id: "boot".into(),
        journal_bytes_max: Some(64 * SEGMENT),
        engine: EngineOptions {
            segment_bytes: SEGMENT,
            unsettled_bytes_max: 8 * SEGMENT,
            residence: Residence { large_run: LARGE_RUN, journal_bytes_max: 0 },
            ..EngineOptions::default()
        },
    };
    let store = Store::open(Arc::new(RealDisk), dir, &options)?;
    let Some(Opened::Shard { engine, .. }) = store.shards.first() else { bail!("the shard is lost") };
    let engine = Arc::clone(engine);
    Ok((store, engine))
}

/// One replica that is written to.
struct Writing<'a> {
    engine: &'a Engine,
    replica: ReplicaId,
    seq: u64,
    next: i64,
}

impl Writing<'_> {
    fn open(engine: &Engine, topic: u8) -> Result<Writing<'_>> {
        let replica = engine.mint(Arc::new(Nobody))?;
        let mut writing = Writing { engine, replica, seq: 0, next: 0 };
        writing.write(
            Entry::Open { id: TopicPartition { topic: TopicId([topic; 16]), partition: 0 } },
            vec![],
        )?;
        Ok(writing)
    }

    fn write(&mut self, entry: Entry, bytes: Vec<u8>) -> Result<()> {
        self.seq += 1;
        let (replica, seq, bytes) = (self.replica, Seq(self.seq), bytes.into());
        let (durability, permit) = (Durability::Fsync, Permit::free());
        self.engine.write(vec![Submission { replica, seq, entry, bytes, durability, permit }])?;
        Ok(())
    }

    /// A batch of one record, all its bytes alike; what was written.
    fn append(&mut self, filled: u8) -> Result<Vec<u8>> {
        let record = NewRecord { value: Some(vec![filled; RECORD]), ..NewRecord::default() };
        let base = self.next;
        let batch = BatchBuilder::new(base).leader_epoch(0).record(record).build().context("a batch")?;
        self.write(Entry::Append { base, epoch: 0 }, batch.clone())?;
        self.next += 1;
        Ok(batch)
    }
}

/// Sends until the socket takes no more; how much it took.
fn send(engine: &Engine, replica: ReplicaId, socket: &TcpStream) -> Result<usize> {
    let slices =
        engine.read(ReadRequest { replica, from: 0, until: i64::MAX, max_bytes: 1 << 20, files: true })?;
    let [Part::File(range)] = &slices.parts[..] else { bail!("not one file: {:?}", slices.parts) };
    let (mut range, mut sent) = (range.clone(), 0);
    while range.len > 0 {
        match range.send(socket.as_fd()) {
            Ok(n) => sent += n,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(e) => return Err(e.into()),
        }
    }
    Ok(sent)
}

/// What the peer reads, and what was sent to it.
fn sent_and_read() -> Result<(Vec<u8>, Vec<u8>)> {
    let dir = tempfile::tempdir()?;
    let (_store, engine) = open(dir.path())?;
    let mut first = Writing::open(&engine, 1)?;
    let mut batch = first.append(b'a')?;
    engine.settle()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut peer = TcpStream::connect(listener.local_addr()?)?;
    let (socket, _) = listener.accept()?;
    socket.set_nonblocking(true)?;
    batch.truncate(send(&engine, first.replica, &socket)?);
    ensure!(batch.len() > 64 << 10, "the socket took only {} bytes", batch.len());
    // Nobody needs it any more.
    first.write(Entry::LogStart { to: first.next }, vec![])?;
    let mut other = Writing::open(&engine, 2)?;
    for n in 0..24 {
        other.append(b'b')?;
        other.write(Entry::LogStart { to: other.next }, vec![])?;
        if n % 2 == 1 {
            engine.settle()?;
            while engine.sweep()? {}
            engine.remove_surplus()?;
            engine.prepare()?;
        }
    }
    let mut read = vec![0; batch.len()];
    peer.read_exact(&mut read)?;
    Ok((batch, read))
}

#[test]
fn a_stalled_peer_reads_what_was_sent_to_it() -> Result<()> {
    let (sent, read) = sent_and_read()?;
    ensure!(sent == read, "other bytes came");
    Ok(())
}

#[test]
fn overwriting_such_a_segment_is_seen() -> Result<()> {
    plant(Some(Mutant::SentSegmentOverwritten));
    let outcome = sent_and_read();
    plant(None);
    let (sent, read) = outcome?;
    ensure!(sent != read, "the planted bug was not seen");
    Ok(())
}
