//! `callboard dev`: a cluster on this machine, in one terminal, to try things out.
//!
//! ```text
//!   places.rs  directories and ports        keys.rs   the keyboard, key by key
//!   member.rs  one node as a child process, its lines in its colour       orphan.rs  a node ends with its parent
//!
//!   key 1–9 ─> kill -9 of that node, or its start      q, Ctrl-C, SIGTERM ─> all end cleanly, what was made is removed
//! ```
//! Nodes are processes of their own, so a kill is a real one. They are started as an operator would start them: same flags,
//! same seeds. Nothing here is a shortcut into a node.

mod keys;
mod member;
mod orphan;
mod places;

use anyhow::Context as _;
use keys::Keys;
use member::{Heard, Member};
pub use orphan::end_with_parent;
use places::Places;
use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Nodes at most: each has a key.
pub const NODES_MAX: u32 = 9;
/// Time for a clean end; a node that takes longer is killed.
const END: Duration = Duration::from_secs(10);

/// Runs a cluster of so many nodes until a key or a signal ends it. Without a directory it has one that goes with it.
pub async fn run(nodes: u32, data: Option<PathBuf>) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let places = Places::choose(nodes, data)?;
    let (lines, mut heard) = mpsc::unbounded_channel();
    let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut members: Vec<Member> =
        places.nodes().map(|place| Member::new(place, lines.clone(), coloured)).collect();
    for member in &mut members {
        member.start()?;
    }
    let shown = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        shown = show(&mut members, &mut heard, &places) => shown,
    };
    end(members, &mut heard).await;
    places.clean()?;
    shown
}

/// Shows the nodes' lines and obeys the keys, until `q` or until the terminal is gone.
async fn show(
    members: &mut [Member],
    heard: &mut mpsc::UnboundedReceiver<Heard>,
    places: &Places,
) -> anyhow::Result<()> {
    let mut keys = Keys::open();
    let mut told = false;
    loop {
        tokio::select! {
            key = keys.next() => match key {
                'q' => return Ok(()),
                key => press(members, key)?,
            },
            Some(Heard { node, what }) = heard.recv() => {
                let Some(member) = members.get_mut(node) else { continue };
                member.hears(&what)?;
                if !told && members.iter().all(Member::is_ready) {
                    told = true;
                    welcome(places)?;
                }
            }
        }
    }
}

/// Kills a node that runs, and starts one that does not.
fn press(members: &mut [Member], key: char) -> anyhow::Result<()> {
    let number = key.to_digit(10).and_then(|digit| usize::try_from(digit).ok()?.checked_sub(1));
    let Some(member) = number.and_then(|number| members.get_mut(number)) else { return Ok(()) };
    if member.runs() { member.kill() } else { member.start() }
}

fn welcome(places: &Places) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n  bootstrap.servers  {}", places.bootstrap())?;
    writeln!(
        out,
        "  directory          {}{}",
        places.directory().display(),
        if places.stays() { "" } else { " (goes with the cluster)" }
    )?;
    let last = places.nodes().count();
    writeln!(out, "  keys               1–{last}: kill -9 that node, or start it again · q: end all\n")?;
    out.flush().context("the terminal is gone")
}

/// Ends all nodes cleanly, at once, and shows their last lines.
async fn end(mut members: Vec<Member>, heard: &mut mpsc::UnboundedReceiver<Heard>) {
    members.iter().for_each(Member::terminate);
    let all_ended = async {
        while members.iter().any(Member::runs) {
            let Some(Heard { node, what }) = heard.recv().await else { return };
            if let Some(member) = members.get_mut(node) {
                let _ = member.hears(&what);
            }
        }
    };
    let _ = timeout(END, all_ended).await;
    for member in members.iter_mut().filter(|member| member.runs()) {
        let _ = member.kill();
    }
}
