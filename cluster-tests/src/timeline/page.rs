//! The page around the picture: title, verdict, legend, the table of faults, the list of elections and ISR changes.
//!
//! The page is one file: its style stands in it, it has no script and asks for nothing. It follows the reader's choice of a
//! light or a dark screen. A wide picture scrolls sideways inside the page.

use std::fmt::Write as _;

use super::draw::{colour, draw, safe};
use super::scene::{Fault, GAP, Input, Scene};

const STYLE: &str = include_str!("style.css");
/// Changes that the list shows.
const LISTED: usize = 2_000;

/// The page as one HTML file, which a browser shows without asking for anything else.
#[must_use]
pub fn page(input: &Input<'_>) -> String {
    let scene = Scene::new(input);
    let title = safe(&input.title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n"
    );
    let class = if input.good { "good" } else { "bad" };
    for (n, line) in input.summary.iter().enumerate() {
        let class = if n == 0 { class } else { "more" };
        let _ = writeln!(page, "<p class=\"{class}\">{}</p>", safe(line));
    }
    if !input.findings.is_empty() {
        page.push_str("<details><summary>What the checker found</summary>\n<pre>");
        page.push_str(&safe_lines(&input.findings));
        page.push_str("</pre></details>\n");
    }
    legend(&scene, &mut page);
    let _ = writeln!(page, "<div class=\"picture\">\n{}</div>", draw(&scene));
    faults(&scene, &mut page);
    changes(&scene, &mut page);
    page.push_str("</body></html>\n");
    page
}

fn safe_lines(lines: &[String]) -> String {
    lines.iter().map(|line| safe(line) + "\n").collect()
}

fn legend(scene: &Scene<'_>, page: &mut String) {
    let swatch = |class: &str| {
        format!(
            "<svg width=\"22\" height=\"12\" aria-hidden=\"true\"><rect class=\"{class}\" width=\"22\" height=\"12\"/></svg>"
        )
    };
    let election = "<svg width=\"22\" height=\"12\" aria-hidden=\"true\"><path class=\"election\" d=\"M6 1h10l-5 9z\"/></svg>";
    page.push_str("<ul class=\"legend\">");
    let mut entry = |mark: String, words: &str| {
        let _ = write!(page, "<li>{mark} {words}</li>");
    };
    entry(swatch("down"), "node is down (number: row of the table)");
    entry(swatch("starting"), "node starts, does not serve yet");
    let line = "<svg width=\"22\" height=\"12\" aria-hidden=\"true\"><rect class=\"line\" y=\"8\" width=\"22\" height=\"3\"/></svg>";
    entry(line.to_owned(), "another fault at this node");
    entry(swatch("fault"), "a fault lasts");
    for node in &scene.input.nodes {
        entry(swatch(&colour(scene, *node)), &format!("node {node} leads the partition"));
    }
    entry(election.to_owned(), "election: another leader");
    entry(swatch("bar"), "acknowledgements a second");
    entry(swatch("over"), "more than the scale shows");
    entry(swatch("gap"), &format!("gap: nothing acknowledged for {:.0} ms or more", GAP * 1e3));
    entry(swatch("isrfull"), "full ISR");
    entry(swatch("isrless"), "smaller ISR");
    entry(swatch("isrone"), "one replica in the ISR");
    page.push_str("</ul>\n");
    page.push_str(
        "<p class=\"how\">Read it from top to bottom at one time: a node goes down, the partitions that it led show an election \
         and a gap, their ISR shrinks, and it is full again when the node has come back. Point at a mark to read its numbers. \
         All partitions have the same scale.</p>\n",
    );
}

fn faults(scene: &Scene<'_>, page: &mut String) {
    page.push_str("<h2>Faults and what they caused</h2>\n");
    if scene.faults.is_empty() {
        page.push_str("<p>There was no fault in this run.</p>\n");
        return;
    }
    page.push_str(
        "<div class=\"scroll\"><table>\n<tr><th>#</th><th>fault</th><th>node</th><th>at, s</th><th>lasted, s</th>\
         <th>first election after, ms</th><th>elections</th><th>longest gap, ms</th><th>of partition</th>\
         <th>gap of commits, ms</th><th>smallest ISR</th><th>full ISR again after, s</th></tr>\n",
    );
    for (n, fault) in scene.faults.iter().enumerate() {
        let _ = writeln!(page, "{}", row(n + 1, fault));
    }
    let _ = writeln!(
        page,
        "</table></div>\n<p class=\"how\">Times after a fault count from its begin. A gap is counted with its fault if it touches the \
         time from the begin until the full ISR is back; gaps below {:.0} ms are the pace of the load.</p>",
        GAP * 1e3
    );
}

fn row(number: usize, fault: &Fault) -> String {
    let none = || "–".to_owned();
    let ms = |seconds: f64| format!("{:.0}", seconds * 1e3);
    let node = if fault.node < 0 { none() } else { fault.node.to_string() };
    let lasted = fault.end.map_or("to the end".to_owned(), |end| format!("{:.2}", end - fault.begin));
    let (gap, of) = match &fault.gap {
        Some((gap, track)) => (ms(*gap), safe(track)),
        None => (none(), none()),
    };
    let cells = [
        number.to_string(),
        format!("{} {}", safe(&fault.name), safe(&fault.words)),
        node,
        format!("{:.2}", fault.begin),
        lasted,
        fault.first_election.map_or_else(none, |time| ms(time - fault.begin)),
        fault.elections.to_string(),
        gap,
        of,
        fault.commit_gap.map_or_else(none, ms),
        fault.smallest_isr.map_or_else(none, |size| size.to_string()),
        fault.whole.map_or_else(none, |time| format!("{:.2}", time - fault.begin)),
    ];
    let cells = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect::<String>();
    format!("<tr>{cells}</tr>")
}

fn changes(scene: &Scene<'_>, page: &mut String) {
    let zero = scene.input.history.wall_ms as f64;
    let mut lines: Vec<(u64, String)> =
        scene.input.told.nodes().iter().map(|(time, words)| (*time, safe(words))).collect();
    for change in scene.input.told.changes() {
        let mut what = Vec::new();
        if let Some((from, to)) = change.leader {
            let say = |id: i32| if id < 0 { "none".to_owned() } else { format!("node {id}") };
            what.push(format!("leader {} → {}", say(from), say(to)));
        }
        if let Some((from, to)) = &change.isr {
            what.push(format!("ISR {from:?} → {to:?}"));
        }
        let words = format!("<b>{}</b>: {}: {}", safe(&change.partition), what.join(", "), safe(&change.why));
        lines.push((change.wall_ms, words));
    }
    lines.sort();
    let _ = writeln!(
        page,
        "<details><summary>All {} elections, ISR changes and news of nodes</summary>\n<ol>",
        lines.len()
    );
    for (time, words) in lines.iter().take(LISTED) {
        let _ = writeln!(
            page,
            "<li><span class=\"time\">{:.3} s</span> {words}</li>",
            (*time as f64 - zero) / 1e3
        );
    }
    page.push_str("</ol>\n");
    if lines.len() > LISTED {
        let _ = writeln!(page, "<p>{} more are in the nodes' logs.</p>", lines.len() - LISTED);
    }
    page.push_str("</details>\n");
}
