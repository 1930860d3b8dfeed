//! A few faults of `chaos --faults`, each once, on one cluster of three: partitions on the wire, power cuts on real disks.
//!
//! After each of them every acknowledged record is read back, none is there twice, and the ISR is full again. Gaps are printed
//! and not asserted. The test runs itself once more within namespaces (`wire::again`). Namespaces are required in CI; disks on
//! loop devices are not, because only root may mount them: what is left out is said in words. `CALLBOARD_FAULTS=F13,F27` and
//! `CALLBOARD_SEED` change a run here; the same for users is `callboard-cluster-tests chaos --faults`.

use anyhow::{Result, ensure};
use callboard_cluster_tests::chaos::suite::{Choice, play};
use callboard_cluster_tests::chaos::{Options, What, faults};
use callboard_cluster_tests::process::{need, say};
use callboard_cluster_tests::wire::{again, cleanup, scratch, way, within};

const TEST: &str = "what_was_acknowledged_outlives_these_faults";
const FAULTS: &str = "F09,F10,F17,F18";

#[test]
fn what_was_acknowledged_outlives_these_faults() -> Result<()> {
    if within() {
        std::fs::write(std::env::temp_dir().join("ran"), "")?;
        return played();
    }
    cleanup();
    let way = way().map_err(|why| say(&format!("NOT RUN: faults by the wire: {why}"))).ok();
    let Some(way) = need("cluster_faults", "network namespaces", way)? else { return Ok(()) };
    let scratch = scratch()?;
    let status = again(way, scratch.path(), &["--exact", TEST, "--nocapture"])?;
    ensure!(status.success(), "the test within the namespaces ended with {status}");
    ensure!(scratch.path().join("ran").exists(), "the second run does not know {TEST}");
    Ok(())
}

fn played() -> Result<()> {
    let names = std::env::var("CALLBOARD_FAULTS").unwrap_or_else(|_| FAULTS.to_owned());
    let names: Vec<&str> = names.split(',').collect();
    let chosen: Vec<_> = faults::all().into_iter().filter(|fault| names.contains(&fault.id)).collect();
    ensure!(chosen.len() == names.len(), "a fault of {names:?} is unknown");
    let seed = std::env::var("CALLBOARD_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(21);
    let logs = std::env::var_os("CALLBOARD_LOGS").map(Into::into);
    let options = Options { seed, partitions: 3, rate: 1_000, logs, ..Options::default() };
    let outcome = play(&Choice { faults: chosen, time: None, options })?;
    for seen in &outcome.seen {
        ensure!(seen.broken.is_none() && seen.lost + seen.twice == 0, "{seen}");
        ensure!(seen.acked > 0, "{}: nothing was acknowledged", seen.id);
    }
    ensure!(!outcome.seen.is_empty(), "no fault was played: {:?}", outcome.left_out);
    let events = outcome.events.all();
    for what in [What::Injected, What::Healed, What::Checked] {
        let count = events.iter().filter(|event| event.what == what).count();
        ensure!(count >= outcome.seen.len(), "{count} events of {what:?}");
    }
    Ok(())
}
