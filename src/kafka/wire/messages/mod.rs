//! The messages, as Kafka 4.3 defines them (`clients/src/main/resources/common/message`).

mod fetch;
mod find_coordinator;
mod list_offsets;
mod metadata;
mod produce;
mod topics;
mod versions;

pub use fetch::*;
pub use find_coordinator::*;
pub use list_offsets::*;
pub use metadata::*;
pub use produce::*;
pub use topics::*;
pub use versions::*;
