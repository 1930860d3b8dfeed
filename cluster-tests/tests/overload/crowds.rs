//! Many clients at once: at rest, waiting for records, more than there may be, more than there are descriptors for.

use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use callboard_cluster_tests::process::wire::{Wire, name};
use callboard_cluster_tests::process::{Broker, HANG, Options, Raw, say};
use callboard_core::limits;
use callboard_core::records::{BatchBuilder, NewRecord};
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

use crate::site::{Site, connections, until};

const MANY: usize = 5_000;
/// Of these the memory is measured, without anybody beside them.
const MEASURED: usize = 2_000;
/// Threads that connect: the system makes a client wait a second when its queue is full.
const AT_ONCE: usize = 16;
const OPEN: &str = "callboard_kafka_connections";
const WAITING: &str = "callboard_kafka_fetches_waiting";
const TOPIC: &str = "waited";
const FETCH: i16 = 12;

/// So many of a kind, made on several threads.
fn crowd<T: Send + 'static>(
    many: usize,
    make: impl Fn() -> Result<T> + Clone + Send + 'static,
) -> Result<Vec<T>> {
    let threads: Vec<_> = (0..AT_ONCE)
        .map(|n| {
            let (make, share) = (make.clone(), (many + n) / AT_ONCE);
            std::thread::spawn(move || (0..share).map(|_| make()).collect::<Result<Vec<T>>>())
        })
        .collect();
    let mut all = Vec::with_capacity(many);
    for thread in threads {
        all.extend(thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
    }
    Ok(all)
}

#[test]
fn five_thousand_connections_hold_up_nobody() -> Result<()> {
    let many = connections(MANY);
    let mut site = Site::start(&format!("max_connections = {}\n", many + 100))?;
    let (addr, others) = (site.addr(), site.metric(OPEN)?);
    let all = crowd(many, move || Ok(TcpStream::connect(addr)?))?;
    site.until(OPEN, |open| open >= others + many as f64)?;
    site.goes_on()?;
    drop(all);
    site.until(OPEN, |open| open <= others)?;
    site.recovers("5,000 connections")
}

#[test]
fn a_connection_at_rest_and_a_waiting_fetch_take_what_the_sum_says() -> Result<()> {
    let mut broker = Broker::start(Options::default())?;
    let (addr, http) = (broker.addr(), broker.http()?);
    let mut wire = Wire::connect(addr)?;
    wire.create_topic(TOPIC, 1)?;
    let (before, many) = (broker.resident()?, connections(MEASURED));
    let cheap = |what: &str| -> Result<()> {
        let each = broker.resident()?.saturating_sub(before) / many as u64;
        say(&format!("{what}: {each} bytes each"));
        ensure!(each <= limits::CONNECTION_BYTES as u64, "{what}: {each} bytes each");
        Ok(())
    };
    let rest = crowd(many, move || Ok(TcpStream::connect(addr)?))?;
    until(http, OPEN, |open| open > many as f64)?;
    cheap("connections at rest")?;
    drop(rest);
    until(http, OPEN, |open| open <= 1.0)?;
    let waiting = crowd(many, move || wait(addr, 1 << 30))?;
    until(http, WAITING, |waiting| waiting >= many as f64)?;
    cheap("waiting fetches")?;
    drop(waiting);
    until(http, WAITING, |waiting| waiting == 0.0)?;
    broker.stop()
}

/// Waits at the end of the topic for so many bytes.
fn wait(addr: std::net::SocketAddr, min_bytes: i32) -> Result<Wire> {
    let mut wire = Wire::connect(addr)?;
    let part = FetchPartition::default()
        .with_current_leader_epoch(-1)
        .with_last_fetched_epoch(-1)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(name(TOPIC)).with_partitions(vec![part]);
    let request = FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(i32::MAX)
        .with_min_bytes(min_bytes)
        .with_max_bytes(8 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    wire.send(FETCH, &request)?;
    Ok(wire)
}

#[test]
fn five_thousand_waiting_fetches_are_woken_and_hold_nothing_when_their_clients_go() -> Result<()> {
    let many = connections(MANY);
    let mut site = Site::start(&format!("max_connections = {}\n", many + 100))?;
    Wire::connect(site.addr())?.create_topic(TOPIC, 1)?;
    // Half of them are content with anything, half wait for what does not come.
    let addr = site.addr();
    let mut content = crowd(many / 2, move || wait(addr, 1))?;
    let greedy = crowd(many / 2, move || wait(addr, 1 << 30))?;
    let all = (content.len() + greedy.len()) as f64;
    site.until(WAITING, |waiting| waiting >= all)?;
    site.goes_on()?;
    let record = NewRecord { value: Some(b"at last".to_vec()), ..NewRecord::default() };
    let mut wire = Wire::connect(site.addr())?;
    wire.send_batch(TOPIC, 0, -1, BatchBuilder::new(0).record(record).build()?.into())?;
    ensure!(wire.receive_batch()?.0 == 0);
    for wire in &mut content {
        let answer = wire.receive::<FetchRequest>(FETCH)?;
        let part = answer.responses.first().and_then(|t| t.partitions.first()).context("no partition")?;
        ensure!(part.records.as_ref().is_some_and(|records| !records.is_empty()), "woken for nothing");
    }
    // Their fetches would wait for minutes yet.
    drop((content, greedy));
    site.until(WAITING, |waiting| waiting <= 2.0)?;
    site.recovers("5,000 waiting fetches")
}

/// Asks for the versions of APIs; whether there was an answer is for later.
fn ask(site: &Site) -> Result<Raw> {
    let mut raw = Raw::connect(site.addr())?;
    raw.frame(&Raw::header(18, 0, 1, false))?;
    Ok(raw)
}

#[test]
fn beyond_max_connections_clients_wait_until_others_end() -> Result<()> {
    let mut site = Site::start("max_connections = 20\n")?;
    site.until("callboard_kafka_connections_max", |max| max == 20.0)?;
    let mut crowd: Vec<Raw> = (0..40).map(|_| ask(&site)).collect::<Result<_>>()?;
    site.until(OPEN, |open| open >= 20.0)?;
    site.goes_on()?;
    ensure!(site.metric(OPEN)? <= 20.0, "more than max.connections are open");
    let said = site.broker.lines().since(0);
    ensure!(said.iter().any(|line| line.contains("max.connections = 20 are open")), "{said:#?}");
    // In the order in which they came: each that ends lets another one in.
    for mut raw in crowd.drain(..) {
        ensure!(raw.answer()?.is_some(), "not answered");
    }
    site.recovers("max.connections")
}

#[test]
fn a_listener_without_descriptors_goes_on_when_there_are_some_again() -> Result<()> {
    // Large segments: a new one needs descriptors too, which is not what this is about.
    let mut site = Site::start("segment_bytes = 67108864\n")?;
    let pid = site.broker.pid().context("no process")?;
    // The broker has raised its own limit to ours, as far as that goes.
    let most = getrlimit(Resource::Nofile).maximum;
    let open = site.metric("callboard_process_open_fds")? as u64;
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(open + 8), maximum: most })?;
    let mut crowd: Vec<Raw> = (0..40).map(|_| ask(&site)).collect::<Result<_>>()?;
    let said = site.broker.lines().wait_for("a connection was not accepted", 0, HANG);
    ensure!(said.is_some(), "nothing was said");
    site.goes_on()?;
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: most, maximum: most })?;
    for raw in &mut crowd {
        ensure!(raw.answer()?.is_some(), "not answered");
    }
    ensure!(site.metric("callboard_kafka_connections_not_accepted_total")? >= 1.0);
    drop(crowd);
    site.recovers("no descriptors left")
}
