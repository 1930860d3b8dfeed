//! Kafka's own command-line tools: what they print about Callboard is what they print about Kafka.
//!
//! ```text
//!   clients/tools.txt ──> Tools.java ──> a Kafka from Maven ──> transcript ─┐
//!                    └──> Tools.java ──> the built broker   ──> transcript ─┴─> tools/compare.rs, line by line
//! ```
//! What may differ is listed in `tools/allowed.rs`, each with its reason; an entry that nothing needs is a failure, too.

#[path = "tools/allowed.rs"]
mod allowed;
#[path = "tools/compare.rs"]
mod compare;

use std::path::Path;

use anyhow::{Result, ensure};
use callboard_cluster_tests::process::{Broker, Java, Kafka, Options, find_java, need, say};

fn transcript(java: &Java, class_path: &str, bootstrap: &str, dir: &Path) -> Result<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/tools.txt");
    let args = [bootstrap, &script.to_string_lossy(), &dir.to_string_lossy()];
    let out = java.run(class_path, "callboard.Tools", &args)?.good("Tools")?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[test]
fn the_tools_print_what_they_print_about_kafka() -> Result<()> {
    let Some(java) = need("clients_tools", "a JDK (17 or later) and maven", find_java())? else {
        return Ok(());
    };
    let class_path = java.class_path(env!("CARGO_TARGET_TMPDIR"))?;
    let mut broker = Broker::start(Options { shards: 2, ..Options::default() })?;
    let kafka = Kafka::start(java.program(), &class_path, &[])?;
    let (java, class_path, ours_at, theirs_at) = (&java, &class_path, broker.bootstrap(), kafka.bootstrap());
    let (ours, theirs) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| transcript(java, class_path, &theirs_at, kafka.dir()));
        (transcript(java, class_path, &ours_at, broker.dir()), theirs.join())
    });
    let ours = ours.map_err(|error| broker.broken(&format!("{error:#}")))?;
    let theirs = theirs.map_err(|_| anyhow::anyhow!("the thread at the reference Kafka has failed"))??;
    let (ours, theirs) = (compare::parse(&ours, &ours_at), compare::parse(&theirs, &theirs_at));
    ensure!(theirs.len() > 80, "only {} commands were run at Kafka", theirs.len());
    let found = compare::differences(&theirs, &ours, allowed::ALLOWED);
    say(&format!("{} commands compared, {} with differences", theirs.len(), found.commands));
    ensure!(found.lines.is_empty(), "Kafka (-) and Callboard (+) differ:\n{}", found.lines.join("\n"));
    ensure!(found.idle.is_empty(), "allowed, and not needed:\n{}", found.idle.join("\n"));
    broker.stop()
}
