//! The files that a run leaves: its history as lines of JSON, its timeline as a page.
//!
//! A run that could not go on leaves them too, because then a reader needs them most. They are written once, at the end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result};

use super::cluster::Cluster;
use super::map::View;
use crate::history::{History, write};
use crate::timeline::{Input, page};

/// Leaders and ISRs at the start, by partition, for a timeline.
pub(super) type Places = BTreeMap<String, (i32, Vec<i32>)>;

/// Leaders and ISRs of a topic.
pub(super) fn places(topic: &str, view: &View) -> Places {
    let place = |(partition, place): (&i32, &super::map::Place)| {
        (format!("{topic}-{partition}"), (place.leader, place.isr.clone()))
    };
    view.places.iter().map(place).collect()
}

/// How a run ended, for its page.
pub(super) struct Outcome {
    pub title: String,
    pub good: bool,
    pub summary: Vec<String>,
    /// The checker's findings, in words.
    pub findings: Vec<String>,
}

/// Writes a history to a file.
pub(super) fn history(path: &Path, history: &History) -> Result<()> {
    let what = || format!("the history {}", path.display());
    write(history, &mut BufWriter::new(File::create(path).with_context(what)?)).with_context(what)
}

/// Draws a run from what its clients and its nodes told, into one HTML file.
pub(super) fn timeline(
    path: &Path,
    cluster: &Cluster,
    history: &History,
    places: &Places,
    outcome: Outcome,
) -> Result<()> {
    let Outcome { title, good, summary, findings } = outcome;
    let mut nodes: Vec<i32> = (0..cluster.nodes.nodes.len()).map(|node| cluster.id(node)).collect();
    nodes.sort_unstable();
    let (events, told) = (&cluster.events.0[..], &cluster.told);
    let places = places.clone();
    let page = page(&Input { title, summary, findings, good, history, events, told, nodes, places });
    std::fs::write(path, page).with_context(|| format!("the timeline {}", path.display()))
}
