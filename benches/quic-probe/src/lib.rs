//! The layout of replication frames, which the probe measures and the transport may take over.

pub mod frame;
