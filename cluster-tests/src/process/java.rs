//! The Maven project in `clients/java`: compiled once a process, off line when Maven has everything, else on line.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Result;

use super::{Finished, find_program, install_alone, run};

/// The programs that compile and run the project.
#[derive(Clone)]
pub struct Java {
    java: PathBuf,
    mvn: PathBuf,
}

/// A JDK and Maven, if both are there.
pub fn find_java() -> Option<Java> {
    find_program("javac")?;
    Some(Java { java: find_program("java")?, mvn: find_program("mvn")? })
}

impl Java {
    /// The path of `java`.
    pub fn program(&self) -> &Path {
        &self.java
    }

    /// Compiles the project below `dir` on the first call; returns its class path.
    pub fn class_path(&self, dir: &str) -> Result<String> {
        static DONE: OnceLock<Result<(), String>> = OnceLock::new();
        let dir = Path::new(dir).join("client-suite-java");
        let done = DONE.get_or_init(|| self.compile(&dir).map_err(|error| format!("{error:#}")));
        done.clone().map_err(anyhow::Error::msg)?;
        Ok(format!("{0}/classes:{0}/libs/*", dir.display()))
    }

    fn compile(&self, dir: &Path) -> Result<()> {
        let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/java/pom.xml");
        let _alone = install_alone(dir)?;
        let build = |more: &[&str]| {
            let (pom, dir) = (pom.to_string_lossy(), format!("-Dbuild.dir={}", dir.display()));
            let goals = ["compile", "dependency:copy-dependencies"];
            let args = [&["-q", "-B", "-f", &pom, &dir], more, &goals].concat();
            run(&self.mvn, &args, |_| ())
        };
        if !build(&["-o"])?.status.success() {
            build(&[])?.good("mvn compile dependency:copy-dependencies")?;
        }
        Ok(())
    }

    /// Runs a class of the project to its end.
    pub fn run(&self, class_path: &str, class: &str, args: &[&str]) -> Result<Finished> {
        // The suites do not read the log. The first compiler is enough for a run of a minute.
        let flags = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "-XX:TieredStopAtLevel=1", "-Xmx512m"];
        run(&self.java, &[&flags[..], &["-cp", class_path, class], args].concat(), |_| ())
    }
}
