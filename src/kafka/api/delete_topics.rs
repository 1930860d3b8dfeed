//! DeleteTopics, by name or id: the answer comes when the deletion is committed and this node no longer serves the
//! topic.

use super::call::{Call, Outcome};
use crate::kafka::wire::messages::{DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse};
use callboard_actors::controller::Ask;
use callboard_actors::permit::Permit;
use callboard_core::TopicId;
use callboard_core::metadata::controller::{DeleteOutcome, Reply as Said};
use callboard_core::metadata::{Refusal, TopicRef};

pub(super) async fn handle(call: Call, request: DeleteTopicsRequest) -> Outcome {
    // The names are those that this node shows at this moment (R44).
    let image = call.context.images.current();
    let by_name = request.topic_names.into_iter().map(|name| TopicRef::named(&image, name));
    let either = request.topics.into_iter().map(|t| match t.name {
        None => TopicRef::Id(t.topic_id),
        Some(name) if t.topic_id == TopicId::ZERO => TopicRef::named(&image, name),
        Some(name) => TopicRef::Both(name, t.topic_id),
    });
    let topics: Vec<TopicRef> = by_name.chain(either).collect();
    let outcomes: Vec<DeleteOutcome> = match delete(&call, topics.clone(), request.timeout_ms).await {
        Said::Deleted(outcomes, _) => outcomes,
        other => {
            let refusal = other.refusal();
            topics.into_iter().map(|t| failed(t, refusal.clone())).collect()
        }
    };
    let responses = outcomes
        .into_iter()
        .map(|(name, topic_id, result)| {
            let mut out = DeletableTopicResult { name, topic_id, ..DeletableTopicResult::default() };
            match result {
                Ok(()) => tracing::info!(topic = ?out.name, id = %topic_id, "topic deleted"),
                Err(refusal) => {
                    call.refused(refusal.code, out.name.as_deref().unwrap_or("-"), &refusal.message);
                    out.error_code = refusal.code.code();
                    out.error_message = Some(refusal.message);
                }
            }
            out
        })
        .collect();
    call.reply(&DeleteTopicsResponse { throttle_time_ms: 0, responses }, Permit::free())
}

async fn delete(call: &Call, topics: Vec<TopicRef>, timeout_ms: i32) -> Said {
    let wait = match Call::time_for(timeout_ms) {
        Ok(wait) => wait,
        Err(refusal) => return Said::Failed(refusal),
    };
    let said = call.context.controller.ask(Ask::DeleteTopics(topics)).get().await;
    if let Said::Deleted(_, index) = &said
        && !call.context.serves(*index, wait).await
    {
        tracing::warn!("a deletion is committed and not carried out yet");
    }
    said
}

fn failed(topic: TopicRef, refusal: Refusal) -> DeleteOutcome {
    match topic {
        TopicRef::Name(name) | TopicRef::Named(name, _) => (Some(name), TopicId::ZERO, Err(refusal)),
        TopicRef::Id(id) => (None, id, Err(refusal)),
        TopicRef::Both(name, id) => (Some(name), id, Err(refusal)),
    }
}
