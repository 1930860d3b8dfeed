//! CreatePartitions: topics grow. The answer comes when this node serves the new partitions, or when the client's
//! time is over.

use super::call::{Call, Outcome};
use crate::kafka::wire::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopicResult,
};
use callboard_actors::controller::Ask;
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;
use callboard_core::metadata::controller::Reply as Said;
use callboard_core::metadata::{MorePartitions, Refusal};
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) async fn handle(call: Call, request: CreatePartitionsRequest) -> Outcome {
    let names: Vec<String> = request.topics.iter().map(|t| t.name.clone()).collect();
    // The names are those that this node shows at this moment (R44).
    let image = call.context.images.current();
    let topics = request
        .topics
        .into_iter()
        .map(|t| {
            let assignments = t.assignments.map(|all| all.into_iter().map(|a| a.broker_ids).collect());
            MorePartitions::named(&image, t.name, t.count, assignments)
        })
        .collect();
    let validate_only = request.validate_only;
    let outcomes = match Call::time_for(request.timeout_ms) {
        Err(refusal) => vec![Err(refusal); names.len()],
        Ok(wait) => {
            match call.context.controller.ask(Ask::CreatePartitions { topics, validate_only }).get().await {
                Said::Altered(outcomes, index) if !validate_only => {
                    served(&call, index, wait, outcomes).await
                }
                said => call.altered(said, names.len()),
            }
        }
    };
    let mut told = BTreeSet::new();
    let results = names
        .into_iter()
        .zip(outcomes)
        // Like Kafka, a topic named twice is refused once.
        .filter(|(name, _)| told.insert(name.clone()))
        .map(|(name, outcome)| {
            let mut out = CreatePartitionsTopicResult { name, ..Default::default() };
            match outcome {
                Ok(()) => tracing::info!(topic = %out.name, validate_only, "partitions added"),
                Err(refusal) => {
                    call.refused(refusal.code, &out.name, &refusal.message);
                    (out.error_code, out.error_message) = (refusal.code.code(), Some(refusal.message));
                }
            }
            out
        })
        .collect();
    call.reply(&CreatePartitionsResponse { throttle_time_ms: 0, results }, Permit::free())
}

/// Waits for the new partitions; those not served in time are told as such.
async fn served(
    call: &Call,
    index: u64,
    wait: Duration,
    outcomes: Vec<Result<(), Refusal>>,
) -> Vec<Result<(), Refusal>> {
    if outcomes.iter().all(Result::is_err) || call.context.serves(index, wait).await {
        return outcomes;
    }
    let late = || {
        let message = "the partitions are created, and not served yet: ask again".to_owned();
        Refusal { code: ErrorCode::RequestTimedOut, message }
    };
    outcomes.into_iter().map(|outcome| outcome.and_then(|()| Err(late()))).collect()
}
