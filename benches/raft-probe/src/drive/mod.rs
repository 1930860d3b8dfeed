//! The driver: three nodes beside busy loops, a load, kills or stops, and the checks at the end.

mod check;
mod cluster;
mod elections;
mod figures;
mod load;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail, ensure};
use tokio::time::{Instant, sleep, sleep_until};

use crate::Args;
use cluster::{Cluster, Dice};
use figures::Figures;
use load::Book;

/// The settings of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub dir: PathBuf,
    pub minutes: f64,
    /// Kills spread over the run; none if 0.
    pub kills: u32,
    /// Of 100 kills, how many choose the leader; a random node each time if 0.
    pub leader_share: u64,
    /// Milliseconds that a random node is stopped for, every ten seconds; never if 0.
    pub stop: u64,
    pub busy: u32,
    /// Writes a second.
    pub rate: u64,
    pub bytes: usize,
    pub heartbeat: u64,
    pub election_min: u64,
    pub election_max: u64,
    pub snapshot_every: u64,
    pub keep: u64,
}

impl Settings {
    pub fn from(args: &Args) -> anyhow::Result<Self> {
        Ok(Self {
            dir: args.get("dir", std::env::temp_dir().join("raft-probe"))?,
            minutes: args.get("minutes", 4.0)?,
            kills: args.get("kills", 25)?,
            leader_share: args.get("leader_share", 0)?,
            stop: args.get("stop", 0)?,
            busy: args.get("busy", 4)?,
            rate: args.get("rate", 50)?,
            bytes: args.get("bytes", 500)?,
            heartbeat: args.get("heartbeat", 300)?,
            election_min: args.get("election_min", 1_500)?,
            election_max: args.get("election_max", 3_000)?,
            snapshot_every: args.get("snapshot_every", 5_000)?,
            keep: args.get("keep", 100_000)?,
        })
    }
}

/// The wall clock in microseconds; one machine, so all processes share it.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}

/// A disturbance, and what was known when it came.
#[derive(Clone, Debug)]
pub struct Blow {
    pub at: u64,
    pub node: u64,
    pub process: u32,
    pub leader: bool,
    pub term: u64,
    /// When the node had caught up again; the end of the stop for a stopped one.
    pub over: u64,
    /// From the spawn of the restarted node to the end of its replay, in milliseconds.
    pub start_ms: u64,
}

pub async fn run(settings: Settings) -> anyhow::Result<()> {
    println!("{settings:?}");
    let book = Arc::new(Book::default());
    let mut cluster = Cluster::start(&settings)?;
    let load = load::start(&settings, cluster.addrs(), &book);
    wait(Duration::from_secs(60), || book.acks() > 0).await.context("no first leader")?;
    sleep(Duration::from_secs(5)).await;

    let mut figures = Figures::default();
    let first = now();
    let end = Instant::now() + Duration::from_secs_f64(settings.minutes * 60.0);
    if settings.kills > 0 {
        kill_all(&settings, &mut cluster, &book, &mut figures, end).await?;
    } else {
        stop_some(&settings, &mut cluster, &mut figures, end).await?;
    }
    let last = now();

    load.stop().await;
    cluster.check_alive()?;
    let dumps = cluster.settled_dumps().await?;
    check::nodes_agree(&dumps)?;
    let orders = check::acknowledged(&dumps[0], &book)?;
    for id in 1..=3 {
        figures.silences(&cluster.status(id).await?);
    }
    figures.print(&settings, &book, &orders, (first, last));
    let unforced = elections::report(&cluster.events(), &figures.blows, &book, &dumps[0], first);
    cluster.end();
    ensure!(unforced == 0, "{unforced} elections without a kill");
    Ok(())
}

async fn kill_all(
    settings: &Settings,
    cluster: &mut Cluster,
    book: &Arc<Book>,
    figures: &mut Figures,
    end: Instant,
) -> anyhow::Result<()> {
    let mut dice = Dice::new();
    let pace = Duration::from_secs_f64(settings.minutes * 60.0 / f64::from(settings.kills));
    let mut next = Instant::now();
    for n in 1..=settings.kills {
        let blow = one_kill(settings, cluster, book, &mut dice, figures)
            .await
            .with_context(|| format!("kill {n}"))?;
        println!(
            "kill {n}: node {} {} term {} gap {:.0} ms, back after {:.1} s",
            blow.node,
            if blow.leader { "LEADER" } else { "follower" },
            blow.term,
            book.gap_after(&blow).unwrap_or(0) as f64 / 1e3,
            (blow.over - blow.at) as f64 / 1e6,
        );
        figures.blows.push(blow);
        next += pace;
        if Instant::now() > end + Duration::from_secs(300) {
            bail!("only {n} kills in time");
        }
        sleep_until(next.min(end).max(Instant::now() + Duration::from_millis(500))).await;
    }
    sleep_until(end).await;
    Ok(())
}

async fn one_kill(
    settings: &Settings,
    cluster: &mut Cluster,
    book: &Arc<Book>,
    dice: &mut Dice,
    figures: &mut Figures,
) -> anyhow::Result<Blow> {
    cluster.check_alive()?;
    let (leader, term) = cluster.leader().await?;
    let victim = match settings.leader_share {
        0 => 1 + dice.below(3),
        share if dice.below(100) < share => leader,
        _ => 1 + (leader + dice.below(2)) % 3,
    };
    figures.silences(&cluster.status(victim).await?);
    let process = cluster.process(victim);
    let at = now();
    cluster.kill(victim)?;
    let mut blow = Blow { at, node: victim, process, leader: victim == leader, term, over: 0, start_ms: 0 };
    sleep(Duration::from_millis(1_000 + dice.below(2_000))).await;
    let again = now();
    cluster.spawn(victim)?;

    wait(Duration::from_secs(60), || book.gap_after(&blow).is_some())
        .await
        .context("no write after a kill")?;
    let started = Instant::now();
    loop {
        cluster.check_alive()?;
        let target = book.highest();
        if let Ok(status) = cluster.status(victim).await
            && status.applied >= target
            && status.leader.is_some()
        {
            break;
        }
        ensure!(started.elapsed() < Duration::from_secs(60), "node {victim} does not catch up");
        sleep(Duration::from_millis(50)).await;
    }
    blow.over = now();
    blow.start_ms = cluster.started(victim).saturating_sub(again / 1_000);
    check::acknowledged(&cluster.dump(victim).await?, book)?;
    Ok(blow)
}

async fn stop_some(
    settings: &Settings,
    cluster: &mut Cluster,
    figures: &mut Figures,
    end: Instant,
) -> anyhow::Result<()> {
    let mut dice = Dice::new();
    while Instant::now() < end {
        sleep(Duration::from_millis(8_000 + dice.below(4_000))).await;
        cluster.check_alive()?;
        if settings.stop == 0 {
            continue;
        }
        let (leader, term) = cluster.leader().await?;
        let node = 1 + dice.below(3);
        let at = now();
        cluster.stop_for(node, Duration::from_millis(settings.stop)).await?;
        let process = cluster.process(node);
        figures.blows.push(Blow {
            at,
            node,
            process,
            leader: node == leader,
            term,
            over: now(),
            start_ms: 0,
        });
    }
    Ok(())
}

/// Waits until the condition holds.
async fn wait(within: Duration, mut holds: impl FnMut() -> bool) -> anyhow::Result<()> {
    let started = Instant::now();
    while !holds() {
        ensure!(started.elapsed() < within, "waited {within:?}");
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
