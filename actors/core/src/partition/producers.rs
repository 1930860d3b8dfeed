//! Idempotence: what a partition remembers of each producer (KIP-98). Rebuilt from the log, truncated with it.

/// The producers of one partition. (Being written.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerTable {}
