//! The cost of QUIC between a leader and two followers, with today's store under each.
//!
//! ```text
//!   this process: client ──TCP──> leader ──QUIC──> follower 1      three processes, each with its own data directory
//!                                        └─QUIC──> follower 2      an ack counts when the high watermark passes it
//! ```
//!
//! `cargo run --release -- run` measures {os, fsync} × {MTU 1452, 6500} three times in turns and prints the medians; see
//! README.md. Elections, divergence, catching up from disk and the actors are not in it.

mod client;
mod follower;
mod leader;
mod net;
mod report;
mod run;
mod server;
mod store;
mod wire;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Starts the three servers, loads them, prints what it cost.
    Run(run::Run),
    /// One of the three servers; `run` starts these.
    Server(server::Server),
}

fn main() -> anyhow::Result<()> {
    let role = Cli::parse().role;
    let workers = match &role {
        Role::Server(server) => server.workers,
        Role::Run(_) => 2,
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(workers).thread_name("net").enable_all().build()?;
    match role {
        Role::Run(run) => runtime.block_on(run.all()),
        Role::Server(server) => runtime.block_on(server.serve()),
    }
}
