//! A broker, a good client beside the bad one, and what is asked after every case.
//!
//! The log is read without waiting on time: a connection whose frame announces a length below zero leaves a line that
//! names its port, and lines come in the order of their events. When that line is there, so are all before it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use callboard_cluster_tests::process::wire::{Wire, whole_batches};
use callboard_cluster_tests::process::{Broker, HANG, Options, Raw};
use callboard_core::records::{BatchBuilder, NewRecord};

/// Where the good client writes.
const BESIDE: &str = "beside";

/// A broker under test.
pub struct Site {
    pub broker: Broker,
    /// The good client.
    pub wire: Wire,
    written: i64,
}

impl Site {
    pub fn start(options: Options) -> Result<Self> {
        let broker = Broker::start(options)?;
        let mut wire = Wire::connect(broker.addr())?;
        wire.create_topic(BESIDE, 1)?;
        Ok(Self { broker, wire, written: 0 })
    }

    pub fn addr(&self) -> SocketAddr {
        self.broker.addr()
    }

    /// An orderly restart; everything gets a new leader epoch.
    pub fn restart(&mut self) -> Result<()> {
        self.broker.stop()?;
        self.broker.restart()?;
        self.wire = Wire::connect(self.broker.addr())?;
        Ok(())
    }

    /// The broker takes a batch and gives it back.
    pub fn serves(&mut self) -> Result<()> {
        let sent = batch(&format!("record {}", self.written));
        self.wire.send_batch(BESIDE, 0, -1, sent.clone())?;
        let said = self.wire.receive_batch()?;
        if said != (0, self.written) {
            bail!("the client beside got {said:?} for record {}", self.written);
        }
        let fetched = self.wire.fetch(BESIDE, 0, self.written, 0)?;
        let got = whole_batches(fetched.records);
        // All but base offset and leader epoch comes back as it was sent.
        if got.first().map(|b| b.slice(16..)) != Some(sent.slice(16..)) {
            bail!("the client beside read something else than it wrote at {}", self.written);
        }
        self.written += 1;
        Ok(())
    }

    /// A place in the log: all that was written before now lies before it.
    pub fn mark(&mut self) -> Result<usize> {
        let (from, begun) = (self.broker.lines().seen(), Instant::now());
        // Lines of closed connections are bounded: one that is left out is asked for again.
        while begun.elapsed() < HANG {
            let mut mark = Raw::connect(self.addr())?;
            let name = format!("client={} ", mark.local()?);
            mark.send(&(-7i32).to_be_bytes())?;
            let lines = self.broker.lines();
            if lines.wait_for(&name, from, Duration::from_millis(200)).is_some() {
                return Ok(lines.seen());
            }
        }
        bail!("no line for a frame of negative length")
    }

    /// What was said of clients, or was wrong, at or after `from` and before now.
    pub fn lines(&mut self, from: usize) -> Result<Vec<String>> {
        self.mark()?;
        let told = |line: &String| {
            let of_clients = line.contains("connection closed: ") || line.contains("refused: ");
            let wrong = line.contains(" WARN ") || line.contains(" ERROR ");
            (of_clients || wrong) && !line.contains("a frame of -7 bytes")
        };
        Ok(self.broker.lines().since(from).into_iter().filter(told).collect())
    }

    /// Exactly one line since `from`, and it holds all of `words`.
    pub fn one_line(&mut self, from: usize, words: &[&str]) -> Result<String> {
        let lines = self.lines(from)?;
        match lines.as_slice() {
            [line] if words.iter().all(|word| line.contains(word)) => Ok(line.clone()),
            _ => bail!("one line with {words:?} was due, these came: {lines:#?}"),
        }
    }

    /// Runs a case until its line is not among those that the limit of lines a second holds back. Every run must come
    /// out the same.
    pub fn until_logged(
        &mut self,
        words: &[&str],
        mut case: impl FnMut(&mut Site) -> Result<()>,
    ) -> Result<()> {
        let begun = Instant::now();
        loop {
            let from = self.mark()?;
            case(self)?;
            if !self.lines(from)?.is_empty() {
                return self.one_line(from, words).map(drop);
            }
            if begun.elapsed() > HANG {
                bail!("no line with {words:?}");
            }
        }
    }

    /// A closed connection is the answer, and one line names the client and the reason.
    pub fn closes(
        &mut self,
        what: &str,
        reason: &str,
        send: impl FnOnce(&mut Raw) -> Result<()>,
    ) -> Result<()> {
        let from = self.mark()?;
        let mut raw = Raw::connect(self.addr())?;
        let client = format!("client={} ", raw.local()?);
        send(&mut raw).with_context(|| what.to_owned())?;
        if let Some(answer) = raw.answer().with_context(|| format!("{what}: it was not closed"))? {
            bail!("{what}: an answer of {} bytes instead of a closed connection", answer.len());
        }
        self.one_line(from, &["connection closed: ", &client, "why=", reason])
            .with_context(|| what.to_owned())?;
        self.serves().with_context(|| format!("after {what}"))
    }

    /// The end: in order, and without a panic anywhere.
    pub fn end(mut self) -> Result<()> {
        self.serves()?;
        self.broker.stop()?;
        self.broker.lines().wait_end(HANG);
        match self
            .broker
            .lines()
            .since(0)
            .iter()
            .find(|line| line.contains("panicked") || line.contains("ERROR"))
        {
            Some(line) => bail!("the broker's log says: {line}"),
            None => Ok(()),
        }
    }
}

/// One good batch of one record.
pub fn batch(text: &str) -> Bytes {
    build(BatchBuilder::new(0), &[text])
}

/// These records in a batch.
pub fn build(builder: BatchBuilder, values: &[&str]) -> Bytes {
    let records = values.iter().map(|value| NewRecord {
        timestamp: now(),
        value: Some(value.as_bytes().to_vec()),
        ..NewRecord::default()
    });
    let built = records.fold(builder, BatchBuilder::record).build();
    Bytes::from(built.unwrap_or_default())
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as i64
}
