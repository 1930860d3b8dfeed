//! Does openraft on redb hold on two busy cores? See `README.md`.

mod drive;
mod machine;
mod net;
mod node;
mod store;
mod types;

use std::{collections::BTreeMap, str::FromStr};

use anyhow::{Context, bail};

/// Arguments of the form `name=value`.
pub struct Args(BTreeMap<String, String>);

impl Args {
    fn parse(words: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let pair = |word: String| {
            let (name, value) = word.split_once('=').with_context(|| format!("not name=value: {word}"))?;
            Ok((name.to_owned(), value.to_owned()))
        };
        Ok(Self(words.map(pair).collect::<anyhow::Result<_>>()?))
    }

    pub fn get<T: FromStr>(&self, name: &str, otherwise: T) -> anyhow::Result<T> {
        match self.0.get(name) {
            Some(value) => value.parse().ok().with_context(|| format!("{name}={value}")),
            None => Ok(otherwise),
        }
    }
}

fn node_settings(args: &Args) -> anyhow::Result<node::Settings> {
    let addrs: String = args.get("addrs", String::new())?;
    Ok(node::Settings {
        id: args.get("id", 1)?,
        addrs: addrs.split(',').map(str::to_owned).collect(),
        file: args.get("file", "raft.redb".into())?,
        heartbeat: args.get("heartbeat", 300)?,
        election: (args.get("election_min", 1_500)?, args.get("election_max", 3_000)?),
        snapshot_every: args.get("snapshot_every", 5_000)?,
        keep: args.get("keep", 100_000)?,
        found: args.get("found", false)?,
    })
}

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let args = Args::parse(words)?;
    if command == "busy" {
        loop {
            std::hint::spin_loop();
        }
    }
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match command.as_str() {
        "node" => {
            // openraft catches a panic of its core and goes on answering `Fatal`: a process must end instead.
            std::panic::set_hook(Box::new(|panic| {
                eprintln!("PANIC {panic}\n{}", std::backtrace::Backtrace::force_capture());
                std::process::exit(101);
            }));
            runtime.block_on(node::run(node_settings(&args)?))
        }
        "drive" => runtime.block_on(drive::run(drive::Settings::from(&args)?)),
        _ => bail!("raft-probe drive | node | busy, each with name=value arguments"),
    }
}
