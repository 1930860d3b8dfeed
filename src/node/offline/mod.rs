//! What an operator does with the data directory of a node that does not run.
//!
//! ```text
//!   metadata dump ─> dump.rs ─> JSON: topics, configs, members, and the group offsets that lie here (groups.rs)
//!   recover ───────> recover.rs ─> what may be lost, the typed confirmation, the only voter of the cluster
//! ```
//! Both hold the directory's lock, so a running node refuses them. A look changes nothing on the disk: it happens on an
//! `Overlay`, where even recovery of the journals stays in memory.

mod directory;
mod dump;
mod groups;
mod recover;

pub use dump::dump;
pub use recover::{Confirmed, recover};
