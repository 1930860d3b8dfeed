//! The fold of a `__consumer_offsets` partition: the newest record of each key, group by group.
//!
//! Batches are taken in log order. Control batches and keys of a kind that this build does not know are skipped, as
//! Kafka skips them. Transactional offset commits are not told apart yet: no transaction can be open on this broker.

use crate::group::record::{GroupRecord, RecordError};
use crate::limits::DECOMPRESSED_MAX;
use crate::records::{Records, RecordsError, batches};
use std::collections::BTreeMap;

/// Why a log cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A batch cannot be read.
    #[error("a batch of __consumer_offsets cannot be read: {0}")]
    Batch(#[from] RecordsError),
    /// A record cannot be read.
    #[error("at offset {0}: {1}")]
    Record(i64, RecordError),
}

/// What is live, and how much was read.
#[derive(Debug, Default)]
pub struct Replay {
    live: BTreeMap<String, BTreeMap<Key, (GroupRecord, usize)>>,
    bytes: u64,
}

/// A record's key, within its group; the group's own comes last: members are known to a group whose offsets are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Offset(String, i32),
    Group,
}

impl Replay {
    /// Takes whole batches.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        self.bytes += bytes.len() as u64;
        for batch in batches(bytes) {
            let (batch, head) = batch?;
            if head.is_control() {
                continue;
            }
            for record in Records::open(batch, DECOMPRESSED_MAX)?.iter() {
                let record = record?;
                let Some(key) = record.key else { continue };
                let size = key.len() + record.value.map_or(0, <[u8]>::len);
                match GroupRecord::decode(key, record.value) {
                    Ok(Some(found)) => self.put(found, size),
                    Ok(None) => {}
                    Err(error) => return Err(LoadError::Record(record.offset, error)),
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, record: GroupRecord, size: usize) {
        let (group, key, live) = match &record {
            GroupRecord::Offset { group, topic, partition, value } => {
                (group.clone(), Key::Offset(topic.clone(), *partition), value.is_some())
            }
            GroupRecord::Group { group, value } => (group.clone(), Key::Group, value.is_some()),
        };
        if live {
            self.live.entry(group).or_default().insert(key, (record, size));
        } else if let Some(records) = self.live.get_mut(&group) {
            records.remove(&key);
            if records.is_empty() {
                self.live.remove(&group);
            }
        }
    }

    /// Bytes read, and bytes of what is live.
    #[must_use]
    pub fn sizes(&self) -> (u64, u64) {
        let live = self.live.values().flat_map(BTreeMap::values).map(|(_, size)| *size as u64).sum();
        (self.bytes, live)
    }

    /// The live records of each group.
    pub fn groups(self) -> impl Iterator<Item = (String, Vec<GroupRecord>)> {
        self.live
            .into_iter()
            .map(|(group, records)| (group, records.into_values().map(|(record, _)| record).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{GroupValue, OffsetValue};
    use crate::records::{BatchBuilder, NewRecord};

    fn offset(partition: i32, value: Option<i64>) -> GroupRecord {
        let value = value.map(|offset| OffsetValue { offset, ..OffsetValue::default() });
        GroupRecord::Offset { group: "g".into(), topic: "t".into(), partition, value }
    }

    fn batch(records: &[GroupRecord]) -> Vec<u8> {
        let mut batch = BatchBuilder::new(0);
        for record in records {
            let (key, value) = record.encode();
            batch = batch.record(NewRecord { key: Some(key), value, ..NewRecord::default() });
        }
        batch.build().unwrap()
    }

    #[test]
    fn the_newest_of_each_key_is_live_and_tombstones_are_nothing() {
        let members = GroupRecord::Group { group: "g".into(), value: Some(GroupValue::default()) };
        let mut replay = Replay::default();
        replay.take(&batch(&[members.clone(), offset(0, Some(1)), offset(1, Some(2))])).unwrap();
        replay.take(&batch(&[offset(0, Some(9)), offset(1, None)])).unwrap();
        replay.take(&batch(&[GroupRecord::Group { group: "h".into(), value: None }])).unwrap();
        let (bytes, live) = replay.sizes();
        assert!(live > 0 && live < bytes);
        let groups: Vec<_> = replay.groups().collect();
        assert_eq!(groups, [("g".to_owned(), vec![offset(0, Some(9)), members])]);
    }

    #[test]
    fn a_record_that_cannot_be_read_stops_the_replay_and_says_where() {
        let (key, _) = offset(0, None).encode();
        let record = NewRecord { key: Some(key), value: Some(vec![0, 9]), ..NewRecord::default() };
        let bytes = BatchBuilder::new(7).record(record).build().unwrap();
        let error = Replay::default().take(&bytes).unwrap_err();
        assert!(error.to_string().starts_with("at offset 7"), "{error}");
    }
}
