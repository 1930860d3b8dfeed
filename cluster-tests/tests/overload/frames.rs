//! Frames that announce much and send little, or never end.

use anyhow::{Result, bail, ensure};
use callboard_cluster_tests::process::{HANG, Raw};

use crate::site::Site;

const MIB: u64 = 1 << 20;
/// API keys of two pools.
const KEYS: [i16; 2] = [0, 3];

/// Announces so many bytes and sends some of them.
fn half(site: &Site, key: i16, announced: i32, sent: usize) -> Result<Raw> {
    let mut raw = Raw::connect(site.addr())?;
    let mut frame = announced.to_be_bytes().to_vec();
    frame.extend(Raw::header(key, 9, 1, true));
    frame.resize(sent, 0);
    raw.send(&frame)?;
    Ok(raw)
}

#[test]
fn oversized_cut_and_silent_frames_hold_up_nobody() -> Result<()> {
    let mut site = Site::start("")?;
    let mut silent = Vec::new();
    for round in 0..60 {
        let mut oversized = half(&site, KEYS[round % 2], i32::MAX, 1_000)?;
        let mut cut = half(&site, KEYS[round % 2], 50_000_000, 100_000)?;
        cut.finish()?;
        ensure!(oversized.answer()?.is_none() && cut.answer()?.is_none(), "such frames have no answer");
        // Of some not even the head comes.
        silent.push(half(&site, KEYS[round % 2], 1_000, [4, 7, 12, 500][round % 4])?);
    }
    site.goes_on()?;
    drop(silent);
    site.recovers("oversized, cut and silent frames")
}

#[test]
fn three_hundred_half_sent_frames_of_90_mb_cost_what_they_sent() -> Result<()> {
    // Pools that a twentieth of what is announced would empty.
    let mut site = Site::start("produce_memory_bytes = 1048576\n")?;
    let before = site.broker.resident_at_most()?;
    let mut held = Vec::new();
    for n in 0..300 {
        held.push(half(&site, KEYS[n % 2], 90_000_000, 1_024)?);
    }
    site.goes_on()?;
    let grown = site.broker.resident_at_most()?.saturating_sub(before);
    // The good client's own work, and 64 KiB a connection where a pool was not half taken.
    ensure!(grown < 64 * MIB, "300 frames of which 1 KB came made the process grow by {grown} bytes");
    // And some of which more came than the pool holds: they wait, or go on out of the reserve, and stall.
    for _ in 0..40 {
        held.push(half(&site, 0, 90_000_000, 256 * 1_024)?);
    }
    site.goes_on()?;
    site.goes_on()?;
    drop(held);
    site.recovers("300 half-sent frames of 90 MB")
}

#[test]
fn a_frame_that_stalls_is_closed_once_others_wait_for_its_memory() -> Result<()> {
    let mut site = Site::start("produce_memory_bytes = 1048576\n")?;
    // Small frames: the pool, then their own reserve, are full of what never ends.
    let mut held = Vec::new();
    for _ in 0..48 {
        held.push(half(&site, 0, 1_000_000, 999_000)?);
    }
    let slow = "callboard_kafka_connections_closed_total{why=\"slow\"}";
    site.until(slow, |closed| closed >= 17.0)?;
    site.goes_on()?;
    let told = site.metric("callboard_kafka_throttled_total{api=\"Produce\"}")?;
    ensure!(told >= 1.0, "the producer beside was not told that it had to wait");
    let mut closed = 0;
    for raw in &mut held {
        raw.finish()?;
        closed += usize::from(raw.answer()?.is_none());
    }
    if closed != held.len() {
        bail!("{closed} of {} were closed within {HANG:?}", held.len());
    }
    site.recovers("48 frames that stall at their end")
}
