//! The messages, as Kafka 4.3 defines them (`clients/src/main/resources/common/message`).

mod cluster;
mod configs;
mod fetch;
mod find_coordinator;
mod groups;
mod list_offsets;
mod metadata;
mod offsets;
mod partitions;
mod produce;
mod quorum;
mod topics;
mod versions;

pub use cluster::*;
pub use configs::*;
pub use fetch::*;
pub use find_coordinator::*;
pub use groups::*;
pub use list_offsets::*;
pub use metadata::*;
pub use offsets::*;
pub use partitions::*;
pub use produce::*;
pub use quorum::*;
pub use topics::*;
pub use versions::*;
