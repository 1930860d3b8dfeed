//! One idempotent producer to one partition, which follows the partition's leader.
//!
//! ```text
//!   ask any node who leads ──> connect ──> send all that is under way again, in order ──> go on, at the pace
//!        ^                                                                              │
//!        └──── 20 ms ──── a refusal that asks for another try, a broken connection <────┘
//! ```
//! Up to five batches are under way. A refused batch takes those behind it along: the lane drops its connection and
//! sends all of them again in the same order, so a leader never sees a hole that the lane made. After an outage the lane
//! makes up for a part of a second only, because a flood says nothing about a kill.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;

use super::shared::{LaneEnd, Shared};
use crate::history::Time;
use crate::process::HANG;
use crate::process::load::{Fate, Ledger, Rng, Sent, batch};
use crate::process::wire::{RETRY, Wire, code};

const UNDER_WAY: usize = 5;
/// A node whose clock stands far behind refuses records of now. It appends nothing then, and its clock may be set right.
const INVALID_TIMESTAMP: i16 = 32;
const BACKOFF: Duration = Duration::from_millis(20);
/// A request that is open for longer makes a note, and the lane tries again. A broker answers within 30 s.
const PATIENCE: Duration = Duration::from_secs(40);
/// A node that takes no connection for so long is cut off.
const CONNECT: Duration = Duration::from_secs(5);
/// The most that a lane makes up for.
const BEHIND: Duration = Duration::from_millis(250);

/// A producer id and its epoch, for all lanes of one producer.
pub(super) fn identity(work: &Shared) -> Result<(i64, i16)> {
    let until = Instant::now() + HANG;
    loop {
        let view = work.map.view(&work.topic)?;
        let addr = view.nodes.values().next().context("no node is told")?;
        match Wire::connect(*addr).and_then(|mut wire| wire.init_producer_id()) {
            Ok(identity) => return Ok(identity),
            Err(error) if Instant::now() > until => return Err(error),
            Err(_) => std::thread::sleep(BACKOFF),
        }
    }
}

struct UnderWay {
    first: usize,
    count: usize,
    bytes: Bytes,
    begin: Time,
    made: Instant,
}

pub(super) struct Lane {
    work: Arc<Shared>,
    partition: i32,
    identity: (i64, i16),
    sequence: i32,
    rng: Rng,
    due: Instant,
    under_way: VecDeque<UnderWay>,
    ledger: Ledger,
    times: Vec<(u64, u64, Instant)>,
}

impl Lane {
    pub(super) fn new(work: &Arc<Shared>, id: u32, partition: i32, identity: (i64, i16)) -> Lane {
        Lane {
            work: Arc::clone(work),
            partition,
            identity,
            sequence: 0,
            rng: Rng::new(work.script.seed ^ (u64::from(id) << 20)),
            due: Instant::now(),
            under_way: VecDeque::new(),
            ledger: Ledger { producer: id, idempotent: true, sent: Vec::new(), resent: 0, refused: 0 },
            times: Vec::new(),
        }
    }

    pub(super) fn run(mut self) -> Result<LaneEnd> {
        let mut moved = Instant::now();
        while !self.work.stopped() || !self.under_way.is_empty() {
            let before = self.times.len();
            if let Some((node, addr)) = self.leader()
                && let Ok(wire) = Wire::connect_within(addr, CONNECT).and_then(|wire| wire.patience(PATIENCE))
            {
                self.connected(wire, node, addr).with_context(|| {
                    format!("lane {} to {}-{}", self.ledger.producer, self.work.topic, self.partition)
                })?;
            }
            if self.times.len() > before {
                moved = Instant::now();
            } else if self.work.stopped() && moved.elapsed() > HANG {
                let (lane, partition) = (self.ledger.producer, self.partition);
                bail!(
                    "lane {lane} to {}-{partition}: nothing was acknowledged for {HANG:?}",
                    self.work.topic
                );
            }
            std::thread::sleep(BACKOFF);
        }
        Ok(LaneEnd { ledger: self.ledger, times: self.times })
    }

    fn leader(&self) -> Option<(i32, SocketAddr)> {
        self.work.view(self.ledger.producer).ok()?.leader(self.partition)
    }

    /// Produces until the connection is given up or the load stops. Only a broken promise is an error.
    fn connected(&mut self, mut wire: Wire, node: i32, addr: SocketAddr) -> Result<()> {
        self.ledger.resent += self.under_way.len() as u64;
        for batch in &self.under_way {
            if self.send(&mut wire, batch).is_err() {
                return Ok(());
            }
        }
        self.due = self.due.max(Instant::now().checked_sub(BEHIND).unwrap_or(self.due));
        loop {
            let now = Instant::now();
            if self.work.makes() && self.under_way.len() < UNDER_WAY && self.due <= now {
                let batch = self.make()?;
                let sent = self.send(&mut wire, &batch);
                self.under_way.push_back(batch);
                if sent.is_err() {
                    return Ok(());
                }
            } else if !self.under_way.is_empty() {
                match wire.receive_batch() {
                    Ok((error, base)) if !self.answered(error, base)? => return Ok(()),
                    Ok(_) => {}
                    Err(error) => return self.broken(error, node, addr),
                }
            } else if self.work.stopped() {
                return Ok(());
            } else {
                if !self.work.makes() {
                    self.due = now;
                }
                let due = self.due.saturating_duration_since(now);
                std::thread::sleep(due.clamp(Duration::from_millis(1), RETRY));
            }
        }
    }

    fn send(&self, wire: &mut Wire, batch: &UnderWay) -> Result<()> {
        wire.send_batch(&self.work.topic, self.partition, -1, batch.bytes.clone())
    }

    /// A connection that broke is a node's death. One that hangs is noted; anything else is a broken promise.
    fn broken(&self, error: anyhow::Error, node: i32, addr: SocketAddr) -> Result<()> {
        use std::io::ErrorKind::{TimedOut, WouldBlock};
        match error.downcast_ref::<std::io::Error>() {
            None => Err(error),
            Some(io) if matches!(io.kind(), WouldBlock | TimedOut) => {
                self.work.note(format!(
                    "hung: node {node} at {addr} left {} batches to {}-{} without an answer for {PATIENCE:?}",
                    self.under_way.len(),
                    self.work.topic,
                    self.partition
                ));
                Ok(())
            }
            Some(_) => Ok(()),
        }
    }

    /// Notes the answer to the oldest batch under way. False: this connection is to be given up.
    fn answered(&mut self, error: i16, base: i64) -> Result<bool> {
        if code::retriable(error) || error == INVALID_TIMESTAMP {
            self.ledger.refused += 1;
            *self.work.refusals.lock().entry(error).or_default() += 1;
            return Ok(false);
        }
        let batch = self.under_way.pop_front().context("an answer without a request")?;
        let records = self.ledger.sent.get_mut(batch.first..batch.first + batch.count);
        for (index, sent) in records.unwrap_or_default().iter_mut().enumerate() {
            sent.fate = match error {
                code::NONE if base >= 0 => Fate::Acked(base + index as i64),
                code::DUPLICATE_SEQUENCE_NUMBER => Fate::AckedSomewhere,
                _ => bail!("batch at record {}: error {error}, base {base}", sent.n),
            };
        }
        let (first, count) = (batch.first as u64, batch.count as u64);
        self.work.record.sent(self.ledger.producer, self.partition, batch.begin, first, count, base);
        self.times.push((batch.first as u64, count, Instant::now()));
        self.work.tape.note(self.partition as usize, batch.made);
        self.work.acked.fetch_add(count, Ordering::SeqCst);
        self.work.in_flight.fetch_sub(count, Ordering::SeqCst);
        Ok(true)
    }

    fn make(&mut self) -> Result<UnderWay> {
        let (first, count) = (self.ledger.sent.len(), 1 + self.rng.below(16) as usize);
        for n in first..first + count {
            self.ledger.sent.push(Sent { partition: self.partition, n: n as u64, fate: Fate::Unknown });
        }
        let (id, script) = (self.ledger.producer, self.work.script);
        let bytes = batch(script, id, first as u64, count as u64, self.identity, self.sequence)?;
        self.sequence += count as i32;
        self.due += self.work.pace * count as u32;
        self.work.in_flight.fetch_add(count as u64, Ordering::SeqCst);
        let begin = self.work.record.now();
        Ok(UnderWay { first, count, bytes, begin, made: Instant::now() })
    }
}
