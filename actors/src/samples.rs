//! Samples: gauges of pools, shards, partitions and groups, written as Prometheus' text while a scrape waits.
//!
//! ```text
//!   scrape ─> node ─> each component's `sample(…, &mut Samples)` ─> families, each with its series ─> text
//! ```
//!
//! They stand beside the recorder, which keeps counters and histograms of events. A series that is not written is
//! gone from the next scrape, so deleted topics and dead groups leave nothing behind. The module has no timer and no
//! state.

use std::fmt::Write;

/// The kind of a metric, as Prometheus names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Counter,
    Gauge,
}

/// A metric's name, kind and help. The `metrics.rs` of its component declares it.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
}

impl Family {
    /// A metric that goes up and down.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str) -> Family {
        Family { name, kind: Kind::Gauge, help }
    }

    /// A metric that only goes up.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str) -> Family {
        Family { name, kind: Kind::Counter, help }
    }
}

/// The text of one scrape, while it is being written.
#[derive(Debug, Default)]
pub struct Samples {
    text: String,
}

impl Samples {
    /// Begins a family, whose series all follow. Its head is written with the first series.
    pub fn family(&mut self, family: &Family) -> Series<'_> {
        Series { text: &mut self.text, family: *family, begun: false }
    }

    /// Writes a family of one series without labels.
    pub fn one(&mut self, family: &Family, value: f64) {
        self.family(family).add(&[], value);
    }

    /// The text written so far.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}

/// The series of one family, being written.
pub struct Series<'a> {
    text: &'a mut String,
    family: Family,
    begun: bool,
}

impl Series<'_> {
    /// Writes one series. The caller gives each combination of labels once.
    pub fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        let Family { name, kind, help } = self.family;
        if !self.begun {
            self.begun = true;
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            // A write into a `String` does not fail, here and below.
            let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        }
        self.text.push_str(name);
        for (i, (label, value)) in labels.iter().enumerate() {
            let _ = write!(self.text, "{}{label}=\"", if i == 0 { '{' } else { ',' });
            escape(self.text, value);
            self.text.push('"');
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
    }
}

/// Escapes a label value. Names of groups come from clients, and a line has to stay one line.
fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_one_head_and_labels_cannot_break_out() {
        const LAG: Family = Family::gauge("callboard_lag", "records behind");
        const NONE: Family = Family::counter("callboard_none_total", "never");
        let mut samples = Samples::default();
        let mut series = samples.family(&LAG);
        series.add(&[("group", "a\"b\\c\nd"), ("topic", "t")], 3.0);
        series.add(&[("group", "e"), ("topic", "t")], 0.25);
        samples.family(&NONE);
        samples.one(&Family::counter("callboard_all_total", "all"), 12_345_678_901.0);
        assert_eq!(
            samples.into_text(),
            "# HELP callboard_lag records behind\n# TYPE callboard_lag gauge\n\
             callboard_lag{group=\"a\\\"b\\\\c\\nd\",topic=\"t\"} 3\ncallboard_lag{group=\"e\",topic=\"t\"} 0.25\n\
             # HELP callboard_all_total all\n# TYPE callboard_all_total counter\ncallboard_all_total 12345678901\n"
        );
    }
}
