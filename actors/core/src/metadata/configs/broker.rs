//! The table of broker configs, and what the configuration file says of them.

use super::topic::{COMPRESSIONS, FOREVER, MESSAGE_SIZES, POLICIES, SEGMENT, SEGMENT_MIN, TIMESTAMP_TYPES};
use super::{ConfigError, Takes, Type, parse};
use std::collections::BTreeMap;

/// How a broker config changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// At run time, for one broker or all.
    Dynamic,
    /// In Kafka at run time; here it takes only the value it has.
    Fixed,
    /// By the configuration file alone.
    Static,
}

/// One broker config.
pub(super) struct BrokerConfig {
    pub name: &'static str,
    pub kind: Type,
    pub takes: Takes,
    /// Its default: Kafka's, but for `log.flush.interval.messages` and `log.segment.bytes`.
    pub default: Option<&'static str>,
    pub mode: Mode,
    pub doc: &'static str,
}

const fn dynamic(
    name: &'static str,
    kind: Type,
    takes: Takes,
    default: Option<&'static str>,
    doc: &'static str,
) -> BrokerConfig {
    BrokerConfig { name, kind, takes, default, mode: Mode::Dynamic, doc }
}

const fn fixed(
    name: &'static str,
    kind: Type,
    takes: Takes,
    default: &'static str,
    doc: &'static str,
) -> BrokerConfig {
    BrokerConfig { name, kind, takes, default: Some(default), mode: Mode::Fixed, doc }
}

const fn from_file(
    name: &'static str,
    kind: Type,
    default: Option<&'static str>,
    doc: &'static str,
) -> BrokerConfig {
    BrokerConfig { name, kind, takes: Takes::Any, default, mode: Mode::Static, doc }
}

use Type::{Boolean, Int, List, Long, Short, String as Text};

pub(super) static TABLE: [BrokerConfig; 41] = [
    from_file("advertised.listeners", List, None, "What clients are told to connect to."),
    from_file("auto.create.topics.enable", Boolean, Some("true"), "Whether asking for a topic makes it."),
    from_file("broker.id", Int, Some("-1"), "This node."),
    from_file("broker.rack", Text, None, "Rack of this node."),
    from_file("callboard.durability", Text, Some("fsync"), "Durability of topics that do not say."),
    fixed(
        "compression.type",
        Text,
        COMPRESSIONS,
        "producer",
        "Batches are stored as the producer compressed them.",
    ),
    from_file("connections.max.idle.ms", Long, Some("600000"), "An idle connection is closed after this."),
    from_file("default.replication.factor", Int, Some("1"), "Replicas of topics that do not say."),
    from_file("delete.topic.enable", Boolean, Some("true"), "Topics can be deleted."),
    from_file(
        "group.initial.rebalance.delay.ms",
        Int,
        Some("3000"),
        "How long a new group waits for more members.",
    ),
    from_file(
        "group.max.session.timeout.ms",
        Int,
        Some("1800000"),
        "The longest session timeout of a member.",
    ),
    from_file("group.max.size", Int, Some("2147483647"), "Members of a group at most."),
    from_file("group.min.session.timeout.ms", Int, Some("6000"), "The shortest session timeout of a member."),
    from_file("listeners", List, Some("PLAINTEXT://:9092"), "Where clients connect."),
    fixed("log.cleanup.policy", List, POLICIES, "delete", "Old records are deleted, not compacted."),
    from_file("log.dirs", Text, None, "The data directory."),
    dynamic("log.flush.interval.messages", Long, Takes::AtLeast(1), Some("1"), "Default of flush.messages."),
    dynamic(
        "log.message.timestamp.after.max.ms",
        Long,
        Takes::AtLeast(0),
        Some("3600000"),
        "Default of message.timestamp.after.max.ms.",
    ),
    dynamic(
        "log.message.timestamp.before.max.ms",
        Long,
        Takes::AtLeast(0),
        Some(FOREVER),
        "Default of message.timestamp.before.max.ms.",
    ),
    dynamic(
        "log.message.timestamp.type",
        Text,
        TIMESTAMP_TYPES,
        Some("CreateTime"),
        "Default of message.timestamp.type.",
    ),
    dynamic("log.retention.bytes", Long, Takes::Any, Some("-1"), "Default of retention.bytes."),
    from_file(
        "log.retention.check.interval.ms",
        Long,
        Some("300000"),
        "How often a partition looks for records to delete.",
    ),
    from_file("log.retention.hours", Int, Some("168"), "Retention where log.retention.ms is not set."),
    dynamic("log.retention.ms", Long, Takes::UnlimitedOrPositive, None, "Default of retention.ms."),
    fixed(
        "log.segment.bytes",
        Int,
        Takes::AtLeast(SEGMENT_MIN),
        SEGMENT,
        "Bytes of a journal segment, which the partitions of a shard share.",
    ),
    from_file("max.connections", Int, Some("2147483647"), "Connections at most."),
    from_file("max.incremental.fetch.session.cache.slots", Int, Some("1000"), "Fetch sessions at most."),
    dynamic("message.max.bytes", Int, MESSAGE_SIZES, Some("1048588"), "Default of max.message.bytes."),
    fixed("min.insync.replicas", Int, Takes::AtLeast(1), "1", "There is one replica."),
    from_file("node.id", Int, None, "This node."),
    from_file("num.partitions", Int, Some("1"), "Partitions of topics that do not say."),
    from_file("offset.metadata.max.bytes", Int, Some("4096"), "The longest metadata of a committed offset."),
    from_file(
        "offsets.retention.check.interval.ms",
        Long,
        Some("600000"),
        "How often offsets are looked through for those that have expired.",
    ),
    from_file(
        "offsets.retention.minutes",
        Int,
        Some("10080"),
        "How long committed offsets of a group without members are kept.",
    ),
    from_file("offsets.topic.num.partitions", Int, Some("50"), "Partitions of __consumer_offsets."),
    from_file("offsets.topic.replication.factor", Short, Some("3"), "Replicas of __consumer_offsets."),
    from_file("process.roles", List, None, "What this node is."),
    from_file(
        "producer.id.expiration.ms",
        Int,
        Some("86400000"),
        "A producer that sends a partition nothing for so long, as the running broker counts, is forgotten there.",
    ),
    from_file("socket.request.max.bytes", Int, Some("104857600"), "The largest request."),
    from_file(
        "socket.send.buffer.bytes",
        Int,
        Some("102400"),
        "What the system buffers of answers for a connection.",
    ),
    fixed(
        "unclean.leader.election.enable",
        Boolean,
        Takes::Any,
        "false",
        "A replica that may miss acknowledged records never leads.",
    ),
];

pub(super) fn config(name: &str) -> Option<&'static BrokerConfig> {
    TABLE.iter().find(|c| c.name == name)
}

/// Whether a broker config is a list, to which words can be added.
#[must_use]
pub fn is_broker_list(name: &str) -> bool {
    config(name).is_some_and(|c| c.kind == Type::List)
}

/// What the configuration file says, by Kafka's names: only what differs from the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statics(BTreeMap<String, String>);

impl Statics {
    /// Of these values; one that is the default says nothing.
    #[must_use]
    pub fn new(values: impl IntoIterator<Item = (&'static str, String)>) -> Statics {
        let says = |name: &str, value: &str| config(name).is_some_and(|c| c.default != Some(value));
        Statics(
            values
                .into_iter()
                .filter(|(name, value)| says(name, value))
                .map(|(n, v)| (n.to_owned(), v))
                .collect(),
        )
    }

    /// What the file says.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// What the file says, or the default.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name).or_else(|| config(name)?.default)
    }

    pub(super) fn number(&self, name: &str, or: i64) -> i64 {
        self.value(name).and_then(|v| v.parse().ok()).unwrap_or(or)
    }
}

/// Everything a broker, or all of them, is to have set at run time, in the form in which it is stored.
pub fn check_broker(
    own: &BTreeMap<String, String>,
    statics: &Statics,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut checked = BTreeMap::new();
    for (name, asked) in own {
        let Some(config) = config(name) else {
            return Err(ConfigError::Unknown("broker", name.clone()));
        };
        if config.mode == Mode::Static {
            return Err(ConfigError::NotDynamic(name.clone()));
        }
        let honoured = statics.value(name).unwrap_or_default();
        if config.mode == Mode::Fixed && asked.trim() == honoured {
            checked.insert(name.clone(), honoured.to_owned());
            continue;
        }
        let value = parse(name, config.kind, config.takes, asked)?;
        if config.mode == Mode::Fixed && value != honoured {
            let (name, honoured) = (name.clone(), honoured.to_owned());
            return Err(ConfigError::Unsupported { name, value: asked.clone(), honoured });
        }
        checked.insert(name.clone(), value);
    }
    Ok(checked)
}
