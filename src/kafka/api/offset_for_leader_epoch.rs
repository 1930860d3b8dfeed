//! OffsetForLeaderEpoch: the end of a leader's epoch, by which a consumer finds out whether its log was cut
//! (KIP-320).

use super::call::{Call, Outcome};
use super::topic::led;
use crate::kafka::wire::messages::{
    LeaderEpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
};
use callboard_actors::permit::Permit;
use callboard_core::partition::last_offset_for;

pub(super) async fn handle(call: Call, request: OffsetForLeaderEpochRequest) -> Outcome {
    let image = call.context.images.current();
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for wanted in asked.partitions {
            let named = (asked.topic.as_str(), wanted.partition);
            let led = led(&call, &image, named, wanted.current_leader_epoch);
            let result = led.map_err(|unled| unled.code()).map(|(_, view)| {
                last_offset_for(&view.epochs, view.leader_epoch, wanted.leader_epoch, view.end)
            });
            let mut out = LeaderEpochEndOffset { partition: wanted.partition, ..Default::default() };
            match result {
                Ok(end) => (out.leader_epoch, out.end_offset) = end.unwrap_or((-1, -1)),
                Err(code) => {
                    let what = format!("{}-{}", asked.topic, wanted.partition);
                    call.refused(code, &what, &format!("end of leader epoch {}", wanted.leader_epoch));
                    out.error_code = code.code();
                }
            }
            partitions.push(out);
        }
        topics.push(OffsetForLeaderTopicResult { topic: asked.topic, partitions });
    }
    call.reply(&OffsetForLeaderEpochResponse { topics, ..Default::default() }, Permit::free())
}
