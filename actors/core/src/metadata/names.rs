//! Topic names by Kafka's rules (`org.apache.kafka.common.internals.Topic`).
//!
//! The checks look at a name alone. Whether the topic exists is the controller's question.

/// Longest name, in characters.
pub const NAME_MAX: usize = 249;

/// The reason why a text is no topic name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    #[error("the topic name is empty")]
    Empty,
    /// The name is `.` or `..`.
    #[error("the topic name may not be \".\" or \"..\"")]
    Dots,
    #[error("the topic name is longer than 249 characters")]
    TooLong,
    /// The name holds a character that is not allowed.
    #[error("the topic name holds {0:?}: only ASCII letters and digits, '.', '_' and '-' are allowed")]
    Character(char),
}

/// Checks a name by Kafka's rules.
pub fn check_name(name: &str) -> Result<(), NameError> {
    match name {
        "" => return Err(NameError::Empty),
        "." | ".." => return Err(NameError::Dots),
        _ => {}
    }
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some(bad) = name.chars().find(|c| !allowed(c)) {
        return Err(NameError::Character(bad));
    }
    if name.len() > NAME_MAX {
        return Err(NameError::TooLong);
    }
    Ok(())
}

/// The topic of group offsets: the one topic that the broker itself makes and compacts.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Whether the name belongs to a topic that the broker makes for itself (Kafka: `Topic.isInternal`).
#[must_use]
pub fn is_internal(name: &str) -> bool {
    matches!(name, OFFSETS_TOPIC | "__transaction_state" | "__share_group_state")
}

/// Whether two different names are one to a metrics system, which turns dots into underscores.
#[must_use]
pub fn collide(a: &str, b: &str) -> bool {
    a != b && a.replace('.', "_") == b.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rules() {
        assert_eq!(check_name("orders.v1_x-2"), Ok(()));
        assert_eq!(check_name(""), Err(NameError::Empty));
        assert_eq!(check_name(".."), Err(NameError::Dots));
        assert_eq!(check_name("a b"), Err(NameError::Character(' ')));
        assert_eq!(check_name("größe"), Err(NameError::Character('ö')));
        assert_eq!(check_name(&"x".repeat(249)), Ok(()));
        assert_eq!(check_name(&"x".repeat(250)), Err(NameError::TooLong));
        assert!(is_internal("__consumer_offsets") && !is_internal("__mine"));
        assert!(collide("a.b", "a_b") && !collide("a.b", "a.b") && !collide("a.b", "ab"));
    }
}
