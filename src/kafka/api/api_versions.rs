//! ApiVersions: the APIs and versions of this broker (KIP-35, KIP-511).

use super::call::{Call, Outcome};
use crate::kafka::wire::api::ApiKey;
use crate::kafka::wire::messages::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;

/// Every API with the versions that are advertised.
pub fn keys() -> Vec<ApiVersion> {
    ApiKey::all()
        .map(|api| ApiVersion {
            api_key: api.key(),
            min_version: *api.advertised().start(),
            max_version: *api.advertised().end(),
        })
        .collect()
}

/// KIP-511's pattern for a client's software name and version.
fn acceptable(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next())
        && edge(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
}

pub(super) async fn handle(call: Call, request: ApiVersionsRequest) -> Outcome {
    let named = acceptable(&request.client_software_name) && acceptable(&request.client_software_version);
    let code = if call.version() >= 3 && !named { ErrorCode::InvalidRequest } else { ErrorCode::None };
    let api_keys = if code == ErrorCode::None { keys() } else { Vec::new() };
    if code != ErrorCode::None {
        call.refused(
            code,
            &request.client_software_name,
            "the client's software name or version is not acceptable",
        );
    }
    let body = ApiVersionsResponse { error_code: code.code(), api_keys, ..ApiVersionsResponse::default() };
    call.reply(&body, Permit::free())
}
