//! The truth of a run: what was committed, what was acknowledged, what was asked for. Every check compares with it.
//!
//! The committed log of a partition is what any of its leaders ever showed below a high watermark: the *true* high
//! watermark is the largest of those. It grows batch by batch, and each batch of it stands for one value for ever. So a
//! leader with other bytes below the true high watermark, an acknowledgement of other bytes, and a batch that is stored
//! twice are seen at once, whoever was wrong first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use callboard_core::{LeaderEpoch, Offset};

use crate::sim::batch::{Batch, between};
use crate::sim::faults::NodeIx;
use crate::sim::options::{SECOND, Time};

/// A rule that did not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The invariant (RELIABILITY §3), or a short name where it has none.
    pub rule: &'static str,
    pub what: String,
    pub at: Time,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:.3} s: {}", self.rule, self.at as f64 / SECOND as f64, self.what)
    }
}

/// Which rules end a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Strictness {
    /// Every rule, those of the machines themselves included.
    #[default]
    All,
    /// Those that a client could see, and I1–I3. A planted bug has to be caught by one of these.
    Visible,
}

/// Rules whose break a client can see, and I1–I3.
const VISIBLE: [&str; 17] = [
    "I1", "I2", "I3", "I5", "I6", "I7", "I8", "I16", "I17", "I20", "answered", "settles", "sequence",
    "bytes", "stale", "refused", "budget",
];

impl Strictness {
    /// Whether a break of this rule ends the run.
    #[must_use]
    pub fn takes(self, rule: &str) -> bool {
        self == Strictness::All || VISIBLE.contains(&rule)
    }
}

/// The truth about one partition.
#[derive(Debug, Default)]
pub struct Truth {
    committed: Vec<Batch>,
    /// The true high watermark.
    pub high_watermark: Offset,
    /// The largest offset that any DeleteRecords named.
    pub trim_asked: Offset,
    /// The log start that was acknowledged.
    pub trim_acked: Offset,
    /// Records below were committed while their leader's topic was `os`: written counts for them, synced need not.
    pub os_until: Offset,
    leaders: BTreeMap<LeaderEpoch, NodeIx>,
    sequences: BTreeMap<(i64, i32), Offset>,
    /// Batches that were acknowledged.
    pub acked: u64,
    /// Nodes that have lost, or may have lost, something of it since the ISR was whole.
    pub losers: BTreeSet<NodeIx>,
    /// The ISR was whole at some time.
    pub was_whole: bool,
    /// `min.insync.replicas` was changed: the lists may stem from another rule.
    pub resized: bool,
    /// The last unclean election.
    pub unclean_epoch: Option<LeaderEpoch>,
    /// When the operator may elect again.
    pub elect_at: Time,
}

/// Whether two logs hold the same bytes.
fn same(ours: &[Batch], theirs: &[Batch]) -> bool {
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| ours.same(theirs))
}

/// The first difference of two logs, in words.
#[must_use]
pub fn difference(ours: &[Batch], theirs: &[Batch]) -> String {
    let say = |batch: Option<&Batch>| match batch {
        Some(b) => format!("{}..{} epoch {} value {}", b.base(), b.next(), b.head.leader_epoch, b.value),
        None => "nothing".to_owned(),
    };
    let apart = ours.iter().zip(theirs).position(|(ours, theirs)| !ours.same(theirs));
    let at = apart.unwrap_or_else(|| ours.len().min(theirs.len()));
    format!("{} against {}", say(ours.get(at)), say(theirs.get(at)))
}

impl Truth {
    /// The committed batches, oldest first.
    #[must_use]
    pub fn committed(&self) -> &[Batch] {
        &self.committed
    }

    /// A replica leads in this epoch. The error names another one that does (I6).
    pub fn leads(&mut self, epoch: LeaderEpoch, node: NodeIx) -> Result<(), String> {
        let known = *self.leaders.entry(epoch).or_insert(node);
        if known == node {
            Ok(())
        } else {
            Err(format!("n{} and n{} both lead in epoch {epoch}", known + 1, node + 1))
        }
    }

    /// Compares a log with what is committed, from its start on.
    pub fn compare(&self, log: &[Batch], from: Offset, until: Offset) -> Result<(), String> {
        let until = until.min(self.high_watermark);
        let (ours, theirs) = (between(&self.committed, from, until), between(log, from, until));
        if same(ours, theirs) { Ok(()) } else { Err(difference(ours, theirs)) }
    }

    /// A leader shows this log as committed up to an offset. Gives the batches that are newly so, or what is wrong.
    pub fn commit(&mut self, log: &[Batch], high_watermark: Offset) -> Result<(), (&'static str, String)> {
        if high_watermark <= self.high_watermark {
            return Ok(());
        }
        let mut end = self.high_watermark;
        for batch in between(log, end, high_watermark) {
            if batch.base() > end || batch.next() > high_watermark {
                break;
            }
            let key = (batch.head.producer_id, batch.head.base_sequence);
            if let Some(before) =
                self.sequences.insert(key, batch.base()).filter(|_| batch.head.has_producer())
            {
                let what = format!("batch {key:?} is committed at {before} and at {}", batch.base());
                return Err(("I17", what));
            }
            self.committed.push(*batch);
            end = batch.next();
        }
        if end < high_watermark {
            return Err((
                "I2",
                format!("the high watermark {high_watermark} lies above the leader's bytes, {end}"),
            ));
        }
        self.high_watermark = end;
        Ok(())
    }

    /// A client was told that its batch is stored at this offset.
    pub fn acknowledge(&mut self, base: Offset, value: u32) -> Result<(), String> {
        self.acked += 1;
        let found = self.committed.partition_point(|batch| batch.base() < base);
        match self.committed.get(found) {
            Some(batch) if batch.base() == base && batch.value == value => Ok(()),
            Some(batch) if batch.base() == base => Err(format!(
                "value {value} was acknowledged at {base}, where value {} is committed",
                batch.value
            )),
            _ => Err(format!(
                "value {value} was acknowledged at {base}, and the true high watermark is {}",
                self.high_watermark
            )),
        }
    }

    /// An unclean election: from here on the truth is what this leader has. Gives the number of batches that are lost.
    pub fn take_over(&mut self, log: &[Batch], start: Offset, epoch: LeaderEpoch) -> u64 {
        let mut keep = self.committed.partition_point(|batch| batch.next() <= start);
        let has = |batch: &Batch| log.iter().any(|ours| ours.same(batch));
        while self.committed.get(keep).is_some_and(has) {
            keep += 1;
        }
        let lost = self.committed.len() - keep;
        self.committed.truncate(keep);
        let end = self.committed.last().map_or(0, Batch::next).max(start).min(self.high_watermark);
        self.high_watermark = end;
        self.os_until = self.os_until.min(end);
        self.sequences.retain(|_, at| *at < end);
        self.unclean_epoch = Some(epoch);
        lost as u64
    }

    /// Where the last batch of a producer up to this sequence was committed, if any was.
    #[must_use]
    pub fn committed_up_to(&self, producer_id: i64, sequence: i32) -> Option<Offset> {
        let all = (producer_id, i32::MIN)..=(producer_id, sequence);
        self.sequences.range(all).next_back().map(|(_, at)| *at)
    }

    /// The end that counts for a replica with these ends on its disk.
    #[must_use]
    pub fn durable(&self, os: bool, written: Offset, synced: Offset) -> Offset {
        if os { written } else { synced.max(written.min(self.os_until)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_core::Seq;
    use callboard_core::records::BatchHead;

    fn batch(base: Offset, value: u32) -> Batch {
        let head = BatchHead {
            base_offset: base,
            last_offset_delta: 1,
            producer_id: 7,
            base_sequence: value as i32,
            ..BatchHead::default()
        };
        Batch { head, value, seq: Seq(1) }
    }

    #[test]
    fn other_bytes_and_bytes_twice_are_seen() {
        let mut truth = Truth::default();
        let log = [batch(0, 1), batch(2, 2), batch(4, 3)];
        assert_eq!(truth.commit(&log, 4), Ok(()));
        assert_eq!(truth.acknowledge(2, 2), Ok(()));
        assert!(truth.acknowledge(2, 9).is_err(), "another value");
        assert!(truth.acknowledge(4, 3).is_err(), "not committed yet");
        assert!(truth.compare(&[batch(0, 1), batch(2, 9)], 0, 4).is_err());
        assert!(truth.compare(&log[..1], 0, 4).is_err(), "too short");
        assert_eq!(truth.compare(&log[1..], 2, 4), Ok(()));
        assert_eq!(
            truth.commit(&[batch(0, 1), batch(2, 2), batch(4, 1)], 6).map_err(|(rule, _)| rule),
            Err("I17")
        );
        assert_eq!(truth.commit(&log, 8).map_err(|(rule, _)| rule), Err("I2"));
    }

    #[test]
    fn one_epoch_has_one_leader() {
        let mut truth = Truth::default();
        assert_eq!((truth.leads(3, 0), truth.leads(3, 0), truth.leads(4, 1)), (Ok(()), Ok(()), Ok(())));
        assert!(truth.leads(3, 1).is_err());
    }
}
