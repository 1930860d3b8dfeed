//! Which deleted topics groups are told of.
//!
//! A group forgets its offsets of a topic that was deleted. Most deletions are seen as they happen, between two images;
//! one that happened while nobody coordinated the group shows as offsets of a topic that does not exist.

use super::record::GroupRecord;
use crate::metadata::Image;
use std::collections::BTreeSet;

/// Names of the topics of one image that a later one does not have. A topic created anew under its name was deleted too.
#[must_use]
pub fn deleted(before: &Image, now: &Image) -> Vec<String> {
    let gone = before.topics.iter().filter(|(id, _)| !now.topics.contains_key(id));
    gone.map(|(_, topic)| topic.name.clone()).collect()
}

/// Topics that a loaded group has offsets of and that do not exist.
#[must_use]
pub fn unknown(records: &[GroupRecord], topics: &BTreeSet<String>) -> BTreeSet<String> {
    let named = records.iter().filter_map(|record| match record {
        GroupRecord::Offset { topic, .. } => Some(topic),
        GroupRecord::Group { .. } => None,
    });
    named.filter(|topic| !topics.contains(*topic)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TopicId;
    use crate::metadata::Topic;
    use std::sync::Arc;

    fn image(topics: &[(u8, &str)]) -> Image {
        let mut image = Image::default();
        for (id, name) in topics {
            let topic = Topic { id: TopicId([*id; 16]), name: (*name).into(), ..Topic::default() };
            image.by_name.insert(topic.name.clone(), topic.id);
            image.topics.insert(topic.id, Arc::new(topic));
        }
        image
    }

    #[test]
    fn a_topic_is_deleted_when_its_id_is_gone_whatever_has_its_name() {
        let before = image(&[(1, "a"), (2, "b"), (3, "c")]);
        assert_eq!(deleted(&before, &before), Vec::<String>::new());
        assert_eq!(deleted(&before, &image(&[(1, "a"), (4, "b"), (5, "d")])), ["b", "c"]);
        assert_eq!(deleted(&Image::default(), &before), Vec::<String>::new());
    }

    #[test]
    fn offsets_of_topics_that_do_not_exist_are_found_once_a_topic() {
        let of = |topic: &str, partition| GroupRecord::Offset {
            group: "g".into(),
            topic: topic.into(),
            partition,
            value: None,
        };
        let records =
            [of("a", 0), of("b", 0), of("b", 1), GroupRecord::Group { group: "g".into(), value: None }];
        let topics = BTreeSet::from(["a".to_owned()]);
        assert_eq!(unknown(&records, &topics), BTreeSet::from(["b".to_owned()]));
    }
}
