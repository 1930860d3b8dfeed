//! Producer ids: the controller gives them out in blocks, and a node hands a block's ids to producers one by one.
//!
//! ```text
//!   image: next free id ─> record: next free id + 1000 ─> committed ─> Reply ─> ProducerIdBlock ─> id, id, id, …
//! ```
//!
//! One commit serves a thousand producers. The rest of a block is lost when a node ends, because an id must never be
//! given twice. This file does not ask the controller; the caller does.

use super::controller::{PRODUCER_ID_BLOCK, Refusal, Reply};
use crate::error::ErrorCode;
use std::ops::Range;

/// The rest of the block of ids that a node holds.
#[derive(Debug, Default)]
pub struct ProducerIdBlock {
    left: Range<i64>,
}

impl ProducerIdBlock {
    /// The next id; none if the controller has to give a new block first.
    pub fn take(&mut self) -> Option<i64> {
        self.left.next()
    }

    /// Replaces the rest of the block by the controller's answer.
    pub fn refill(&mut self, said: Reply) -> Result<(), Refusal> {
        let Reply::ProducerIds(first) = said else {
            return Err(match said {
                Reply::Failed(_) => said.refusal(),
                // Ids that are lost do no harm, so the producer need not look before it asks again.
                Reply::Unknown(why) => unusable(&why),
                _ => unusable("the controller gave no producer ids: ask again"),
            });
        };
        self.left = first..first.saturating_add(PRODUCER_ID_BLOCK);
        if self.left.is_empty() { Err(unusable("no producer ids are left in this cluster")) } else { Ok(()) }
    }
}

fn unusable(message: &str) -> Refusal {
    Refusal { code: ErrorCode::UnknownServerError, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_gives_each_id_once_and_then_wants_another() {
        let mut block = ProducerIdBlock::default();
        assert_eq!(block.take(), None);
        assert_eq!(block.refill(Reply::ProducerIds(3000)), Ok(()));
        let all: Vec<i64> = std::iter::from_fn(|| block.take()).collect();
        assert_eq!((all.len(), all.first(), all.last()), (1000, Some(&3000), Some(&3999)));
    }

    #[test]
    fn an_answer_without_ids_is_told_in_words() {
        let refusal = |code, message: &str| Err::<(), _>(Refusal { code, message: message.to_owned() });
        let not_controller = Refusal { code: ErrorCode::NotController, message: "elsewhere".to_owned() };
        let rows = [
            (Reply::Failed(not_controller), refusal(ErrorCode::NotController, "elsewhere")),
            (Reply::Unknown("broken".to_owned()), refusal(ErrorCode::UnknownServerError, "broken")),
            (
                Reply::Done(7),
                refusal(ErrorCode::UnknownServerError, "the controller gave no producer ids: ask again"),
            ),
            (
                Reply::ProducerIds(i64::MAX),
                refusal(ErrorCode::UnknownServerError, "no producer ids are left in this cluster"),
            ),
        ];
        for (said, told) in rows {
            let mut block = ProducerIdBlock::default();
            assert_eq!(block.refill(said.clone()), told, "{said:?}");
            assert_eq!(block.take(), None, "{said:?}");
        }
    }
}
