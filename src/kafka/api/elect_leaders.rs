//! ElectLeaders (KIP-460): an operator wants the preferred leaders back, or a leader at any price.
//!
//! ```text
//!   names ─> ids of this node's image ─> controller ─> served here ─> the outcome of each partition that was named
//! ```
//! A name means the topic that this node shows at this moment (R44). Without names, each topic is told, with those of its
//! partitions whose leader has changed or cannot. `core` decides who leads.

use super::call::{Call, Outcome};
use crate::kafka::wire::messages::{
    ElectLeadersPartitionResult, ElectLeadersRequest, ElectLeadersResponse, ElectLeadersTopicResult,
};
use callboard_actors::controller::Ask;
use callboard_actors::permit::Permit;
use callboard_core::metadata::controller::{Elected, Election, Reply as Said};
use callboard_core::metadata::{Image, Refusal};
use callboard_core::{ErrorCode, TopicId, TopicPartition};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A topic with the partitions that were named, and its id where the image has it.
type Named = (String, Option<TopicId>, Vec<i32>);
type Outcomes = BTreeMap<TopicPartition, Result<(), Refusal>>;

pub(super) async fn handle(call: Call, request: ElectLeadersRequest) -> Outcome {
    let image = call.context.images.current();
    let id = |name: &str| image.by_name.get(name).copied();
    let named: Option<Vec<Named>> = request.topic_partitions.map(|topics| {
        topics
            .into_iter()
            .map(|topic| (id(&topic.topic), topic))
            .map(|(id, t)| (t.topic, id, t.partitions))
            .collect()
    });
    let election = match (call.version(), request.election_type) {
        (0, _) | (_, 0) => Ok(Election::Preferred),
        (_, 1) => Ok(Election::Unclean),
        (_, other) => {
            let message = format!("Unknown election type {other}");
            Err(Refusal { code: ErrorCode::InvalidRequest, message })
        }
    };
    let body = match (&named, election, Call::time_for(request.timeout_ms)) {
        (Some(topics), _, _) if topics.is_empty() => ElectLeadersResponse::default(),
        (_, Err(refusal), _) | (_, _, Err(refusal)) => refused(&call, named, &refusal),
        (_, Ok(election), Ok(wait)) => match elect(&call, election, named.as_deref(), wait).await {
            Ok(outcomes) => told(&call, &image, election, named, outcomes),
            Err(refusal) => refused(&call, named, &refusal),
        },
    };
    call.reply(&body, Permit::free())
}

/// Asks the controller, and waits until this node serves what it has decided.
async fn elect(
    call: &Call,
    election: Election,
    named: Option<&[Named]>,
    wait: Duration,
) -> Result<Outcomes, Refusal> {
    let partitions = named.map(|topics| {
        let known = topics.iter().filter_map(|(_, id, partitions)| Some(((*id)?, partitions)));
        known
            .flat_map(|(topic, all)| {
                all.iter().map(move |partition| TopicPartition { topic, partition: *partition })
            })
            .collect::<Vec<_>>()
    });
    if partitions.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Outcomes::new());
    }
    match call.context.controller.ask(Ask::ElectLeaders { election, partitions }).get().await {
        Said::Elected(outcomes, index) => Ok(served(call, index, wait, outcomes).await),
        said => Err(said.refusal()),
    }
}

/// Waits for the new leaders; those not served in time are told as such.
async fn served(call: &Call, index: u64, wait: Duration, outcomes: Vec<Elected>) -> Outcomes {
    let changes = outcomes.iter().any(|(_, outcome)| outcome.is_ok());
    let late = changes && !call.context.serves(index, wait).await;
    let told = |outcome: Result<(), Refusal>| match outcome {
        Ok(()) if late => {
            let message = "the leader is elected, and not served yet: look before you ask again".to_owned();
            Err(Refusal { code: ErrorCode::RequestTimedOut, message })
        }
        outcome => outcome,
    };
    outcomes.into_iter().map(|(id, outcome)| (id, told(outcome))).collect()
}

/// The outcome of each partition that was named, or of all that needed an election.
fn told(
    call: &Call,
    image: &Image,
    election: Election,
    named: Option<Vec<Named>>,
    outcomes: Outcomes,
) -> ElectLeadersResponse {
    let Some(named) = named else { return of_all(call, election, image, outcomes) };
    let results = named.into_iter().map(|(topic, id, partitions)| {
        let of = |partition: i32| {
            let known = id.and_then(|topic| outcomes.get(&TopicPartition { topic, partition }).cloned());
            let unknown = || {
                let message = format!("No such topic as {topic}");
                Err(Refusal { code: ErrorCode::UnknownTopicOrPartition, message })
            };
            result(call, election, &topic, partition, known.unwrap_or_else(unknown))
        };
        let partition_result = partitions.into_iter().map(of).collect();
        ElectLeadersTopicResult { topic, partition_result }
    });
    ElectLeadersResponse { replica_election_results: results.collect(), ..Default::default() }
}

/// Every topic, as in Kafka; one that this node's image lacks is new, and is told by the newest image.
fn of_all(call: &Call, election: Election, image: &Image, outcomes: Outcomes) -> ElectLeadersResponse {
    let newest: Arc<Image> = call.context.images.current();
    let mut topics: BTreeMap<TopicId, ElectLeadersTopicResult> = BTreeMap::new();
    for topic in image.topics.values().chain(newest.topics.values()) {
        topics.entry(topic.id).or_insert_with(|| ElectLeadersTopicResult {
            topic: topic.name.clone(),
            partition_result: Vec::new(),
        });
    }
    for (id, outcome) in outcomes {
        // A topic that no image here has was deleted meanwhile.
        let Some(told) = topics.get_mut(&id.topic) else { continue };
        let result = result(call, election, &told.topic, id.partition, outcome);
        told.partition_result.push(result);
    }
    ElectLeadersResponse { replica_election_results: topics.into_values().collect(), ..Default::default() }
}

fn result(
    call: &Call,
    election: Election,
    topic: &str,
    partition_id: i32,
    outcome: Result<(), Refusal>,
) -> ElectLeadersPartitionResult {
    let (error_code, error_message) = match outcome {
        Ok(()) => {
            tracing::info!(topic, partition = partition_id, ?election, client = %call.client.peer, "leader elected");
            (0, None)
        }
        Err(refusal) => {
            call.refused(refusal.code, &format!("{topic}-{partition_id}"), &refusal.message);
            (refusal.code.code(), Some(refusal.message))
        }
    };
    ElectLeadersPartitionResult { partition_id, error_code, error_message }
}

/// The refusal of the whole request, which each partition repeats for clients that read no other code.
fn refused(call: &Call, named: Option<Vec<Named>>, refusal: &Refusal) -> ElectLeadersResponse {
    call.refused(refusal.code, "election", &refusal.message);
    let error_code = refusal.code.code();
    let results = named.into_iter().flatten().map(|(topic, _, partitions)| {
        let of = |partition_id| ElectLeadersPartitionResult {
            partition_id,
            error_code,
            error_message: Some(refusal.message.clone()),
        };
        ElectLeadersTopicResult { topic, partition_result: partitions.into_iter().map(of).collect() }
    });
    ElectLeadersResponse { throttle_time_ms: 0, error_code, replica_election_results: results.collect() }
}
