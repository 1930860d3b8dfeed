//! A bare HTTP/1 client, and metrics as they were read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};
use callboard_cluster_tests::process::HANG;

/// One connection.
pub struct Web {
    pub stream: TcpStream,
    /// What was read beyond the last answer.
    rest: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub code: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    pub body: String,
}

impl Web {
    pub fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, HANG)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(HANG))?;
        stream.set_write_timeout(Some(HANG))?;
        Ok(Self { stream, rest: Vec::new() })
    }

    /// Sends bytes as they are. That the other side has hung up is no error: the answer will tell.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match self.stream.write_all(bytes) {
            Err(e) if !matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                Err(e.into())
            }
            _ => Ok(()),
        }
    }

    /// More bytes; false when the other side has closed the connection.
    fn more(&mut self) -> Result<bool> {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(n) => {
                self.rest.extend_from_slice(&buffer[..n]);
                Ok(true)
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// The next answer; none when the connection was closed instead. That of HEAD has no body.
    pub fn answer(&mut self, head_only: bool) -> Result<Option<Reply>> {
        let end = loop {
            match self.rest.windows(4).position(|w| w == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None if self.more()? => {}
                None if self.rest.is_empty() => return Ok(None),
                None => bail!("cut off in a head: {:?}", String::from_utf8_lossy(&self.rest)),
            }
        };
        let head = String::from_utf8(self.rest.drain(..end).collect())?.to_lowercase();
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context(head.clone())?;
        let length = match header(&head, "content-length") {
            Some(length) if !head_only => length.parse()?,
            _ => 0,
        };
        while self.rest.len() < length {
            if !self.more()? {
                bail!("{} of {length} bytes of a body came", self.rest.len());
            }
        }
        let body = String::from_utf8(self.rest.drain(..length).collect())?;
        Ok(Some(Reply { code, head, body }))
    }

    /// Whether the other side closes the connection without saying more.
    pub fn closed(&mut self) -> Result<bool> {
        Ok(self.rest.is_empty() && !self.more()?)
    }

    /// A request without a body, and its answer.
    pub fn ask(&mut self, method: &str, path: &str) -> Result<Reply> {
        self.send(format!("{method} {path} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes())?;
        self.answer(method == "HEAD")?.with_context(|| format!("{method} {path}: closed without an answer"))
    }
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// One request on a connection of its own.
pub fn get(addr: SocketAddr, path: &str) -> Result<Reply> {
    Web::connect(addr)?.ask("GET", path)
}

/// One scrape, checked as it is read: every series belongs to the family above it, which has a help and a type; no
/// family comes twice and no series either.
pub struct Scraped {
    pub text: String,
    /// Name → type.
    pub types: BTreeMap<String, String>,
    /// Name and labels → value.
    series: BTreeMap<String, f64>,
}

pub fn scrape(addr: SocketAddr) -> Result<Scraped> {
    let reply = get(addr, "/metrics")?;
    if reply.code != 200 {
        bail!("/metrics: {reply:?}");
    }
    parse(reply.body)
}

fn parse(text: String) -> Result<Scraped> {
    let (mut helps, mut types, mut series) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
    let mut family = String::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').with_context(|| format!("no help: {line}"))?;
            if words.trim().is_empty() || !helps.insert(name.to_owned()) {
                bail!("a second or an empty help: {line}");
            }
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').context(line.to_owned())?;
            family = name.to_owned();
            if !helps.contains(name) || types.insert(family.clone(), kind.to_owned()).is_some() {
                bail!("a second type, or one without help: {line}");
            }
        } else {
            let (name, value) = line.rsplit_once(' ').context(line.to_owned())?;
            let base = name.split('{').next().unwrap_or_default();
            let suffix = base.strip_prefix(&family).with_context(|| format!("{line}: not below {family}"))?;
            let histogram = types.get(&family).is_some_and(|kind| kind == "histogram");
            if histogram != matches!(suffix, "_bucket" | "_sum" | "_count")
                || !(histogram || suffix.is_empty())
            {
                bail!("{line}: is no series of {family}");
            }
            if series.insert(name.to_owned(), value.parse()?).is_some() {
                bail!("twice: {line}");
            }
        }
    }
    Ok(Scraped { text, types, series })
}

impl Scraped {
    /// A series by name and labels, as written.
    pub fn value(&self, series: &str) -> Result<f64> {
        let known = || self.series.keys().filter(|k| k.starts_with(series.split('{').next().unwrap_or("")));
        self.series
            .get(series)
            .copied()
            .with_context(|| format!("no {series}; there are {:?}", known().take(40).collect::<Vec<_>>()))
    }

    /// Whether there is a series that begins so.
    pub fn has(&self, series: &str) -> bool {
        self.series.keys().any(|key| key.starts_with(series))
    }

    /// Asserts a value.
    pub fn is(&self, series: &str, expected: f64) -> Result<()> {
        let found = self.value(series)?;
        if found != expected {
            bail!("{series} is {found}, not {expected}");
        }
        Ok(())
    }
}

#[test]
fn a_scrape_that_is_wrong_is_found() {
    let good = "# HELP a_total x\n# TYPE a_total counter\na_total{b=\"c\"} 1\na_total{b=\"d\"} 2\n\
                # HELP h x\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 3\nh_count 1\n";
    let scraped = parse(good.to_owned()).unwrap();
    assert!(scraped.is("a_total{b=\"d\"}", 2.0).is_ok() && scraped.is("h_sum", 4.0).is_err());
    for (from, to) in [
        ("# HELP a_total x\n", ""),
        ("# HELP a_total x\n", "# HELP a_total \n"),
        ("# TYPE h histogram\n", ""),
        ("{b=\"d\"}", "{b=\"c\"}"),
        ("h_sum 3", "h 3"),
        ("a_total{b=\"d\"}", "a_total_sum{b=\"d\"}"),
        ("# TYPE h histogram", "# TYPE a_total counter"),
    ] {
        assert!(good.contains(from) && parse(good.replace(from, to)).is_err(), "{from:?} → {to:?}");
    }
}
