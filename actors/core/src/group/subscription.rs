//! Which topics a consumer subscribes.
//!
//! A group must know the topics its members read, so that their offsets do not expire. The metadata of a consumer begins
//! with them, in every version.
//!
//! ```text
//!   version: i16 | topics: i32 × (i16, bytes) | what only assignors read
//! ```

use std::collections::BTreeSet;

/// The protocol type of consumers.
pub(super) const CONSUMER: &str = "consumer";

/// Adds the topics of one subscription; none if it cannot be read. Topics that are only announced take no memory.
pub(super) fn add_topics(subscription: &[u8], topics: &mut BTreeSet<String>) -> Option<()> {
    let (version, rest) = subscription.split_first_chunk::<2>()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    for _ in 0..u32::try_from(i32::from_be_bytes(*count)).ok()? {
        let (length, tail) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (topic, tail) = tail.split_at_checked(length)?;
        topics.insert(std::str::from_utf8(topic).ok()?.to_owned());
        rest = tail;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(bytes: &[u8]) -> Option<Vec<String>> {
        let mut topics = BTreeSet::new();
        add_topics(bytes, &mut topics)?;
        Some(topics.into_iter().collect())
    }

    #[test]
    fn topics_are_read_whatever_follows() {
        let mut bytes = vec![0, 1, 0, 0, 0, 2, 0, 1, b'b', 0, 2, b'a', b'a'];
        assert_eq!(topics(&bytes), Some(vec!["aa".to_owned(), "b".to_owned()]));
        bytes.extend_from_slice(b"\xff\xff\xff\xff and whatever");
        assert_eq!(topics(&bytes), Some(vec!["aa".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        let whole = [0, 1, 0, 0, 0, 2, 0, 1, b'b', 0, 2, b'a', b'a'];
        for cut in 0..whole.len() {
            assert_eq!(topics(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(topics(&[0xff, 0xff, 0, 0, 0, 0]), None, "a negative version");
        assert_eq!(topics(&[0, 0, 0x7f, 0xff, 0xff, 0xff]), None, "an announced count");
        assert_eq!(topics(&[0, 0, 0xff, 0xff, 0xff, 0xff]), None, "no array");
        assert_eq!(topics(&[0, 0, 0, 0, 0, 1, 0xff, 0xff]), None, "no string");
        assert_eq!(topics(&[0, 0, 0, 0, 0, 1, 0, 1, 0xff]), None, "no UTF-8");
    }
}
