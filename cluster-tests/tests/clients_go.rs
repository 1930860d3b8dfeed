//! franz-go and sarama against the built broker: the Go modules `clients/go` and `clients/sarama`, built into the target
//! directory.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use callboard_cluster_tests::process::wire::{Wire, whole_batches};
use callboard_cluster_tests::process::{Broker, Nodes, Options, find_program, install_alone, need, run, say};
use callboard_core::records::head;

/// The Go toolchain: `CALLBOARD_GO`, else the one on the PATH.
fn go() -> Option<PathBuf> {
    let go = std::env::var_os("CALLBOARD_GO").map(PathBuf::from).or_else(|| find_program("go"))?;
    // An older one takes what go.mod asks for only if it knows of toolchains.
    let found = run(&go, &["version"], |_| ()).ok()?;
    found.status.success().then_some(go)
}

/// Builds a module below `clients`, with the versions that this one of its files names.
fn build(go: &Path, module: &str, versions: &str) -> Result<PathBuf> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("client-suite-go");
    // Go leaves a program alone that is up to date, so nothing overwrites one that runs.
    let _alone = install_alone(&dir)?;
    let suite = dir.join(format!("{module}-{versions}"));
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(module);
    let versions = format!("-modfile={versions}");
    run(go, &["build", &versions, "-o", &suite.to_string_lossy(), "."], |command| {
        command.current_dir(sources);
    })?
    .good("go build")?;
    Ok(suite)
}

/// Runs the suite of franz-go against the node at this address; what it printed.
fn franz(suite: &Path, bootstrap: &str) -> Result<String> {
    let out = run(suite, &[bootstrap], |_| ())?.good("the Go suite")?;
    let out = String::from_utf8_lossy(&out).into_owned();
    say(&out);
    // The suite's own count: an empty run is not a good one.
    ensure!(out.lines().filter(|line| line.starts_with("ok ")).count() >= 12, "too few checks:\n{out}");
    Ok(out)
}

#[test]
fn franz_go_does_it_with_three_nodes() -> Result<()> {
    let Some(go) = need("clients_go", "Go (1.21 or later)", go())? else { return Ok(()) };
    let suite = build(&go, "go", "go.mod")?;
    let mut nodes = Nodes::start(3, &Options::default())?;
    let bootstrap = nodes.nodes[2].bootstrap();
    franz(&suite, &bootstrap).map_err(|error| nodes.nodes[2].broken(&format!("{error:#}")))?;
    nodes.nodes.iter_mut().try_for_each(Broker::stop)
}

#[test]
fn franz_go_does_what_it_does_with_kafka() -> Result<()> {
    let Some(go) = need("clients_go", "Go (1.21 or later)", go())? else { return Ok(()) };
    let suite = build(&go, "go", "go.mod")?;
    let mut broker = Broker::start(Options { shards: 2, ..Options::default() })?;
    let out = franz(&suite, &broker.bootstrap()).map_err(|error| broker.broken(&format!("{error:#}")))?;
    // The codecs are the client's choice; what arrived is looked at here.
    ensure!(Wire::connect(broker.addr())?.codecs_are(&out)? >= 5, "too few codecs:\n{out}");
    // One answer was enough for the client that asked for transactions, and one line for the log.
    ensure!(broker.lines().holding("transactions are not served") == 1, "asked more than once, or never");
    broker.stop()
}

#[test]
fn sarama_looks_up_by_time_what_it_wrote() -> Result<()> {
    let Some(go) = need("clients_go", "Go (1.21 or later)", go())? else { return Ok(()) };
    // v1.43 leaves the latest timestamp of its headers unset, newer ones set it.
    for versions in ["v1.43.mod", "go.mod"] {
        let suite = build(&go, "sarama", versions)?;
        let mut broker = Broker::start(Options { shards: 2, ..Options::default() })?;
        let bootstrap = broker.bootstrap();
        let out = run(&suite, &[&bootstrap], |_| ())?.good(versions);
        let out = out.map_err(|error| broker.broken(&format!("{error:#}")))?;
        let out = String::from_utf8_lossy(&out);
        say(&out);
        ensure!(out.lines().filter(|line| line.starts_with("ok ")).count() >= 2, "too few checks:\n{out}");
        let mut wire = Wire::connect(broker.addr())?;
        ensure!(wire.codecs_are(&out)? >= 5, "too few codecs:\n{out}");
        ensure!(stamped(&mut wire, &out)? >= 5, "too few topics:\n{out}");
        broker.stop()?;
    }
    Ok(())
}

/// For every line `stamped TOPIC TIME`: one batch of three records is stored, and its header says that time.
fn stamped(wire: &mut Wire, out: &str) -> Result<usize> {
    let mut count = 0;
    for line in out.lines().filter_map(|line| line.strip_prefix("stamped ")) {
        let (topic, time) =
            line.split_once(' ').with_context(|| format!("not `stamped TOPIC TIME`: {line}"))?;
        let batches = whole_batches(wire.fetch(topic, 0, 0, 0)?.records);
        let heads: Vec<_> = batches.iter().map(|batch| head(batch)).collect::<Result<_, _>>()?;
        let found: Vec<_> = heads.iter().map(|head| (head.records, head.max_timestamp)).collect();
        ensure!(found == [(3, time.parse()?)], "{topic}: {found:?}, and the latest record is of {time}");
        count += 1;
    }
    Ok(count)
}
