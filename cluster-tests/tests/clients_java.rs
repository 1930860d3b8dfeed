//! The Java client 4.3 against the built broker: the Maven project in `clients/java`.
//!
//! Compiled into a directory of its own below the target directory: off line when Maven has everything, else on line.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use callboard_cluster_tests::process::wire::Wire;
use callboard_cluster_tests::process::{Broker, Options, find_program, need, run, say};

fn tools() -> Option<(PathBuf, PathBuf)> {
    find_program("javac")?;
    Some((find_program("java")?, find_program("mvn")?))
}

/// Compiles the suite; the class path.
fn compile(mvn: &Path) -> Result<String> {
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/java/pom.xml");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("client-suite-java");
    let build = |more: &[&str]| {
        let (pom, dir) = (pom.to_string_lossy(), format!("-Dbuild.dir={}", dir.display()));
        let args =
            [&["-q", "-B", "-f", &pom, &dir], more, &["compile", "dependency:copy-dependencies"]].concat();
        run(mvn, &args, |_| ())
    };
    if !build(&["-o"])?.status.success() {
        build(&[])?.good("mvn compile dependency:copy-dependencies")?;
    }
    Ok(format!("{0}/classes:{0}/libs/*", dir.display()))
}

#[test]
fn the_java_client_reads_back_what_it_wrote() -> Result<()> {
    let Some((java, mvn)) = need("clients_java", "a JDK (17 or later) and maven", tools())? else {
        return Ok(());
    };
    let class_path = compile(&mvn)?;
    let mut broker = Broker::start(Options { shards: 2, ..Options::default() })?;
    let bootstrap = broker.bootstrap();
    let out =
        run(&java, &["-cp", &class_path, "callboard.Suite", &bootstrap], |_| ())?.good("the Java suite");
    let out = out.map_err(|error| broker.broken(&format!("{error:#}")))?;
    let out = String::from_utf8_lossy(&out);
    say(&out);
    // The suite's own count: an empty run is not a good one.
    ensure!(out.lines().filter(|line| line.starts_with("ok ")).count() >= 9, "too few checks:\n{out}");
    // The codecs are the client's choice; what arrived is looked at here.
    ensure!(Wire::connect(broker.addr())?.codecs_are(&out)? >= 5, "too few codecs:\n{out}");
    broker.stop()
}
