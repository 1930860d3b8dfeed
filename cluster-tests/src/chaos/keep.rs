//! The files that a run leaves: its history as lines of JSON, its timeline as a page.
//!
//! A run that could not go on leaves them too, because then a reader needs them most. They are written once, at the end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;

use anyhow::{Context, Result};

use super::cluster::Cluster;
use super::map::View;
use super::options::{Options, TOPIC};
use crate::history::{History, write};
use crate::timeline::{Input, page};

/// Leaders and ISRs at the start, for a timeline.
pub(super) fn places(view: &View) -> BTreeMap<String, (i32, Vec<i32>)> {
    let place = |(partition, place): (&i32, &super::map::Place)| {
        (format!("{TOPIC}-{partition}"), (place.leader, place.isr.clone()))
    };
    view.places.iter().map(place).collect()
}

/// How a run ended.
pub(super) struct Outcome {
    pub good: bool,
    pub summary: Vec<String>,
    /// The checker's findings, in words.
    pub findings: Vec<String>,
}

/// Writes the files that the options name.
pub(super) fn keep(
    options: &Options,
    cluster: &Cluster,
    history: &History,
    places: &BTreeMap<String, (i32, Vec<i32>)>,
    outcome: Outcome,
) -> Result<()> {
    if let Some(path) = &options.history {
        let what = || format!("the history {}", path.display());
        write(history, &mut BufWriter::new(File::create(path).with_context(what)?)).with_context(what)?;
    }
    let Some(path) = &options.timeline else { return Ok(()) };
    let Outcome { good, summary, findings } = outcome;
    let mut nodes: Vec<i32> = (0..options.nodes).map(|node| cluster.id(node)).collect();
    nodes.sort_unstable();
    let kills = options.kills;
    let title = format!(
        "Callboard under fire: {} nodes, {} partitions, {kills} kills, seed {}",
        options.nodes, options.partitions, options.seed
    );
    let (events, told) = (&cluster.events.0[..], &cluster.told);
    let places = places.clone();
    let page = page(&Input { title, summary, findings, good, history, events, told, nodes, places });
    std::fs::write(path, page).with_context(|| format!("the timeline {}", path.display()))
}
