//! DescribeConfigs: the values that hold for a topic, this broker, a group or a subscription, and their sources.
//!
//! The documentation of a config says what becomes of its value (`callboard_core::metadata::configs`). Loggers have
//! no configs here. A group or subscription without configs is described by the defaults, as in Kafka.

use super::call::{Call, Outcome};
use crate::kafka::wire::messages::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;
use callboard_core::metadata::configs::{
    Entry, broker_entries, cluster_entries, group_entries, metrics_entries,
};
use callboard_core::metadata::{ConfigOf, Image, Partition, ResourceKind, check_name};
use std::collections::BTreeMap;

type Refused = (ErrorCode, String);

pub(super) async fn handle(call: Call, request: DescribeConfigsRequest) -> Outcome {
    let image = call.context.images.current();
    let unknown = request.resources.iter().find_map(|r| match ResourceKind::of(r.resource_type) {
        ResourceKind::Unknown(_) => Some(r.resource_name.clone()),
        _ => None,
    });
    let (synonyms, documentation) = (request.include_synonyms, request.include_documentation);
    let results = request
        .resources
        .into_iter()
        .map(|resource| {
            let found = match &unknown {
                // Like Kafka, an unknown type refuses the whole request.
                Some(name) => {
                    let why = format!("Unexpected resource type UNKNOWN for resource {name}");
                    Err((ErrorCode::InvalidRequest, why))
                }
                None => entries(&call, &image, &resource),
            };
            let mut out = DescribeConfigsResult {
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
                ..Default::default()
            };
            match found {
                Ok(entries) => {
                    let wanted = resource.configuration_keys.filter(|keys| !keys.is_empty());
                    out.configs = entries
                        .into_iter()
                        .filter(|entry| {
                            wanted.as_ref().is_none_or(|keys| keys.iter().any(|k| k == entry.name))
                        })
                        .map(|entry| described(entry, synonyms, documentation))
                        .collect();
                }
                Err((code, why)) => {
                    call.refused(code, &out.resource_name, &why);
                    (out.error_code, out.error_message) = (code.code(), Some(why));
                }
            }
            out
        })
        .collect();
    call.reply(&DescribeConfigsResponse { throttle_time_ms: 0, results }, Permit::free())
}

fn entries(call: &Call, image: &Image, resource: &DescribeConfigsResource) -> Result<Vec<Entry>, Refused> {
    let settings = &call.context.settings;
    let (me, name) = (settings.broker_id, resource.resource_name.as_str());
    let layers = image.layers(me, &settings.statics);
    let refuse = |why: &str| Err((ErrorCode::InvalidRequest, why.to_owned()));
    let none = BTreeMap::new();
    let own = |of: ConfigOf| image.configs(&of).unwrap_or(&none);
    match ResourceKind::of(resource.resource_type) {
        ResourceKind::Topic => {
            check_name(name).map_err(|error| (ErrorCode::InvalidTopicException, error.to_string()))?;
            let unknown = || {
                let why = "This server does not host this topic-partition.";
                (ErrorCode::UnknownTopicOrPartition, why.to_owned())
            };
            let topic = image.topic(name).ok_or_else(unknown)?;
            let replicas = topic.partitions.iter().map(Partition::counted_replicas).min().unwrap_or(1);
            Ok(image.topic_entries(&topic.configs, replicas, &layers))
        }
        ResourceKind::Broker if name.is_empty() => Ok(cluster_entries(&layers)),
        ResourceKind::Broker => {
            this_broker(me, name, " or empty string,")?;
            Ok(broker_entries(&layers))
        }
        ResourceKind::BrokerLogger if name.is_empty() => refuse("Broker id must not be empty"),
        ResourceKind::BrokerLogger => this_broker(me, name, "").map(|()| Vec::new()),
        ResourceKind::ClientMetrics if name.is_empty() => {
            refuse("Client metrics subscription name must not be empty")
        }
        ResourceKind::Group if name.is_empty() => refuse("Group name must not be empty"),
        ResourceKind::ClientMetrics => Ok(metrics_entries(own(ConfigOf::ClientMetrics(name.to_owned())))),
        ResourceKind::Group => Ok(group_entries(own(ConfigOf::Group(name.to_owned())))),
        ResourceKind::Unknown(kind) => refuse(&format!("Unsupported resource type: {kind}")),
    }
}

fn this_broker(me: i32, name: &str, or: &str) -> Result<(), Refused> {
    let why = match name.parse::<i32>() {
        Ok(id) if id == me => return Ok(()),
        Ok(_) => format!("Unexpected broker id, expected {me}{or} but received {name}"),
        Err(_) => format!("Broker id must be an integer, but it is: {name}"),
    };
    Err((ErrorCode::InvalidRequest, why))
}

fn described(entry: Entry, synonyms: bool, documentation: bool) -> DescribeConfigsResourceResult {
    let all = entry.synonyms.into_iter().map(|synonym| DescribeConfigsSynonym {
        name: synonym.name.to_owned(),
        value: Some(synonym.value),
        source: synonym.source as i8,
    });
    DescribeConfigsResourceResult {
        name: entry.name.to_owned(),
        value: entry.value,
        read_only: entry.read_only,
        config_source: entry.source as i8,
        is_sensitive: false,
        synonyms: if synonyms { all.collect() } else { Vec::new() },
        config_type: entry.kind as i8,
        documentation: documentation.then(|| entry.doc.to_owned()),
    }
}
