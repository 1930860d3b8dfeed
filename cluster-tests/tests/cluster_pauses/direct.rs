//! Produce requests that stay with their node whatever happens: a connection a partition, each with a producer of its own.
//!
//! No batch is sent twice, so a record is in the final log at most once, and exactly once where it was acknowledged. The
//! producers are idempotent: a refused batch leaves a hole in the sequence, and what follows is refused, too.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use callboard_cluster_tests::chaos::Map;
use callboard_cluster_tests::chaos::map::{View, view_at};
use callboard_cluster_tests::process::HANG;
use callboard_cluster_tests::process::load::{Script, batch};
use callboard_cluster_tests::process::wire::{RETRY, Wire, code};

/// A broker answers produce requests within 30 s.
const PATIENCE: Duration = Duration::from_secs(60);
/// Records of one batch.
const RECORDS: u64 = 3;

/// The end of one batch.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub partition: i32,
    /// Number of its first record.
    pub first: u64,
    /// Error code and base offset; none if the connection ended first.
    pub said: Option<(i16, i64)>,
}

impl Answer {
    pub fn acked(&self) -> bool {
        self.said.is_some_and(|(error, _)| error == code::NONE)
    }
}

struct Lane {
    partition: i32,
    /// Each record begins with it, so a record tells whose it is.
    producer: u32,
    wire: Wire,
    identity: (i64, i16),
    /// Records sent so far, and those of them that were sent to a node that ran.
    sent: u64,
    awake: Option<u64>,
    /// Batches that have no answer yet, by their first record.
    open: Vec<u64>,
    done: Vec<Answer>,
}

/// The connections of one side: to the node that sleeps, or to those that lead in its place.
pub struct Direct {
    topic: &'static str,
    script: Script,
    lanes: Vec<Lane>,
}

impl Direct {
    /// Connects to the node of each partition. Producers are numbered from `first` on.
    pub fn connect(topic: &'static str, first: u32, places: &[(i32, SocketAddr)]) -> Result<Direct> {
        let lane = |(producer, (partition, addr)): (u32, &(i32, SocketAddr))| {
            let mut wire = Wire::connect(*addr)?.patience(PATIENCE)?;
            let identity = wire.init_producer_id()?;
            let (open, done, partition) = (Vec::new(), Vec::new(), *partition);
            Ok(Lane { partition, producer, wire, identity, sent: 0, awake: None, open, done })
        };
        let lanes = (first..).zip(places).map(lane).collect::<Result<_>>()?;
        Ok(Direct { topic, script: Script::small(11), lanes })
    }

    /// Sends so many batches a partition with acks=all, without waiting.
    pub fn send(&mut self, batches: u64) -> Result<()> {
        for lane in &mut self.lanes {
            for _ in 0..batches {
                let sequence = i32::try_from(lane.sent)?;
                let bytes = batch(self.script, lane.producer, lane.sent, RECORDS, lane.identity, sequence)?;
                lane.wire.send_batch(self.topic, lane.partition, -1, bytes)?;
                lane.open.push(lane.sent);
                lane.sent += RECORDS;
            }
        }
        Ok(())
    }

    /// The node sees what is sent from now on only after its pause.
    pub fn asleep(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.awake = Some(lane.sent));
    }

    /// Sends a batch a partition, which must be acknowledged.
    pub fn acknowledged(&mut self) -> Result<()> {
        self.send(1)?;
        let bad = self.answers()?.into_iter().find(|answer| !answer.acked());
        bad.map_or(Ok(()), |answer| bail!("in health: {answer:?}"))
    }

    /// Waits for the end of every batch, or of its connection; returns the ends of all batches so far.
    pub fn answers(&mut self) -> Result<Vec<Answer>> {
        for lane in &mut self.lanes {
            let mut ended = false;
            for first in std::mem::take(&mut lane.open) {
                let said = if ended { None } else { answer(&mut lane.wire)? };
                ended = said.is_none();
                lane.done.push(Answer { partition: lane.partition, first, said });
            }
        }
        Ok(self.lanes.iter().flat_map(|lane| lane.done.iter().copied()).collect())
    }

    /// Holds the answers against the final log: what was acknowledged stands there, once, where the answer says.
    pub fn judge(&self, map: &Map, answers: &[Answer]) -> Result<()> {
        for lane in &self.lanes {
            let mut reads = map.read(self.topic, lane.partition)?;
            reads.retain(|read| read.value.starts_with(&lane.producer.to_be_bytes()));
            let mut numbers: Vec<u64> = Vec::new();
            for read in &reads {
                let number = (0..lane.sent).find(|n| self.script.payload(lane.producer, *n) == read.value);
                numbers.push(number.with_context(|| format!("{read:?}, which nobody sent"))?);
            }
            ensure!(numbers.is_sorted_by(|a, b| a < b), "twice or out of order: {numbers:?}");
            for answer in answers.iter().filter(|answer| answer.partition == lane.partition) {
                let Some((code::NONE, base)) = answer.said else { continue };
                ensure!(
                    lane.awake.is_none_or(|awake| answer.first < awake),
                    "{}-{}: acknowledged in a leadership that is over: {answer:?}",
                    self.topic,
                    lane.partition
                );
                for at in 0..RECORDS {
                    let offset = base + i64::try_from(at)?;
                    let here = reads.iter().position(|read| read.offset == offset);
                    let found = here.and_then(|here| numbers.get(here));
                    ensure!(
                        found == Some(&(answer.first + at)),
                        "{}-{}: record {} was acknowledged at {offset}, where {found:?} stands",
                        self.topic,
                        lane.partition,
                        answer.first + at
                    );
                }
            }
        }
        Ok(())
    }
}

/// The answer to the oldest batch; none if the connection has ended. A node that stays silent is an error.
fn answer(wire: &mut Wire) -> Result<Option<(i16, i64)>> {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    match wire.receive_batch() {
        Ok(said) => Ok(Some(said)),
        Err(error) => match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
            None | Some(WouldBlock | TimedOut) => Err(error.context("a woken node leaves a request open")),
            Some(_) => Ok(None),
        },
    }
}

/// Waits until each of these nodes says that other nodes than `id` lead every partition; returns one description.
pub fn led_by_others(nodes: &[SocketAddr], topic: &str, id: i32) -> Result<View> {
    let until = Instant::now() + HANG;
    let mut last = None;
    for addr in nodes {
        loop {
            let view = view_at(*addr, topic);
            match view {
                Ok(view) if view.places.values().all(|place| place.leader >= 0 && place.leader != id) => {
                    last = Some(view);
                    break;
                }
                view if Instant::now() > until => bail!("{topic} at {addr} stays {view:?}"),
                _ => std::thread::sleep(RETRY),
            }
        }
    }
    last.context("no node to ask")
}
