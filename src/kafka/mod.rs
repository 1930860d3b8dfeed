//! The Kafka front-end: the wire codec, and (to come in this folder) listener, connections and one file per API.

pub mod wire;
