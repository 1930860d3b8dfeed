//! The commands of this package for users: `chaos` kills nodes of a cluster on this machine under a verified load, and plays
//! the faults of a list; `check` judges the history of such a run once more.
//!
//! The broker is the binary that `CALLBOARD_BIN` names, else the one that cargo built beside this program; if there is
//! none, it is built first. The exit code is 0 if every promise was kept, 1 if one was broken or the run could not go on.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use callboard_cluster_tests::chaos::suite::{Choice, list, plan, play};
use callboard_cluster_tests::chaos::{Options, faults, run};
use callboard_cluster_tests::history::{Limits, check, read};
use callboard_cluster_tests::wire;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Tools that try a Callboard cluster on this machine.
#[derive(Parser)]
#[command(name = "callboard-cluster-tests", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Kills nodes of a cluster with kill -9 under load, and checks that nothing acknowledged is lost.
    ///
    /// Each round kills one node: a partition leader, the controller's node and a follower in turn. It starts the node again
    /// and waits for the full ISR. At the end every partition is read and held against the producers' ledgers.
    ///
    /// With --faults it plays faults by their ids instead: partitions, bad lines, power cuts, broken disks and more. Each has a
    /// load of its own, which is read back to its last record.
    Chaos(Chaos),
    /// Checks a history that `chaos --history` has written.
    Check {
        /// The file with the history.
        file: PathBuf,
    },
}

#[derive(Args)]
struct Chaos {
    /// Kills in all, a third of each kind.
    #[arg(long, default_value_t = Options::default().kills, value_parser = clap::value_parser!(u32).range(1..))]
    kills: u32,
    /// Faults to play instead of the kills, such as F09,F18x10,partitionsx50,cutsx20; `all` names all of them.
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    faults: Vec<String>,
    /// Plays the faults again and again for so long; each is played once at least.
    #[arg(long, requires = "faults")]
    minutes: Option<u64>,
    /// Shows all faults, and which of them this machine can play.
    #[arg(long)]
    list: bool,
    /// Seed of all choices; drawn from the clock, and printed, if it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Nodes of the cluster.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(3..=9))]
    nodes: u16,
    /// The promise of an acknowledgement.
    #[arg(long, value_enum, default_value_t = Durability::Fsync)]
    durability: Durability,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(i32).range(1..=1_000))]
    partitions: i32,
    /// Idempotent producers, each of which writes to every partition.
    #[arg(long, default_value_t = Options::default().producers, value_parser = clap::value_parser!(u32).range(1..=100))]
    producers: u32,
    /// Records a second of all producers together.
    #[arg(long, default_value_t = Options::default().rate, value_parser = clap::value_parser!(u64).range(1..))]
    rate: u64,
    /// Shards of each node: 1, and 2 for faults, because one of them can be lost then.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    shards: Option<u32>,
    /// Shortest time that a killed node stays down, in milliseconds.
    #[arg(long, default_value_t = Options::default().down_ms.0)]
    down_min_ms: u64,
    /// Longest time that a killed node stays down, in milliseconds.
    #[arg(long, default_value_t = Options::default().down_ms.1)]
    down_max_ms: u64,
    /// Environment variable of every node, such as CALLBOARD_UNSETTLED_BYTES_MAX=1048576; may be given again.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Directory for the logs of all nodes, which are added to what it holds.
    #[arg(long)]
    logs: Option<PathBuf>,
    /// File for the history of all clients, as lines of JSON; `check` reads it.
    #[arg(long)]
    history: Option<PathBuf>,
    /// File for a page with the timeline of the run, to be opened in a browser; with --faults the directory for the report and
    /// a page for each play, by default target/faults/SEED.
    #[arg(long)]
    timeline: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Durability {
    /// A write is acknowledged when it is on the disks of the ISR.
    Fsync,
    /// A write is acknowledged when the operating systems of the ISR have it.
    Os,
}

fn main() -> ExitCode {
    let chaos = match Cli::parse().command {
        Command::Chaos(chaos) => chaos,
        Command::Check { file } => return checked(&file),
    };
    if chaos.list || !chaos.faults.is_empty() {
        return by_id(chaos).unwrap_or_else(|error| {
            println!("the faults could not be played: {error:#}");
            ExitCode::FAILURE
        });
    }
    let options = options(chaos, 1);
    println!("seed {}", options.seed);
    match run(&options) {
        Ok(report) => {
            print!("{report}");
            if report.good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            println!("seed {}: the run could not go on: {error:#}", options.seed);
            ExitCode::FAILURE
        }
    }
}

/// Plays faults, or lists them, within namespaces where the machine allows them.
fn by_id(mut chaos: Chaos) -> anyhow::Result<ExitCode> {
    // A wrong word is told before anything is made.
    plan(&chaos.faults, 0).map_err(anyhow::Error::msg)?;
    if !wire::within() {
        for removed in wire::cleanup() {
            println!("removed {removed}, which an earlier run left");
        }
        match wire::way() {
            Ok(way) => {
                let scratch = wire::scratch()?;
                let args: Vec<String> = std::env::args().skip(1).collect();
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                let status = wire::again(way, scratch.path(), &args)?;
                return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            Err(why) => println!("{why}"),
        }
    }
    if chaos.list {
        let named = plan(&chaos.faults, 0).map_err(anyhow::Error::msg)?;
        print!("{}", list(if named.is_empty() { faults::all() } else { named }.as_slice()));
        return Ok(ExitCode::SUCCESS);
    }
    let time = chaos.minutes.take().map(|minutes| Duration::from_secs(60 * minutes));
    let words = std::mem::take(&mut chaos.faults);
    let mut options = options(chaos, 2);
    let dir = options.timeline.get_or_insert_with(|| format!("target/faults/{}", options.seed).into());
    println!("report and pages: {}", dir.display());
    let faults = plan(&words, options.seed).map_err(anyhow::Error::msg)?;
    let outcome = play(&Choice { faults, time, options })?;
    let broken = outcome.seen.iter().filter(|seen| !seen.good()).count();
    println!(
        "{} faults played, {broken} broke a promise or could not go on, {} kinds left out",
        outcome.seen.len(),
        outcome.left_out.len()
    );
    Ok(if outcome.good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn checked(file: &Path) -> ExitCode {
    let history = File::open(file).map_err(Into::into).and_then(|file| read(&mut BufReader::new(file)));
    match history {
        Ok(history) => {
            let verdict = check(&history, &Limits::default());
            print!("{verdict}");
            if verdict.good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            println!("{}: {error:#}", file.display());
            ExitCode::FAILURE
        }
    }
}

fn options(chaos: Chaos, shards: u32) -> Options {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64);
    Options {
        kills: chaos.kills,
        // Short enough to be typed again.
        seed: chaos.seed.unwrap_or_else(|| clock() % 1_000_000),
        nodes: usize::from(chaos.nodes),
        durability: match chaos.durability {
            Durability::Fsync => "fsync",
            Durability::Os => "os",
        },
        partitions: chaos.partitions,
        producers: chaos.producers,
        rate: chaos.rate,
        shards: chaos.shards.unwrap_or(shards),
        down_ms: (chaos.down_min_ms, chaos.down_max_ms.max(chaos.down_min_ms)),
        env: chaos.env,
        logs: chaos.logs,
        history: chaos.history,
        timeline: chaos.timeline,
        ..Options::default()
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
