//! Bytes that changed while a node was down: a torn tail, one bit of old records, one bit of the metadata.
//!
//! The node is killed, so its page cache holds all that it wrote; files are changed through it. A real torn tail was never
//! acknowledged from this disk. Here it was, which is harder: the others have it, and this node must fetch it again.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::super::bench::Bench;
use super::super::fault::{Fault, Promise};

/// Bytes in front of the first group of a segment.
const HEADER: u64 = 512;
const BLOCK: usize = 4_096;
/// A node that neither serves nor ends within this time does both slowly.
const DECIDES: Duration = Duration::from_secs(30);
/// Bits of the metadata that flip at once, because most pages of a small file are free.
const FLIPS: usize = 64;

pub(super) const LIST: &[Fault] = &[
    Fault {
        id: "F22",
        words: "the journal's last bytes are gone after a kill",
        needs: &[],
        nodes: 3,
        promise: Promise::Node,
        expected: "the tail is dropped and fetched again",
        play: torn,
    },
    Fault {
        id: "F23",
        words: "a bit of old records flips while a node is down",
        needs: &[],
        nodes: 3,
        promise: Promise::Node,
        expected: "found; the replica leaves the ISR and is repaired",
        play: flipped,
    },
    Fault {
        id: "F24",
        words: "bits of one node's meta.redb flip while it is down",
        needs: &[],
        nodes: 3,
        promise: Promise::Node,
        expected: "the node refuses to vote and deletes nothing",
        play: metadata,
    },
];

/// A node by the seed, a leader or not, killed.
fn down(bench: &mut Bench<'_>, words: &str) -> Result<(usize, PathBuf)> {
    bench.roles()?;
    bench.work()?.acks(500, super::super::round::STUCK, || Ok(()))?;
    let node = bench.rng.below(bench.count() as u64) as usize;
    bench.injected(Some(node), format!("kill -9, then {words}"));
    bench.cluster.kill(node)?;
    let data = bench.cluster.nodes.nodes.get(node).context("no such node")?.data();
    Ok((node, data))
}

/// The newest segment of each shard that holds groups, and where its last byte that is not zero stands.
fn tails(data: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut tails = Vec::new();
    for shard in
        std::fs::read_dir(data)?.flatten().filter(|e| e.file_name().to_string_lossy().starts_with("shard-"))
    {
        let journal = shard.path().join("journal");
        let mut segments: Vec<PathBuf> =
            std::fs::read_dir(&journal)?.flatten().map(|entry| entry.path()).collect();
        segments.retain(|path| path.extension().is_some_and(|ext| ext == "seg"));
        // Named by position with leading zeros, so the order of names is that of the log.
        segments.sort();
        for path in segments.into_iter().rev() {
            let end = last_byte(&path)?;
            if end > HEADER {
                tails.push((path, end));
                break;
            }
        }
    }
    ensure!(!tails.is_empty(), "no segment with groups below {}", data.display());
    Ok(tails)
}

/// Where the last byte stands that is not zero; 0 if there is none.
fn last_byte(path: &Path) -> Result<u64> {
    let file = File::open(path)?;
    let mut end = file.metadata()?.len();
    let mut block = vec![0; BLOCK];
    while end > 0 {
        let begin = end.saturating_sub(BLOCK as u64);
        let part = block.get_mut(..(end - begin) as usize).context("a block")?;
        file.read_exact_at(part, begin)?;
        if let Some(at) = part.iter().rposition(|byte| *byte != 0) {
            return Ok(begin + at as u64);
        }
        end = begin;
    }
    Ok(0)
}

fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.with_context(|| path.display().to_string())
}

fn flip(file: &File, at: u64, bit: u64) -> Result<()> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    byte[0] ^= 1 << (bit % 8);
    Ok(file.write_all_at(&byte, at)?)
}

fn torn(bench: &mut Bench<'_>) -> Result<String> {
    let (node, data) = down(bench, "a torn tail")?;
    let how = bench.rng.below(3);
    let gone = 1 + bench.rng.below(2_000);
    for (path, end) in tails(&data)? {
        let file = open(&path)?;
        let (from, length) = ((end + 1).saturating_sub(gone).max(HEADER), file.metadata()?.len());
        match how {
            0 => file.set_len(from)?,
            1 => {
                // The length stays, as of a file whose blocks were made ahead.
                file.set_len(from)?;
                file.set_len(length)?;
            }
            _ => file.write_all_at(&vec![0xa5; (end + 1 - from) as usize], from)?,
        }
        file.sync_all()?;
    }
    let how = ["cut off", "zeroed", "overwritten"].get(how as usize).copied().unwrap_or_default();
    Ok(format!("node {}, {gone} bytes {how}", bench.cluster.id(node)))
}

fn flipped(bench: &mut Bench<'_>) -> Result<String> {
    let (node, data) = down(bench, "a flipped bit")?;
    let mut places = Vec::new();
    for (path, end) in tails(&data)? {
        // Well below the tail, so that it is rot and not a torn write.
        let room = (end - HEADER) * 3 / 4;
        let at = HEADER + bench.rng.below(room.max(1));
        flip(&open(&path)?, at, bench.rng.any())?;
        places.push(format!("byte {at} of {}", path.file_name().unwrap_or_default().to_string_lossy()));
    }
    bench.cluster.launch(node)?;
    bench.cluster.wait_ready(node)?;
    // A leader's copy is what clients read, so the check reads of this one what it leads.
    let led = bench.make_leader(node)?;
    Ok(format!("node {}, {}; it leads {led} afterwards", bench.cluster.id(node), places.join(", ")))
}

/// Names of the files below a directory.
fn names(dir: &Path) -> Result<Vec<PathBuf>> {
    let (mut names, mut open) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir)?.flatten() {
            if entry.file_type()?.is_dir() { open.push(entry.path()) } else { names.push(entry.path()) }
        }
    }
    names.sort();
    Ok(names)
}

fn metadata(bench: &mut Bench<'_>) -> Result<String> {
    let (node, data) = down(bench, "flipped bits of meta.redb")?;
    let path = data.join("meta.redb");
    let file = open(&path)?;
    let length = file.metadata()?.len();
    let flips: Vec<(u64, u64)> = (0..FLIPS).map(|_| (bench.rng.below(length), bench.rng.any())).collect();
    flips.iter().try_for_each(|(at, bit)| flip(&file, *at, *bit))?;
    let before = names(&data)?;
    let id = bench.cluster.id(node);
    bench.cluster.launch(node)?;
    let until = Instant::now() + DECIDES;
    let broker = |bench: &mut Bench<'_>| {
        bench.cluster.nodes.nodes.get_mut(node).is_some_and(|broker| broker.running())
    };
    while Instant::now() < until && broker(bench) {
        let serves =
            bench.cluster.nodes.nodes.get(node).is_some_and(|node| node.lines().holding(" ready in") > 0);
        if serves {
            return Ok(format!(
                "node {id}, {FLIPS} bits; it serves, so they lay in free pages or were mended"
            ));
        }
        bench.hold(Duration::from_millis(100));
    }
    let said = bench.cluster.nodes.nodes.get(node).map(|node| node.lines().tail(1)).unwrap_or_default();
    if broker(bench) {
        bench.cluster.kill(node)?;
    }
    let kept = names(&data)?;
    let gone: Vec<&PathBuf> = before.iter().filter(|path| !kept.contains(path)).collect();
    ensure!(gone.is_empty(), "node {id} deleted {gone:?}");
    // The operator's disk is well again: the same bits, and all else as it was.
    flips.iter().rev().try_for_each(|(at, bit)| flip(&file, *at, *bit))?;
    file.sync_all()?;
    bench.healed(Some(node));
    Ok(format!("node {id}, {FLIPS} bits; it does not serve: {}", said.trim()))
}
