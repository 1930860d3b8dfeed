//! The command line: `callboard` and `callboard start` mean the same. Doc comments here are the text of `--help`.

use crate::config::Flags;
use clap::{Parser, Subcommand};

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
    Start(Flags),
}

impl Cli {
    /// The flags of the start.
    #[must_use]
    pub fn flags(self) -> Flags {
        match self.command {
            Some(Command::Start(flags)) => flags,
            None => self.start,
        }
    }
}
