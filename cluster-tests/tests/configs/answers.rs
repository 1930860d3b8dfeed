//! Layers and restarts; partitions that are added; directories; and what cannot be, as Kafka 4.3 answers it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use callboard_cluster_tests::process::wire::name;
use kafka_protocol::messages::alter_configs_request::{
    AlterConfigsResource as Replaced, AlterableConfig as Value,
};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    AlterConfigsRequest, CreateTopicsRequest, DescribeLogDirsRequest, IncrementalAlterConfigsRequest,
    ListConfigResourcesRequest, MetadataRequest,
};

use super::admin::{BROKER, DELETE, SET, Site, TOPIC, batch, entry, now, text};

const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
const LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

/// Name, value and source.
type Synonym = (String, String, i8);
/// Value, source, and whether it is read-only, by name.
type Configs = BTreeMap<String, (String, i8, bool)>;
/// Partitions asked for, their assignments, the code and the text.
type Growth<'a> = (i32, Option<&'a [&'a [i32]]>, i16, &'a str);

/// Value, source and synonyms of a topic's `retention.ms`.
fn retention(site: &mut Site, topic: &str) -> Result<(String, i8, Vec<Synonym>)> {
    let all = site.describe(TOPIC, topic)?;
    let found = entry(&all, "retention.ms")?;
    let value = |v: &Option<kafka_protocol::protocol::StrBytes>| {
        v.as_ref().map(|v| v.to_string()).unwrap_or_default()
    };
    let synonyms = found.synonyms.iter().map(|s| (s.name.to_string(), value(&s.value), s.source));
    Ok((value(&found.value), found.config_source, synonyms.collect()))
}

#[test]
fn a_value_comes_from_its_layer_before_and_after_a_kill() -> Result<()> {
    let mut site = Site::start("fsync")?;
    site.wire.create_topic("t", 1)?;
    ensure!(retention(&mut site, "t")? == ("604800000".into(), 5, vec![]), "Kafka's default, and no synonym");
    let broker = |value: &str, source| ("log.retention.ms".to_owned(), value.to_owned(), source);
    let hours = ("log.retention.hours".to_owned(), "168".to_owned(), 5);
    ensure!(site.set(BROKER, "", "log.retention.ms", "3000")?.0 == 0);
    ensure!(retention(&mut site, "t")? == ("3000".into(), 3, vec![broker("3000", 3), hours.clone()]));
    ensure!(site.set(BROKER, "1", "log.retention.ms", "2000")?.0 == 0);
    ensure!(site.set(TOPIC, "t", "retention.ms", " 1000 ")?.0 == 0);
    let own = ("retention.ms".to_owned(), "1000".to_owned(), 1);
    let all = ("1000".to_owned(), 1, vec![own, broker("2000", 2), broker("3000", 3), hours.clone()]);
    ensure!(retention(&mut site, "t")? == all, "{:?}", retention(&mut site, "t")?);
    ensure!(site.set(TOPIC, "t", "max.message.bytes", "100")?.0 == 0);
    site.killed()?;
    ensure!(retention(&mut site, "t")? == all, "after a kill {:?}", retention(&mut site, "t")?);
    ensure!(site.produce("t", batch(now(), 500))? == 10, "the leader has forgotten its limit");
    for (kind, resource, config) in
        [(TOPIC, "t", "retention.ms"), (BROKER, "1", "log.retention.ms"), (BROKER, "", "log.retention.ms")]
    {
        ensure!(site.alter((kind, resource), config, DELETE, None, false)?.0 == 0);
    }
    ensure!(retention(&mut site, "t")? == ("604800000".into(), 5, vec![]));
    // What a newer topic is told at once.
    let configs = vec![("retention.ms", "77"), ("min.insync.replicas", "1")];
    ensure!(created(&mut site, "u", &configs)?.0 == 0);
    ensure!(retention(&mut site, "u")?.0 == "77");
    site.broker.stop()
}

/// Code, message, and the configs of the answer.
fn created(site: &mut Site, topic: &str, configs: &[(&str, &str)]) -> Result<(i16, String, Configs)> {
    let config = |(name, value): &(&str, &str)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    };
    let topic = CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(configs.iter().map(config).collect());
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    let answer = site.wire.call(7, &request)?.topics.into_iter().next().context("no topic in the answer")?;
    let text =
        |value: Option<kafka_protocol::protocol::StrBytes>| value.map(|v| v.to_string()).unwrap_or_default();
    let configs = answer.configs.unwrap_or_default().into_iter();
    let configs = configs.map(|c| (c.name.to_string(), (text(c.value), c.config_source, c.read_only)));
    Ok((answer.error_code, text(answer.error_message), configs.collect()))
}

/// Config, value, Kafka's words.
const NO_VALUES: [(&str, &str, &str); 8] = [
    ("no.such", "1", "Unknown topic config name: no.such"),
    ("retention.ms", "-2", "Invalid value -2 for configuration retention.ms: Value must be at least -1"),
    ("retention.ms", "abc", "Invalid value abc for configuration retention.ms: Not a number of type LONG"),
    (
        "max.message.bytes",
        "99999999999",
        "Invalid value 99999999999 for configuration max.message.bytes: Not a number of type INT",
    ),
    (
        "message.timestamp.type",
        "Foo",
        "Invalid value Foo for configuration message.timestamp.type: String must be one of: CreateTime, LogAppendTime",
    ),
    (
        "cleanup.policy",
        "DELETE",
        "Invalid value DELETE for configuration cleanup.policy: String must be one of: compact, delete",
    ),
    (
        "cleanup.policy",
        "compact",
        "cleanup.policy=compact is not supported by this version: leave it out, or set it to delete",
    ),
    ("flush.messages", "0", "Invalid value 0 for configuration flush.messages: Value must be at least 1"),
];

#[test]
fn a_new_topic_is_told_its_configs_and_their_limits() -> Result<()> {
    let mut site = Site::start("fsync")?;
    let (code, _, configs) =
        created(&mut site, "t", &[("flush.messages", "9"), ("cleanup.policy", "delete")])?;
    ensure!(code == 0);
    let of = |name: &str| configs.get(name).map(|(value, source, only)| (value.as_str(), *source, *only));
    ensure!(
        of("flush.messages") == Some(("9", 1, false)) && of("cleanup.policy") == Some(("delete", 1, false))
    );
    ensure!(of("retention.ms") == Some(("604800000", 5, false)));
    ensure!(of("segment.bytes") == Some(("1073741824", 5, false)), "Kafka's: {:?}", of("segment.bytes"));
    for (config, value, why) in NO_VALUES {
        let (code, said, _) = created(&mut site, "u", &[(config, value)])?;
        ensure!((code, said.as_str()) == (40, why), "{config}={value}: {code} {said}");
    }
    let (code, why, _) = created(&mut site, "__cluster_metadata", &[])?;
    ensure!(
        code == 42 && why == "Creation of internal topic __cluster_metadata is prohibited.",
        "{code} {why}"
    );
    site.broker.stop()
}

#[test]
fn partitions_that_are_added_are_served_with_the_answer() -> Result<()> {
    let mut site = Site::start("fsync")?;
    let id = site.wire.create_topic("t", 2)?;
    ensure!(site.grow("t", 5, None, true)?.0 == 0);
    let count = |site: &mut Site| {
        let answer = site.wire.call(12, &MetadataRequest::default().with_topics(None))?;
        let topic = answer.topics.into_iter().find(|t| t.topic_id == id).context("no such topic")?;
        ensure!(topic.partitions.iter().all(|p| p.error_code == 0 && p.leader_id.0 == 1));
        anyhow::Ok(topic.partitions.len())
    };
    ensure!(count(&mut site)? == 2, "only checked");
    ensure!(site.grow("t", 4, None, false)? == (0, String::new()));
    ensure!(site.grow("t", 5, Some(&[&[1]]), false)? == (0, String::new()));
    for partition in 0..5 {
        site.wire.send_batch("t", partition, -1, batch(now(), 10))?;
        ensure!(site.wire.receive_batch()? == (0, 0), "partition {partition}");
    }
    site.killed()?;
    ensure!(count(&mut site)? == 5);
    for partition in 0..5 {
        ensure!(site.wire.list_offset("t", partition, -1)? == 1, "partition {partition}");
    }
    let refused: [Growth<'_>; 7] = [
        (5, None, 37, "Topic already has 5 partition(s)."),
        (3, None, 37, "The topic t currently has 5 partition(s); 3 would not be an increase."),
        (-1, None, 37, "The topic t currently has 5 partition(s); -1 would not be an increase."),
        (
            6,
            Some(&[]),
            39,
            "Attempted to add 1 additional partition(s), but only 0 assignment(s) were specified.",
        ),
        (
            6,
            Some(&[&[7]]),
            39,
            "The manual partition assignment includes broker 7, but no such broker is registered.",
        ),
        (6, Some(&[&[1, 1]]), 39, "The manual partition assignment includes the broker 1 more than once."),
        (6, Some(&[&[]]), 39, "The manual partition assignment includes an empty replica list."),
    ];
    for (to, assignments, code, why) in refused {
        let said = site.grow("t", to, assignments, false)?;
        ensure!(said == (code, why.to_owned()), "{to} {assignments:?}: {said:?}");
    }
    ensure!(site.grow("none", 3, None, false)?.0 == 3);
    ensure!(count(&mut site)? == 5);
    site.broker.stop()
}

fn log_dir(
    site: &mut Site,
    version: i16,
    topics: Option<&[(&str, &[i32])]>,
) -> Result<DescribeLogDirsResult> {
    let of = |(topic, partitions): &(&str, &[i32])| {
        DescribableLogDirTopic::default().with_topic(name(topic)).with_partitions(partitions.to_vec())
    };
    let request =
        DescribeLogDirsRequest::default().with_topics(topics.map(|all| all.iter().map(of).collect()));
    let answer = site.wire.call(version, &request)?;
    ensure!(answer.results.len() == 1 && answer.error_code == 0);
    answer.results.into_iter().next().context("no directory")
}

#[test]
fn the_data_directory_is_the_one_log_directory() -> Result<()> {
    let mut site = Site::start("fsync")?;
    site.wire.create_topic("big", 2)?;
    site.wire.create_topic("small", 1)?;
    for _ in 0..30 {
        ensure!(site.produce("big", batch(now(), 10_000))? == 0);
    }
    let data = site.broker.data().display().to_string();
    for version in 1..=4 {
        let dir = log_dir(&mut site, version, None)?;
        ensure!(dir.error_code == 0 && dir.log_dir.as_str() == data, "{dir:?}");
        ensure!(dir.topics.len() == 2, "{dir:?}");
        let big = dir.topics.iter().find(|t| t.name.as_str() == "big").context("big is missing")?;
        let sizes: Vec<i64> = big.partitions.iter().map(|p| p.partition_size).collect();
        ensure!(sizes.len() == 2 && sizes[0] >= 300_000 && sizes[0] < 600_000 && sizes[1] == 0, "{sizes:?}");
        ensure!(big.partitions.iter().all(|p| p.offset_lag == 0 && !p.is_future_key));
        let volume = (dir.total_bytes, dir.usable_bytes);
        ensure!(
            if version < 4 { volume == (-1, -1) } else { volume.0 >= volume.1 && volume.1 > 0 },
            "{volume:?}"
        );
    }
    let some = log_dir(&mut site, 4, Some(&[("small", &[0, 7]), ("none", &[0])]))?;
    ensure!(
        some.topics.len() == 1 && some.topics[0].partitions.len() == 1,
        "what is not here is left out: {some:?}"
    );
    ensure!(log_dir(&mut site, 4, Some(&[]))?.topics.is_empty());
    site.broker.stop()
}

#[test]
fn what_has_configs_is_listed_by_type() -> Result<()> {
    let mut site = Site::start("fsync")?;
    site.wire.create_topic("t", 1)?;
    let mut list = |version: i16, types: &[i8]| {
        let request = ListConfigResourcesRequest::default().with_resource_types(types.to_vec());
        let answer = site.wire.call(version, &request)?;
        let listed = answer.config_resources.into_iter();
        let listed: Vec<_> = listed.map(|r| (r.resource_type, r.resource_name.to_string())).collect();
        anyhow::Ok((answer.error_code, listed))
    };
    let (topic, broker, logger) =
        ((TOPIC, "t".to_owned()), (BROKER, "1".to_owned()), (LOGGER, "1".to_owned()));
    ensure!(list(0, &[])? == (0, vec![]), "no subscriptions to clients' metrics");
    ensure!(list(1, &[])? == (0, vec![topic.clone(), broker.clone(), logger.clone()]));
    ensure!(list(1, &[TOPIC])? == (0, vec![topic]));
    ensure!(list(1, &[BROKER, LOGGER])? == (0, vec![broker, logger]));
    ensure!(list(1, &[CLIENT_METRICS, GROUP])? == (0, vec![]));
    ensure!(list(1, &[TOPIC, 7])? == (35, vec![]));
    site.broker.stop()
}

#[test]
fn groups_and_subscriptions_keep_their_configs_over_a_kill() -> Result<()> {
    let mut site = Site::start("fsync")?;
    // Kafka's types and sources; what a group's stands on is the broker's.
    let of = [
        (
            GROUP,
            "consumer.session.timeout.ms",
            "50000",
            "45000",
            8,
            Some("group.consumer.session.timeout.ms"),
        ),
        (CLIENT_METRICS, "interval.ms", "500", "300000", 7, None),
    ];
    let list = |site: &mut Site| {
        let answer =
            site.wire.call(1, &ListConfigResourcesRequest::default().with_resource_types(vec![16, 32]))?;
        anyhow::Ok(answer.config_resources.iter().map(|r| r.resource_type).collect::<Vec<_>>())
    };
    for (kind, config, value, ..) in of {
        ensure!(site.set(kind, "x", config, value)? == (0, String::new()));
        ensure!(site.alter((kind, "y"), config, SET, Some(value), true)?.0 == 0, "only checked");
    }
    site.killed()?;
    ensure!(list(&mut site)? == [CLIENT_METRICS, GROUP], "{:?}", list(&mut site)?);
    for (kind, config, value, default, source, below) in of {
        let mut told = |resource: &str| {
            let found = entry(&site.describe(kind, resource)?, config)?.clone();
            let said = found.value.as_ref().map(|value| value.to_string()).unwrap_or_default();
            let synonyms: Vec<_> = found.synonyms.iter().map(|s| (s.name.to_string(), s.source)).collect();
            ensure!(found.documentation.is_some_and(|words| words.contains("Takes effect with")));
            anyhow::Ok((said, found.config_source, found.config_type, synonyms))
        };
        let below: Vec<_> = below.map(|name| (name.to_owned(), 5)).into_iter().collect();
        let own = [vec![(config.to_owned(), source)], below.clone()].concat();
        ensure!(told("x")? == (value.to_owned(), source, 3, own));
        ensure!(told("y")? == (default.to_owned(), 5, 3, below));
        ensure!(site.alter((kind, "x"), config, DELETE, None, false)?.0 == 0);
    }
    ensure!(list(&mut site)?.is_empty(), "nothing is set any more");
    site.broker.stop()
}

#[test]
fn a_description_that_cannot_be_is_refused_as_kafka_does() -> Result<()> {
    let mut site = Site::start("fsync")?;
    site.wire.create_topic("t", 1)?;
    for version in 1..=4 {
        let all = site.described(version, TOPIC, "t")?;
        ensure!(all.error_code == 0 && all.configs.len() == 35);
        let one = entry(&all.configs, "retention.ms")?;
        let documented = one.documentation.as_ref().is_some_and(|words| !words.is_empty());
        ensure!((one.config_type == 5, documented) == (version >= 3, version >= 3), "version {version}");
        let refused = [
            (TOPIC, "none", 3, "This server does not host this topic-partition."),
            (BROKER, "7", 42, "Unexpected broker id, expected 1 or empty string, but received 7"),
            (BROKER, "x", 42, "Broker id must be an integer, but it is: x"),
            (LOGGER, "", 42, "Broker id must not be empty"),
            (LOGGER, "7", 42, "Unexpected broker id, expected 1 but received 7"),
            (GROUP, "", 42, "Group name must not be empty"),
            (CLIENT_METRICS, "", 42, "Client metrics subscription name must not be empty"),
            (7, "y", 42, "Unexpected resource type UNKNOWN for resource y"),
        ];
        for (kind, resource, code, why) in refused {
            let said = site.described(version, kind, resource)?;
            let message = said.error_message.map(|m| m.to_string()).unwrap_or_default();
            ensure!((said.error_code, message.as_str()) == (code, why), "{kind} {resource}: {message}");
            ensure!(said.configs.is_empty() && said.resource_name.as_str() == resource);
        }
        ensure!(site.described(version, TOPIC, "a/b")?.error_code == 17);
        // Whether they are there or not: Kafka's defaults.
        for (kind, resource, configs) in [(LOGGER, "1", 0), (GROUP, "g", 17), (CLIENT_METRICS, "m", 3)] {
            let found = site.described(version, kind, resource)?;
            ensure!(found.error_code == 0 && found.configs.len() == configs, "{kind}: {found:?}");
        }
    }
    site.broker.stop()
}

type NoChange = (i8, &'static str, &'static str, i8, Option<&'static str>, i16, &'static str);

/// Resource, config, what is to become of it; code and words.
const NO_CHANGES: [NoChange; 16] = [
    (TOPIC, "t", "retention.ms", SET, None, 42, "Null value not supported for : retention.ms"),
    (
        TOPIC,
        "t",
        "retention.ms",
        APPEND,
        Some("1"),
        40,
        "Can't APPEND to key retention.ms because its type is not LIST.",
    ),
    (
        TOPIC,
        "t",
        "no.such",
        SUBTRACT,
        Some("1"),
        40,
        "Can't SUBTRACT to key no.such because its type is not LIST.",
    ),
    (
        TOPIC,
        "t",
        "cleanup.policy",
        APPEND,
        Some("compact"),
        40,
        "cleanup.policy=delete,compact is not supported by this version: leave it out, or set it to delete",
    ),
    (TOPIC, "t", "retention.ms", 9, Some("1"), 42, "Unknown operations type 9"),
    (TOPIC, "none", "retention.ms", SET, Some("1"), 3, "The topic 'none' does not exist."),
    (TOPIC, "", "retention.ms", SET, Some("1"), 42, "Default topic resources are not allowed."),
    (BROKER, "7", "log.retention.ms", SET, Some("1"), 42, "Unexpected broker id, expected 1, but received 7"),
    (BROKER, "x", "log.retention.ms", SET, Some("1"), 42, "Node id must be an integer, but it is: x"),
    (
        BROKER,
        "",
        "num.partitions",
        SET,
        Some("3"),
        42,
        "Cannot update these configs dynamically: [num.partitions]",
    ),
    (
        BROKER,
        "",
        "log.retention.ms",
        SET,
        Some("abc"),
        42,
        "Invalid value abc for configuration log.retention.ms: Not a number of type LONG",
    ),
    (
        BROKER,
        "",
        "log.retention.ms",
        APPEND,
        Some("1"),
        40,
        "Config value append is not allowed for config key: log.retention.ms",
    ),
    (LOGGER, "1", "kafka", SET, Some("INFO"), 40, "Logger kafka does not exist!"),
    (GROUP, "g", "no.such", SET, Some("1"), 40, "Unknown group config name: no.such"),
    (CLIENT_METRICS, "m", "no.such", SET, Some("1"), 42, "Unknown client metrics configuration: no.such"),
    (7, "x", "y", SET, Some("z"), 42, "Unknown resource type 7"),
];

#[test]
fn a_change_that_cannot_be_is_refused_as_kafka_does() -> Result<()> {
    let mut site = Site::start("fsync")?;
    site.wire.create_topic("t", 1)?;
    for (kind, resource, config, op, value, code, why) in NO_CHANGES {
        let said = site.alter((kind, resource), config, op, value, false)?;
        ensure!(said == (code, why.to_owned()), "{kind} {resource} {config}: {said:?}");
    }
    // To take back what is not set is no change.
    for (kind, resource) in [(TOPIC, "t"), (BROKER, ""), (BROKER, "1")] {
        ensure!(site.alter((kind, resource), "no.such", DELETE, None, false)?.0 == 0);
    }
    let one = |config: &str| AlterableConfig::default().with_name(text(config)).with_value(Some(text("1")));
    let of = |topic: &str, configs| {
        AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(topic))
            .with_configs(configs)
    };
    let mut codes = |resources| {
        let request = IncrementalAlterConfigsRequest::default().with_resources(resources);
        let answer = site.wire.call(1, &request)?;
        anyhow::Ok(answer.responses.iter().map(|r| r.error_code).collect::<Vec<_>>())
    };
    ensure!(codes(vec![of("t", vec![one("retention.ms"), one("retention.ms")])])? == [42], "one key twice");
    let twice = vec![of("t", vec![one("retention.ms")]), of("t", vec![one("flush.messages")])];
    ensure!(codes(twice)? == [42, 42], "one resource twice");
    ensure!(site.alter((TOPIC, "t"), "retention.ms", SET, Some("5"), true)?.0 == 0, "only checked");
    ensure!(retention(&mut site, "t")?.0 == "604800000");
    site.broker.stop()
}

#[test]
fn all_configs_of_a_topic_are_replaced() -> Result<()> {
    let mut site = Site::start("fsync")?;
    site.wire.create_topic("t", 1)?;
    let mut replace = |configs: &[(&str, Option<&str>)]| {
        let value = |(name, value): &(&str, Option<&str>)| {
            Value::default().with_name(text(name)).with_value(value.map(text))
        };
        let resource = Replaced::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text("t"))
            .with_configs(configs.iter().map(value).collect());
        let answer = site.wire.call(2, &AlterConfigsRequest::default().with_resources(vec![resource]))?;
        let code = answer.responses.first().context("no answer")?.error_code;
        let own = site.describe(TOPIC, "t")?.into_iter().filter(|e| e.config_source == 1);
        anyhow::Ok((code, own.map(|e| e.name.to_string()).collect::<Vec<_>>()))
    };
    let two = vec!["flush.messages".to_owned(), "retention.ms".to_owned()];
    ensure!(replace(&[("retention.ms", Some("5")), ("flush.messages", Some("5"))])? == (0, two.clone()));
    ensure!(replace(&[("retention.ms", None)])? == (42, two.clone()));
    ensure!(replace(&[("retention.ms", Some("5")), ("no.such", Some("5"))])? == (40, two));
    ensure!(replace(&[("max.message.bytes", Some("5"))])? == (0, vec!["max.message.bytes".to_owned()]));
    ensure!(replace(&[])? == (0, vec![]));
    site.broker.stop()
}
