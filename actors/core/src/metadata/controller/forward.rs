//! An asker judges the outcome of a question that travelled to the controller (R44).
//!
//! ```text
//!   never proposed (NOT_CONTROLLER, not sent) ──> asked again
//!   may have been proposed (Unknown, no answer) ─> asked again where repeating cannot matter, else Unknown
//! ```
//!
//! A client that gets Unknown is told REQUEST_TIMED_OUT, and looks before it asks again. Nothing here knows how a question
//! travels.

use super::messages::{Ask, Refusal, Reply, TopicRef};
use crate::error::ErrorCode;

/// The outcome of one attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Attempt {
    Said(Reply),
    /// The question never left, or no controller is known.
    NotSent(String),
    /// The question may have arrived.
    Lost(String),
}

/// The next step of an asker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    Answer(Reply),
    /// Ask again. The words say what stood in the way.
    Again(String),
}

/// A question on its way, with what earlier attempts leave behind.
#[derive(Debug)]
pub struct Forwarded {
    repeats: bool,
    /// An earlier attempt may have been obeyed.
    doubted: bool,
}

impl Forwarded {
    /// A question that has not left yet.
    #[must_use]
    pub fn new(ask: &Ask) -> Forwarded {
        Forwarded { repeats: may_repeat(ask), doubted: false }
    }

    /// The step that follows an attempt. An answer in doubt makes a later "unknown topic" a success.
    pub fn judge(&mut self, attempt: Attempt) -> Step {
        match attempt {
            Attempt::NotSent(why) => Step::Again(why),
            Attempt::Said(Reply::Failed(refusal)) if refusal.code == ErrorCode::NotController => {
                Step::Again(refusal.message)
            }
            Attempt::Lost(why) | Attempt::Said(Reply::Unknown(why)) => {
                if !self.repeats {
                    return Step::Answer(Reply::Unknown(why));
                }
                self.doubted = true;
                Step::Again(why)
            }
            Attempt::Said(reply) => Step::Answer(self.settled(reply)),
        }
    }

    /// The answer when the time is up. The question may have been obeyed only if an attempt was in doubt.
    #[must_use]
    pub fn too_late(&self, why: &str) -> Reply {
        Reply::Unknown(format!("no controller has answered in time: {why}"))
    }

    /// A topic that an earlier attempt deleted is not unknown: the deletion has succeeded.
    fn settled(&self, reply: Reply) -> Reply {
        match reply {
            Reply::Deleted(outcomes, index) if self.doubted => {
                let gone = |refusal: &Refusal| refusal.code == ErrorCode::UnknownTopicId;
                let outcomes = outcomes.into_iter().map(|(name, id, outcome)| match outcome {
                    Err(refusal) if gone(&refusal) => (name, id, Ok(())),
                    outcome => (name, id, outcome),
                });
                Reply::Deleted(outcomes.collect(), index)
            }
            reply => reply,
        }
    }
}

/// Whether asking again changes nothing that the first attempt did not change (R44).
fn may_repeat(ask: &Ask) -> bool {
    match ask {
        Ask::Found { .. }
        | Ask::Register { .. }
        | Ask::CreateTopics { .. }
        | Ask::ProducerIds
        | Ask::Opened(_)
        | Ask::RenewEpochs { .. } => true,
        Ask::DeleteTopics(topics) => topics.iter().all(|topic| matches!(topic, TopicRef::Id(_))),
        // An ISR proposal is asked again by its proposer, under a new number (R40).
        // A late second unclean election could lose records of the leader that the first one made.
        Ask::CreatePartitions { .. }
        | Ask::AlterConfigs { .. }
        | Ask::ElectLeaders { .. }
        | Ask::AlterIsr { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TopicId;

    fn failed(code: ErrorCode) -> Attempt {
        Attempt::Said(Reply::Failed(Refusal { code, message: "words".to_owned() }))
    }

    #[test]
    fn a_question_that_was_never_proposed_is_asked_again() {
        let ask = Ask::AlterConfigs { broker_id: 1, alterations: Vec::new(), validate_only: false };
        let mut forwarded = Forwarded::new(&ask);
        for attempt in [failed(ErrorCode::NotController), Attempt::NotSent("words".to_owned())] {
            assert_eq!(forwarded.judge(attempt), Step::Again("words".to_owned()));
        }
        assert!(matches!(forwarded.judge(failed(ErrorCode::InvalidRequest)), Step::Answer(Reply::Failed(_))));
    }

    #[test]
    fn an_unknown_outcome_is_asked_again_only_where_that_cannot_matter() {
        let name = |topic| Ask::DeleteTopics(vec![topic]);
        let rows = [
            (Ask::ProducerIds, true),
            (Ask::CreateTopics { topics: Vec::new(), validate_only: false }, true),
            (name(TopicRef::Id(TopicId([1; 16]))), true),
            (name(TopicRef::Name("t".into())), false),
            (Ask::CreatePartitions { topics: Vec::new(), validate_only: false }, false),
        ];
        for (ask, again) in rows {
            for attempt in [Attempt::Lost("w".into()), Attempt::Said(Reply::Unknown("w".into()))] {
                let step = Forwarded::new(&ask).judge(attempt);
                assert_eq!(matches!(step, Step::Again(_)), again, "{ask:?}: {step:?}");
            }
        }
    }

    #[test]
    fn a_deletion_that_succeeded_unheard_is_a_success() {
        let id = TopicId([1; 16]);
        let gone = || {
            let refusal = Refusal { code: ErrorCode::UnknownTopicId, message: String::new() };
            Attempt::Said(Reply::Deleted(vec![(None, id, Err(refusal))], 7))
        };
        let mut forwarded = Forwarded::new(&Ask::DeleteTopics(vec![TopicRef::Id(id)]));
        assert!(matches!(forwarded.judge(gone()), Step::Answer(Reply::Deleted(o, 7)) if o[0].2.is_err()));
        forwarded.judge(Attempt::Lost(String::new()));
        assert_eq!(forwarded.judge(gone()), Step::Answer(Reply::Deleted(vec![(None, id, Ok(()))], 7)));
    }
}
