//! kafkajs against the built broker: `clients/js/suite.js`, with the packages of its lock file.
//!
//! They are installed below the target directory, once: off line when npm has them, else on line.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use callboard_cluster_tests::process::wire::Wire;
use callboard_cluster_tests::process::{Broker, Nodes, Options, find_program, install_alone, need, run, say};

fn programs() -> Option<(PathBuf, PathBuf)> {
    Some((find_program("node")?, find_program("npm")?))
}

/// Installs what the lock file says; where it is.
fn packages(npm: &Path, from: &Path) -> Result<PathBuf> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("client-suite-js");
    let _alone = install_alone(&dir)?;
    let lock = std::fs::read(from.join("package-lock.json")).context("package-lock.json")?;
    let done = dir.join("installed");
    if std::fs::read(&done).is_ok_and(|installed| installed == lock) {
        return Ok(dir.join("node_modules"));
    }
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(from.join(file), dir.join(file))?;
    }
    let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"];
    run(npm, &install, |command| {
        command.current_dir(&dir);
    })?
    .good("npm ci")?;
    std::fs::write(done, lock)?;
    Ok(dir.join("node_modules"))
}

/// Runs the suite against the node at this address; what it printed, if it can run here.
fn suite(bootstrap: &str) -> Result<Option<String>> {
    let Some((node, npm)) = need("clients_js", "node (18 or later) with npm", programs())? else {
        return Ok(None);
    };
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/js");
    let packages = packages(&npm, &suite)?;
    let script = suite.join("suite.js");
    let out = run(&node, &[&script.to_string_lossy(), bootstrap], |command| {
        command.env("NODE_PATH", packages);
    })?
    .good("suite.js")?;
    let out = String::from_utf8_lossy(&out).into_owned();
    say(&out);
    // The script's own count: an empty run is not a good one.
    ensure!(out.lines().filter(|line| line.starts_with("ok ")).count() >= 8, "too few checks:\n{out}");
    Ok(Some(out))
}

#[test]
fn kafkajs_does_what_it_does_with_kafka() -> Result<()> {
    let mut broker = Broker::start(Options { shards: 2, ..Options::default() })?;
    let out = suite(&broker.bootstrap()).map_err(|error| broker.broken(&format!("{error:#}")))?;
    let Some(out) = out else { return Ok(()) };
    // The codecs are the client's choice; what arrived is looked at here.
    ensure!(Wire::connect(broker.addr())?.codecs_are(&out)? >= 5, "too few codecs:\n{out}");
    broker.stop()
}

#[test]
fn kafkajs_does_it_with_three_nodes() -> Result<()> {
    let mut nodes = Nodes::start(3, &Options::default())?;
    let bootstrap = nodes.nodes[1].bootstrap();
    suite(&bootstrap).map_err(|error| nodes.nodes[1].broken(&format!("{error:#}")))?;
    nodes.nodes.iter_mut().try_for_each(Broker::stop)
}
