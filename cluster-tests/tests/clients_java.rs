//! The Java client 4.3 against the built broker: the Maven project in `clients/java`, one class a test.
//!
//! Records (`Suite`), consumer groups (`Groups`), the admin client (`Operator`, `TopicConfigs`), Kafka Streams (`Streams`).
//! Kafka's own tools: `clients_tools.rs`.

use anyhow::{Result, ensure};
use callboard_cluster_tests::process::wire::Wire;
use callboard_cluster_tests::process::{Broker, Nodes, Options, find_java, need, say};

/// Runs one class against a broker of its own. `checks`: an empty run is not a good one.
fn suite(class: &str, checks: usize) -> Result<Option<(Broker, String)>> {
    let mut broker = Broker::start(Options { shards: 2, ..Options::default() })?;
    let out = at(&broker.bootstrap(), class, checks);
    let out = out.map_err(|error| broker.broken(&format!("{error:#}")))?;
    Ok(out.map(|out| (broker, out)))
}

/// Runs one class against the node at this address; what it printed, if it can run here.
fn at(bootstrap: &str, class: &str, checks: usize) -> Result<Option<String>> {
    let Some(java) = need("clients_java", "a JDK (17 or later) and maven", find_java())? else {
        return Ok(None);
    };
    let class_path = java.class_path(env!("CARGO_TARGET_TMPDIR"))?;
    let out = java.run(&class_path, &format!("callboard.{class}"), &[bootstrap])?.good(class)?;
    let out = String::from_utf8_lossy(&out).into_owned();
    say(&out);
    let ok = out.lines().filter(|line| line.starts_with("ok ")).count();
    ensure!(ok >= checks, "{class}: too few checks:\n{out}");
    Ok(Some(out))
}

#[test]
fn the_java_client_reads_back_what_it_wrote() -> Result<()> {
    let Some((mut broker, out)) = suite("Suite", 11)? else { return Ok(()) };
    // The codecs are the client's choice; what arrived is looked at here.
    ensure!(Wire::connect(broker.addr())?.codecs_are(&out)? >= 5, "too few codecs:\n{out}");
    // One answer was enough for the client that asked for transactions, and one line for the log.
    ensure!(broker.lines().holding("transactions are not served") == 1, "asked more than once, or never");
    broker.stop()
}

#[test]
fn members_of_java_groups_come_and_go() -> Result<()> {
    let Some((mut broker, _)) = suite("Groups", 9)? else { return Ok(()) };
    broker.stop()
}

#[test]
fn what_the_java_admin_client_asks_for_is_done() -> Result<()> {
    let Some((mut broker, _)) = suite("Operator", 11)? else { return Ok(()) };
    broker.stop()
}

#[test]
fn the_topic_configs_that_tools_set_are_taken_and_described() -> Result<()> {
    let Some((mut broker, _)) = suite("TopicConfigs", 5)? else { return Ok(()) };
    broker.stop()
}

#[test]
fn kafka_streams_moves_records_through_a_topic_of_its_own() -> Result<()> {
    let Some((mut broker, _)) = suite("Streams", 1)? else { return Ok(()) };
    broker.stop()
}

#[test]
fn they_do_it_with_three_nodes_each_through_another() -> Result<()> {
    let mut nodes = Nodes::start(3, &Options::default())?;
    let classes = [("Suite", 11), ("Groups", 9), ("Operator", 11), ("TopicConfigs", 5), ("Streams", 1)];
    for (n, (class, checks)) in classes.into_iter().enumerate() {
        let node = &mut nodes.nodes[n % 3];
        at(&node.bootstrap(), class, checks).map_err(|error| node.broken(&format!("{error:#}")))?;
    }
    nodes.nodes.iter_mut().try_for_each(Broker::stop)
}
