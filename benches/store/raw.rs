//! The disk's own speed: one file, one write and one `fdatasync` a group. The group's bytes are a ready buffer. Nothing
//! frames, checks, indexes or announces them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes that are overwritten again and again: as many as the journal's segments have at their default sizes.
const REGION: u64 = 320 << 20;

/// Bounds of a lap; it ends at the first.
#[derive(Clone, Copy)]
pub struct Stint {
    pub time: Duration,
    pub bytes: u64,
}

/// Measurements of one lap.
pub struct RawLap {
    pub groups: u64,
    pub seconds: f64,
    /// Seconds of each group, written and synced.
    pub group: Vec<f64>,
}

/// Appends to a new file.
pub fn append(dir: &Path, group: usize, pool: &[u8], stint: Stint) -> io::Result<RawLap> {
    let path = dir.join("append.raw");
    let mut file = File::create(&path)?;
    let lap = run(group, pool, stint, |bytes, _| {
        file.write_all(bytes)?;
        file.sync_data()
    });
    std::fs::remove_file(&path)?;
    lap
}

/// Overwrites a file that was zeroed and synced before.
pub fn overwrite(dir: &Path, group: usize, pool: &[u8], stint: Stint) -> io::Result<RawLap> {
    let path = dir.join("overwrite.raw");
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
    let zeros = vec![0; 1 << 20];
    for at in (0..REGION).step_by(zeros.len()) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_all()?;
    let places = REGION / group as u64;
    let lap = run(group, pool, stint, |bytes, n| {
        file.write_all_at(bytes, n % places * group as u64)?;
        file.sync_data()
    });
    std::fs::remove_file(&path)?;
    lap
}

fn run(
    group: usize,
    pool: &[u8],
    stint: Stint,
    mut write: impl FnMut(&[u8], u64) -> io::Result<()>,
) -> io::Result<RawLap> {
    let mut lap = RawLap { groups: 0, seconds: 0.0, group: Vec::new() };
    let slices = (pool.len() / group).max(1) as u64;
    let began = Instant::now();
    let mut last = began;
    while last - began < stint.time && lap.groups * (group as u64) < stint.bytes {
        let from = (lap.groups % slices) as usize * group;
        write(&pool[from..from + group], lap.groups)?;
        let now = Instant::now();
        lap.group.push((now - last).as_secs_f64());
        last = now;
        lap.groups += 1;
    }
    lap.seconds = (last - began).as_secs_f64();
    Ok(lap)
}
