//! The machines of Callboard: pure decisions, so that a test can put any input at any moment into them.
//!
//! ```text
//!   input ──> machine.step(now, input, &mut effects) ──> effects, performed by a shell in list order
//! ```
//!
//! No machine reads a clock, touches a disk or a socket, or starts a task. Time arrives as [`Now`], and randomness
//! as an input. Payload bytes stay with the shell, so a machine sees a [`records::BatchHead`] and a [`Ticket`]. The
//! actor round each machine lives at the same path in `callboard-actors`.

pub mod coordinator;
pub mod error;
pub mod fetch;
pub mod fetch_session;
pub mod group;
pub mod ids;
pub mod limits;
pub mod machine;
pub mod metadata;
pub mod mutant;
pub mod node;
pub mod pace;
pub mod partition;
pub mod records;
pub mod restarts;
pub mod sessions;
pub mod storage;
pub mod time;

pub use error::{ErrorCode, Reject};
pub use ids::{
    BrokerEpoch, BrokerId, DirectoryId, LeaderEpoch, Lsn, NodeUuid, Offset, Peer, ProcessId, ReplicaId, Seq,
    Ticket, TopicId, TopicPartition,
};
pub use machine::{Effects, Machine};
pub use time::{Millis, Now, UnixMillis};
