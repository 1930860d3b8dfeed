//! ListConfigResources: everything that has configs or could have them. That is this broker, its loggers and the
//! topics, and groups and subscriptions with configs. Version 0 asks for subscriptions alone.

use super::call::{Call, Outcome};
use crate::kafka::wire::messages::{ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse};
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;
use callboard_core::metadata::ResourceKind::{self, Broker, BrokerLogger, ClientMetrics, Group, Topic};

pub(super) async fn handle(call: Call, request: ListConfigResourcesRequest) -> Outcome {
    let asked: Vec<ResourceKind> = match (call.version(), &request.resource_types[..]) {
        (0, _) => vec![ClientMetrics],
        (_, []) => vec![Topic, Broker, BrokerLogger, ClientMetrics, Group],
        (_, types) => types.iter().map(|kind| ResourceKind::of(*kind)).collect(),
    };
    if let Some(unknown) = asked.iter().find(|kind| matches!(kind, ResourceKind::Unknown(_))) {
        let code = ErrorCode::UnsupportedVersion;
        call.refused(code, &unknown.id().to_string(), "a type of resource that nobody knows");
        let body = ListConfigResourcesResponse { error_code: code.code(), ..Default::default() };
        return call.reply(&body, Permit::free());
    }
    let (image, me) = (call.context.images.current(), call.context.settings.broker_id.to_string());
    let mut config_resources = Vec::new();
    let mut list = |kind: ResourceKind, names: &mut dyn Iterator<Item = String>| {
        if asked.contains(&kind) {
            let named = |resource_name| ConfigResource { resource_name, resource_type: kind.id() };
            config_resources.extend(names.map(named));
        }
    };
    list(Topic, &mut image.by_name.keys().cloned());
    list(Broker, &mut std::iter::once(me.clone()));
    list(BrokerLogger, &mut std::iter::once(me));
    list(ClientMetrics, &mut image.metrics_configs.keys().cloned());
    list(Group, &mut image.group_configs.keys().cloned());
    let body = ListConfigResourcesResponse { config_resources, ..Default::default() };
    call.reply(&body, Permit::free())
}
