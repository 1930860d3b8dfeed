//! Three nodes under a verified load while the disk of one of them rots, loses a shard, fails, hangs or fills up (F23, F25,
//! F26, F27).
//!
//! Nobody lends a hand: the node leaves the ISRs, the others go on, and when its disk works again it is filled by the leaders
//! and returns. No acknowledged record may be lost, be there twice or stand out of order. Times are printed and not asserted.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use callboard_cluster_tests::chaos::{Cluster, Options, STUCK, Work, finish};
use callboard_cluster_tests::process::faults::Faults;
use callboard_cluster_tests::process::{HANG, need, say};
use parking_lot::Mutex;

/// Three nodes and their load: one cluster at a time.
static ALONE: Mutex<()> = Mutex::new(());

struct Site {
    cluster: Cluster,
    work: Work,
}

impl Site {
    fn start(options: &Options) -> Result<Site> {
        let mut cluster = Cluster::start(options)?;
        let work = Work::start(cluster.map(), options).map_err(|error| cluster.story(&error))?;
        Ok(Site { cluster, work })
    }

    /// Runs the case, ends the load, reads everything back and judges it.
    fn judged(mut self, case: impl FnOnce(&mut Cluster, &Work) -> Result<()>) -> Result<()> {
        let outcome = case(&mut self.cluster, &self.work);
        if outcome.is_err() {
            self.work.stop();
        }
        outcome.map_err(|error| self.cluster.story(&error))?;
        let report = finish(&mut self.cluster, &mut self.work, Vec::new());
        let report = report.map_err(|error| self.cluster.story(&error))?;
        ensure!(report.broken.is_none() && report.odd.is_empty(), "{report}");
        Ok(())
    }
}

/// A node that is not the controller's, because the metadata log has cases of its own.
fn other_than_controller(cluster: &mut Cluster) -> Result<usize> {
    let controller = cluster.controller()?;
    Ok((controller + 1) % 3)
}

/// The newest file of a directory, by name.
fn newest(dir: &Path) -> Result<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|end| end == "seg"));
    files.sort();
    files.pop().with_context(|| format!("no segment in {}", dir.display()))
}

/// Turns one bit of some byte within the first third of what was written to a file.
fn rot(path: &Path) -> Result<()> {
    let bytes = std::fs::read(path)?;
    let written = bytes.iter().rposition(|byte| *byte != 0).context("an empty file")?;
    let at = (written / 3..written).find(|at| bytes[*at] != 0).context("nothing to spoil")?;
    let file = std::fs::OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&[bytes[at] ^ 4], at as u64)?;
    Ok(())
}

/// Whether a line with this text stands in the log of a node's present run, within the limit of a hang.
fn says(cluster: &mut Cluster, node: usize, text: &str) -> Result<()> {
    let lines = cluster.nodes.nodes[node].lines();
    lines.wait_for(text, 0, HANG).with_context(|| format!("node {} did not say `{text}`", node + 1)).map(drop)
}

fn whole(cluster: &mut Cluster, work: &Work) -> Result<()> {
    cluster.wait_whole(work.partitions(), STUCK).map(drop)
}

#[test]
fn a_flipped_bit_that_a_start_finds_is_mended_by_the_leaders() -> Result<()> {
    let _alone = ALONE.lock();
    Site::start(&Options::default())?.judged(|cluster, work| {
        let node = other_than_controller(cluster)?;
        work.acks(3_000, STUCK, || Ok(()))?;
        cluster.kill(node)?;
        rot(&newest(&cluster.nodes.nodes[node].data().join("shard-0/journal"))?)?;
        let began = Instant::now();
        cluster.launch(node)?;
        cluster.wait_ready(node)?;
        says(cluster, node, "it begins anew")?;
        whole(cluster, work)?;
        say(&format!("cluster_disks: rot found at a start; whole again after {:?}", began.elapsed()));
        // A clean start shows that the repair is on disk, and that nothing of the rot is remembered.
        cluster.kill(node)?;
        cluster.launch(node)?;
        cluster.wait_ready(node)?;
        whole(cluster, work)?;
        let again = cluster.nodes.nodes[node].lines().tail(usize::MAX);
        ensure!(!again.contains("it begins anew"), "it was mended twice:\n{again}");
        Ok(())
    })
}

#[test]
fn a_lost_shard_is_filled_again_in_the_other_one() -> Result<()> {
    let _alone = ALONE.lock();
    let options = Options { shards: 2, ..Options::default() };
    Site::start(&options)?.judged(|cluster, work| {
        let node = other_than_controller(cluster)?;
        work.acks(2_000, STUCK, || Ok(()))?;
        cluster.kill(node)?;
        std::fs::remove_dir_all(cluster.nodes.nodes[node].data().join("shard-1"))?;
        cluster.launch(node)?;
        cluster.wait_ready(node)?;
        says(cluster, node, "shard 1 is lost")?;
        says(cluster, node, "it begins anew")?;
        whole(cluster, work)
    })
}

/// Starts a node again with a disk whose faults the test sets.
fn with_faults(cluster: &mut Cluster, node: usize, faults: &Faults) -> Result<()> {
    cluster.kill(node)?;
    cluster.nodes.nodes[node].set_wrap(faults.wrap());
    cluster.launch(node)?;
    cluster.wait_ready(node)
}

#[test]
fn a_failed_sync_ends_one_node_and_the_others_go_on() -> Result<()> {
    let Some(faults) = need("cluster_disks", "cc and seccomp", Faults::build()?)? else { return Ok(()) };
    let _alone = ALONE.lock();
    Site::start(&Options::default())?.judged(|cluster, work| {
        let node = other_than_controller(cluster)?;
        with_faults(cluster, node, &faults)?;
        whole(cluster, work)?;
        faults.set("sync error 5\n")?;
        let (code, said) = cluster.nodes.nodes[node].ends()?;
        ensure!(code == Some(70), "it ended with {code:?}:\n{said}");
        let began = Instant::now();
        work.moves_on(began, STUCK, || Ok(()))?;
        say(&format!("cluster_disks: a failed sync; every partition went on after {:?}", began.elapsed()));
        faults.set("")?;
        cluster.launch(node)?;
        cluster.wait_ready(node)?;
        whole(cluster, work)
    })
}

/// A sync that does not return: the leaderships of the node move, it is fenced, and it returns when the disk answers.
fn hangs(cluster: &mut Cluster, work: &Work, node: usize, faults: &Faults) -> Result<()> {
    with_faults(cluster, node, faults)?;
    whole(cluster, work)?;
    let (places, id) = (cluster.places(), cluster.id(node));
    let began = Instant::now();
    faults.set("sync hold\n")?;
    work.moves_on(began + Duration::from_millis(500), STUCK, || Ok(()))?;
    let moved = began.elapsed();
    let fenced = format!("node {id} is fenced");
    let until = Instant::now() + HANG;
    while cluster.said(node, &places, &[&fenced]).is_none() {
        ensure!(Instant::now() < until, "nobody said `{fenced}`");
        work.acks(1, STUCK, || Ok(()))?;
    }
    say(&format!(
        "cluster_disks: a hung sync; all went on after {moved:?}, fenced after {:?}",
        began.elapsed()
    ));
    faults.set("")?;
    whole(cluster, work)
}

#[test]
fn a_hung_sync_moves_leaderships_and_fences_the_node() -> Result<()> {
    let Some(faults) = need("cluster_disks", "cc and seccomp", Faults::build()?)? else { return Ok(()) };
    let _alone = ALONE.lock();
    Site::start(&Options::default())?.judged(|cluster, work| {
        let node = other_than_controller(cluster)?;
        hangs(cluster, work, node, &faults)
    })
}

#[test]
fn a_hung_sync_of_the_controllers_node_holds_nobody_up() -> Result<()> {
    let Some(faults) = need("cluster_disks", "cc and seccomp", Faults::build()?)? else { return Ok(()) };
    let _alone = ALONE.lock();
    Site::start(&Options::default())?.judged(|cluster, work| {
        // The restart with faults moves the controller, so others are killed until it comes back.
        let node = cluster.controller()?;
        with_faults(cluster, node, &faults)?;
        whole(cluster, work)?;
        while cluster.controller()? != node {
            let leads = cluster.controller()?;
            cluster.kill(leads)?;
            cluster.launch(leads)?;
            cluster.wait_ready(leads)?;
            whole(cluster, work)?;
        }
        let (places, id) = (cluster.places(), cluster.id(node));
        let began = Instant::now();
        faults.set("sync hold\n")?;
        work.moves_on(began + Duration::from_millis(500), STUCK, || Ok(()))?;
        say(&format!("cluster_disks: a hung controller; all went on after {:?}", began.elapsed()));
        let fenced = format!("node {id} is fenced");
        let until = Instant::now() + HANG;
        while cluster.said(node, &places, &[&fenced]).is_none() {
            ensure!(Instant::now() < until, "nobody said `{fenced}`");
            work.acks(1, STUCK, || Ok(()))?;
        }
        faults.set("")?;
        whole(cluster, work)
    })
}
