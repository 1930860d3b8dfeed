//! Bounds what the controller keeps: asks that wait, and proposals that are on their way.
//!
//! Beyond the bound an ask is refused and was never proposed (R44). Clients get half of the room, so a flood of them leaves
//! the other half to nodes: their registrations and ISRs must go on. A consequence of a judgement always has room, because
//! it names only what is not on its way yet.

use super::messages::Ask;
use crate::ids::Ticket;
use crate::limits;
use crate::metadata::record::MetadataRecord;

/// About the memory of a record, and of a partition that it makes, in the record and in the image ahead.
const RECORD_BYTES: usize = 512;

/// A share of the room.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Load {
    number: usize,
    bytes: usize,
}

impl Load {
    /// An ask that is kept. Its JSON is about as large as it is.
    pub fn of(ask: &Ask) -> Load {
        Load { number: 1, bytes: serde_json::to_vec(ask).map_or(0, |json| json.len()) }
    }

    /// The records of one proposal.
    pub fn of_records(records: &[MetadataRecord]) -> Load {
        let bytes = records.iter().map(bytes_of).fold(0, usize::saturating_add);
        Load { number: 1, bytes }
    }

    /// The sum of this load and another one.
    pub fn and(self, other: Load) -> Load {
        Load {
            number: self.number.saturating_add(other.number),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// Whether there is room for more beside this load. An idle controller has room for anything.
    pub fn has_room(self, ask: &Ask, more: Load) -> bool {
        let share = if of_client(ask) { 2 } else { 1 };
        let both = self.and(more);
        let fits =
            both.number <= limits::CONTROLLER_KEPT / share && both.bytes <= limits::CONTROLLER_BYTES / share;
        fits || self == Load::default()
    }
}

fn bytes_of(record: &MetadataRecord) -> usize {
    let text = |name: &String, value: Option<&String>| name.len() + value.map_or(0, String::len);
    let more = match record {
        MetadataRecord::Topic { replicas, configs, .. } => {
            let texts: usize = configs.iter().map(|(name, value)| text(name, Some(value))).sum();
            replicas.len().saturating_mul(RECORD_BYTES).saturating_add(texts)
        }
        MetadataRecord::Partitions { replicas, .. } => replicas.len().saturating_mul(RECORD_BYTES),
        MetadataRecord::Configs { changes, .. } => {
            changes.iter().map(|(name, value)| text(name, value.as_ref())).sum()
        }
        _ => 0,
    };
    RECORD_BYTES.saturating_add(more)
}

fn of_client(ask: &Ask) -> bool {
    match ask {
        Ask::CreateTopics { .. }
        | Ask::DeleteTopics(_)
        | Ask::CreatePartitions { .. }
        | Ask::ElectLeaders { .. }
        | Ask::AlterConfigs { .. } => true,
        Ask::Found { .. }
        | Ask::Register { .. }
        | Ask::ProducerIds
        | Ask::Opened(_)
        | Ask::AlterIsr { .. }
        | Ask::RenewEpochs { .. } => false,
    }
}

/// Asks that wait in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    asks: Vec<(Ticket, Ask, Load)>,
}

impl Queue {
    pub fn load(&self) -> Load {
        self.asks.iter().fold(Load::default(), |sum, (_, _, load)| sum.and(*load))
    }

    pub fn push(&mut self, ticket: Ticket, ask: Ask, load: Load) {
        self.asks.push((ticket, ask, load));
    }

    /// Takes out the registration whose place a newer one of the same process takes.
    pub fn replaced_by(&mut self, newer: &Ask) -> Option<Ticket> {
        let process = |ask: &Ask| match ask {
            Ask::Register { node, .. } => node.process.map(|process| (node.broker, process)),
            _ => None,
        };
        let new = process(newer)?;
        let at = self.asks.iter().position(|(_, ask, _)| process(ask) == Some(new))?;
        Some(self.asks.remove(at).0)
    }

    /// Gives all asks to whoever decides them now, and is empty then.
    pub fn take(&mut self) -> Vec<(Ticket, Ask)> {
        std::mem::take(&mut self.asks).into_iter().map(|(ticket, ask, _)| (ticket, ask)).collect()
    }
}
