//! A seed, expanded: everything that a run is free to choose before it begins.
//!
//! A run prints its options, because a seed alone says nothing to a reader, and means another run once the expansion
//! changes. Faults are drawn from a stream of their own (`faults.rs`).
//!
//! Lost disks have streams of their own too, so that seeds without them keep their meaning.

use crate::sim::rng::Rng;

/// Partitions of a run at most.
pub const PARTITIONS_MAX: usize = 3;
/// Nodes of a run at most.
pub const NODES_MAX: usize = 5;
/// Microseconds of simulated time.
pub type Time = u64;
/// A second, in the microseconds of the simulation.
pub const SECOND: Time = 1_000_000;
/// A millisecond, in the microseconds of the simulation.
pub const MS: Time = 1_000;

/// One topic of one partition.
#[derive(Clone, Copy, Debug)]
pub struct TopicOptions {
    pub min_isr: u8,
    /// `callboard.durability` is `os` at the start.
    pub os: bool,
    /// No producer writes to it: an idle partition.
    pub idle: bool,
}

/// The options of one run.
#[derive(Clone, Debug)]
pub struct Options {
    pub seed: u64,
    pub nodes: u8,
    pub topics: Vec<TopicOptions>,
    /// Length of the first phase, with faults and load.
    pub safety: Time,
    /// Faults drawn; each is one event that a shorter run may drop.
    pub faults: u64,
    /// Kinds of faults, by weight (`faults.rs` gives the order).
    pub weights: [u64; 8],
    /// One-way delay of the network.
    pub delay: (Time, Time),
    /// How long a write to the page cache takes.
    pub write: (Time, Time),
    /// How long a sync takes.
    pub sync: (Time, Time),
    /// How long a mailbox keeps a notice of the journal.
    pub notice: (Time, Time),
    /// How long the metadata log takes to commit, and a node to apply.
    pub commit: (Time, Time),
    pub apply: (Time, Time),
    /// Mean time between two batches of one producer.
    pub produce_every: Time,
    pub in_flight: usize,
    /// Largest batch, in bytes.
    pub batch_bytes: u64,
    /// Percent of the feed's reads that go through the readers, and so take a while.
    pub cold_reads: u64,
    /// Parts per million by which each node's clock is fast; negative: slow.
    pub rates: [i64; NODES_MAX],
    /// Milliseconds by which each node's wall clock is ahead.
    pub walls: [i64; NODES_MAX],
    pub lag_max_ms: u64,
    /// Settings of topics change while load runs.
    pub settings: bool,
    pub delete_records: bool,
    /// How long the store reads a log again (R38).
    pub reread: (Time, Time),
    /// Percent of the times at which a node that is behind gets a snapshot, and not the batches.
    pub snapshots: u64,
    /// Stories of several faults that belong together (`stories.rs`).
    pub stories: u64,
    /// The one story of the run. Nothing else is wrong then.
    pub only: Option<Only>,
    /// DeleteRecords names any offset, not only the first of a batch.
    pub delete_inside: bool,
    /// A connection that no replica needs any more stays open.
    pub keep_links: bool,
    /// After the heal one node stays dead.
    pub leave_dead: bool,
    /// `producer.id.expiration.ms` is an hour, and time is skipped up to the looks for idle producers.
    pub expire: bool,
    pub power_cuts: bool,
    /// Power is cut under topics that are `os`, too. Otherwise it is never cut where a topic is or was `os`.
    pub power_cuts_os: bool,
    /// Directories are emptied, and shards are lost.
    pub wipes: bool,
    /// Old copies of directories come back.
    pub old_copies: bool,
    /// Planned ends, and starts that end between two of their steps.
    pub stops: bool,
    pub sync_fails: bool,
    /// Rot is found in replicas that run.
    pub rot: bool,
}

/// A story that needs a run of its own (`stories.rs`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Only {
    /// One node hears and does not follow (R45).
    Stale,
    /// Leaderships leave a node and come back, over a stream that is kept (R36).
    Returns,
    /// A follower comes and goes, and proposals of ISRs are late (R40).
    Late,
}

/// Weights of the kinds of faults. A run that has all kinds in equal parts seldom goes deep into one.
fn weights(rng: &mut Rng) -> [u64; 8] {
    let mut weights = [4, 3, 4, 3, 3, 4, 2, 2];
    for weight in &mut weights {
        *weight *= [0, 1, 1, 1, 4][rng.below(5) as usize];
    }
    weights[rng.below(8) as usize] += 4;
    weights
}

impl Options {
    /// The options of this seed.
    #[must_use]
    pub fn of(seed: u64) -> Options {
        let mut options = Options::drawn(seed);
        let mut rng = Rng::new(seed, 4);
        if rng.percent(4) {
            // Much is on its way at any time: a slow network, and producers that do not wait.
            options.delay = (20 * MS, 80 * MS);
            (options.in_flight, options.batch_bytes, options.produce_every) = (5, 80_000, 30 * MS);
            options.safety = 12 * SECOND;
            options.weights = [1, 0, 2, 1, 0, 0, 8, 0];
        }
        options.draw_harm();
        match options.only {
            Some(Only::Stale) => options.safety = options.safety.max(20 * SECOND),
            Some(Only::Late) => options.safety = 25 * SECOND,
            Some(Only::Returns) => {
                (options.nodes, options.keep_links, options.safety) = (3, true, 31 * SECOND);
            }
            None => {}
        }
        options
    }

    fn drawn(seed: u64) -> Options {
        let mut rng = Rng::new(seed, 1);
        let rng = &mut rng;
        let nodes = if rng.percent(10) { 5 } else { 3 };
        let power_cuts = rng.percent(50);
        let settings = rng.percent(40);
        let topics = topics(rng, !power_cuts);
        let lan = rng.percent(70);
        let slow_disk = rng.percent(30);
        let day: i64 = 86_400_000;
        let clocks = rng.percent(70);
        let mut signed = |most: i64| rng.below(2 * most as u64 + 1) as i64 - most;
        let rates = std::array::from_fn(|_| if clocks { signed(50_000) } else { 0 });
        let walls = std::array::from_fn(|_| signed(day));
        Options {
            seed,
            nodes,
            topics,
            safety: rng.within(12, 40) * SECOND,
            faults: rng.within(2, 14),
            weights: weights(rng),
            delay: if lan { (50, 3 * MS) } else { (MS, 60 * MS) },
            write: (20, 2 * MS),
            sync: if slow_disk { (MS, 400 * MS) } else { (200, 20 * MS) },
            notice: if rng.percent(30) { (0, 200 * MS) } else { (0, 2 * MS) },
            commit: if rng.percent(30) { (MS, 600 * MS) } else { (MS, 20 * MS) },
            apply: if rng.percent(30) { (MS, 900 * MS) } else { (100, 30 * MS) },
            produce_every: rng.within(100, 900) * MS,
            in_flight: if rng.percent(60) { 1 } else { rng.within(2, 5) as usize },
            batch_bytes: if rng.percent(20) { 200_000 } else { 2_000 },
            cold_reads: if rng.percent(30) { 40 } else { 3 },
            rates,
            walls,
            lag_max_ms: if rng.percent(50) { rng.within(1_000, 4_000) } else { 30_000 },
            settings,
            delete_records: rng.percent(40),
            reread: if rng.percent(30) { (10 * MS, 5 * SECOND) } else { (200, 50 * MS) },
            snapshots: if rng.percent(40) { 30 } else { 0 },
            stories: if rng.percent(60) { rng.within(1, 3) } else { 0 },
            only: only(rng),
            delete_inside: rng.percent(30),
            keep_links: rng.percent(50),
            leave_dead: rng.percent(20),
            expire: rng.percent(10),
            power_cuts,
            power_cuts_os: false,
            wipes: false,
            old_copies: false,
            stops: false,
            sync_fails: false,
            rot: false,
        }
    }

    fn draw_harm(&mut self) {
        let mut rng = Rng::new(self.seed, 5);
        if self.only.is_some() || rng.percent(45) {
            return;
        }
        self.power_cuts_os = rng.percent(50);
        self.wipes = rng.percent(40);
        self.old_copies = rng.percent(35);
        self.stops = rng.percent(40);
        self.sync_fails = rng.percent(30);
        self.rot = rng.percent(30);
        if self.power_cuts_os {
            self.power_cuts = true;
            self.topics.iter_mut().for_each(|topic| topic.os = rng.percent(60));
        }
    }

    /// Whether disks are lost, or nodes start and end in other ways than by a kill.
    #[must_use]
    pub fn harms(&self) -> bool {
        self.power_cuts_os || self.wipes || self.old_copies || self.stops || self.sync_fails || self.rot
    }

    /// Whether a topic's durability may change: not where power is cut.
    #[must_use]
    pub fn durability_changes(&self) -> bool {
        self.settings && (!self.power_cuts || self.power_cuts_os)
    }
}

fn only(rng: &mut Rng) -> Option<Only> {
    let (stale, returns, late) = (rng.percent(3), rng.percent(4), rng.percent(3));
    let drawn = [(late, Only::Late), (returns, Only::Returns), (stale, Only::Stale)];
    drawn.into_iter().find_map(|(drawn, story)| drawn.then_some(story))
}

fn topics(rng: &mut Rng, os_allowed: bool) -> Vec<TopicOptions> {
    let count = rng.within(1, PARTITIONS_MAX as u64);
    (0..count)
        .map(|n| TopicOptions {
            min_isr: [1, 2, 2, 2, 2, 3][rng.below(6) as usize],
            os: rng.percent(30) && os_allowed,
            idle: n > 0 && rng.percent(30),
        })
        .collect()
}
