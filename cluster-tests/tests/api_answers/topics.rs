//! CreateTopics, DeleteTopics, Metadata: names, ids, counts and assignments that cannot be.

use anyhow::Result;
use callboard_cluster_tests::process::wire::name;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse, MetadataRequest,
    MetadataResponse,
};
use uuid::Uuid;

use super::{ALL, Asked, Case, Names, text, words};

fn create(_: i16, names: &Names) -> CreateTopicsRequest {
    let topic = CreatableTopic::default()
        .with_name(name(&names.of("new")))
        .with_num_partitions(1)
        .with_replication_factor(1);
    CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000)
}

fn created(answer: &CreateTopicsResponse, names: &Names) -> String {
    let mut all: Vec<_> = answer
        .topics
        .iter()
        .map(|t| {
            let id = if t.topic_id.is_nil() { "no id" } else { "an id" };
            format!(
                "{:?} {} {id} partitions {} factor {} configs {:?} {}",
                names.plain(&t.name),
                t.error_code,
                t.num_partitions,
                t.replication_factor,
                t.configs.as_ref().map(|configs| configs.is_empty()),
                words(&t.error_message)
            )
        })
        .collect();
    // Kafka answers in the order of a hash map.
    all.sort_unstable();
    all.join(", ")
}

fn new(r: &mut CreateTopicsRequest) -> &mut CreatableTopic {
    &mut r.topics[0]
}

fn config(r: &mut CreateTopicsRequest, named: &str, value: Option<&str>) {
    let config = CreatableTopicConfig::default().with_name(text(named)).with_value(value.map(text));
    new(r).configs.push(config);
}

fn assign(r: &mut CreateTopicsRequest, all: &[(i32, &[i32])]) {
    (new(r).num_partitions, new(r).replication_factor) = (-1, -1);
    let one = |(partition, brokers): &(i32, &[i32])| {
        CreatableReplicaAssignment::default()
            .with_partition_index(*partition)
            .with_broker_ids(brokers.iter().map(|id| (*id).into()).collect())
    };
    new(r).assignments = all.iter().map(one).collect();
}

const CREATIONS: &[Case<CreateTopicsRequest>] = &[
    ("only checked", ALL, |r, _| r.validate_only = true),
    ("only checked, defaults", ALL, |r, _| {
        r.validate_only = true;
        (new(r).num_partitions, new(r).replication_factor) = (-1, -1);
    }),
    ("only checked, timeout 0", ALL, |r, _| (r.validate_only, r.timeout_ms) = (true, 0)),
    ("only checked, timeout -1", ALL, |r, _| (r.validate_only, r.timeout_ms) = (true, -1)),
    ("no topics", ALL, |r, _| r.topics.clear()),
    ("name of no letters", ALL, |r, _| new(r).name = name("")),
    ("name a b", ALL, |r, _| new(r).name = name("a b")),
    ("name .", ALL, |r, _| new(r).name = name(".")),
    ("name ..", ALL, |r, _| new(r).name = name("..")),
    ("name of 250 letters", ALL, |r, _| new(r).name = name(&"x".repeat(250))),
    ("name that is there", ALL, |r, n| new(r).name = name(&n.of("t"))),
    ("name that is there, only checked", ALL, |r, n| {
        r.validate_only = true;
        new(r).name = name(&n.of("t"));
    }),
    ("name of the offsets", ALL, |r, _| new(r).name = name("__consumer_offsets")),
    ("name of the metadata", ALL, |r, _| new(r).name = name("__cluster_metadata")),
    ("name that collides", ALL, |r, n| new(r).name = name(&n.of("same_as").replace("same_as", "same.as"))),
    ("one topic twice", ALL, |r, _| {
        let again = new(r).clone();
        r.topics.push(again);
    }),
    ("one wrong, one only checked", ALL, |r, n| {
        r.validate_only = true;
        let wrong = new(r).clone().with_name(name(&n.of("t")));
        r.topics.push(wrong);
    }),
    ("partitions 0", ALL, |r, _| new(r).num_partitions = 0),
    ("partitions -2", ALL, |r, _| new(r).num_partitions = -2),
    ("partitions 2^31-1", ALL, |r, _| new(r).num_partitions = i32::MAX),
    ("partitions 10001, only checked", ALL, |r, _| {
        r.validate_only = true;
        new(r).num_partitions = 10_001;
    }),
    ("factor 0", ALL, |r, _| new(r).replication_factor = 0),
    ("factor -2", ALL, |r, _| new(r).replication_factor = -2),
    ("factor 2", ALL, |r, _| new(r).replication_factor = 2),
    ("factor 32767", ALL, |r, _| new(r).replication_factor = i16::MAX),
    ("partitions 0, factor 0", ALL, |r, _| (new(r).num_partitions, new(r).replication_factor) = (0, 0)),
    ("assigned, only checked", ALL, |r, _| {
        r.validate_only = true;
        assign(r, &[(0, &[1]), (1, &[1])]);
    }),
    ("assigned beside partitions", ALL, |r, _| {
        assign(r, &[(0, &[1])]);
        new(r).num_partitions = 1;
    }),
    ("assigned beside a factor", ALL, |r, _| {
        assign(r, &[(0, &[1])]);
        new(r).replication_factor = 1;
    }),
    ("assigned with a gap", ALL, |r, _| assign(r, &[(0, &[1]), (2, &[1])])),
    ("assigned from 1", ALL, |r, _| assign(r, &[(1, &[1])])),
    ("assigned one partition twice", ALL, |r, _| assign(r, &[(0, &[1]), (0, &[1])])),
    ("assigned to nobody", ALL, |r, _| assign(r, &[(0, &[])])),
    ("assigned to broker 99", ALL, |r, _| assign(r, &[(0, &[99])])),
    ("assigned to broker -1", ALL, |r, _| assign(r, &[(0, &[-1])])),
    ("assigned to one broker twice", ALL, |r, _| assign(r, &[(0, &[1, 1])])),
    ("assigned unevenly", ALL, |r, _| assign(r, &[(0, &[1]), (1, &[1, 99])])),
    ("unknown config", ALL, |r, _| config(r, "no.such", Some("1"))),
    ("config of a broker", ALL, |r, _| config(r, "log.retention.ms", Some("1"))),
    ("config of no letters", ALL, |r, _| config(r, "", Some("1"))),
    ("config without a value", ALL, |r, _| config(r, "retention.ms", None)),
    ("config of the wrong type", ALL, |r, _| config(r, "retention.ms", Some("x"))),
    ("config out of range", ALL, |r, _| config(r, "max.message.bytes", Some("-5"))),
    ("config of no such word", ALL, |r, _| config(r, "cleanup.policy", Some("burn"))),
    ("config twice, only checked", ALL, |r, _| {
        r.validate_only = true;
        config(r, "retention.ms", Some("1"));
        config(r, "retention.ms", Some("2"));
    }),
    ("compacted, only checked", ALL, |r, _| {
        r.validate_only = true;
        config(r, "cleanup.policy", Some("compact"));
    }),
    ("compressed, only checked", ALL, |r, _| {
        r.validate_only = true;
        config(r, "compression.type", Some("gzip"));
    }),
    ("config about files, only checked", ALL, |r, _| {
        r.validate_only = true;
        config(r, "segment.ms", Some("1000"));
    }),
];

fn delete(_: i16, _: &Names) -> DeleteTopicsRequest {
    DeleteTopicsRequest::default().with_timeout_ms(30_000)
}

fn deleted(answer: &DeleteTopicsResponse, names: &Names) -> String {
    let mut all: Vec<_> = answer
        .responses
        .iter()
        .map(|t| {
            let id = match t.topic_id {
                id if id == names.id => "t's id",
                id if id == names.no_id => "nobody's id",
                id if id.is_nil() => "no id",
                _ => "an id",
            };
            let named = t.name.as_ref().map(|name| names.plain(name));
            format!("{named:?} {id} {} {}", t.error_code, words(&t.error_message))
        })
        .collect();
    all.sort_unstable();
    all.join(", ")
}

/// Those that are named, by the field of the version.
fn gone(r: &mut DeleteTopicsRequest, named: &[&str]) {
    r.topic_names = named.iter().map(|n| name(n)).collect();
}

fn state(r: &mut DeleteTopicsRequest, named: Option<&str>, id: Uuid) {
    r.topics.push(DeleteTopicState::default().with_name(named.map(name)).with_topic_id(id));
}

const DELETIONS: &[Case<DeleteTopicsRequest>] = &[
    ("nothing", ALL, |_, _| {}),
    ("unknown topic", 0..=5, |r, n| gone(r, &[&n.of("none")])),
    ("topic a b", 0..=5, |r, _| gone(r, &["a b"])),
    ("topic of no letters", 0..=5, |r, _| gone(r, &[""])),
    ("topic of 250 letters", 0..=5, |r, _| gone(r, &[&"x".repeat(250)])),
    ("unknown topic twice", 0..=5, |r, n| gone(r, &[&n.of("none"), &n.of("none")])),
    ("one topic twice", 0..=5, |r, n| gone(r, &[&n.of("t"), &n.of("t")])),
    ("timeout -1", 0..=5, |r, n| {
        r.timeout_ms = -1;
        gone(r, &[&n.of("none")]);
    }),
    ("unknown topic", 6..=6, |r, n| state(r, Some(&n.of("none")), Uuid::nil())),
    ("topic a b", 6..=6, |r, _| state(r, Some("a b"), Uuid::nil())),
    ("topic of no letters", 6..=6, |r, _| state(r, Some(""), Uuid::nil())),
    ("unknown id", 6..=6, |r, n| state(r, None, n.no_id)),
    ("no name, id zero", 6..=6, |r, _| state(r, None, Uuid::nil())),
    ("name and id", 6..=6, |r, n| state(r, Some(&n.of("t")), n.id)),
    ("name and unknown id", 6..=6, |r, n| state(r, Some(&n.of("t")), n.no_id)),
    ("one name twice", 6..=6, |r, n| {
        state(r, Some(&n.of("t")), Uuid::nil());
        state(r, Some(&n.of("t")), Uuid::nil());
    }),
    ("one id twice", 6..=6, |r, n| {
        state(r, None, n.id);
        state(r, None, n.id);
    }),
    ("one topic by name and by id", 6..=6, |r, n| {
        state(r, Some(&n.of("t")), Uuid::nil());
        state(r, None, n.id);
    }),
    ("unknown name twice", 6..=6, |r, n| {
        state(r, Some(&n.of("none")), Uuid::nil());
        state(r, Some(&n.of("none")), Uuid::nil());
    }),
    ("unknown id twice", 6..=6, |r, n| {
        state(r, None, n.no_id);
        state(r, None, n.no_id);
    }),
];

fn metadata(version: i16, _: &Names) -> MetadataRequest {
    let request = MetadataRequest::default().with_topics(Some(Vec::new()));
    if version < 4 {
        request.with_allow_auto_topic_creation(true)
    } else {
        request.with_allow_auto_topic_creation(false)
    }
}

fn described(answer: &MetadataResponse, names: &Names) -> String {
    let all: Vec<_> = answer
        .topics
        .iter()
        .map(|t| {
            let id = match t.topic_id {
                id if id == names.no_id => "nobody's id",
                id if id.is_nil() => "no id",
                _ => "an id",
            };
            let named = t.name.as_ref().map(|name| names.plain(name));
            let codes: Vec<_> = t.partitions.iter().map(|p| (p.partition_index, p.error_code)).collect();
            format!(
                "{named:?} {id} {} internal {} partitions {} {:?} may {}",
                t.error_code,
                t.is_internal,
                codes.len(),
                codes.first(),
                t.topic_authorized_operations
            )
        })
        .collect();
    format!(
        "{} brokers {} may {}: {}",
        answer.error_code,
        answer.brokers.len(),
        answer.cluster_authorized_operations,
        all.join(", ")
    )
}

fn about(r: &mut MetadataRequest, named: Option<&str>, id: Uuid) {
    let topic = MetadataRequestTopic::default().with_name(named.map(name)).with_topic_id(id);
    r.topics.get_or_insert_default().push(topic);
}

const METADATA: &[Case<MetadataRequest>] = &[
    ("no topics", 1..=99, |_, _| {}),
    ("a topic", ALL, |r, n| about(r, Some(&n.of("t")), Uuid::nil())),
    ("unknown topic", 4..=99, |r, n| about(r, Some(&n.of("none")), Uuid::nil())),
    ("unknown topic twice", 4..=99, |r, n| {
        about(r, Some(&n.of("none")), Uuid::nil());
        about(r, Some(&n.of("none")), Uuid::nil());
    }),
    ("one topic twice", ALL, |r, n| {
        about(r, Some(&n.of("t")), Uuid::nil());
        about(r, Some(&n.of("t")), Uuid::nil());
    }),
    ("topic a b", ALL, |r, _| about(r, Some("a b"), Uuid::nil())),
    ("topic of no letters", ALL, |r, _| about(r, Some(""), Uuid::nil())),
    ("topic .", ALL, |r, _| about(r, Some("."), Uuid::nil())),
    ("topic ..", ALL, |r, _| about(r, Some(".."), Uuid::nil())),
    ("topic of 250 letters", ALL, |r, _| about(r, Some(&"x".repeat(250)), Uuid::nil())),
    ("topic a b, to be made", 4..=99, |r, _| {
        r.allow_auto_topic_creation = true;
        about(r, Some("a b"), Uuid::nil());
    }),
    ("internal topic", ALL, |r, _| about(r, Some("__consumer_offsets"), Uuid::nil())),
    ("unknown id", 10..=99, |r, n| about(r, None, n.no_id)),
    ("no name, id zero", 10..=99, |r, _| about(r, None, Uuid::nil())),
    ("an id", 10..=99, |r, n| about(r, None, n.id)),
    ("name and id", 10..=99, |r, n| about(r, Some(&n.of("t")), n.id)),
    ("name and unknown id", 10..=99, |r, n| about(r, Some(&n.of("t")), n.no_id)),
    ("unknown name and unknown id", 10..=99, |r, n| about(r, Some(&n.of("none")), n.no_id)),
    ("a name, and an id", 12..=99, |r, n| {
        about(r, Some(&n.of("p")), Uuid::nil());
        about(r, None, n.id);
    }),
    ("operations of a topic", 8..=99, |r, n| {
        r.include_topic_authorized_operations = true;
        about(r, Some(&n.of("t")), Uuid::nil());
    }),
    ("operations of the cluster", 8..=10, |r, _| r.include_cluster_authorized_operations = true),
];

impl Asked {
    pub(super) fn topics(&mut self) -> Result<()> {
        self.each(create, CREATIONS, created)?;
        self.each(delete, DELETIONS, deleted)?;
        self.each(metadata, METADATA, described)
    }
}
