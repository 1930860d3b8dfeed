//! When each follower last held all that the leader then had, as Kafka's DescribeQuorum tells it.
//!
//! openraft knows what a follower holds and when it was heard, and no past of either. So each change of openraft's state is
//! noted here: a follower that holds the leader's end has caught up when it was heard. One that holds what the leader had
//! at the note before has caught up then, so a log that grows all the time leaves nobody behind.
//!
//! The notes are those of one leadership. This file decides nothing.

use super::machine::Raft;
use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One follower at one moment: the end of what it holds, and when it was heard.
pub struct Follower {
    pub node: u64,
    pub held: Option<u64>,
    pub heard: Option<Instant>,
}

/// The notes of one leadership.
#[derive(Debug, Default)]
pub struct CaughtUp {
    term: u64,
    /// The leader's end at the last note, and its time.
    before: Option<(Option<u64>, Instant)>,
    when: BTreeMap<u64, Instant>,
}

impl CaughtUp {
    /// Notes what the leader of this term knows now. A node that does not lead knows no follower.
    pub fn note(&mut self, now: Instant, term: u64, end: Option<u64>, followers: &[Follower]) {
        if term != self.term || followers.is_empty() {
            *self = CaughtUp { term, ..CaughtUp::default() };
        }
        for Follower { node, held, heard } in followers {
            let time = match self.before {
                _ if held.is_none() => None,
                _ if *held >= end => *heard,
                Some((before, time)) if *held >= before => heard.map(|heard| heard.min(time)),
                _ => None,
            };
            if let Some(time) = time {
                let when = self.when.entry(*node).or_insert(time);
                *when = time.max(*when);
            }
        }
        self.before = Some((end, now));
    }

    /// Time since each follower had caught up; one that never has is left out.
    pub fn since(&self, now: Instant) -> impl Iterator<Item = (u64, Duration)> + '_ {
        self.when.iter().map(move |(node, time)| (*node, now.saturating_duration_since(*time)))
    }
}

/// Notes every change of openraft's state until openraft ends.
pub async fn watch(raft: Raft, notes: Arc<Mutex<CaughtUp>>) {
    let mut metrics = raft.metrics();
    loop {
        {
            let (now, m) = (Instant::now(), metrics.borrow_watched());
            let heard = |node: &u64| {
                let heard = m.heartbeat.as_ref()?.get(node)?.as_ref()?;
                now.checked_sub(heard.elapsed())
            };
            let follower = |(node, held): (&u64, &Option<super::types::LogId>)| Follower {
                node: *node,
                held: held.as_ref().map(|id| id.index),
                heard: heard(node),
            };
            let others = m.replication.iter().flatten().filter(|(node, _)| **node != m.id);
            let followers: Vec<Follower> = others.map(follower).collect();
            notes.lock().note(now, m.current_term, m.last_log_index, &followers);
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Leader {
        zero: Instant,
        notes: CaughtUp,
    }

    impl Leader {
        fn at(&self, ms: u64) -> Instant {
            self.zero + Duration::from_millis(ms)
        }

        /// Notes follower 2 at this time; returns when it had caught up.
        fn note(&mut self, ms: u64, term: u64, end: u64, held: u64, heard: u64) -> Option<u64> {
            let heard = Some(self.at(heard));
            let follower = Follower { node: 2, held: Some(held), heard };
            self.notes.note(self.at(ms), term, Some(end), &[follower]);
            let since = self.notes.since(self.at(ms)).next();
            since.map(|(_, since)| ms - u64::try_from(since.as_millis()).unwrap())
        }
    }

    #[test]
    fn a_follower_has_caught_up_when_it_last_held_the_end() {
        let mut leader = Leader { zero: Instant::now(), notes: CaughtUp::default() };
        assert_eq!(leader.note(100, 5, 10, 3, 90), None, "behind from the beginning");
        assert_eq!(leader.note(200, 5, 10, 10, 190), Some(190));
        assert_eq!(leader.note(300, 5, 10, 10, 290), Some(290), "heard again with nothing new");
        assert_eq!(leader.note(400, 5, 12, 11, 390), Some(300), "it holds what the leader had before");
        assert_eq!(leader.note(500, 5, 14, 11, 390), Some(300), "it is gone, and the log goes on");
        assert_eq!(leader.note(9_000, 5, 20, 11, 390), Some(300));
    }

    #[test]
    fn a_new_leadership_has_heard_nobody() {
        let mut leader = Leader { zero: Instant::now(), notes: CaughtUp::default() };
        assert_eq!(leader.note(100, 5, 10, 10, 90), Some(90));
        assert_eq!(leader.note(200, 6, 11, 10, 90), None);
        assert_eq!(leader.note(300, 6, 11, 11, 290), Some(290));
        leader.notes.note(leader.at(400), 6, Some(11), &[]);
        assert_eq!(leader.notes.since(leader.at(400)).count(), 0, "it leads no more");
    }
}
