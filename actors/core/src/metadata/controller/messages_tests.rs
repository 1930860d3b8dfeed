//! Tests of the vocabulary: each ask and each reply survives the way to another node.

use super::{
    Alteration, Ask, ConfigOp, CreatedTopic, MorePartitions, NewTopic, Refusal, Reply, ResourceKind, TopicRef,
};
use crate::error::ErrorCode;
use crate::ids::{DirectoryId, NodeUuid, Peer, ProcessId, TopicId, TopicPartition};
use crate::metadata::{IsrOutcome, IsrWish, Leadership, LevelRange, Listener, Opened, Registration};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

const ID: TopicId = TopicId([9; 16]);
const AT: TopicPartition = TopicPartition { topic: ID, partition: 3 };
const PEER: Peer = Peer { broker: 1, epoch: 17 };

fn survives<T: Serialize + DeserializeOwned + PartialEq + Debug>(all: &[T]) {
    for one in all {
        let json = serde_json::to_string(one).unwrap();
        assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), one, "{json}");
    }
}

fn refusal(code: ErrorCode) -> Refusal {
    Refusal { code, message: "why".into() }
}

#[test]
fn each_ask_survives() {
    let new_topic = NewTopic {
        partitions: 3,
        assignments: vec![(0, vec![1, 2])],
        configs: vec![("retention.ms".into(), Some("1".into())), ("x".into(), None)],
        ..NewTopic::new("t", ID)
    };
    let kinds = [2, 4, 8, 16, 32, 3].map(ResourceKind::of);
    let ops = [0, 1, 2, 3, 9].map(ConfigOp::of);
    let alterations = kinds.map(|kind| Alteration {
        kind,
        name: "n".into(),
        replace: kind == ResourceKind::Topic,
        changes: ops.map(|op| ("c".to_owned(), op, Some("v".to_owned()))).into(),
    });
    let registration = |rack: Option<&str>| Ask::Register {
        node: Box::new(Registration {
            broker: 1,
            uuid: Some(NodeUuid([1; 16])),
            process: Some(ProcessId([2; 16])),
            incarnation: 3,
            key_hash: Some("ab".into()),
            directories: vec![DirectoryId([4; 16])],
            cluster_address: Some("h:7946".into()),
            listeners: vec![Listener::plaintext("h", 9092)],
            rack: rack.map(str::to_owned),
            levels: LevelRange { min: 1, max: 4 },
            synced: [(DirectoryId([4; 16]), [(0, 7), (1, u64::MAX)].into())].into(),
            processes: rack.map(|_| ProcessId([5; 16])).into_iter().collect(),
            unclean: rack.map(|_| AT).into_iter().collect(),
        }),
        alone: rack.map(str::to_owned),
        log_epochs: vec![(AT, 7)],
    };
    let more = |assignments| MorePartitions { name: "t".into(), id: ID, count: 4, assignments };
    survives(&[
        Ask::Found { cluster_id: "c".into(), seats: Vec::new() },
        registration(Some("r")),
        registration(None),
        Ask::CreateTopics { topics: vec![new_topic, NewTopic::new("u", ID)], validate_only: true },
        Ask::DeleteTopics(vec![
            TopicRef::Name("t".into()),
            TopicRef::Named("t".into(), ID),
            TopicRef::Id(ID),
            TopicRef::Both("t".into(), TopicId::ZERO),
        ]),
        Ask::CreatePartitions { topics: vec![more(None), more(Some(vec![vec![1]]))], validate_only: false },
        Ask::AlterConfigs { broker_id: 1, alterations: alterations.into(), validate_only: false },
        Ask::ProducerIds,
        Ask::Opened(vec![
            (AT, Opened { broker: 1, directory: None, shard: None }),
            (AT, Opened { broker: 2, directory: Some(DirectoryId([4; 16])), shard: Some(1) }),
        ]),
        Ask::AlterIsr {
            from: PEER,
            number: u64::MAX,
            leadership: Leadership { term: 5, node: 2 },
            wishes: vec![IsrWish {
                id: AT,
                leader_epoch: 3,
                partition_epoch: 4,
                isr: vec![PEER],
                recovering: false,
            }],
        },
        Ask::RenewEpochs { from: PEER, partitions: vec![(AT, 3)] },
    ]);
}

#[test]
fn each_reply_survives() {
    let created = CreatedTopic {
        id: ID,
        name: "t".into(),
        partitions: 3,
        replication_factor: 1,
        configs: [("retention.ms".to_owned(), "1".to_owned())].into(),
    };
    survives(&[
        Reply::Done(u64::MAX),
        Reply::Created(vec![Ok(created), Err(refusal(ErrorCode::TopicAlreadyExists))], 7),
        Reply::Deleted(
            vec![
                (Some("t".into()), ID, Ok(())),
                (None, TopicId::ZERO, Err(refusal(ErrorCode::UnknownTopicId))),
            ],
            7,
        ),
        Reply::Altered(vec![Ok(()), Err(refusal(ErrorCode::InvalidConfig))], 7),
        Reply::ProducerIds(i64::MAX),
        Reply::IsrAltered(
            vec![
                IsrOutcome::Committed,
                IsrOutcome::Outdated,
                IsrOutcome::Behind,
                IsrOutcome::Ended(ErrorCode::FencedLeaderEpoch),
                IsrOutcome::Ineligible("why".into()),
            ],
            7,
        ),
        Reply::Failed(refusal(ErrorCode::UnknownServerError)),
        Reply::Unknown("why".into()),
    ]);
}

#[test]
fn a_code_travels_as_kafkas_number() {
    let json = serde_json::to_string(&refusal(ErrorCode::NotController)).unwrap();
    assert_eq!(json, r#"{"code":41,"message":"why"}"#);
}

#[test]
fn what_was_not_asked_for_is_told_in_words() {
    let unknown = |message: &str| Refusal { code: ErrorCode::UnknownServerError, message: message.into() };
    let timed_out = |message: &str| Refusal { code: ErrorCode::RequestTimedOut, message: message.into() };
    let rows = [
        (Reply::Failed(refusal(ErrorCode::NotController)), refusal(ErrorCode::NotController)),
        (Reply::Unknown("lost".into()), timed_out("lost")),
        (Reply::Done(3), unknown("the controller gave no answer: ask again")),
    ];
    for (reply, told) in rows {
        assert_eq!(reply.refusal(), told);
    }
}
