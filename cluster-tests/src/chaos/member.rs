//! One member of the group: it joins, reads from the leaders, commits at the coordinator, and watches its promises.
//!
//! A committed offset that was acknowledged must be found again at that place or behind it, whichever node coordinates;
//! it must also be one that some member has asked for. Each record read goes to the judge, who looks for it at the end.
//! A member knows no other way of failing: a lost connection or a refusal makes it look for the coordinator again.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{HeartbeatRequest, JoinGroupRequest, OffsetCommitRequest, SyncGroupRequest};

use super::promise::{BACKOFF, Broken, PATIENCE, committed, text};
use super::recorder::MEMBERS;
use super::shared::Shared;
use crate::history::Outcome;
use crate::process::verdict::poll_at;
use crate::process::wire::{Wire, code, name};

const JOIN: i16 = 7;
const SYNC: i16 = 5;
const HEARTBEAT: i16 = 4;
const COMMIT: i16 = 8;

const ILLEGAL_GENERATION: i16 = 22;
const UNKNOWN_MEMBER_ID: i16 = 25;
const REBALANCE_IN_PROGRESS: i16 = 27;
const MEMBER_ID_REQUIRED: i16 = 79;

const SESSION_MS: i32 = 10_000;

/// The error after which a member looks for its coordinator, or asks once more.
fn later(error: i16) -> bool {
    matches!(error, 14..=16) || code::retriable(error)
}

struct Member {
    work: Arc<Shared>,
    /// Its number in the history.
    process: u32,
    id: String,
    generation: i32,
    joined: bool,
    positions: BTreeMap<i32, i64>,
    leaders: HashMap<i32, SocketAddr>,
    wires: HashMap<SocketAddr, Wire>,
}

/// A member's whole life; it ends when the load stops.
pub(super) fn run(work: &Arc<Shared>, number: usize) -> Result<()> {
    let process = MEMBERS + number as u32;
    work.record.subscribed(process, &work.group);
    let mut member = Member {
        work: Arc::clone(work),
        process,
        id: String::new(),
        generation: -1,
        joined: false,
        positions: BTreeMap::new(),
        leaders: HashMap::new(),
        wires: HashMap::new(),
    };
    while !work.stopped() {
        if let Err(error) = member.coordinated() {
            if error.downcast_ref::<Broken>().is_some() {
                return Err(error.context(format!("member {number} of {}", work.group)));
            }
            if hung(&error) {
                work.note(format!("hung: member {number} of {}: no answer for {PATIENCE:?}", work.group));
            }
        }
        std::thread::sleep(BACKOFF);
    }
    Ok(())
}

fn hung(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    error.downcast_ref::<std::io::Error>().is_some_and(|io| matches!(io.kind(), TimedOut | WouldBlock))
}

impl Member {
    /// Works with one coordinator until it is gone or another.
    fn coordinated(&mut self) -> Result<()> {
        let mut wire = Wire::connect_within(self.work.map.coordinator(&self.work.group)?, PATIENCE)?
            .patience(PATIENCE)?;
        while !self.work.stopped() {
            if !self.joined {
                self.join(&mut wire)?;
            }
            self.turn(&mut wire)?;
            std::thread::sleep(BACKOFF);
        }
        Ok(())
    }

    fn join(&mut self, wire: &mut Wire) -> Result<()> {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("share"))
            .with_metadata(Bytes::from_static(b"every partition"));
        let request = JoinGroupRequest::default()
            .with_group_id(text(&self.work.group).into())
            .with_session_timeout_ms(SESSION_MS)
            .with_rebalance_timeout_ms(SESSION_MS)
            .with_member_id(text(&self.id))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        let mut answer = wire.call(JOIN, &request)?;
        if answer.error_code == MEMBER_ID_REQUIRED {
            self.id = answer.member_id.to_string();
            answer = wire.call(JOIN, &request.with_member_id(text(&self.id)))?;
        }
        if answer.error_code != code::NONE {
            return self.refused("JoinGroup", answer.error_code);
        }
        self.id = answer.member_id.to_string();
        self.generation = answer.generation_id;
        let count = answer.members.len();
        let shares = answer.members.iter().enumerate().map(|(n, member)| {
            let mut share = BytesMut::new();
            (0..self.work.partitions).filter(|p| *p as usize % count == n).for_each(|p| share.put_i32(p));
            SyncGroupRequestAssignment::default()
                .with_member_id(member.member_id.clone())
                .with_assignment(share.freeze())
        });
        let request = SyncGroupRequest::default()
            .with_group_id(text(&self.work.group).into())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.id))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("share")))
            .with_assignments(shares.collect());
        let answer = wire.call(SYNC, &request)?;
        if answer.error_code != code::NONE {
            return self.refused("SyncGroup", answer.error_code);
        }
        let committed = committed(&self.work, wire, self.process)?;
        let mut share = answer.assignment;
        self.positions.clear();
        while share.remaining() >= 4 {
            let partition = share.get_i32();
            self.positions.insert(partition, committed.get(&partition).copied().unwrap_or(0).max(0));
        }
        self.work.record.rebalanced(self.process, self.positions.keys().copied());
        self.joined = true;
        Ok(())
    }

    /// A refusal ends the work with this coordinator. The member joins again where its generation is over.
    fn refused(&mut self, what: &str, error: i16) -> Result<()> {
        match error {
            UNKNOWN_MEMBER_ID => (self.id, self.joined) = (String::new(), false),
            ILLEGAL_GENERATION | REBALANCE_IN_PROGRESS => self.joined = false,
            error if later(error) => {}
            error => return Err(Broken(format!("{what}: error {error}")).into()),
        }
        bail!("{what}: error {error}")
    }

    /// Reads a little of each partition, commits, and says that it is alive.
    fn turn(&mut self, wire: &mut Wire) -> Result<()> {
        for (partition, at) in self.positions.clone() {
            let next = self.read(partition, at);
            if next > at {
                // Without an acknowledgement the member itself stays at its place and reads the same again.
                self.commit(wire, partition, next)
                    .inspect_err(|_| self.work.record.sought(self.process, partition, at))?;
            }
        }
        let request = HeartbeatRequest::default()
            .with_group_id(text(&self.work.group).into())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.id));
        match wire.call(HEARTBEAT, &request)?.error_code {
            code::NONE => Ok(()),
            error => self.refused("Heartbeat", error),
        }
    }

    /// Reads from the leader, and forgets the leader if that fails; returns the next place.
    fn read(&mut self, partition: i32, at: i64) -> i64 {
        let known = self.leaders.get(&partition).copied();
        let found = known.or_else(|| Some(self.work.view(self.process).ok()?.leader(partition)?.1));
        let Some(addr) = found else { return at };
        self.leaders.insert(partition, addr);
        let wire = match self.wires.remove(&addr) {
            Some(wire) => Ok(wire),
            None => Wire::connect_within(addr, PATIENCE).and_then(|wire| wire.patience(PATIENCE)),
        };
        let begin = self.work.record.now();
        let reads = wire.and_then(|mut wire| {
            let (reads, fetched) = poll_at(&mut wire, &self.work.topic, partition, at, 0)?;
            self.work.record.polled(self.process, partition, begin, at, &reads, &fetched);
            Ok((wire, reads))
        });
        match reads {
            Ok((wire, reads)) => {
                self.wires.insert(addr, wire);
                let next = reads.last().map_or(at, |read| read.offset + 1);
                if let Some(seen) = self.work.seen.lock().get_mut(partition as usize) {
                    seen.extend(reads);
                }
                next
            }
            Err(error) => {
                let topic = &self.work.topic;
                if hung(&error) {
                    self.work.note(format!("hung: Fetch of {topic}-{partition} at {addr} for {PATIENCE:?}"));
                }
                if error.to_string().ends_with("error 1") {
                    self.work
                        .note(format!("out of range: Fetch of {topic}-{partition} at {addr}, offset {at}"));
                }
                self.leaders.remove(&partition);
                at
            }
        }
    }

    fn commit(&mut self, wire: &mut Wire, partition: i32, offset: i64) -> Result<()> {
        {
            let mut marks = self.work.marks.lock();
            let mark = marks.entry(partition).or_default();
            mark.asked = mark.asked.max(offset);
        }
        let asked = OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("here")));
        let topic = OffsetCommitRequestTopic::default()
            .with_name(name(&self.work.topic))
            .with_partitions(vec![asked]);
        let request = OffsetCommitRequest::default()
            .with_group_id(text(&self.work.group).into())
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(text(&self.id))
            .with_topics(vec![topic]);
        let (begin, begun) = (self.work.record.now(), Instant::now());
        let record = |outcome| {
            self.work.record.commit(self.process, &self.work.group, begin, (partition, offset), outcome)
        };
        let answer = wire.call(COMMIT, &request).inspect_err(|_| record(Outcome::Info))?;
        let topic = answer.topics.first().context("OffsetCommit: no topic in the answer")?;
        let error = topic.partitions.first().context("OffsetCommit: no partition")?.error_code;
        record(match error {
            code::NONE => Outcome::Ok,
            UNKNOWN_MEMBER_ID | ILLEGAL_GENERATION | REBALANCE_IN_PROGRESS => Outcome::Fail,
            _ => Outcome::Info,
        });
        if error != code::NONE {
            return self.refused("OffsetCommit", error);
        }
        self.positions.insert(partition, offset);
        {
            let mut marks = self.work.marks.lock();
            let mark = marks.entry(partition).or_default();
            mark.acked = mark.acked.max(offset);
        }
        self.work.commits.fetch_add(1, Ordering::SeqCst);
        self.work.tape.note((self.work.partitions + partition) as usize, begun);
        Ok(())
    }
}
