//! Random histories of a cluster's controller: nodes come, go and return, leaders wish, topics are made and deleted, and the
//! log loses, delays and repeats what it likes. After each batch the image keeps its invariants.
//!
//! ```text
//!   steps ──> asks, verdicts ──> controller ──> proposals ──> committed, lost with a leadership, unknown for a while
//!                                                                  └──> image: I6, partition epochs, ISR, leaders
//! ```
//! Leaders wish on images that lag, with epochs of lives that may be over. So most wishes are refused, and each that is not
//! must have been decided on the very state that it meets.

use super::cluster_rig::{Cluster, TERM, node, register};
use super::controller::{Ask, Input};
use super::{Image, IsrWish, Leadership, MorePartitions, NewTopic, ProposeResult, TopicRef, Verdict};
use crate::ids::{BrokerId, Peer, TopicId, TopicPartition};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const NODES: BrokerId = 4;

/// One step: what happens, and three numbers that choose to whom.
type Step = (u8, u8, u8, u8);

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0u8..21, any::<u8>(), any::<u8>(), any::<u8>()), 1..150)
}

struct History {
    cluster: Cluster,
    /// Images of the past, on which leaders wish.
    past: Vec<Arc<Image>>,
    /// The leader of each leader epoch of each partition (I6).
    leaders: BTreeMap<(TopicPartition, i32), BrokerId>,
    process: u8,
    number: u64,
    seen: Seen,
}

/// The events that histories have brought about, so that a history in which nothing happens is noticed.
#[derive(Default, Debug)]
pub(super) struct Seen {
    elections: usize,
    lost_leaders: usize,
    shrunk: usize,
    grown: usize,
    deleted: usize,
}

/// Runs one history, and panics where an image breaks an invariant.
pub(super) fn run(steps: &[Step]) -> Seen {
    let cluster = Cluster::of(3);
    let mut history = History {
        past: vec![Arc::clone(&cluster.image)],
        cluster,
        leaders: BTreeMap::new(),
        process: 10,
        number: 0,
        seen: Seen::default(),
    };
    for step in steps {
        history.step(*step);
    }
    while !history.cluster.proposed.is_empty() {
        history.commit();
    }
    assert_eq!(history.cluster.dropped, 0, "each committed record met the state that it was decided on");
    history.seen
}

impl History {
    fn broker(n: u8) -> BrokerId {
        1 + i32::from(n) % NODES
    }

    /// A peer as some image of the past shows it.
    fn peer(&self, image: &Image, n: u8) -> Option<Peer> {
        image.brokers.get(&History::broker(n)).map(|broker| broker.peer())
    }

    fn view(&self, n: u8) -> Arc<Image> {
        let back = usize::from(n % 8).saturating_sub(4).min(self.past.len() - 1);
        Arc::clone(&self.past[self.past.len() - 1 - back])
    }

    fn step(&mut self, (what, a, b, c): Step) {
        match what {
            0..=4 => self.commit(),
            5 => self.register(a, b),
            6 | 7 => {
                if let Some(peer) = self.peer(&self.view(b), a) {
                    self.cluster.judge(vec![Verdict::Unfence(peer)]);
                }
            }
            8 => self.fence(a, b),
            9 => self.create(a, b),
            10 => {
                let image = self.view(b);
                let gone = image.topics.keys().nth(usize::from(a) % image.topics.len().max(1));
                if let Some(id) = gone {
                    self.cluster.ask(Ask::DeleteTopics(vec![TopicRef::Id(*id)]));
                }
            }
            11..=15 => self.wish(a, b, c),
            19 => self.renew(a, b),
            16 => {
                let image = self.view(b);
                if let Some(peer) = self.peer(&image, a) {
                    let verdict = match c % 3 {
                        0 => Verdict::ShuttingDown(peer),
                        1 => Verdict::Stalled { peer, stalled: c > 100 },
                        _ => {
                            let replicas = image.topics.keys().map(|topic| id_of(*topic, 0));
                            Verdict::Unable { peer, replicas: replicas.filter(|_| c > 100).collect() }
                        }
                    };
                    self.cluster.judge(vec![verdict]);
                }
            }
            17 => {
                // The log does not know yet how the oldest proposal will end.
                if let Some((id, _)) = self.cluster.proposed.front() {
                    let id = *id;
                    self.cluster.step(Input::Proposed(id, ProposeResult::Unknown("late".into())));
                }
            }
            18 => {
                // Another leadership: what was on its way is gone, and is told so before or never.
                if a.is_multiple_of(2) {
                    while let Some((id, _)) = self.cluster.proposed.pop_back() {
                        self.cluster.step(Input::Proposed(id, ProposeResult::NotLeader));
                    }
                }
                self.cluster.lead_anew();
                self.cluster.judge(Vec::new());
            }
            _ => self.grow(a, b),
        }
    }

    fn register(&mut self, a: u8, b: u8) {
        self.process = self.process.wrapping_add(b % 2).max(10);
        self.cluster.ask(register(node(History::broker(a), self.process)));
    }

    fn fence(&mut self, a: u8, b: u8) {
        let (image, mut verdicts) = (self.view(b), Vec::new());
        for n in 0..=(b / 16) % 3 {
            if let Some(peer) = self.peer(&image, a.wrapping_add(n)) {
                let (why, synced) = (super::FencedFor::Silent, Default::default());
                verdicts.push(Verdict::Fence { peer, why, synced });
            }
        }
        let silent = verdicts.is_empty().then(|| self.peer(&image, a)).flatten();
        self.cluster.judge_with(verdicts, silent.into_iter().collect());
    }

    fn create(&mut self, a: u8, b: u8) {
        let name = format!("t{}", a % 4);
        let id = TopicId([b.max(1); 16]);
        let (partitions, replication_factor) = (1 + i32::from(a % 2), [-1, 1, 2, 3][usize::from(b % 4)]);
        let topics = vec![NewTopic { partitions, replication_factor, ..NewTopic::new(&name, id) }];
        self.cluster.ask(Ask::CreateTopics { topics, validate_only: false });
    }

    fn grow(&mut self, a: u8, b: u8) {
        let name = format!("t{}", a % 4);
        let topics = vec![MorePartitions::named(&self.view(b), name, 1 + i32::from(b % 4), None)];
        self.cluster.ask(Ask::CreatePartitions { topics, validate_only: false });
    }

    /// A leader's wish, decided on an image of the past.
    fn wish(&mut self, a: u8, b: u8, c: u8) {
        let image = self.view(b);
        let all: Vec<(TopicPartition, &super::Partition)> = partitions(&image).collect();
        let Some((id, p)) = all.get(usize::from(a) % all.len().max(1)) else { return };
        let Some(leader) = image.brokers.get(&p.leader) else { return };
        let wanted =
            p.replicas.iter().enumerate().filter(|(n, id)| **id == p.leader || b > 100 || c & (1 << n) != 0);
        let isr = wanted.filter_map(|(_, id)| image.brokers.get(id)).map(|broker| broker.peer()).collect();
        let (leader_epoch, partition_epoch) = (p.leader_epoch, p.partition_epoch);
        let wish = IsrWish { id: *id, leader_epoch, partition_epoch, isr, recovering: false };
        self.number += u64::from(!c.is_multiple_of(8));
        let late = u64::from(c.is_multiple_of(16));
        let leadership =
            Leadership { term: self.cluster.leadership.term.saturating_sub(late).max(TERM), node: 1 };
        let ask = Ask::AlterIsr { from: leader.peer(), number: self.number, leadership, wishes: vec![wish] };
        self.cluster.ask(ask);
    }

    fn renew(&mut self, a: u8, b: u8) {
        let image = self.view(b);
        let Some(from) = self.peer(&image, a) else { return };
        let partitions = partitions(&image).map(|(id, p)| (id, p.leader_epoch)).collect();
        self.cluster.ask(Ask::RenewEpochs { from, partitions });
    }

    fn commit(&mut self) {
        let before = Arc::clone(&self.cluster.image);
        if !self.cluster.commit_one() {
            return;
        }
        let image = Arc::clone(&self.cluster.image);
        for (id, p) in partitions(&image) {
            let led = (id, p.leader_epoch);
            if p.leader >= 0 {
                assert_eq!(*self.leaders.entry(led).or_insert(p.leader), p.leader, "I6: {led:?}");
                let broker = &image.brokers[&p.leader];
                assert!(!broker.fenced, "a fenced leader of {id}: {p:?}");
                let fenced = |id: &BrokerId| image.brokers[id].fenced;
                assert!(!p.isr.iter().any(fenced), "a fenced member of {id}: {p:?}");
            }
            let kept = p.isr.iter().chain(&p.elr).chain(&p.last_known_elr);
            let kept: BTreeSet<&BrokerId> = kept.collect();
            let sum = p.isr.len() + p.elr.len() + p.last_known_elr.len();
            assert!(!kept.is_empty() && kept.len() == sum, "a replica is in one list: {p:?}");
            assert!(kept.iter().all(|id| p.replicas.contains(id)), "{p:?}");
            assert!(p.leader == -1 || p.isr.contains(&p.leader), "{p:?}");
            if let Some(old) = before.partition(id) {
                let state = |p: &super::Partition| {
                    (p.leader, p.leader_epoch, p.isr.clone(), p.elr.clone(), p.last_known_elr.clone())
                };
                let changed = i32::from(state(old) != state(p));
                let grown = p.partition_epoch - old.partition_epoch;
                assert!(grown == changed || grown == 1, "{old:?} -> {p:?}");
                assert!(p.leader_epoch >= old.leader_epoch);
                assert!(p.leader == old.leader || p.leader_epoch > old.leader_epoch, "{old:?} -> {p:?}");
                let moved = p.leader != old.leader;
                self.seen.elections += usize::from(moved && p.leader >= 0);
                self.seen.lost_leaders += usize::from(moved && p.leader < 0);
                self.seen.shrunk += usize::from(p.isr.len() < old.isr.len());
                self.seen.grown += usize::from(p.isr.len() > old.isr.len());
            }
        }
        self.seen.deleted += usize::from(image.topics.len() < before.topics.len());
        self.past.push(image);
    }
}

fn id_of(topic: TopicId, partition: i32) -> TopicPartition {
    TopicPartition { topic, partition }
}

fn partitions(image: &Image) -> impl Iterator<Item = (TopicPartition, &super::Partition)> {
    image
        .topics
        .values()
        .flat_map(|topic| (0i32..).zip(&topic.partitions).map(|(n, p)| (id_of(topic.id, n), p)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn any_history_keeps_the_invariants(steps in steps()) {
        run(&steps);
    }
}

#[test]
fn histories_bring_about_what_they_are_to_judge() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut all = Seen::default();
    for _ in 0..200 {
        let seen = run(&steps().new_tree(&mut runner).unwrap().current());
        all.elections += seen.elections;
        all.lost_leaders += seen.lost_leaders;
        all.shrunk += seen.shrunk;
        all.grown += seen.grown;
        all.deleted += seen.deleted;
    }
    let least = [all.elections, all.lost_leaders, all.shrunk, all.grown, all.deleted].into_iter().min();
    assert!(least >= Some(20), "{all:?}");
}

#[cfg(feature = "mutants")]
mod mutants {
    use super::*;
    use crate::mutant::{Mutant, plant};
    use proptest::test_runner::TestRunner;

    fn caught(mutant: Mutant) {
        let config = ProptestConfig {
            cases: 3_000,
            max_shrink_iters: 0,
            failure_persistence: None,
            ..Default::default()
        };
        let mut runner = TestRunner::new(config);
        plant(Some(mutant));
        let result = runner.run(&steps(), |steps| {
            run(&steps);
            Ok(())
        });
        plant(None);
        assert!(result.is_err(), "{mutant:?} was not caught");
    }

    #[test]
    fn a_controller_that_forgets_its_proposals_is_caught() {
        caught(Mutant::DecidedOnImageAlone);
    }

    /// Two batches decided on one state elect two leaders in one epoch, where nothing looks at the partition epoch.
    #[test]
    fn an_image_that_takes_any_change_is_caught() {
        use super::super::{MetadataRecord, PartitionChange};
        let apply = |mutant| {
            plant(mutant);
            let mut cluster = Cluster::of(3);
            let at = cluster.create(1, &[1, 2, 3]);
            let mut image = Image::clone(&cluster.image);
            let led = |leader| {
                let (topic, isr) = (at.topic, vec![leader]);
                let change = PartitionChange {
                    topic,
                    leader,
                    leader_epoch: 1,
                    isr,
                    partition_epoch: 1,
                    ..Default::default()
                };
                [MetadataRecord::PartitionChange(change)]
            };
            let dropped = [2, 3].map(|leader| image.apply_batch(image.applied + 1, &led(leader)).len());
            plant(None);
            (dropped, image.partition(at).unwrap().leader)
        };
        assert_eq!(apply(None), ([0, 1], 2));
        assert_eq!(apply(Some(Mutant::AppliedWithoutEpochCheck)), ([0, 0], 3), "two leaders of one epoch");
    }
}
