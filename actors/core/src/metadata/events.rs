//! The lines that an operator reads about one committed batch: who was fenced, who leads what from now on, and why.
//!
//! ```text
//!   image before + records ──> "t-3: leader 1 -> 2, leader epoch 4 -> 5, ISR [1, 2, 3] -> [2, 3]: node 1 is fenced"
//! ```
//! A batch is one event (R12), so its records about nodes are the reason of its records about partitions. Behind the first
//! twenty partitions one line counts the others. The lines decide nothing.
//!
//! Two events have lines of their own, because records may be lost by them: an unclean election, and replicas of a node that
//! came back without all that they acknowledged.

use super::image::Image;
use super::partition::Partition;
use super::record::{MetadataRecord, PartitionChange};
use crate::ids::{BrokerId, TopicPartition};

/// Partitions of one event that have a line of their own.
pub const LINES: usize = 20;

/// The lines about a batch that this index commits, against the image before it.
#[must_use]
pub fn event_lines(before: &Image, index: u64, records: &[MetadataRecord]) -> Vec<String> {
    let mut lines: Vec<String> = records.iter().filter_map(|record| about_node(record, index)).collect();
    let why = if lines.is_empty() { "as its leader asked".to_owned() } else { reasons(records) };
    let changes = records.iter().filter_map(|record| match record {
        MetadataRecord::PartitionChange(change) => about_partition(before, change, &why),
        _ => None,
    });
    let (mut more, mut elections) = (0, 0);
    for (n, (line, election)) in changes.enumerate() {
        if n < LINES {
            lines.push(line);
        } else {
            more += 1;
            elections += usize::from(election);
        }
    }
    if more > 0 {
        lines.push(format!("and {more} partitions more, {elections} of them with another leader: {why}"));
    }
    lines
}

/// One line for each partition whose leader this batch elects uncleanly.
#[must_use]
pub fn unclean_elections(before: &Image, records: &[MetadataRecord]) -> Vec<String> {
    let about = |record: &MetadataRecord| {
        let MetadataRecord::PartitionChange(change) = record else { return None };
        let epoch = change.unclean_epoch?;
        let topic = before.topics.get(&change.topic)?;
        let p = topic.partition(change.partition)?;
        let (name, partition, leader) = (&topic.name, change.partition, change.leader);
        let others = p.replicas.iter().filter(|id| **id != leader && (p.is_eligible(**id) || fell(p, **id)));
        let others: Vec<BrokerId> = others.copied().collect();
        Some(format!(
            "unclean election: {name}-{partition} is led by node {leader} from leader epoch {epoch} on; acknowledged records \
             that it does not hold are lost, those of ISR {:?}, ELR {:?}, last known ELR {:?}; nodes {others:?} cut what it \
             does not have when they follow it",
            p.isr, p.elr, p.last_known_elr
        ))
    };
    records.iter().filter_map(about).collect()
}

fn fell(p: &Partition, id: BrokerId) -> bool {
    p.last_known_elr.contains(&id)
}

/// The line about the replicas that a node brought back without all that they acknowledged, if this batch registers it.
/// None inside says that it brought back none.
#[must_use]
pub fn returned_unclean(before: &Image, me: BrokerId, records: &[MetadataRecord]) -> Option<Option<String>> {
    let node = records.iter().rev().find_map(|record| match record {
        MetadataRecord::Registered { node, .. } if node.broker == me => Some(node),
        _ => None,
    })?;
    let name = |id: &TopicPartition| {
        let topic = before.topics.get(&id.topic);
        topic.map_or_else(|| id.to_string(), |topic| format!("{}-{}", topic.name, id.partition))
    };
    let mut named: Vec<String> = node.unclean.iter().take(LINES).map(name).collect();
    let more = node.unclean.len() - named.len();
    if more > 0 {
        named.push(format!("{more} more"));
    }
    Some((!named.is_empty()).then(|| {
        format!(
            "replicas of this node may lack records that they acknowledged, and count again when they have followed their \
             leaders: {}",
            named.join(", ")
        )
    }))
}

fn about_node(record: &MetadataRecord, index: u64) -> Option<String> {
    match record {
        MetadataRecord::Registered { node, .. } => {
            let short = match node.unclean.len() {
                0 => String::new(),
                n => format!(", {n} of its replicas may lack records"),
            };
            Some(format!("node {} is registered, broker epoch {index}{short}", node.broker))
        }
        MetadataRecord::BrokerChange { broker_id, epoch, fenced: Some(true), .. } => {
            Some(format!("node {broker_id} is fenced, broker epoch {epoch}"))
        }
        MetadataRecord::BrokerChange { broker_id, epoch, fenced: Some(false), .. } => {
            Some(format!("node {broker_id} is unfenced, broker epoch {epoch}"))
        }
        MetadataRecord::BrokerChange { broker_id, shutting_down: Some(true), .. } => {
            Some(format!("node {broker_id} ends, and its leaderships move"))
        }
        _ => None,
    }
}

fn reasons(records: &[MetadataRecord]) -> String {
    let named = |record: &MetadataRecord| match record {
        MetadataRecord::Registered { node, .. } => Some(format!("node {} starts anew", node.broker)),
        MetadataRecord::BrokerChange { broker_id, fenced: Some(fenced), .. } => {
            Some(format!("node {broker_id} is {}", if *fenced { "fenced" } else { "unfenced" }))
        }
        MetadataRecord::BrokerChange { broker_id, shutting_down: Some(true), .. } => {
            Some(format!("node {broker_id} ends"))
        }
        _ => None,
    };
    records.iter().filter_map(named).collect::<Vec<_>>().join(", ")
}

/// The line about a partition, and whether another node leads it now.
fn about_partition(before: &Image, change: &PartitionChange, why: &str) -> Option<(String, bool)> {
    let topic = before.topics.get(&change.topic)?;
    let p = topic.partition(change.partition)?;
    let mut parts = Vec::new();
    let election = p.leader != change.leader;
    if election {
        parts.push(format!("leader {} -> {}", leader(p.leader), leader(change.leader)));
    }
    if p.leader_epoch != change.leader_epoch {
        parts.push(format!("leader epoch {} -> {}", p.leader_epoch, change.leader_epoch));
    }
    if p.isr != change.isr {
        parts.push(format!("ISR {:?} -> {:?}", p.isr, change.isr));
    }
    if let Some(elr) = change.elr.as_ref().filter(|elr| **elr != p.elr) {
        parts.push(format!("ELR {:?} -> {elr:?}", p.elr));
    }
    if change.unclean_epoch.is_some() {
        parts.push("elected uncleanly".to_owned());
    }
    if parts.is_empty() {
        return None;
    }
    let epochs = format!("partition epoch {}", change.partition_epoch);
    Some((format!("{}-{}: {}, {epochs}: {why}", topic.name, change.partition, parts.join(", ")), election))
}

fn leader(id: BrokerId) -> String {
    if id < 0 { "none".to_owned() } else { id.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TopicId;
    use crate::metadata::{Registration, SyncedPositions};

    fn image(partitions: usize) -> Image {
        let mut image = Image::default();
        let topic = MetadataRecord::Topic {
            id: TopicId([1; 16]),
            name: "t".into(),
            replicas: vec![vec![1, 2, 3]; partitions],
            isr: Vec::new(),
            default_factor: false,
            configs: Default::default(),
        };
        image.apply_batch(1, &[topic]);
        image
    }

    fn change(partition: i32, leader: i32) -> MetadataRecord {
        MetadataRecord::PartitionChange(PartitionChange {
            topic: TopicId([1; 16]),
            partition,
            leader,
            leader_epoch: 1,
            isr: vec![2, 3],
            partition_epoch: 1,
            ..PartitionChange::default()
        })
    }

    fn fenced() -> MetadataRecord {
        let synced = SyncedPositions::new();
        MetadataRecord::BrokerChange {
            broker_id: 1,
            epoch: 5,
            fenced: Some(true),
            shutting_down: None,
            synced,
        }
    }

    #[test]
    fn an_election_is_told_with_its_reason() {
        let lines = event_lines(&image(1), 9, &[fenced(), change(0, 2)]);
        assert_eq!(
            lines,
            [
                "node 1 is fenced, broker epoch 5",
                "t-0: leader 1 -> 2, leader epoch 0 -> 1, ISR [1, 2, 3] -> [2, 3], partition epoch 1: node 1 is fenced",
            ]
        );
        let lines = event_lines(&image(1), 9, &[change(0, 1)]);
        assert!(lines[0].ends_with("partition epoch 1: as its leader asked"), "{lines:?}");
    }

    #[test]
    fn an_unclean_election_says_what_it_may_lose() {
        let mut image = image(2);
        let topic = std::sync::Arc::make_mut(image.topics.get_mut(&TopicId([1; 16])).unwrap());
        let p = &mut topic.partitions[1];
        (p.leader, p.isr, p.last_known_elr) = (-1, vec![3], vec![2]);
        let unclean = PartitionChange {
            topic: TopicId([1; 16]),
            partition: 1,
            leader: 1,
            leader_epoch: 7,
            isr: vec![1],
            unclean_epoch: Some(7),
            ..PartitionChange::default()
        };
        let lines = unclean_elections(&image, &[change(0, 2), MetadataRecord::PartitionChange(unclean)]);
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert!(line.starts_with("unclean election: t-1 is led by node 1 from leader epoch 7 on"), "{line}");
        assert!(line.contains("ISR [3], ELR [], last known ELR [2]; nodes [2, 3] cut"), "{line}");
    }

    #[test]
    fn a_node_says_which_of_its_replicas_came_back_unclean() {
        let registered = |broker, unclean: Vec<i32>| {
            let id = |partition| TopicPartition { topic: TopicId([1; 16]), partition };
            let unclean = unclean.into_iter().map(id).collect();
            let node = Registration { broker, unclean, ..Registration::default() };
            MetadataRecord::Registered { node: Box::new(node), fenced: true }
        };
        let said = |me, records: &[MetadataRecord]| returned_unclean(&image(40), me, records);
        assert_eq!(said(1, &[registered(2, vec![0]), change(0, 2)]), None);
        assert_eq!(said(1, &[registered(1, vec![])]), Some(None));
        let line = said(1, &[registered(1, vec![0, 39])]).unwrap().unwrap();
        assert!(line.ends_with(": t-0, t-39"), "{line}");
        let line = said(1, &[registered(1, (0..30).collect())]).unwrap().unwrap();
        assert!(line.ends_with("t-19, 10 more"), "{line}");
    }

    #[test]
    fn many_partitions_are_summed_up() {
        let records: Vec<_> = [fenced()].into_iter().chain((0..50).map(|n| change(n, 1 + n % 2))).collect();
        let lines = event_lines(&image(50), 9, &records);
        assert_eq!(lines.len(), 1 + LINES + 1);
        assert_eq!(
            lines.last().unwrap(),
            "and 30 partitions more, 15 of them with another leader: node 1 is fenced"
        );
    }
}
