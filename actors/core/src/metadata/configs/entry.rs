//! A config as DescribeConfigs reports it: its value, the place it comes from, and every place that says something.

use super::value::Type;

/// Where a value comes from, by Kafka's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i8)]
pub enum Source {
    /// The topic.
    Topic = 1,
    /// This broker, at run time.
    DynamicBroker = 2,
    /// All brokers, at run time.
    DynamicDefault = 3,
    /// The configuration file.
    Static = 4,
    /// Kafka's default.
    Default = 5,
    /// The subscription to clients' metrics.
    ClientMetrics = 7,
    /// The group.
    Group = 8,
}

/// One place that says something, under its name there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Synonym {
    /// The name there.
    pub name: &'static str,
    /// The value there.
    pub value: String,
    /// Where.
    pub source: Source,
}

/// A config as it is reported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: Option<String>,
    /// Where that comes from.
    pub source: Source,
    /// Whether it takes no other value.
    pub read_only: bool,
    /// Its type.
    pub kind: Type,
    /// In words.
    pub doc: &'static str,
    /// Every place that says something, the one that holds first.
    pub synonyms: Vec<Synonym>,
}

impl Entry {
    /// A config that holds the value of its first synonym, or else its default.
    pub(super) fn new(
        name: &'static str,
        (kind, doc): (Type, &'static str),
        default: Option<&'static str>,
        synonyms: Vec<Synonym>,
    ) -> Entry {
        let (value, source) = match synonyms.first() {
            Some(first) => (Some(first.value.clone()), first.source),
            None => (default.map(str::to_owned), Source::Default),
        };
        Entry { name, value, source, read_only: false, kind, doc, synonyms }
    }
}
