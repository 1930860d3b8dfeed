//! The promise to a group: an acknowledged place is found again, there or behind it, whichever node coordinates.
//!
//! A place must also be one that some member has asked for. The marks are taken before the question, so a commit that is
//! acknowledged meanwhile accuses nobody. This file asks; the members read and commit.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kafka_protocol::messages::OffsetFetchRequest;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::protocol::StrBytes;

use super::recorder::DRIVER;
use super::shared::Shared;
use crate::process::HANG;
use crate::process::wire::{Wire, code, name};

const OFFSETS: i16 = 7;
pub(super) const BACKOFF: Duration = Duration::from_millis(50);
/// A join waits for the other members, for one session at most.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A broken promise, as opposed to a node that is gone.
#[derive(Debug)]
pub(super) struct Broken(pub String);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

/// Asks for the committed offsets, once, and holds them against what was acknowledged before the question.
pub(super) fn committed(work: &Shared, wire: &mut Wire, process: u32) -> Result<BTreeMap<i32, i64>> {
    let begin = work.record.now();
    let (before, group) = (work.marks.lock().clone(), &work.group);
    let topic = OffsetFetchRequestTopic::default()
        .with_name(name(&work.topic))
        .with_partition_indexes((0..work.partitions).collect());
    let request =
        OffsetFetchRequest::default().with_group_id(text(&work.group).into()).with_topics(Some(vec![topic]));
    let answer = wire.call(OFFSETS, &request)?;
    if answer.error_code != code::NONE {
        bail!("OffsetFetch: error {}", answer.error_code);
    }
    let topic = answer.topics.first().context("OffsetFetch: no topic in the answer")?;
    let places: BTreeMap<i32, i64> =
        topic.partitions.iter().map(|p| (p.partition_index, p.committed_offset)).collect();
    work.record.committed(process, group, begin, &places);
    let now = work.marks.lock().clone();
    for (partition, mark) in &before {
        let place = places.get(partition).copied().unwrap_or(-1);
        let asked = now.get(partition).map_or(0, |mark| mark.asked);
        if mark.acked > 0 && place < mark.acked {
            let what = format!("{group}: partition {partition} went back from {} to {place}", mark.acked);
            return Err(Broken(what).into());
        }
        if place > asked {
            let what =
                format!("{group}: partition {partition} is at {place}, and {asked} was the most asked for");
            return Err(Broken(what).into());
        }
    }
    Ok(places)
}

/// Asks the coordinator until it answers; an error if a place went back.
pub(super) fn kept(work: &Shared) -> Result<()> {
    let until = Instant::now() + HANG;
    loop {
        let found =
            work.map.coordinator(&work.group).and_then(|addr| Wire::connect(addr)?.patience(PATIENCE));
        match found.and_then(|mut wire| committed(work, &mut wire, DRIVER)) {
            Ok(_) => return Ok(()),
            Err(error) if error.downcast_ref::<Broken>().is_some() => return Err(error),
            Err(error) if Instant::now() > until => {
                return Err(error.context(format!("{}: no committed offsets for {HANG:?}", work.group)));
            }
            Err(_) => std::thread::sleep(BACKOFF),
        }
    }
}
