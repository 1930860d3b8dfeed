//! `__consumer_offsets`: a request makes this topic, because groups need it.
//!
//! The first request that looks for a coordinator finds no topic. It asks the controller for one and waits for it.
//! Several requests may do so at once; the later ones find the topic made.
//!
//! Kafka has one code for every failure here, COORDINATOR_NOT_AVAILABLE, after which clients ask again. This file
//! does not wait; the caller does.

use super::controller::{CreatedTopic, NewTopic, Refusal, Reply};
use super::image::Image;
use super::names::OFFSETS_TOPIC;
use crate::error::ErrorCode;
use crate::ids::TopicId;
use std::time::Duration;

/// Time that a request waits for the topic to be served, and then for its coordinators to have loaded.
pub const OFFSETS_TOPIC_WAIT: Duration = Duration::from_secs(15);

/// The topic that a request makes by naming it. `partitions` is `offsets.topic.num.partitions`.
///
/// The offsets topic gets this number of partitions and Kafka's configs for it. Every other topic gets the defaults.
#[must_use]
pub fn topic_on_request(name: &str, id: TopicId, partitions: i32) -> NewTopic {
    let topic = NewTopic::new(name, id);
    if name != OFFSETS_TOPIC {
        return topic;
    }
    let configs =
        [("cleanup.policy", "compact"), ("compression.type", "producer"), ("segment.bytes", "104857600")];
    let configs = configs.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).into();
    NewTopic { partitions, configs, ..topic }
}

/// The offsets topic to be made first; none if it exists.
#[must_use]
pub fn missing_offsets_topic(image: &Image, id: TopicId, partitions: i32) -> Option<NewTopic> {
    image.topic(OFFSETS_TOPIC).is_none().then(|| topic_on_request(OFFSETS_TOPIC, id, partitions))
}

/// Reads the controller's answer: the topic that it made, or none if another request was faster.
pub fn offsets_topic_made(said: Reply) -> Result<Option<CreatedTopic>, Refusal> {
    let refused = |why: &str| {
        let message = format!("__consumer_offsets is not there yet: {why}");
        Err(Refusal { code: ErrorCode::CoordinatorNotAvailable, message })
    };
    match said {
        Reply::Created(outcomes, _) => match outcomes.into_iter().next() {
            Some(Ok(topic)) => Ok(Some(topic)),
            Some(Err(refusal)) if refusal.code == ErrorCode::TopicAlreadyExists => Ok(None),
            Some(Err(refusal)) => refused(&refusal.message),
            None => refused("try again"),
        },
        Reply::Failed(_) | Reply::Unknown(_) => refused(&said.refusal().message),
        _ => refused("try again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::MetadataRecord;

    const ID: TopicId = TopicId([7; 16]);

    #[test]
    fn only_the_offsets_topic_has_configs_and_partitions_of_its_own() {
        let plain = topic_on_request("orders", ID, 50);
        assert_eq!(plain, NewTopic::new("orders", ID));
        assert_eq!((plain.partitions, plain.replication_factor), (-1, -1));
        let offsets = topic_on_request(OFFSETS_TOPIC, ID, 50);
        assert_eq!((offsets.partitions, offsets.replication_factor), (50, -1));
        assert!(offsets.configs.contains(&("cleanup.policy".to_owned(), Some("compact".to_owned()))));
    }

    #[test]
    fn it_is_made_only_where_it_is_missing() {
        let mut image = Image::default();
        assert_eq!(missing_offsets_topic(&image, ID, 3), Some(topic_on_request(OFFSETS_TOPIC, ID, 3)));
        let name = OFFSETS_TOPIC.to_owned();
        let (replicas, isr, configs) = (vec![vec![1]], Vec::new(), Default::default());
        image.apply(&MetadataRecord::Topic { id: ID, name, replicas, isr, default_factor: true, configs }, 1);
        assert_eq!(missing_offsets_topic(&image, ID, 3), None);
    }

    #[test]
    fn each_answer_of_the_controller_has_one_meaning() {
        let refusal = |code| Refusal { code, message: "why".to_owned() };
        let made = CreatedTopic {
            id: ID,
            name: OFFSETS_TOPIC.to_owned(),
            partitions: 3,
            replication_factor: 1,
            configs: Default::default(),
        };
        let exists = Err(refusal(ErrorCode::TopicAlreadyExists));
        let rows = [
            (Reply::Created(vec![Ok(made.clone())], 4), Ok(Some(made))),
            (Reply::Created(vec![exists], 4), Ok(None)),
            (Reply::Created(vec![Err(refusal(ErrorCode::InvalidConfig))], 4), Err("why")),
            (Reply::Created(Vec::new(), 4), Err("try again")),
            (Reply::Failed(refusal(ErrorCode::NotController)), Err("why")),
            (Reply::Unknown("lost".to_owned()), Err("lost")),
            (Reply::Done(4), Err("try again")),
        ];
        for (said, meaning) in rows {
            let meaning = meaning.map_err(|why| Refusal {
                code: ErrorCode::CoordinatorNotAvailable,
                message: format!("__consumer_offsets is not there yet: {why}"),
            });
            assert_eq!(offsets_topic_made(said.clone()), meaning, "{said:?}");
        }
    }
}
