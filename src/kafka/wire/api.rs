//! Keys, versions, and which header each version has.

use std::ops::RangeInclusive;

/// An API that this broker answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum ApiKey {
    Produce,
    Fetch,
    ListOffsets,
    Metadata,
    FindCoordinator,
    ApiVersions,
    CreateTopics,
    DeleteTopics,
    InitProducerId,
}

struct Row {
    api: ApiKey,
    key: i16,
    versions: RangeInclusive<i16>,
    flexible: i16,
    name: &'static str,
}

const fn row(api: ApiKey, key: i16, versions: RangeInclusive<i16>, flexible: i16, name: &'static str) -> Row {
    Row { api, key, versions, flexible, name }
}

const TABLE: [Row; 9] = [
    row(ApiKey::Produce, 0, 3..=13, 9, "Produce"),
    row(ApiKey::Fetch, 1, 4..=18, 12, "Fetch"),
    row(ApiKey::ListOffsets, 2, 1..=11, 6, "ListOffsets"),
    row(ApiKey::Metadata, 3, 0..=13, 9, "Metadata"),
    row(ApiKey::FindCoordinator, 10, 0..=6, 3, "FindCoordinator"),
    row(ApiKey::ApiVersions, 18, 0..=4, 3, "ApiVersions"),
    row(ApiKey::CreateTopics, 19, 2..=7, 5, "CreateTopics"),
    row(ApiKey::DeleteTopics, 20, 1..=6, 4, "DeleteTopics"),
    row(ApiKey::InitProducerId, 22, 0..=5, 2, "InitProducerId"),
];

impl ApiKey {
    /// All of them.
    pub fn all() -> impl Iterator<Item = ApiKey> {
        TABLE.iter().map(|row| row.api)
    }

    /// By its number.
    #[must_use]
    pub fn of(key: i16) -> Option<ApiKey> {
        TABLE.iter().find(|row| row.key == key).map(|row| row.api)
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Its number.
    #[must_use]
    pub fn key(self) -> i16 {
        self.row().key
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Versions that are answered.
    #[must_use]
    pub fn versions(self) -> RangeInclusive<i16> {
        self.row().versions.clone()
    }

    /// Versions that are advertised: Produce from 0, because librdkafka before 2.11.1 takes "0 is listed" for "the
    /// broker can decompress" (KAFKA-18659).
    #[must_use]
    pub fn advertised(self) -> RangeInclusive<i16> {
        match self {
            ApiKey::Produce => 0..=*self.row().versions.end(),
            _ => self.versions(),
        }
    }

    /// Whether this version has tagged fields.
    #[must_use]
    pub fn flexible(self, version: i16) -> bool {
        version >= self.row().flexible
    }

    /// Whether the response header has tagged fields: never for ApiVersions, whose version may not be known to the client.
    #[must_use]
    pub fn flexible_response_header(self, version: i16) -> bool {
        self != ApiKey::ApiVersions && self.flexible(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(row.api as usize, i);
            assert_eq!(ApiKey::of(row.key), Some(row.api));
        }
    }
}
