//! DescribeProducers (KIP-664): the idempotent producers that a partition's leader knows.
//!
//! Without transactions the coordinator epoch and the transaction's start are always -1.

use super::call::{Call, Outcome};
use super::topic::{Unled, led};
use crate::kafka::wire::messages::{
    DescribeProducersPartitionResponse, DescribeProducersRequest, DescribeProducersResponse,
    DescribeProducersTopicResponse, ProducerState,
};
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;
use callboard_core::metadata::{Image, check_name};
use callboard_core::partition::ActiveProducer;

/// A code, and a message if there is one.
type Refused = (ErrorCode, Option<String>);

pub(super) async fn handle(call: Call, request: DescribeProducersRequest) -> Outcome {
    let image = call.context.images.current();
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let bad = check_topic(&image, &asked.name);
        let mut partitions = Vec::with_capacity(asked.partition_indexes.len());
        for index in asked.partition_indexes {
            let mut out = DescribeProducersPartitionResponse { partition_index: index, ..Default::default() };
            let result = match &bad {
                Some((code, why)) => Err((*code, Some(why.clone()))),
                None => look(&call, &image, &asked.name, index).await,
            };
            match result {
                Ok(producers) => out.active_producers = producers.into_iter().map(state).collect(),
                Err((code, message)) => {
                    let what = format!("{}-{index}", asked.name);
                    call.refused(code, &what, message.as_deref().unwrap_or("producers of a partition"));
                    (out.error_code, out.error_message) = (code.code(), message);
                }
            }
            partitions.push(out);
        }
        topics.push(DescribeProducersTopicResponse { name: asked.name, partitions });
    }
    call.reply(&DescribeProducersResponse { throttle_time_ms: 0, topics }, Permit::free())
}

fn check_topic(image: &Image, name: &str) -> Option<(ErrorCode, String)> {
    if let Err(why) = check_name(name) {
        return Some((ErrorCode::InvalidTopicException, why.to_string()));
    }
    let unknown =
        || (ErrorCode::UnknownTopicOrPartition, format!("there is no topic {name}: create it first"));
    image.topic(name).is_none().then(unknown)
}

async fn look(call: &Call, image: &Image, name: &str, index: i32) -> Result<Vec<ActiveProducer>, Refused> {
    let (handle, _) = led(call, image, (name, index), -1).map_err(|unled| match unled {
        Unled::NotHere(code) => (code, None),
        Unled::Refused(reject) => (reject.code(), Some(reject.to_string())),
    })?;
    handle.producers().get().await.map_err(|reject| (reject.code(), Some(reject.to_string())))
}

fn state(producer: ActiveProducer) -> ProducerState {
    ProducerState {
        producer_id: producer.id,
        producer_epoch: i32::from(producer.epoch),
        last_sequence: producer.last_sequence,
        last_timestamp: producer.last_timestamp,
        coordinator_epoch: -1,
        current_txn_start_offset: -1,
    }
}
