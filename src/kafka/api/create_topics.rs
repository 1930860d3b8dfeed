//! CreateTopics: makes topics, and answers when this node serves them.

use super::call::{Call, Outcome};
use crate::kafka::context::fresh_id;
use crate::kafka::wire::messages::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use callboard_actors::permit::Permit;
use callboard_core::metadata::NewTopic;
use callboard_core::metadata::controller::{CreatedTopic, Reply as Said, TopicOutcome};
use std::collections::BTreeSet;

pub(super) async fn handle(call: Call, request: CreateTopicsRequest) -> Outcome {
    let names: Vec<String> = request.topics.iter().map(|t| t.name.clone()).collect();
    let topics = request
        .topics
        .into_iter()
        .map(|t| NewTopic {
            partitions: t.num_partitions,
            replication_factor: t.replication_factor,
            assignments: t.assignments.into_iter().map(|a| (a.partition_index, a.broker_ids)).collect(),
            configs: t.configs.into_iter().map(|c| (c.name, c.value)).collect(),
            ..NewTopic::new(&t.name, fresh_id())
        })
        .collect();
    let said = match Call::time_for(request.timeout_ms) {
        Ok(wait) => call.context.create_topics(topics, request.validate_only, wait).await,
        Err(refusal) => Said::Failed(refusal),
    };
    let outcomes: Vec<TopicOutcome> = match said {
        Said::Created(outcomes, _) => outcomes,
        other => vec![Err(other.refusal()); names.len()],
    };
    let mut told = BTreeSet::new();
    let topics = names
        .into_iter()
        .zip(outcomes)
        // Like Kafka, a topic that was named twice is refused once.
        .filter(|(name, _)| told.insert(name.clone()))
        .map(|(name, outcome)| match outcome {
            Ok(topic) => {
                tracing::info!(topic = %name, id = %topic.id, validate_only = request.validate_only, "topic created");
                created(&call, name, &topic)
            }
            Err(refusal) => {
                call.refused(refusal.code, &name, &refusal.message);
                CreatableTopicResult {
                    name,
                    error_code: refusal.code.code(),
                    error_message: Some(refusal.message),
                    configs: Some(Vec::new()),
                    ..CreatableTopicResult::default()
                }
            }
        })
        .collect();
    call.reply(&CreateTopicsResponse { throttle_time_ms: 0, topics }, Permit::free())
}

fn created(call: &Call, name: String, topic: &CreatedTopic) -> CreatableTopicResult {
    let (settings, image) = (&call.context.settings, call.context.images.current());
    let layers = image.layers(settings.broker_id, &settings.statics);
    let configs = image
        .topic_entries(&topic.configs, topic.replication_factor, &layers)
        .into_iter()
        .map(|entry| CreatableTopicConfigs {
            name: entry.name.to_owned(),
            value: entry.value,
            read_only: entry.read_only,
            config_source: entry.source as i8,
            is_sensitive: false,
        })
        .collect();
    CreatableTopicResult {
        name,
        // Like Kafka, also of a topic that was only checked and not made.
        topic_id: topic.id,
        num_partitions: topic.partitions as i32,
        replication_factor: topic.replication_factor as i16,
        configs: Some(configs),
        ..CreatableTopicResult::default()
    }
}
