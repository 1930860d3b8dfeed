//! Whom a node refuses, data connections, and a peer that is killed and comes back.

use super::*;
use callboard_actors::ports::CallError;
use callboard_core::Peer;

/// Keeps the data connections that came.
#[derive(Default)]
struct Inbound(Mutex<Vec<DataLink>>);

impl DataAccepts for Inbound {
    fn accepted(&self, link: DataLink) {
        self.0.lock().push(link);
    }
}

#[track_caller]
fn not_sent<T: std::fmt::Debug>(answer: Result<T, CallError>, word: &str) {
    match answer {
        Err(CallError::NotSent(words)) => assert!(words.contains(word), "{word} in {words}"),
        other => panic!("{word}: {other:?}"),
    }
}

/// An acceptor counts once its words have arrived, which may be after the dialler has them.
async fn counted(nodes: &[&Node], reason: &str, n: f64) {
    let all = async || nodes.iter().all(|node| node.refused(reason) == n).then_some(());
    eventually(reason, all).await;
}

#[tokio::test]
async fn a_wrong_secret_is_told_to_both_and_teaches_nothing_else() {
    let (one, two) = (Node::new(1), Node::with(2, "127.0.0.1:0", b"another secret of tests"));
    introduce(&[&one, &two]);
    // A foreign cluster too, of which the refusal says nothing.
    two.gate.facts.lock().cluster = Some(ClusterId("another".to_owned()));
    for (from, to, n) in [(&one, 2, 1.0), (&two, 1, 2.0)] {
        let answer = from.ask(to, b"?").await;
        assert!(!format!("{answer:?}").contains("another"), "{answer:?}");
        not_sent(answer, "the cluster secrets differ");
        counted(&[&one, &two], "secret", n).await;
    }
    assert!(one.gate.facts.lock().met.is_empty() && two.gate.facts.lock().met.is_empty());
    assert_eq!((one.controls(), two.controls()), (0.0, 0.0));
}

#[tokio::test]
async fn another_release_is_refused_on_both_sides() {
    let (one, two) = (Node::new(1), Node::new(2));
    introduce(&[&one, &two]);
    two.gate.facts.lock().newer = 1;
    not_sent(one.ask(2, b"?").await, "protocol version 1 met version 2; run one release");
    counted(&[&one, &two], "version", 1.0).await;
    assert_eq!((one.controls(), two.controls()), (0.0, 0.0));
}

#[tokio::test]
async fn a_foreign_cluster_and_a_removed_node_are_refused_on_both_sides() {
    let (one, two) = (Node::new(1), Node::new(2));
    introduce(&[&one, &two]);
    two.gate.facts.lock().cluster = Some(ClusterId("two".to_owned()));
    not_sent(one.ask(2, b"?").await, "INCONSISTENT_CLUSTER_ID");
    counted(&[&one, &two], "cluster", 1.0).await;
    two.gate.facts.lock().cluster = Some(ClusterId("one".to_owned()));
    // The dialler refuses: the acceptor hears of it by the close.
    let registered = Known::Registered { process: ProcessId([8; 16]), incarnation: 1, epoch: 1 };
    one.gate.facts.lock().known.insert(uuid(2), registered);
    let dial = async || match one.ask(2, b"?").await {
        Err(CallError::NotSent(words)) if words.contains("older than the cluster knows") => Some(()),
        _ => None,
    };
    eventually("the slot rests no longer", dial).await;
    let heard = async || (two.refused("old_directory") == one.refused("old_directory")).then_some(());
    eventually("the acceptor hears each by the close", heard).await;
    one.gate.facts.lock().known.insert(uuid(2), Known::Removed);
    let other_way = async || match two.ask(1, b"?").await {
        Err(CallError::NotSent(words)) if words.contains("NODE_REMOVED") => Some(()),
        _ => None,
    };
    eventually("the acceptor refuses", other_way).await;
    assert!(two.refused("removed") >= 1.0);
    let both = async || (two.refused("removed") == one.refused("removed")).then_some(());
    eventually("both count each", both).await;
}

#[tokio::test]
async fn an_address_that_leads_to_another_node_is_passed_over() {
    let (one, two, three) = (Node::new(1), Node::new(2), Node::new(3));
    introduce(&[&one, &two, &three]);
    one.knows(uuid(2), vec![three.address(), two.address()]);
    let answer = one.ask(2, b"?").await.unwrap();
    assert_eq!(answer, echo(uuid(1), Service::Ask, b"?"));
    assert!(two.gate.facts.lock().met.contains(&uuid(1)));
    assert_eq!(one.refused("uuid"), 1.0);
    counted(&[&three], "uuid", 1.0).await;
    one.knows(uuid(2), vec![three.address()]);
    two.transport.close().await;
    let gone = async || match one.ask(2, b"?").await {
        Err(CallError::NotSent(words)) if words.contains("leads to node") => Some(()),
        _ => None,
    };
    eventually("no candidate is left", gone).await;
}

#[tokio::test]
async fn a_data_connection_is_handed_over_with_shard_and_number() {
    let (one, two) = (Node::new(1), Node::new(2));
    one.knows(uuid(2), vec![two.address()]);
    let dial = || one.transport.dial_data(2, 5, 77);
    not_sent(dial().await, "no broker epoch");
    one.gate.facts.lock().epoch = Some(4);
    not_sent(dial().await, "does not know the id");
    counted(&[&one, &two], "unregistered", 1.0).await;
    two.knows(uuid(1), vec![one.address()]);
    not_sent(dial().await, "starting");
    let inbound = Arc::new(Inbound::default());
    two.transport.accept_data(inbound.clone());
    let connection = dial().await.unwrap();
    let link = eventually("it is handed over", async || inbound.0.lock().pop()).await;
    assert_eq!(link.from, Peer { broker: 1, epoch: 4 });
    assert_eq!((link.shard, link.number), (5, 77));
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(&[3; 3 << 20]).await.unwrap();
    send.finish().unwrap();
    let (_back, mut recv) = soon(link.connection.accept_bi()).await.unwrap();
    assert_eq!(soon(recv.read_to_end(4 << 20)).await.unwrap().len(), 3 << 20);
    // The acceptor opens streams too, and the last drop of a handle ends the connection.
    assert!(soon(link.connection.open_bi()).await.is_ok());
    drop((send, _recv, connection));
    soon(link.connection.closed()).await;
}

/// A node in a runtime of its own, which can end without a word.
struct Mortal {
    runtime: tokio::runtime::Runtime,
    transport: Arc<Transport>,
}

async fn mortal(listen: &str, dir: &Path, gate: &Arc<FakeGate>) -> Mortal {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let transport = eventually("the port is free", async || {
        let (listen, dir, gate) = (listen.to_owned(), dir.to_owned(), Arc::clone(gate));
        runtime.spawn(async move { start(&listen, SECRET, &dir, &gate).ok() }).await.unwrap()
    });
    let transport = transport.await;
    transport.serve(Arc::new(Echo));
    transport.accept_data(Arc::new(Inbound::default()));
    Mortal { runtime, transport }
}

impl Mortal {
    /// Ends all tasks first, so that none is left to say farewell.
    async fn kill(self) {
        let Mortal { runtime, transport } = self;
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
        drop(transport);
    }
}

#[tokio::test]
async fn a_killed_peer_that_comes_back_is_seen_by_its_reset() {
    let (one, dir, gate) = (Node::new(1), tempfile::tempdir().unwrap(), gate(2));
    let mut two = mortal("127.0.0.1:0", dir.path(), &gate).await;
    let address = two.transport.local_addr().unwrap().to_string();
    one.gate.facts.lock().epoch = Some(4);
    one.knows(uuid(2), vec![address.clone()]);
    gate.facts.lock().brokers.insert(uuid(1), 1);
    let mut ends = Vec::new();
    // A machine that stands still for three seconds sees the idle timeout instead: then once more.
    while !ends.contains(&quinn::ConnectionError::Reset) {
        assert!(ends.len() < 5, "{ends:?}");
        let key = two.transport.key_hash().to_owned();
        let connection =
            eventually("a data connection", async || one.transport.dial_data(2, 0, 1).await.ok()).await;
        eventually("an answer", async || one.ask(2, b"?").await.ok()).await;
        two.kill().await;
        two = mortal(&address, dir.path(), &gate).await;
        assert_eq!(two.transport.key_hash(), key);
        ends.push(soon(connection.closed()).await);
        eventually("an answer of the new process", async || one.ask(2, b"?").await.ok()).await;
    }
    two.kill().await;
    assert!(one.dir.path().join("node.key").exists());
}

#[tokio::test]
async fn a_node_that_closes_tells_its_peers() {
    let (one, two) = (Node::new(1), Node::new(2));
    introduce(&[&one, &two]);
    one.ask(2, b"?").await.unwrap();
    soon(two.transport.close()).await;
    eventually("the link is gone", async || (one.controls() == 0.0).then_some(())).await;
    assert!(matches!(one.ask(2, b"?").await, Err(CallError::NotSent(_))));
    assert_eq!(one.refused("malformed"), 0.0, "a farewell is no refusal");
}
