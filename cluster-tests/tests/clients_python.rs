//! Python's clients against the built broker: confluent-kafka (librdkafka as Python users have it) and aiokafka, the
//! scripts in `clients/python`.
//!
//! The interpreter is `CALLBOARD_PYTHON`, else `python3`; without the packages the suites are skipped loudly.

use std::path::Path;

use anyhow::{Result, ensure};
use callboard_cluster_tests::process::wire::Wire;
use callboard_cluster_tests::process::{Broker, Nodes, Options, find_python, need, run, say};

/// Runs a script against a broker of its own. `checks`: an empty run is not a good one.
fn suite(package: &str, script: &str, checks: usize) -> Result<Option<(Broker, String)>> {
    let mut broker = Broker::start(Options { shards: 2, ..Options::default() })?;
    let out = at(&broker.bootstrap(), package, script, checks);
    let out = out.map_err(|error| broker.broken(&format!("{error:#}")))?;
    Ok(out.map(|out| (broker, out)))
}

/// Runs a script against the node at this address; what it printed, if it can run here.
fn at(bootstrap: &str, package: &str, script: &str, checks: usize) -> Result<Option<String>> {
    let what = format!("python3 with {package}");
    let Some(python) = need("clients_python", &what, find_python(package))? else { return Ok(None) };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python").join(script);
    // -B: nothing is written into the source tree.
    let out = run(&python, &["-B", &path.to_string_lossy(), bootstrap], |_| ())?.good(script)?;
    let out = String::from_utf8_lossy(&out).into_owned();
    say(&out);
    let ok = out.lines().filter(|line| line.starts_with("ok ")).count();
    ensure!(ok >= checks, "{script}: too few checks:\n{out}");
    Ok(Some(out))
}

#[test]
fn confluent_kafka_reads_back_what_it_wrote() -> Result<()> {
    let Some((mut broker, out)) = suite("confluent_kafka", "suite.py", 10)? else { return Ok(()) };
    // The codecs are the client's choice; what arrived is looked at here.
    ensure!(Wire::connect(broker.addr())?.codecs_are(&out)? >= 5, "too few codecs:\n{out}");
    // librdkafka may ask again by its second connection; each connection gets one line.
    let lines = broker.lines().holding("transactions are not served");
    ensure!(
        (1..=2).contains(&lines),
        "{lines} lines on transactions, for at most two connections of one client"
    );
    broker.stop()
}

#[test]
fn members_of_confluent_kafka_groups_come_and_go() -> Result<()> {
    let Some((mut broker, _)) = suite("confluent_kafka", "groups.py", 10)? else { return Ok(()) };
    broker.stop()
}

#[test]
fn aiokafka_does_what_it_does_with_kafka() -> Result<()> {
    let Some((mut broker, out)) = suite("aiokafka", "aio.py", 11)? else { return Ok(()) };
    ensure!(Wire::connect(broker.addr())?.codecs_are(&out)? >= 5, "too few codecs:\n{out}");
    // One answer was enough for the client that asked for transactions, and one line for the log.
    ensure!(broker.lines().holding("transactions are not served") == 1, "asked more than once, or never");
    broker.stop()
}

#[test]
fn they_do_it_with_three_nodes_each_through_another() -> Result<()> {
    let mut nodes = Nodes::start(3, &Options::default())?;
    let scripts = [
        ("confluent_kafka", "suite.py", 10),
        ("confluent_kafka", "groups.py", 10),
        ("aiokafka", "aio.py", 11),
    ];
    for (node, (package, script, checks)) in scripts.into_iter().enumerate() {
        let out = at(&nodes.nodes[node].bootstrap(), package, script, checks);
        out.map_err(|error| nodes.nodes[node].broken(&format!("{error:#}")))?;
    }
    nodes.nodes.iter_mut().try_for_each(Broker::stop)
}
