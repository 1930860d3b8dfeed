//! The wire of `src/wire`, tried with UDP between namespaces: what its rules say is what happens to packets.
//!
//! ```text
//!   echo (node 0) <── wire ──> asker (the clients' end)         rules of one direction at a time
//! ```
//! Loss follows from the seed, so its count is bounded; the delay is bounded from below only. No time above is asserted. The
//! test runs itself once more within namespaces (`wire::again`), as `cluster_networks/nat.rs` does.

#![allow(clippy::unwrap_used)] // helpers of tests, too

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use callboard_cluster_tests::process::{HANG, Running, find_program, need, say};
use callboard_cluster_tests::wire::{CLIENTS, Lan, Rule, Tool, again, cleanup, scratch, way, within};

const TEST: &str = "packets_meet_what_the_rules_say";
const SEED: u64 = 21;
const COUNT: u32 = 400;
/// An echo in the node's namespace: each datagram returns to its sender.
const ECHO: &str = "import socket,sys
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
s.bind((sys.argv[1],7))
print('bound',flush=True)
while True:
  d,a=s.recvfrom(65536)
  s.sendto(d,a)";

#[test]
fn packets_meet_what_the_rules_say() -> Result<()> {
    if within() {
        std::fs::write(std::env::temp_dir().join("ran"), "")?;
        return rules();
    }
    cleanup();
    let way = way().map_err(|why| say(&format!("NOT RUN: the wire: {why}"))).ok();
    let Some(way) = need("cluster_wire", "network namespaces", way)? else { return Ok(()) };
    let scratch = scratch()?;
    let status = again(way, scratch.path(), &["--exact", TEST, "--nocapture"])?;
    ensure!(status.success(), "the test within the namespaces ended with {status}");
    ensure!(scratch.path().join("ran").exists(), "the second run does not know {TEST}");
    Ok(())
}

/// Sends so many datagrams of a size and counts the answers; the shortest round trip.
struct Asker {
    socket: UdpSocket,
    to: SocketAddr,
    round: u32,
}

impl Asker {
    fn ask(&mut self, count: u32, bytes: usize) -> Result<(u32, Duration)> {
        self.round += 1;
        let (mut answers, mut shortest) = (0, HANG);
        for n in 0..count {
            let mut datagram = vec![0; bytes];
            datagram[..4].copy_from_slice(&self.round.to_be_bytes());
            datagram[4..8].copy_from_slice(&n.to_be_bytes());
            let sent = Instant::now();
            self.socket.send_to(&datagram, self.to)?;
            let mut room = [0; 2_000];
            // Late answers to earlier questions are passed over.
            while let Ok(read) = self.socket.recv(&mut room) {
                if room[..read] == datagram {
                    answers += 1;
                    shortest = shortest.min(sent.elapsed());
                    break;
                }
            }
        }
        Ok((answers, shortest))
    }
}

fn rules() -> Result<()> {
    let tool = Tool::build()?;
    let lan = Lan::start(&tool, 2, SEED)?;
    let node = lan.node(0);
    let wrap = lan.wrap(0);
    let program = find_program(&wrap[0]).context("nsenter")?;
    let address = node.to_string();
    let mut args: Vec<&str> = wrap[1..].iter().map(String::as_str).collect();
    args.extend(["python3", "-c", ECHO, &address]);
    let echo = Running::start(&program, &args)?;
    ensure!(echo.out.wait_for("bound", 0, HANG).is_some(), "no echo: {}", echo.err.tail(5));
    let socket = UdpSocket::bind("10.66.0.1:0")?;
    let mut asker = Asker { socket, to: SocketAddr::new(node, 7), round: 0 };
    patience(&asker, HANG)?;
    ensure!(asker.ask(50, 100)?.0 == 50, "a wire without rules lost a datagram");
    delayed(&lan, &mut asker)?;
    lossy(&lan, &mut asker)?;
    one_way(&lan, &mut asker)?;
    holed(&lan, &mut asker)?;
    lan.heal();
    patience(&asker, HANG)?;
    ensure!(asker.ask(50, 1_400)?.0 == 50, "a healed wire lost a datagram");
    Ok(())
}

fn patience(asker: &Asker, limit: Duration) -> Result<()> {
    Ok(asker.socket.set_read_timeout(Some(limit))?)
}

fn to_node(rule: Rule) -> impl Fn(usize, usize) -> Option<Rule> {
    move |from, to| (from == CLIENTS && to == 1).then_some(rule)
}

fn delayed(lan: &Lan, asker: &mut Asker) -> Result<()> {
    let delay = Duration::from_millis(30);
    lan.set(|from, to| (from != to).then_some(Rule { delay, ..Rule::default() }));
    let (answers, shortest) = asker.ask(20, 100)?;
    ensure!(answers == 20 && shortest >= 2 * delay, "{answers} answers, the fastest after {shortest:?}");
    lan.heal();
    Ok(())
}

fn lossy(lan: &Lan, asker: &mut Asker) -> Result<()> {
    lan.set(to_node(Rule { loss: 200, twice: 100, ..Rule::default() }));
    // A lost datagram costs so much. The counts are the wire's own, so a late answer changes nothing.
    patience(asker, Duration::from_millis(20))?;
    let before = lan.count(CLIENTS, 1);
    let (answers, _) = asker.ask(COUNT, 100)?;
    let until = Instant::now() + HANG;
    let (lost, twice) = loop {
        let after = lan.count(CLIENTS, 1);
        let (seen, lost) = (after.seen - before.seen, after.lost - before.lost);
        let twice = (after.passed - before.passed + lost).saturating_sub(u64::from(COUNT));
        if seen == u64::from(COUNT) && twice >= 15 {
            break (lost, twice);
        }
        ensure!(Instant::now() < until, "{seen} of {COUNT} seen, {lost} lost, {twice} came twice");
        std::thread::sleep(Duration::from_millis(5));
    };
    ensure!((50..=110).contains(&lost), "{lost} of {COUNT} were lost at 20 %");
    ensure!(u64::from(answers) <= u64::from(COUNT) - lost, "{answers} answers with {lost} lost");
    ensure!(twice <= 60, "{twice} came twice at 10 % of those that came");
    lan.heal();
    Ok(())
}

/// The answers' direction is cut: the node hears all, and nothing returns.
fn one_way(lan: &Lan, asker: &mut Asker) -> Result<()> {
    patience(asker, Duration::from_millis(50))?;
    lan.set(|from, to| (from == 1 && to == CLIENTS).then_some(Rule::CUT));
    let (there, back) = (lan.count(CLIENTS, 1), lan.count(1, CLIENTS));
    let (answers, _) = asker.ask(10, 100)?;
    ensure!(answers == 0, "{answers} answers crossed a cut");
    let passed = lan.count(CLIENTS, 1).passed - there.passed;
    let until = Instant::now() + HANG;
    while lan.count(1, CLIENTS).lost - back.lost < 10 {
        ensure!(Instant::now() < until, "the echo did not hear all: {:?}", lan.count(1, CLIENTS));
        std::thread::sleep(Duration::from_millis(5));
    }
    ensure!(passed == 10, "{passed} of 10 passed the way that is not cut");
    lan.heal();
    Ok(())
}

fn holed(lan: &Lan, asker: &mut Asker) -> Result<()> {
    lan.set(to_node(Rule { mtu: Some(1_300), ..Rule::default() }));
    ensure!(asker.ask(3, 1_300)?.0 == 0, "datagrams of 1,328 bytes passed a hole over 1,300");
    patience(asker, HANG)?;
    ensure!(asker.ask(3, 1_200)?.0 == 3, "small datagrams pass a hole");
    lan.heal();
    Ok(())
}
