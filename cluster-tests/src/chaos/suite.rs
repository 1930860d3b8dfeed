//! Faults one after the other, each with a load of its own that is read back to its last record.
//!
//! ```text
//!   plan ──> stage: a cluster ──> act: one play ──> seen: a line, a page ──> the next one, whatever that one showed
//! ```
//! The n-th play has the seed of the run plus n, so one play can be repeated by itself. Lines and pages go to a directory
//! on request.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::fault::Fault;
use super::machine::Machine;
use super::options::Options;
use super::stage::Stage;
use crate::process::load::Rng;
use crate::process::say;

pub use super::plan::plan;
pub use super::seen::{Outcome, Seen};

/// The file with all lines, beside the pages.
const REPORT: &str = "report.txt";

/// Faults to play, for how long, and on which cluster.
pub struct Choice {
    pub faults: Vec<&'static Fault>,
    /// The list is played again, in other orders, until so much time is over; `None`: once.
    pub time: Option<Duration>,
    /// `timeline` names the directory for report and pages.
    pub options: Options,
}

/// The lines of a run, on the screen and in a file.
struct Report {
    file: Option<File>,
    dir: Option<PathBuf>,
}

impl Report {
    fn new(dir: Option<&Path>) -> Result<Report> {
        let Some(dir) = dir else { return Ok(Report { file: None, dir: None }) };
        let what = || dir.display().to_string();
        std::fs::create_dir_all(dir).with_context(what)?;
        let file = File::create(dir.join(REPORT)).with_context(what)?;
        Ok(Report { file: Some(file), dir: Some(dir.to_owned()) })
    }

    fn tell(&mut self, text: &str) {
        say(text);
        if let Some(file) = &mut self.file {
            // A full disk must not end a run that tells of a loss.
            let _ = writeln!(file, "{text}");
        }
    }

    fn page(&self, number: usize, fault: &Fault, seed: u64) -> Option<PathBuf> {
        let name = format!("{:03}-{}-{seed}.html", number + 1, fault.id);
        self.dir.as_ref().map(|dir| dir.join(name))
    }
}

/// Plays the faults that the machine allows.
pub fn play(choice: &Choice) -> Result<Outcome> {
    let options = &choice.options;
    let mut report = Report::new(options.timeline.as_deref())?;
    report.tell(&format!("seed {}", options.seed));
    let machine = Machine::look();
    let mut outcome = Outcome::default();
    let mut able = Vec::new();
    let mut unable = BTreeSet::new();
    for fault in &choice.faults {
        match fault.lacks(&machine).or_else(|| fault.means_nothing(options)) {
            None => able.push(*fault),
            Some(why) if unable.insert(fault.id) => {
                report.tell(&format!("{} NOT RUN ({}): {why}", fault.id, fault.words));
                outcome.left_out.push((fault.id, why));
            }
            Some(_) => {}
        }
    }
    let begun = Instant::now();
    let mut order = Rng::new(options.seed);
    let mut stage = Stage::new(&machine, options);
    while !able.is_empty() {
        for fault in &able {
            let (number, began) = (outcome.seen.len(), Instant::now());
            let seed = options.seed + number as u64;
            let seen = stage.play(fault, seed, report.page(number, fault, seed).as_deref());
            report.tell(&format!("{seen} ({} s)", began.elapsed().as_secs()));
            outcome.seen.push(seen);
        }
        if choice.time.is_none_or(|time| begun.elapsed() >= time) {
            break;
        }
        for at in (1..able.len()).rev() {
            able.swap(at, order.below(at as u64 + 1) as usize);
        }
    }
    if let Err(error) = stage.end()
        && let Some(last) = outcome.seen.last_mut()
    {
        report.tell(&format!("BROKEN after the last play: {error:#}"));
        last.broken.get_or_insert(format!("{error:#}"));
    }
    report.tell(&outcome.table());
    Ok(outcome)
}

/// Which faults there are, and which of them this machine can play.
#[must_use]
pub fn list(faults: &[&'static Fault]) -> String {
    let machine = Machine::look();
    let mut text = String::new();
    for fault in faults {
        let can = fault.lacks(&machine).map_or("runs here".to_owned(), |why| format!("NOT HERE: {why}"));
        text += &format!(
            "{}  {}\n     expected: nothing lost; {}\n     {can}\n",
            fault.id, fault.words, fault.expected
        );
    }
    text
}
