//! One file an API: it takes the decoded request and a `Call`, and gives an `Outcome`.
//!
//! ```text
//!   frame ─> dispatch.rs ─> one file of an API ─> Outcome        call.rs   who asks, what an API reaches, how it answers
//!                                                                topic.rs  topics and partitions as several APIs tell them
//! ```
//! A new API is a file here, a line in `answers!` of `dispatch.rs`, and its messages and versions in `wire/`.

mod alter_configs;
mod api_versions;
mod call;
mod create_partitions;
mod create_topics;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod dispatch;
mod elect_leaders;
mod fetch;
mod find_coordinator;
mod group;
mod incremental_alter_configs;
mod init_producer_id;
mod list_config_resources;
mod list_offsets;
mod metadata;
mod offset_for_leader_epoch;
mod produce;
mod topic;

pub use call::{Client, Outcome, Pending};
pub use dispatch::{Undispatched, dispatch};
