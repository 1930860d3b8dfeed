//! `callboard dev`: three nodes in one terminal, keys that kill one and start it again, an end that leaves nothing behind.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use callboard_cluster_tests::chaos::map::view_at;
use callboard_cluster_tests::process::{HANG, Lines, binary};

/// A `callboard dev` whose keys and lines are those of a pipe.
struct Dev {
    child: Child,
    lines: Lines,
}

impl Dev {
    fn start() -> Result<Dev> {
        let mut command = Command::new(binary()?);
        command.args(["dev", "--nodes", "3"]).env("RUST_LOG", "info");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let lines = Lines::follow(child.stdout.take().context("its output")?);
        Ok(Dev { child, lines })
    }

    fn press(&mut self, key: &str) -> Result<()> {
        let keys = self.child.stdin.as_mut().context("its input")?;
        keys.write_all(key.as_bytes())?;
        Ok(keys.flush()?)
    }

    /// The first line from there on that holds these words.
    fn line(&self, words: &str, from: usize) -> Result<String> {
        let line = self.lines.wait_for(words, from, HANG);
        line.with_context(|| format!("no line says \"{words}\":\n{}", self.lines.tail(60)))
    }

    fn ends(&mut self) -> Result<i32> {
        let until = Instant::now() + HANG;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return status.code().context("it was killed");
            }
            ensure!(Instant::now() < until, "it does not end:\n{}", self.lines.tail(60));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Dev {
    /// Its nodes end with it.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn word<'a>(line: &'a str, after: &str) -> Result<&'a str> {
    let rest = line.split(after).nth(1).with_context(|| format!("{after} in {line}"))?;
    rest.split_whitespace().next().context("a word")
}

/// Asks whether node 1 may be restarted until the command ends with this code.
fn restart_safe_ends_with(console: &str, code: i32) -> Result<()> {
    let until = Instant::now() + HANG;
    loop {
        let said = Command::new(binary()?).args(["cluster", "restart-safe", "--http", console]).output()?;
        if said.status.code() == Some(code) {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{said:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_cluster_in_one_terminal_a_kill_by_key_and_a_clean_end() -> Result<()> {
    let mut dev = Dev::start()?;
    let bootstrap = dev.line("bootstrap.servers", 0)?;
    let addresses: Vec<SocketAddr> =
        word(&bootstrap, "bootstrap.servers")?.split(',').map(str::parse).collect::<Result<_, _>>()?;
    ensure!(addresses.len() == 3, "{bootstrap}");
    let directory = dev.line("  directory", 0)?;
    let directory = word(&directory, "directory")?.to_owned();
    ensure!(Path::new(&directory).join("node3").is_dir(), "{directory}");
    let view = view_at(addresses[0], "none")?;
    ensure!(view.nodes.len() == 3, "{:?}", view.nodes);

    let seen = dev.lines.seen();
    dev.press("2")?;
    dev.line("2 | ended: signal: 9", seen)?;
    let log = dev.lines.tail(usize::MAX);
    let first = log.lines().find(|line| line.starts_with("1 | ") && line.contains("listening for http on "));
    let console = word(first.context("node 1 serves http")?, "listening for http on ")?;
    restart_safe_ends_with(console, 1)?;

    let seen = dev.lines.seen();
    dev.press("2")?;
    dev.line("2 | starts", seen)?;
    dev.line(" ready in", seen)?;
    restart_safe_ends_with(console, 0)?;

    dev.press("q")?;
    ensure!(dev.ends()? == 0, "{}", dev.lines.tail(60));
    ensure!(!Path::new(&directory).exists(), "{directory} is still there");
    Ok(())
}
