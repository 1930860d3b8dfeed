//! In which partition of the topic an entity's state is.
//!
//! Every client and every node must agree on it, so it is Kafka's own function of the entity's name.

/// Kafka's partition of a name: Java's `String.hashCode`, its amount (0 where it has none), modulo the partitions.
#[must_use]
pub fn partition_of(name: &str, partitions: i32) -> i32 {
    let hash = name.encode_utf16().fold(0i32, |h, unit| h.wrapping_mul(31).wrapping_add(i32::from(unit)));
    hash.checked_abs().unwrap_or(0).checked_rem(partitions).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_where_kafka_puts_it() {
        // Java: Utils.abs("my-group".hashCode()) % 50, and names whose hash is negative.
        assert_eq!(partition_of("my-group", 50), 12);
        assert_eq!(partition_of("payments", 50), 13);
        assert_eq!(partition_of("", 50), 0);
        assert_eq!(partition_of("polygenelubricants", 50), 0, "hashes to i32::MIN");
        assert_eq!(partition_of("any", 0), 0);
    }
}
