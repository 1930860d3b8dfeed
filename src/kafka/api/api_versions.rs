//! ApiVersions: the APIs and versions of this broker (KIP-35, KIP-511), and the feature level of the cluster (KIP-584).
//!
//! One feature is this broker's own. Of Kafka's features only `eligible.leader.replicas.version` is told, because its rules
//! hold here from the first level on. `metadata.version` is not claimed: clients read from it what a cluster of Kafka's own
//! can do.

use super::call::{Call, Outcome};
use crate::kafka::wire::api::ApiKey;
use crate::kafka::wire::messages::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeature, SupportedFeature,
};
use callboard_actors::permit::Permit;
use callboard_core::ErrorCode;
use callboard_core::metadata::{FEATURE, Image, LEVELS};

/// Kafka's feature of eligible leader replicas (KIP-966), and its levels in Kafka 4.3.
const ELR: (&str, i16, i16) = ("eligible.leader.replicas.version", 0, 1);

/// The first version whose clients take a feature that begins at level 0 (KAFKA-17492).
const FROM_LEVEL_0: i16 = 4;

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
    let mut body =
        ApiVersionsResponse { error_code: code.code(), api_keys, ..ApiVersionsResponse::default() };
    if code == ErrorCode::None {
        features(&call.context.images.current(), call.version(), &mut body);
    }
    call.reply(&body, Permit::free())
}

/// Adds the levels that this build can run at, and the one at which the cluster runs.
///
/// Levels of our own begin at 1: clients before KIP-1022 refuse an answer with a lower one. The epoch is the index of the image,
/// as in Kafka, so an answer of a newer image counts for more.
fn features(image: &Image, version: i16, body: &mut ApiVersionsResponse) {
    let name = || FEATURE.to_owned();
    let (min_version, max_version) = (LEVELS.min.max(1), LEVELS.max);
    body.supported_features = vec![SupportedFeature { name: name(), min_version, max_version }];
    let (elr, min_version, max_version) = (ELR.0.to_owned(), ELR.1, ELR.2);
    if version >= FROM_LEVEL_0 {
        body.supported_features.push(SupportedFeature { name: elr.clone(), min_version, max_version });
    }
    if let Some(level) = image.feature_level.filter(|level| *level >= 1) {
        let (max_version_level, min_version_level) = (level, level);
        body.finalized_features =
            vec![FinalizedFeature { name: name(), max_version_level, min_version_level }];
        body.finalized_features.push(FinalizedFeature {
            name: elr,
            max_version_level: max_version,
            min_version_level: max_version,
        });
        body.finalized_features_epoch = i64::try_from(image.applied).unwrap_or(i64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_level_is_told_with_the_images_index() {
        // Each row: the committed level, and the level and the epoch that clients are told.
        for (level, told) in [(None, None), (Some(0), None), (Some(1), Some((1, 12)))] {
            let image = Image { feature_level: level, applied: 12, ..Image::default() };
            let mut body = ApiVersionsResponse::default();
            features(&image, 4, &mut body);
            let supported = &body.supported_features[0];
            assert_eq!((supported.name.as_str(), supported.min_version), ("callboard.version", 1));
            let elr = &body.supported_features[1];
            assert_eq!((elr.name.as_str(), elr.min_version, elr.max_version), ELR);
            let mut older = ApiVersionsResponse::default();
            features(&image, 3, &mut older);
            assert_eq!(older.supported_features.len(), 1, "older clients cannot read level 0");
            assert_eq!(older.finalized_features, body.finalized_features);
            let levels: Vec<_> =
                body.finalized_features.iter().map(|f| (f.name.as_str(), f.max_version_level)).collect();
            assert!(levels.is_empty() || levels[1] == (ELR.0, 1), "{levels:?}");
            let finalized = body.finalized_features.first();
            let seen = finalized.map(|f| (f.max_version_level, body.finalized_features_epoch));
            assert_eq!(seen, told, "{level:?}");
            assert!(finalized.is_some() || body.finalized_features_epoch == -1, "no epoch without a level");
        }
    }
}
