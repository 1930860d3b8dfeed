//! The command line: `callboard` and `callboard start` mean the same; `dev` starts several nodes, `cluster` asks a node
//! that runs, and the other commands work on the directory of one that does not. Doc comments here are the text of `--help`.

use crate::config::Flags;
use crate::dev::NODES_MAX;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// A self-forming, Kafka-compatible message broker. `callboard` alone starts a durable single node on localhost:9092.
#[derive(Debug, Parser)]
#[command(name = "callboard", version, about, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; `start` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Flags of `start`.
    #[command(flatten)]
    pub start: Flags,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a node (the default)
    Start(Box<Flags>),
    /// Look at the metadata of a node that does not run
    #[command(subcommand)]
    Metadata(Metadata),
    /// Start a cluster on this machine, to try things out
    ///
    /// Keys 1 to 9 kill that node with kill -9, or start it again; q or Ctrl-C ends all.
    Dev(Dev),
    /// Ask a node that runs about its cluster
    #[command(subcommand)]
    Cluster(Cluster),
    /// Go on with this node alone, after the majority of the cluster's nodes is lost for good
    ///
    /// Prints what may be lost and asks for the cluster id. Nothing is changed on any other word.
    Recover(Recover),
}

/// What to do with the metadata of a node that does not run.
#[derive(Debug, Subcommand)]
pub enum Metadata {
    /// Write topics, configs, members and group offsets as JSON to the standard output
    Dump(Directory),
}

/// Arguments of `callboard dev`.
#[derive(Debug, Args)]
pub struct Dev {
    /// Number of nodes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=i64::from(NODES_MAX)))]
    pub nodes: u32,
    /// Directory of the cluster, which stays [default: a new one, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// Questions to a node that runs.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Whether the node may be restarted now: exit code 0 if nothing stands still meanwhile, else 1 and the reasons
    RestartSafe(Running),
}

/// A node that runs.
#[derive(Debug, Args)]
pub struct Running {
    /// Its HTTP address
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9644")]
    pub http: String,
}

/// The directory of a node that does not run.
#[derive(Debug, Args)]
pub struct Directory {
    /// Data directory
    #[arg(long, value_name = "DIR", env = "CALLBOARD_DATA")]
    pub data: PathBuf,
}

/// Arguments of `callboard recover`.
#[derive(Debug, Args)]
pub struct Recover {
    #[command(flatten)]
    pub directory: Directory,
    /// The confirmation for scripts, in place of the typed one
    #[arg(long, value_name = "CLUSTERID")]
    pub yes_i_typed: Option<String>,
}

impl Cli {
    /// The command; without one it is the start.
    #[must_use]
    pub fn command(self) -> Command {
        self.command.unwrap_or_else(|| Command::Start(Box::new(self.start)))
    }
}
