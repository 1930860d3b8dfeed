//! State that the clients of one load share: the pace, the end, counters, times, marks of the group, what it read.
//!
//! Lanes and members write here; the driver reads. Nothing in this file starts a thread or speaks to a node.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use parking_lot::Mutex;

use super::map::{Map, View};
use super::recorder::Recorder;
use super::tape::Tape;
use crate::process::load::{Ledger, Script};
use crate::process::verdict::Read;

/// Odd things that are kept.
const NOTES: usize = 200;

/// Places of the group in one partition.
#[derive(Clone, Default)]
pub(super) struct Mark {
    /// The largest offset whose commit was sent.
    pub asked: i64,
    /// The largest offset whose commit was acknowledged.
    pub acked: i64,
}

/// A lane's ledger, and when each of its batches was acknowledged.
pub struct LaneEnd {
    pub ledger: Ledger,
    /// First record, count, time.
    pub times: Vec<(u64, u64, Instant)>,
}

pub(super) struct Shared {
    pub map: Map,
    /// The topic that the load writes and reads.
    pub topic: String,
    pub group: String,
    pub partitions: i32,
    pub script: Script,
    /// Time between two records of one lane.
    pub pace: Duration,
    pub stop: AtomicBool,
    /// Producers make no new records for a while.
    pub rest: AtomicBool,
    /// Why clients have ended early, after which nothing more will come.
    pub failed: Mutex<Vec<String>>,
    /// Records that are sent and not acknowledged.
    pub in_flight: AtomicU64,
    pub acked: AtomicU64,
    pub commits: AtomicU64,
    /// Acknowledgements by partition, then acknowledged commits by partition.
    pub tape: Tape,
    pub marks: Mutex<BTreeMap<i32, Mark>>,
    /// Records that the group read, by partition.
    pub seen: Mutex<Vec<Vec<Read>>>,
    /// Refusals by error code.
    pub refusals: Mutex<BTreeMap<i16, u64>>,
    pub odd: Mutex<Vec<String>>,
    /// What each client did.
    pub record: Recorder,
}

impl Shared {
    pub fn new(map: Map, topic: &str, partitions: i32, script: Script, pace: Duration) -> Shared {
        let tracks = usize::try_from(partitions).unwrap_or(0);
        Shared {
            map,
            topic: topic.to_owned(),
            group: format!("readers-of-{topic}"),
            partitions,
            script,
            pace,
            stop: AtomicBool::new(false),
            rest: AtomicBool::new(false),
            failed: Mutex::default(),
            in_flight: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            tape: Tape::new(2 * tracks),
            marks: Mutex::default(),
            seen: Mutex::new(vec![Vec::new(); tracks]),
            refusals: Mutex::default(),
            odd: Mutex::default(),
            record: Recorder::new(topic, partitions, script),
        }
    }

    /// The topic, as any node describes it; what was told goes into the history.
    pub fn view(&self, process: u32) -> Result<View> {
        let begin = self.record.now();
        let view = self.map.view(&self.topic)?;
        self.record.viewed(process, begin, &view);
        Ok(view)
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Whether producers may make new records.
    pub fn makes(&self) -> bool {
        !self.stopped() && !self.rest.load(Ordering::SeqCst)
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Notes something that no client should meet, and that is not a broken promise by itself.
    pub fn note(&self, what: String) {
        let mut odd = self.odd.lock();
        if odd.len() < NOTES {
            odd.push(what);
        }
    }
}
