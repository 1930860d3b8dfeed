//! A user's choices for a run, with values that fit a small machine.
//!
//! Every choice of a run follows from the seed. Times do not, so two runs of one seed differ in where a kill hits.

use std::path::PathBuf;

/// The topic of a load that names no other.
pub const TOPIC: &str = "under-fire";

/// Choices of one run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Kills that count; a third of each kind.
    pub kills: u32,
    pub seed: u64,
    pub nodes: usize,
    /// `fsync`: a batch is acknowledged from the disks of the ISR; `os`: from its operating systems.
    pub durability: &'static str,
    pub partitions: i32,
    /// Producers; each has one producer id and writes to every partition.
    pub producers: u32,
    /// Records a second of all producers together.
    pub rate: u64,
    pub shards: u32,
    /// The shortest and the longest time that a killed node stays down, in milliseconds.
    pub down_ms: (u64, u64),
    /// Environment variables of every node, for further settings of the broker.
    pub env: Vec<(String, String)>,
    /// The topic that the load writes; its group has the name of the topic, too.
    pub topic: String,
    /// The durability of this topic, if it has one of its own.
    pub topic_durability: Option<&'static str>,
    /// The directory that keeps the logs of all nodes.
    pub logs: Option<PathBuf>,
    /// The file that gets the history, as lines of JSON.
    pub history: Option<PathBuf>,
    /// The file that gets the page with the timeline. A run of faults has a directory here, with a page for each play.
    pub timeline: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            kills: 60,
            seed: 1,
            nodes: 3,
            durability: "fsync",
            partitions: 6,
            producers: 2,
            rate: 2_000,
            shards: 1,
            down_ms: (1_000, 2_000),
            env: Vec::new(),
            topic: TOPIC.to_owned(),
            topic_durability: None,
            logs: None,
            history: None,
            timeline: None,
        }
    }
}
