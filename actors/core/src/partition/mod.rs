//! Partition machines: the leader, and the producers it knows.

mod producers;

pub use producers::ProducerTable;
