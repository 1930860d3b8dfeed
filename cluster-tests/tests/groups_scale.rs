//! A thousand groups of five members on one node: what they take in memory, and how long one group's rebalance takes
//! beside the heartbeats of all the others. Long, and its figures are for reading: `benches/groups.sh` runs it. Requests of one
//! connection are answered one after the other, so the groups form one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use callboard_cluster_tests::process::wire::Wire;
use callboard_cluster_tests::process::{Broker, HANG, Options, say};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

const GROUPS: usize = 1_000;
const MEMBERS: usize = 5;
/// Requests under way on one connection.
const WINDOW: usize = 40;
const ROUNDS: usize = 20;
const JOIN: i16 = 5;
const SYNC: i16 = 3;
const HEARTBEAT: i16 = 3;
const REBALANCE_IN_PROGRESS: i16 = 27;

fn group(n: usize) -> StrBytes {
    StrBytes::from_string(format!("group-{n:04}"))
}

fn join(n: usize, member: &str) -> JoinGroupRequest {
    // What the subscription of a consumer takes.
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(StrBytes::from_static_str("range"))
        .with_metadata(Bytes::from_static(&[0; 60]));
    JoinGroupRequest::default()
        .with_group_id(group(n).into())
        .with_session_timeout_ms(300_000)
        .with_rebalance_timeout_ms(300_000)
        .with_member_id(StrBytes::from_string(member.to_owned()))
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol])
}

fn sync(n: usize, joined: &JoinGroupResponse) -> SyncGroupRequest {
    let assignments = joined.members.iter().map(|member| {
        SyncGroupRequestAssignment::default()
            .with_member_id(member.member_id.clone())
            .with_assignment(Bytes::from_static(&[0; 60]))
    });
    SyncGroupRequest::default()
        .with_group_id(group(n).into())
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_assignments(assignments.collect())
}

fn heartbeat(n: usize, joined: &JoinGroupResponse) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(group(n).into())
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
}

/// One connection stands for the same member of every group.
fn form(wires: &mut [Wire]) -> Result<Vec<Vec<JoinGroupResponse>>> {
    let mut ids = vec![vec![String::new(); MEMBERS]; GROUPS];
    for (m, wire) in wires.iter_mut().enumerate() {
        for (n, ids) in ids.iter_mut().enumerate() {
            // The first answer only tells the member its id.
            ids[m] = wire.call(JOIN, &join(n, ""))?.member_id.to_string();
        }
    }
    let mut all = Vec::new();
    for window in (0..GROUPS).collect::<Vec<_>>().chunks(WINDOW) {
        for (m, wire) in wires.iter_mut().enumerate() {
            window.iter().try_for_each(|n| wire.send(JOIN, &join(*n, &ids[*n][m])))?;
        }
        let mut joined: Vec<Vec<JoinGroupResponse>> = vec![Vec::new(); window.len()];
        for wire in &mut *wires {
            for of_group in &mut joined {
                let answer = wire.receive::<JoinGroupRequest>(JOIN)?;
                ensure!(answer.error_code == 0, "JoinGroup: error {}", answer.error_code);
                of_group.push(answer);
            }
        }
        for (m, wire) in wires.iter_mut().enumerate() {
            window.iter().zip(&joined).try_for_each(|(n, j)| wire.send(SYNC, &sync(*n, &j[m])))?;
        }
        for wire in &mut *wires {
            for _ in window {
                let answer = wire.receive::<SyncGroupRequest>(SYNC)?;
                ensure!(answer.error_code == 0, "SyncGroup: error {}", answer.error_code);
            }
        }
        all.extend(joined);
    }
    Ok(all)
}

/// One member asks again to join, as after a change of its subscription: until every member has its assignment anew.
fn rebalance(wires: &mut [Wire], n: usize, members: &mut [JoinGroupResponse]) -> Result<Duration> {
    let begun = Instant::now();
    let leader = members.iter().position(|m| m.leader == m.member_id).context("a leader")?;
    wires[leader].send(JOIN, &join(n, &members[leader].member_id))?;
    for (m, wire) in wires.iter_mut().enumerate().filter(|(m, _)| *m != leader) {
        // Learns it by a heartbeat, as consumers do.
        while wire.call(HEARTBEAT, &heartbeat(n, &members[m]))?.error_code != REBALANCE_IN_PROGRESS {
            ensure!(begun.elapsed() < HANG, "no rebalance begins");
        }
        wire.send(JOIN, &join(n, &members[m].member_id))?;
    }
    for (m, wire) in wires.iter_mut().enumerate() {
        members[m] = wire.receive::<JoinGroupRequest>(JOIN)?;
        ensure!(members[m].error_code == 0, "JoinGroup: error {}", members[m].error_code);
    }
    for (m, wire) in wires.iter_mut().enumerate() {
        wire.send(SYNC, &sync(n, &members[m]))?;
    }
    for wire in wires {
        ensure!(wire.receive::<SyncGroupRequest>(SYNC)?.error_code == 0);
    }
    Ok(begun.elapsed())
}

#[test]
#[ignore = "a measurement: benches/groups.sh runs it"]
fn a_thousand_groups() -> Result<()> {
    let config = tempfile::NamedTempFile::new()?;
    std::fs::write(config.path(), "group_initial_rebalance_delay_ms = 30\n")?;
    let mut broker = Broker::start(Options::default().with_env("CALLBOARD_CONFIG", config.path().display()))?;
    let mut wires = (0..MEMBERS).map(|_| Wire::connect(broker.addr())).collect::<Result<Vec<_>>>()?;
    let find = FindCoordinatorRequest::default().with_key(group(0));
    ensure!(wires[0].call(3, &find)?.error_code == 0);
    let before = broker.resident()?;
    let mut members = form(&mut wires)?;
    let after = broker.resident()?;
    let (stop, beats) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (mut own, rest) = (members.remove(0), members);
    let background = {
        let (stop, beats, addr) = (Arc::clone(&stop), Arc::clone(&beats), broker.addr());
        std::thread::spawn(move || -> Result<()> {
            let mut wire = Wire::connect(addr)?;
            while !stop.load(Ordering::SeqCst) {
                // Every member every three seconds, as consumers do: 5,000 in bursts of 40.
                let round = Instant::now();
                let all: Vec<_> =
                    rest.iter().enumerate().flat_map(|(n, g)| g.iter().map(move |m| (n + 1, m))).collect();
                for burst in all.chunks(WINDOW) {
                    burst.iter().try_for_each(|(n, m)| wire.send(HEARTBEAT, &heartbeat(*n, m)))?;
                    for _ in burst {
                        let error = wire.receive::<HeartbeatRequest>(HEARTBEAT)?.error_code;
                        ensure!(error == 0, "Heartbeat: error {error}");
                        beats.fetch_add(1, Ordering::SeqCst);
                    }
                    let due = Duration::from_secs(3).mul_f64(WINDOW as f64 / all.len() as f64);
                    std::thread::sleep(due.saturating_sub(Duration::from_micros(500)));
                }
                ensure!(round.elapsed() < HANG, "heartbeats do not keep up");
            }
            Ok(())
        })
    };
    let mut times =
        (0..ROUNDS).map(|_| rebalance(&mut wires, 0, &mut own)).collect::<Result<Vec<Duration>>>()?;
    stop.store(true, Ordering::SeqCst);
    background.join().map_err(|_| anyhow::anyhow!("the heartbeats panicked"))??;
    times.sort();
    say(&format!(
        "{GROUPS} groups x {MEMBERS} members: {:.1} MiB above idle ({:.1} MiB); a rebalance beside {} heartbeats: \
         median {:?}, longest {:?}",
        (after.saturating_sub(before)) as f64 / 1048576.0,
        before as f64 / 1048576.0,
        beats.load(Ordering::SeqCst),
        times[ROUNDS / 2],
        times[ROUNDS - 1],
    ));
    broker.stop()
}
