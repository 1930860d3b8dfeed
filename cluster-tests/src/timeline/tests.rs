//! A small run is worked out and drawn: what its fault caused stands in the table, and the page is well formed.

use std::collections::BTreeMap;

use super::scene::{Input, Scene};
use super::{Event, Phase, Told, page};
use crate::history::{History, Kind, Op, Outcome};

/// 2026-11-29T05:51:00Z.
const ZERO: u64 = 1_795_931_460_000;

fn history() -> History {
    let mut history = History::default();
    history.wall_ms = ZERO;
    let (a, b) = (history.part("t", 0), history.part("t<&", 1));
    let group = history.word("g");
    for n in 0..200_u64 {
        let time = n * 50_000;
        let op = |kind, end| Op { process: 1, txn: 0, begin: time, end, outcome: Outcome::Ok, kind };
        // Nothing is acknowledged in partition 0 from 2.0 s to 2.9 s.
        if !(41..58).contains(&n) {
            history.push(op(Kind::Send { part: a, value: n, offset: n as i64 }, time));
        }
        history.push(op(Kind::Send { part: b, value: 1_000 + n, offset: n as i64 }, time));
        history.push(op(Kind::Commit { group, part: a, offset: n as i64 }, time));
    }
    history
}

fn told() -> Told {
    let mut told = Told::default();
    let lines = [
        "02.700Z  INFO t-0: leader 1 -> 2, leader epoch 0 -> 1, ISR [1, 2, 3] -> [2, 3], partition epoch 1: node 1 is fenced",
        "06.000Z  INFO t-0: ISR [2, 3] -> [2, 3, 1], partition epoch 2: as its leader asked",
    ];
    lines.iter().for_each(|line| told.line(&format!("2026-11-29T05:51:{line}")));
    told
}

fn events() -> Vec<Event> {
    let event = |ms, phase, words: &str| Event {
        wall_ms: ZERO + ms,
        phase,
        node: 1,
        name: "kill -9".into(),
        words: words.into(),
    };
    vec![
        event(2_000, Phase::Begins, "leader <1>"),
        event(4_000, Phase::Notes, "starts"),
        event(5_000, Phase::Ends, ""),
        event(9_000, Phase::Begins, "again"),
    ]
}

fn input<'a>(history: &'a History, events: &'a [Event], told: &'a Told) -> Input<'a> {
    Input {
        title: "a run".into(),
        summary: vec!["0 lost & nothing else".into()],
        findings: vec!["truncation <t-0>".into()],
        good: true,
        history,
        events,
        told,
        nodes: vec![1, 2, 3],
        places: BTreeMap::from([("t<&-1".into(), (3, vec![3, 1, 2]))]),
    }
}

#[test]
fn a_fault_is_charged_with_its_gap_and_its_election() {
    let (history, events, told) = (history(), events(), told());
    let input = input(&history, &events, &told);
    let scene = Scene::new(&input);
    assert_eq!(scene.tracks.len(), 3);
    let fault = &scene.faults[0];
    assert_eq!((fault.begin, fault.end, fault.elections), (2.0, Some(5.0), 1));
    assert_eq!(fault.first_election, Some(2.7));
    let (gap, of) = fault.gap.clone().unwrap();
    assert!((gap - 0.9).abs() < 1e-6 && of == "t-0", "{gap} {of}");
    assert_eq!((fault.smallest_isr, fault.whole, fault.commit_gap), (Some(2), Some(6.0), None));
    let later = &scene.faults[1];
    assert_eq!((later.end, later.elections, later.smallest_isr), (None, 0, Some(3)));
    assert!(later.gap.is_none());
    let leaders: Vec<i32> = scene.tracks[0].leaders.iter().map(|held| held.what).collect();
    assert_eq!(leaders, [1, 2]);
    assert_eq!(scene.tracks[1].isr[0].what, [3, 1, 2]);
}

/// Every tag that opens is closed, in order; text holds no bare `<` or `&`.
fn well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page.split_once("</style>").unwrap().1;
    open.extend(["html", "head"]);
    while let Some(at) = rest.find('<') {
        let text = &rest[..at];
        let entity = |part: &str| ["amp;", "lt;", "gt;", "quot;"].iter().any(|known| part.starts_with(known));
        assert!(text.split('&').skip(1).all(entity), "{text}");
        let end = at + rest[at..].find('>').expect("an end of a tag");
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "before {}", &rest[..rest.len().min(80)]);
        } else if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap());
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_page_is_well_formed_and_tells_everything() {
    let (history, events, told) = (history(), events(), told());
    let page = page(&input(&history, &events, &told));
    well_formed(&page);
    for text in [
        "leader &lt;1&gt;",
        "truncation &lt;t-0&gt;\n",
        "0 lost &amp; nothing else",
        "t&lt;&amp;-1",
        ">900<",
        "group g",
        "prefers-color-scheme: dark",
        "seconds since the start",
        "node 1 leads the partition",
        "leader node 1 → node 2",
        "to the end",
    ] {
        assert!(page.contains(text), "{text} is missing");
    }
    assert!(!page.contains("NaN") && !page.contains("inf\"") && !page.contains("<script"));
}

#[test]
fn an_empty_run_makes_a_page() {
    let (history, told) = (History::default(), Told::default());
    let page = page(&input(&history, &[], &told));
    well_formed(&page);
    assert!(page.contains("There was no fault"));
}
