//! franz-go against the built broker: the Go module in `clients/go`, built into the target directory.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use callboard_cluster_tests::process::wire::Wire;
use callboard_cluster_tests::process::{Broker, Options, find_program, need, run, say};

/// The Go toolchain: `CALLBOARD_GO`, else the one on the PATH.
fn go() -> Option<PathBuf> {
    let go = std::env::var_os("CALLBOARD_GO").map(PathBuf::from).or_else(|| find_program("go"))?;
    // An older one takes what go.mod asks for only if it knows of toolchains.
    let found = run(&go, &["version"], |_| ()).ok()?;
    found.status.success().then_some(go)
}

#[test]
fn franz_go_does_what_it_does_with_kafka() -> Result<()> {
    let Some(go) = need("clients_go", "Go (1.21 or later)", go())? else { return Ok(()) };
    let suite = Path::new(env!("CARGO_TARGET_TMPDIR")).join("client-suite-go");
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/go");
    run(&go, &["build", "-o", &suite.to_string_lossy(), "."], |command| {
        command.current_dir(module);
    })?
    .good("go build")?;
    let mut broker = Broker::start(Options { shards: 2, ..Options::default() })?;
    let bootstrap = broker.bootstrap();
    let out = run(&suite, &[&bootstrap], |_| ())?.good("the Go suite");
    let out = out.map_err(|error| broker.broken(&format!("{error:#}")))?;
    let out = String::from_utf8_lossy(&out);
    say(&out);
    // The suite's own count: an empty run is not a good one.
    ensure!(out.lines().filter(|line| line.starts_with("ok ")).count() >= 12, "too few checks:\n{out}");
    // The codecs are the client's choice; what arrived is looked at here.
    ensure!(Wire::connect(broker.addr())?.codecs_are(&out)? >= 5, "too few codecs:\n{out}");
    // One answer was enough for the client that asked for transactions, and one line for the log.
    ensure!(broker.lines().holding("transactions are not served") == 1, "asked more than once, or never");
    broker.stop()
}
