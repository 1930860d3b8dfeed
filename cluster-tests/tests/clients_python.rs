//! confluent-kafka (librdkafka as Python users have it) against the built broker: `clients/python/suite.py`.
//!
//! The interpreter is `CALLBOARD_PYTHON`, else `python3`; without `confluent_kafka` the suite is skipped loudly.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use callboard_cluster_tests::process::wire::Wire;
use callboard_cluster_tests::process::{Broker, Options, find_program, need, run, say};

fn python() -> Option<PathBuf> {
    let python =
        std::env::var_os("CALLBOARD_PYTHON").map(PathBuf::from).or_else(|| find_program("python3"))?;
    let found = run(&python, &["-c", "import confluent_kafka"], |_| ()).ok()?;
    found.status.success().then_some(python)
}

#[test]
fn confluent_kafka_reads_back_what_it_wrote() -> Result<()> {
    let Some(python) = need("clients_python", "python3 with confluent-kafka 2.16", python())? else {
        return Ok(());
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python/suite.py");
    let mut broker = Broker::start(Options { shards: 2, ..Options::default() })?;
    let bootstrap = broker.bootstrap();
    let out = run(&python, &[&script.to_string_lossy(), &bootstrap], |_| ())?.good("suite.py");
    let out = out.map_err(|error| broker.broken(&format!("{error:#}")))?;
    let out = String::from_utf8_lossy(&out);
    say(&out);
    // The script's own count: an empty run is not a good one.
    ensure!(out.lines().filter(|line| line.starts_with("ok ")).count() >= 9, "too few checks:\n{out}");
    // The codecs are the client's choice; what arrived is looked at here.
    ensure!(Wire::connect(broker.addr())?.codecs_are(&out)? >= 5, "too few codecs:\n{out}");
    broker.stop()
}
