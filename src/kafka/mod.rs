//! The Kafka protocol: connections, the wire codec and one file an API.
