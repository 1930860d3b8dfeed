//! kill -9 with consumer groups under load: no committed offset may be lost, no record skipped below one.
//!
//! Producers write all the time. The members of two groups join, share the partitions, read from where the group stands,
//! write down what they read and commit. The broker is killed at a random number of commits and started again. After each
//! start every committed offset must be at least the one acknowledged last, and at most the largest one asked for; at the
//! end every record below a committed offset must have been read by some member of the group. Members go on in the
//! generation they are in where the broker lets them: a group's place is more than its offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use callboard_cluster_tests::process::load::Rng;
use callboard_cluster_tests::process::wire::{Wire, name, whole_batches};
use callboard_cluster_tests::process::{Broker, HANG, Options, say};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, OffsetCommitRequest, OffsetFetchRequest,
    SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

const TOPIC: &str = "read-under-fire";
const PARTITIONS: i32 = 4;
const GROUPS: [&str; 2] = ["payments", "search"];
const MEMBERS: usize = 2;
const KILLS: u32 = 10;
const RETRY: Duration = Duration::from_millis(10);

const FIND: i16 = 3;
const JOIN: i16 = 7;
const SYNC: i16 = 5;
const HEARTBEAT: i16 = 4;
const COMMIT: i16 = 8;
const OFFSETS: i16 = 7;

const NONE: i16 = 0;
const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const NOT_COORDINATOR: i16 = 16;
const MEMBER_ID_REQUIRED: i16 = 79;

/// What one group did with one partition.
#[derive(Default)]
struct Place {
    /// Offsets of records that some member has read.
    read: BTreeSet<i64>,
    /// The largest offset whose commit was sent.
    asked: i64,
    /// The newest offset whose commit was acknowledged.
    acked: i64,
}

struct Shared {
    addr: SocketAddr,
    stop: AtomicBool,
    commits: AtomicU64,
    /// Requests answered without an error after a restart, in the generation of before.
    kept: AtomicU64,
    places: Mutex<BTreeMap<(&'static str, i32), Place>>,
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn place<T>(&self, group: &'static str, partition: i32, look: impl FnOnce(&mut Place) -> T) -> T {
        let mut places = self.places.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        look(places.entry((group, partition)).or_default())
    }
}

/// The group's answer while the broker comes back: the same request again.
fn later(error: i16) -> bool {
    matches!(error, COORDINATOR_LOAD_IN_PROGRESS | COORDINATOR_NOT_AVAILABLE | NOT_COORDINATOR)
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn produce(shared: &Shared) -> Result<()> {
    let mut turn = 0;
    while !shared.stopped() {
        let Ok(mut wire) = Wire::connect(shared.addr) else {
            std::thread::sleep(RETRY);
            continue;
        };
        while !shared.stopped() {
            turn += 1;
            let sent = wire.send_batch(TOPIC, turn % PARTITIONS, -1, batch(turn)?);
            if sent.and_then(|()| wire.receive_batch()).is_err() {
                break;
            }
        }
    }
    Ok(())
}

fn batch(turn: i32) -> Result<Bytes> {
    let records: Vec<Record> = (0..5)
        .map(|n| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: -1,
            producer_epoch: -1,
            timestamp_type: TimestampType::Creation,
            offset: n,
            sequence: -1 + n as i32,
            timestamp: 1_700_000_000_000,
            key: None,
            value: Some(Bytes::from(format!("{turn}-{n}"))),
            headers: Default::default(),
        })
        .collect();
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, &records, &options)?;
    Ok(bytes.freeze())
}

/// One member's part in its group.
struct Member {
    shared: Arc<Shared>,
    group: &'static str,
    member_id: String,
    generation: i32,
    mine: Vec<i32>,
    positions: BTreeMap<i32, i64>,
    /// Connected anew, and not yet told whether the generation still stands.
    reconnected: bool,
}

/// The member has to join again.
struct Rejoin;

impl Member {
    fn run(mut self) -> Result<()> {
        let mut joined = false;
        let mut absent_since = Instant::now();
        while !self.shared.stopped() {
            if let Ok(mut wire) = Wire::connect(self.shared.addr) {
                absent_since = Instant::now();
                self.reconnected = joined;
                self.connected(&mut wire, &mut joined)?;
            }
            ensure!(absent_since.elapsed() < HANG, "the broker has not come back");
            std::thread::sleep(RETRY);
        }
        Ok(())
    }

    /// Until the connection breaks. Only a broken promise is an error.
    fn connected(&mut self, wire: &mut Wire, joined: &mut bool) -> Result<()> {
        while !self.shared.stopped() {
            if !*joined {
                match self.join(wire) {
                    Ok(done) => *joined = done,
                    Err(error) => return connection_only(error),
                }
                continue;
            }
            match self.turn(wire) {
                Ok(Ok(())) => {}
                Ok(Err(Rejoin)) => *joined = false,
                Err(error) => return connection_only(error),
            }
        }
        Ok(())
    }

    fn join(&mut self, wire: &mut Wire) -> Result<bool> {
        self.reconnected = false;
        let request = FindCoordinatorRequest::default().with_key(text(self.group)).with_key_type(0);
        if wire.call(FIND, &request)?.error_code != NONE {
            std::thread::sleep(RETRY);
            return Ok(false);
        }
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("share"))
            .with_metadata(Bytes::from_static(b"every partition"));
        let request = JoinGroupRequest::default()
            .with_group_id(text(self.group).into())
            .with_session_timeout_ms(6_000)
            .with_rebalance_timeout_ms(6_000)
            .with_member_id(text(&self.member_id))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        let answer = wire.call(JOIN, &request)?;
        match answer.error_code {
            NONE => {}
            MEMBER_ID_REQUIRED => {
                self.member_id = answer.member_id.to_string();
                return Ok(false);
            }
            error => {
                if !later(error) {
                    self.member_id.clear();
                }
                std::thread::sleep(RETRY);
                return Ok(false);
            }
        }
        self.member_id = answer.member_id.to_string();
        self.generation = answer.generation_id;
        let assignments = answer.members.iter().enumerate().map(|(n, member)| {
            let mut share = BytesMut::new();
            let of_one = (0..PARTITIONS).filter(|p| *p as usize % answer.members.len() == n);
            of_one.for_each(|p| share.put_i32(p));
            SyncGroupRequestAssignment::default()
                .with_member_id(member.member_id.clone())
                .with_assignment(share.freeze())
        });
        let request = SyncGroupRequest::default()
            .with_group_id(text(self.group).into())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.member_id))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("share")))
            .with_assignments(assignments.collect());
        let answer = wire.call(SYNC, &request)?;
        if answer.error_code != NONE {
            return Ok(false);
        }
        let mut share = answer.assignment;
        self.mine = Vec::new();
        while share.remaining() >= 4 {
            self.mine.push(share.get_i32());
        }
        self.positions = committed(wire, self.group)?;
        Ok(true)
    }

    /// Reads a little of each partition, commits, and says that it is alive.
    fn turn(&mut self, wire: &mut Wire) -> Result<std::result::Result<(), Rejoin>> {
        for partition in self.mine.clone() {
            let at = self.positions.get(&partition).copied().unwrap_or(0).max(0);
            let fetched = wire.fetch(TOPIC, partition, at, 0)?;
            let mut next = at;
            for mut batch in whole_batches(fetched.records) {
                for record in RecordBatchDecoder::decode(&mut batch)?.records {
                    if record.offset >= at {
                        self.shared.place(self.group, partition, |place| place.read.insert(record.offset));
                        next = next.max(record.offset + 1);
                    }
                }
            }
            if next > at {
                match self.commit(wire, partition, next)? {
                    NONE => _ = self.positions.insert(partition, next),
                    error if later(error) => {}
                    _ => return Ok(Err(Rejoin)),
                }
            }
        }
        let request = HeartbeatRequest::default()
            .with_group_id(text(self.group).into())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.member_id));
        Ok(match wire.call(HEARTBEAT, &request)?.error_code {
            NONE => Ok(()),
            error if later(error) => Ok(()),
            _ => Err(Rejoin),
        })
    }

    fn commit(&mut self, wire: &mut Wire, partition: i32, offset: i64) -> Result<i16> {
        self.shared.place(self.group, partition, |place| place.asked = place.asked.max(offset));
        let asked = OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("here")));
        let topic = OffsetCommitRequestTopic::default().with_name(name(TOPIC)).with_partitions(vec![asked]);
        let request = OffsetCommitRequest::default()
            .with_group_id(text(self.group).into())
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(text(&self.member_id))
            .with_topics(vec![topic]);
        let answer = wire.call(COMMIT, &request)?;
        let topic = answer.topics.first().context("OffsetCommit: no topic in the answer")?;
        let error = topic.partitions.first().context("OffsetCommit: no partition")?.error_code;
        if error == NONE {
            self.shared.place(self.group, partition, |place| place.acked = place.acked.max(offset));
            self.shared.commits.fetch_add(1, Ordering::SeqCst);
            if std::mem::take(&mut self.reconnected) {
                self.shared.kept.fetch_add(1, Ordering::SeqCst);
            }
        }
        Ok(error)
    }
}

/// A connection that broke is the broker's death; anything else is a broken promise.
fn connection_only(error: anyhow::Error) -> Result<()> {
    let io = error.downcast_ref::<std::io::Error>();
    let hung =
        io.is_some_and(|e| matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut));
    // A partition that is just coming up answers a fetch with an error.
    let coming_up = error.to_string().contains("error 6") || error.to_string().contains("error 3");
    match io.is_some() && !hung || coming_up {
        true => Ok(()),
        false => Err(error),
    }
}

/// The committed offsets of a group; −1 where there is none.
fn committed(wire: &mut Wire, group: &str) -> Result<BTreeMap<i32, i64>> {
    let begun = Instant::now();
    loop {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(name(TOPIC))
            .with_partition_indexes((0..PARTITIONS).collect());
        let request =
            OffsetFetchRequest::default().with_group_id(text(group).into()).with_topics(Some(vec![topic]));
        let answer = wire.call(OFFSETS, &request)?;
        match answer.error_code {
            NONE => {
                let topic = answer.topics.first().context("OffsetFetch: no topic in the answer")?;
                return Ok(topic
                    .partitions
                    .iter()
                    .map(|p| (p.partition_index, p.committed_offset))
                    .collect());
            }
            error if later(error) && begun.elapsed() < HANG => std::thread::sleep(RETRY),
            error => bail!("OffsetFetch: error {error}"),
        }
    }
}

/// Every committed offset is one that was asked for, and none that was acknowledged is lost.
fn judge_committed(shared: &Shared, acked: &BTreeMap<(&'static str, i32), i64>) -> Result<()> {
    let mut wire = Wire::connect(shared.addr)?;
    for group in GROUPS {
        let offsets = committed(&mut wire, group)?;
        for partition in 0..PARTITIONS {
            let found = offsets.get(&partition).copied().unwrap_or(-1);
            let least = acked.get(&(group, partition)).copied().unwrap_or(0);
            let most = shared.place(group, partition, |place| place.asked);
            ensure!(
                found >= least || least == 0,
                "{group}: partition {partition} stands at {found}, {least} was acknowledged"
            );
            ensure!(
                found <= most,
                "{group}: partition {partition} stands at {found}, {most} was asked at most"
            );
        }
    }
    Ok(())
}

fn members(shared: &Arc<Shared>) -> Vec<JoinHandle<Result<()>>> {
    let mut threads = Vec::new();
    for group in GROUPS {
        for _ in 0..MEMBERS {
            let member = Member {
                shared: Arc::clone(shared),
                group,
                member_id: String::new(),
                generation: -1,
                mine: Vec::new(),
                positions: BTreeMap::new(),
                reconnected: false,
            };
            threads.push(std::thread::spawn(move || member.run()));
        }
    }
    threads
}

#[test]
fn groups_keep_their_place() -> Result<()> {
    let config = tempfile::NamedTempFile::new()?;
    std::fs::write(
        config.path(),
        "group_initial_rebalance_delay_ms = 100\noffsets_topic_num_partitions = 5\noffsets_rewrite_bytes = 65536\n",
    )?;
    let options = Options::default()
        .with_env("CALLBOARD_CONFIG", config.path().display())
        .with_env("CALLBOARD_SEGMENT_BYTES", 1 << 20)
        .with_env("CALLBOARD_UNSETTLED_BYTES_MAX", 1 << 20);
    let mut broker = Broker::start(options)?;
    Wire::connect(broker.addr())?.create_topic(TOPIC, PARTITIONS)?;
    let shared = Arc::new(Shared {
        addr: broker.addr(),
        stop: AtomicBool::new(false),
        commits: AtomicU64::new(0),
        kept: AtomicU64::new(0),
        places: Mutex::default(),
    });
    let producer = {
        let shared = Arc::clone(&shared);
        std::thread::spawn(move || produce(&shared))
    };
    let mut threads = members(&shared);
    threads.push(producer);
    let mut rng = Rng::new(0x6e0_0b5);
    let outcome = (0..KILLS).try_for_each(|_| {
        let goal = shared.commits.load(Ordering::SeqCst) + 20 + rng.below(80);
        let begun = Instant::now();
        while shared.commits.load(Ordering::SeqCst) < goal {
            ensure!(begun.elapsed() < HANG, "no progress: {goal} commits were due");
            ensure!(!threads.iter().any(JoinHandle::is_finished), "a member or the producer gave up");
            std::thread::sleep(Duration::from_millis(1));
        }
        broker.kill9()?;
        // What was acknowledged before the kill; members may go on as soon as the broker is back.
        let acked: BTreeMap<_, _> = {
            let places = shared.places.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            places.iter().map(|(key, place)| (*key, place.acked)).collect()
        };
        broker.restart()?;
        judge_committed(&shared, &acked)
    });
    shared.stop.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
    }
    outcome?;
    let mut wire = Wire::connect(broker.addr())?;
    let mut below = 0;
    for group in GROUPS {
        for (partition, offset) in committed(&mut wire, group)? {
            let skipped = shared
                .place(group, partition, |place| (0..offset).find(|offset| !place.read.contains(offset)));
            ensure!(
                skipped.is_none(),
                "{group}: partition {partition} stands at {offset}, and nobody read {skipped:?}"
            );
            below += offset.max(0);
        }
    }
    let kept = shared.kept.load(Ordering::SeqCst);
    ensure!(kept > 0, "no member could go on in its generation after any restart");
    let commits = shared.commits.load(Ordering::SeqCst);
    say(&format!(
        "{KILLS} kills, {commits} commits acknowledged, {below} records below committed offsets, all read; \
         {kept} members went on in their generation"
    ));
    broker.stop()
}
