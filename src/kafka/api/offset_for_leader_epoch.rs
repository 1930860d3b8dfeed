//! OffsetForLeaderEpoch: the end of a leader's epoch, by which a consumer finds out whether its log was cut
//! (KIP-320).

use super::call::{Call, Outcome};
use super::topic::find;
use crate::kafka::wire::messages::{
    LeaderEpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};
use callboard_actors::permit::Permit;
use callboard_core::partition::{View, last_offset_for};
use callboard_core::{ErrorCode, LeaderEpoch, Offset, TopicId};

pub(super) async fn handle(call: Call, request: OffsetForLeaderEpochRequest) -> Outcome {
    let image = call.context.images.current();
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for wanted in asked.partitions {
            let found = find(&call.context, &image, &asked.topic, TopicId::ZERO, false, wanted.partition);
            let result = found.and_then(|handle| look(&handle.view(), &wanted));
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

fn look(view: &View, wanted: &OffsetForLeaderPartition) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
    view.role.serves().map_err(|reject| reject.code())?;
    match wanted.current_leader_epoch {
        -1 => {}
        epoch if epoch < view.leader_epoch => return Err(ErrorCode::FencedLeaderEpoch),
        epoch if epoch > view.leader_epoch => return Err(ErrorCode::UnknownLeaderEpoch),
        _ => {}
    }
    Ok(last_offset_for(&view.epochs, view.leader_epoch, wanted.leader_epoch, view.end))
}
