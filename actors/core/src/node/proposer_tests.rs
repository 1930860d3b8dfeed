//! Tests of the proposer of ISR changes.

use super::proposer::{Effect, Input, IsrProposer};
use crate::error::ErrorCode;
use crate::ids::{Peer, TopicId, TopicPartition};
use crate::machine::Machine;
use crate::metadata::controller::{Ask, Refusal, Reply};
use crate::metadata::{IsrOutcome, IsrWish, Leadership};
use crate::time::{Millis, Now};
use proptest::prelude::*;
use std::collections::BTreeMap;

const LEAD: Leadership = Leadership { term: 3, node: 2 };

fn id(topic: u8) -> TopicPartition {
    TopicPartition { topic: TopicId([topic; 16]), partition: 0 }
}

fn wish(topic: u8, partition_epoch: i32) -> IsrWish {
    let isr = vec![Peer { broker: 1, epoch: 7 }];
    IsrWish { id: id(topic), leader_epoch: 1, partition_epoch, isr, recovering: false }
}

fn failed(code: ErrorCode) -> Reply {
    Reply::Failed(Refusal { code, message: "why".into() })
}

struct Rig {
    proposer: IsrProposer,
    ms: u64,
}

impl Rig {
    fn new() -> Rig {
        let mut rig = Rig { proposer: IsrProposer::new(1), ms: 1_000 };
        assert_eq!(rig.step(Input::Registered(7)), []);
        assert_eq!(rig.step(Input::Leadership(Some(LEAD))), []);
        rig
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        self.proposer.step(Now { mono: Millis(self.ms), ..Now::default() }, input, &mut out);
        self.proposer.check();
        out
    }

    fn wish(&mut self, topic: u8, partition_epoch: i32) -> Vec<Effect> {
        self.step(Input::Wish { wish: wish(topic, partition_epoch) })
    }

    fn answer(&mut self, number: u64, outcomes: Vec<IsrOutcome>) -> Vec<Effect> {
        self.step(Input::Answered { number, reply: Reply::IsrAltered(outcomes, 9) })
    }

    fn tick(&mut self, ms: u64) -> Vec<Effect> {
        self.ms += ms;
        self.step(Input::Tick)
    }
}

fn asked(number: u64, leadership: Leadership, wishes: Vec<IsrWish>) -> Vec<Effect> {
    let from = Peer { broker: 1, epoch: 7 };
    vec![Effect::Ask { number, ask: Ask::AlterIsr { from, number, leadership, wishes } }]
}

fn told(topic: u8, partition_epoch: i32, outcome: IsrOutcome) -> Effect {
    Effect::Told { id: id(topic), partition_epoch, outcome }
}

#[test]
fn wishes_gather_while_one_ask_is_under_way() {
    let mut rig = Rig::new();
    assert_eq!(rig.wish(2, 5), asked(1, LEAD, vec![wish(2, 5)]));
    assert_eq!((rig.wish(3, 1), rig.wish(1, 1)), (vec![], vec![]));
    let mut effects = vec![told(2, 5, IsrOutcome::Committed)];
    effects.extend(asked(2, LEAD, vec![wish(1, 1), wish(3, 1)]));
    assert_eq!(rig.answer(1, vec![IsrOutcome::Committed]), effects);
    let outcomes = vec![IsrOutcome::Outdated, IsrOutcome::Ended(ErrorCode::FencedLeaderEpoch)];
    let expected = [told(1, 1, outcomes[0].clone()), told(3, 1, outcomes[1].clone())];
    assert_eq!(rig.answer(2, outcomes), expected);
}

#[test]
fn nothing_is_asked_without_an_epoch_or_a_controller() {
    let mut rig = Rig { proposer: IsrProposer::new(1), ms: 0 };
    assert_eq!(rig.wish(1, 1), []);
    assert_eq!(rig.step(Input::Leadership(Some(LEAD))), []);
    assert_eq!(rig.step(Input::Registered(7)), asked(1, LEAD, vec![wish(1, 1)]));
}

#[test]
fn what_was_not_judged_is_asked_again_under_a_new_number() {
    let not_judged = [
        Reply::Unknown("lost".into()),
        failed(ErrorCode::NotController),
        failed(ErrorCode::StaleBrokerEpoch),
        failed(ErrorCode::InvalidRequest),
        Reply::Done(4),
        Reply::IsrAltered(vec![], 9),
        Reply::IsrAltered(vec![IsrOutcome::Behind], 9),
    ];
    for reply in not_judged {
        let mut rig = Rig::new();
        rig.wish(1, 1);
        assert_eq!(rig.step(Input::Answered { number: 1, reply: reply.clone() }), [], "{reply:?}");
        assert_eq!(rig.tick(100), []);
        assert_eq!(rig.tick(100), asked(2, LEAD, vec![wish(1, 1)]), "{reply:?}");
    }
    // No answer at all.
    let mut rig = Rig::new();
    rig.wish(1, 1);
    assert_eq!(rig.tick(1_999), []);
    assert_eq!(rig.tick(1), asked(2, LEAD, vec![wish(1, 1)]));
    assert_eq!(
        rig.answer(1, vec![IsrOutcome::Ineligible("late".into())]),
        [],
        "the older ask counts for nothing"
    );
    assert_eq!(rig.answer(2, vec![IsrOutcome::Committed]), [told(1, 1, IsrOutcome::Committed)]);
}

#[test]
fn another_leadership_is_asked_at_once() {
    let mut rig = Rig::new();
    rig.wish(1, 1);
    assert_eq!(rig.step(Input::Leadership(None)), []);
    let other = Leadership { term: 3, node: 3 };
    assert_eq!(rig.step(Input::Leadership(Some(other))), asked(2, other, vec![wish(1, 1)]));
    assert_eq!(rig.step(Input::Leadership(Some(other))), [], "the same one again");
}

#[test]
fn a_newer_wish_replaces_the_older_one_and_its_answer() {
    let mut rig = Rig::new();
    rig.wish(1, 1);
    rig.wish(1, 2);
    let effects = rig.answer(1, vec![IsrOutcome::Ineligible("no".into())]);
    assert_eq!(effects, asked(2, LEAD, vec![wish(1, 2)]), "the older wish is told to nobody");
    rig.wish(1, 3);
    rig.wish(1, 4);
    let reply = Reply::Unknown("lost".into());
    rig.step(Input::Answered { number: 2, reply });
    assert_eq!(rig.tick(200), asked(3, LEAD, vec![wish(1, 4)]));
}

#[test]
fn a_withdrawn_wish_is_neither_asked_nor_told() {
    let mut rig = Rig::new();
    rig.wish(1, 1);
    rig.wish(2, 1);
    rig.step(Input::Withdraw(id(1)));
    rig.step(Input::Withdraw(id(2)));
    assert_eq!(rig.answer(1, vec![IsrOutcome::Committed]), []);
    assert_eq!(rig.proposer.next_deadline(), None);
}

proptest! {
    /// Whatever happens to asks and answers: each partition's newest wish ends by being told, or stays asked.
    #[test]
    fn the_newest_wish_is_never_lost(
        steps in prop::collection::vec((0u8..7, 1u8..4, 0u64..3), 1..80)
    ) {
        let mut rig = Rig::new();
        let mut open: BTreeMap<TopicPartition, i32> = BTreeMap::new();
        let (mut epoch, mut last, mut flight) = (0, 0, None);
        for (what, topic, fate) in steps.into_iter().chain(std::iter::repeat_n((6, 1, 0), 8)) {
            let effects = match (what, &flight) {
                (0 | 1, _) => {
                    epoch += 1;
                    open.insert(id(topic), epoch);
                    rig.wish(topic, epoch)
                }
                (2, _) => {
                    open.remove(&id(topic));
                    rig.step(Input::Withdraw(id(topic)))
                }
                (3, _) => rig.step(Input::Leadership(Some(Leadership { term: fate, node: 2 }))),
                (4, Some((number, _))) => {
                    let reply = [failed(ErrorCode::NotController), Reply::Unknown("lost".into()), Reply::Done(1)];
                    rig.step(Input::Answered { number: *number, reply: reply[fate as usize].clone() })
                }
                (6, Some((number, wishes))) => {
                    let mut effects = rig.answer(*number, vec![IsrOutcome::Committed; *wishes]);
                    effects.extend(rig.tick(2_000));
                    effects
                }
                _ => rig.tick(100 * fate),
            };
            for effect in effects {
                match effect {
                    Effect::Ask { number, ask: Ask::AlterIsr { wishes, number: same, .. } } => {
                        prop_assert!(number > last && number == same, "numbers rise");
                        last = number;
                        prop_assert!(wishes.iter().all(|w| open.get(&w.id) == Some(&w.partition_epoch)));
                        flight = Some((number, wishes.len()));
                    }
                    Effect::Told { id, partition_epoch, .. } => {
                        prop_assert_eq!(open.remove(&id), Some(partition_epoch), "only the newest is told");
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
        if !open.is_empty() {
            prop_assert!(rig.proposer.next_deadline().is_some(), "it is asked again: {:?}", open);
        }
    }
}

#[cfg(feature = "mutants")]
#[test]
fn a_proposer_that_gives_up_is_caught() {
    use crate::mutant::{Mutant, plant};
    plant(Some(Mutant::UnknownNeverAskedAgain));
    let caught = std::panic::catch_unwind(what_was_not_judged_is_asked_again_under_a_new_number);
    plant(None);
    assert!(caught.is_err());
}
