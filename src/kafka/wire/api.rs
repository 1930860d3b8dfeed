//! Keys and versions of all APIs, and the header that each version has. A new version of an API begins with its
//! line here.

use std::ops::RangeInclusive;

/// An API whose messages this broker reads and writes; `kafka::api` says which of them it answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum ApiKey {
    Produce,
    Fetch,
    ListOffsets,
    Metadata,
    OffsetCommit,
    OffsetFetch,
    FindCoordinator,
    JoinGroup,
    Heartbeat,
    LeaveGroup,
    SyncGroup,
    DescribeGroups,
    ListGroups,
    ApiVersions,
    CreateTopics,
    DeleteTopics,
    DeleteRecords,
    InitProducerId,
    OffsetForLeaderEpoch,
    DescribeConfigs,
    AlterConfigs,
    DescribeLogDirs,
    CreatePartitions,
    DeleteGroups,
    ElectLeaders,
    IncrementalAlterConfigs,
    OffsetDelete,
    DescribeQuorum,
    DescribeCluster,
    DescribeProducers,
    ListConfigResources,
    DescribeTopicPartitions,
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

/// Stands for "no version": the API has no tagged fields.
const NEVER: i16 = i16::MAX;

const TABLE: [Row; 32] = [
    row(ApiKey::Produce, 0, 3..=13, 9, "Produce"),
    row(ApiKey::Fetch, 1, 4..=18, 12, "Fetch"),
    row(ApiKey::ListOffsets, 2, 1..=11, 6, "ListOffsets"),
    row(ApiKey::Metadata, 3, 0..=13, 9, "Metadata"),
    row(ApiKey::OffsetCommit, 8, 2..=10, 8, "OffsetCommit"),
    row(ApiKey::OffsetFetch, 9, 1..=10, 6, "OffsetFetch"),
    row(ApiKey::FindCoordinator, 10, 0..=6, 3, "FindCoordinator"),
    row(ApiKey::JoinGroup, 11, 0..=9, 6, "JoinGroup"),
    row(ApiKey::Heartbeat, 12, 0..=4, 4, "Heartbeat"),
    row(ApiKey::LeaveGroup, 13, 0..=5, 4, "LeaveGroup"),
    row(ApiKey::SyncGroup, 14, 0..=5, 4, "SyncGroup"),
    row(ApiKey::DescribeGroups, 15, 0..=6, 5, "DescribeGroups"),
    row(ApiKey::ListGroups, 16, 0..=5, 3, "ListGroups"),
    row(ApiKey::ApiVersions, 18, 0..=4, 3, "ApiVersions"),
    row(ApiKey::CreateTopics, 19, 2..=7, 5, "CreateTopics"),
    row(ApiKey::DeleteTopics, 20, 1..=6, 4, "DeleteTopics"),
    row(ApiKey::DeleteRecords, 21, 0..=2, 2, "DeleteRecords"),
    row(ApiKey::InitProducerId, 22, 0..=5, 2, "InitProducerId"),
    row(ApiKey::OffsetForLeaderEpoch, 23, 2..=4, 4, "OffsetForLeaderEpoch"),
    row(ApiKey::DescribeConfigs, 32, 1..=4, 4, "DescribeConfigs"),
    row(ApiKey::AlterConfigs, 33, 0..=2, 2, "AlterConfigs"),
    row(ApiKey::DescribeLogDirs, 35, 1..=5, 2, "DescribeLogDirs"),
    row(ApiKey::CreatePartitions, 37, 0..=3, 2, "CreatePartitions"),
    row(ApiKey::DeleteGroups, 42, 0..=2, 2, "DeleteGroups"),
    row(ApiKey::ElectLeaders, 43, 0..=2, 2, "ElectLeaders"),
    row(ApiKey::IncrementalAlterConfigs, 44, 0..=1, 1, "IncrementalAlterConfigs"),
    row(ApiKey::OffsetDelete, 47, 0..=0, NEVER, "OffsetDelete"),
    row(ApiKey::DescribeQuorum, 55, 0..=2, 0, "DescribeQuorum"),
    row(ApiKey::DescribeCluster, 60, 0..=2, 0, "DescribeCluster"),
    row(ApiKey::DescribeProducers, 61, 0..=0, 0, "DescribeProducers"),
    row(ApiKey::ListConfigResources, 74, 0..=1, 0, "ListConfigResources"),
    row(ApiKey::DescribeTopicPartitions, 75, 0..=0, 0, "DescribeTopicPartitions"),
];

impl ApiKey {
    /// All APIs, in the order of their keys.
    pub fn all() -> impl Iterator<Item = ApiKey> {
        TABLE.iter().map(|row| row.api)
    }

    /// The API with this number on the wire.
    #[must_use]
    pub fn of(key: i16) -> Option<ApiKey> {
        TABLE.iter().find(|row| row.key == key).map(|row| row.api)
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The number on the wire.
    #[must_use]
    pub fn key(self) -> i16 {
        self.row().key
    }

    /// Kafka's name, as logs and metrics show it.
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

    /// Whether the response header has tagged fields. ApiVersions never has, because its client may not know the
    /// version.
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
