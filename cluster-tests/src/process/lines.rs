//! A child's output, line by line. The newest lines are kept for failure messages; a test waits for a line instead of for
//! time.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Lines that are kept, which is enough for the story of a failure.
const KEPT: usize = 2_000;

/// Lines that one run of a process has written so far.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    lines: VecDeque<String>,
    /// Lines that were removed at the front.
    dropped: usize,
    ended: bool,
}

impl Lines {
    /// Reads `from` to its end on a thread of its own.
    pub fn follow(from: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let to = lines.clone();
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                to.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
            to.0.0.lock().ended = true;
            to.0.1.notify_all();
        });
        lines
    }

    fn push(&self, line: String) {
        let mut state = self.0.0.lock();
        if state.lines.len() == KEPT {
            state.lines.pop_front();
            state.dropped += 1;
        }
        state.lines.push_back(line);
        drop(state);
        self.0.1.notify_all();
    }

    /// Number of lines so far, removed ones too: a place to wait from.
    pub fn seen(&self) -> usize {
        let state = self.0.0.lock();
        state.dropped + state.lines.len()
    }

    /// Waits for the first line at or after `from` that holds `text`; `None` when the stream ends or `limit` passes without it.
    pub fn wait_for(&self, text: &str, from: usize, limit: Duration) -> Option<String> {
        let until = Instant::now() + limit;
        let mut state = self.0.0.lock();
        let mut next = from;
        loop {
            let first = next.saturating_sub(state.dropped);
            if let Some(line) = state.lines.iter().skip(first).find(|line| line.contains(text)) {
                return Some(line.clone());
            }
            next = state.dropped + state.lines.len();
            if state.ended || self.0.1.wait_until(&mut state, until).timed_out() {
                return None;
            }
        }
    }

    /// Waits until the writer has closed its end, so that all it wrote is here.
    pub fn wait_end(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut state = self.0.0.lock();
        while !state.ended {
            if self.0.1.wait_until(&mut state, until).timed_out() {
                return state.ended;
            }
        }
        true
    }

    /// The kept lines at or after `from`.
    pub fn since(&self, from: usize) -> Vec<String> {
        let state = self.0.0.lock();
        state.lines.iter().skip(from.saturating_sub(state.dropped)).cloned().collect()
    }

    /// Number of kept lines that contain `text`.
    pub fn holding(&self, text: &str) -> usize {
        self.since(0).iter().filter(|line| line.contains(text)).count()
    }

    /// The newest `count` lines as one text.
    pub fn tail(&self, count: usize) -> String {
        let state = self.0.0.lock();
        let skip = state.lines.len().saturating_sub(count);
        state.lines.iter().skip(skip).fold(String::new(), |text, line| text + line + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_from_a_place_on_and_the_end_ends_the_wait() {
        let lines = Lines::follow(&b"one\ntwo\nlast without newline"[..]);
        assert!(lines.wait_end(super::super::HANG));
        assert_eq!(lines.seen(), 3);
        assert_eq!(lines.wait_for("two", 0, super::super::HANG).as_deref(), Some("two"));
        assert_eq!(lines.wait_for("two", 2, super::super::HANG), None);
        assert_eq!(lines.tail(1), "last without newline\n");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let text = (0..KEPT + 10).fold(String::new(), |text, n| text + &format!("line {n}\n"));
        let lines = Lines::follow(std::io::Cursor::new(text));
        assert!(lines.wait_end(super::super::HANG));
        assert_eq!(lines.seen(), KEPT + 10);
        assert_eq!(lines.since(0).len(), KEPT);
        assert_eq!(lines.since(KEPT + 9), [format!("line {}", KEPT + 9)]);
    }
}
