//! DescribeTopicPartitions (KIP-966): topics by name, a bounded number of partitions at a time; a cursor says where
//! the next request goes on.
//!
//! ```text
//!   names asked for, or all ─> sorted, from the cursor's on ─> partitions until the limit ─> next cursor
//! ```
//! The lists of eligible leader replicas are those of the image.

use super::call::{Call, Outcome};
use super::topic::{ALL_OPERATIONS, describe_partition};
use crate::kafka::wire::messages::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
    MetadataResponsePartition, TopicPartitionsCursor,
};
use callboard_actors::permit::Permit;
use callboard_core::metadata::{Image, Topic, check_name, is_internal};
use callboard_core::{ErrorCode, limits};
use std::collections::BTreeSet;

pub(super) async fn handle(call: Call, request: DescribeTopicPartitionsRequest) -> Outcome {
    let image = call.context.images.current();
    let names = match names(&image, &request) {
        Ok(names) => names,
        Err(why) => {
            call.refused(ErrorCode::InvalidRequest, "cursor", why);
            let error_code = ErrorCode::InvalidRequest.code();
            let refused = request.topics.into_iter().map(|topic| DescribeTopicPartitionsResponseTopic {
                error_code,
                name: Some(topic.name),
                ..Default::default()
            });
            let body = DescribeTopicPartitionsResponse { topics: refused.collect(), ..Default::default() };
            return call.reply(&body, Permit::free());
        }
    };
    let told = call.told(&image);
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut left = limit.clamp(1, limits::DESCRIBED_PARTITIONS_MAX);
    let mut body = DescribeTopicPartitionsResponse::default();
    for name in names {
        let from = request.cursor.as_ref().filter(|cursor| cursor.topic_name == name);
        let from = from.map_or(0, |cursor| cursor.partition_index);
        if left == 0 {
            body.next_cursor = Some(TopicPartitionsCursor { topic_name: name, partition_index: 0 });
            break;
        }
        let Some(topic) = image.topic(&name) else {
            let code = missing(&name);
            call.refused(code, &name, "partitions of a topic");
            body.topics.push(answer(name, code));
            continue;
        };
        let partitions: Vec<_> = (from..=i32::MAX)
            .map_while(|index| Some(partition(describe_partition(&call, &told, topic, index)?, topic)))
            .take(left)
            .collect();
        left -= partitions.len();
        let next =
            partitions.last().map(|p| p.partition_index + 1).filter(|next| topic.partition(*next).is_some());
        body.topics.push(DescribeTopicPartitionsResponseTopic {
            topic_id: topic.id,
            partitions,
            ..answer(name.clone(), ErrorCode::None)
        });
        if let Some(partition_index) = next {
            body.next_cursor = Some(TopicPartitionsCursor { topic_name: name, partition_index });
            break;
        }
    }
    call.reply(&body, Permit::free())
}

/// The names of the topics in order, or what is wrong with the cursor.
fn names(image: &Image, request: &DescribeTopicPartitionsRequest) -> Result<BTreeSet<String>, &'static str> {
    let from = request.cursor.as_ref().map_or("", |cursor| cursor.topic_name.as_str());
    let names: BTreeSet<String> = if request.topics.is_empty() {
        let later = image.by_name.range(from.to_owned()..).map(|(name, _)| name.clone());
        // Each topic has at least one partition, so no answer needs more names.
        later.take(limits::DESCRIBED_PARTITIONS_MAX + 1).collect()
    } else {
        let asked = request.topics.iter().map(|topic| topic.name.as_str());
        asked.filter(|name| *name >= from).map(str::to_owned).collect()
    };
    match &request.cursor {
        Some(cursor) if cursor.partition_index < 0 => Err("the cursor's partition is below 0"),
        // A cursor over all topics may name one that was deleted since.
        Some(cursor) if !request.topics.is_empty() && !names.contains(&cursor.topic_name) => {
            Err("the cursor's topic is not among those asked for")
        }
        _ => Ok(names),
    }
}

fn missing(name: &str) -> ErrorCode {
    match check_name(name) {
        Ok(()) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    }
}

fn answer(name: String, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        is_internal: is_internal(&name),
        name: Some(name),
        topic_authorized_operations: ALL_OPERATIONS,
        ..Default::default()
    }
}

fn partition(p: MetadataResponsePartition, topic: &Topic) -> DescribeTopicPartitionsResponsePartition {
    let stored = topic.partition(p.partition_index);
    DescribeTopicPartitionsResponsePartition {
        error_code: p.error_code,
        partition_index: p.partition_index,
        leader_id: p.leader_id,
        leader_epoch: p.leader_epoch,
        replica_nodes: p.replica_nodes,
        isr_nodes: p.isr_nodes,
        eligible_leader_replicas: Some(stored.map_or_else(Vec::new, |p| p.elr.clone())),
        last_known_elr: Some(stored.map_or_else(Vec::new, |p| p.last_known_elr.clone())),
        offline_replicas: p.offline_replicas,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::wire::messages::DescribeTopicPartitionsTopic;
    use callboard_core::TopicId;

    #[test]
    fn names_are_sorted_and_start_at_the_cursor() {
        let mut image = Image::default();
        for name in ["b", "a", "d"] {
            image.by_name.insert(name.to_owned(), TopicId::ZERO);
        }
        let ask = |asked: &[&str], cursor: Option<(&str, i32)>| {
            let topic = |name: &&str| DescribeTopicPartitionsTopic { name: (*name).to_owned() };
            let cursor = cursor.map(|(name, partition_index)| TopicPartitionsCursor {
                topic_name: name.to_owned(),
                partition_index,
            });
            let topics = asked.iter().map(topic).collect();
            let request = DescribeTopicPartitionsRequest { topics, cursor, ..Default::default() };
            names(&image, &request).map(|names| names.into_iter().collect::<Vec<_>>().join(""))
        };
        let all = |text: &str| Ok(text.to_owned());
        assert_eq!(ask(&[], None), all("abd"));
        assert_eq!(ask(&[], Some(("c", 7))), all("d"), "the cursor's topic may be gone");
        assert_eq!(ask(&["d", "x", "a", "x"], None), all("adx"));
        assert_eq!(ask(&["d", "x", "a"], Some(("d", 1))), all("dx"));
        assert!(ask(&["d", "a"], Some(("b", 0))).is_err());
        assert!(ask(&["d"], Some(("d", -1))).is_err() && ask(&[], Some(("d", i32::MIN))).is_err());
    }
}
