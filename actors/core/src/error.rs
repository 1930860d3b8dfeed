//! Refusals, and the Kafka error code of each.
//!
//! A machine refuses with a value. One exhaustive match turns it into the code that a client gets, so each refusal
//! has exactly one code. Texts name what is wrong and what helps.

use crate::records::{BadRecord, RecordsError};
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
    ListenerNotFound = 72,
    TopicDeletionDisabled = 73,
    FencedLeaderEpoch = 74,
    UnknownLeaderEpoch = 75,
    UnsupportedCompressionType = 76,
    StaleBrokerEpoch = 77,
    OffsetNotAvailable = 78,
    MemberIdRequired = 79,
    PreferredLeaderNotAvailable = 80,
    GroupMaxSizeReached = 81,
    FencedInstanceId = 82,
    EligibleLeadersNotAvailable = 83,
    ElectionNotNeeded = 84,
    GroupSubscribedToTopic = 86,
    InvalidRecord = 87,
    ThrottlingQuotaExceeded = 89,
    ProducerFenced = 90,
    ResourceNotFound = 91,
    InvalidUpdateVersion = 95,
    UnknownTopicId = 100,
    DuplicateBrokerRegistration = 101,
    BrokerIdNotRegistered = 102,
    InconsistentTopicId = 103,
    InconsistentClusterId = 104,
    FetchSessionTopicIdError = 106,
    IneligibleReplica = 107,
    NewLeaderElected = 108,
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

/// Why a partition leader refused a batch, or could not serve it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Reject {
    /// The batch's checksum does not match its bytes.
    #[error("the batch's CRC32C does not match its bytes: the sender must send it again")]
    BadCrc,
    /// The bytes are a batch of no format.
    #[error("the bytes are no record batch, the sender must send it again: {0}")]
    Corrupt(String),
    /// The batch's fields contradict each other or the protocol.
    #[error("the batch is not a valid v2 record batch: {0}")]
    InvalidRecord(String),
    /// The batch is larger than `max.message.bytes` allows.
    #[error(
        "a batch of {size} bytes is over max.message.bytes = {max}: raise it for the topic or send smaller batches"
    )]
    TooLarge { size: usize, max: usize },
    /// Timestamps that the topic refuses, with the records that have them; the text is Kafka's.
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
    OutOfOrderSequence { producer_id: i64, expected: i32, got: i32 },
    /// The producer's epoch is older than the one known.
    #[error("producer {producer_id} sent epoch {got}, the current one is {current}")]
    InvalidProducerEpoch { producer_id: i64, current: i16, got: i16 },
    /// A transactional batch without an open transaction.
    #[error("a transactional batch outside a transaction")]
    InvalidTxnState,
    /// A transactional batch in a request that names no transaction.
    #[error("a transactional batch in a request without a transactional id")]
    NoTransactionalId,
    /// This node does not lead the partition (any more).
    #[error("this node does not lead the partition: refresh the metadata")]
    NotLeader,
    /// This node was not heard by the controller for a session, and the partition cannot commit without it.
    #[error(
        "this node is cut off from the controller, and another one may lead by now: refresh the metadata; a batch that \
         was appended may still be committed"
    )]
    CutOff,
    /// The client's metadata is older than this node's leadership.
    #[error("a newer leader epoch than the client's has begun: refresh the metadata")]
    FencedLeaderEpoch,
    /// The client's metadata is newer than what this node knows.
    #[error("the client knows of a newer leader epoch than this node: try again")]
    UnknownLeaderEpoch,
    /// The committed ISR is smaller than `min.insync.replicas`; nothing was appended.
    #[error("too few replicas are in sync for acks=all: the batch was not appended, try again")]
    NotEnoughReplicas,
    /// The committed ISR became smaller than `min.insync.replicas` while the batch waited.
    #[error("too few replicas are in sync for acks=all: the batch was appended and may still be committed")]
    NotEnoughReplicasAfterAppend,
    /// Records cannot be deleted from a topic whose `cleanup.policy` does not contain `delete`.
    #[error("cleanup.policy does not contain delete: records of this topic are not deleted by offset")]
    NotDeletable,
    #[error("offset {0} lies outside the log")]
    OffsetOutOfRange(i64),
    #[error("the topic was deleted: refresh the metadata")]
    TopicDeleted,
    /// The shard of the store has stopped, or the replica is offline.
    #[error("the partition's storage is not available: {0}")]
    Storage(String),
    /// The disk is full; this ends by itself when there is room.
    #[error(
        "the disk is full: nothing is taken until there is room; delete records or topics, or enlarge the disk"
    )]
    DiskFull,
    /// The deadline passed before the batch was durable; it may still commit.
    #[error("timed out waiting for the batch to be durable; it may still commit")]
    TimedOut,
    /// The actor ended without an answer.
    #[error("the partition is restarting: try again")]
    Unavailable,
    /// Too many requests wait.
    #[error("the broker has too many requests in flight: try again")]
    Busy,
}

impl Reject {
    /// The error code that a client gets for this refusal.
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
            Reject::NotLeader | Reject::CutOff | Reject::Unavailable => ErrorCode::NotLeaderOrFollower,
            Reject::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
            Reject::UnknownLeaderEpoch => ErrorCode::UnknownLeaderEpoch,
            Reject::NotEnoughReplicas => ErrorCode::NotEnoughReplicas,
            Reject::NotEnoughReplicasAfterAppend => ErrorCode::NotEnoughReplicasAfterAppend,
            Reject::NotDeletable => ErrorCode::PolicyViolation,
            Reject::OffsetOutOfRange(_) => ErrorCode::OffsetOutOfRange,
            Reject::TopicDeleted => ErrorCode::UnknownTopicOrPartition,
            Reject::Storage(_) | Reject::DiskFull => ErrorCode::KafkaStorageError,
            Reject::TimedOut | Reject::Busy => ErrorCode::RequestTimedOut,
        }
    }

    /// The code for a request that may give topics by id, because its client knows no name.
    #[must_use]
    pub fn code_for(&self, by_id: bool) -> ErrorCode {
        match self {
            Reject::TopicDeleted if by_id => ErrorCode::UnknownTopicId,
            other => other.code(),
        }
    }
}

impl From<RecordsError> for Reject {
    fn from(error: RecordsError) -> Reject {
        match error {
            RecordsError::Crc { .. } => Reject::BadCrc,
            // As in Kafka, bytes of an unknown format may come right when they are sent again.
            RecordsError::Magic(magic) if !(0..=1).contains(&magic) => Reject::Corrupt(error.to_string()),
            RecordsError::Length(_) => Reject::Corrupt(error.to_string()),
            RecordsError::TooLarge { size, max } => Reject::TooLarge { size, max },
            RecordsError::Timestamps(bad) => Reject::InvalidTimestamp(bad),
            RecordsError::Codec(_) => Reject::UnsupportedCompression,
            other => Reject::InvalidRecord(other.to_string()),
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
