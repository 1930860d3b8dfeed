//! A history as lines of JSON, so that a run can be judged again, or looked at with other tools.
//!
//! ```text
//!   {"history":1,"wall_ms":1790000000000,"processes":{"3":"lane 3"}}
//!   {"f":"send","p":3,"b":1200,"e":1900,"r":"ok","k":["t",0],"v":77,"o":12}
//!   {"f":"poll","p":9,"b":1500,"e":2100,"r":"ok","k":["t",0],"from":10,"rec":[[10,75],[11,76]],"ends":[0,13,13]}
//! ```
//! `b` and `e` are microseconds since the start, `x` is the transaction of a process, `c` marks a poll of committed records.
//! A line that is no operation is an error with its number; nothing is guessed.

use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::op::{Ends, History, Kind, Op, Outcome, Part, Span, UNTOLD};

const VERSION: u64 = 1;

/// Writes a head and a line for each operation, in their order.
pub fn write(history: &History, to: &mut impl Write) -> Result<()> {
    let head = json!({ "history": VERSION, "wall_ms": history.wall_ms, "processes": history.processes });
    writeln!(to, "{head}")?;
    for op in &history.ops {
        let mut line = json!({ "p": op.process, "b": op.begin, "e": op.end, "r": outcome(op.outcome) });
        if op.txn != 0 {
            line["x"] = op.txn.into();
        }
        if let Some((topic, partition)) = op.kind.part().and_then(|part| history.parts().get(part.0 as usize))
        {
            line["k"] = json!([topic, partition]);
        }
        details(history, &op.kind, &mut line);
        writeln!(to, "{line}")?;
    }
    Ok(to.flush()?)
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Fail => "fail",
        Outcome::Info => "info",
    }
}

fn details(history: &History, kind: &Kind, line: &mut Value) {
    let parts = |span: &Span| -> Value {
        let named = span.of(&history.lists).iter().filter_map(|part| history.parts().get(part.0 as usize));
        named.map(|(topic, partition)| json!([topic, partition])).collect()
    };
    let mut set = |name: &str, fields: &[(&str, Value)]| {
        line["f"] = name.into();
        fields.iter().for_each(|(field, value)| line[*field] = value.clone());
    };
    match kind {
        Kind::Send { value, offset, .. } => set("send", &[("v", json!(value)), ("o", json!(offset))]),
        Kind::Poll { committed, from, records, ends, .. } => {
            let Ends { start, stable, high } = history.ends_of(*ends);
            let records = json!(records.of(&history.records));
            let ends = json!([start, stable, high]);
            set("poll", &[("c", json!(committed)), ("from", json!(from)), ("rec", records), ("ends", ends)]);
        }
        Kind::Assign { parts: span } => set("assign", &[("ks", parts(span))]),
        Kind::Subscribe { group } => set("subscribe", &[("g", history.word_text(*group).into())]),
        Kind::Rebalance { parts: span } => set("rebalance", &[("ks", parts(span))]),
        Kind::Seek { to, .. } => set("seek", &[("o", json!(to))]),
        Kind::Commit { group, offset, .. } => {
            set("commit", &[("g", history.word_text(*group).into()), ("o", json!(offset))]);
        }
        Kind::Committed { group, offset, .. } => {
            set("committed", &[("g", history.word_text(*group).into()), ("o", json!(offset))]);
        }
        Kind::Trim { to, .. } => set("trim", &[("o", json!(to))]),
        Kind::EndTxn { commit } => set("end-txn", &[("commit", json!(commit))]),
        Kind::End { offset, .. } => set("end", &[("o", json!(offset))]),
        Kind::Leader { epoch, leader, .. } => set("leader", &[("epoch", json!(epoch)), ("n", json!(leader))]),
        Kind::Cluster { id } => set("cluster", &[("id", history.word_text(*id).into())]),
        Kind::Whole { start, end, .. } => set("whole", &[("from", json!(start)), ("o", json!(end))]),
    }
}

/// Reads what [`write`] wrote; an error names the line.
pub fn read(from: &mut impl BufRead) -> Result<History> {
    let mut history = History::default();
    let mut line = String::new();
    let mut number = 0;
    while from.read_line(&mut line).context("the history cannot be read")? > 0 {
        number += 1;
        let what = || format!("line {number} of the history");
        let value: Value = serde_json::from_str(&line).with_context(what)?;
        if number == 1 {
            head(&mut history, &value).with_context(what)?;
        } else {
            let op = op(&mut history, &value).with_context(what)?;
            history.push(op);
        }
        line.clear();
    }
    ensure!(number > 0, "the history is empty: write one with chaos --history FILE");
    Ok(history)
}

fn head(history: &mut History, line: &Value) -> Result<()> {
    let version = line.get("history").and_then(Value::as_u64).context("it does not begin a history")?;
    ensure!(version == VERSION, "a history of version {version}; this program reads version {VERSION}");
    history.wall_ms = line.get("wall_ms").and_then(Value::as_u64).unwrap_or_default();
    for (process, name) in line.get("processes").and_then(Value::as_object).into_iter().flatten() {
        let name = name.as_str().context("a process's name is no text")?;
        history.processes.insert(process.parse().context("a process is no number")?, name.to_owned());
    }
    Ok(())
}

fn op(history: &mut History, line: &Value) -> Result<Op> {
    let outcome = match text(line, "r")? {
        "ok" => Outcome::Ok,
        "fail" => Outcome::Fail,
        "info" => Outcome::Info,
        other => bail!("the outcome {other} is none of ok, fail, info"),
    };
    let txn = line.get("x").and_then(Value::as_u64).unwrap_or_default();
    Ok(Op {
        process: u32::try_from(unsigned(line, "p")?).context("p is too large")?,
        txn: u32::try_from(txn).context("x is too large")?,
        begin: unsigned(line, "b")?,
        end: unsigned(line, "e")?,
        outcome,
        kind: kind(history, line)?,
    })
}

fn kind(history: &mut History, line: &Value) -> Result<Kind> {
    let what = text(line, "f")?;
    let part = |history: &mut History| part(history, line.get("k").context("k is missing")?);
    let group = |history: &mut History| text(line, "g").map(|group| history.word(group));
    Ok(match what {
        "send" => {
            Kind::Send { part: part(history)?, value: unsigned(line, "v")?, offset: signed(line, "o")? }
        }
        "poll" => {
            let pair = |record: &Value| Some((record.get(0)?.as_i64()?, record.get(1)?.as_u64()?));
            let records = array(line, "rec")?.iter().map(pair).collect::<Option<Vec<_>>>();
            let end = |n: usize| line.get("ends").and_then(|ends| ends.get(n)?.as_i64()).unwrap_or(UNTOLD);
            let ends = Ends { start: end(0), stable: end(1), high: end(2) };
            let committed = line.get("c").and_then(Value::as_bool).unwrap_or_default();
            let records = records.context("rec holds something that is no pair of numbers")?;
            let part = part(history)?;
            history.poll(part, committed, signed(line, "from")?, &records, ends)
        }
        "assign" => Kind::Assign { parts: list(history, line)? },
        "rebalance" => Kind::Rebalance { parts: list(history, line)? },
        "subscribe" => Kind::Subscribe { group: group(history)? },
        "seek" => Kind::Seek { part: part(history)?, to: signed(line, "o")? },
        "commit" => Kind::Commit { group: group(history)?, part: part(history)?, offset: signed(line, "o")? },
        "committed" => {
            Kind::Committed { group: group(history)?, part: part(history)?, offset: signed(line, "o")? }
        }
        "trim" => Kind::Trim { part: part(history)?, to: signed(line, "o")? },
        "end-txn" => {
            Kind::EndTxn { commit: line.get("commit").and_then(Value::as_bool).context("commit is missing")? }
        }
        "end" => Kind::End { part: part(history)?, offset: signed(line, "o")? },
        "leader" => {
            let number = |field| i32::try_from(signed(line, field)?).context("too large");
            Kind::Leader { part: part(history)?, epoch: number("epoch")?, leader: number("n")? }
        }
        "cluster" => Kind::Cluster { id: history.word(text(line, "id")?) },
        "whole" => {
            Kind::Whole { part: part(history)?, start: signed(line, "from")?, end: signed(line, "o")? }
        }
        other => bail!("the operation {other} is unknown"),
    })
}

fn part(history: &mut History, value: &Value) -> Result<Part> {
    let topic = value.get(0).and_then(Value::as_str).context("k is not [topic, partition]")?;
    let partition = value.get(1).and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok());
    Ok(history.part(topic, partition.context("k is not [topic, partition]")?))
}

fn list(history: &mut History, line: &Value) -> Result<Span> {
    let parts = array(line, "ks")?.iter().map(|value| part(history, value)).collect::<Result<Vec<Part>>>()?;
    Ok(history.list(&parts))
}

fn array<'a>(line: &'a Value, field: &str) -> Result<&'a Vec<Value>> {
    line.get(field).and_then(Value::as_array).with_context(|| format!("{field} is missing"))
}

fn text<'a>(line: &'a Value, field: &str) -> Result<&'a str> {
    line.get(field).and_then(Value::as_str).with_context(|| format!("{field} is missing"))
}

fn unsigned(line: &Value, field: &str) -> Result<u64> {
    line.get(field).and_then(Value::as_u64).with_context(|| format!("{field} is missing"))
}

fn signed(line: &Value, field: &str) -> Result<i64> {
    line.get(field).and_then(Value::as_i64).with_context(|| format!("{field} is missing"))
}
