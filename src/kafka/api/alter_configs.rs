//! AlterConfigs: replaces all configs of a topic or a broker. (IncrementalAlterConfigs changes some of them.)
//!
//! Both answer when the leaders on this node know the change, so the next record is judged by it.

use super::call::{Call, Outcome};
use crate::kafka::wire::messages::{AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse};
use callboard_actors::controller::Ask;
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;
use callboard_core::metadata::controller::Reply as Said;
use callboard_core::metadata::{Alteration, ConfigOp, Refusal, ResourceKind};
use std::time::Duration;

/// Longest wait for the leaders; a warning says if it was too short.
const TOLD_WITHIN: Duration = Duration::from_secs(15);

pub(super) async fn handle(call: Call, request: AlterConfigsRequest) -> Outcome {
    let alterations: Vec<Alteration> = request
        .resources
        .into_iter()
        .map(|resource| Alteration {
            kind: ResourceKind::of(resource.resource_type),
            name: resource.resource_name,
            replace: true,
            changes: resource.configs.into_iter().map(|c| (c.name, ConfigOp::Set, c.value)).collect(),
        })
        .collect();
    let outcomes = alter(&call, alterations, request.validate_only).await;
    let responses = outcomes
        .into_iter()
        .map(|(kind, resource_name, (error_code, error_message))| AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: kind.id(),
            resource_name,
        })
        .collect();
    call.reply(&AlterConfigsResponse { throttle_time_ms: 0, responses }, Permit::free())
}

/// A resource with the code and the message that the response has for it.
pub(super) type Altered = (ResourceKind, String, (i16, Option<String>));

/// Asks the controller, and waits until the leaders know the change, whichever nodes they are on.
pub(super) async fn alter(call: &Call, alterations: Vec<Alteration>, validate_only: bool) -> Vec<Altered> {
    let resources: Vec<(ResourceKind, String)> =
        alterations.iter().map(|a| (a.kind, a.name.clone())).collect();
    let broker_id = call.context.settings.broker_id;
    let ask = Ask::AlterConfigs { broker_id, alterations, validate_only };
    let said = call.context.controller.ask(ask).get().await;
    if let Said::Altered(outcomes, index) = &said
        && !validate_only
        && outcomes.iter().any(Result::is_ok)
        && !call.context.spread.served(*index, TOLD_WITHIN).await
    {
        tracing::warn!("configs are changed, and not every leader has been told yet");
    }
    let outcomes = call.altered(said, resources.len());
    let told = |((kind, name), outcome): ((ResourceKind, String), Result<(), Refusal>)| match outcome {
        Ok(()) => {
            tracing::info!(?kind, %name, validate_only, "configs changed");
            (kind, name, (ErrorCode::None.code(), None))
        }
        Err(refusal) => {
            call.refused(refusal.code, &name, &refusal.message);
            (kind, name, (refusal.code.code(), Some(refusal.message)))
        }
    };
    resources.into_iter().zip(outcomes).map(told).collect()
}
