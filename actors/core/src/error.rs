//! Refusals, and the Kafka error code of each.

use crate::records::BadRecord;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! error_codes {
    ($($name:ident = $number:literal,)*) => {
        /// Kafka's error codes (`org.apache.kafka.common.protocol.Errors`), as far as this broker answers them.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(i16)]
        #[allow(missing_docs)]
        pub enum ErrorCode {
            $($name = $number,)*
        }

        impl ErrorCode {
            /// The code behind a number; none for a number that this broker never answers.
            #[must_use]
            pub fn of(number: i16) -> Option<ErrorCode> {
                match number {
                    $($number => Some(ErrorCode::$name),)*
                    _ => None,
                }
            }
        }
    };
}

error_codes! {
    UnknownServerError = -1,
    None = 0,
    OffsetOutOfRange = 1,
    CorruptMessage = 2,
    UnknownTopicOrPartition = 3,
    LeaderNotAvailable = 5,
    NotLeaderOrFollower = 6,
    RequestTimedOut = 7,
    ReplicaNotAvailable = 9,
    MessageTooLarge = 10,
    OffsetMetadataTooLarge = 12,
    NetworkException = 13,
    CoordinatorLoadInProgress = 14,
    CoordinatorNotAvailable = 15,
    NotCoordinator = 16,
    InvalidTopicException = 17,
    NotEnoughReplicas = 19,
    NotEnoughReplicasAfterAppend = 20,
    InvalidRequiredAcks = 21,
    IllegalGeneration = 22,
    InconsistentGroupProtocol = 23,
    InvalidGroupId = 24,
    UnknownMemberId = 25,
    InvalidSessionTimeout = 26,
    RebalanceInProgress = 27,
    GroupAuthorizationFailed = 30,
    ClusterAuthorizationFailed = 31,
    InvalidTimestamp = 32,
    UnsupportedSaslMechanism = 33,
    UnsupportedVersion = 35,
    TopicAlreadyExists = 36,
    InvalidPartitions = 37,
    InvalidReplicationFactor = 38,
    InvalidReplicaAssignment = 39,
    InvalidConfig = 40,
    NotController = 41,
    InvalidRequest = 42,
    UnsupportedForMessageFormat = 43,
    PolicyViolation = 44,
    OutOfOrderSequenceNumber = 45,
    DuplicateSequenceNumber = 46,
    InvalidProducerEpoch = 47,
    InvalidTxnState = 48,
    InvalidProducerIdMapping = 49,
    InvalidTransactionTimeout = 50,
    ConcurrentTransactions = 51,
    TransactionalIdAuthorizationFailed = 53,
    KafkaStorageError = 56,
    LogDirNotFound = 57,
    UnknownProducerId = 59,
    ReassignmentInProgress = 60,
    NonEmptyGroup = 68,
    GroupIdNotFound = 69,
    FetchSessionIdNotFound = 70,
    InvalidFetchSessionEpoch = 71,
    TopicDeletionDisabled = 73,
    FencedLeaderEpoch = 74,
    UnknownLeaderEpoch = 75,
    UnsupportedCompressionType = 76,
    OffsetNotAvailable = 78,
    MemberIdRequired = 79,
    GroupMaxSizeReached = 81,
    FencedInstanceId = 82,
    GroupSubscribedToTopic = 86,
    InvalidRecord = 87,
    ThrottlingQuotaExceeded = 89,
    ProducerFenced = 90,
    ResourceNotFound = 91,
    UnknownTopicId = 100,
    InconsistentTopicId = 103,
    FetchSessionTopicIdError = 106,
    MismatchedEndpointType = 114,
    UnsupportedEndpointType = 115,
}

impl ErrorCode {
    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> i16 {
        self as i16
    }
}

// As Kafka's number, so that nodes of different versions understand each other.
impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i16(self.code())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    /// Like Kafka's clients, reads a number that it does not know as an unknown error.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ErrorCode, D::Error> {
        let number = i16::deserialize(deserializer)?;
        Ok(ErrorCode::of(number).unwrap_or(ErrorCode::UnknownServerError))
    }
}

/// Why a partition leader refused a batch. Mapped to Kafka's codes in one exhaustive match.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Reject {
    /// The batch's checksum does not match its bytes.
    #[error("the batch's CRC32C does not match its bytes: the sender must send it again")]
    BadCrc,
    /// What is sent is no batch of any format.
    #[error("the bytes are no record batch, the sender must send it again: {0}")]
    Corrupt(String),
    /// The batch's fields contradict each other or the protocol.
    #[error("the batch is not a valid v2 record batch: {0}")]
    InvalidRecord(String),
    /// The batch is larger than `max.message.bytes` allows.
    #[error(
        "a batch of {size} bytes is over max.message.bytes = {max}: raise it for the topic or send smaller batches"
    )]
    TooLarge {
        /// Bytes of the batch.
        size: usize,
        /// The topic's limit.
        max: usize,
    },
    /// Timestamps that the topic does not take: Kafka's words, with the records that have them.
    #[error("One or more records have been rejected due to invalid timestamp")]
    InvalidTimestamp(Vec<BadRecord>),
    /// The compression type is not allowed for this request version.
    #[error("this compression type needs a newer Produce version")]
    UnsupportedCompression,
    /// `acks` is none of −1, 0, 1.
    #[error("acks must be -1, 0 or 1")]
    InvalidAcks,
    /// A producer's sequence number left a gap.
    #[error("sequence {got} from producer {producer_id}, expected {expected}")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: i64,
        /// What was expected.
        expected: i32,
        /// What came.
        got: i32,
    },
    /// The producer's epoch is older than the one known.
    #[error("producer {producer_id} sent epoch {got}, the current one is {current}")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: i64,
        /// What is known.
        current: i16,
        /// What came.
        got: i16,
    },
    /// A transactional batch where no transaction can be.
    #[error("a transactional batch outside a transaction")]
    InvalidTxnState,
    /// A transactional batch in a request that names no transaction.
    #[error("a transactional batch in a request without a transactional id")]
    NoTransactionalId,
    /// This node does not lead the partition (any more).
    #[error("this node does not lead the partition: refresh the metadata")]
    NotLeader,
    /// Records cannot be deleted from a topic whose `cleanup.policy` does not contain `delete`.
    #[error("cleanup.policy does not contain delete: records of this topic are not deleted by offset")]
    NotDeletable,
    /// An offset outside the log.
    #[error("offset {0} lies outside the log")]
    OffsetOutOfRange(i64),
    /// Its topic was deleted.
    #[error("the topic was deleted: refresh the metadata")]
    TopicDeleted,
    /// Its shard of the store has stopped, or the replica is offline.
    #[error("the partition's storage is not available: {0}")]
    Storage(String),
    /// No room on the disk: a state, which ends by itself when there is room.
    #[error(
        "the disk is full: nothing is taken until there is room; delete records or topics, or enlarge the disk"
    )]
    DiskFull,
    /// The deadline passed before the batch was durable; it may still commit.
    #[error("timed out waiting for the batch to be durable; it may still commit")]
    TimedOut,
    /// The actor went away without an answer.
    #[error("the partition is restarting: try again")]
    Unavailable,
    /// A bound of the broker was reached (too many waiting requests).
    #[error("the broker has too many requests in flight: try again")]
    Busy,
}

impl Reject {
    /// Kafka's error code for this refusal.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Reject::BadCrc | Reject::Corrupt(_) => ErrorCode::CorruptMessage,
            Reject::InvalidRecord(_) => ErrorCode::InvalidRecord,
            Reject::TooLarge { .. } => ErrorCode::MessageTooLarge,
            Reject::InvalidTimestamp(_) => ErrorCode::InvalidTimestamp,
            Reject::UnsupportedCompression => ErrorCode::UnsupportedCompressionType,
            Reject::InvalidAcks => ErrorCode::InvalidRequiredAcks,
            Reject::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Reject::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            Reject::InvalidTxnState => ErrorCode::InvalidTxnState,
            Reject::NoTransactionalId => ErrorCode::TransactionalIdAuthorizationFailed,
            Reject::NotLeader | Reject::Unavailable => ErrorCode::NotLeaderOrFollower,
            Reject::NotDeletable => ErrorCode::PolicyViolation,
            Reject::OffsetOutOfRange(_) => ErrorCode::OffsetOutOfRange,
            Reject::TopicDeleted => ErrorCode::UnknownTopicOrPartition,
            Reject::Storage(_) | Reject::DiskFull => ErrorCode::KafkaStorageError,
            Reject::TimedOut | Reject::Busy => ErrorCode::RequestTimedOut,
        }
    }

    /// The same for a request that may give topics by their ids: its client knows no name.
    #[must_use]
    pub fn code_for(&self, by_id: bool) -> ErrorCode {
        match self {
            Reject::TopicDeleted if by_id => ErrorCode::UnknownTopicId,
            other => other.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_back_from_its_number_and_an_unknown_number_is_an_unknown_error() {
        for code in [ErrorCode::UnknownServerError, ErrorCode::None, ErrorCode::UnsupportedEndpointType] {
            assert_eq!(ErrorCode::of(code.code()), Some(code));
            let text = serde_json::to_string(&code).unwrap();
            assert_eq!(text, code.code().to_string());
            assert_eq!(serde_json::from_str::<ErrorCode>(&text).unwrap(), code);
        }
        assert_eq!((ErrorCode::of(4), ErrorCode::of(i16::MAX)), (None, None));
        assert_eq!(serde_json::from_str::<ErrorCode>("4").unwrap(), ErrorCode::UnknownServerError);
        assert!(serde_json::from_str::<ErrorCode>("70000").is_err());
    }
}
