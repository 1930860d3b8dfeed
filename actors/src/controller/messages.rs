//! Messages to the controller's actor, and the answer that stands in when the actor has ended.

use crate::reply::{Reply, Unavailable};
use callboard_core::ErrorCode;
use callboard_core::metadata::controller::{Ask, Reply as Said};
use callboard_core::metadata::{Committed, Judgement, ProposalId, ProposeResult, Refusal};

impl Unavailable for Said {
    fn unavailable() -> Said {
        let message = "the controller is not available: ask again".to_owned();
        Said::Failed(Refusal { code: ErrorCode::NotController, message })
    }
}

/// A message to the controller.
#[derive(Debug)]
pub enum ControllerMsg {
    Ask(Ask, Reply<Said>),
    /// The next event of the metadata log's stream.
    Log(Committed),
    /// The metadata log's answer to a proposal.
    Proposed(ProposalId, ProposeResult),
    /// The judge of sessions has found something out.
    Judged(Judgement),
    /// A deadline of the machine has come.
    Tick,
}
