//! The fold of a coordinator's log: the newest record of each key, entity by entity.
//!
//! The log tells every change; only the last one of each key is the state. So a load reads batches in log order and keeps
//! for each key what came last, until it has read up to its end.
//!
//! ```text
//!   wanted() = (next, until) ──> the shell reads ──> take(batch)…, took(next) ──> … ──> none wanted ──> entities()
//! ```
//!
//! Control batches and keys of a kind that this build does not know are skipped, as Kafka skips them. Records of a
//! transaction are not told apart yet: no transaction can be open on this broker. The fold reads no log itself.

use crate::ids::Offset;
use crate::limits::DECOMPRESSED_MAX;
use crate::records::{Records, RecordsError, batches};
use std::collections::BTreeMap;
use std::error::Error;

/// A record of one kind of log, for the fold.
pub trait LogRecord: Sized {
    /// A key within its entity. Records of an entity are handed out in this order.
    type Key: Ord;
    /// Why a record cannot be read.
    type Error: Error;

    /// Reads key and value; none for a kind that this build does not know.
    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, Self::Error>;

    /// The name of the entity that the record is of.
    fn entity(&self) -> &str;

    /// The key that a later record with the same key replaces.
    fn key(&self) -> Self::Key;

    /// Whether the record says that there is nothing under its key any more.
    fn is_tombstone(&self) -> bool;
}

/// Why a log cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError<E: Error> {
    #[error("a batch cannot be read: {0}")]
    Batch(#[from] RecordsError),
    #[error("at offset {0}: {1}")]
    Record(Offset, E),
    #[error("nothing can be read at offset {0}")]
    Stuck(Offset),
}

/// The records of one entity by key, each with its bytes.
type Live<R> = BTreeMap<<R as LogRecord>::Key, (R, usize)>;

/// The state that a log describes, as far as it was read.
pub struct Replay<R: LogRecord> {
    live: BTreeMap<String, Live<R>>,
    bytes: u64,
    next: Offset,
    until: Offset,
}

impl<R: LogRecord> Replay<R> {
    /// A load of the log between these offsets.
    #[must_use]
    pub fn new(from: Offset, until: Offset) -> Replay<R> {
        Replay { live: BTreeMap::new(), bytes: 0, next: from, until }
    }

    /// Offsets to be read next, from and until; none once everything was read.
    #[must_use]
    pub fn wanted(&self) -> Option<(Offset, Offset)> {
        (self.next < self.until).then_some((self.next, self.until))
    }

    /// Everything below this offset was taken. A read that got no further would go on without end.
    pub fn took(&mut self, next: Offset) -> Result<(), LoadError<R::Error>> {
        if next <= self.next {
            return Err(LoadError::Stuck(self.next));
        }
        self.next = next;
        Ok(())
    }

    /// Folds whole batches into the state, in log order.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), LoadError<R::Error>> {
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
                match R::decode(key, record.value) {
                    Ok(Some(found)) => self.put(found, size),
                    Ok(None) => {}
                    Err(error) => return Err(LoadError::Record(record.offset, error)),
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, record: R, size: usize) {
        let key = record.key();
        if !record.is_tombstone() {
            self.live.entry(record.entity().to_owned()).or_default().insert(key, (record, size));
        } else if let Some(records) = self.live.get_mut(record.entity()) {
            records.remove(&key);
            if records.is_empty() {
                self.live.remove(record.entity());
            }
        }
    }

    /// Bytes read, and bytes of the records that are live.
    #[must_use]
    pub fn sizes(&self) -> (u64, u64) {
        let live = self.live.values().flat_map(BTreeMap::values).map(|(_, size)| *size as u64).sum();
        (self.bytes, live)
    }

    /// The live records of each entity.
    pub fn entities(self) -> impl Iterator<Item = (String, Vec<R>)> {
        self.live
            .into_iter()
            .map(|(entity, records)| (entity, records.into_values().map(|(record, _)| record).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{BatchBuilder, NewRecord};

    /// A log of another kind than groups: `entity/key` as key, any value but `!`.
    #[derive(Clone, Debug, PartialEq)]
    struct Line(String, String, Option<String>);

    #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
    #[error("no good")]
    struct NoGood;

    impl LogRecord for Line {
        type Key = String;
        type Error = NoGood;

        fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Line>, NoGood> {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let key = text(key);
            let Some((entity, key)) = key.split_once('/') else { return Ok(None) };
            match value.map(text) {
                Some(value) if value == "!" => Err(NoGood),
                value => Ok(Some(Line(entity.into(), key.into(), value))),
            }
        }

        fn entity(&self) -> &str {
            &self.0
        }

        fn key(&self) -> String {
            self.1.clone()
        }

        fn is_tombstone(&self) -> bool {
            self.2.is_none()
        }
    }

    fn batch(base: Offset, lines: &[(&str, Option<&str>)]) -> Vec<u8> {
        let mut batch = BatchBuilder::new(base);
        for (key, value) in lines {
            let (key, value) = (Some(key.as_bytes().to_vec()), value.map(|v| v.as_bytes().to_vec()));
            batch = batch.record(NewRecord { key, value, ..NewRecord::default() });
        }
        batch.build().unwrap()
    }

    fn line(entity: &str, key: &str, value: &str) -> Line {
        Line(entity.into(), key.into(), Some(value.into()))
    }

    #[test]
    fn the_newest_of_each_key_is_live_and_tombstones_are_nothing() {
        let mut replay = Replay::<Line>::new(0, 0);
        replay.take(&batch(0, &[("e/b", Some("1")), ("e/a", Some("2")), ("e/c", Some("3"))])).unwrap();
        replay.take(&batch(3, &[("e/b", Some("9")), ("e/c", None), ("unknown", Some("!"))])).unwrap();
        replay.take(&batch(6, &[("f/a", Some("1")), ("f/a", None), ("g/a", None)])).unwrap();
        let (bytes, live) = replay.sizes();
        assert!(live == 8 && live < bytes, "{live} of {bytes}");
        let entities: Vec<_> = replay.entities().collect();
        assert_eq!(entities, [("e".to_owned(), vec![line("e", "a", "2"), line("e", "b", "9")])]);
    }

    #[test]
    fn a_record_that_cannot_be_read_stops_the_load_and_says_where() {
        let bytes = batch(7, &[("e/a", Some("1")), ("e/b", Some("!"))]);
        let error = Replay::<Line>::new(0, 9).take(&bytes).unwrap_err();
        assert_eq!(error, LoadError::Record(8, NoGood));
    }

    #[test]
    fn a_load_ends_at_its_end_and_a_read_that_gets_no_further_is_an_error() {
        let mut replay = Replay::<Line>::new(3, 10);
        assert_eq!(replay.wanted(), Some((3, 10)));
        assert_eq!(replay.took(7), Ok(()));
        assert_eq!(replay.wanted(), Some((7, 10)));
        assert_eq!(replay.took(7), Err(LoadError::Stuck(7)));
        assert_eq!(replay.took(12), Ok(()), "a batch may reach beyond the end");
        assert_eq!(replay.wanted(), None);
        assert_eq!(Replay::<Line>::new(5, 5).wanted(), None);
    }
}
