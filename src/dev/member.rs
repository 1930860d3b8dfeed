//! One node of a cluster on this machine: a child process, whose lines are shown behind its number, in its colour.
//!
//! The child is in a process group of its own, so a Ctrl-C in the terminal reaches `dev` alone. It ends its nodes in order.

use super::places::Place;
use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use std::io::Write as _;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// Terminal colours of the nodes, by number.
const COLOURS: [u8; 9] = [36, 33, 35, 32, 34, 31, 96, 93, 95];
/// Words of the log line that says that a node serves.
const READY: &str = " ready in";

/// Something heard of a node.
#[derive(Debug)]
pub struct Heard {
    pub node: usize,
    pub what: What,
}

/// News of a node's process.
#[derive(Debug)]
pub enum What {
    Line(String),
    /// Its process of this id has ended, in these words.
    Ended(u32, String),
}

/// A node and its process, if one runs.
pub struct Member {
    place: Place,
    lines: mpsc::UnboundedSender<Heard>,
    coloured: bool,
    process: Option<u32>,
    ready: bool,
}

impl Member {
    /// A node that does not run yet.
    pub fn new(place: Place, lines: mpsc::UnboundedSender<Heard>, coloured: bool) -> Member {
        Member { place, lines, coloured, process: None, ready: false }
    }

    /// Whether its process runs.
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Whether it has said that it serves.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Starts its process; what the last one said or left does not count any more.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let binary = std::env::current_exe().context("the path of this program is not known")?;
        let child = Command::new(binary)
            .args(&self.place.arguments)
            .env(super::orphan::PARENT, std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("a node's process could not be started")?;
        (self.process, self.ready) = (child.id(), false);
        tokio::spawn(listen(child, self.place.number, self.lines.clone()));
        self.say("starts")
    }

    /// Kills its process as a machine does that loses its power, as far as a process can tell.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::KILL);
        self.say("kill -9")
    }

    /// Asks its process to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.process.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            // It may have ended just now.
            let _ = kill_process(pid, signal);
        }
    }

    /// Shows what was heard of it.
    pub fn hears(&mut self, what: &What) -> anyhow::Result<()> {
        match what {
            What::Line(line) => {
                self.ready |= line.contains(READY);
                self.say(line)
            }
            What::Ended(process, how) => {
                if self.process == Some(*process) {
                    (self.process, self.ready) = (None, false);
                }
                self.say(how)
            }
        }
    }

    fn say(&self, words: &str) -> anyhow::Result<()> {
        let number = self.place.number + 1;
        let mut out = std::io::stdout().lock();
        match COLOURS.get(self.place.number).filter(|_| self.coloured) {
            Some(colour) => writeln!(out, "\x1b[{colour}m{number} │\x1b[0m {words}")?,
            None => writeln!(out, "{number} | {words}")?,
        }
        out.flush().context("the terminal is gone")
    }
}

/// Passes on the lines of a process, and at last how it ended.
async fn listen(mut child: Child, node: usize, lines: mpsc::UnboundedSender<Heard>) {
    let process = child.id().unwrap_or_default();
    if let Some(stderr) = child.stderr.take() {
        let mut read = BufReader::new(stderr).split(b'\n');
        while let Ok(Some(line)) = read.next_segment().await {
            let line = String::from_utf8_lossy(&line).into_owned();
            let _ = lines.send(Heard { node, what: What::Line(line) });
        }
    }
    let how = match child.wait().await {
        Ok(status) => format!("ended: {status}"),
        Err(error) => format!("ended: {error}"),
    };
    let _ = lines.send(Heard { node, what: What::Ended(process, how) });
}
