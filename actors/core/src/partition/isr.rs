//! The in-sync replicas of a partition, as its leader counts with them.
//!
//! The committed set comes from the image, together with `min.insync.replicas`, replicas and partition epoch (R7). When
//! the leader proposes another set, it counts with both at once, because it cannot know which of them the controller
//! and a later leader will go by.
//!
//! ```text
//!   committed ISR ── propose ──> maxISR = committed ∪ proposed ──┬─ a newer partition epoch in the image ──> committed
//!                                                                └─ refused on the same partition epoch ──> committed
//! ```
//!
//! An answer never changes the committed set: only an image does. This file decides who counts; it does not decide who
//! should join or leave.

use super::replication::{Group, Member};
use crate::ids::{BrokerId, Peer};
use crate::metadata::IsrOutcome;
use crate::mutant::{Mutant, planted};
use crate::time::Millis;

/// Milliseconds until a proposal that was outdated is made again, if no image comes.
const AGAIN_MS: u64 = 1_000;

#[derive(Clone, Debug)]
struct Proposed {
    isr: Vec<Peer>,
    wait: Wait,
}

/// What a leader that has proposed waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    Answer,
    /// The proposal failed, and an image will say why. The leader proposes again at this moment at the latest.
    Until(Millis),
    Over,
}

/// The sets that a leader counts with.
#[derive(Clone, Debug)]
pub struct Isr {
    group: Group,
    proposed: Option<Proposed>,
    /// After a refusal, the leader proposes no earlier than this or the next image.
    not_before: Option<Millis>,
}

impl Isr {
    /// The sets of a leadership that begins with this group.
    #[must_use]
    pub fn new(group: Group) -> Isr {
        Isr { group, proposed: None, not_before: None }
    }

    /// All of the partition's replicas and their settings, as committed.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Takes the group of a newer image. A proposal ends with its partition epoch: it can never be committed later.
    pub fn regroup(&mut self, group: Group) {
        if group.partition_epoch > self.group.partition_epoch {
            self.proposed = None;
        }
        if group.partition_epoch >= self.group.partition_epoch {
            self.group = group;
            self.not_before = None;
        }
    }

    /// Whether records may be committed: the committed ISR has its minimum (R3).
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.committed() >= self.group.min_isr || planted(Mutant::CommitsBelowMinIsr)
    }

    /// Number of replicas in the committed ISR.
    #[must_use]
    pub fn committed(&self) -> usize {
        self.group.members.iter().filter(|member| member.in_sync).count()
    }

    /// Whether the high watermark waits for this replica: it is in the committed or in the proposed set.
    #[must_use]
    pub fn counts(&self, member: &Member) -> bool {
        member.in_sync || self.is_proposed(member.peer.broker)
    }

    fn is_proposed(&self, broker: BrokerId) -> bool {
        let proposed = self.proposed.as_ref().filter(|_| !planted(Mutant::ProposedIsrIgnored));
        proposed.is_some_and(|proposed| proposed.isr.iter().any(|peer| peer.broker == broker))
    }

    /// The brokers of maxISR.
    #[must_use]
    pub fn max_isr(&self) -> Vec<BrokerId> {
        self.group.members.iter().filter(|m| self.counts(m)).map(|member| member.peer.broker).collect()
    }

    /// Whether the leader may propose now: no proposal of it may still be committed, or its time has come again.
    #[must_use]
    pub fn may_propose(&self, now: Millis) -> bool {
        let over = |proposed: &Proposed| match proposed.wait {
            Wait::Answer => false,
            Wait::Until(again) => again <= now,
            Wait::Over => true,
        };
        self.proposed.as_ref().is_none_or(over) && self.not_before.is_none_or(|until| until <= now)
    }

    /// When the leader may propose again after a proposal that failed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        match self.proposed.as_ref().map(|proposed| proposed.wait) {
            Some(Wait::Until(again)) => Some(again),
            Some(Wait::Answer | Wait::Over) => None,
            None => self.not_before,
        }
    }

    /// Ends the waits that are over by now.
    pub fn tick(&mut self, now: Millis) {
        self.not_before = self.not_before.filter(|until| *until > now);
        if let Some(proposed) = &mut self.proposed
            && matches!(proposed.wait, Wait::Until(again) if again <= now)
        {
            proposed.wait = Wait::Over;
        }
    }

    /// Adopts a proposal before it leaves. A former one that is not certainly over goes on counting.
    pub fn propose(&mut self, isr: Vec<Peer>) {
        self.not_before = None;
        let mut isr = isr;
        let former = self.proposed.take().into_iter().flat_map(|proposed| proposed.isr);
        for peer in former {
            if !isr.iter().any(|other| other.broker == peer.broker) {
                isr.push(peer);
            }
        }
        self.proposed = Some(Proposed { isr, wait: Wait::Answer });
    }

    /// Takes the end of the proposal for this partition epoch. False if the leadership is over.
    pub fn said(&mut self, now: Millis, partition_epoch: i32, outcome: &IsrOutcome) -> bool {
        if partition_epoch != self.group.partition_epoch {
            return true;
        }
        let Some(proposed) = &mut self.proposed else { return true };
        match outcome {
            IsrOutcome::Committed if planted(Mutant::IsrFromAnswer) => {
                let isr = std::mem::take(&mut proposed.isr);
                let set =
                    |m: &Member| Member { in_sync: isr.iter().any(|p| p.broker == m.peer.broker), ..*m };
                self.group.members = self.group.members.iter().map(set).collect();
                self.proposed = None;
            }
            IsrOutcome::Committed => {}
            IsrOutcome::Outdated | IsrOutcome::Behind => proposed.wait = Wait::Until(now.plus(AGAIN_MS)),
            IsrOutcome::Ineligible(_) => {
                self.proposed = None;
                self.not_before = Some(now.plus(AGAIN_MS));
            }
            IsrOutcome::Ended(_) => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    fn member(broker: BrokerId, in_sync: bool) -> Member {
        Member { peer: Peer { broker, epoch: 1 }, live: true, in_sync }
    }

    fn isr() -> Isr {
        let members = [member(1, true), member(2, true), member(3, false)].into();
        Isr::new(Group { partition_epoch: 4, min_isr: 2, members })
    }

    fn peers(brokers: &[BrokerId]) -> Vec<Peer> {
        brokers.iter().map(|broker| Peer { broker: *broker, epoch: 1 }).collect()
    }

    #[test]
    fn a_proposal_counts_beside_the_committed_set_until_it_is_certainly_over() {
        let rows = [
            (IsrOutcome::Committed, vec![1, 2, 3], None),
            (IsrOutcome::Outdated, vec![1, 2, 3], Some(Millis(1_007))),
            (IsrOutcome::Behind, vec![1, 2, 3], Some(Millis(1_007))),
            (IsrOutcome::Ineligible("fenced".into()), vec![1, 2], Some(Millis(1_007))),
        ];
        for (outcome, max_isr, again) in rows {
            let mut isr = isr();
            isr.propose(peers(&[1, 2, 3]));
            assert_eq!((isr.max_isr(), isr.may_propose(Millis(7))), (vec![1, 2, 3], false));
            assert!(isr.said(Millis(7), 3, &IsrOutcome::Ineligible("of an older epoch".into())));
            assert_eq!(isr.max_isr(), [1, 2, 3]);
            assert!(isr.said(Millis(7), 4, &outcome), "{outcome:?}");
            assert_eq!((isr.max_isr(), isr.next_deadline()), (max_isr, again), "{outcome:?}");
            isr.regroup(Group { partition_epoch: 5, ..isr.group().clone() });
            assert_eq!((isr.max_isr(), isr.may_propose(Millis(7))), (vec![1, 2], true), "{outcome:?}");
        }
        let mut isr = isr();
        isr.propose(peers(&[1]));
        assert!(!isr.said(Millis(7), 4, &IsrOutcome::Ended(ErrorCode::FencedLeaderEpoch)));
    }

    #[test]
    fn a_proposal_made_again_keeps_the_members_of_the_former_one() {
        let mut isr = isr();
        isr.propose(peers(&[1, 2, 3]));
        isr.said(Millis(0), 4, &IsrOutcome::Outdated);
        assert!(!isr.may_propose(Millis(999)) && isr.may_propose(Millis(1_000)));
        isr.tick(Millis(1_000));
        assert_eq!((isr.next_deadline(), isr.may_propose(Millis(1_000))), (None, true), "it wakes up once");
        isr.propose(peers(&[1]));
        assert_eq!(isr.max_isr(), [1, 2, 3]);
    }
}
