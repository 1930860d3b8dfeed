//! The binary from outside: it starts, refuses with words, and ends cleanly.
#![allow(clippy::unwrap_used)] // helpers of tests, too

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn callboard(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callboard"));
    command.args(args).arg("--data").arg(dir.join("data")).env("RUST_LOG", "info");
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// A running node, killed when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads the node's log until it is ready; returns the lines and the rest of the log.
fn ready(running: &mut Running) -> (Vec<String>, BufReader<std::process::ChildStderr>) {
    let mut log = BufReader::new(running.0.stderr.take().unwrap());
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended: {lines:#?}");
        lines.push(line.trim_end().to_owned());
        if lines.last().unwrap().contains("ready in") {
            return (lines, log);
        }
    }
}

fn refused(command: &mut Command) -> (Option<i32>, String) {
    let mut child = command.spawn().unwrap();
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    (child.wait().unwrap().code(), text)
}

const ANY: [&str; 4] = ["--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"];

#[test]
fn it_starts_says_what_it_does_in_ten_lines_and_ends_cleanly_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let mut running = Running(callboard(dir.path(), &ANY).spawn().unwrap());
        let (lines, mut log) = ready(&mut running);
        assert!(lines.len() <= 10, "{lines:#?}");
        assert!(lines.iter().any(|l| l.contains("listening for kafka clients on 127.0.0.1:")));
        let found = if round == 0 { "made" } else { "the last end was clean" };
        assert!(lines.iter().any(|l| l.contains(found)), "{lines:#?}");
        let pid = running.0.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        assert_eq!(running.0.wait().unwrap().code(), Some(0));
        let mut rest = String::new();
        log.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("ended cleanly"), "{rest}");
    }
}

#[test]
fn a_data_directory_in_use_or_of_another_format_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = Running(callboard(dir.path(), &ANY).spawn().unwrap());
    let kept = ready(&mut running);
    let (code, text) = refused(&mut callboard(dir.path(), &ANY));
    assert_eq!(code, Some(78));
    assert!(text.contains("in use by another process"), "{text}");
    drop((kept, running));
    let identity = dir.path().join("data/identity");
    let text = std::fs::read_to_string(&identity).unwrap();
    std::fs::write(&identity, text.replace("\"format\": 1", "\"format\": 9")).unwrap();
    let (code, text) = refused(&mut callboard(dir.path(), &ANY));
    assert_eq!(code, Some(78));
    assert!(text.contains("has format 9, this build reads up to 1"), "{text}");
}

#[test]
fn wrong_configuration_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    std::fs::write(&file, "no_such_field = 1\n").unwrap();
    let path = file.to_str().unwrap();
    let (code, text) = refused(&mut callboard(dir.path(), &["--config", path]));
    assert!(
        code == Some(78) && text.contains("no_such_field") && text.contains("config/callboard.toml"),
        "{text}"
    );
    let (code, text) = refused(&mut callboard(dir.path(), &["--kafka", "nonsense"]));
    assert!(code == Some(78) && text.contains("--kafka HOST:PORT"), "{text}");
    let (code, text) = refused(&mut callboard(dir.path(), &["--advertised", "nonsense"]));
    assert!(code == Some(78) && text.contains("it takes HOST:PORT"), "{text}");
    assert!(!dir.path().join("data").exists(), "nothing was touched");
}
