//! DescribeLogDirs: the data directory as Kafka's one log directory, with the sizes of its partitions and of its
//! volume.
//!
//! A size counts a partition's batches in the journal and in redb. Like Kafka, the answer leaves unknown partitions
//! out.

use super::call::{Call, Outcome};
use crate::kafka::wire::messages::{
    DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};
use callboard_actors::permit::Permit;
use callboard_core::metadata::{Image, Topic};
use callboard_core::{ErrorCode, ReplicaId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of each replica, by shard; a shard that did not answer is missing.
type Sizes = BTreeMap<u16, BTreeMap<ReplicaId, u64>>;

pub(super) async fn handle(call: Call, request: DescribeLogDirsRequest) -> Outcome {
    let log_dir = call.context.settings.data_dir.clone();
    let result = match sizes(&call).await {
        Ok(sizes) => {
            let (total_bytes, usable_bytes) = volume(&call);
            let topics = topics(&call, request.topics, &sizes);
            DescribeLogDirsResult { log_dir, topics, total_bytes, usable_bytes, ..Default::default() }
        }
        Err(why) => {
            let code = ErrorCode::KafkaStorageError;
            call.refused(code, &log_dir, &why);
            DescribeLogDirsResult { log_dir, error_code: code.code(), ..Default::default() }
        }
    };
    call.reply(&DescribeLogDirsResponse { results: vec![result], ..Default::default() }, Permit::free())
}

/// Asks each shard once. A shard that does not answer has no sizes; if none answers, that is an error.
async fn sizes(call: &Call) -> Result<Sizes, String> {
    let (mut sizes, mut failed) = (Sizes::new(), None);
    for shard in &call.context.shards {
        match shard.sizes().await {
            Ok(of) => _ = sizes.insert(shard.index(), of),
            Err(error) => {
                tracing::warn!(shard = shard.index(), "its sizes are not known: {error}");
                failed = Some(error.to_string());
            }
        }
    }
    match failed {
        Some(why) if sizes.is_empty() => Err(why),
        _ => Ok(sizes),
    }
}

/// Total and usable bytes; −1 if they are unknown.
fn volume(call: &Call) -> (i64, i64) {
    let stats = call.context.shards.first().map(|shard| shard.stats());
    let bytes = |n: u64| if n == 0 { -1 } else { i64::try_from(n).unwrap_or(i64::MAX) };
    stats.map_or((-1, -1), |stats| (bytes(stats.volume_bytes), bytes(stats.usable_bytes)))
}

fn topics(
    call: &Call,
    asked: Option<Vec<DescribableLogDirTopic>>,
    sizes: &Sizes,
) -> Vec<DescribeLogDirsTopic> {
    let image: &Image = &call.context.images.current();
    let all = |topic: &Topic| (0..topic.partitions.len() as i32).collect::<BTreeSet<i32>>();
    let mut wanted: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    match &asked {
        None => wanted.extend(image.topics.values().map(|topic| (topic.name.as_str(), all(topic)))),
        Some(topics) => {
            for topic in topics {
                wanted.entry(&topic.topic).or_default().extend(&topic.partitions);
            }
        }
    }
    let mut out = Vec::new();
    for (name, partitions) in wanted {
        let Some(topic) = image.topic(name) else { continue };
        let partitions: Vec<DescribeLogDirsPartition> = partitions
            .into_iter()
            .filter_map(|partition_index| {
                let id = TopicPartition { topic: topic.id, partition: partition_index };
                let (shard, replica) = call.context.directory.get(id)?.home_shard()?;
                // Like Kafka, a partition whose storage failed is left out, because an unknown size is not an empty
                // one.
                let bytes = sizes.get(&shard)?.get(&replica).copied().unwrap_or(0);
                let partition_size = i64::try_from(bytes).unwrap_or(i64::MAX);
                Some(DescribeLogDirsPartition { partition_index, partition_size, ..Default::default() })
            })
            .collect();
        if !partitions.is_empty() {
            out.push(DescribeLogDirsTopic { name: name.to_owned(), partitions });
        }
    }
    out
}
