//! The groups' log as a coordinator loads it: which group a record is of, and what it replaces.

use super::record::{GroupRecord, RecordError};
use crate::coordinator::load::LogRecord;

/// A record's key within its group. The group's own comes last, so that members are known to a group that has offsets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Offset(String, i32),
    Group,
}

impl LogRecord for GroupRecord {
    type Key = Key;
    type Error = RecordError;

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<GroupRecord>, RecordError> {
        GroupRecord::decode(key, value)
    }

    fn entity(&self) -> &str {
        self.group()
    }

    fn key(&self) -> Key {
        match self {
            GroupRecord::Offset { topic, partition, .. } => Key::Offset(topic.clone(), *partition),
            GroupRecord::Group { .. } => Key::Group,
        }
    }

    fn is_tombstone(&self) -> bool {
        match self {
            GroupRecord::Offset { value, .. } => value.is_none(),
            GroupRecord::Group { value, .. } => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::load::Replay;
    use crate::group::record::{GroupValue, OffsetValue};
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
        let mut replay = Replay::new(0, 0);
        replay.take(&batch(&[members.clone(), offset(0, Some(1)), offset(1, Some(2))])).unwrap();
        replay.take(&batch(&[offset(0, Some(9)), offset(1, None)])).unwrap();
        replay.take(&batch(&[GroupRecord::Group { group: "h".into(), value: None }])).unwrap();
        let (bytes, live) = replay.sizes();
        assert!(live > 0 && live < bytes);
        let groups: Vec<_> = replay.entities().collect();
        assert_eq!(groups, [("g".to_owned(), vec![offset(0, Some(9)), members])]);
    }

    #[test]
    fn a_record_that_cannot_be_read_stops_the_replay_and_says_where() {
        let (key, _) = offset(0, None).encode();
        let record = NewRecord { key: Some(key), value: Some(vec![0, 9]), ..NewRecord::default() };
        let bytes = BatchBuilder::new(7).record(record).build().unwrap();
        let error = Replay::<GroupRecord>::new(0, 9).take(&bytes).unwrap_err();
        assert!(error.to_string().starts_with("at offset 7"), "{error}");
    }
}
