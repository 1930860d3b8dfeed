//! Frames and headers: lengths that cannot be, frames that stop, APIs nobody knows, counts that nothing could hold.

use anyhow::{Context, Result, bail};
use callboard_cluster_tests::process::load::Rng;
use callboard_cluster_tests::process::wire::Wire;
use callboard_cluster_tests::process::{Options, Raw, say};

use crate::site::{Site, batch};

const MIB: u64 = 1 << 20;
/// Key, lowest and highest version, first flexible one: everything the broker answers.
const APIS: [(i16, i16, i16, i16); 8] = [
    (0, 3, 13, 9),
    (1, 4, 18, 12),
    (2, 1, 11, 6),
    (3, 0, 13, 9),
    (18, 0, 4, 3),
    (19, 2, 7, 5),
    (20, 1, 6, 4),
    (22, 0, 5, 2),
];

#[test]
fn a_length_that_cannot_be_closes_the_connection_before_anything_else_comes() -> Result<()> {
    let mut site = Site::start(Options::default())?;
    for length in [-1, i32::MIN, 0, 7, (100 << 20) + 1, i32::MAX] {
        let reason = format!("a frame of {length} bytes: at least 8 and at most");
        // Only these four bytes: the verdict does not wait for more.
        site.closes(&format!("length {length}"), &reason, |raw| raw.send(&length.to_be_bytes()))?;
    }
    let http = "a frame of 1195725856 bytes";
    site.closes("an HTTP request", http, |raw| raw.send(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"))?;
    let tls = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    site.closes(
        "a TLS hello",
        "the client speaks TLS, which this build does not: set security.protocol=PLAINTEXT",
        |raw| raw.send(&tls),
    )?;
    site.end()
}

#[test]
fn a_frame_cut_short_is_told_from_a_good_end() -> Result<()> {
    let mut site = Site::start(Options::default())?;
    for (announced, sent) in [(1_000, 100), (1_000, 8), (1_000, 3), (1_000, 0), (90 << 20, 70_000)] {
        let reason = format!("a frame cut short: {sent} of {announced} bytes came");
        site.closes(&reason.clone(), &reason, |raw| {
            raw.send(&i32::to_be_bytes(announced))?;
            raw.send(&vec![0; sent])?;
            raw.finish()
        })?;
    }
    // A client that goes between two frames has done nothing wrong.
    let from = site.mark()?;
    let mut raw = Raw::connect(site.addr())?;
    raw.finish()?;
    if raw.answer()?.is_some() || !site.lines(from)?.is_empty() {
        bail!("a connection without a request was answered or logged");
    }
    site.end()
}

#[test]
fn a_silent_half_frame_holds_up_nobody_and_may_still_be_completed() -> Result<()> {
    let mut site = Site::start(Options::default())?;
    let mut silent = Raw::connect(site.addr())?;
    let request = Raw::header(18, 0, 77, false);
    silent.send(&10i32.to_be_bytes())?;
    silent.send(&request[..5])?;
    for _ in 0..50 {
        site.serves()?;
    }
    silent.send(&request[5..])?;
    let answer = silent.answer()?.context("the completed frame was not answered")?;
    if answer[..6] != [0, 0, 0, 77, 0, 0] {
        bail!("the completed frame was answered with {:?}", &answer[..6]);
    }
    site.end()
}

#[test]
fn two_hundred_frames_of_90_mb_cost_what_of_them_arrived() -> Result<()> {
    const CONNECTIONS: u64 = 200;
    // Small segments: recovery reads them whole, and what it gives back must not hide what comes.
    let mut site = Site::start(Options::default().with_env("CALLBOARD_SEGMENT_BYTES", MIB))?;
    (0..50).try_for_each(|_| site.serves())?;
    let before = site.broker.resident()?;
    let mut held = Vec::new();
    for n in 0..CONNECTIONS {
        let mut raw = Raw::connect(site.addr())?;
        raw.send(&90_000_000i32.to_be_bytes())?;
        // Half of them announce a produce request, half something else: two pools.
        let key = if n % 2 == 0 { 0 } else { 3 };
        let mut sent = Raw::header(key, 9, 1, true);
        sent.resize(1_024, 0);
        raw.send(&sent)?;
        held.push(raw);
    }
    for _ in 0..50 {
        site.serves()?;
    }
    let after = site.broker.resident()?;
    let (grown, arrived) = (after.saturating_sub(before), CONNECTIONS * 1_024);
    say(&format!(
        "{CONNECTIONS} x 90 MB announced, {arrived} bytes arrived: {before} -> {after} bytes resident"
    ));
    // A first piece of 64 KiB is made room for, and the allocator's huge pages make all of it resident; a connection's own
    // state and the allocator's rounding besides.
    let bound = CONNECTIONS * 128 * 1_024;
    if grown > bound {
        bail!("resident memory grew by {grown} bytes, over {bound}");
    }
    for raw in &mut held {
        raw.finish()?;
    }
    for raw in &mut held {
        if raw.answer()?.is_some() {
            bail!("an unfinished frame was answered");
        }
    }
    site.end()
}

#[test]
fn an_unknown_api_or_version_closes_and_apiversions_tells_what_is_known() -> Result<()> {
    let mut site = Site::start(Options::default())?;
    for key in [-1, 4, 68, 71, 999, i16::MAX] {
        let reason = format!("API {key} version 0 is not known");
        site.closes(&reason.clone(), &reason, |raw| raw.frame(&Raw::header(key, 0, 1, false)))?;
    }
    for (key, lowest, highest, _) in APIS.into_iter().filter(|api| api.0 != 18) {
        for version in [lowest - 1, highest + 1, i16::MIN, i16::MAX] {
            let reason = format!("API {key} version {version} is not known");
            site.closes(&reason.clone(), &reason, |raw| raw.frame(&Raw::header(key, version, 1, true)))?;
        }
    }
    for version in [5, 99, -1, i16::MAX] {
        let mut raw = Raw::connect(site.addr())?;
        raw.frame(&Raw::header(18, version, 4_711, true))?;
        let answer = raw.answer()?.with_context(|| format!("ApiVersions {version}: closed"))?;
        // Version 0: correlation id, error, and rows of key, lowest, highest. Nothing behind them.
        let rows = answer.get(10..).unwrap_or_default().chunks(6);
        let known = rows.clone().any(|row| row == [0, 18, 0, 0, 0, 4]);
        if answer[..6] != [0, 0, 0x12, 0x67, 0, 35] || !known || rows.clone().any(|row| row.len() != 6) {
            bail!("ApiVersions {version}: {answer:?}");
        }
        if answer[6..10] != (rows.len() as i32).to_be_bytes() {
            bail!("ApiVersions {version}: {} rows, the count says {:?}", rows.len(), &answer[6..10]);
        }
        // The connection is good for another try.
        raw.frame(&Raw::header(18, 0, 1, false))?;
        raw.answer()?.with_context(|| format!("closed after ApiVersions {version}"))?;
    }
    site.end()
}

/// Counts that are absurd where the first array of a body would begin, in both encodings.
fn absurd(flexible: bool) -> Vec<Vec<u8>> {
    if flexible {
        // 2^32 − 2, 2^31, 100,000, and a varint that never ends.
        vec![
            vec![0xff, 0xff, 0xff, 0xff, 0x0f],
            vec![0x81, 0x80, 0x80, 0x80, 0x08],
            vec![0xa1, 0x8d, 0x06],
            vec![0xff; 12],
        ]
    } else {
        [i32::MAX, -2, i32::MIN, 100_000].iter().map(|n| n.to_be_bytes().to_vec()).collect()
    }
}

/// What stands before the first array of a request's body.
fn before_array(key: i16, version: i16, flexible: bool) -> Option<Vec<u8>> {
    match key {
        // No transactional id, acks, timeout.
        0 => Some([if flexible { &[0][..] } else { &[0xff, 0xff] }, &[0, 1, 0, 0, 0x75, 0x30]].concat()),
        // Replica (up to 14), wait, least, most, isolation, and from 7 on the session.
        1 => {
            let mut body = if version < 15 { vec![0xff; 4] } else { Vec::new() };
            body.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 0, 16, 0, 0, 0]);
            body.extend_from_slice(if version < 7 { &[] } else { &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff] });
            Some(body)
        }
        2 => Some(if version < 2 { vec![0xff; 4] } else { vec![0xff, 0xff, 0xff, 0xff, 0] }),
        3 | 19 | 20 => Some(Vec::new()),
        _ => None,
    }
}

#[test]
fn an_absurd_count_takes_no_memory_and_closes_the_connection() -> Result<()> {
    let mut site = Site::start(Options::default())?;
    site.serves()?;
    let before = site.broker.resident()?;
    for (key, lowest, highest, first_flexible) in APIS {
        for version in lowest..=highest {
            let flexible = version >= first_flexible;
            let Some(body) = before_array(key, version, flexible) else { continue };
            for count in absurd(flexible) {
                let frame = [Raw::header(key, version, 1, flexible), body.clone(), count.clone()].concat();
                let what = format!("API {key} version {version}, count {count:x?}");
                site.closes(&what, "a request that cannot be read: ", |raw| raw.frame(&frame))?;
            }
        }
    }
    let grown = site.broker.resident()?.saturating_sub(before);
    if grown > 32 * MIB {
        bail!("absurd counts made resident memory grow by {grown} bytes");
    }
    site.end()
}

#[test]
fn garbage_is_answered_or_ends_its_connection_only() -> Result<()> {
    let mut site = Site::start(Options::default())?;
    let mut rng = Rng::new(0x0bad_1b0f);
    let any =
        |rng: &mut Rng, most: u64| -> Vec<u8> { (0..rng.below(most)).map(|_| rng.any() as u8).collect() };
    for _ in 0..40 {
        for (key, lowest, highest, first_flexible) in APIS {
            let version = lowest + rng.below((highest - lowest + 1) as u64) as i16;
            let mut frame = Raw::header(key, version, 1, version >= first_flexible);
            frame.extend(any(&mut rng, 300));
            let mut raw = Raw::connect(site.addr())?;
            raw.frame(&frame)?;
            raw.finish()?;
            while raw.answer()?.is_some() {}
        }
        // And without a header, or a length that is one.
        for framed in [true, false] {
            let bytes = any(&mut rng, 300);
            let mut raw = Raw::connect(site.addr())?;
            if framed {
                raw.frame(&bytes)?
            } else {
                raw.send(&bytes)?
            };
            raw.finish()?;
            while raw.answer()?.is_some() {}
        }
        site.serves()?;
    }
    site.end()
}

#[test]
fn what_came_before_a_bad_request_is_still_answered() -> Result<()> {
    let mut site = Site::start(Options::default())?;
    site.wire.create_topic("before", 1)?;
    let mut wire = Wire::connect(site.addr())?;
    wire.send_batch("before", 0, -1, batch("good"))?;
    wire.send_batch("before", 0, 0, batch("good, too"))?;
    wire.send_batch("before", 0, 0, batch("bad").slice(..40))?;
    // No answer belongs to acks=0: the next thing is the end of the connection.
    if wire.receive_batch()? != (0, 0) || !wire.closed()? {
        bail!("a good batch before a bad one was not answered as it should be");
    }
    // Both good ones have their offsets, the bad one has none.
    site.wire.send_batch("before", 0, -1, batch("next"))?;
    if site.wire.receive_batch()? != (0, 2) {
        bail!("the good batches before a bad one are not stored");
    }
    site.end()
}
