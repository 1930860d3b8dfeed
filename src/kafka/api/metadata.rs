//! Metadata, with auto-create: a missing topic is created if that is allowed, and answered with its leader.

use super::call::{Call, Outcome};
use super::describe_cluster;
use super::topic::{ALL_OPERATIONS, describe_partition};
use crate::kafka::wire::messages::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use callboard_actors::permit::Permit;
use callboard_core::metadata::controller::Reply as Said;
use callboard_core::metadata::{Broker, Told, Topic, check_name, is_internal};
use callboard_core::{ErrorCode, TopicId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// First version that tells a leader without the client's listener from no leader.
const LISTENERS_FROM: i16 = 6;
/// Longest wait for an auto-created topic.
const CREATE_WAIT: Duration = Duration::from_secs(15);

pub(super) async fn handle(call: Call, request: MetadataRequest) -> Outcome {
    let everything = match &request.topics {
        None => true,
        Some(topics) => topics.is_empty() && call.version() == 0,
    };
    let mut asked = request.topics.unwrap_or_default();
    // Like Kafka, a topic named twice is answered once.
    let mut seen = BTreeSet::new();
    asked.retain(|topic| seen.insert((topic.name.clone(), topic.topic_id)));
    if let Some(body) = ids_too_early(call.version(), &asked) {
        call.refused(ErrorCode::InvalidRequest, "topic ids", "this version asks for topics by name only");
        return call.reply(&body, Permit::free());
    }
    let refused = if request.allow_auto_topic_creation && call.context.settings.auto_create_topics_enable {
        create_missing(&call, &asked).await
    } else {
        BTreeMap::new()
    };
    let image = call.context.images.current();
    let told = call.told(&image);
    let mut topics: Vec<MetadataResponseTopic> = if everything {
        image.by_name.keys().filter_map(|name| image.topic(name)).map(|t| describe(&call, &told, t)).collect()
    } else {
        asked.iter().map(|topic| answer_one(&call, &told, topic, &refused)).collect()
    };
    if request.include_topic_authorized_operations {
        let known = topics.iter_mut().filter(|t| t.error_code == 0);
        known.for_each(|t| t.topic_authorized_operations = ALL_OPERATIONS);
    }
    let mut body = MetadataResponse {
        brokers: told.live().filter_map(|b| broker(&call, b)).collect(),
        cluster_id: Some(image.cluster_id.clone().unwrap_or_default()),
        controller_id: told.controller(),
        topics,
        ..MetadataResponse::default()
    };
    if request.include_cluster_authorized_operations {
        body.cluster_authorized_operations = describe_cluster::ALL_OPERATIONS;
    }
    call.reply(&body, Permit::free())
}

/// Refuses ids in versions 10 and 11, whose field for them must be empty. Like Kafka, the whole request is refused.
fn ids_too_early(version: i16, asked: &[MetadataRequestTopic]) -> Option<MetadataResponse> {
    let by_id = |topic: &MetadataRequestTopic| topic.name.is_none() || topic.topic_id != TopicId::ZERO;
    if !(10..=11).contains(&version) || !asked.iter().any(by_id) {
        return None;
    }
    let topics = asked.iter().map(|topic| MetadataResponseTopic {
        error_code: ErrorCode::InvalidRequest.code(),
        // Before version 12 a missing name is written as the empty one.
        name: Some(topic.name.clone().unwrap_or_default()),
        topic_id: topic.topic_id,
        ..MetadataResponseTopic::default()
    });
    Some(MetadataResponse { topics: topics.collect(), controller_id: -1, ..MetadataResponse::default() })
}

/// Creates the missing topics that are asked for by name, and returns those that were refused.
async fn create_missing(call: &Call, asked: &[MetadataRequestTopic]) -> BTreeMap<String, ErrorCode> {
    let image = call.context.images.current();
    let by_name = asked.iter().filter(|t| t.topic_id == TopicId::ZERO);
    let mut names: Vec<&str> = by_name.filter_map(|t| t.name.as_deref()).collect();
    names.retain(|name| image.topic(name).is_none());
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return BTreeMap::new();
    }
    let topics = names.iter().map(|name| call.context.topic_on_request(name)).collect();
    let all = |code| names.iter().map(|name| ((*name).to_owned(), code)).collect();
    match call.context.create_topics(topics, false, CREATE_WAIT).await {
        Said::Created(outcomes, _) => {
            let mut refused = BTreeMap::new();
            for (name, outcome) in names.iter().zip(outcomes) {
                match outcome {
                    Ok(topic) => {
                        tracing::info!(topic = %topic.name, id = %topic.id, "topic created on request")
                    }
                    Err(refusal) if refusal.code == ErrorCode::TopicAlreadyExists => {
                        // Another request created it meanwhile; the client asks again.
                        refused.insert((*name).to_owned(), ErrorCode::LeaderNotAvailable);
                    }
                    Err(refusal) => {
                        call.refused(refusal.code, name, &refusal.message);
                        refused.insert((*name).to_owned(), refusal.code);
                    }
                }
            }
            refused
        }
        said @ (Said::Failed(_) | Said::Unknown(_)) => {
            let refusal = said.refusal();
            call.refused(refusal.code, &names.join(","), &refusal.message);
            all(ErrorCode::LeaderNotAvailable)
        }
        _ => all(ErrorCode::UnknownServerError),
    }
}

fn answer_one(
    call: &Call,
    told: &Told<'_>,
    asked: &MetadataRequestTopic,
    refused: &BTreeMap<String, ErrorCode>,
) -> MetadataResponseTopic {
    // As in Kafka, the id counts if both name and id are given.
    let named = asked.name.as_ref().filter(|_| asked.topic_id == TopicId::ZERO);
    let (found, code) = match named {
        Some(name) => {
            let missing = match check_name(name) {
                Err(_) => ErrorCode::InvalidTopicException,
                Ok(()) => refused.get(name).copied().unwrap_or(ErrorCode::UnknownTopicOrPartition),
            };
            (told.image.topic(name), missing)
        }
        None => (told.image.topics.get(&asked.topic_id), ErrorCode::UnknownTopicId),
    };
    match found {
        Some(topic) => describe(call, told, topic),
        None => MetadataResponseTopic {
            error_code: code.code(),
            name: named.cloned(),
            topic_id: asked.topic_id,
            ..MetadataResponseTopic::default()
        },
    }
}

fn describe(call: &Call, told: &Told<'_>, topic: &Topic) -> MetadataResponseTopic {
    let partitions = (0..).take(topic.partitions.len());
    let partition = |index| Some(as_of(call.version(), told, describe_partition(call, told, topic, index)?));
    MetadataResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: partitions.filter_map(partition).collect(),
        ..MetadataResponseTopic::default()
    }
}

/// A broker with the address that this client reaches it at.
fn broker(call: &Call, broker: &Broker) -> Option<MetadataResponseBroker> {
    let (host, port) = call.address_of(broker)?;
    let (port, rack) = (i32::from(port), broker.rack.clone());
    Some(MetadataResponseBroker { node_id: broker.id, host, port, rack })
}

/// A partition in the words of a version. The first clients take an id that is no listed broker for a mistake, so they
/// are told only replicas that they can reach, and an error if some are left out.
fn as_of(version: i16, told: &Told<'_>, mut p: MetadataResponsePartition) -> MetadataResponsePartition {
    if version < LISTENERS_FROM && p.error_code == ErrorCode::ListenerNotFound.code() {
        p.error_code = ErrorCode::LeaderNotAvailable.code();
    }
    if version == 0 {
        let all = p.replica_nodes.len() + p.isr_nodes.len();
        for ids in [&mut p.replica_nodes, &mut p.isr_nodes] {
            ids.retain(|id| told.node(*id).is_some());
        }
        if p.error_code == 0 && p.replica_nodes.len() + p.isr_nodes.len() < all {
            p.error_code = ErrorCode::ReplicaNotAvailable.code();
        }
    }
    p
}
