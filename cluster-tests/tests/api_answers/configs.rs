//! AlterConfigs, IncrementalAlterConfigs, DescribeConfigs, ListConfigResources: resources, keys and values that are none.

use anyhow::Result;
use kafka_protocol::messages::alter_configs_request::{
    AlterConfigsResource as Replaced, AlterableConfig as Value,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, ListConfigResourcesRequest,
    ListConfigResourcesResponse,
};

use super::values::VALUES;
use super::{ALL, Asked, Case, Names, text, words};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

type Alter = AlterConfigsRequest;
pub(super) type Increment = IncrementalAlterConfigsRequest;
type Describe = DescribeConfigsRequest;

fn replace(_: i16, names: &Names) -> Alter {
    let resource = Replaced::default().with_resource_type(TOPIC).with_resource_name(text(&names.of("t")));
    Alter::default().with_resources(vec![resource])
}

fn replaced(answer: &AlterConfigsResponse, names: &Names) -> String {
    let one = |kind: i8, named: &str, code: i16, why: String| {
        format!("{kind} {:?} {code} {why}", names.plain(named))
    };
    let all = answer.responses.iter();
    let mut all: Vec<_> =
        all.map(|r| one(r.resource_type, &r.resource_name, r.error_code, words(&r.error_message))).collect();
    all.sort_unstable();
    all.join(", ")
}

fn to(r: &mut Alter, kind: i8, named: &str) {
    (r.resources[0].resource_type, r.resources[0].resource_name) = (kind, text(named));
}

fn put(r: &mut Alter, named: &str, value: Option<&str>) {
    r.resources[0].configs.push(Value::default().with_name(text(named)).with_value(value.map(text)));
}

const REPLACED: &[Case<Alter>] = &[
    ("only checked", ALL, |r, _| {
        r.validate_only = true;
        put(r, "retention.ms", Some("1000"));
    }),
    ("nothing, only checked", ALL, |r, _| r.validate_only = true),
    ("no resources", ALL, |r, _| r.resources.clear()),
    ("unknown topic", ALL, |r, n| to(r, TOPIC, &n.of("none"))),
    ("unknown topic, a config", ALL, |r, n| {
        to(r, TOPIC, &n.of("none"));
        put(r, "retention.ms", Some("1000"));
    }),
    ("topic a b", ALL, |r, _| to(r, TOPIC, "a b")),
    ("topic of no letters", ALL, |r, _| to(r, TOPIC, "")),
    ("topic of 250 letters", ALL, |r, _| to(r, TOPIC, &"x".repeat(250))),
    ("unknown config", ALL, |r, _| put(r, "no.such", Some("1"))),
    ("config of no letters", ALL, |r, _| put(r, "", Some("1"))),
    ("config without a value", ALL, |r, _| put(r, "retention.ms", None)),
    ("config of the wrong type", ALL, |r, _| put(r, "retention.ms", Some("x"))),
    ("config out of range", ALL, |r, _| put(r, "max.message.bytes", Some("-5"))),
    ("config of no such word", ALL, |r, _| put(r, "message.timestamp.type", Some("never"))),
    ("one right, one wrong", ALL, |r, _| {
        put(r, "retention.ms", Some("1000"));
        put(r, "max.message.bytes", Some("x"));
    }),
    ("one config twice", ALL, |r, _| {
        put(r, "retention.ms", Some("1000"));
        put(r, "retention.ms", Some("2000"));
    }),
    // One topic twice makes Kafka fail without an answer; IncrementalAlterConfigs answers that.
    ("broker x", ALL, |r, _| to(r, BROKER, "x")),
    ("broker 99", ALL, |r, _| to(r, BROKER, "99")),
    ("broker -1", ALL, |r, _| to(r, BROKER, "-1")),
    ("broker 1, unknown config, only checked", ALL, |r, _| {
        r.validate_only = true;
        to(r, BROKER, "1");
        put(r, "no.such", Some("1"));
    }),
    ("broker 1, config of a topic, only checked", ALL, |r, _| {
        r.validate_only = true;
        to(r, BROKER, "1");
        put(r, "retention.ms", Some("1"));
    }),
    ("broker 1, wrong type", ALL, |r, _| {
        to(r, BROKER, "1");
        put(r, "log.retention.ms", Some("x"));
    }),
    ("broker 1, out of range", ALL, |r, _| {
        to(r, BROKER, "1");
        put(r, "message.max.bytes", Some("-5"));
    }),
    ("broker 1, not to be changed", ALL, |r, _| {
        to(r, BROKER, "1");
        put(r, "log.dirs", Some("/elsewhere"));
    }),
    ("all brokers, wrong type", ALL, |r, _| {
        to(r, BROKER, "");
        put(r, "log.retention.ms", Some("x"));
    }),
    ("logger 1", ALL, |r, _| {
        to(r, LOGGER, "1");
        put(r, "root", Some("INFO"));
    }),
    ("metrics of no letters", ALL, |r, _| to(r, CLIENT_METRICS, "")),
    ("metrics, unknown config", ALL, |r, _| {
        to(r, CLIENT_METRICS, "x");
        put(r, "no.such", Some("1"));
    }),
    ("group of no letters", ALL, |r, _| to(r, GROUP, "")),
    ("group, unknown config", ALL, |r, _| {
        to(r, GROUP, "x");
        put(r, "no.such", Some("1"));
    }),
    ("type 0", ALL, |r, _| to(r, 0, "x")),
    ("type 3", ALL, |r, _| to(r, 3, "x")),
    ("type -1", ALL, |r, _| to(r, -1, "x")),
];

pub(super) fn increment(_: i16, names: &Names) -> Increment {
    let resource =
        AlterConfigsResource::default().with_resource_type(TOPIC).with_resource_name(text(&names.of("t")));
    Increment::default().with_resources(vec![resource])
}

pub(super) fn incremented(answer: &IncrementalAlterConfigsResponse, names: &Names) -> String {
    let all = answer.responses.iter();
    let mut all: Vec<_> = all
        .map(|r| {
            let named = names.plain(&r.resource_name);
            format!("{} {named:?} {} {}", r.resource_type, r.error_code, words(&r.error_message))
        })
        .collect();
    all.sort_unstable();
    all.join(", ")
}

pub(super) fn at(r: &mut Increment, kind: i8, named: &str) {
    (r.resources[0].resource_type, r.resources[0].resource_name) = (kind, text(named));
}

pub(super) fn op(r: &mut Increment, op: i8, named: &str, value: Option<&str>) {
    let config = AlterableConfig::default().with_name(text(named)).with_config_operation(op);
    r.resources[0].configs.push(config.with_value(value.map(text)));
}

const INCREMENTED: &[Case<Increment>] = &[
    ("only checked", ALL, |r, _| {
        r.validate_only = true;
        op(r, SET, "retention.ms", Some("1000"));
    }),
    ("nothing", ALL, |_, _| {}),
    ("no resources", ALL, |r, _| r.resources.clear()),
    ("unknown topic", ALL, |r, n| {
        at(r, TOPIC, &n.of("none"));
        op(r, SET, "retention.ms", Some("1000"));
    }),
    ("unknown topic, nothing", ALL, |r, n| at(r, TOPIC, &n.of("none"))),
    ("unknown topic, unknown config", ALL, |r, n| {
        at(r, TOPIC, &n.of("none"));
        op(r, SET, "no.such", Some("1000"));
    }),
    ("topic a b", ALL, |r, _| at(r, TOPIC, "a b")),
    ("topic of no letters", ALL, |r, _| at(r, TOPIC, "")),
    ("topic of 250 letters", ALL, |r, _| at(r, TOPIC, &"x".repeat(250))),
    ("unknown config", ALL, |r, _| op(r, SET, "no.such", Some("1"))),
    ("unknown config, taken back", ALL, |r, _| op(r, DELETE, "no.such", None)),
    ("unknown config, appended", ALL, |r, _| op(r, APPEND, "no.such", Some("1"))),
    ("config of no letters", ALL, |r, _| op(r, SET, "", Some("1"))),
    ("config without a value", ALL, |r, _| op(r, SET, "retention.ms", None)),
    ("appended without a value", ALL, |r, _| op(r, APPEND, "cleanup.policy", None)),
    ("config of the wrong type", ALL, |r, _| op(r, SET, "retention.ms", Some("x"))),
    ("config too small", ALL, |r, _| op(r, SET, "retention.ms", Some("-2"))),
    ("config too large", ALL, |r, _| op(r, SET, "max.message.bytes", Some("99999999999"))),
    ("config out of range", ALL, |r, _| op(r, SET, "max.message.bytes", Some("-5"))),
    ("config with a fraction", ALL, |r, _| op(r, SET, "retention.bytes", Some("1.5"))),
    ("config of nothing", ALL, |r, _| op(r, SET, "retention.ms", Some(""))),
    ("config of no such word", ALL, |r, _| op(r, SET, "message.timestamp.type", Some("never"))),
    ("config that is neither true nor false", ALL, |r, _| {
        op(r, SET, "remote.storage.enable", Some("perhaps"))
    }),
    ("no list, appended", ALL, |r, _| op(r, APPEND, "retention.ms", Some("1"))),
    ("no list, subtracted", ALL, |r, _| op(r, SUBTRACT, "retention.ms", Some("1"))),
    ("a list, no such word appended", ALL, |r, _| op(r, APPEND, "cleanup.policy", Some("burn"))),
    ("operation 4", ALL, |r, _| op(r, 4, "retention.ms", Some("1"))),
    ("operation -1", ALL, |r, _| op(r, -1, "retention.ms", Some("1"))),
    ("one right, one wrong", ALL, |r, _| {
        op(r, SET, "retention.ms", Some("1000"));
        op(r, SET, "max.message.bytes", Some("x"));
    }),
    ("one config twice", ALL, |r, _| {
        op(r, SET, "retention.ms", Some("1000"));
        op(r, SET, "retention.ms", Some("2000"));
    }),
    ("one topic twice", ALL, |r, _| {
        op(r, SET, "retention.ms", Some("1000"));
        let again = r.resources[0].clone();
        r.resources.push(again);
    }),
    ("compacted, only checked", ALL, |r, _| {
        r.validate_only = true;
        op(r, SET, "cleanup.policy", Some("compact"));
    }),
    ("compressed, only checked", ALL, |r, _| {
        r.validate_only = true;
        op(r, SET, "compression.type", Some("gzip"));
    }),
    ("group, a config", ALL, |r, n| {
        at(r, GROUP, &n.of("g"));
        op(r, SET, "consumer.session.timeout.ms", Some("50000"));
    }),
    ("metrics, a config", ALL, |r, n| {
        at(r, CLIENT_METRICS, &n.of("m"));
        op(r, SET, "interval.ms", Some("500"));
        op(r, SET, "match", Some("client_id=a,client_software_name=apache.*"));
    }),
    ("broker x", ALL, |r, _| at(r, BROKER, "x")),
    ("broker 99", ALL, |r, _| at(r, BROKER, "99")),
    ("broker -1", ALL, |r, _| at(r, BROKER, "-1")),
    ("broker 1, unknown config, only checked", ALL, |r, _| {
        r.validate_only = true;
        at(r, BROKER, "1");
        op(r, SET, "no.such", Some("1"));
    }),
    ("broker 1, wrong type", ALL, |r, _| {
        at(r, BROKER, "1");
        op(r, SET, "log.retention.ms", Some("x"));
    }),
    ("broker 1, out of range", ALL, |r, _| {
        at(r, BROKER, "1");
        op(r, SET, "message.max.bytes", Some("-5"));
    }),
    ("broker 1, not to be changed", ALL, |r, _| {
        at(r, BROKER, "1");
        op(r, SET, "node.id", Some("7"));
    }),
    ("broker 1, no list, appended", ALL, |r, _| {
        at(r, BROKER, "1");
        op(r, APPEND, "log.retention.ms", Some("1"));
    }),
    ("all brokers, wrong type", ALL, |r, _| {
        at(r, BROKER, "");
        op(r, SET, "log.retention.ms", Some("x"));
    }),
    ("logger x", ALL, |r, _| at(r, LOGGER, "x")),
    ("logger 99", ALL, |r, _| at(r, LOGGER, "99")),
    ("logger 1, unknown", ALL, |r, _| {
        at(r, LOGGER, "1");
        op(r, SET, "no.such", Some("INFO"));
    }),
    ("metrics of no letters", ALL, |r, _| at(r, CLIENT_METRICS, "")),
    ("metrics, unknown config", ALL, |r, _| {
        at(r, CLIENT_METRICS, "x");
        op(r, SET, "no.such", Some("1"));
    }),
    ("group of no letters", ALL, |r, _| at(r, GROUP, "")),
    ("group, unknown config", ALL, |r, _| {
        at(r, GROUP, "x");
        op(r, SET, "no.such", Some("1"));
    }),
    ("type 0", ALL, |r, _| at(r, 0, "x")),
    ("type 3", ALL, |r, _| at(r, 3, "x")),
    ("type -1", ALL, |r, _| at(r, -1, "x")),
];

fn describe(_: i16, names: &Names) -> Describe {
    let keys = vec![text("retention.ms")];
    let resource = DescribeConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(&names.of("t")))
        .with_configuration_keys(Some(keys));
    Describe::default().with_resources(vec![resource])
}

fn described(answer: &DescribeConfigsResponse, names: &Names) -> String {
    let all = answer.results.iter();
    let all: Vec<_> = all
        .map(|r| {
            let configs: Vec<_> =
                r.configs.iter().map(|c| format!("{}={}", c.name, words(&c.value))).collect();
            let named = names.plain(&r.resource_name);
            format!("{} {named:?} {} {configs:?} {}", r.resource_type, r.error_code, words(&r.error_message))
        })
        .collect();
    all.join(", ")
}

fn about(r: &mut Describe, kind: i8, named: &str) {
    (r.resources[0].resource_type, r.resources[0].resource_name) = (kind, text(named));
}

const DESCRIBED: &[Case<Describe>] = &[
    ("one config", ALL, |_, _| {}),
    ("unknown config", ALL, |r, _| r.resources[0].configuration_keys = Some(vec![text("no.such")])),
    ("no resources", ALL, |r, _| r.resources.clear()),
    ("unknown topic", ALL, |r, n| about(r, TOPIC, &n.of("none"))),
    ("topic a b", ALL, |r, _| about(r, TOPIC, "a b")),
    ("topic of no letters", ALL, |r, _| about(r, TOPIC, "")),
    ("topic of 250 letters", ALL, |r, _| about(r, TOPIC, &"x".repeat(250))),
    ("one topic twice", ALL, |r, _| {
        let again = r.resources[0].clone();
        r.resources.push(again);
    }),
    ("broker x", ALL, |r, _| about(r, BROKER, "x")),
    ("broker 99", ALL, |r, _| about(r, BROKER, "99")),
    ("broker -1", ALL, |r, _| about(r, BROKER, "-1")),
    ("broker 1, config of a topic", ALL, |r, _| about(r, BROKER, "1")),
    ("logger x", ALL, |r, _| about(r, LOGGER, "x")),
    ("logger 99", ALL, |r, _| about(r, LOGGER, "99")),
    ("logger of no letters", ALL, |r, _| about(r, LOGGER, "")),
    ("metrics of no letters", ALL, |r, _| about(r, CLIENT_METRICS, "")),
    ("metrics, unknown", ALL, |r, _| about(r, CLIENT_METRICS, "x")),
    ("group of no letters", ALL, |r, _| about(r, GROUP, "")),
    ("group, unknown", ALL, |r, _| about(r, GROUP, "x")),
    ("group, configs of its own", ALL, |r, n| {
        about(r, GROUP, &n.of("g"));
        let keys = ["consumer.session.timeout.ms", "share.auto.offset.reset"];
        r.resources[0].configuration_keys = Some(keys.map(text).to_vec());
    }),
    ("metrics, configs of their own", ALL, |r, n| {
        about(r, CLIENT_METRICS, &n.of("m"));
        r.resources[0].configuration_keys = Some(["interval.ms", "match", "metrics"].map(text).to_vec());
    }),
    ("type 0", ALL, |r, _| about(r, 0, "x")),
    ("type 3", ALL, |r, _| about(r, 3, "x")),
    ("type -1", ALL, |r, _| about(r, -1, "x")),
    ("type 3 beside a topic", ALL, |r, _| {
        let other = r.resources[0].clone().with_resource_type(3).with_resource_name(text("x"));
        r.resources.push(other);
    }),
];

fn resources(_: i16, _: &Names) -> ListConfigResourcesRequest {
    ListConfigResourcesRequest::default()
}

fn listed(answer: &ListConfigResourcesResponse, names: &Names) -> String {
    let ours = |named: &str| named.contains(&names.salt) || named == "1";
    let found = answer.config_resources.iter().filter(|r| ours(&r.resource_name));
    let mut all: Vec<_> =
        found.map(|r| format!("{} {}", r.resource_type, names.plain(&r.resource_name))).collect();
    all.sort_unstable();
    format!("{}: {}", answer.error_code, all.join(", "))
}

const RESOURCES: &[Case<ListConfigResourcesRequest>] = &[
    ("no types", ALL, |_, _| {}),
    ("type 0", 1..=99, |r, _| r.resource_types = vec![0]),
    ("type 3", 1..=99, |r, _| r.resource_types = vec![3]),
    ("type -1", 1..=99, |r, _| r.resource_types = vec![-1]),
    ("type 3 beside brokers", 1..=99, |r, _| r.resource_types = vec![BROKER, 3]),
    ("brokers twice", 1..=99, |r, _| r.resource_types = vec![BROKER, BROKER]),
    ("topics", 1..=99, |r, _| r.resource_types = vec![TOPIC]),
    ("loggers, metrics, groups", 1..=99, |r, _| r.resource_types = vec![LOGGER, CLIENT_METRICS, GROUP]),
];

impl Asked {
    pub(super) fn configs(&mut self) -> Result<()> {
        self.each(replace, REPLACED, replaced)?;
        self.each(increment, INCREMENTED, incremented)?;
        self.each(increment, VALUES, incremented)?;
        self.each(describe, DESCRIBED, described)?;
        self.each(resources, RESOURCES, listed)
    }
}
