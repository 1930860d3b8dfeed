//! Identities. Everything on disk and between nodes is keyed by these; names and addresses are only labels.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A record's position in a partition, a plain `i64` as on the wire.
pub type Offset = i64;
/// The leader epoch: it grows with each new leader of a partition. −1 means "not known".
pub type LeaderEpoch = i32;
/// A node's id in the cluster, given by the controller (Kafka: broker id).
pub type BrokerId = i32;

/// A broker epoch names one life of a node's process: the index of that life's registration in the metadata log (I13).
pub type BrokerEpoch = u64;

/// One life of one node. A message between nodes is worth something only together with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Peer {
    pub broker: BrokerId,
    pub epoch: BrokerEpoch,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broker {} (epoch {})", self.broker, self.epoch)
    }
}

macro_rules! uuids {
    ($($(#[$about:meta])* $name:ident,)*) => {$(
        $(#[$about])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// Reads 32 hex digits, with dashes anywhere between bytes, as `Display` writes them.
            #[must_use]
            pub fn parse(text: &str) -> Option<$name> {
                uuid_of(text).map($name)
            }
        }

        // Text can be a key in the stored image.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let text = String::deserialize(deserializer)?;
                $name::parse(&text)
                    .ok_or_else(|| serde::de::Error::custom(concat!("not a uuid: ", stringify!($name))))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(&self.0, f)
            }
        }
    )*};
}

uuids! {
    /// A topic's identity: a UUID (version 4), never reused. All zeros is Kafka's "no topic id".
    TopicId,
    /// A node's identity, drawn once for its data directory and never reused (I14).
    NodeUuid,
    /// One run of a node's process, drawn at random at each start (R17).
    ProcessId,
    /// A data directory's identity (Kafka: `directory.id`). A wiped disk comes back with another one (R21).
    DirectoryId,
}

impl TopicId {
    /// Kafka's "no topic id".
    pub const ZERO: TopicId = TopicId([0; 16]);
}

fn uuid_of(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    let mut id = [0u8; 16];
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high * 16 + low) as u8;
    }
    Some(id)
}

fn write_uuid(id: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (i, b) in id.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            f.write_str("-")?;
        }
        write!(f, "{b:02x}")?;
    }
    Ok(())
}

/// A partition by the id of its topic and its number; it survives a new topic of the same name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct TopicPartition {
    pub topic: TopicId,
    /// Counted from 0 on.
    pub partition: i32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A replica within its shard. `Open` takes the number from a stored counter, and no number is used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ReplicaId(pub u32);

/// A replica's own entry number in the journal. The first entry (`Open`) is 1, and the number never goes back.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Seq(pub u64);

impl Seq {
    /// The number of the entry behind this one.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

/// A position, in bytes, in a shard's endless journal stream.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Lsn(pub u64);

/// Names a payload or a waiting answer that the shell keeps while the machine decides.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Ticket(pub u64);
