//! The index that was committed at each moment: the measure of a node that hears and does not follow (R45).
//!
//! A node may lag by what was committed within the last session. An idle log asks nothing of anybody, because its last
//! index was committed long ago and is applied everywhere.

use crate::time::Millis;
use std::collections::VecDeque;

/// Committed indexes with the moments at which the judge saw them, oldest first.
#[derive(Debug, Default)]
pub(super) struct Past(VecDeque<(Millis, u64)>);

impl Past {
    /// Notes that the log has come to an index.
    pub fn note(&mut self, now: Millis, index: u64) {
        match self.0.back_mut() {
            Some((_, last)) if *last >= index => {}
            Some((at, last)) if *at == now => *last = index,
            _ => self.0.push_back((now, index)),
        }
    }

    /// The index that was committed at that moment; none if the judge knows nothing so old.
    pub fn at(&self, then: Millis) -> Option<u64> {
        self.0.iter().take_while(|(at, _)| *at <= then).last().map(|(_, index)| *index)
    }

    /// Forgets what lies before the index of that moment.
    pub fn forget(&mut self, then: Millis) {
        while self.0.get(1).is_some_and(|(at, _)| *at <= then) {
            self.0.pop_front();
        }
    }

    /// Moves every moment on by the time for which the judge has slept.
    pub fn shift(&mut self, by: u64, now: Millis) {
        self.0.iter_mut().for_each(|(at, _)| *at = at.plus(by).min(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_read_forgotten_and_moved() {
        let mut past = Past::default();
        assert_eq!(past.at(Millis(9)), None);
        for (at, index) in [(10, 3), (20, 5), (20, 6), (30, 4), (40, 9)] {
            past.note(Millis(at), index);
        }
        let read = |past: &Past| [9, 10, 19, 20, 39, 40, 99].map(|at| past.at(Millis(at)));
        assert_eq!(read(&past), [None, Some(3), Some(3), Some(6), Some(6), Some(9), Some(9)]);
        past.forget(Millis(39));
        assert_eq!(read(&past), [None, None, None, Some(6), Some(6), Some(9), Some(9)]);
        past.shift(15, Millis(50));
        assert_eq!(past.at(Millis(49)), Some(6));
        assert_eq!(past.at(Millis(50)), Some(9), "nothing moves beyond now");
    }
}
