//! IncrementalAlterConfigs: sets or resets configs of a topic or a broker, and adds words to lists or removes them.

use super::alter_configs::alter;
use super::call::{Call, Outcome};
use crate::kafka::wire::messages::{
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};
use callboard_actors::permit::Permit;
use callboard_core::metadata::{Alteration, ConfigOp, ResourceKind};

pub(super) async fn handle(call: Call, request: IncrementalAlterConfigsRequest) -> Outcome {
    let alterations: Vec<Alteration> = request
        .resources
        .into_iter()
        .map(|resource| Alteration {
            kind: ResourceKind::of(resource.resource_type),
            name: resource.resource_name,
            replace: false,
            changes: resource
                .configs
                .into_iter()
                .map(|c| (c.name, ConfigOp::of(c.config_operation), c.value))
                .collect(),
        })
        .collect();
    let outcomes = alter(&call, alterations, request.validate_only).await;
    let responses = outcomes
        .into_iter()
        .map(|(kind, resource_name, (error_code, error_message))| IncrementalAlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: kind.id(),
            resource_name,
        })
        .collect();
    call.reply(&IncrementalAlterConfigsResponse { throttle_time_ms: 0, responses }, Permit::free())
}
