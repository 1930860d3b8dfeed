//! Tests of the node machine: for each row of an image beside a replica, the effects of one step.

use super::messages::{Effect, Found, Input, Life, Origin};
use super::*;
use crate::ids::{BrokerId, ReplicaId, Seq, TopicId, TopicPartition};
use crate::machine::Machine;
use crate::metadata::{Image, Opened, Partition, Topic};
use crate::partition::{Assigned, AssignedRole};
use crate::storage::Verdict;
use crate::time::{Millis, Now, UnixMillis};
use std::sync::Arc;

const ME: i32 = 1;
const OTHER: i32 = 2;
const EPOCH: u64 = 10;
const DAY: i64 = 86_400_000;

pub(super) fn id(topic: u8) -> TopicPartition {
    TopicPartition { topic: TopicId([topic; 16]), partition: 0 }
}

/// A topic of one partition: its leader, its epoch, the nodes with replicas, and the nodes that have opened theirs.
fn topic(n: u8, leader: i32, leader_epoch: i32, replicas: &[i32], opened: &[i32]) -> Arc<Topic> {
    let partition = Partition {
        leader,
        leader_epoch,
        partition_epoch: leader_epoch,
        opened: opened.iter().map(|id| Opened { broker: *id, directory: None, shard: None }).collect(),
        ..Partition::new(replicas.to_vec(), replicas.to_vec())
    };
    let name = format!("topic-{n}");
    Arc::new(Topic { id: id(n).topic, name, partitions: vec![partition], ..Topic::default() })
}

pub(super) fn image(applied: u64, topics: &[Arc<Topic>]) -> Arc<Image> {
    let mut image = Image { applied, ..Image::default() };
    for topic in topics {
        image.by_name.insert(topic.name.clone(), topic.id);
        image.topics.insert(topic.id, Arc::clone(topic));
    }
    Arc::new(image)
}

fn found(n: u8, verdict: Verdict) -> Found {
    let replica = ReplicaId(u32::from(n));
    Found { id: id(n), shard: 0, replica, seq: Seq(7), stray: None, verdict }
}

/// The effects of a node with one shard when the second image follows the first.
pub(crate) fn between(old: &Arc<Image>, new: &Arc<Image>, me: i32) -> Vec<Effect> {
    let mut machine = NodeMachine::new((me, None), Arc::default(), vec![Ok(())], vec![]);
    let mut step = |input| {
        let mut out = Vec::new();
        machine.step(Now::default(), input, &mut out);
        out
    };
    step(Input::Registered { epoch: 0 });
    step(Input::Image(Arc::clone(old)));
    step(Input::Image(Arc::clone(new)))
}

pub(super) struct Node {
    machine: NodeMachine,
    ms: u64,
}

impl Node {
    /// A node that has registered, and has seen no image.
    pub fn new(shards: Vec<Result<(), String>>, found: Vec<Found>) -> Node {
        let mut node = Node { machine: NodeMachine::new((ME, None), Arc::default(), shards, found), ms: 0 };
        assert_eq!(node.step(Input::Registered { epoch: EPOCH }), vec![]);
        node
    }

    pub fn one(found: Vec<Found>) -> Node {
        Node::new(vec![Ok(())], found)
    }

    pub fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        let wall = UnixMillis(1_000 * DAY + self.ms as i64);
        self.machine.step(Now { mono: Millis(self.ms), wall }, input, &mut out);
        self.machine.check();
        out
    }

    /// A node that serves a topic which it leads in epoch 4, as of index 10.
    fn serving() -> (Node, Life) {
        let mut node = Node::one(vec![found(1, Verdict::Clean)]);
        node.step(Input::Image(image(10, &[topic(1, ME, 4, &[ME], &[ME])])));
        let life = Life { id: id(1), number: 1 };
        assert_eq!(node.step(Input::Ready(life)), vec![Effect::Gather]);
        let out = node.step(Input::Gathered);
        let all = vec![Effect::Serve(vec![life]), Effect::Served(10), Effect::Ready { epoch: EPOCH }];
        assert_eq!(out, all);
        (node, life)
    }
}

/// A role without the group of a leader.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Leader,
    Follower(BrokerId),
}

fn kind(assigned: &Assigned) -> Kind {
    match &assigned.role {
        AssignedRole::Leader(_) => Kind::Leader,
        AssignedRole::Follower { leader } => Kind::Follower(*leader),
        AssignedRole::Idle => Kind::Follower(-1),
    }
}

/// Shard, origin, role and leader epoch of a replica that is started, or why it is offline.
type Started = Result<(usize, Origin, Kind, i32), String>;

fn started(effects: &[Effect]) -> Vec<(u8, Started)> {
    let of = |id: &TopicPartition| id.topic.0[0];
    let said = |effect: &Effect| match effect {
        Effect::Start { life, shard, origin, assigned, .. } => {
            Some((of(&life.id), Ok((*shard, *origin, kind(assigned), assigned.leader_epoch))))
        }
        Effect::Offline { life, why, .. } => Some((of(&life.id), Err(why.clone()))),
        _ => None,
    };
    effects.iter().filter_map(said).collect()
}

#[test]
fn what_is_found_on_disk_and_what_the_image_says_decide_where_a_log_comes_from() {
    let (leader, idle) = (Kind::Leader, Kind::Follower(OTHER));
    let recovered = Origin::Recovered(ReplicaId(1));
    let unknown = "it was opened here before, and the store does not know it any more";
    let rows = [
        ("new", None, topic(1, ME, 0, &[ME], &[]), vec![Ok((0, Origin::New, leader, 0))]),
        ("found", Some(Verdict::Clean), topic(1, ME, 5, &[ME], &[ME]), vec![Ok((0, recovered, leader, 5))]),
        (
            "half opened",
            Some(Verdict::Clean),
            topic(1, ME, 0, &[ME], &[]),
            vec![Ok((0, recovered, leader, 0))],
        ),
        (
            "unclean",
            Some(Verdict::Unclean("cut".into())),
            topic(1, ME, 5, &[ME], &[ME]),
            vec![Ok((0, recovered, leader, 5))],
        ),
        (
            "corrupt",
            Some(Verdict::Corrupt("rot at 7".into())),
            topic(1, ME, 5, &[ME], &[ME]),
            vec![Err("rot at 7".to_owned())],
        ),
        ("lost", None, topic(1, ME, 5, &[ME], &[ME]), vec![Err(unknown.to_owned())]),
        (
            "led elsewhere",
            Some(Verdict::Clean),
            topic(1, OTHER, 5, &[OTHER, ME], &[ME]),
            vec![Ok((0, recovered, idle, 5))],
        ),
        (
            "led elsewhere, new",
            None,
            topic(1, OTHER, 5, &[OTHER, ME], &[]),
            vec![Ok((0, Origin::New, idle, 5))],
        ),
        (
            "led by nobody",
            None,
            topic(1, -1, 5, &[ME], &[]),
            vec![Ok((0, Origin::New, Kind::Follower(-1), 5))],
        ),
        ("another node's", None, topic(1, OTHER, 5, &[OTHER], &[]), vec![]),
    ];
    for (case, verdict, topic, expected) in rows {
        let mut node = Node::one(verdict.into_iter().map(|verdict| found(1, verdict)).collect());
        let out = node.step(Input::Image(image(10, &[topic])));
        let started: Vec<_> = started(&out).into_iter().map(|(_, how)| how).collect();
        assert_eq!(started, expected, "{case}");
        let unclean = out.iter().any(|effect| matches!(effect, Effect::Unclean { .. }));
        assert_eq!(unclean, case == "unclean", "{case}");
        assert!(!out.iter().any(|effect| matches!(effect, Effect::Stray { .. })), "{case}");
    }
}

#[test]
fn a_lost_shard_takes_its_partitions_offline_and_new_ones_go_to_a_shard_that_works() {
    let lost = Err("the file is gone".to_owned());
    let mut node = Node::new(vec![lost.clone(), Ok(())], vec![]);
    let topics = [topic(1, ME, 1, &[ME], &[ME]), topic(2, ME, 0, &[ME], &[]), topic(3, ME, 0, &[ME], &[])];
    let out = started(&node.step(Input::Image(image(10, &topics))));
    let new = Ok((1, Origin::New, Kind::Leader, 0));
    assert_eq!(out, vec![(1, Err("shard 0 is lost: the file is gone".into())), (2, new.clone()), (3, new)]);
    let mut node = Node::new(vec![lost], vec![]);
    let out = started(&node.step(Input::Image(image(10, &topics[1..2]))));
    assert_eq!(out, vec![(2, Err("no shard of this node works".into()))]);
    let mut node = Node::new(vec![Ok(()), Ok(())], vec![]);
    let mut many = Topic::clone(&topic(1, ME, 0, &[ME], &[]));
    many.partitions = vec![many.partitions[0].clone(); 39];
    let out = node.step(Input::Image(image(10, &[Arc::new(many)])));
    let shards: Vec<_> = started(&out).into_iter().map(|s| s.1).collect();
    let in_first = shards.iter().flatten().filter(|s| s.0 == 0).count();
    assert!((10..30).contains(&in_first), "partitions spread: {in_first} of 39");
}

#[test]
fn an_image_from_before_the_registration_starts_nothing() {
    let mut node = Node::one(vec![found(1, Verdict::Clean), found(2, Verdict::Clean)]);
    assert_eq!(node.step(Input::Image(image(9, &[topic(1, ME, 3, &[ME], &[ME])]))), vec![]);
    let out = node.step(Input::Image(image(10, &[topic(1, ME, 4, &[ME], &[ME])])));
    assert_eq!(started(&out).len(), 1);
    let strays: Vec<_> = out.iter().filter(|e| matches!(e, Effect::Stray { .. })).collect();
    assert_eq!(strays.len(), 1, "R20: the one that no image knows");
}

#[test]
fn an_epoch_that_grows_under_load_is_told_to_the_running_replica() {
    let (mut node, _) = Node::serving();
    let out = node.step(Input::Image(image(11, &[topic(1, ME, 5, &[ME], &[ME])])));
    assert!(
        matches!(&out[..], [Effect::Assign { shard: 0, assigned, .. }, Effect::Mark { shard: 0, index: 11 }]
        if kind(assigned) == Kind::Leader && assigned.leader_epoch == 5)
    );
    assert_eq!(node.step(Input::Told { index: 11 }), vec![Effect::Served(11)]);
}

#[test]
fn leadership_leaves_and_comes_back() {
    let (mut node, _) = Node::serving();
    for (index, leader, role) in [(11, OTHER, Kind::Follower(OTHER)), (12, ME, Kind::Leader)] {
        let epoch = index as i32;
        let out = node.step(Input::Image(image(index, &[topic(1, leader, epoch, &[ME, OTHER], &[ME])])));
        assert!(matches!(&out[..], [Effect::Assign { assigned, .. }, Effect::Mark { index: told, .. }]
            if kind(assigned) == role && assigned.leader_epoch == epoch && *told == index));
        node.step(Input::Told { index });
    }
    let same = image(13, &[topic(1, ME, 12, &[ME, OTHER], &[ME])]);
    assert_eq!(node.step(Input::Image(same)), vec![Effect::Served(13)], "nothing to tell");
}

#[test]
fn a_replica_that_the_image_takes_away_leaves_and_its_next_life_reads_its_log_again() {
    let (mut node, first) = Node::serving();
    let out = node.step(Input::Image(image(11, &[topic(1, OTHER, 5, &[OTHER], &[ME])])));
    let gone = vec![Effect::Leave { id: id(1), shard: 0 }, Effect::Withdraw(vec![id(1)]), Effect::Served(11)];
    assert_eq!(out, gone);
    let out = node.step(Input::Image(image(12, &[topic(1, OTHER, 6, &[OTHER, ME], &[ME])])));
    assert_eq!(started(&out), vec![(1, Ok((0, Origin::Returned, Kind::Follower(OTHER), 6)))]);
    assert_eq!(node.step(Input::Ready(first)), vec![], "a word of the former life");
    let second = Life { number: first.number + 1, ..first };
    assert_eq!(node.step(Input::Ready(second)), vec![Effect::Gather]);
    assert_eq!(node.step(Input::Gathered)[0], Effect::Serve(vec![second]));
}

#[test]
fn a_replica_that_has_left_is_dropped_with_its_topic() {
    let (mut node, _) = Node::serving();
    let elsewhere = topic(1, OTHER, 5, &[OTHER], &[ME]);
    node.step(Input::Image(image(11, &[elsewhere])));
    let out = node.step(Input::Image(image(12, &[])));
    assert_eq!(out, vec![Effect::Drop { id: id(1), shard: 0 }, Effect::Served(12)]);
    assert_eq!(node.step(Input::Image(image(13, &[]))), vec![Effect::Served(13)], "once");
}

#[test]
fn a_corrupt_replica_stays_offline_when_its_partition_comes_back() {
    // Its opening was never recorded: an empty replica might be made in its place.
    let mut node = Node::one(vec![found(1, Verdict::Corrupt("rot".into()))]);
    node.step(Input::Image(image(10, &[topic(1, ME, 4, &[ME], &[])])));
    node.step(Input::Image(image(11, &[topic(1, OTHER, 5, &[OTHER], &[])])));
    let out = node.step(Input::Image(image(12, &[topic(1, ME, 6, &[ME], &[])])));
    assert_eq!(started(&out), vec![(1, Err("rot".into()))]);
}

#[test]
fn a_deleted_topic_is_dropped_wherever_its_replica_stands() {
    let (mut node, _) = Node::serving();
    let out = node.step(Input::Image(image(11, &[])));
    let gone = vec![Effect::Drop { id: id(1), shard: 0 }, Effect::Withdraw(vec![id(1)]), Effect::Served(11)];
    assert_eq!(out, gone);
    // The topic goes while the replica is being opened, and while the opening is being recorded.
    for recording in [false, true] {
        let mut node = Node::one(vec![]);
        node.step(Input::Image(image(10, &[])));
        node.step(Input::Image(image(11, &[topic(2, ME, 0, &[ME], &[])])));
        let life = Life { id: id(2), number: 1 };
        if recording {
            assert_eq!(node.step(Input::Ready(life)), vec![Effect::RecordOpened(vec![id(2)])]);
        }
        let out = node.step(Input::Image(image(12, &[])));
        assert_eq!(out[0], Effect::Drop { id: id(2), shard: 0 });
        assert_eq!(out.last(), Some(&Effect::Served(12)), "nothing waits for it any more");
        assert_eq!(node.step(Input::Ready(life)), vec![]);
        assert_eq!(node.step(Input::Recorded(true)), vec![], "no handle of a former life is served");
    }
    // An offline replica has no shard that could be told.
    let mut node = Node::one(vec![found(1, Verdict::Corrupt("rot".into()))]);
    node.step(Input::Image(image(10, &[topic(1, ME, 4, &[ME], &[ME])])));
    node.step(Input::Gathered);
    let out = node.step(Input::Image(image(11, &[])));
    assert_eq!(out, vec![Effect::Withdraw(vec![id(1)]), Effect::Served(11)]);
}

#[test]
fn a_new_replica_is_served_when_its_opening_is_recorded_and_asked_again_until_it_is() {
    let mut node = Node::one(vec![]);
    let out = node.step(Input::Image(image(10, &[])));
    assert_eq!(out, vec![Effect::Claimed, Effect::Served(10), Effect::Ready { epoch: EPOCH }]);
    let two = [topic(1, ME, 0, &[ME], &[]), topic(2, ME, 0, &[ME], &[])];
    node.step(Input::Image(image(11, &two)));
    let [one, other] = [1, 2].map(|n| Life { id: id(n as u8), number: n });
    assert_eq!(node.step(Input::Ready(one)), vec![Effect::RecordOpened(vec![id(1)])]);
    assert_eq!(node.step(Input::Ready(other)), vec![], "one question at a time");
    assert_eq!(node.step(Input::Recorded(false)), vec![]);
    assert_eq!(node.machine.next_deadline(), Some(Millis(500)));
    assert_eq!(node.step(Input::Tick), vec![], "too early");
    node.ms = 500;
    assert_eq!(node.step(Input::Tick), vec![Effect::RecordOpened(vec![id(2), id(1)])]);
    let out = node.step(Input::Recorded(true));
    assert_eq!(out, vec![Effect::Serve(vec![other, one]), Effect::Served(11)]);
    assert_eq!(node.step(Input::Ready(one)), vec![], "an actor that starts again is served already");
}

#[test]
fn a_replica_that_cannot_be_opened_is_served_as_offline_and_never_recorded() {
    let mut node = Node::one(vec![]);
    node.step(Input::Image(image(10, &[topic(1, ME, 0, &[ME], &[])])));
    let life = Life { id: id(1), number: 1 };
    assert_eq!(node.step(Input::Broken(life)), vec![Effect::Gather]);
    assert_eq!(node.step(Input::Gathered)[0], Effect::Serve(vec![life]));
}

#[test]
fn an_offline_partition_shows_its_newest_epoch() {
    let mut node = Node::one(vec![found(1, Verdict::Corrupt("rot".into()))]);
    node.step(Input::Image(image(10, &[topic(1, ME, 4, &[ME], &[ME])])));
    node.step(Input::Gathered);
    let out = node.step(Input::Image(image(11, &[topic(1, ME, 5, &[ME], &[ME])])));
    let life = Life { id: id(1), number: 1 };
    let shown = Effect::Offline { life, leader_epoch: 5, why: "rot".into() };
    assert_eq!(out, vec![Effect::Damaged { life, epoch: 5 }, shown, Effect::Served(11)]);
}

#[test]
fn a_config_that_changes_below_a_topic_is_told_and_marked_once_a_shard() {
    let (mut node, _) = Node::serving();
    let mut changed = Image::clone(&image(11, &[topic(1, ME, 4, &[ME], &[ME])]));
    changed.cluster_configs.insert("message.max.bytes".into(), "7".into());
    let out = node.step(Input::Image(Arc::new(changed)));
    assert!(matches!(&out[0], Effect::Configure { config, .. } if config.max_message_bytes == 7), "{out:?}");
    assert_eq!(out[1..], [Effect::Mark { shard: 0, index: 11 }]);
    assert_eq!(node.step(Input::Told { index: 11 }), vec![Effect::Served(11)]);
}

#[test]
fn a_replica_of_a_foreign_leader_is_not_stray_and_an_unknown_one_is_kept_for_a_day() {
    let now = UnixMillis(1_000 * DAY);
    let strayed = |n, hours: i64| Found {
        stray: Some(UnixMillis(now.0 - hours * 3_600_000)),
        ..found(n, Verdict::Clean)
    };
    let led_elsewhere = found(1, Verdict::Clean);
    let mut node = Node::one(vec![led_elsewhere, found(2, Verdict::Clean), strayed(3, 23), strayed(4, 25)]);
    let out = node.step(Input::Image(image(10, &[topic(1, OTHER, 5, &[OTHER, ME], &[ME, OTHER])])));
    let strays: Vec<_> = out
        .iter()
        .filter_map(|effect| match effect {
            Effect::Stray { found, at } => Some((found.id.topic.0[0], *at)),
            _ => None,
        })
        .collect();
    assert_eq!(strays, vec![(2, Some(now)), (4, None)], "marked now; marked lately; let go");
}

#[test]
fn of_two_replicas_of_one_partition_the_one_that_is_not_stray_is_claimed() {
    let old = Found { stray: Some(UnixMillis(0)), ..found(1, Verdict::Clean) };
    let new = Found { replica: ReplicaId(9), ..found(1, Verdict::Clean) };
    let mut node = Node::one(vec![old, new]);
    let out = node.step(Input::Image(image(10, &[topic(1, ME, 4, &[ME], &[ME])])));
    assert_eq!(started(&out)[0].1, Ok((0, Origin::Recovered(ReplicaId(9)), Kind::Leader, 4)));
    let stray = |effect: &&Effect| matches!(effect, Effect::Stray { found, at: None } if found.replica == ReplicaId(1));
    assert_eq!(out.iter().filter(stray).count(), 1);
}

#[test]
fn more_partitions_of_a_topic_start_beside_those_that_run() {
    let (mut node, _) = Node::serving();
    let mut grown = Topic::clone(&topic(1, ME, 4, &[ME], &[ME]));
    grown.partitions.push(topic(1, ME, 0, &[ME], &[]).partitions[0].clone());
    let out = node.step(Input::Image(image(11, &[Arc::new(grown)])));
    assert!(matches!(&out[..], [Effect::Start { life, .. }] if life.id.partition == 1), "{out:?}");
}

#[test]
fn a_lost_replica_begins_anew_once_another_one_leads_and_nobody_counts_on_it() {
    let mut node = Node::one(vec![]);
    let with = |isr: &[BrokerId], leader, epoch| {
        let mut topic = Topic::clone(&topic(1, leader, epoch, &[ME, OTHER], &[ME, OTHER]));
        topic.partitions[0].isr = isr.to_vec();
        Arc::new(topic)
    };
    let out = node.step(Input::Image(image(10, &[with(&[OTHER, ME], OTHER, 4)])));
    assert!(matches!(&started(&out)[..], [(1, Err(_))]), "it is in the ISR: {out:?}");
    let out = node.step(Input::Image(image(11, &[with(&[ME], -1, 5)])));
    assert!(matches!(&started(&out)[..], [(1, Err(_))]), "nobody leads: {out:?}");
    let out = node.step(Input::Image(image(12, &[with(&[OTHER], OTHER, 6)])));
    assert_eq!(started(&out), vec![(1, Ok((0, Origin::New, Kind::Follower(OTHER), 6)))], "R21");
}
