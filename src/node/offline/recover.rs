//! `callboard recover`: the majority of voters is gone, and this node goes on as the only one.
//!
//! ```text
//!   lock ─> look (in memory) ─> what may be lost ─> the operator types the cluster id ─> meta.redb in one transaction
//! ```
//! Nothing is written before the confirmation, and nothing on any other word. Afterwards the node starts as usual. It
//! refuses nodes of the lower cluster epoch, so an old majority that comes back does not reach it.

use super::directory::{identity, real};
use crate::controller::{Kept, kept, sole_voter};
use crate::storage::disk::{Disk, Overlay};
use crate::storage::{Identity, hold};
use anyhow::{Context as _, bail};
use callboard_core::BrokerId;
use callboard_core::metadata::recovery::{AtRisk, at_risk};
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;

/// How the operator confirms.
pub enum Confirmed<'a> {
    /// The operator types the cluster id when asked.
    Asked(&'a mut dyn BufRead),
    /// A script gives it on the command line.
    Given(&'a str),
}

/// Makes the node of this directory the only voter of its cluster, if the operator confirms it. The report goes to `out`.
pub fn recover(dir: &Path, confirmed: Confirmed<'_>, out: &mut dyn Write) -> anyhow::Result<()> {
    let real = real(dir)?;
    let identity = identity(&*real, dir)?;
    if identity.forming.is_none() {
        bail!(
            "{} is the directory of a node that is alone: it has no other voters, and starts as it is",
            dir.display()
        );
    }
    let _lock = hold(&*real, dir)?;
    let overlay: Arc<dyn Disk> = Arc::new(Overlay::new(Arc::clone(&real)));
    let node = identity.node_id;
    let kept = kept(&overlay, dir, node)?;
    let cluster = kept.image.cluster_id.clone().context(
        "its metadata name no cluster: the cluster was not founded yet, so start its nodes with empty directories",
    )?;
    report(out, &identity, &kept, &cluster)?;
    let typed = match confirmed {
        Confirmed::Given(typed) => typed.to_owned(),
        Confirmed::Asked(input) => {
            write!(
                out,
                "\nType the cluster id to go on with node {node} alone, anything else to leave all as it is: "
            )?;
            out.flush()?;
            let mut line = String::new();
            input.read_line(&mut line)?;
            line.trim().to_owned()
        }
    };
    if typed != cluster {
        bail!("nothing was changed: the word typed is not the cluster id {cluster}");
    }
    let granted = u64::try_from(identity.last_broker_epoch).unwrap_or(0);
    let epoch = sole_voter(&real, dir, node, granted)?;
    writeln!(
        out,
        "\nnode {node} is the only voter of cluster {cluster} from now on, cluster epoch {epoch}. Start it as before.\n\
         Empty the directories of all other nodes before they start again: as they are, this node refuses them, and two of\n\
         them would go on as a cluster of their own."
    )?;
    Ok(())
}

fn report(out: &mut dyn Write, identity: &Identity, kept: &Kept, cluster: &str) -> std::io::Result<()> {
    let (image, node) = (&kept.image, identity.node_id);
    let others: Vec<BrokerId> = kept.voters.iter().copied().filter(|voter| *voter != node).collect();
    writeln!(out, "cluster {cluster}, cluster epoch {}, node {node}", image.cluster_epoch)?;
    if others.is_empty() {
        writeln!(
            out,
            "node {node} is the only voter already; a further recovery only raises the cluster epoch"
        )?;
    } else {
        writeln!(
            out,
            "voters that are given up: {others:?}. If one of them can be started instead, start it."
        )?;
    }
    let committed = kept.committed.unwrap_or(0);
    writeln!(out, "\nMetadata: {} entries, {committed} of them known to be committed.", kept.last)?;
    if kept.last > committed {
        writeln!(
            out,
            "  entries {} to {} are taken as committed, though they may never have been",
            committed + 1,
            kept.last
        )?;
    }
    writeln!(
        out,
        "  entries that the other voters committed without this node are lost: topics, configs, changes of leaders"
    )?;
    let risks = at_risk(image, node);
    let partitions: usize = image.topics.values().map(|topic| topic.partitions.len()).sum();
    writeln!(
        out,
        "\nRecords: {} of {partitions} partitions are certainly whole here, as far as these metadata know.",
        partitions - risks.len()
    )?;
    risks.iter().try_for_each(|risk| writeln!(out, "  {}", line(risk)))
}

fn line(risk: &AtRisk) -> String {
    let AtRisk { topic, partition, isr, elr, replica } = risk;
    let lists = format!("ISR {isr:?}, ELR {elr:?}");
    if *replica {
        format!(
            "{topic}-{partition}: {lists}: the replica here may lack acknowledged records; it leads only after an unclean \
             election (kafka-leader-election --election-type unclean)"
        )
    } else {
        format!(
            "{topic}-{partition}: {lists}: no replica is here, so its records are lost with the other nodes"
        )
    }
}
