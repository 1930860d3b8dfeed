//! Questions and answers between well-behaved nodes.

use super::*;
use callboard_actors::ports::CallError;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

/// Keeps who asked, and answers.
#[derive(Default)]
struct Witness(Mutex<Vec<Caller>>);

impl Serves for Witness {
    fn serve(&self, from: Caller, _: Service, question: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        self.0.lock().push(from);
        Box::pin(async move {
            match &question[..] {
                b"no" => Err("it is\nforbidden".to_owned()),
                b"long" => Ok(Bytes::from(vec![0; 17 << 20])),
                _ => Ok(question),
            }
        })
    }
}

#[tokio::test]
async fn a_question_is_answered_and_the_asker_is_known() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        if std::net::UdpSocket::bind(listen).is_err() {
            assert!(listen.contains("::1"), "no loopback");
            continue;
        }
        let (one, two) = (Node::with(1, listen, SECRET), Node::with(2, listen, SECRET));
        introduce(&[&one, &two]);
        let witness = Arc::new(Witness::default());
        two.transport.serve(witness.clone());
        assert_eq!(one.ask(2, b"what?").await.unwrap(), "what?");
        assert_eq!(one.ask(2, b"").await.unwrap(), "");
        assert_eq!(one.ask(2, b"no").await, Err(CallError::Refused("it is forbidden".to_owned())));
        let caller = Caller {
            uuid: one.uuid(),
            key_hash: one.transport.key_hash().to_owned(),
            broker: Some(1),
            epoch: Some(101),
        };
        assert_eq!(*witness.0.lock(), vec![caller; 3]);
        assert_eq!((one.controls(), two.controls()), (1.0, 1.0), "one connection carries all");
        assert!(one.sampled("callboard_transport_mtu_bytes{peer=\"2\"}") >= 1200.0);
        assert!(one.gate.facts.lock().met.contains(&two.uuid()));
        assert!(two.gate.facts.lock().met.contains(&one.uuid()));
    }
}

#[tokio::test]
async fn a_hundred_questions_at_once_large_ones_among_them() {
    let (one, two) = (Node::new(1), Node::new(2));
    introduce(&[&one, &two]);
    let asked = (0..100_usize).map(|n| {
        let question = vec![n as u8; if n.is_multiple_of(3) { 300_000 } else { n }];
        let one = &one;
        async move {
            let answer = one.ask(2, &question).await.unwrap();
            assert_eq!(answer, echo(uuid(1), Service::Ask, &question));
        }
    });
    futures_util::future::join_all(asked).await;
    let snapshot = Bytes::from(vec![7; 20 << 20]);
    let answer = one.transport.call(2, Service::Raft, snapshot.clone(), PATIENCE).await.unwrap();
    assert!(answer == echo(uuid(1), Service::Raft, &snapshot));
    assert_eq!(two.controls(), 1.0, "all waited for one dial");
}

#[tokio::test]
async fn a_node_asks_itself_without_a_socket() {
    let one = Node::new(1);
    introduce(&[&one]);
    assert_eq!(one.ask(1, b"me").await.unwrap(), echo(uuid(1), Service::Ask, b"me"));
    assert_eq!(one.controls() + one.sampled("callboard_transport_connections{kind=\"data\"}"), 0.0);
    // By address it learns who answers.
    let address = one.address();
    let (who, answer) =
        one.transport.call_at(&address, None, Service::Probe, Bytes::new(), PATIENCE).await.unwrap();
    assert_eq!((who.uuid, who.key_hash.as_str()), (uuid(1), one.transport.key_hash()));
    assert_eq!(answer, echo(uuid(1), Service::Probe, b""));
}

#[tokio::test]
async fn before_it_serves_a_node_refuses_questions() {
    let (one, dir, gate) = (Node::new(1), tempfile::tempdir().unwrap(), gate(2));
    let two = start("127.0.0.1:0", SECRET, dir.path(), &gate).unwrap();
    one.knows(uuid(2), vec![two.local_addr().unwrap().to_string()]);
    assert_eq!(one.ask(2, b"?").await, Err(CallError::Refused("starting".to_owned())));
    gate.facts.lock().brokers.insert(uuid(2), 2);
    let own = two.call(2, Service::Ask, Bytes::new(), PATIENCE).await;
    assert_eq!(own, Err(CallError::Refused("starting".to_owned())));
    two.serve(Arc::new(Echo));
    assert!(one.ask(2, b"?").await.is_ok());
}

#[tokio::test]
async fn nothing_is_too_long() {
    let (one, two) = (Node::new(1), Node::new(2));
    introduce(&[&one, &two]);
    two.transport.serve(Arc::new(Witness::default()));
    let most = vec![1; 16 << 20];
    assert_eq!(one.ask(2, &most).await.unwrap(), most);
    let error = one.ask(2, &vec![1; (16 << 20) + 1]).await.unwrap_err();
    assert!(matches!(&error, CallError::NotSent(words) if words.contains("16777216")), "{error}");
    let error = one.ask(2, b"long").await.unwrap_err();
    assert!(matches!(&error, CallError::Refused(words) if words.contains("the answer")), "{error}");
    assert!(one.ask(2, b"short").await.is_ok(), "the connection goes on");
}

#[tokio::test]
async fn a_question_to_nobody_is_not_sent() {
    let one = Node::new(1);
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    one.knows(uuid(2), vec![free.to_string(), "no-such-host.invalid:1".to_owned()]);
    // The second call rests with the words of the first dial, or dials again.
    for _ in 0..2 {
        let error = one.ask(2, b"?").await.unwrap_err();
        let CallError::NotSent(words) = &error else { panic!("{error}") };
        assert!(words.contains(&free.to_string()) && words.contains("no-such-host.invalid"), "{words}");
    }
    assert!(matches!(one.ask(3, b"?").await, Err(CallError::NotSent(_))), "no member");
    one.knows(uuid(4), Vec::new());
    assert!(matches!(one.ask(4, b"?").await, Err(CallError::NotSent(_))), "no address");
}

#[tokio::test]
async fn a_link_by_address_serves_the_member_too() {
    let (one, two) = (Node::new(1), Node::new(2));
    two.gate.facts.lock().cluster = None;
    let address = two.address();
    let ask = |expected| one.transport.call_at(&address, expected, Service::Probe, Bytes::new(), PATIENCE);
    let (who, _) = ask(None).await.unwrap();
    let virgin =
        Caller { uuid: uuid(2), key_hash: two.transport.key_hash().to_owned(), broker: None, epoch: None };
    assert_eq!(who, virgin);
    ask(Some(uuid(2))).await.unwrap();
    introduce(&[&one, &two]);
    one.ask(2, b"?").await.unwrap();
    assert_eq!(two.controls(), 1.0);
    let error = ask(Some(uuid(3))).await.unwrap_err();
    assert!(matches!(&error, CallError::NotSent(words) if words.contains("not to node")), "{error}");
}

#[tokio::test]
async fn a_heartbeat_takes_the_way_that_the_other_node_opened() {
    let (one, two) = (Node::new(1), Node::new(2));
    introduce(&[&one, &two]);
    two.knows(uuid(1), Vec::new());
    one.ask(2, b"?").await.unwrap();
    let beat = || two.transport.call(1, Service::Heartbeat, Bytes::new(), PATIENCE);
    assert_eq!(beat().await.unwrap(), echo(uuid(2), Service::Heartbeat, b""));
    assert!(matches!(two.ask(1, b"?").await, Err(CallError::NotSent(_))));
    one.transport.close().await;
    let error = eventually("the link's end", async || beat().await.err()).await;
    assert!(matches!(error, CallError::NotSent(_) | CallError::Lost(_)), "{error}");
}

/// Serves one question for each permit.
struct Slow {
    entered: AtomicUsize,
    permits: Arc<Semaphore>,
}

impl Serves for Slow {
    fn serve(&self, _: Caller, _: Service, question: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        self.entered.fetch_add(1, Ordering::SeqCst);
        let permits = Arc::clone(&self.permits);
        Box::pin(async move {
            permits.acquire().await.map_err(|error| error.to_string())?.forget();
            Ok(question)
        })
    }
}

#[tokio::test]
async fn questions_given_up_give_their_streams_back() {
    let (one, two) = (Node::new(1), Node::new(2));
    introduce(&[&one, &two]);
    let slow = Arc::new(Slow { entered: AtomicUsize::new(0), permits: Arc::new(Semaphore::new(0)) });
    two.transport.serve(slow.clone());
    let stuck: Vec<_> = (0..100)
        .map(|_| tokio::spawn(one.transport.call(2, Service::Ask, Bytes::from_static(b"?"), PATIENCE)))
        .collect();
    // QUIC tells of a stream that is free only with a few others, so that not all 64 may be in use.
    let most = async || (slow.entered.load(Ordering::SeqCst) >= 50).then_some(());
    eventually("most streams are in use", most).await;
    // The rest parks, and one more question parks behind it and never leaves.
    let late = one.transport.call(2, Service::Ask, Bytes::new(), Duration::from_millis(200)).await;
    assert!(matches!(late, Err(CallError::NotSent(_))), "{late:?}");
    assert!(slow.entered.load(Ordering::SeqCst) <= 64);
    stuck.iter().for_each(tokio::task::JoinHandle::abort);
    slow.permits.add_permits(1000);
    for _ in 0..64 {
        one.ask(2, b"again").await.unwrap();
    }
    assert_eq!(two.controls(), 1.0);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_lost_and_no_more() {
    let (one, two) = (Node::new(1), Node::new(2));
    introduce(&[&one, &two]);
    one.ask(2, b"?").await.unwrap();
    let slow = Arc::new(Slow { entered: AtomicUsize::new(0), permits: Arc::new(Semaphore::new(0)) });
    two.transport.serve(slow.clone());
    let late = async || {
        let answer = one.transport.call(2, Service::Ask, Bytes::new(), Duration::from_millis(300)).await;
        (slow.entered.load(Ordering::SeqCst) > 0).then_some(answer)
    };
    let answer = eventually("the question arrives", late).await;
    assert!(matches!(answer, Err(CallError::Lost(_))), "{answer:?}");
    slow.permits.add_permits(1000);
    one.ask(2, b"?").await.unwrap();
}
