//! The proposer of ISR changes: one for a node, between its leaders and the controller (R7, R40).
//!
//! ```text
//!   leaders ── Wish ──> queued ── one ask at a time, under a new number ──> controller
//!      ^                  ^                                                    │
//!      └── Told ── outcome of the newest wish   <── Answered(number) ──────────┘
//!                         └── no answer, "unknown", another controller: asked again
//! ```
//! A leader that has wished goes on with the ISR and the wish together, until it is told that the wish came to nothing. So
//! a wrong "no" loses records, and "unknown" is none: the wish may still be committed. It is asked again under a new
//! number until the controller has judged it. Numbers rise in the process, so the controller can refuse the older
//! ones.
//!
//! A newer wish of a partition takes the place of the older one, whose answer then counts for nothing. The proposer does not
//! judge wishes and does not touch an ISR: the image alone brings it.

use crate::ids::{BrokerEpoch, BrokerId, Peer, TopicPartition};
use crate::machine::{Effects, Machine};
use crate::metadata::controller::{Ask, Reply};
use crate::metadata::{IsrOutcome, IsrWish, Leadership};
use crate::mutant::{Mutant, planted};
use crate::time::{Millis, Now};
use std::collections::BTreeMap;

/// Milliseconds after which an ask without an answer counts as unknown.
const ANSWER_MS: u64 = 2_000;
/// Milliseconds until wishes that came to no judgement are asked again.
const AGAIN_MS: u64 = 200;

/// An event that the proposer hears of.
#[derive(Clone, Debug)]
pub enum Input {
    /// A leader wants another ISR.
    Wish { wish: IsrWish },
    /// The leadership of the partition is over here, so its wish is void.
    Withdraw(TopicPartition),
    /// The leadership of the metadata log, as far as this node knows it.
    Leadership(Option<Leadership>),
    /// The broker epoch of this process.
    Registered(BrokerEpoch),
    /// The answer to the ask of this number.
    Answered { number: u64, reply: Reply },
    /// A deadline may have passed.
    Tick,
}

/// An action that the proposer wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Send this ask to the node of its leadership, and give the answer back under its number.
    Ask { number: u64, ask: Ask },
    /// Tell the leader how its newest wish has ended.
    Told { id: TopicPartition, partition_epoch: i32, outcome: IsrOutcome },
}

/// The wishes that are asked now.
#[derive(Debug)]
struct InFlight {
    number: u64,
    /// In the order asked. A wish that was withdrawn or replaced meanwhile is void.
    wishes: Vec<(IsrWish, bool)>,
    deadline: Millis,
}

/// The proposer of one node.
#[derive(Debug)]
pub struct IsrProposer {
    me: BrokerId,
    epoch: Option<BrokerEpoch>,
    leadership: Option<Leadership>,
    /// The number of the last ask.
    number: u64,
    queued: BTreeMap<TopicPartition, IsrWish>,
    in_flight: Option<InFlight>,
    /// Nothing is asked before this moment.
    not_before: Millis,
}

impl IsrProposer {
    /// A proposer that knows neither its node's broker epoch nor a controller.
    #[must_use]
    pub fn new(me: BrokerId) -> IsrProposer {
        IsrProposer {
            me,
            epoch: None,
            leadership: None,
            number: 0,
            queued: BTreeMap::new(),
            in_flight: None,
            not_before: Millis(0),
        }
    }

    /// Voids the wish of a partition that is being asked.
    fn void(&mut self, id: TopicPartition) {
        let asked = self.in_flight.iter_mut().flat_map(|flight| &mut flight.wishes);
        asked.filter(|(wish, _)| wish.id == id).for_each(|(_, void)| *void = true);
    }

    /// Gives up waiting for an answer. The wishes stay, except those that a newer one has replaced.
    fn again(&mut self, not_before: Millis) {
        self.not_before = not_before;
        let Some(flight) = self.in_flight.take() else { return };
        if planted(Mutant::UnknownNeverAskedAgain) {
            return;
        }
        for (wish, _) in flight.wishes.into_iter().filter(|(_, void)| !void) {
            self.queued.entry(wish.id).or_insert(wish);
        }
    }

    fn answered(&mut self, now: Millis, number: u64, reply: Reply, out: &mut Effects<Effect>) {
        // An answer to an ask that was given up says nothing about the newer one.
        let Some(flight) = self.in_flight.take_if(|flight| flight.number == number) else { return };
        let outcomes = match reply {
            Reply::IsrAltered(outcomes, _) if outcomes.len() == flight.wishes.len() => outcomes,
            _ => {
                self.in_flight = Some(flight);
                return self.again(now.plus(AGAIN_MS));
            }
        };
        for ((wish, void), outcome) in flight.wishes.into_iter().zip(outcomes) {
            match outcome {
                _ if void => {}
                // This controller lacks what the leader knows. It is asked until it has that, or another one leads.
                IsrOutcome::Behind => {
                    self.not_before = now.plus(AGAIN_MS);
                    self.queued.entry(wish.id).or_insert(wish);
                }
                outcome => {
                    let (id, partition_epoch) = (wish.id, wish.partition_epoch);
                    out.push(Effect::Told { id, partition_epoch, outcome });
                }
            }
        }
    }

    /// Asks what is queued, if nothing else is being asked.
    fn ask(&mut self, now: Millis, out: &mut Effects<Effect>) {
        let (Some(epoch), Some(leadership)) = (self.epoch, self.leadership) else { return };
        if self.in_flight.is_some() || self.queued.is_empty() || now < self.not_before {
            return;
        }
        self.number += 1;
        let wishes: Vec<IsrWish> = std::mem::take(&mut self.queued).into_values().collect();
        let (number, deadline) = (self.number, now.plus(ANSWER_MS));
        let from = Peer { broker: self.me, epoch };
        let ask = Ask::AlterIsr { from, number, leadership, wishes: wishes.clone() };
        let wishes = wishes.into_iter().map(|wish| (wish, false)).collect();
        self.in_flight = Some(InFlight { number, wishes, deadline });
        out.push(Effect::Ask { number, ask });
    }
}

impl Machine for IsrProposer {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Now, input: Input, out: &mut Effects<Effect>) {
        let now = now.mono;
        match input {
            Input::Wish { wish } => {
                self.void(wish.id);
                self.queued.insert(wish.id, wish);
            }
            Input::Withdraw(id) => {
                self.void(id);
                self.queued.remove(&id);
            }
            Input::Leadership(leadership) => {
                if leadership != self.leadership {
                    self.leadership = leadership;
                    self.again(now);
                }
            }
            Input::Registered(epoch) => {
                if self.epoch.replace(epoch) != Some(epoch) {
                    self.again(now);
                }
            }
            Input::Answered { number, reply } => self.answered(now, number, reply, out),
            Input::Tick => {
                if self.in_flight.as_ref().is_some_and(|flight| flight.deadline <= now) {
                    self.again(now);
                }
            }
        }
        self.ask(now, out);
    }

    fn next_deadline(&self) -> Option<Millis> {
        match &self.in_flight {
            Some(flight) => Some(flight.deadline),
            None if self.queued.is_empty() || self.epoch.is_none() || self.leadership.is_none() => None,
            None => Some(self.not_before),
        }
    }

    fn check(&self) {
        let asked = self.in_flight.iter().flat_map(|flight| &flight.wishes);
        assert!(
            asked.clone().all(|(wish, void)| *void || !self.queued.contains_key(&wish.id)),
            "one wish of a partition is the newest"
        );
        assert!(self.in_flight.iter().all(|flight| flight.number == self.number));
    }
}
