//! The picture of a timeline: one SVG with a row for each node and each track, over one axis of time.
//!
//! ```text
//!            0 s        5 s        10 s
//!   node 1   ─────█████▒──────────────────   down, starting
//!   t-0      ▀▀▀▀▀▽▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀   leader, elections
//!            ▆▇▆▇ ░░░▇▆▇▆▇▆▇▆▇▆▇▆▇▆▇▆▇▆▇▆▇   acknowledgements a second, gaps
//!            3333 2222222222233333333333333   ISR size
//! ```
//! Bars of all partitions have one scale, so that they can be compared. Every mark has a title, which a pointer shows.

use std::fmt::Write as _;

use super::event::KILL;
use super::scene::{Fault, Held, Scene, Track};

/// More tracks make no picture; the table tells of all.
const TRACKS: usize = 24;
const LEFT: f64 = 215.0;
const RIGHT: f64 = 30.0;
const NODE: f64 = 24.0;
const AXIS: f64 = 26.0;
const LEADER: f64 = 8.0;
const BARS: f64 = 44.0;
const ISR: f64 = 13.0;
const SPACE: f64 = 20.0;

/// Text that may stand in a page.
pub(super) fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

/// The style of a node's colour, by its place among the nodes.
pub(super) fn colour(scene: &Scene<'_>, node: i32) -> String {
    match scene.input.nodes.iter().position(|known| *known == node) {
        Some(at) => format!("n{}", at % 8),
        None => "none".to_owned(),
    }
}

struct Canvas<'a> {
    scene: &'a Scene<'a>,
    svg: String,
    /// Pixels of a second.
    scale: f64,
    width: f64,
    /// Width of a bar in seconds.
    bin: f64,
    most: f64,
}

/// Draws everything; the picture has the width that the run's length needs.
pub(super) fn draw(scene: &Scene<'_>) -> String {
    let inner = (scene.seconds * 16.0).clamp(980.0, 24_000.0);
    let scale = inner / scene.seconds;
    // A bar has two pixels or more, and a time that people can name.
    let bin = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0].into_iter().find(|bin| bin * scale >= 2.0);
    let mut canvas = Canvas {
        scene,
        svg: String::new(),
        scale,
        width: LEFT + inner + RIGHT,
        bin: bin.unwrap_or(60.0),
        most: 1.0,
    };
    let shown = scene.tracks.iter().filter(|track| track.unit == "records");
    let rates: Vec<f64> = shown.flat_map(|track| canvas.rates(track)).collect();
    canvas.most = scale_of(rates);
    canvas.whole()
}

impl Canvas<'_> {
    fn whole(mut self) -> String {
        let shown = self.scene.tracks.len().min(TRACKS);
        let head = AXIS + NODE * self.scene.input.nodes.len() as f64 + 14.0;
        let row = LEADER + BARS + ISR + SPACE;
        let height = head + row * shown as f64 + AXIS;
        self.faults(height);
        self.axis(AXIS - 8.0, AXIS, height - AXIS);
        self.nodes(AXIS + 4.0);
        for (n, track) in self.scene.tracks.iter().take(TRACKS).enumerate() {
            self.track(track, head + row * n as f64);
        }
        self.axis(height - 6.0, height - AXIS, height - AXIS);
        let width = self.width;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"Timeline of the run\" width=\"{width:.0}\" \
             height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\">\n<defs><pattern id=\"hatch\" width=\"6\" \
             height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" \
             class=\"gapback\"/><rect width=\"2\" height=\"6\" class=\"gapline\"/></pattern></defs>\n{}</svg>\n",
            self.svg
        )
    }

    fn x(&self, time: f64) -> f64 {
        LEFT + time.clamp(0.0, self.scene.seconds) * self.scale
    }

    fn rect(&mut self, class: &str, span: (f64, f64), y: f64, height: f64, title: &str) {
        let (from, to) = (self.x(span.0), self.x(span.1));
        let width = (to - from).max(1.0);
        let title = if title.is_empty() { String::new() } else { format!("<title>{}</title>", safe(title)) };
        let _ = writeln!(
            self.svg,
            "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\">{title}</rect>"
        );
    }

    fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let _ = writeln!(self.svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", safe(text));
    }

    fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let _ = writeln!(
            self.svg,
            "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    /// Bands over the whole height for all times in which some fault lasts, and a line where each begins.
    fn faults(&mut self, height: f64) {
        let scene = self.scene;
        let spans = scene.faults.iter().map(|fault| (fault.begin, fault.end.unwrap_or(scene.seconds)));
        for span in joined(spans.collect()) {
            self.rect("fault", span, AXIS, height - 2.0 * AXIS, "");
        }
        for fault in &scene.faults {
            let x = self.x(fault.begin);
            self.line("begin", (x, AXIS), (x, height - AXIS));
        }
    }

    fn axis(&mut self, text: f64, top: f64, bottom: f64) {
        let step = [0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0];
        let step = step.into_iter().find(|step| step * self.scale >= 70.0).unwrap_or(1_800.0);
        let mut time = 0.0;
        while time <= self.scene.seconds {
            let x = self.x(time);
            self.line("grid", (x, top), (x, bottom));
            self.text("tick", x, text, &format!("{time} s"));
            time += step;
        }
        self.text("label", 8.0, text, "seconds since the start");
    }

    fn nodes(&mut self, top: f64) {
        let scene = self.scene;
        for (n, node) in scene.input.nodes.iter().enumerate() {
            let y = top + NODE * n as f64;
            let class = colour(scene, *node);
            self.text("label", 26.0, y + 13.0, &format!("node {node}"));
            let _ = writeln!(
                self.svg,
                "<rect class=\"{class}\" x=\"8\" y=\"{:.1}\" width=\"11\" height=\"11\"/>",
                y + 3.5
            );
            self.rect("up", (0.0, scene.seconds), y + 2.0, 14.0, &format!("node {node} runs"));
            for (number, fault) in scene.faults.iter().enumerate().filter(|(_, fault)| fault.node == *node) {
                self.at_node(number + 1, fault, y);
            }
        }
        for (number, fault) in scene.faults.iter().enumerate().filter(|(_, fault)| fault.node < 0) {
            let x = self.x(fault.begin) + 3.0;
            self.text(
                "label",
                x,
                top + NODE * scene.input.nodes.len() as f64 + 8.0,
                &format!("{} {}", number + 1, fault.name),
            );
        }
    }

    /// A node that is down fills its row. Another fault is a line below the row, with words where nothing hides them.
    fn at_node(&mut self, number: usize, fault: &Fault, y: f64) {
        let scene = self.scene;
        let (begin, end) = (fault.begin, fault.end.unwrap_or(scene.seconds));
        let title =
            format!("{number}: {} {} at node {}, {:.2} s", fault.name, fault.words, fault.node, end - begin);
        let words = format!("{number} {} {}", fault.name, fault.words);
        let room = (self.x(end) - self.x(begin)) / 6.6;
        let words = if words.len() as f64 <= room { words } else { number.to_string() };
        let x = self.x(begin) + 4.0;
        if fault.name != KILL {
            self.rect("line", (begin, end), y + 18.0, 3.0, &title);
            let hides = |other: &&Fault| {
                let until = other.end.unwrap_or(scene.seconds);
                other.name == KILL && other.node == fault.node && other.begin < end && until > begin
            };
            if !scene.faults.iter().any(|other| hides(&other)) {
                self.text("label", x, y + 13.0, &words);
            }
            return;
        }
        let starts = fault.notes.first().map_or(end, |(time, _)| *time);
        self.rect("down", (begin, starts), y, 18.0, &title);
        if let Some((_, words)) = fault.notes.first() {
            self.rect("starting", (starts, end), y, 18.0, &format!("{title}: {words}"));
        }
        self.text("onfault", x, y + 13.0, &words);
    }

    fn bins(&self, track: &Track) -> std::collections::BTreeMap<u64, u32> {
        let mut bins = std::collections::BTreeMap::new();
        for (time, count) in &track.acks {
            *bins.entry((time / self.bin) as u64).or_default() += count;
        }
        bins
    }

    /// Acknowledgements a second in each bin that has some.
    fn rates(&self, track: &Track) -> Vec<f64> {
        self.bins(track).into_values().map(|count| f64::from(count) / self.bin).collect()
    }

    fn track(&mut self, track: &Track, top: f64) {
        let (bars, isr) = (top + LEADER, top + LEADER + BARS);
        let own = track.unit != "records";
        let bins = self.bins(track);
        let most = if own { scale_of(self.rates(track)) } else { self.most };
        self.text("name", 8.0, bars + 14.0, &track.name);
        let unit = format!("{}/s acknowledged", track.unit);
        self.text("small", 8.0, bars + 29.0, &unit);
        self.text("scale", LEFT - 6.0, bars + 8.0, &format!("{most}"));
        self.text("scale", LEFT - 6.0, bars + BARS, "0");
        self.line("base", (LEFT, bars + BARS), (self.width - RIGHT, bars + BARS));
        self.line("base", (LEFT, bars), (self.width - RIGHT, bars));
        for (bin, count) in bins {
            let rate = f64::from(count) / self.bin;
            let height = (rate / most * BARS).clamp(1.0, BARS);
            let from = bin as f64 * self.bin;
            let title = format!("{:.1} s: {rate:.0} {}/s", from, track.unit);
            self.rect("bar", (from, from + self.bin), bars + BARS - height, height, &title);
            if rate > most {
                self.rect("over", (from, from + self.bin), bars - 1.0, 5.0, &title);
            }
        }
        self.gaps(track, bars);
        for Held { from, to, what } in &track.leaders {
            let title = if *what < 0 { "no leader".to_owned() } else { format!("node {what} leads") };
            let title = format!("{}: {title} from {from:.2} s to {to:.2} s", track.name);
            let class = colour(self.scene, *what);
            self.rect(&class, (*from, *to), top, LEADER - 2.0, &title);
        }
        for (time, words) in &track.elections {
            let x = self.x(*time);
            let y = top + 1.0;
            let _ = writeln!(
                self.svg,
                "<path class=\"election\" d=\"M{:.1} {:.1}h10l-5 9z\"><title>{time:.2} s: {}</title></path>",
                x - 5.0,
                y - 4.0,
                safe(words)
            );
        }
        if !own {
            self.text("small", 8.0, isr + 11.0, "ISR size");
            self.sizes(track, isr + 2.0);
        }
    }

    fn gaps(&mut self, track: &Track, bars: f64) {
        for Held { from, to, .. } in &track.gaps {
            let ms = (to - from) * 1e3;
            let title = format!("{}: nothing acknowledged for {ms:.0} ms, from {from:.2} s", track.name);
            self.rect("gap", (*from, *to), bars, BARS, &title);
            let words = format!("{ms:.0} ms");
            if (to - from) * self.scale > 34.0 {
                let x = f64::midpoint(self.x(*from), self.x(*to));
                self.text("ongap", x, bars + BARS / 2.0 + 4.0, &words);
            }
        }
    }

    fn sizes(&mut self, track: &Track, y: f64) {
        let full = track.isr.iter().map(|held| held.what.len()).max().unwrap_or_default();
        for Held { from, to, what } in &track.isr {
            let size = what.len();
            let class = match size {
                n if n == full => "isrfull",
                0 | 1 => "isrone",
                _ => "isrless",
            };
            let title = format!("{}: ISR {what:?} from {from:.2} s to {to:.2} s", track.name);
            self.rect(class, (*from, *to), y, ISR - 2.0, &title);
            if (to - from) * self.scale > 12.0 {
                let x = self.x(*from) + 3.0;
                self.text("onisr", x, y + 9.0, &size.to_string());
            }
        }
    }
}

/// Spans that touch become one.
fn joined(mut spans: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut joined: Vec<(f64, f64)> = Vec::new();
    for (from, to) in spans {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// A scale that shows the usual rate well. What is made up for at once after an outage may stand out of it.
fn scale_of(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    let usual = rates.get(rates.len() / 2).copied().unwrap_or(1.0);
    round_up((2.0 * usual).min(rates.last().copied().unwrap_or(1.0)))
}

/// The next number of the form 1, 2 or 5 times a power of ten.
fn round_up(n: f64) -> f64 {
    let power = 10_f64.powf(n.max(1.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= n).unwrap_or(n)
}
