//! A peer that breaks the rules: with its hello, and after a good one.

use super::super::hello::{Failed, Greeter, Kind};
use super::super::question::{self, HEAD};
use super::super::{settings, tls};
use super::*;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, VarInt};

/// A client of its own make, with a key of its own.
struct Raw {
    _endpoint: Endpoint,
    connection: Connection,
}

async fn raw(node: &Node) -> Raw {
    let dir = tempfile::tempdir().unwrap();
    let key = NodeKey::open(dir.path()).unwrap();
    let mut config = ClientConfig::new(Arc::new(tls::client(&key).unwrap()));
    config.transport_config(settings::dialled(Kind::Control));
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let connecting = endpoint.connect_with(config, node.transport.local_addr().unwrap(), "x").unwrap();
    Raw { connection: soon(connecting).await.unwrap(), _endpoint: endpoint }
}

/// A client whose hello was good.
async fn proved(node: &Node) -> Raw {
    let (raw, gate, secret) = (raw(node).await, gate(66), Secret::new(SECRET).unwrap());
    let greeter = Greeter { gate: &*gate, secret: &secret };
    soon(greeter.dialled(&raw.connection, Kind::Control, None)).await.unwrap();
    raw
}

#[tokio::test]
async fn a_hello_that_is_none_ends_the_connection_in_words() {
    let one = Node::new(1);
    let json = |length: u32, text: &str| [&length.to_le_bytes()[..], text.as_bytes()].concat();
    let broken = [
        (json(u32::MAX, ""), "announces 4294967295 bytes"),
        (json((64 << 10) + 1, "{}"), "announces 65537 bytes"),
        (json(1000, "{\"version\":1"), "ends too early"),
        (vec![1, 0], "ends too early"),
        (Vec::new(), "ends too early"),
        (json(2, "{} and more"), "goes on behind its end"),
        (json(2, "{}"), "missing field"),
        (json(0, ""), "cannot be read"),
    ];
    for (n, (bytes, word)) in broken.iter().enumerate() {
        let raw = raw(&one).await;
        let (mut send, _recv) = soon(raw.connection.open_bi()).await.unwrap();
        send.write_all(bytes).await.unwrap();
        send.finish().unwrap();
        let ConnectionError::ApplicationClosed(close) = soon(raw.connection.closed()).await else {
            panic!("{word}: closed in another way")
        };
        let words = String::from_utf8_lossy(&close.reason).into_owned();
        assert!(words.starts_with("malformed: ") && words.contains(word), "{word} in {words}");
        assert_eq!(close.error_code, VarInt::from_u32(1));
        let counted = (n + 1) as f64;
        eventually("it is counted", async || (one.refused("malformed") == counted).then_some(())).await;
    }
    assert!(proved(&one).await.connection.close_reason().is_none(), "others are welcome still");
}

#[tokio::test]
async fn a_stranger_has_one_stream_and_few_bytes() {
    let one = Node::new(1);
    let raw = raw(&one).await;
    let (mut send, _recv) = soon(raw.connection.open_bi()).await.unwrap();
    // It announces the longest hello and never ends it: the node neither reads nor keeps more than a share.
    send.write_all(&[&(64_u32 << 10).to_le_bytes()[..], &[b' '; 100]].concat()).await.unwrap();
    let more = tokio::time::timeout(Duration::from_millis(100), raw.connection.open_bi()).await;
    assert!(more.is_err(), "a second stream");
    let flood = vec![b' '; 4 << 20];
    let flood = async { send.write_all(&flood).await };
    let (wrote, closed) = tokio::join!(flood, soon(raw.connection.closed()));
    assert!(wrote.is_err(), "all of it was taken");
    assert!(matches!(closed, ConnectionError::ApplicationClosed(_)), "{closed}");
    eventually("it is counted", async || (one.refused("malformed") == 1.0).then_some(())).await;
}

#[tokio::test]
async fn a_proof_of_another_connection_is_worth_nothing() {
    let one = Node::new(1);
    let (first, second) = (raw(&one).await, raw(&one).await);
    let (gate, secret) = (gate(66), Secret::new(b"guessed, not known").unwrap());
    let greeter = Greeter { gate: &*gate, secret: &secret };
    let told = soon(greeter.dialled(&first.connection, Kind::Control, None)).await;
    assert!(matches!(&told, Err(Failed::Told(refusal)) if refusal.reason.name() == "secret"), "{told:?}");
    soon(first.connection.closed()).await;
    assert!(second.connection.close_reason().is_none(), "it is refused on one connection only");
    assert_eq!(one.refused("secret"), 1.0);
}

/// Asks with bytes of its own. `None`: the stream was reset.
async fn asked(connection: &Connection, bytes: &[u8], finish: bool) -> Option<(u8, String)> {
    let (mut send, mut recv) = soon(connection.open_bi()).await.unwrap();
    // The node may refuse before all of it is written.
    let _ = send.write_all(bytes).await;
    if finish {
        let _ = send.finish();
    }
    let answer = soon(recv.read_to_end(2 << 20)).await.ok()?;
    let (status, length) = question::of(answer.get(..HEAD)?.try_into().unwrap());
    assert_eq!(answer.len(), HEAD + length);
    Some((status, String::from_utf8_lossy(&answer[HEAD..]).into_owned()))
}

fn head(service: u8, length: u32) -> Vec<u8> {
    [&[service][..], &length.to_le_bytes()].concat()
}

#[tokio::test]
async fn absurd_questions_are_refused_and_others_go_on() {
    let one = Node::new(1);
    let raw = proved(&one).await;
    let ask = async |bytes: &[u8], finish: bool| asked(&raw.connection, bytes, finish).await;
    let ok = async || ask(&[head(2, 2), b"hi".to_vec()].concat(), true).await.unwrap().0 == 0;
    for (bytes, word) in [
        (head(2, u32::MAX), "4294967295"),
        (head(2, (16 << 20) + 1), "16777217"),
        (head(5, (1 << 20) + 1), "1048577"),
        (head(1, (64 << 20) + 1), "67108865"),
        (head(99, 2), "service 99"),
    ] {
        let (status, words) = ask(&bytes, false).await.unwrap();
        assert!(status == 1 && words.contains(word), "{word} in {words}");
        // Bytes that keep coming are dropped, and hold up nobody.
        let (status, _) = ask(&[bytes, vec![0; 3 << 20]].concat(), true).await.unwrap();
        assert_eq!(status, 1);
        assert!(ok().await);
    }
    for bytes in [
        Vec::new(),
        vec![2, 1],
        head(2, 100),
        [head(1, 64 << 20), vec![0; 100_000]].concat(),
        [head(2, 2), b"hi and more".to_vec()].concat(),
    ] {
        assert_eq!(ask(&bytes, true).await, None, "{bytes:?}");
        assert!(ok().await);
    }
}

#[tokio::test]
async fn large_questions_are_few_and_their_memory_is_bounded() {
    let one = Node::new(1);
    let raw = proved(&one).await;
    let open = async |bytes: Vec<u8>| {
        let (mut send, recv) = soon(raw.connection.open_bi()).await.unwrap();
        send.write_all(&bytes).await.unwrap();
        (send, recv)
    };
    let mut held = Vec::new();
    held.push(open(head(1, 64 << 20)).await);
    let third = async || {
        let (status, words) = asked(&raw.connection, &head(1, 64 << 20), false).await?;
        (status == 1 && words.contains("no memory")).then_some(())
    };
    eventually("64 MiB are announced", third).await;
    for _ in 1..16 {
        held.push(open(head(2, 100_000)).await);
    }
    let more = async || {
        let (_, words) = asked(&raw.connection, &head(2, 100_000), false).await?;
        words.contains("large questions").then_some(())
    };
    eventually("16 large questions are on their way", more).await;
    let small = [head(2, 2), b"hi".to_vec()].concat();
    assert_eq!(asked(&raw.connection, &small, true).await.unwrap().0, 0, "small ones pass");
    drop(held);
    let room = [head(2, 100_000), vec![1; 100_000]].concat();
    let again = async || (asked(&raw.connection, &room, true).await?.0 == 0).then_some(());
    eventually("their places are free again", again).await;
}
