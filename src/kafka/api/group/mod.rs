//! The group APIs: each turns a request into an input of the group's machine, and its answer into Kafka's fields.
//!
//! Only checks that need no group stand here: empty ids, and whether topics and partitions exist.

pub(super) mod commit;
pub(super) mod delete;
pub(super) mod describe;
pub(super) mod fetch;
pub(super) mod heartbeat;
pub(super) mod join;
pub(super) mod leave;
pub(super) mod list;
pub(super) mod offset_delete;
pub(super) mod sync;

use super::call::{Call, Outcome};
use callboard_core::ErrorCode;
use std::sync::Arc;

impl Call {
    /// The client's address as Kafka shows it.
    fn client_host(&self) -> String {
        format!("/{}", self.client.peer.ip())
    }

    /// Counts and logs a refusal of a group; an ordinary rebalance makes no log line.
    fn group_refused(&self, code: ErrorCode, group: &str) {
        let why = match code {
            ErrorCode::None | ErrorCode::MemberIdRequired | ErrorCode::RebalanceInProgress => return,
            ErrorCode::InvalidGroupId => "the group id is empty: set group.id",
            ErrorCode::UnknownMemberId => "the member is not known: it must join again",
            ErrorCode::IllegalGeneration => "the generation is over: the member must join again",
            ErrorCode::FencedInstanceId => "another member has this group.instance.id",
            ErrorCode::CoordinatorLoadInProgress => "the group's state is being read: try again",
            ErrorCode::NotCoordinator => {
                "this node does not coordinate the group now: find the coordinator again"
            }
            ErrorCode::CoordinatorNotAvailable => {
                "__consumer_offsets is not there, or did not store the group's records in time: try again"
            }
            ErrorCode::UnknownServerError => {
                "the group's records are over max.message.bytes of __consumer_offsets: raise it or make the group smaller"
            }
            ErrorCode::InvalidSessionTimeout => {
                "session.timeout.ms is outside group.min.session.timeout.ms and group.max.session.timeout.ms"
            }
            ErrorCode::InconsistentGroupProtocol => "the member's protocols do not fit the group's",
            ErrorCode::GroupMaxSizeReached => "the group has group.max.size members",
            ErrorCode::OffsetMetadataTooLarge => "the metadata is longer than offset.metadata.max.bytes",
            ErrorCode::NonEmptyGroup => "the group has members: stop them first",
            ErrorCode::GroupIdNotFound => "there is no such group",
            ErrorCode::GroupSubscribedToTopic => "a member of the group subscribes the topic",
            _ => "the group cannot do that now",
        };
        self.refused(code, group, why);
    }
}

fn shared(bytes: &[u8]) -> Arc<[u8]> {
    Arc::from(bytes)
}
