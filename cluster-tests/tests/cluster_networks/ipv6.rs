//! A cluster without IPv4: clients, HTTP, the nodes among themselves, seeds and advertised addresses are all on `[::1]`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use anyhow::{Context, Result, ensure};
use callboard_cluster_tests::chaos::Map;
use callboard_cluster_tests::chaos::map::view_at;
use callboard_cluster_tests::process::{Nodes, Options, say};

use crate::records::{Records, patiently};
use crate::web;

const NODES: usize = 3;

/// Free ports, all held until each has been drawn.
fn free<T>(
    draw: impl Fn() -> std::io::Result<T>,
    addr: fn(&T) -> std::io::Result<SocketAddr>,
) -> Result<Vec<SocketAddr>> {
    let held: Vec<T> = (0..NODES).map(|_| draw()).collect::<std::io::Result<_>>()?;
    Ok(held.iter().map(addr).collect::<std::io::Result<_>>()?)
}

#[test]
fn three_nodes_on_ipv6_alone_are_a_cluster() -> Result<()> {
    if UdpSocket::bind("[::1]:0").is_err() {
        say("NOT RUN: nodes on IPv6 alone: this machine has no address ::1");
        return Ok(());
    }
    let seeds = free(|| UdpSocket::bind("[::1]:0"), UdpSocket::local_addr)?;
    let kafka = free(|| TcpListener::bind("[::1]:0"), TcpListener::local_addr)?;
    let mut nodes = Nodes::at(seeds.iter().map(SocketAddr::to_string).collect(), |node| {
        let listeners = Some(kafka[node].to_string());
        Options { listeners, ..Options::default() }
            .with_env("CALLBOARD_ADVERTISED", kafka[node])
            .with_env("CALLBOARD_HTTP", "[::1]:0")
    })?;
    nodes.restart()?;
    let outcome = serve(&mut nodes, &seeds, &kafka);
    outcome.map_err(|error| nodes.nodes[0].broken(&format!("{error:#}")))
}

fn serve(nodes: &mut Nodes, seeds: &[SocketAddr], kafka: &[SocketAddr]) -> Result<()> {
    const TOPIC: &str = "six";
    let map = Map::new(kafka.to_vec());
    let mut records = Records::new(&map, TOPIC, 3)?;
    ensure!(records.leaders(&map)?.len() == NODES, "each node should lead a partition");
    records.more(&map, 10)?;
    records.are_there(&map)?;
    for node in 0..NODES {
        let id = nodes.id(node)?;
        let broker = &mut nodes.nodes[node];
        let says = format!("listening for other nodes on {} (udp)", seeds[node]);
        ensure!(broker.lines().holding(&says) == 1, "node {id} does not say `{says}`");
        let http = broker.http()?;
        ensure!(http.ip() == IpAddr::V6(Ipv6Addr::LOCALHOST), "node {id} serves HTTP on {http}");
        let ready = web::get(http, "/ready")?;
        ensure!(ready.code == 200, "node {id}: {ready:?}");
        // Each node tells the addresses of all. It may hear late that another one serves.
        for at in kafka {
            let told = patiently(|| {
                let view = view_at(*at, TOPIC)?;
                view.nodes.get(&id).copied().with_context(|| format!("{at} tells no address of node {id}"))
            })?;
            ensure!(told == kafka[node], "{at} tells {told} of node {id}, which is at {}", kafka[node]);
        }
    }
    Ok(())
}
