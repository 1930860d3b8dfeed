//! Callboard, the process: adapters, configuration and the composition root.

pub mod kafka;
pub mod storage;
