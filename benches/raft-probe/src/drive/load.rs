//! Numbered writes through whichever node leads, and the book of what was answered.
//!
//! A number is sent again only if a node said that it was never proposed. One whose fate is unknown
//! is written down as such, and may be found once or not at all.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{Blow, Settings, now};
use crate::{
    net::{Answer, CallError, Peer, Request},
    types::Cmd,
};

/// Writes in flight at most.
const WORKERS: u64 = 5;
/// Longer than any election here.
const ANSWER: Duration = Duration::from_secs(15);

#[derive(Clone, Debug)]
pub struct Ack {
    pub seq: u64,
    pub index: u64,
    pub term: u64,
    pub process: u32,
    pub sent: u64,
    pub acked: u64,
}

#[derive(Default)]
pub struct Pages {
    /// In the order of the answers.
    pub acks: Vec<Ack>,
    pub unknown: Vec<u64>,
    pub refused: BTreeMap<String, u64>,
    pub highest: u64,
}

#[derive(Default)]
pub struct Book {
    pages: Mutex<Pages>,
    next: AtomicU64,
    /// The node asked first.
    hint: AtomicU64,
    stop: AtomicBool,
}

impl Book {
    pub fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn acks(&self) -> usize {
        self.pages().acks.len()
    }

    pub fn highest(&self) -> u64 {
        self.pages().highest
    }

    /// How many numbers were handed out.
    pub fn sent(&self) -> u64 {
        self.next.load(Ordering::SeqCst)
    }

    /// Microseconds from a blow to the first answer of another process.
    pub fn gap_after(&self, blow: &Blow) -> Option<u64> {
        let pages = self.pages();
        let from = pages.acks.partition_point(|ack| ack.acked <= blow.at);
        let first = pages.acks.iter().skip(from).find(|ack| ack.process != blow.process || !blow.leader);
        first.map(|ack| ack.acked - blow.at)
    }

    fn write(&self, ack: Ack) {
        let mut pages = self.pages();
        pages.highest = pages.highest.max(ack.index);
        // Taken here, so that the acks stay in the order of their times.
        pages.acks.push(Ack { acked: now(), ..ack });
    }
}

pub struct Load {
    book: Arc<Book>,
    workers: JoinSet<()>,
}

impl Load {
    pub async fn stop(mut self) {
        self.book.stop.store(true, Ordering::SeqCst);
        while self.workers.join_next().await.is_some() {}
    }
}

pub fn start(settings: &Settings, addrs: Vec<String>, book: &Arc<Book>) -> Load {
    let mut workers = JoinSet::new();
    for n in 0..WORKERS {
        let worker = Worker {
            book: book.clone(),
            peers: addrs.iter().cloned().map(Peer::new).collect(),
            pad: "x".repeat(settings.bytes),
            dead: None,
        };
        let every = Duration::from_micros(1_000_000 * WORKERS / settings.rate);
        workers.spawn(worker.run(every, every * n as u32 / WORKERS as u32));
    }
    Load { book: book.clone(), workers }
}

struct Worker {
    book: Arc<Book>,
    peers: Vec<Peer>,
    pad: String,
    /// A node that refused a connection: others may still call it the leader.
    dead: Option<(u64, Instant)>,
}

impl Worker {
    async fn run(mut self, every: Duration, offset: Duration) {
        sleep(offset).await;
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while !self.book.stop.load(Ordering::SeqCst) {
            ticks.tick().await;
            let seq = self.book.next.fetch_add(1, Ordering::SeqCst);
            while !self.attempt(seq).await && !self.book.stop.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Whether the number is done with.
    async fn attempt(&mut self, seq: u64) -> bool {
        let target = self.book.hint.load(Ordering::SeqCst) % 3;
        let request = Request::Write(Cmd { seq, pad: self.pad.clone() });
        let sent = now();
        match self.peers[target as usize].call(&request, ANSWER).await {
            Ok(Answer::Written { index, term, process, .. }) => {
                self.book.write(Ack { seq, index, term, process, sent, acked: 0 });
                true
            }
            Ok(Answer::Refused { leader, reason }) => {
                *self.book.pages().refused.entry(reason).or_default() += 1;
                let named = leader.map(|id| id - 1).filter(|id| !self.is_dead(*id) && *id != target);
                self.turn_to(target, named.unwrap_or(target + 1));
                false
            }
            Err(CallError::Connect(_)) => {
                self.dead = Some((target, Instant::now()));
                self.turn_to(target, target + 1);
                false
            }
            Ok(_) | Err(CallError::Lost(_) | CallError::Late) => {
                self.book.pages().unknown.push(seq);
                self.turn_to(target, target + 1);
                true
            }
        }
    }

    fn is_dead(&self, node: u64) -> bool {
        self.dead.is_some_and(|(dead, at)| dead == node && at.elapsed() < Duration::from_millis(500))
    }

    /// Unless another worker has turned already.
    fn turn_to(&self, from: u64, to: u64) {
        let hint = self.book.hint.load(Ordering::SeqCst);
        if hint % 3 == from {
            // Lost to another worker: then that one has turned.
            _ = self.book.hint.compare_exchange(hint, to % 3, Ordering::SeqCst, Ordering::SeqCst);
        }
    }
}
