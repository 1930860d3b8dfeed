//! The binary: arguments, log, signals, exit codes. `Node` does everything else.

use callboard::cli::{Cli, Cluster, Command, Dev, Metadata, Recover};
use callboard::config::Config;
use callboard::node::offline::{Confirmed, dump, recover};
use callboard::node::{EXIT_NO_SHARD, Ended, Node};
use clap::Parser;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A fault of the program itself; acknowledged records are on disk all the same.
const EXIT_FAULT: i32 = 1;
/// A configuration or a data directory is unusable (BSD's EX_CONFIG).
const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => {
            // A closed stdout or stderr is no reason to fail.
            let _ = said.print();
            return ExitCode::from(if said.use_stderr() { EXIT_CONFIG } else { 0 });
        }
    };
    let flags = match cli.command() {
        Command::Start(flags) => *flags,
        Command::Metadata(Metadata::Dump(from)) => return offline(|| dumped(&from.data)),
        Command::Recover(asked) => return offline(|| recovered(&asked)),
        Command::Dev(asked) => return dev(asked),
        Command::Cluster(Cluster::RestartSafe(node)) => return restart_safe(&node.http),
    };
    let filter = log_filter(std::env::var("RUST_LOG").ok());
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_ansi(colours);
    log.with_writer(std::io::stderr).init();
    if let Err(error) = callboard::console::recorder() {
        tracing::error!("metrics cannot be recorded: {error}");
        return ExitCode::FAILURE;
    }
    callboard::describe_metrics();
    let config = match Config::load(&flags) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if let Err(why) = callboard::dev::end_with_parent() {
        tracing::error!("{why}");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("the runtime did not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(config)) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(EXIT_CONFIG)
        }
    }
}

/// Runs a command over the directory of a node that does not run. Only what is wrong is logged.
fn offline(work: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    log.with_writer(std::io::stderr).init();
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr is no reason to fail otherwise.
            let _ = writeln!(std::io::stderr(), "callboard: {error:#}");
            ExitCode::from(EXIT_CONFIG)
        }
    }
}

/// Runs a cluster on this machine until a key or a signal ends it.
fn dev(asked: Dev) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime
        .map_err(Into::into)
        .and_then(|run| run.block_on(callboard::dev::run(asked.nodes, asked.data)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "callboard: {error:#}");
            ExitCode::from(EXIT_CONFIG)
        }
    }
}

/// Asks a node whether it may be restarted now. The reasons against it go to the standard output.
fn restart_safe(address: &str) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let said = runtime
        .map_err(Into::into)
        .and_then(|run| run.block_on(callboard::console::ask(address, "/safe-to-restart")));
    match said {
        Ok((200, _)) => ExitCode::SUCCESS,
        Ok((_, why)) => {
            let _ = write!(std::io::stdout(), "{why}");
            ExitCode::FAILURE
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "callboard: {error:#}");
            ExitCode::from(EXIT_CONFIG)
        }
    }
}

fn dumped(data: &Path) -> anyhow::Result<()> {
    let document = dump(data)?;
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &document)?;
    Ok(writeln!(out)?)
}

fn recovered(asked: &Recover) -> anyhow::Result<()> {
    let mut typed = std::io::stdin().lock();
    let confirmed = match &asked.yes_i_typed {
        Some(typed) => Confirmed::Given(typed),
        None => Confirmed::Asked(&mut typed),
    };
    recover(&asked.directory.data, confirmed, &mut std::io::stdout().lock())
}

/// The filter of the log. openraft and ractor tell of every step, so they say only what is wrong unless the operator names
/// them. openraft calls each attempt at a dead node a warning.
fn log_filter(wanted: Option<String>) -> EnvFilter {
    let mut wanted = wanted.filter(|wanted| !wanted.is_empty()).unwrap_or_else(|| "info".to_owned());
    for (name, level) in [("openraft", "error"), ("ractor", "warn")] {
        if !wanted.contains(name) {
            wanted.push_str(&format!(",{name}={level}"));
        }
    }
    EnvFilter::try_new(&wanted).unwrap_or_else(|_| EnvFilter::new("info"))
}

async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut node = tokio::select! {
        node = Node::start(config) => node?,
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = node.broken() => match ended {
            Ended::NoShard => {
                tracing::error!("no shard works any more: the process ends; mend the disk and start again");
                std::process::exit(EXIT_NO_SHARD);
            }
            Ended::Over(why) => {
                tracing::error!("{why}");
                std::process::exit(i32::from(EXIT_CONFIG));
            }
            Ended::Actors => {
                tracing::error!("the node's root actor ended, by a fault of its own: see the lines above, and start again");
                std::process::exit(EXIT_FAULT);
            }
        },
    }
    tokio::select! {
        stopped = node.stop() => stopped?,
        _ = terminate.recv() => std::process::exit(EXIT_FAULT),
        _ = interrupt.recv() => std::process::exit(EXIT_FAULT),
    }
    Ok(ExitCode::SUCCESS)
}
