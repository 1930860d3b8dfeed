//! A node's contact with the controller, as the node itself can know it.
//!
//! The controller fences a node that it has not heard for a session, and lets others lead what the node led. A node that is
//! cut off is not told. It can count, however: a heartbeat that was answered was heard no earlier than it was sent. A
//! session after that moment the node may be fenced, and it must not hold its clients any longer.
//!
//! ```text
//!   Begin ───────────────────────────────────────────────────────────┐
//!   Answered(sent, majority's age, index) ─> is index applied here? ─> contact = the latest (sent − age) ─> Until(contact + session)
//!                                                                          now ≥ until ─> CutOff ... a later contact ─> Back
//! ```
//! Three things keep an answer from proving too much. It counts from the moment at which its heartbeat was *sent*. The
//! controller's own contact with a majority is subtracted, because a controller that is cut off answers all the same. And it counts
//! only when this node has applied what the controller had applied: an image that takes a leadership away is then
//! known here. So a node whose metadata log hangs is cut off too (F27).
//!
//! On the controller's own node the age of the majority's last answer stands for a heartbeat, because its own heartbeats never
//! leave it.
//!
//! Time is monotonic and goes on while the process sleeps. So a node that wakes after a session is cut off before
//! anything else, until it is heard again (F07). The machine sends nothing, and `partition/cut_off.rs` decides what a leader
//! does without contact.

use crate::machine::{Effects, Machine};
use crate::sessions::{Heard, SESSION_MS};
use crate::time::{Millis, Now};

/// Answers that wait for this node to apply the metadata log; the oldest go first. A session holds fewer.
const WAITING_MAX: usize = 64;

/// An event that the contact hears of.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    /// The controller has registered this process, and its heartbeats begin.
    Begin,
    /// A heartbeat that was sent at this moment was answered.
    Answered { sent: Millis, heard: Heard },
    /// This node has applied the metadata log up to this index.
    Applied(u64),
    /// A deadline may have passed.
    Tick,
}

/// An action that the contact wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The node is in contact until this moment, and cut off from then on.
    Until(Millis),
    /// The node is cut off: it may have been fenced. Said once an episode.
    CutOff { silent_ms: u64 },
    /// The node is in contact again.
    Back { after_ms: u64 },
}

/// The contact of one node in one life.
#[derive(Debug, Default)]
pub struct Contact {
    /// The latest moment at which the controller certainly knew this node; none before heartbeats begin.
    last: Option<Millis>,
    /// The end of the contact that was told last.
    until: Option<Millis>,
    applied: u64,
    /// Answers of a controller that had applied more than this node has: the moment that each proves, and the index.
    waiting: Vec<(Millis, u64)>,
    /// Since when the node is cut off.
    cut_off: Option<Millis>,
}

impl Contact {
    /// Takes the moments that are proved by now.
    fn count(&mut self) {
        let applied = self.applied;
        let proved = self.waiting.iter().filter(|(_, index)| *index <= applied).map(|(at, _)| *at).max();
        self.waiting.retain(|(_, index)| *index > applied);
        self.last = self.last.max(proved.filter(|_| self.last.is_some()));
    }

    fn judge(&mut self, now: Millis, out: &mut Effects<Effect>) {
        let Some(last) = self.last else { return };
        let until = last.plus(SESSION_MS);
        if self.until.replace(until) != Some(until) {
            out.push(Effect::Until(until));
        }
        match self.cut_off {
            None if until <= now => {
                self.cut_off = Some(now);
                out.push(Effect::CutOff { silent_ms: now.0.saturating_sub(last.0) });
            }
            Some(since) if now < until => {
                self.cut_off = None;
                out.push(Effect::Back { after_ms: now.0.saturating_sub(since.0) });
            }
            _ => {}
        }
    }
}

impl Machine for Contact {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Now, input: Input, out: &mut Effects<Effect>) {
        let now = now.mono;
        match input {
            Input::Begin => self.last = self.last.max(Some(now)),
            Input::Answered { sent, heard } => {
                // A moment that lies a session back proves nothing any more.
                self.waiting.retain(|(at, _)| at.plus(SESSION_MS) > now);
                if self.waiting.len() >= WAITING_MAX {
                    self.waiting.remove(0);
                }
                self.waiting.push((Millis(sent.0.saturating_sub(heard.majority_ms)), heard.applied));
            }
            Input::Applied(index) => self.applied = self.applied.max(index),
            Input::Tick => {}
        }
        self.count();
        self.judge(now, out);
    }

    fn next_deadline(&self) -> Option<Millis> {
        self.until.filter(|_| self.cut_off.is_none())
    }

    fn check(&self) {
        assert!(self.waiting.len() <= WAITING_MAX);
        assert!(self.waiting.iter().all(|(_, index)| *index > self.applied), "what is applied is counted");
        assert_eq!(self.until, self.last.map(|last| last.plus(SESSION_MS)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UnixMillis;

    struct Node(Contact);

    impl Node {
        /// A node that was registered at 1,000 ms and has applied 10 entries.
        fn new() -> Node {
            let mut node = Node(Contact::default());
            assert_eq!(node.at(500, Input::Tick), [], "before heartbeats begin it is not judged");
            assert_eq!(node.at(1_000, Input::Begin), [Effect::Until(Millis(4_000))]);
            assert_eq!(node.at(1_000, Input::Applied(10)), []);
            node
        }

        fn at(&mut self, ms: u64, input: Input) -> Vec<Effect> {
            let mut out = Vec::new();
            self.0.step(Now { mono: Millis(ms), wall: UnixMillis(0) }, input, &mut out);
            self.0.check();
            out
        }

        fn answered(&mut self, ms: u64, sent: u64, majority_ms: u64, applied: u64) -> Vec<Effect> {
            self.at(ms, Input::Answered { sent: Millis(sent), heard: Heard { majority_ms, applied } })
        }
    }

    #[test]
    fn a_session_counts_from_the_moment_at_which_the_answered_heartbeat_was_sent() {
        let mut node = Node::new();
        assert_eq!(node.answered(2_900, 2_000, 0, 10), [Effect::Until(Millis(5_000))]);
        assert_eq!(node.answered(2_950, 1_500, 0, 10), [], "an answer that was overtaken takes nothing back");
        assert_eq!((node.0.next_deadline(), node.at(4_999, Input::Tick)), (Some(Millis(5_000)), vec![]));
        assert_eq!(node.at(5_000, Input::Tick), [Effect::CutOff { silent_ms: 3_000 }]);
        assert_eq!((node.0.next_deadline(), node.at(9_000, Input::Tick)), (None, vec![]), "once an episode");
        assert_eq!(node.answered(9_000, 6_000, 0, 10), [Effect::Until(Millis(9_000))], "sent a session ago");
        let back = [Effect::Until(Millis(11_900)), Effect::Back { after_ms: 4_100 }];
        assert_eq!(node.answered(9_100, 8_900, 0, 10), back);
    }

    #[test]
    fn the_age_of_the_controllers_own_contact_is_taken_off() {
        let mut node = Node::new();
        assert_eq!(node.answered(3_000, 2_900, 400, 10), [Effect::Until(Millis(5_500))]);
        // The controller is cut off together with this node, and goes on answering.
        for ms in (3_500..5_500).step_by(500) {
            assert_eq!(node.answered(ms, ms, ms - 2_500, 10), []);
        }
        assert_eq!(node.answered(5_500, 5_500, 3_000, 10), [Effect::CutOff { silent_ms: 3_000 }]);
        assert_eq!(node.answered(6_000, 100, 3_000, 10), [], "more than the clock has counted");
    }

    #[test]
    fn an_answer_counts_when_what_the_controller_had_applied_is_applied_here() {
        let mut node = Node::new();
        assert_eq!(node.answered(2_000, 2_000, 0, 12), []);
        assert_eq!(node.answered(2_500, 2_500, 0, 13), []);
        assert_eq!(node.at(3_000, Input::Applied(12)), [Effect::Until(Millis(5_000))]);
        assert_eq!(node.answered(4_500, 4_500, 0, 13), []);
        assert_eq!(node.at(5_000, Input::Tick), [Effect::CutOff { silent_ms: 3_000 }], "its log hangs");
        let back = [Effect::Until(Millis(7_500)), Effect::Back { after_ms: 200 }];
        assert_eq!(node.at(5_200, Input::Applied(13)), back);
    }

    #[test]
    fn a_node_that_slept_for_a_session_is_cut_off_by_whatever_it_hears_first() {
        let inputs = [
            Input::Tick,
            Input::Applied(11),
            Input::Begin,
            Input::Answered { sent: Millis(3_900), heard: Heard { majority_ms: 0, applied: 10 } },
            Input::Answered { sent: Millis(3_900), heard: Heard { majority_ms: 0, applied: 99 } },
        ];
        for input in inputs {
            let mut node = Node::new();
            node.answered(4_000 - 1, 3_900, 0, 10);
            let out = node.at(20_000, input);
            let begins = matches!(input, Input::Begin);
            assert_eq!(out.contains(&Effect::CutOff { silent_ms: 16_100 }), !begins, "{input:?}");
        }
    }

    #[test]
    fn contact_never_lasts_longer_than_a_session_after_a_moment_that_was_proved() {
        // Every order of few answers, with ages and indexes that matter.
        let answers = [(0, 0, 10), (300, 0, 11), (600, 900, 10), (1_200, 0, 12), (1_500, 100, 11)];
        for mask in 0u32..1 << answers.len() {
            for applied in 10..=12 {
                let mut node = Node::new();
                let mut last = 1_000;
                let chosen = answers.iter().enumerate().filter(|(n, _)| mask >> n & 1 == 1);
                for (_, (sent, age, index)) in chosen {
                    node.answered(3_500, 1_000 + sent, *age, *index);
                    if *index <= applied {
                        last = last.max(1_000 + sent - age.min(&(1_000 + sent)));
                    }
                }
                node.at(3_600, Input::Applied(applied));
                assert_eq!(node.0.until, Some(Millis(last + SESSION_MS)), "{mask:b} {applied}");
                let cut = [Effect::CutOff { silent_ms: SESSION_MS }];
                assert_eq!(node.at(last + SESSION_MS - 1, Input::Tick), []);
                assert_eq!(node.at(last + SESSION_MS, Input::Tick), cut);
            }
        }
    }

    #[test]
    fn answers_that_wait_are_bounded() {
        let mut node = Node::new();
        for index in 100..1_000 {
            node.answered(2_000, 2_000, 0, index);
        }
        assert_eq!(node.0.waiting.len(), WAITING_MAX);
        assert_eq!(node.at(2_000, Input::Applied(1_000)), [Effect::Until(Millis(5_000))]);
        assert!(node.0.waiting.is_empty());
    }
}
