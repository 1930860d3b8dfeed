//! A disk that takes long, does not answer, or fails. Slow and hung disks are waited for; a failed write or sync is final.

use anyhow::{Result, ensure};

use crate::site::{MIB, Site, faults, small};

const RUNNING: &str = "callboard_journal_sync_running_seconds{shard=\"0\"}";
const GATE: &str = "callboard_journal_gate_closed_seconds_total{shard=\"0\"}";

fn site(plain: bool, seed: u64) -> Result<Option<(callboard_cluster_tests::process::faults::Faults, Site)>> {
    let Some(faults) = faults()? else { return Ok(None) };
    let mut options = small().with_env("CALLBOARD_DISK_RESERVE_BYTES", MIB);
    options.wrap = faults.wrap();
    let mut site = Site::start(options, seed)?;
    site.produce(plain);
    site.goes_on(30)?;
    Ok(Some((faults, site)))
}

#[test]
fn a_slow_disk_slows_producers_and_fails_nobody() -> Result<()> {
    let Some((faults, mut site)) = site(true, 0x51_0e)? else { return Ok(()) };
    faults.set("sync delay 150\nwrite delay 5\n")?;
    // Several settles, each of many syncs, with the gate closed now and then.
    site.goes_on(60)?;
    site.series(RUNNING, |age| age > 0.01)?;
    site.series(GATE, |closed| closed > 0.1)?;
    site.ready(200)?;
    ensure!(site.readable()? > 0);
    faults.set("")?;
    site.goes_on(60)?;
    ensure!(!site.broker.lines().tail(usize::MAX).contains("has stopped"));
    site.finish("a slow disk")
}

#[test]
fn a_hung_disk_is_reported_and_waited_for() -> Result<()> {
    let Some((faults, mut site)) = site(true, 0x00_49)? else { return Ok(()) };
    let from = site.broker.lines().seen();
    faults.set("sync hold\n")?;
    site.says("a sync has been running for", from)?;
    // Nobody is told that it is on disk; what is there can be read.
    let before = site.acked();
    let why = site.ready(503)?;
    ensure!(why.contains("does not answer"), "{why}");
    ensure!(site.acked() == before, "acknowledged while no sync returned");
    site.series(RUNNING, |age| age > 9.0)?;
    ensure!(site.readable()? > 0);
    faults.set("")?;
    site.says("the disk answers again", from)?;
    site.ready(200)?;
    site.goes_on(30)?;
    site.finish("a hung disk")
}

/// The fault stops the only shard, and with it the process, in words; mended, a restart has all that was acknowledged.
fn final_fault(rules: &str, words: &str, seed: u64) -> Result<()> {
    let Some((faults, mut site)) = site(true, seed)? else { return Ok(()) };
    faults.set(rules)?;
    let (code, said) = site.broker.ends()?;
    ensure!(code == Some(70), "it ended with {code:?}:\n{said}");
    ensure!(said.contains("has stopped") && said.contains(words), "it did not say `{words}`:\n{said}");
    faults.set("")?;
    site.broker.restart()?;
    site.goes_on(60)?;
    site.finish(&format!("`{}`", rules.trim().replace('\n', ", ")))
}

#[test]
fn a_failed_sync_ends_the_shard_and_loses_nothing() -> Result<()> {
    final_fault("sync error 5\n", "a failed sync is final", 0xeee1)
}

#[test]
fn a_failed_write_ends_the_shard_and_loses_nothing() -> Result<()> {
    final_fault("write error 5\n", "nput/output error", 0xeee2)
}

#[test]
fn a_read_only_file_system_ends_the_shard_and_loses_nothing() -> Result<()> {
    final_fault("write error 30\nsync error 30\n", "read-only", 0xeee3)
}
