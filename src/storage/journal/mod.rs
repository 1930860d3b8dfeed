//! The journal: one stream of groups over segment files, and the runs in it that are not settled yet.
//!
//! [`stream::Journal`] owns the stream of one shard. The writer appends groups to it, the index says where each replica's
//! unsettled batches lie, and the other files read what is there. Redb is unknown here: where the journal has to know
//! which segments are still needed, it asks a [`dead::Keeper`].

pub mod batches;
pub mod dead;
pub mod gather;
pub mod index;
pub mod position;
pub mod rolls;
pub mod scan;
pub mod segment;
pub mod stream;
pub mod watch;
pub mod writer;
