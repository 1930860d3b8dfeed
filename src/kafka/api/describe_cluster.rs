//! DescribeCluster (KIP-700, KIP-919, KIP-1073): the brokers and the controller.
//!
//! This listener belongs to a broker and refuses questions to a controller, as Kafka's does. Fenced nodes are listed
//! only where they are asked for.

use super::call::{Call, Outcome};
use crate::kafka::wire::messages::{DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse};
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;
use callboard_core::metadata::Broker;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;
/// All operations on a cluster as bits, because there is no authorizer: create, alter, describe, cluster action,
/// describe and alter configs, idempotent write.
pub(super) const ALL_OPERATIONS: i32 = 0b1_1111_1010_0000;

pub(super) async fn handle(call: Call, request: DescribeClusterRequest) -> Outcome {
    if let Err((code, message)) = check(request.endpoint_type) {
        call.refused(code, &format!("endpoint type {}", request.endpoint_type), &message);
        let (error_code, error_message) = (code.code(), Some(message));
        let body = DescribeClusterResponse { error_code, error_message, ..Default::default() };
        return call.reply(&body, Permit::free());
    }
    let image = call.context.images.current();
    let told = call.told(&image);
    let asked = |broker: &&Broker| !broker.fenced || request.include_fenced_brokers;
    let brokers = told.registered().filter(asked).filter_map(|broker| {
        let (host, port) = call.address_of(broker)?;
        let (broker_id, port, rack) = (broker.id, i32::from(port), broker.rack.clone());
        Some(DescribeClusterBroker { broker_id, host, port, rack, is_fenced: broker.fenced })
    });
    let mut body = DescribeClusterResponse {
        cluster_id: image.cluster_id.clone().unwrap_or_default(),
        controller_id: told.controller(),
        brokers: brokers.collect(),
        ..Default::default()
    };
    if request.include_cluster_authorized_operations {
        body.cluster_authorized_operations = ALL_OPERATIONS;
    }
    call.reply(&body, Permit::free())
}

/// Version 0 has no type and means brokers.
fn check(endpoint_type: i8) -> Result<(), (ErrorCode, String)> {
    match endpoint_type {
        BROKERS => Ok(()),
        CONTROLLERS => Err((
            ErrorCode::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
                .to_owned(),
        )),
        other => Err((ErrorCode::UnsupportedEndpointType, format!("Unsupported endpoint type {other}"))),
    }
}
