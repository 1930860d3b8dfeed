//! A few faults of `chaos --faults`, each once, on one cluster of three: partitions on the wire, power cuts on real disks.
//!
//! After each of them every acknowledged record is read back, none is there twice, and the ISR is full again. Gaps are printed
//! and not asserted. The test runs itself once more within namespaces (`wire::again`). Namespaces are required in CI; disks on
//! loop devices are not, because only root may mount them: what is left out is said in words. `CALLBOARD_FAULTS=F13,F27` and
//! `CALLBOARD_SEED` change a run here; the same for users is `callboard-cluster-tests chaos --faults`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use callboard_cluster_tests::chaos::suite::{Choice, play};
use callboard_cluster_tests::chaos::{Bench, Fault, Need, Options, Promise, faults};
use callboard_cluster_tests::process::{HANG, need, say};
use callboard_cluster_tests::wire::{Rule, again, cleanup, scratch, way, within};
use parking_lot::Mutex;
use tempfile::TempDir;

const TEST: &str = "what_was_acknowledged_outlives_these_faults";
const FAULTS: &str = "F06,F09,F10,F17,F18,F19,F20";

#[test]
fn what_was_acknowledged_outlives_these_faults() -> Result<()> {
    if within() {
        std::fs::write(std::env::temp_dir().join("ran"), "")?;
        return played();
    }
    let Some((status, _)) = within_namespaces(TEST)? else { return Ok(()) };
    ensure!(status.success(), "the test within the namespaces ended with {status}");
    Ok(())
}

/// Runs a test of this file once more within namespaces; `None` if this machine allows none. The directory was its own.
fn within_namespaces(test: &str) -> Result<Option<(ExitStatus, TempDir)>> {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock();
    cleanup();
    let way = way().map_err(|why| say(&format!("NOT RUN: faults by the wire: {why}"))).ok();
    let Some(way) = need("cluster_faults", "network namespaces", way)? else { return Ok(None) };
    let scratch = scratch()?;
    let status = again(way, scratch.path(), &["--exact", test, "--nocapture"])?;
    ensure!(scratch.path().join("ran").exists(), "the second run does not know {test}");
    Ok(Some((status, scratch)))
}

fn played() -> Result<()> {
    let names = std::env::var("CALLBOARD_FAULTS").unwrap_or_else(|_| FAULTS.to_owned());
    let names: Vec<&str> = names.split(',').collect();
    let chosen: Vec<_> = faults::all().into_iter().filter(|fault| names.contains(&fault.id)).collect();
    ensure!(chosen.len() == names.len(), "a fault of {names:?} is unknown");
    let seed = std::env::var("CALLBOARD_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(21);
    let logs = std::env::var_os("CALLBOARD_LOGS").map(Into::into);
    let options = Options { seed, partitions: 3, rate: 1_000, logs, ..Options::default() };
    let pages = scratch()?;
    let options = Options { timeline: Some(pages.path().into()), ..options };
    let outcome = play(&Choice { faults: chosen, time: None, options })?;
    for seen in &outcome.seen {
        ensure!(seen.broken.is_none() && seen.lost + seen.twice == 0, "{seen}");
        ensure!(seen.acked > 0, "{}: nothing was acknowledged", seen.id);
    }
    ensure!(!outcome.seen.is_empty(), "no fault was played: {:?}", outcome.left_out);
    let pages: Vec<String> = std::fs::read_dir(pages.path())?
        .map(|entry| Ok(std::fs::read_to_string(entry?.path())?))
        .collect::<Result<_>>()?;
    let whole = pages.iter().filter(|page| page.contains("<svg") && page.contains("full ISR again after"));
    ensure!(whole.count() == outcome.seen.len(), "{} pages and a report", pages.len());
    Ok(())
}

const DIES: &str = "nothing_is_left_when_a_play_dies";
const WORDS: &str = "a play that is meant to panic";

/// A node stands still, the wire is cut, a disk hangs: everything that has to be taken back.
fn break_all(bench: &mut Bench<'_>) -> Result<String> {
    bench.injected(Some(0), "everything at once");
    if bench.machine.lacks(Need::Wire).is_none() {
        bench.lan()?.between(Rule::CUT, |a, _| a == 0);
    }
    if bench.machine.lacks(Need::Freeze).is_none() {
        bench.freeze(1)?;
    }
    bench.pause(0)?;
    Ok(String::new())
}

static PANICS: Fault = Fault {
    id: "panics",
    words: "a play that panics",
    needs: &[],
    nodes: 3,
    promise: Promise::Node,
    expected: "the next play begins on another cluster",
    play: |bench| {
        break_all(bench)?;
        panic!("{WORDS}")
    },
};

static ABORTS: Fault = Fault {
    id: "aborts",
    words: "a play that ends its own process",
    needs: &[],
    nodes: 3,
    promise: Promise::Node,
    expected: "nothing is left",
    play: |bench| {
        break_all(bench)?;
        std::process::abort()
    },
};

#[test]
fn nothing_is_left_when_a_play_dies() -> Result<()> {
    if within() {
        let dir = std::env::temp_dir();
        std::fs::write(dir.join("ran"), "")?;
        let options = Options { partitions: 3, timeline: Some(dir.join("told")), ..Options::default() };
        let outcome = play(&Choice { faults: vec![&PANICS, &ABORTS], time: None, options })?;
        ensure!(outcome.seen.is_empty(), "the second play went on");
        return Ok(());
    }
    let networks = networks_now()?;
    let Some((status, scratch)) = within_namespaces(DIES)? else { return Ok(()) };
    let report = std::fs::read_to_string(scratch.path().join("told/report.txt"))?;
    ensure!(!status.success(), "a process that aborts ended with {status}");
    ensure!(
        report.contains(&format!("BROKEN: the play panicked: {WORDS}")),
        "the first play's end:\n{report}"
    );
    let until = Instant::now() + HANG;
    loop {
        let left = left(scratch.path(), &networks)?;
        if left.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < until, "left behind:\n{}", left.join("\n"));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Processes, mounts, loop devices and networks that a run with this directory has left. Its namespaces live as long as its
/// processes, because nothing else holds them.
fn left(scratch: &Path, networks: &BTreeSet<String>) -> Result<Vec<String>> {
    let scratch = scratch.to_str().context("a path")?;
    let mut left: Vec<String> =
        networks_now()?.difference(networks).map(|name| format!("network {name}")).collect();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    left.extend(mounts.lines().filter(|line| line.contains(scratch)).map(|line| format!("mount {line}")));
    for process in std::fs::read_dir("/proc")?.flatten() {
        // A process that ends meanwhile has no files, and this user may not read all others.
        let text = |name| std::fs::read(process.path().join(name)).unwrap_or_default();
        let (line, env) = (text("cmdline"), text("environ"));
        if [&line, &env].iter().any(|text| String::from_utf8_lossy(text).contains(scratch)) {
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            left.push(format!("process {}: {line}", process.file_name().to_string_lossy()));
        }
    }
    for device in std::fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let file = std::fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
        if file.contains(scratch) {
            left.push(format!("{}: {file}", device.file_name().to_string_lossy()));
        }
    }
    Ok(left)
}

fn networks_now() -> Result<BTreeSet<String>> {
    let names = std::fs::read_dir("/sys/class/net")?.flatten();
    Ok(names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}
