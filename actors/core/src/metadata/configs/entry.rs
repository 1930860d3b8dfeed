//! A config as DescribeConfigs reports it: its value, the source of the value, and every place that sets one.

use super::value::Type;

/// The source of a value, by Kafka's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i8)]
pub enum Source {
    Topic = 1,
    /// Set for this broker at run time.
    DynamicBroker = 2,
    /// Set for all brokers at run time.
    DynamicDefault = 3,
    Static = 4,
    Default = 5,
    ClientMetrics = 7,
    Group = 8,
}

/// A place that sets the value, under its name there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Synonym {
    pub name: &'static str,
    pub value: String,
    pub source: Source,
}

/// One config as it is reported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub name: &'static str,
    pub value: Option<String>,
    pub source: Source,
    /// Whether no other value can be set.
    pub read_only: bool,
    pub kind: Type,
    pub doc: &'static str,
    /// Every place that sets it; the first one holds.
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
