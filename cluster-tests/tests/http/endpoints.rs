//! Paths, methods and versions of HTTP; then what is no HTTP, too large, too slow, too many: each is answered or cut,
//! and the next client is served.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use callboard_cluster_tests::process::{Broker, HANG, Options};

use super::web::{Web, get, scrape};

/// `console/http.rs`.
const CONNECTIONS: usize = 64;

#[test]
fn three_paths_are_there_and_nothing_else() -> Result<()> {
    let mut broker = Broker::start(Options::default())?;
    let addr = broker.http()?;
    // All on one connection: it is kept.
    let mut web = Web::connect(addr)?;
    for (method, path, code, body) in [
        ("GET", "/live", 200, "live\n"),
        ("GET", "/ready", 200, "ready\n"),
        ("GET", "/ready?verbose", 200, "ready\n"),
        ("HEAD", "/live", 200, ""),
        ("GET", "/safe-to-restart", 503, "the metadata log would have 0 of 1 voters, and needs a majority\n"),
        ("GET", "/", 404, "not found: /metrics, /live, /ready and /safe-to-restart are there\n"),
        ("GET", "/metrics/", 404, "not found: /metrics, /live, /ready and /safe-to-restart are there\n"),
        ("POST", "/nothing", 404, "not found: /metrics, /live, /ready and /safe-to-restart are there\n"),
        ("POST", "/metrics", 405, "only GET and HEAD\n"),
        ("DELETE", "/live", 405, "only GET and HEAD\n"),
        ("OPTIONS", "/ready", 405, "only GET and HEAD\n"),
    ] {
        let reply = web.ask(method, path)?;
        assert_eq!((reply.code, reply.body.as_str()), (code, body), "{method} {path}: {reply:?}");
        assert_eq!(reply.header("allow"), (code == 405).then_some("get, head"), "{method} {path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
    let whole = web.ask("GET", "/metrics")?;
    assert_eq!(whole.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(whole.body.len() > 1000);
    let head = web.ask("HEAD", "/metrics")?;
    assert!(head.code == 200 && head.body.is_empty());
    assert!(head.header("content-length").context("a length")?.parse::<usize>()? > 1000);
    // HTTP/1.0: answered, and closed behind it.
    let mut old = Web::connect(addr)?;
    old.send(b"GET /live HTTP/1.0\r\n\r\n")?;
    let reply = old.answer(false)?.context("HTTP/1.0 was not answered")?;
    assert!(reply.code == 200 && reply.body == "live\n" && old.closed()?, "{reply:?}");
    let counted = scrape(addr)?;
    counted.is("callboard_http_requests_total{path=\"other\",code=\"404\"}", 3.0)?;
    counted.is("callboard_http_requests_total{path=\"/metrics\",code=\"405\"}", 1.0)?;
    counted.is("callboard_http_requests_total{path=\"/live\",code=\"200\"}", 3.0)?;
    broker.stop()
}

#[test]
fn it_can_be_left_out_and_a_port_in_use_is_refused_in_words() -> Result<()> {
    let mut without = Broker::start(Options::default().with_env("CALLBOARD_HTTP", ""))?;
    assert!(!without.lines().tail(usize::MAX).contains("listening for http"));
    without.stop()?;
    let mut first = Broker::start(Options::default())?;
    let taken = first.http()?;
    let mut second = Broker::new(Options::default().with_env("CALLBOARD_HTTP", taken))?;
    let (code, text) = second.refuses()?;
    let words = format!("{taken}: cannot listen there; choose another --http HOST:PORT");
    assert!(code == Some(78) && text.contains(&words), "{code:?} {text}");
    assert!(!second.data().exists(), "nothing was touched");
    assert_eq!(get(taken, "/ready")?.code, 200);
    first.stop()
}

#[test]
fn a_lost_shard_is_shown_and_the_others_are_ready() -> Result<()> {
    let mut broker = Broker::start(Options { shards: 2, ..Options::default() })?;
    broker.stop()?;
    std::fs::remove_file(broker.data().join("shard-1/store.redb"))?;
    broker.restart()?;
    let addr = broker.http()?;
    assert_eq!(get(addr, "/ready")?.code, 200);
    let counted = scrape(addr)?;
    counted.is("callboard_shard_up{shard=\"0\"}", 1.0)?;
    counted.is("callboard_shard_up{shard=\"1\"}", 0.0)?;
    assert!(counted.has("callboard_store_file_bytes{shard=\"0\"}"));
    assert!(!counted.has("callboard_store_file_bytes{shard=\"1\"}"));
    broker.stop()
}

/// Sends bytes; they are answered with one of these codes, or with nothing, and the connection is closed.
fn refused(addr: SocketAddr, bytes: &[u8], codes: &[u16]) -> Result<()> {
    let mut web = Web::connect(addr)?;
    web.send(bytes)?;
    match web.answer(false)? {
        Some(reply) if !codes.contains(&reply.code) => bail!("{codes:?} was due: {reply:?}"),
        None if !codes.is_empty() => bail!("{codes:?} was due: it was closed without a word"),
        _ => {}
    }
    if !web.closed()? {
        bail!("the connection was kept");
    }
    Ok(())
}

#[test]
fn what_is_no_http_or_too_large_is_refused_and_the_next_one_is_served() -> Result<()> {
    let mut broker = Broker::start(Options::default())?;
    let addr = broker.http()?;
    let long = |bytes: usize| "a".repeat(bytes);
    let head = |more: &str| format!("GET /live HTTP/1.1\r\nhost: test\r\n{more}\r\n\r\n").into_bytes();
    let many: String = (0..200).map(|n| format!("h{n}: v\r\n")).collect();
    let cases: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("not HTTP", b"\x00\x01\x02\x03\xff\xfe\r\n\r\n".to_vec(), &[400]),
        ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), &[400]),
        (
            "a Kafka request",
            b"\x00\x00\x00\x10\x00\x12\x00\x04\x00\x00\x00\x01\xff\xff\x00\x00".to_vec(),
            &[400],
        ),
        ("another version", b"GET /live HTTP/9.9\r\n\r\n".to_vec(), &[400]),
        ("HTTP/2 at once", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[]),
        ("a header without a name", head(": nothing"), &[400]),
        ("too many headers", head(&many), &[431]),
        ("a head of 16 KiB", head(&format!("x: {}", long(16_384))), &[431]),
        ("a path of 16 KiB", format!("GET /{} HTTP/1.1\r\n\r\n", long(16_384)).into_bytes(), &[414, 431]),
        (
            "a head without an end",
            format!("GET /live HTTP/1.1\r\nx: {}", long(64 * 1024)).into_bytes(),
            &[431],
        ),
        ("two lengths", head("content-length: 1\r\ncontent-length: 2"), &[400]),
        ("a length that is none", head("content-length: -1"), &[400]),
    ];
    for (what, bytes, codes) in cases {
        refused(addr, &bytes, codes).with_context(|| what.to_owned())?;
        assert_eq!(get(addr, "/live")?.code, 200, "after {what}");
    }
    // A head just below the bound is taken.
    let mut web = Web::connect(addr)?;
    web.send(&head(&format!("x: {}", long(7_000))))?;
    assert_eq!(web.answer(false)?.context("no answer")?.code, 200);
    // A body that is announced and never sent: answered at once, and nothing is kept for it.
    let mut web = Web::connect(addr)?;
    web.send(b"POST /metrics HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000000000\r\n\r\n")?;
    assert_eq!(web.answer(false)?.context("no answer")?.code, 405);
    assert!(broker.running());
    broker.stop()
}

/// Reads and throws away until the other side closes the connection; how long that took.
fn until_closed(mut web: Web, mut between: impl FnMut(&mut Web) -> Result<()>) -> Result<Duration> {
    let begun = Instant::now();
    web.stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut buffer = [0; 1024];
    while begun.elapsed() < HANG {
        match web.stream.read(&mut buffer) {
            Ok(0) => return Ok(begun.elapsed()),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(begun.elapsed()),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => between(&mut web)?,
            Err(e) => return Err(e.into()),
        }
    }
    bail!("it was never cut")
}

/// Asks for ever and reads nothing: until the other side has cut it.
fn never_reads(mut web: Web) -> Result<()> {
    let begun = Instant::now();
    web.stream.set_write_timeout(Some(Duration::from_millis(200)))?;
    while begun.elapsed() < HANG {
        match web.stream.write(b"GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n") {
            Ok(_) => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(e) if matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
    bail!("it was never cut")
}

#[test]
fn slow_clients_are_cut_and_nobody_waits_for_them() -> Result<()> {
    let mut broker = Broker::start(Options::default())?;
    let addr = broker.http()?;
    std::thread::scope(|scope| {
        let silent = scope.spawn(move || until_closed(Web::connect(addr)?, |_| Ok(())));
        let half = scope.spawn(move || {
            let mut web = Web::connect(addr)?;
            web.send(b"GET /metr")?;
            until_closed(web, |_| Ok(()))
        });
        let trickling = scope.spawn(move || {
            let mut web = Web::connect(addr)?;
            web.send(b"GET /live HTTP/1.1\r\nx: ")?;
            until_closed(web, |web| web.send(b"y"))
        });
        let kept = scope.spawn(move || {
            let mut web = Web::connect(addr)?;
            assert_eq!(web.ask("GET", "/live")?.code, 200);
            until_closed(web, |_| Ok(()))
        });
        let readers: Vec<_> = (0..4).map(|_| scope.spawn(move || never_reads(Web::connect(addr)?))).collect();
        // More of them than scrapes fit into memory, and still others are answered.
        let mut asked = 0;
        while readers.iter().any(|reader| !reader.is_finished()) {
            assert!(matches!(get(addr, "/metrics")?.code, 200 | 503));
            assert_eq!(get(addr, "/live")?.code, 200);
            asked += 1;
        }
        assert!(asked > 1);
        for (what, thread) in [("silent", silent), ("half", half), ("trickling", trickling), ("kept", kept)] {
            let took = thread.join().unwrap().context(what)?;
            assert!(took > Duration::from_secs(5), "{what} was cut at once, after {took:?}");
        }
        for reader in readers {
            reader.join().unwrap().context("a client that never reads")?;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    scrape(addr)?;
    broker.stop()
}

#[test]
fn connections_are_bounded_and_one_too_many_is_told_so() -> Result<()> {
    let mut broker = Broker::start(Options::default())?;
    let addr = broker.http()?;
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut web = Web::connect(addr)?;
        // Answered: so it was taken.
        assert_eq!(web.ask("GET", "/live")?.code, 200);
        open.push(web);
    }
    let mut one_more = Web::connect(addr)?;
    let reply = one_more.answer(false)?.context("it was closed without a word")?;
    assert_eq!((reply.code, reply.body.as_str()), (503, "too many connections\n"));
    assert!(one_more.closed()?);
    // Those that are open go on, and room that is made is used.
    assert_eq!(open[0].ask("GET", "/ready")?.code, 200);
    open.truncate(CONNECTIONS / 2);
    let begun = Instant::now();
    let counted = loop {
        match scrape(addr) {
            Ok(counted) => break counted,
            Err(error) if begun.elapsed() > HANG => return Err(error),
            // Its end may not be seen yet.
            Err(_) => std::thread::yield_now(),
        }
    };
    assert!(counted.value("callboard_http_connections_refused_total")? >= 1.0);
    broker.stop()
}
