//! A measurement: for each setting in turn three processes, a warm-up, a window, the figures; medians at the end.

use crate::client::{Seen, Shape, batch, load};
use crate::net::{Quic, make_identity};
use crate::report::{Report, busy};
use crate::server::{Places, Promise};
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

#[derive(Args)]
pub struct Run {
    /// Where the data goes; each run removes its own.
    #[arg(long, default_value = "target/probe-data")]
    dir: PathBuf,
    #[arg(long, value_delimiter = ',', default_value = "os,fsync")]
    promises: Vec<Promise>,
    /// MTUs, in place of `--mtu`.
    #[arg(long, value_delimiter = ',', default_value = "1452,6500")]
    mtus: Vec<u16>,
    #[arg(long, default_value_t = 3)]
    runs: usize,
    #[arg(long, default_value_t = 12)]
    seconds: u64,
    /// Seconds before the window.
    #[arg(long, default_value_t = 3)]
    warm: u64,
    #[arg(long, default_value_t = 12)]
    partitions: usize,
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Batches in flight, over all connections.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    #[arg(long, default_value_t = 64 << 10)]
    batch_bytes: usize,
    #[arg(long, default_value_t = 64)]
    records: usize,
    /// Threads of each server's runtime.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Print CPU by thread.
    #[arg(long)]
    threads: bool,
    #[command(flatten)]
    quic: Quic,
}

/// One server process.
struct Peer {
    child: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
    places: Places,
}

impl Peer {
    async fn start(arguments: &[String]) -> anyhow::Result<Peer> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("server")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let to = child.stdin.take().context("stdin")?;
        let mut from = BufReader::new(child.stdout.take().context("stdout")?).lines();
        let line = from.next_line().await?.context("a server ended at its start")?;
        Ok(Peer { child, to, from, places: serde_json::from_str(&line)? })
    }

    async fn report(&mut self) -> anyhow::Result<Report> {
        self.to.write_all(b"report\n").await?;
        let line = self.from.next_line().await?.context("a server ended")?;
        Ok(serde_json::from_str(&line)?)
    }
}

/// The figures of one window.
struct Figures {
    megabytes_a_second: f64,
    /// CPU seconds per GB of user data: leader, and the followers together.
    leader: f64,
    followers: f64,
    client: f64,
    /// Of the servers' CPU: the runtime's threads (network, proofs), and the journals'.
    net: f64,
    journal: f64,
    batches_a_frame: f64,
    latencies: [f64; 2],
    mtu: u16,
    lost: u64,
    /// CPUs that others kept busy meanwhile.
    others: f64,
}

impl Run {
    /// Measures everything in turns.
    pub async fn all(self) -> anyhow::Result<()> {
        let settings: Vec<(Promise, u16)> =
            self.promises.iter().flat_map(|promise| self.mtus.iter().map(|mtu| (*promise, *mtu))).collect();
        let mut figures: Vec<Vec<Figures>> = settings.iter().map(|_| Vec::new()).collect();
        for run in 1..=self.runs {
            for (setting, figures) in settings.iter().zip(&mut figures) {
                let dir = self.dir.join(format!("quic-{}", std::process::id()));
                std::fs::create_dir_all(&dir)?;
                let measured = self.once(*setting, &dir).await;
                std::fs::remove_dir_all(&dir)?;
                let measured = measured?;
                println!("run {run}: {}", line(*setting, &[&measured]));
                figures.push(measured);
            }
        }
        println!("\nmedians of {}:", self.runs);
        for (setting, figures) in settings.iter().zip(&figures) {
            println!("{}", line(*setting, &figures.iter().collect::<Vec<_>>()));
        }
        Ok(())
    }

    fn arguments(
        &self,
        dir: &Path,
        name: &str,
        setting: (Promise, u16),
        leader: Option<SocketAddr>,
    ) -> Vec<String> {
        let promise = setting.0.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
        let mut out: Vec<String> = [
            ("--identity", dir.display().to_string()),
            ("--data", dir.join(name).display().to_string()),
            ("--promise", promise),
            ("--partitions", self.partitions.to_string()),
            ("--workers", self.workers.to_string()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect();
        out.extend(leader.into_iter().flat_map(|at| ["--leader".to_owned(), at.to_string()]));
        out.extend(Quic { mtu: setting.1, ..self.quic.clone() }.arguments());
        out
    }

    async fn once(&self, setting: (Promise, u16), dir: &Path) -> anyhow::Result<Figures> {
        make_identity(dir)?;
        let mut peers = vec![Peer::start(&self.arguments(dir, "leader", setting, None)).await?];
        let Places { tcp, udp } = peers[0].places;
        for name in ["follower-1", "follower-2"] {
            peers.push(Peer::start(&self.arguments(dir, name, setting, Some(udp))).await?);
        }
        let shape =
            Shape { connections: self.connections, partitions: self.partitions, in_flight: self.in_flight };
        let (batch, seen) = (batch(self.batch_bytes, self.records)?, Arc::new(Seen::default()));
        let size = batch.len() as f64;
        let loading = tokio::spawn(load(tcp, shape, batch, Arc::clone(&seen)));
        tokio::time::sleep(Duration::from_secs(self.warm)).await;
        let before = reports(&mut peers).await?;
        let (began, acked) = (Instant::now(), seen.acked.load(Ordering::Relaxed));
        let busy_before = busy();
        let mine = Report::of(&Default::default(), &[])?;
        seen.recording.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(self.seconds)).await;
        seen.recording.store(false, Ordering::Relaxed);
        let (seconds, acked) = (began.elapsed().as_secs_f64(), seen.acked.load(Ordering::Relaxed) - acked);
        let client = Report::of(&Default::default(), &[])?.since(&mine).cpu();
        let spent: Vec<Report> =
            reports(&mut peers).await?.iter().zip(&before).map(|(now, then)| now.since(then)).collect();
        let all = busy() - busy_before;
        seen.stop();
        tokio::time::timeout(Duration::from_secs(20), loading).await.context("acks that never came")???;
        for mut peer in peers {
            drop(peer.to);
            let _ = tokio::time::timeout(Duration::from_secs(30), peer.child.wait()).await;
        }
        if acked == 0 {
            bail!("nothing was acknowledged");
        }
        let bytes = acked as f64 * size;
        if self.threads {
            details(&spent, bytes);
        }
        let mut latencies = std::mem::take(&mut *seen.latencies.lock());
        latencies.sort_by(f64::total_cmp);
        let at =
            |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied().unwrap_or(0.0);
        let cpu = |reports: &[Report]| reports.iter().map(Report::cpu).sum::<f64>() / bytes * 1e9;
        let of = |name: &str| spent.iter().filter_map(|report| report.threads.get(name)).sum::<f64>();
        let thread = |name| of(name) / bytes * 1e9;
        let ours = client + spent.iter().map(Report::cpu).sum::<f64>();
        Ok(Figures {
            others: ((all - ours) / seconds).max(0.0),
            megabytes_a_second: bytes / seconds / 1e6,
            leader: cpu(&spent[..1]),
            followers: cpu(&spent[1..]),
            client: client / bytes * 1e9,
            net: thread("net"),
            journal: thread("journal-0"),
            batches_a_frame: spent[0].batches as f64 / spent[0].frames.max(1) as f64,
            latencies: [at(0.5) * 1e3, at(0.99) * 1e3],
            mtu: spent.iter().map(|report| report.mtu).min().unwrap_or(0),
            lost: spent.iter().map(|report| report.lost).sum(),
        })
    }
}

async fn reports(peers: &mut [Peer]) -> anyhow::Result<Vec<Report>> {
    let mut all = Vec::new();
    for peer in peers {
        all.push(peer.report().await?);
    }
    Ok(all)
}

fn median(of: impl Fn(&Figures) -> f64, figures: &[&Figures]) -> f64 {
    let mut all: Vec<f64> = figures.iter().map(|one| of(one)).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

fn line((promise, mtu): (Promise, u16), figures: &[&Figures]) -> String {
    let m = |of: fn(&Figures) -> f64| median(of, figures);
    format!(
        "{promise:?} MTU {mtu} (found {:.0}): {:.0} MB/s, server {:.1} s/GB (leader {:.1}, followers {:.1}; net {:.1}, journal {:.1}), client {:.1}, \
         {:.1} batches a frame, ack p50 {:.1} p99 {:.1} ms, {:.0} packets lost, \
         others {:.2} CPUs",
        m(|f| f64::from(f.mtu)),
        m(|f| f.megabytes_a_second),
        m(|f| f.leader + f.followers),
        m(|f| f.leader),
        m(|f| f.followers),
        m(|f| f.net),
        m(|f| f.journal),
        m(|f| f.client),
        m(|f| f.batches_a_frame),
        m(|f| f.latencies[0]),
        m(|f| f.latencies[1]),
        m(|f| f.lost as f64),
        m(|f| f.others),
    )
}

/// CPU by thread and the counters that explain it, per GB.
fn details(spent: &[Report], bytes: f64) {
    let gb = bytes / 1e9;
    for (name, report) in ["leader", "follower 1", "follower 2"].iter().zip(spent) {
        let threads: Vec<String> = report
            .threads
            .iter()
            .filter(|(_, cpu)| **cpu / gb > 0.01)
            .map(|(thread, cpu)| format!("{thread} {:.2}", cpu / gb))
            .collect();
        println!(
            "    {name}: user {:.2}, system {:.2} s/GB [{}]; per GB: {:.0} k faults, {:.0} k sleeps, datagrams {:.0} k out {:.0} k \
             in, {:.0} k sends; {:.1} parts a frame, {:.1} acks an ack frame, {:.1} k ack frames",
            report.user / gb,
            report.system / gb,
            threads.join(", "),
            report.faults as f64 / gb / 1e3,
            report.sleeps as f64 / gb / 1e3,
            report.datagrams[0] as f64 / gb / 1e3,
            report.datagrams[1] as f64 / gb / 1e3,
            report.calls as f64 / gb / 1e3,
            report.parts as f64 / report.frames.max(1) as f64,
            report.acks as f64 / report.ack_frames.max(1) as f64,
            report.ack_frames as f64 / gb / 1e3,
        );
    }
}
